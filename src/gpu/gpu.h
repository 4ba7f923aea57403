/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-gpu (virtio 1.2, 5.7) without screens: a render node whose one capability set is Venus.
 *
 * Each context of the guest has a renderer process of its own, reached through a socket
 * (render/ctx_msg.h); a process that dies takes its context along and nothing else.  Nothing on
 * the device's thread waits for a renderer or for the window: commands of a context queue behind
 * each other, those of others overtake them, and chains go back when their answer is known.
 *
 * The device has queues, config and one shared-memory region, GPU_SHM_HOST_VISIBLE, like any
 * virtio_dev; who plugs it in sets ->shm[].gpa.  It has to have a loop with a thread of its own.
 */
#ifndef PECTEN_GPU_GPU_H
#define PECTEN_GPU_GPU_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

struct gpu;
struct loop;
struct virtio_dev;
struct window;

#define GPU_SHM_HOST_VISIBLE 1 /* id of the window among the device's regions */

/* What a guest may make us hold at a time; 0 stands for the default. */
struct gpu_limits {
	uint64_t memory;    /* bytes of blobs of all contexts together */
	uint32_t contexts;  /* each has a process */
	uint32_t resources; /* of all contexts together */
};

#define GPU_MAX_CONTEXTS  64U
#define GPU_MAX_RESOURCES 16384U
#define GPU_MAX_MEMORY    (UINT64_C(4) << 30)

struct gpu_config {
	uint32_t capset_id;
	uint32_t capset_size;  /* bytes */
	const void *capset;    /* borrowed */
	struct window *window; /* borrowed; NULL: the guest cannot map anything */
	struct gpu_limits limits;
	bool maps_driver_memory; /* the guest may map what only the driver's device file shows */
	/*
	 * Starts a renderer and yields a socket to it (SOCK_SEQPACKET, non-blocking), which the
	 * device owns.  On the device's thread; does not wait for the process.
	 * Return: 0, or -errno
	 */
	int (*connect)(void *arg, int *sock);
	void *arg; /* borrowed */
};

/** gpu_create() - Return: 0 or -ENOMEM, or -errno of the host's descriptors; @loop is borrowed */
int gpu_create(const struct gpu_config *cfg, struct loop *loop, struct gpu **out) MUST_CHECK;

/* The transport does not call any more; NULL is fine. */
void gpu_destroy(struct gpu *g);

struct virtio_dev *gpu_dev(struct gpu *g);

#endif
