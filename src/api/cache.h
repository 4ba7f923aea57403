/* SPDX-License-Identifier: Apache-2.0 */
/* Where tools put what machines need: $XDG_CACHE_HOME/pecten. */
#ifndef PECTEN_API_CACHE_H
#define PECTEN_API_CACHE_H

#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

/**
 * cache_path() - path of something in the cache
 *
 * Return: 0; -ENOENT if the user has no home; -ENAMETOOLONG
 */
int cache_path(char *path, size_t len, const char *name) MUST_CHECK;

/**
 * cache_kernel() - the guest kernel that tools/guest-kernel has put there
 * @kernel:	on success the kernel's file, which the caller owns
 * @initrd:	likewise an initramfs: its modules, and our pecten-init
 *
 * Return: 0, or -errno with a sentence that ends with the remedy behind a ';'
 */
int cache_kernel(int *kernel, int *initrd, struct err *e) MUST_CHECK;

/** cache_has_kernel() - Return: whether it is there; @text then says which */
int cache_has_kernel(char *text, size_t len);

#endif
