/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A renderer context: what one guest VkInstance sees of the host's GPU.  Front ends (vtest, and the
 * renderer process's message loop) call nothing but this header.
 *
 * Threads: unless stated otherwise a function belongs to the one thread that drives the context,
 * "the context thread".  The context has further threads of its own: one for each ring, one for
 * each queue that has fences to wait for, one that watches the others.  Callbacks may come from any
 * of them, and from the context thread while it is inside a call.
 *
 * A guest that breaks the protocol makes its context fatal: submissions are refused with -EPROTO,
 * while fences still retire and destruction still works.
 */
#ifndef PECTEN_VENUS_CTX_H
#define PECTEN_VENUS_CTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"
#include "util/err.h"

struct venus_ctx;
struct venus_probe;

/* Defaults of struct venus_limits. */
#define VENUS_MAX_OBJECTS       (2U << 20)
#define VENUS_MAX_RESOURCES     16384U
#define VENUS_MAX_RINGS         1024U
#define VENUS_MAX_HOST_MEMORIES 4096U
#define VENUS_MAX_SHM_BYTES     (UINT64_C(4) << 30)
#define VENUS_MAX_SCRATCH_BYTES (UINT64_C(4) << 30)
#define VENUS_MAX_KEPT_BYTES    (UINT64_C(1) << 30)
#define VENUS_MAX_FENCES        65536U

/* ring_idx of the CPU timeline, and the first that no queue can have. */
#define VENUS_CPU_TIMELINE 0U
#define VENUS_TIMELINES    64U

/* Largest submission of venus_ctx_submit(), in bytes. */
#define VENUS_MAX_SUBMIT (16U << 20)

/* What a guest may make us hold at a time; 0 stands for the default above. */
struct venus_limits {
	uint32_t objects;       /* Vulkan objects */
	uint32_t resources;     /* blobs */
	uint32_t rings;         /* each has a thread; Mesa has one for each of its guest's */
	uint32_t host_memories; /* host-visible VkDeviceMemory: each holds a descriptor */
	uint64_t host_bytes;    /* of them together; default three quarters of the host's RAM */
	uint64_t shm_bytes;     /* blobs for rings, streams and replies together */
	uint64_t scratch_bytes; /* private copies of commands, what they decode to and answer */
	uint64_t kept_bytes;    /* shaders and caches that drivers keep as the guest sent them */
	uint32_t fences;        /* requested and not yet retired */
};

/* Memory that several contexts share.  Called from any thread. */
struct venus_budget {
	/* Before memory is allocated; may wait.  Return: 0, or -ENOMEM if there is not as much */
	int (*claim)(void *arg, uint64_t bytes);
	/* What was claimed has been freed, or has not come to be. */
	void (*give_back)(void *arg, uint64_t bytes);
	void *arg;
	bool counts_all; /* also memory that guests cannot map */
};

struct venus_ctx_config {
	PFN_vkGetInstanceProcAddr gipa; /* see venus_loader_open() */
	const char *name;               /* of the guest's process, for logs; copied */
	struct venus_limits limits;
	const struct venus_budget *budget; /* lives as long as the context; NULL: none */
	/*
	 * Lets guests map memory that only the driver can map, by handing out the descriptor that
	 * it maps it from: one of the driver's device.  A guest that keeps its mapping after it has
	 * freed the memory sees what the memory is used for next, by whomever.
	 */
	bool maps_driver_memory;
	/*
	 * What venus_probe_run() found, borrowed for the context's life; saves a client the time to
	 * find out.  NULL: found out when the guest first asks for its devices.
	 */
	const struct venus_probe *probe;
	/*
	 * Fence @fence_id of timeline @ring_idx is reached, and so are all requested before it on
	 * that timeline.  Within a timeline in the order of the requests; timelines are independent
	 * and may call at the same time.  Must not call back into the context, must not block.
	 */
	void (*fence_retired)(void *user, uint32_t ring_idx, uint64_t fence_id);
	/* The context has become fatal: called once, from any thread; may be NULL.  Same rules. */
	void (*fatal)(void *user);
	/*
	 * A ring was created whose status word, 4 bytes, lies @off bytes into a blob of kind
	 * VENUS_BLOB_SHM: on the context thread; may be NULL.  For a front end whose peer wants to
	 * tell the guest should this process die.
	 */
	void (*ring_placed)(void *user, uint32_t res_id, uint64_t off);
	void *user;
};

