/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reply windows.  The input is a list of triples of words, what and two numbers:
 *
 *   0 OFFSET SIZE   choose a window of the reply memory
 *   1 POSITION      move inside of it
 *   2 N             one of the seeds, all of which want a reply
 *   3 N POSITION    the same in a stream, with a reply position
 *   4 SIZE          query results that take SIZE bytes
 *
 * No byte outside of the window may change.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "seeds.h"
#include "util/bytes.h"

#define MOST_NS UINT64_C(20000000)
#define STEPS   64

struct window {
	uint64_t offset;
	uint64_t size;
};

static void check(const struct guest_shm *reply, uint8_t *shadow, const struct window *w)
{
	uint64_t end = w->offset + w->size;

	if (memcmp(reply->map, shadow, w->offset) != 0 ||
	    memcmp(reply->map + end, shadow + end, reply->size - end) != 0) {
		(void)fprintf(stderr, "fuzz: a reply was written outside of its window\n");
		abort();
	}
	memcpy(shadow + w->offset, reply->map + w->offset, w->size);
}

static void put_seed(struct guest *g, uint32_t n)
{
	const struct seed *s = &seeds[n % seeds_count];

	guest_put_bytes(g, s->bytes, s->len);
}

static void put_stream(struct guest *g, const struct guest_shm *stream, uint32_t n, uint32_t at)
{
	const struct seed *s = &seeds[n % seeds_count];

	memcpy(stream->map, s->bytes, s->len);
	guest_put_cmd(g, 180, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, RES_STREAM);
	guest_put_u64(g, 0);
	guest_put_u64(g, s->len);
	guest_put_u64(g, 1);
	guest_put_u64(g, at);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
}

static void put_query_results(struct guest *g, uint32_t size)
{
	guest_put_cmd(g, 49, GUEST_REPLY);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, size);
	guest_put_u64(g, size);
	guest_put_u64(g, 8);
	guest_put_u32(g, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size - size % 12);
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;

	fuzz_begin(&g, &reply, &stream);

	struct window w = { 0, reply.size };
	uint8_t *shadow = malloc(reply.size);

	if (!shadow)
		abort();
	memset(reply.map, 0x5a, reply.size);
	memcpy(shadow, reply.map, reply.size);
	for (unsigned i = 0; i < STEPS && rd_left(&r) >= 12; i++) {
		uint32_t what = rd_le32(&r) % 5;
		uint32_t a = rd_le32(&r);
		uint32_t b = rd_le32(&r);
		bool is_window = what == 0;

		if (is_window)
			guest_cmd_reply_stream(&g, RES_REPLY, a, b);
		else if (what == 1) {
			guest_put_cmd(&g, 179, 0);
			guest_put_u64(&g, a);
		} else if (what == 2)
			put_seed(&g, a);
		else if (what == 3)
			put_stream(&g, &stream, a, b);
		else
			put_query_results(&g, a);
		fuzz_stop_after(&g, MOST_NS);
		int ret = guest_submit(&g);

		check(&reply, shadow, &w);
		if (ret < 0)
			break;
		if (is_window)
			w = (struct window){ a, b };
	}
	free(shadow);
	fuzz_end(&g, &reply, &stream);
	return 0;
}
