/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the renderer share: the context and the things it holds.  Not for front ends,
 * see ctx.h.
 *
 * Locks, in the order in which they are taken: ctx->ring_lock; queue->lock; queue->fence_lock;
 * dev->lock; table->lock.  ctx->res_lock, ctx->mem_lock and ctx->bind_lock are leaves.  None is
 * held across a callback or a wait; queue->lock is held across the driver's submit functions,
 * because Vulkan demands that, and ctx->copy_lock, taken before all others, across its copies.
 */
#ifndef PECTEN_VENUS_CORE_H
#define PECTEN_VENUS_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"
#include "util/list.h"
#include "venus/ctx.h"
#include "venus/dec.h"
#include "venus/dev.h"
#include "venus/probe.h"
#include "venus/venus_gen.h"

/* Devices of a context: each may cost as much as the driver likes.  Timelines are no more. */
#define VENUS_MAX_DEVICES VENUS_TIMELINES

/* A wait inside the driver takes at most this long, then asks whether the context still lives. */
#define VENUS_SLICE_NS UINT64_C(100000000)

/* We speak Vulkan up to 1.4, whatever the host offers (venus.md 7). */
#define VENUS_API_MAX VK_API_VERSION_1_4
#define VENUS_API_MIN VK_API_VERSION_1_1

/* Numbers of the protocol's own extensions. */
#define VENUS_EXT_SERIALIZATION 384U
#define VENUS_EXT_PROTOCOL      385U

/* ---- resources ---- */

struct venus_res {
	_Atomic uint32_t refs;
	uint32_t id;
	enum venus_blob_kind kind;
	uint64_t size;   /* bytes */
	uint64_t offset; /* bytes into fd */
	int fd;
	uint8_t *map;                  /* of VENUS_BLOB_SHM only */
	struct venus_ctx *ctx;         /* for the books */
	struct venus_backing *backing; /* of a VkDeviceMemory of ours; holds a reference */
	struct list node;              /* in ctx->res, under ctx->res_lock */
};

#define VENUS_RES_BUCKETS 1024U

/* What the guest calls @id: a reference, or NULL. */
struct venus_res *venus_res_get(struct venus_ctx *ctx, uint32_t id);
void venus_res_put(struct venus_res *res); /* NULL is fine */
void venus_res_fini_all(struct venus_ctx *ctx);

/* ---- memory ---- */

/* What guests map of a VkDeviceMemory; lives until memory and resource are both gone. */
struct venus_backing {
	_Atomic uint32_t refs;
	int fd;           /* a sealed memfd; strategy C: the driver's device */
	void *map;        /* of the memfd */
	uint64_t size;    /* bytes */
	uint64_t charged; /* bytes of host memory */
	struct venus_ctx *ctx;
};

void venus_backing_put(struct venus_backing *b);

struct venus_memory {
	struct venus_obj obj;
	uint64_t size; /* bytes, as the guest asked */
	uint32_t type;
	enum venus_strategy strategy;
	uint64_t claimed;              /* bytes, of the budget; those of a backing are its own */
	bool is_exportable;            /* strategy A, or the guest asked for it */
	struct venus_backing *backing; /* strategies B and C; under ctx->mem_lock */
	bool is_exported;              /* was made a resource; under ctx->mem_lock */
	bool is_freed;                 /* under ctx->mem_lock */
};

/* Makes the resource of a VkDeviceMemory; see venus_ctx_create_blob(). */
int venus_memory_export(struct venus_ctx *ctx, uint64_t mem_id, uint64_t size,
			struct venus_res *res, uint32_t *map_info) MUST_CHECK;

/* Its resource came to nothing: the memory may be made one again.  Harmless if it is gone. */
void venus_memory_unexport(struct venus_ctx *ctx, uint64_t mem_id);

/* Frees a memory's host object and its share of the backing. */
void venus_memory_release(struct venus_ctx *ctx, struct venus_device *dev,
			  struct venus_memory *mem);

/* ---- buffers, images, queries: what is to be known of them later ---- */

struct venus_buffer {
	struct venus_obj obj;
	bool is_feedback; /* Mesa's own, see buffer.c */
};

struct venus_image {
	struct venus_obj obj;
	VkFormat format;
	VkExtent3D extent; /* of the first mip level */
	uint32_t levels;
	uint32_t layers;
};

struct venus_query_pool {
	struct venus_obj obj;
	uint32_t count; /* queries */
};

/* ---- physical devices ---- */

