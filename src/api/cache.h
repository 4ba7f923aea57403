/* SPDX-License-Identifier: Apache-2.0 */
/* The guest kernel that tools put into the user's cache: host/place.h. */
#ifndef PECTEN_API_CACHE_H
#define PECTEN_API_CACHE_H

#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

/**
 * cache_kernel() - the guest kernel that tools/guest-kernel has put there
 * @kernel:	on success the kernel's file, which the caller owns
 * @initrd:	likewise an initramfs: its modules, and our pecten-init
 *
 * Return: 0, or -errno with a sentence that ends with the remedy behind a ';'
 */
int cache_kernel(int *kernel, int *initrd, struct err *e) MUST_CHECK;

/**
 * cache_kernel_version() - which one is there
 * @text:	receives it, @len bytes at most
 *
 * Return: as cache_kernel()
 */
int cache_kernel_version(char *text, size_t len, struct err *e) MUST_CHECK;

#endif