/**
 * venus_loader_open() - load the host's Vulkan loader
 * @gipa:	on success, its vkGetInstanceProcAddr
 * @e:		on failure, a sentence for the user; may be NULL
 *
 * The library stays loaded until the process ends: drivers do not survive being unloaded.
 *
 * Return: 0, or -ENOENT
 */
int venus_loader_open(PFN_vkGetInstanceProcAddr *gipa, struct err *e) MUST_CHECK;

/**
 * venus_ctx_create() - start a context
 * @cfg:	copied; gipa and fence_retired must be set
 *
 * Calling thread becomes the context thread.  Touches no driver yet.
 *
 * Return: 0, -ENOMEM or the -errno of thread creation
 */
int venus_ctx_create(const struct venus_ctx_config *cfg, struct venus_ctx **out) MUST_CHECK;

/**
 * venus_ctx_stop() - make every wait inside the context end soon
 *
 * Any thread, any time between create and destroy; does not wait.  For a front end that learns that
 * its guest is gone while the context thread is inside venus_ctx_submit().  The context is fatal
 * afterwards.
 */
void venus_ctx_stop(struct venus_ctx *ctx);

/* Longest time venus_ctx_destroy() takes. */
#define VENUS_DESTROY_NS UINT64_C(10000000000)

/**
 * venus_ctx_destroy() - stop the rings, wait for the GPU, destroy all objects, retire all fences
 * @ctx:	taken; NULL is fine
 *
 * When it returns 0 no callback is running and none will come.
 *
 * Return: 0; or -ETIMEDOUT when the host's driver does not come back within VENUS_DESTROY_NS:
 *	   the context is leaked, threads are still inside the driver and may still call back, and
 *	   the caller shall end the process with _exit()
 */
int venus_ctx_destroy(struct venus_ctx *ctx);

/* Whether the guest broke the protocol or the device is lost.  Any thread. */
bool venus_ctx_is_fatal(const struct venus_ctx *ctx);

/**
 * venus_ctx_submit() - execute commands on the context level
 * @bytes:	commands, any alignment; private memory, borrowed for the call
 * @len:	bytes, at most VENUS_MAX_SUBMIT
 *
 * Returns when they are executed; blocks in vkWaitRingSeqnoMESA and vkDestroyRingMESA.
 *
 * Return: 0; -EPROTO once the context is fatal; -EINVAL if too long (and fatal afterwards)
 */
int venus_ctx_submit(struct venus_ctx *ctx, const void *bytes, size_t len) MUST_CHECK;

/* As in the virtio-gpu specification and in the vtest protocol. */
#define VENUS_BLOB_MEM_HOST3D   2U
#define VENUS_BLOB_MAPPABLE     1U
#define VENUS_BLOB_SHAREABLE    2U
#define VENUS_BLOB_CROSS_DEVICE 4U

#define VENUS_MAP_NONE     0U
#define VENUS_MAP_CACHED   1U
#define VENUS_MAP_UNCACHED 2U
#define VENUS_MAP_WC       3U

/* What a blob's descriptor is; decides how another context may use it. */
enum venus_blob_kind {
	VENUS_BLOB_SHM,    /* sealed memfd for rings, streams and replies */
	VENUS_BLOB_MEMORY, /* sealed memfd behind a VkDeviceMemory */
	VENUS_BLOB_DMABUF,
	VENUS_BLOB_DRIVER, /* the driver's device: mapped from offset 0, whole or not at all */
};