struct venus_physdev {
	struct venus_obj
		obj; /* published under the id that the guest chose; owned by the context */
	VkPhysicalDevice vk;
	bool has_id;
	uint32_t host_api;
	uint32_t api; /* as guests see it */
	VkPhysicalDeviceProperties props;
	VkPhysicalDeviceMemoryProperties host_mem;
	VkPhysicalDeviceMemoryProperties mem; /* as guests see it */
	enum venus_strategy strategy[VK_MAX_MEMORY_TYPES];
	const char *why[VK_MAX_MEMORY_TYPES];
	uint32_t limit[VENUS_LIMITS_OF_DEVICE];
	VkExtent2D sample_grid; /* largest of VkSampleLocationsInfoEXT */
	uint64_t import_align;  /* bytes; strategy B */
	uint64_t map_align;     /* bytes; strategy C, 0 if no type has it */
	bool has_host_import;   /* VK_EXT_external_memory_host works */
	bool has_dmabuf;        /* dma-bufs can be exported and imported */
	bool has_ext_mem_fd;
	bool emulates_sync_fd;
	uint32_t families_count;
	VkQueueFamilyProperties *families;
	uint32_t exts_count;
	VkExtensionProperties *exts; /* offered to guests */
	char driver[VK_MAX_DRIVER_NAME_SIZE];
	char driver_info[VK_MAX_DRIVER_INFO_SIZE];
};

/* The instance's part: independent of a context, so that the probe uses the very same code. */
struct venus_host {
	PFN_vkGetInstanceProcAddr gipa;
	VkInstance vk;
	struct venus_vki vki;
	const struct venus_probe *hint; /* what is known already; NULL: nothing */
	bool maps_driver_memory;        /* strategy C is allowed */
	bool is_enumerated;
	uint32_t count;
	struct venus_physdev *physdev[VENUS_MAX_PHYSDEVS];
};

uint32_t venus_guest_version(PFN_vkGetInstanceProcAddr gipa); /* as guests see it */
uint32_t venus_host_version(PFN_vkGetInstanceProcAddr gipa);
VkResult venus_host_open(struct venus_host *h, PFN_vkGetInstanceProcAddr gipa,
			 const VkApplicationInfo *app);
VkResult venus_host_enumerate(struct venus_host *h);
void venus_host_close(struct venus_host *h);

/* memprobe.c: fills in strategy, why, mem and what goes with them. */
void venus_physdev_probe_memory(struct venus_host *h, struct venus_physdev *p,
				const VkExtensionProperties *host_exts, uint32_t count);
bool venus_ext_listed(const VkExtensionProperties *exts, uint32_t count, const char *name);
const VkExtensionProperties *venus_physdev_offers(const struct venus_physdev *p, const char *name);

/* ---- devices, pools and queues ---- */

struct venus_pool {
	struct venus_obj obj;
	struct list members; /* under dev->lock */
};

/* A VkFence of ours that tells when what was submitted to a queue so far is done. */
struct venus_sync {
	struct list node; /* in queue->free or queue->loose */
	VkFence fence;
	uint32_t refs;   /* under queue->fence_lock */
	bool is_reached; /* under queue->fence_lock */
	bool is_lost;    /* submission failed: counts as reached; under queue->fence_lock */
};

struct venus_fence_req {
	struct list node;
	uint64_t id;
	struct venus_sync *sync; /* NULL: nothing to wait for but those before it */
};

struct venus_queue {
	struct venus_obj obj;
	struct venus_ctx *ctx;
	VkQueue vk;
	struct mutex lock; /* submissions: externally synchronised in Vulkan */
	uint32_t ring_idx;
	bool is_slow; /* the last wait was longer than is worth spinning; fence thread only */

	/* Requests ever made; counted up under fence_lock, watched by the fence thread without it.
	 */
	_Atomic uint32_t asked;

	struct mutex fence_lock;
	/* All below: under fence_lock. */
	struct cond fence_cond;
	struct list requests; /* struct venus_fence_req, oldest first */
	struct list spare;    /* struct venus_sync, reset */
	struct list loose;    /* struct venus_sync nobody asked about, perhaps not reached yet */
	uint32_t syncs;
	struct venus_sync *last; /* covers all submissions so far; NULL if none does */
	bool is_idle;            /* nothing was ever submitted, or all of it is known to be done */
	bool folds;              /* attach fences to the guest's submissions */
	bool last_was_folded;    /* last came with a submission, and nobody asked yet */
	uint32_t fold_misses;    /* attached fences that nobody asked about, in a row */
	bool has_thread;
	bool stop;
	bool is_gone; /* written under both locks */
	pthread_t thread;
};

