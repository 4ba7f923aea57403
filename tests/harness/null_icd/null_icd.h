/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Vulkan driver that computes nothing, for tests and fuzz targets of the renderer.
 *
 * It tracks every object it hands out, reads every byte of every input it is given (so that
 * AddressSanitizer sees an array that is shorter than its count), fills every output, and calls
 * abort() with a sentence when it is given what a renderer must have refused: something that is not
 * a handle, a destroyed object, one of another type or of another device, a destroyed pool's
 * member, a memory type that does not exist.  Null handles are let pass where the renderer makes no
 * promise about them.
 *
 * Work is not carried out, except that fills, updates and copies of buffers in host-visible memory
 * really write (when submitted), so that a test can see memory shared.  Fences and semaphores are
 * signalled when submitted, or later, see struct null_control.
 *
 * Physical device 0 looks like a discrete GPU: three memory types, NULL_TYPE_*.  Physical device 1
 * has one type of memory that is everything, as a software driver has.
 *
 * The driver is one per process: Vulkan's entry points have no place for a context.  All functions
 * here may be called from any thread.
 */
#ifndef PECTEN_NULL_ICD_H
#define PECTEN_NULL_ICD_H

#include <stdbool.h>
#include <stdint.h>

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"

#define NULL_TYPE_LOCAL  0 /* DEVICE_LOCAL */
#define NULL_TYPE_HOST   1 /* HOST_VISIBLE, COHERENT, CACHED; pointers can be imported into it */
#define NULL_TYPE_BAR    2 /* DEVICE_LOCAL, HOST_VISIBLE, COHERENT; nothing can be imported */
#define NULL_PAGE        4096
#define NULL_HEAP_BYTES  (UINT64_C(1) << 30)
#define NULL_DEVICE_NAME "pecten null device"

/* What the driver does wrong, on purpose.  Zero: nothing. */
struct null_control {
	uint32_t lose_after;  /* this many submissions work, from then on the device is lost */
	uint32_t oom_at;      /* the Nth object created from now on fails: out of memory */
	uint64_t work_ns;     /* submitted work takes this long; UINT64_MAX: it never ends */
	uint64_t wait_cap_ns; /* waits for fences and semaphores time out after this; 0: as asked */
	const char *hang;     /* a command that does not return before null_release() */
	const char *hide;     /* extensions that are not offered, separated by blanks */
	bool has_dmabuf;      /* memory can be exported as dma-buf (in truth: a memfd) */
	bool has_sync_fd;     /* fences and semaphores know SYNC_FD */
	bool has_few_extensions; /* only those with functions: listing the others takes time */
	bool counts_more;        /* counts in output structs go beyond the arrays beside them */
	bool is_stale_ok; /* destroyed objects are tolerated, for tests that race on purpose */
	/* Hears of a breach in place of abort(); the call that committed it then does nothing. */
	void (*complain)(const char *sentence);
};

/* Entry of the driver for callers that are linked with it. */
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_get_instance_proc_addr(VkInstance instance,
								     const char *name);

/**
 * null_control() - choose how the driver misbehaves from now on
 * @c:	copied, strings included (at most 255 bytes each); NULL: not at all
 *
 * Starts the counts of lose_after and oom_at anew, also for devices that exist.  A program that is
 * given the driver by the loader has PECTEN_NULL_ICD in its environment instead, for example
 * "lose_after=3,hang=vkQueueSubmit,hide=VK_EXT_external_memory_host".
 */
void null_control(const struct null_control *c);

/* Lets calls that hang return; new ones do not hang before the next null_control(). */
void null_release(void);

/* How often @cmd (any of its names) was called since null_forget(); 0 if the driver lacks it. */
uint64_t null_calls(const char *cmd);

/* Calls of all commands together. */
uint64_t null_calls_total(void);

/* Sets all counts of calls to 0. */
void null_forget(void);

/* Objects alive now; VK_OBJECT_TYPE_UNKNOWN stands for all types. */
uint32_t null_alive(VkObjectType type);

#endif
