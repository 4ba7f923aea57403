/* SPDX-License-Identifier: Apache-2.0 */
/* The guest kernel's bytes, wherever they come from. */
#ifndef PECTEN_VMM_IMAGE_H
#define PECTEN_VMM_IMAGE_H

#include "util/err.h"
#include "vmm/machine.h"

struct vm_config;

struct image {
	void *krunfw; /* dlopen() handle, or NULL */
	void *kernel_map;
	size_t kernel_len;
	void *initrd_map;
	size_t initrd_len;
};

/**
 * image_open() - find the kernel that the configuration names
 * @k:		out: ->img to ->initrd_len; valid until image_close()
 *
 * Return: 0, or -errno with a sentence
 */
int image_open(const struct vm_config *c, struct image *im, struct machine_kernel *k,
	       struct err *e) MUST_CHECK;

/* The kernel is in the guest's memory now; zeroed is fine. */
void image_close(struct image *im);

#endif