/* On a zeroed record; undone by venus_obj_free(). */
void venus_queue_init(struct venus_queue *q, struct venus_ctx *ctx, uint32_t ring_idx);
void venus_queue_fini(struct venus_queue *q);
/* See venus_ctx_fence().  Context thread, a busy reader. */
int venus_queue_fence(struct venus_queue *q, uint64_t fence_id) MUST_CHECK;
/* The fence thread shall end; does not wait for it. */
void venus_queue_stop(struct venus_queue *q);
void venus_queue_finish(struct venus_queue *q);

/**
 * venus_queue_lock() - take a queue's lock, to submit
 *
 * Return: false, and the lock is not held, if the queue's device is being destroyed
 */
bool venus_queue_lock(struct venus_queue *q) TRY_ACQUIRE(true, &q->lock) MUST_CHECK;

/**
 * venus_queue_begin() - before the guest submits something
 * @fence:	in: the guest's fence; out: the one to submit with, perhaps ours
 *
 * The caller holds q->lock until after venus_queue_end().
 *
 * Return: our fence, for venus_queue_end(); NULL if it is the guest's
 */
struct venus_sync *venus_queue_begin(struct venus_queue *q, VkFence *fence);
void venus_queue_end(struct venus_queue *q, struct venus_sync *s, VkResult r);

/* Removes a pool's members from the table; @for_good: it takes no more of them. */
void venus_pool_empty(struct venus_ctx *ctx, struct venus_pool *pool, bool for_good);
/* Destroys all that a device owns. */
void venus_device_empty(struct venus_ctx *ctx, struct venus_device *dev);

/* Handles are pointers or numbers; records keep them as numbers. */
#define venus_handle_of(vk)      ((uint64_t)(uintptr_t)(vk))
#define venus_handle_to(type, n) ((type)(uintptr_t)(n))

static inline VkDevice venus_device_vk(const struct venus_device *dev)
{
	return venus_handle_to(VkDevice, dev->obj.handle);
}

/* Destroys a device and all below it; the caller has removed it from the table. */
void venus_device_finish(struct venus_ctx *ctx, struct venus_device *dev);
/* Frees a record, of any type, that was removed from the table. */
void venus_obj_free(struct venus_obj *o);

/* ---- rings ---- */

struct venus_ring {
	struct list node; /* in ctx->rings, under ctx->ring_lock */
	uint64_t id;
	struct venus_ctx *ctx;
	struct venus_res *res; /* holds a reference */
	/* In memory that the guest writes too. */
	_Atomic uint32_t *head;
	_Atomic uint32_t *tail;
	_Atomic uint32_t *status;
	const uint8_t *buffer;
	uint8_t *extra;
	size_t extra_size;
	uint32_t buffer_size;
	uint8_t *copy;        /* pending bytes, private and linear */
	uint32_t copy_size;   /* bytes, of the context's books */
	uint64_t idle_ns;     /* without work before the thread sleeps */
	uint64_t monitor_ns;  /* 0: not monitored */
	int priority;         /* nice value */
	_Atomic uint32_t pos; /* what head was set to; never read back from the guest's memory */
	_Atomic uint32_t watchers; /* somebody waits for pos */
	_Atomic uint64_t vq_seqno; /* see vkSubmitVirtqueueSeqnoMESA */
	_Atomic bool stop;
	_Atomic bool has_ended; /* the thread touches nothing any more */
	struct mutex lock;
	struct cond cond; /* notified, vq_seqno raised, stop; and pos or has_ended changed */
	bool is_notified; /* under lock */
	bool has_thread;
	pthread_t thread;
	struct venus_dec dec;
	/* The watchdog's notes. */
	uint64_t seen_commands;
	uint64_t stuck_ns;
	uint64_t warn_ns;
};

void venus_ring_notify(struct venus_ring *r);
struct venus_ring *venus_ring_find(struct venus_ctx *ctx, uint64_t id);
void venus_ring_stop_all(struct venus_ctx *ctx);
void venus_ring_join_all(struct venus_ctx *ctx);
void venus_ring_fatal_all(struct venus_ctx *ctx);

int venus_monitor_start(struct venus_ctx *ctx) MUST_CHECK;
void venus_monitor_stop(struct venus_ctx *ctx);

/* How long to wait in which way; chosen once, see poll.c. */
struct venus_poll_policy {
	uint64_t spin_ns;      /* before letting others run */
	uint64_t sleep_max_ns; /* longest sleep between two looks */
	uint64_t awake_ns; /* a ring without work stays awake so long, if the guest allows less */
	uint64_t fence_spin_ns; /* how long to look at a fence before waiting inside the driver */
	uint64_t linger_ns;     /* how long a thread without work looks for some before it sleeps */
};

/* For the CPUs that the calling thread may use. */
const struct venus_poll_policy *venus_poll_policy(void);

