/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cold halves of decoder and encoder primitives, the arena, and the loop that executes a stream
 * of commands.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/log.h"
#include "venus/core.h"
#include "venus/enc.h"

#define ARENA_BLOCK (256U << 10) /* first block; most commands need a few hundred bytes */

/* Bytes kept by a decoder between commands; more than this is given back at once. */
#define ARENA_KEEP (1U << 20)

/* Blobs of this many bytes are not worth a copy. */
#define BLOB_IN_PLACE (64U << 10)

struct arena_head {
	struct arena_head *next;
	size_t size; /* bytes after the head */
};

_Static_assert(sizeof(struct arena_head) == 16, "blocks are aligned to 16 bytes");

void venus_dec_fatal(struct venus_dec *d, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	d->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (venus_ctx_set_fatal(d->ctx))
		log_guest(GPU, "%s: guest broke the protocol: %s %s", d->ctx->name,
			  d->cmd ? d->cmd : "a submission", text);
}

bool venus_scratch_claim(struct venus_ctx *ctx, uint64_t bytes)
{
	/* Relaxed: a number and no more.  What is claimed at a time is far from making it wrap. */
	if (atomic_fetch_add_explicit(&ctx->scratch_bytes, bytes, memory_order_relaxed) + bytes <=
	    ctx->limits.scratch_bytes)
		return true;
	venus_scratch_give_back(ctx, bytes);
	return false;
}

void venus_scratch_give_back(struct venus_ctx *ctx, uint64_t bytes)
{
	(void)atomic_fetch_sub_explicit(&ctx->scratch_bytes, bytes, memory_order_relaxed);
}

void *venus_arena_grow(struct venus_arena *a, size_t bytes)
{
	size_t size = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
	bool is_large = size > ARENA_KEEP;

	if (a->total + size > (size_t)VENUS_ARENA_MAX + ARENA_BLOCK + a->out ||
	    !venus_scratch_claim(a->ctx, size))
		return NULL;
	/* The system's pages are zero already, and only what is used gets any. */
	struct arena_head *h = is_large ? calloc(1, sizeof(*h) + size) : malloc(sizeof(*h) + size);
	if (!h) {
		venus_scratch_give_back(a->ctx, size);
		return NULL;
	}
	h->next = a->full;
	h->size = size;
	a->full = h;
	a->block = (uint8_t *)(h + 1);
	a->size = size;
	a->used = bytes;
	a->total += size;
	return is_large ? a->block : memset(a->block, 0, bytes);
}

static void block_free(struct venus_arena *a, struct arena_head *h)
{
	venus_scratch_give_back(a->ctx, h->size);
	free(h);
}

void venus_arena_reset(struct venus_arena *a)
{
	struct arena_head *h = a->full;

	a->used = 0;
	if (likely(!h || (!h->next && h->size <= ARENA_KEEP)))
		return;

	/* The oldest block is the one to keep: it has the usual size, unless it was a large one. */
	struct arena_head *keep = NULL;
	while (h) {
		struct arena_head *next = h->next;

		if (!next && h->size <= ARENA_KEEP)
			keep = h;
		else
			block_free(a, h);
		h = next;
	}
	a->full = keep;
	a->block = keep ? (uint8_t *)(keep + 1) : NULL;
	a->size = keep ? keep->size : 0;
	a->total = a->size;
	a->out = 0;
}

void venus_arena_fini(struct venus_arena *a)
{
	struct arena_head *h = a->full;

	while (h) {
		struct arena_head *next = h->next;

		block_free(a, h);
		h = next;
	}
	memset(a, 0, sizeof(*a));
}

const char *venus_dec_string(struct venus_dec *d, bool may_be_null)
{
	uint64_t n = venus_dec_u64(d);

	if (d->failed)
		return NULL;
	if (n == 0) {
		if (!may_be_null)
			venus_dec_fatal(d, "lacks a mandatory string");
		return NULL;
	}
	if (n > venus_dec_left(d)) {
		venus_dec_fatal(d, "has a string that is longer than the stream");
		return NULL;
	}
	char *s = venus_dec_alloc(d, n, 1);
	if (!s)
		return NULL;
	venus_dec_packed(d, s, n, 1);
	s[n - 1] = '\0';
	return s;
}

const char *const *venus_dec_strings(struct venus_dec *d, uint64_t n)
{
	const char **list = venus_dec_alloc(d, n, sizeof(*list));

	for (uint64_t i = 0; list && i < n && !d->failed; i++)
		list[i] = venus_dec_string(d, false);
	return d->failed ? NULL : (const char *const *)list;
}

void *venus_dec_blob(struct venus_dec *d, uint64_t n)
{
	/* A front end's bytes may lie anywhere, and drivers want SPIR-V's words where words lie. */
	if (n >= BLOB_IN_PLACE && n <= venus_dec_left(d) && (uintptr_t)d->p % 4 == 0)
		return (void *)(uintptr_t)venus_dec_take(d, (n + 3) & ~(size_t)3);

	void *p = venus_dec_alloc(d, n, 1);

	if (p)
		venus_dec_packed(d, p, n, 1);
	return d->failed ? NULL : p;
}

