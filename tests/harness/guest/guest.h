/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that speaks Venus by hand, for tests and fuzz targets: a context on the null driver,
 * bytes of commands put together one by one, rings and reply streams in shared memory.  It has no
 * manners of its own: whatever a test writes is sent.
 *
 * One thread uses a guest.  Commands are put together in guest->out by the guest_put_ and
 * guest_cmd_ functions, then sent by guest_submit() (context level) or guest_ring_send().
 */
#ifndef PECTEN_GUEST_H
#define PECTEN_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "host/thread.h"
#include "util/compiler.h"
#include "venus/ctx.h"

#define GUEST_PATIENCE   UINT64_C(120000000000) /* ns; only a hang takes that long */
#define GUEST_OUT_BYTES  (256U << 10)
#define GUEST_RING_BYTES (64U << 10)
#define GUEST_REPLY      1U /* flag of a command: answer */

/* Where a ring's fields lie in its memory, as Mesa has it. */
#define GUEST_RING_HEAD   0U
#define GUEST_RING_TAIL   64U
#define GUEST_RING_STATUS 128U
#define GUEST_RING_BUFFER 192U
#define GUEST_RING_EXTRA  (GUEST_RING_BUFFER + GUEST_RING_BYTES)

#define GUEST_STATUS_IDLE  1U
#define GUEST_STATUS_FATAL 2U
#define GUEST_STATUS_ALIVE 4U

/* Ids of the objects that guest_prologue() makes. */
enum {
	ID_INSTANCE = 1,
	ID_PHYS0,
	ID_PHYS1,
	ID_DEVICE, /* with every extension that brings functions */
	ID_QUEUE,  /* timeline 1 */
	ID_CMD_POOL,
	ID_CMDBUF,
	ID_CMDBUF2,
	ID_MEM_HOST,
	ID_MEM_LOCAL,
	ID_BUFFER,
	ID_IMAGE,
	ID_IMAGE_VIEW,
	ID_SAMPLER,
	ID_SET_LAYOUT,
	ID_DESC_POOL,
	ID_DESC_SET,
	ID_PIPE_LAYOUT,
	ID_SHADER,
	ID_PIPELINE,
	ID_FENCE,
	ID_SEMAPHORE,
	ID_TIMELINE,
	ID_EVENT,
	ID_QUERY_POOL,
	ID_RENDER_PASS,
	ID_BUFFER_VIEW,
	ID_CACHE,
	ID_DEVICE2, /* on the second physical device, with one buffer and no queue that was fetched
		     */
	ID_BUFFER2,
	ID_FREE, /* the first that nothing has */
};

/* Resources of guest_prologue(). */
enum { RES_RING = 1, RES_REPLY, RES_STREAM, RES_MEM, RES_FREE };

/* Shared memory of a resource, mapped by the guest. */
struct guest_shm {
	uint8_t *map;
	uint64_t size;
};

struct guest {
	struct venus_ctx *ctx;
	uint8_t *out;
	size_t len;
	bool is_full; /* out was too small */

	_Atomic uint32_t retired; /* fences */
	_Atomic uint64_t last_retired;
	_Atomic uint32_t fatals; /* calls of the callback */
};

struct guest_ring {
	struct guest_shm shm;
	uint64_t id;
	uint32_t tail;
};

/**
 * guest_open() - start a context on the null driver
 * @limits:	NULL for the defaults
 *
 * Return: 0 or what venus_ctx_create() returned
 */
int guest_open(struct guest *g, const struct venus_limits *limits) MUST_CHECK;

/* The same for a guest that may map what only the driver can map. */
int guest_open_trusted(struct guest *g, const struct venus_limits *limits) MUST_CHECK;

/* Such a guest on devices that have been examined before; @probe: borrowed until guest_close(). */
int guest_open_known(struct guest *g, const struct venus_probe *probe) MUST_CHECK;

/* Ends it; what venus_ctx_destroy() returns.  Shared memory stays mapped: see guest_shm_drop(). */
int guest_close(struct guest *g);

/* ---- bytes ---- */

void guest_put_bytes(struct guest *g, const void *bytes, size_t len); /* padded to four */
void guest_put_u32(struct guest *g, uint32_t v);
void guest_put_u64(struct guest *g, uint64_t v);
void guest_put_string(struct guest *g, const char *s);
/* Begins a command: number and flags. */
void guest_put_cmd(struct guest *g, int32_t number, uint32_t flags);
/* A struct behind a pointer: marker, sType, empty chain. */
void guest_put_struct(struct guest *g, int32_t stype);
/* NULL allocator, then one new object. */
void guest_put_new(struct guest *g, uint64_t id);
/* An array of ids with its count in front. */
void guest_put_ids(struct guest *g, uint32_t n, const uint64_t *ids);