/* A wait for memory to change. */
struct venus_poll {
	const struct venus_poll_policy *policy;
	uint64_t since_ns; /* start of the wait; 0: not looked at the clock yet */
	uint32_t step;
};

enum venus_poll_did { VENUS_POLL_SPUN, VENUS_POLL_YIELDED, VENUS_POLL_SLEPT };

static inline void venus_poll_reset(struct venus_poll *p)
{
	p->step = 0;
	p->since_ns = 0;
}

/* Waits for a moment, longer from call to call.  The caller looks at its condition in between. */
enum venus_poll_did venus_poll_wait(struct venus_poll *p);

static inline void venus_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- the context ---- */

struct venus_ctx {
	char name[64];
	struct venus_limits limits;
	const struct venus_budget *budget; /* or NULL */
	void (*fence_retired)(void *user, uint32_t ring_idx, uint64_t fence_id);
	void (*on_fatal)(void *user);
	void (*ring_placed)(void *user, uint32_t res_id, uint64_t off);
	void *user;

	const struct venus_poll_policy *policy;
	struct venus_table *table;
	struct venus_dec dec; /* of the context thread */
	_Atomic bool is_fatal;
	_Atomic bool stop;

	struct venus_host host;
	struct mutex inst_lock; /* creation of the instance and enumeration */

	struct mutex ring_lock;
	struct cond ring_cond; /* the monitor's */
	struct list rings;
	uint32_t rings_count;
	struct venus_dec_stats past; /* of rings that are gone; under ring_lock */
	bool has_monitor;
	bool monitor_stop; /* under ring_lock */
	pthread_t monitor;

	struct mutex res_lock;
	struct list res[VENUS_RES_BUCKETS];
	uint32_t res_count;
	uint64_t shm_bytes;

	struct mutex mem_lock;
	uint32_t host_memories;
	uint64_t host_bytes;

	struct mutex copy_lock; /* one copy by the CPU at a time, see hostcopy.c */

	struct mutex bind_lock;
	struct venus_queue *timeline[VENUS_TIMELINES];

	_Atomic uint64_t scratch_bytes; /* see struct venus_limits */
	_Atomic uint64_t kept_bytes;    /* likewise; see venus_obj_weigh() */
	_Atomic uint32_t devices;       /* that live, or are being created */
	_Atomic uint64_t submits;
	_Atomic uint64_t fences;
	_Atomic uint64_t fences_folded;
	_Atomic uint64_t fences_spun;
	_Atomic uint32_t fences_pending;
};

static inline bool venus_is_fatal(const struct venus_ctx *ctx)
{
	return atomic_load_explicit(&ctx->is_fatal, memory_order_relaxed);
}

/* Return: true for the caller that made it fatal. */
bool venus_ctx_set_fatal(struct venus_ctx *ctx);
void venus_fence_done(struct venus_ctx *ctx, uint32_t ring_idx, uint64_t fence_id);

static inline bool venus_ctx_stops(const struct venus_ctx *ctx)
{
	return atomic_load_explicit(&ctx->stop, memory_order_relaxed);
}

/* Whether a wait on behalf of the decoder's guest is to go on. */
static inline bool venus_dec_stops(const struct venus_dec *d)
{
	return venus_ctx_stops(d->ctx) ||
	       (d->ring && atomic_load_explicit(&d->ring->stop, memory_order_relaxed));
}

/* ---- decoders ---- */

/* Books memory that guests cannot see; false above the limit. */
bool venus_scratch_claim(struct venus_ctx *ctx, uint64_t bytes) MUST_CHECK;
void venus_scratch_give_back(struct venus_ctx *ctx, uint64_t bytes);

void venus_arena_reset(struct venus_arena *a);
void venus_arena_fini(struct venus_arena *a);
/* Frees the private copy of the stream that was executed. */
void venus_stream_drop(struct venus_dec *d);
void venus_dec_init(struct venus_dec *d, struct venus_ctx *ctx, struct venus_ring *ring);
void venus_dec_fini(struct venus_dec *d);
/* Executes the command at d->p.  Return: false once the context is fatal. */
bool venus_dec_one(struct venus_dec *d);
/* Executes commands to the end.  The bytes are private memory. */
bool venus_dec_all(struct venus_dec *d, const void *bytes, size_t len);

/* pNext chains of decoded structs; they are in the arena and ours to change. */
void *venus_chain_find(const void *root, VkStructureType type);
/* Takes all nodes of a type out of the chain behind @root. */
void venus_chain_drop(void *root, VkStructureType type);
void venus_chain_push(void *root, void *node);

#endif
