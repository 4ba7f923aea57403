/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU of a machine: the device and its way to the broker that starts renderers for it. */
#ifndef PECTEN_VMM_GPU_UNIT_H
#define PECTEN_VMM_GPU_UNIT_H

#include <stdint.h>

#include "util/err.h"

struct gpu_unit;
struct loop;
struct virtio_dev;
struct vm_config;
struct window;

/* Bytes of address space for a machine's blobs: a power of two, with room between them. */
uint64_t gpu_unit_window(const struct vm_config *c);

/**
 * gpu_unit_create() - the device that the configuration asks for
 * @c:		its ->gpu_fd is taken
 * @w:		borrowed; NULL if the engine has none
 * @loop:	borrowed; gets a thread of its own
 *
 * Return: 0 or -errno with a sentence
 */
int gpu_unit_create(struct vm_config *c, struct window *w, struct loop *loop, struct gpu_unit **out,
		    struct err *e) MUST_CHECK;

/* NULL is fine. */
void gpu_unit_destroy(void *unit);

struct virtio_dev *gpu_unit_dev(struct gpu_unit *u);

#endif