struct venus_blob {
	enum venus_blob_kind kind;
	int fd;            /* a duplicate that the caller owns */
	uint64_t offset;   /* bytes, where the blob begins in @fd */
	uint64_t size;     /* bytes behind @offset that may be mapped, multiple of the page size */
	uint32_t map_info; /* VENUS_MAP_* */
};

/**
 * venus_ctx_create_blob() - make a resource
 * @res_id:	of the resource to be, chosen by the front end; non-zero
 * @mem:	must be VENUS_BLOB_MEM_HOST3D
 * @flags:	VENUS_BLOB_* bits
 * @blob_id:	0 for shared memory, else the object id of a VkDeviceMemory
 * @size:	bytes; rounded up to the page size
 *
 * Return: 0; -EINVAL for arguments no guest sends; -EEXIST if @res_id is in use; -ENOENT if there
 *is no such memory (its allocation may have failed); -EACCES if it cannot be mapped or was made a
 *resource before; -ENOMEM for a limit; or the -errno of the system
 */
int venus_ctx_create_blob(struct venus_ctx *ctx, uint32_t res_id, uint32_t mem, uint32_t flags,
			  uint64_t blob_id, uint64_t size, struct venus_blob *out) MUST_CHECK;

/**
 * venus_ctx_import_resource() - make another context's blob a resource of this one
 * @blob:	fd is duplicated; its size is checked against the descriptor
 *
 * Return: 0, -EINVAL, -EEXIST, -ENOMEM, or -errno
 */
int venus_ctx_import_resource(struct venus_ctx *ctx, uint32_t res_id,
			      const struct venus_blob *blob) MUST_CHECK;

/**
 * venus_ctx_unref_resource() - forget a resource
 *
 * What still uses it (a ring, a reply stream, a VkDeviceMemory) keeps its memory until it is done.
 *
 * Return: 0, or -ENOENT
 */
int venus_ctx_unref_resource(struct venus_ctx *ctx, uint32_t res_id);

/**
 * venus_ctx_fence() - ask for a callback when everything submitted so far to a timeline is done
 * @ring_idx:	VENUS_CPU_TIMELINE: retires before this call returns.  Otherwise the timeline that
 *		the guest bound to a queue; retires when what was submitted to the queue is done.
 * @fence_id:	handed to fence_retired(), not interpreted
 *
 * Fences of a fatal context, of a lost device and of a queue that is destroyed retire too, in
 *order.
 *
 * Return: 0 (the callback comes, or came); -EINVAL for a timeline no queue is bound to; -ENOMEM
 *	   above the limit of fences
 */
int venus_ctx_fence(struct venus_ctx *ctx, uint32_t ring_idx, uint64_t fence_id) MUST_CHECK;

#define VENUS_CAPSET_ID      4U
#define VENUS_CAPSET_VERSION 0U
#define VENUS_CAPSET_SIZE    160U

/* What we announce (venus.md 6), little endian as on the wire.  Any thread. */
void venus_capset_fill(uint8_t out[VENUS_CAPSET_SIZE]);

/* Since the context began; counted without locks, so members may be some events apart. */
struct venus_counters {
	uint64_t commands;      /* executed, on all levels */
	uint64_t bytes;         /* of commands */
	uint64_t submits;       /* vkQueueSubmit and the like that reached the driver */
	uint64_t replies;       /* written */
	uint64_t ring_wakes;    /* a ring's thread was notified */
	uint64_t ring_idles;    /* a ring's thread went idle */
	uint64_t ring_sleeps;   /* short sleeps while polling */
	uint64_t fences;        /* requested */
	uint64_t fences_folded; /* of them without a submission of their own */
	uint64_t fences_spun;   /* of them found reached while spinning */
	uint32_t rings;         /* now */
	uint32_t objects;       /* now */
	uint32_t resources;     /* now */
	uint32_t host_memories; /* now */
	uint64_t host_bytes;    /* of host-visible memory, now */
	uint64_t shm_bytes;     /* now */
};

/* Any thread. */
void venus_ctx_counters(struct venus_ctx *ctx, struct venus_counters *out);

#endif
