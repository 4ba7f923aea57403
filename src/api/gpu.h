/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a machine's GPU: is there any, and who starts its renderers. */
#ifndef PECTEN_API_GPU_H
#define PECTEN_API_GPU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

#define GPU_CONTEXTS 64 /* Vulkan instances in a guest at a time */

struct gpu_spec {
	const char *name;   /* of the machine if its user gave it one, else NULL: for a cache */
	uint64_t memory;    /* bytes that the guest may have */
	bool counts_all;    /* of them: also what it cannot map */
	bool maps_driver;   /* it may map what only the driver can map */
	unsigned log_level; /* of renderers */
	bool must_work;     /* wait until a driver is loaded, or fail */
};

/* Whether a Vulkan driver is installed here; a look at files, nothing is loaded. */
bool gpu_is_likely(void);

/** gpu_default_memory() - Return: bytes that a guest may have if nobody says otherwise */
uint64_t gpu_default_memory(void);

/**
 * gpu_start() - start the process that starts renderers
 * @sock:	on success a socket for the VM process, which the caller owns
 * @pid:	receives the process; it ends when the VM process has gone
 *
 * Return: 0 or -errno with a sentence
 */
int gpu_start(const struct gpu_spec *spec, int *sock, pid_t *pid, struct err *e) MUST_CHECK;

#endif
