/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The primitives of the decoder.  Generated code is made of calls to these and of nothing else: it
 * never moves a pointer into the stream.  The stream is always private memory (a copy of the
 * ring's bytes or of a stream in shared memory), so nothing changes while it is read.
 *
 * Decoding writes straight into Vulkan's structs, with ids already resolved to host handles, in an
 * arena that lives as long as the command.  Any breach of the protocol sets d->failed; from there
 * on everything reads as zero, and the command is not executed.
 *
 * One struct venus_dec belongs to one thread: a ring's, or the one that runs context submissions.
 */
#ifndef PECTEN_VENUS_DEC_H
#define PECTEN_VENUS_DEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"
#include "venus/obj.h"

#define VENUS_ARENA_MAX (64U << 20) /* bytes one command may decode to; SPIR-V is the largest */
#define VENUS_OUT_MAX   (1U << 30)  /* bytes of one blob that the driver fills */
#define VENUS_CHAIN_MAX 256         /* nodes of one pNext chain; a feature query has over 100 */

struct venus_ctx;
struct venus_ring;
struct venus_res;

/* Where replies go: the window of a shm resource chosen by vkSetReplyCommandStreamMESA. */
struct venus_reply {
	struct venus_res *res; /* holds a reference; NULL before the first choice */
	uint8_t *base;         /* guest-writable memory: written only, never read back */
	size_t size;
	size_t pos;
};

struct venus_arena {
	uint8_t *block; /* current block */
	size_t used;
	size_t size;
	size_t total;          /* bytes in all blocks, at most VENUS_ARENA_MAX and @out */
	size_t out;            /* of them for large blobs that the driver fills */
	void *full;            /* chain of filled blocks, freed by venus_arena_reset() */
	struct venus_ctx *ctx; /* for the books */
};

/* An array in a struct that the driver fills in, and the member beside it that counts it. */
struct venus_room {
	struct venus_room *next;
	void *count;
	size_t count_size; /* bytes: 4 or 8 */
	uint64_t n;        /* elements that there is room for */
};

/* Written by the decoder's thread alone, with relaxed stores; read by venus_ctx_counters(). */
struct venus_dec_stats {
	_Atomic uint64_t commands;
	_Atomic uint64_t bytes;
	_Atomic uint64_t replies;
	_Atomic uint64_t sleeps;
	_Atomic uint64_t wakes;
	_Atomic uint64_t idles;
	_Atomic(const char *) running; /* name of the command being executed, for the watchdog */
};

static inline void venus_stat_add(_Atomic uint64_t *stat, uint64_t n)
{
	/* One writer: no read-modify-write needed. */
	atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

struct venus_dec {
	const uint8_t *p;
	const uint8_t *end;
	bool failed;
	struct venus_ctx *ctx;
	struct venus_table *table;
	struct venus_ring *ring;  /* NULL on the context level */
	struct venus_device *dev; /* owner of the command's first handle; all others must agree */
	/* The last one decoded of a kind, for handlers that get a handle in a struct: */
	struct venus_obj *pool;     /* of commands, descriptors or queries */
	struct venus_obj *resource; /* buffer or image */
	struct venus_obj *source;   /* the one before it */
	const char *cmd;            /* name of the command being decoded */
	struct venus_room *rooms;   /* of the command's arrays in output structs, in the arena */
	unsigned chain;             /* pNext nodes of the current chain */
	unsigned nested;            /* inside vkExecuteCommandStreamsMESA */
	struct venus_arena arena;
	struct venus_reply reply;
	struct venus_reader reader;   /* see obj.h */
	struct venus_dec_stats stats; /* of this thread; others may look */
	uint8_t *stream;              /* private copy of the stream that is executed */
	size_t stream_size;
};

/**
 * venus_dec_fatal() - the guest broke the protocol: stop this context
 *
 * Sets d->failed, logs one line that starts with the command's name.  Only the first breach of a
 * context is logged.
 */
void venus_dec_fatal(struct venus_dec *d, const char *fmt, ...) PRINTF_FMT(2, 3);

void *venus_arena_grow(struct venus_arena *a, size_t bytes);

/**
 * venus_dec_alloc() - zeroed memory that lives as long as the command
 * @n:	    elements; already checked against the bytes that are left, see venus_dec_count()
 *
 * Return: memory aligned to 16 bytes; NULL (and d->failed) above VENUS_ARENA_MAX or for n = 0
 */
static inline void *venus_dec_alloc(struct venus_dec *d, size_t n, size_t size)
{
	struct venus_arena *a = &d->arena;
	size_t bytes;

	if (unlikely(n == 0 || __builtin_mul_overflow(n, size, &bytes) || bytes > VENUS_ARENA_MAX))
		goto bad;
	bytes = (bytes + 15) & ~(size_t)15;
	if (likely(bytes <= a->size - a->used)) {
		void *p = a->block + a->used;

		a->used += bytes;
		return memset(p, 0, bytes);
	}
	void *p = venus_arena_grow(a, bytes);
	if (likely(p != NULL))
		return p;
bad:
	if (n != 0)
		venus_dec_fatal(d, "needs more than %u bytes", VENUS_ARENA_MAX);
	return NULL;
}

/*
 * Bytes that a driver writes more than a blob has room for, where the blob is one descriptor or one
 * piece of capture data: drivers write what such a thing takes, whatever size they are told.
 */
#define VENUS_OUT_SLACK 4096U
#define VENUS_OUT_LARGE (1U << 20) /* a larger blob gets a block of its own */

/**
 * venus_dec_alloc_out() - zeroed memory for a blob that the driver fills
 * @n:	bytes that the guest asked for, unchecked
 *
 * Images are as large as they are, so it does not count as what the command decodes to.
 *
 * Return: as venus_dec_alloc(), but up to VENUS_OUT_MAX; @n bytes and VENUS_OUT_SLACK more may be
 *	   written
 */
static inline void *venus_dec_alloc_out(struct venus_dec *d, uint64_t n)
{
	struct venus_arena *a = &d->arena;
	void *p = NULL;

	if (likely(n <= VENUS_OUT_LARGE))
		return venus_dec_alloc(d, n + VENUS_OUT_SLACK, 1);
	if (n <= VENUS_OUT_MAX) {
		size_t bytes = (n + VENUS_OUT_SLACK + 15) & ~(size_t)15;

		a->out += bytes;
		p = venus_arena_grow(a, bytes);
	}
	if (!p)
		venus_dec_fatal(d, "wants %llu bytes", (unsigned long long)n);
	return p;
}

/**
 * venus_dec_room() - note how large an array is that the driver fills in
 * @count:	its count in the same struct, of @size bytes; the driver may change it
 *
 * What the driver leaves there is cut down to @n before the reply is written.
 */
static inline void venus_dec_room(struct venus_dec *d, void *count, size_t size, uint64_t n)
{
	struct venus_room *r = venus_dec_alloc(d, 1, sizeof(*r));

	if (unlikely(!r))
		return;
	*r = (struct venus_room){ .next = d->rooms, .count = count, .count_size = size, .n = n };
	d->rooms = r;
}

/* Bytes of the stream that are left. */
static inline size_t venus_dec_left(const struct venus_dec *d)
{
	return (size_t)(d->end - d->p);
}

/* The next bytes in place, @len a multiple of 4; NULL (and d->failed) if fewer are left. */
static inline const uint8_t *venus_dec_take(struct venus_dec *d, size_t len)
{
	if (unlikely(d->failed || len > venus_dec_left(d))) {
		if (!d->failed)
			venus_dec_fatal(d, "ends in the middle");
		return NULL;
	}
	const uint8_t *p = d->p;
	d->p += len;
	return p;
}

static inline uint32_t venus_dec_u32(struct venus_dec *d)
{
	const uint8_t *p = venus_dec_take(d, 4);
	uint32_t v = 0;

	if (likely(p != NULL))
		memcpy(&v, p, 4);
	return v;
}

static inline int32_t venus_dec_i32(struct venus_dec *d)
{
	return (int32_t)venus_dec_u32(d);
}

static inline uint64_t venus_dec_u64(struct venus_dec *d)
{
	const uint8_t *p = venus_dec_take(d, 8);
	uint64_t v = 0;

	if (likely(p != NULL))
		memcpy(&v, p, 8);
	return v;
}

static inline float venus_dec_f32(struct venus_dec *d)
{
	uint32_t u = venus_dec_u32(d);
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static inline double venus_dec_f64(struct venus_dec *d)
{
	uint64_t u = venus_dec_u64(d);
	double f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* 8 and 16-bit scalars travel in four bytes; the upper ones carry no meaning. */
static inline uint8_t venus_dec_u8(struct venus_dec *d)
{
	return (uint8_t)venus_dec_u32(d);
}

static inline uint16_t venus_dec_u16(struct venus_dec *d)
{
	return (uint16_t)venus_dec_u32(d);
}

static inline size_t venus_dec_size(struct venus_dec *d)
{
	return (size_t)venus_dec_u64(d);
}

/**
 * venus_dec_present() - marker in front of a single optional pointee
 *
 * Return: whether the pointee follows; any marker but 0 and 1 is a breach
 */
static inline bool venus_dec_present(struct venus_dec *d)
{
	uint64_t n = venus_dec_u64(d);

	if (unlikely(n > 1))
		venus_dec_fatal(d, "has a pointer marker that is neither 0 nor 1");
	return n == 1 && !d->failed;
}

/* The same where NULL is not allowed. */
static inline bool venus_dec_must(struct venus_dec *d)
{
	bool is_there = venus_dec_present(d);

	if (unlikely(!is_there && !d->failed))
		venus_dec_fatal(d, "lacks a mandatory pointer");
	return is_there;
}

/**
 * venus_dec_count() - number of elements in front of an array
 * @expect:	what the length member or expression says
 * @may_be_null: the array is optional (or noautovalidity): 0 is fine whatever @expect says
 * @min_wire:	fewest bytes an element takes on the wire, 0 where none are sent (partial encoding)
 *
 * Refuses a count that is not @expect, or that the rest of the stream cannot hold, before anything
 * is allocated for it.
 *
 * Return: the count; 0 means a NULL array
 */
static inline uint64_t venus_dec_count(struct venus_dec *d, uint64_t expect, bool may_be_null,
				       size_t min_wire)
{
	uint64_t n = venus_dec_u64(d);

	if (unlikely(d->failed))
		return 0;
	if (unlikely(n != expect && !(n == 0 && may_be_null))) {
		venus_dec_fatal(d, "has an array of a length that its count contradicts");
		return 0;
	}
	if (unlikely(min_wire != 0 && n > venus_dec_left(d) / min_wire)) {
		venus_dec_fatal(d, "has an array that is longer than the stream");
		return 0;
	}
	return n;
}

/* Count of a fixed-size array: exactly @n, always sent. */
static inline void venus_dec_fixed(struct venus_dec *d, uint64_t n)
{
	if (unlikely(venus_dec_u64(d) != n && !d->failed))
		venus_dec_fatal(d, "has a fixed array of another size");
}

/* @n packed elements of @size bytes (1, 4 or 8), padded to four at the end. */
static inline void venus_dec_packed(struct venus_dec *d, void *to, size_t n, size_t size)
{
	size_t bytes = n * size; /* n was checked against the stream */
	const uint8_t *p = venus_dec_take(d, (bytes + 3) & ~(size_t)3);

	if (likely(p != NULL))
		memcpy(to, p, bytes);
}

/**
 * venus_dec_string() - a C string
 *
 * Return: a copy in the arena that ends in NUL whatever the guest sent; NULL if none was sent
 */
const char *venus_dec_string(struct venus_dec *d, bool may_be_null);

/* Array of @n strings, in the arena. */
const char *const *venus_dec_strings(struct venus_dec *d, uint64_t n);

/**
 * venus_dec_blob() - bytes of which the count was just read with venus_dec_count(.., 1)
 *
 * Large ones, which may be more than the arena holds, stay where they are: the stream outlives its
 * commands.
 *
 * Return: a copy in the arena, aligned to 16 bytes; or the bytes in the stream, aligned to 4
 */
void *venus_dec_blob(struct venus_dec *d, uint64_t n);

/* Node of a pNext chain begins: counts it, refuses chains that are too long. */
static inline bool venus_dec_chain_node(struct venus_dec *d)
{
	if (unlikely(++d->chain > VENUS_CHAIN_MAX))
		venus_dec_fatal(d, "has a pNext chain of more than %d structs", VENUS_CHAIN_MAX);
	return !d->failed;
}

/* A struct's own sType must be the one that its place demands. */
static inline void venus_dec_stype(struct venus_dec *d, VkStructureType want)
{
	if (unlikely(venus_dec_i32(d) != (int32_t)want && !d->failed))
		venus_dec_fatal(d, "has a struct of another sType");
}

/* Cold halves of the object primitives. */
struct venus_obj *venus_dec_first_bad(struct venus_dec *d);
struct venus_obj *venus_dec_obj_bad(struct venus_dec *d, uint64_t id, VkObjectType type);

/**
 * venus_dec_obj() - an object the guest names
 *
 * Return: its record, of @type and of the command's device; NULL for id 0; NULL and d->failed for
 *	   anything else
 */
static inline struct venus_obj *venus_dec_obj(struct venus_dec *d, VkObjectType type)
{
	uint64_t id = venus_dec_u64(d);

	if (id == 0)
		return NULL;
	struct venus_obj *o = venus_table_get(d->table, id);
	if (unlikely(!o || o->type != type || (d->dev && o->dev && o->dev != d->dev)))
		return venus_dec_obj_bad(d, id, type);
	if (type == VK_OBJECT_TYPE_COMMAND_POOL || type == VK_OBJECT_TYPE_DESCRIPTOR_POOL ||
	    type == VK_OBJECT_TYPE_QUERY_POOL)
		d->pool = o;
	if (type == VK_OBJECT_TYPE_BUFFER || type == VK_OBJECT_TYPE_IMAGE) {
		d->source = d->resource;
		d->resource = o;
	}
	return o;
}

/* Host handle of an object the guest names; 0 for id 0. */
static inline uint64_t venus_dec_handle(struct venus_dec *d, VkObjectType type)
{
	struct venus_obj *o = venus_dec_obj(d, type);

	return o ? o->handle : 0;
}

/**
 * venus_dec_first() - the dispatchable handle that a command begins with
 *
 * Sets d->dev.  Return: its record; NULL only with d->failed
 */
static inline struct venus_obj *venus_dec_first(struct venus_dec *d, VkObjectType type)
{
	struct venus_obj *o = venus_dec_obj(d, type);

	if (unlikely(!o))
		return venus_dec_first_bad(d);
	/* A device is its own; see the assertion in dev.h. */
	d->dev = type == VK_OBJECT_TYPE_DEVICE ? (struct venus_device *)(void *)o : o->dev;
	return o;
}

/* What there is of something that guests number, see venus_check_range(). */
enum venus_limit {
	VENUS_LIMIT_PUSH_BYTES,
	VENUS_LIMIT_PUSH_DATA,
	VENUS_LIMIT_SETS,
	VENUS_LIMIT_VERTEX_BINDINGS,
	VENUS_LIMIT_VERTEX_ATTRIBUTES,
	VENUS_LIMIT_VIEWPORTS,
	VENUS_LIMIT_COLORS,
	VENUS_LIMIT_XFB_BUFFERS,
	VENUS_LIMITS_OF_DEVICE,
	VENUS_LIMIT_QUERIES = VENUS_LIMITS_OF_DEVICE, /* of the pool that the command names */
};

/**
 * venus_check_range() - [@first, @first + @count) must be within what the device says there is
 *
 * Drivers write to arrays of that size without a check of their own: a release build of Mesa does.
 *
 * Return: whether it is; false with d->failed
 */
bool venus_check_range(struct venus_dec *d, enum venus_limit limit, uint32_t first, uint32_t count);

/**
 * venus_dec_new_id() - the id that the guest chose for an object to be created
 *
 * Whether it is free is found out by venus_obj_reserve().  May be 0 (refused there too).
 */
static inline uint64_t venus_dec_new_id(struct venus_dec *d)
{
	return venus_dec_u64(d);
}

#endif
