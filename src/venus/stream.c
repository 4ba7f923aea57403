/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams in shared memory (venus.md 5.5): where replies go, and commands that are executed by
 * reference.
 */
#include <stdlib.h>

#include "util/ckd.h"
#include "venus/core.h"

#define STREAMS_MAX      1024U      /* of one vkExecuteCommandStreamsMESA; Mesa sends a few */
#define STREAM_BYTES_MAX (1U << 30) /* of one stream: Mesa sends an image in one command */
#define STREAM_KEEP      (1U << 20) /* bytes of the private copy kept between commands */

void venus_do_vkSetReplyCommandStreamMESA(struct venus_dec *d,
					  struct venus_args_vkSetReplyCommandStreamMESA *a)
{
	const VkCommandStreamDescriptionMESA *s = a->pStream;
	struct venus_res *res = venus_res_get(d->ctx, s->resourceId);

	if (!res || !res->map || !range_fits(s->offset, s->size, res->size)) {
		venus_dec_fatal(d, "names no shared memory of that size");
		venus_res_put(res);
		return;
	}
	venus_res_put(d->reply.res);
	d->reply.res = res;
	d->reply.base = res->map + s->offset;
	d->reply.size = s->size;
	d->reply.pos = 0;
}

void venus_do_vkSeekReplyCommandStreamMESA(struct venus_dec *d,
					   struct venus_args_vkSeekReplyCommandStreamMESA *a)
{
	if (!d->reply.res || a->position > d->reply.size) {
		venus_dec_fatal(d, "leaves the reply stream");
		return;
	}
	d->reply.pos = a->position;
}

void venus_stream_drop(struct venus_dec *d)
{
	free(d->stream);
	venus_scratch_give_back(d->ctx, d->stream_size);
	d->stream = NULL;
	d->stream_size = 0;
}

/* Copies a stream to memory that the guest cannot change. */
static bool copy_stream(struct venus_dec *d, const VkCommandStreamDescriptionMESA *s)
{
	struct venus_res *res = venus_res_get(d->ctx, s->resourceId);
	bool is_copied = false;

	if (!res || !res->map || !range_fits(s->offset, s->size, res->size) ||
	    s->size > STREAM_BYTES_MAX) {
		venus_dec_fatal(d, "names no shared memory of that size");
	} else {
		if (s->size > d->stream_size) {
			venus_stream_drop(d);
			if (venus_scratch_claim(d->ctx, s->size)) {
				d->stream_size = s->size;
				d->stream = malloc(s->size);
			}
		}
		if (d->stream) {
			memcpy(d->stream, res->map + s->offset, s->size);
			is_copied = true;
		} else {
			venus_dec_fatal(d, "found no memory");
		}
	}
	venus_res_put(res);
	return is_copied;
}

static void execute(struct venus_dec *d, const VkCommandStreamDescriptionMESA *s,
		    const size_t *positions, uint32_t n)
{
	for (uint32_t i = 0; i < n && !d->failed; i++) {
		if (positions) {
			if (!d->reply.res || positions[i] > d->reply.size) {
				venus_dec_fatal(d, "leaves the reply stream");
				return;
			}
			d->reply.pos = positions[i];
		}
		if (s[i].size == 0)
			continue;
		if (!copy_stream(d, &s[i]) || !venus_dec_all(d, d->stream, s[i].size))
			return;
	}
}

void venus_do_vkExecuteCommandStreamsMESA(struct venus_dec *d,
					  struct venus_args_vkExecuteCommandStreamsMESA *a)
{
	uint32_t n = a->streamCount;

	if (d->nested) {
		venus_dec_fatal(d, "is nested in itself");
		return;
	}
	if (n == 0 || n > STREAMS_MAX || !a->pStreams) {
		venus_dec_fatal(d, "has %u streams", n);
		return;
	}

	/* The commands in the streams reset the arena, so what is still needed moves out of it. */
	AUTO_FREE void *kept = malloc(n * (sizeof(*a->pStreams) + sizeof(size_t)));
	if (!kept) {
		venus_dec_fatal(d, "found no memory");
		return;
	}
	VkCommandStreamDescriptionMESA *streams = kept;
	size_t *positions = (size_t *)(void *)(streams + n);
	memcpy(streams, a->pStreams, n * sizeof(*streams));
	if (a->pReplyPositions)
		memcpy(positions, a->pReplyPositions, n * sizeof(*positions));

	const uint8_t *p = d->p;
	const uint8_t *end = d->end;
	d->nested = 1;
	execute(d, streams, a->pReplyPositions ? positions : NULL, n);
	d->nested = 0;
	d->p = p;
	d->end = end;
	d->cmd = "vkExecuteCommandStreamsMESA";
	if (d->stream_size > STREAM_KEEP)
		venus_stream_drop(d);
}