struct venus_obj *venus_dec_obj_bad(struct venus_dec *d, uint64_t id, VkObjectType type)
{
	const struct venus_obj *o = d->failed ? NULL : venus_table_get(d->table, id);

	if (d->failed)
		return NULL;
	if (!o)
		venus_dec_fatal(d, "names object %llu, which does not exist",
				(unsigned long long)id);
	else if (o->type != type)
		venus_dec_fatal(d, "names object %llu of type %d as one of type %d",
				(unsigned long long)id, (int)o->type, (int)type);
	else
		venus_dec_fatal(d, "names object %llu of another device", (unsigned long long)id);
	return NULL;
}

struct venus_obj *venus_dec_first_bad(struct venus_dec *d)
{
	if (!d->failed)
		venus_dec_fatal(d, "lacks its first object");
	return NULL;
}

/* No driver gets us to send more of an array than there is. */
static void clamp_counts(const struct venus_dec *d)
{
	for (const struct venus_room *r = d->rooms; r; r = r->next) {
		uint32_t *narrow = r->count;
		uint64_t *wide = r->count;

		if (r->count_size == sizeof(*wide) && *wide > r->n)
			*wide = r->n;
		else if (r->count_size == sizeof(*narrow) && *narrow > r->n)
			*narrow = (uint32_t)r->n;
	}
}

bool venus_reply_begin(struct venus_dec *d, struct venus_enc *e, int32_t cmd)
{
	const struct venus_reply *r = &d->reply;

	e->failed = false;
	if (unlikely(!r->res)) {
		venus_dec_fatal(d, "wants a reply, but no reply stream was chosen");
		return false;
	}
	clamp_counts(d);
	e->p = r->base + r->pos;
	e->end = r->base + r->size;
	venus_enc_i32(e, cmd);
	return true;
}

void venus_reply_end(struct venus_dec *d, struct venus_enc *e)
{
	if (unlikely(e->failed)) {
		venus_dec_fatal(d, "has a reply that does not fit into its stream");
		return;
	}
	d->reply.pos = (size_t)(e->p - d->reply.base);
	venus_stat_add(&d->stats.replies, 1);
}

void venus_dec_init(struct venus_dec *d, struct venus_ctx *ctx, struct venus_ring *ring)
{
	memset(d, 0, sizeof(*d));
	d->ctx = ctx;
	d->table = ctx->table;
	d->ring = ring;
	d->arena.ctx = ctx;
	venus_reader_add(d->table, &d->reader);
}

void venus_dec_fini(struct venus_dec *d)
{
	if (!d->table)
		return;
	venus_reader_del(d->table, &d->reader);
	venus_arena_fini(&d->arena);
	venus_res_put(d->reply.res);
	venus_stream_drop(d);
	memset(d, 0, sizeof(*d));
}

/* Refused numbers have names too, where they are known. */
static void refuse(struct venus_dec *d, int32_t type)
{
	if (type >= 0 && (uint32_t)type < VENUS_CMD_COUNT && venus_cmds[type].name) {
		d->cmd = venus_cmds[type].name;
		venus_dec_fatal(d, "is not a command that guests may send");
		return;
	}
	d->cmd = NULL;
	venus_dec_fatal(d, "has a command with the unknown number %d", (int)type);
}

bool venus_dec_one(struct venus_dec *d)
{
	const uint8_t *start = d->p;
	int32_t type = venus_dec_i32(d);
	uint32_t flags = venus_dec_u32(d);

	if (unlikely(d->failed))
		return false;
	if (unlikely(type < 0 || (uint32_t)type >= VENUS_CMD_COUNT || !venus_cmds[type].run)) {
		refuse(d, type);
		return false;
	}

	const struct venus_cmd *c = &venus_cmds[type];
	d->cmd = c->name;
	if (unlikely(!(c->level & (d->ring ? VENUS_LEVEL_RING : VENUS_LEVEL_CTX)))) {
		venus_dec_fatal(d, "came on the wrong level (%s)", d->ring ? "ring" : "context");
		return false;
	}
	d->dev = NULL;
	d->pool = NULL;
	d->resource = NULL;
	d->source = NULL;
	d->chain = 0;
	/* Relaxed: the watchdog only wants to tell that something takes long, and what. */
	atomic_store_explicit(&d->stats.running, c->name, memory_order_relaxed);
	c->run(d, flags);
	atomic_store_explicit(&d->stats.running, NULL, memory_order_relaxed);
	venus_stat_add(&d->stats.commands, 1);
	venus_stat_add(&d->stats.bytes, (uint64_t)(d->p - start));
	d->rooms = NULL;
	venus_arena_reset(&d->arena);
	venus_quiesce(d->table, &d->reader);
	return !d->failed;
}

bool venus_dec_all(struct venus_dec *d, const void *bytes, size_t len)
{
	d->p = bytes;
	d->end = d->p + len;
	while (d->p < d->end) {
		/* Another thread's breach ends this stream too. */
		if (unlikely(venus_is_fatal(d->ctx)) || !venus_dec_one(d))
			return false;
	}
	return true;
}