/* Forgets what was put together. */
void guest_drop(struct guest *g);

/* ---- sending ---- */

/* Sends all that was put together on the context level. */
int guest_submit(struct guest *g);

/* Makes shared memory a resource of the context and maps it. */
int guest_shm_new(struct guest *g, uint32_t res, uint64_t size, struct guest_shm *shm) MUST_CHECK;
void guest_shm_drop(struct guest_shm *shm);

/* Creates a ring in @res, which it makes; ring memory is laid out as GUEST_RING_ says. */
int guest_ring_open(struct guest *g, struct guest_ring *r, uint64_t id, uint32_t res) MUST_CHECK;

/* Puts together vkCreateRingMESA for the usual layout, for tests that change it. */
void guest_cmd_create_ring(struct guest *g, uint64_t id, uint32_t res);

/**
 * guest_ring_send() - write all that was put together to a ring, wake it
 *
 * More than the ring's buffer is cut off.
 */
void guest_ring_send(struct guest *g, struct guest_ring *r);

/* Waits for the ring to pass all that was sent; false if it turned fatal or time ran out. */
bool guest_ring_wait(const struct guest_ring *r, uint64_t timeout_ns);

/* Waits until something holds that another thread brings about; false if it never did. */
#define GUEST_AWAIT(what)                                                                          \
	({                                                                                         \
		uint64_t until_ = clock_now_ns() + GUEST_PATIENCE;                                 \
		bool holds_;                                                                       \
                                                                                                   \
		while (!(holds_ = (what)) && clock_now_ns() < until_)                              \
			(void)usleep(1000);                                                        \
		holds_;                                                                            \
	})

uint32_t guest_ring_load(const struct guest_ring *r, uint32_t offset);
void guest_ring_store(const struct guest_ring *r, uint32_t offset, uint32_t v);

/* ---- commands that many tests need ---- */

void guest_cmd_instance(struct guest *g, uint64_t id);
void guest_cmd_physdevs(struct guest *g, uint64_t instance, uint64_t first, uint32_t n);
void guest_cmd_device(struct guest *g, uint64_t phys, uint64_t id, uint32_t queues);
void guest_cmd_queue(struct guest *g, uint64_t dev, uint64_t id, uint32_t index, uint32_t timeline);
void guest_cmd_buffer(struct guest *g, uint64_t dev, uint64_t id, uint64_t size);
void guest_cmd_buffer_of(struct guest *g, uint64_t dev, uint64_t id, uint64_t size, uint32_t usage);
void guest_cmd_memory(struct guest *g, uint64_t dev, uint64_t id, uint64_t size, uint32_t type);
void guest_cmd_fence(struct guest *g, uint64_t dev, uint64_t id);
void guest_cmd_cmd_pool(struct guest *g, uint64_t dev, uint64_t id);
void guest_cmd_cmdbufs(struct guest *g, uint64_t dev, uint64_t pool, uint32_t n,
		       const uint64_t *ids);
void guest_cmd_desc_pool(struct guest *g, uint64_t dev, uint64_t id);
void guest_cmd_desc_sets(struct guest *g, uint64_t dev, uint64_t pool, uint64_t layout, uint32_t n,
			 const uint64_t *ids);
/* Any vkDestroyX(device, x, NULL). */
void guest_cmd_destroy(struct guest *g, int32_t number, uint64_t dev, uint64_t id);
void guest_cmd_submit_one(struct guest *g, uint64_t queue, uint64_t cmdbuf, uint64_t fence);
void guest_cmd_reply_stream(struct guest *g, uint32_t res, uint64_t offset, uint64_t size);
/* vkCopyImageToMemoryMESA of one row of @width texels into @size bytes. */
void guest_cmd_copy_image(struct guest *g, uint64_t image, uint32_t flags, uint32_t level,
			  uint32_t width, uint64_t size);
/* vkExecuteCommandStreamsMESA with one stream. */
void guest_cmd_execute(struct guest *g, uint32_t res, uint64_t offset, uint64_t size);

/**
 * guest_prologue() - everything a fuzzed command may want to name, and RES_MEM, RES_REPLY,
 * RES_STREAM
 * @reply:	on success, the memory of RES_REPLY, chosen as the context level's reply stream
 * @stream:	the memory of RES_STREAM
 *
 * Return: 0, or what went wrong
 */
int guest_prologue(struct guest *g, struct guest_shm *reply, struct guest_shm *stream);

#endif
