/* SPDX-License-Identifier: Apache-2.0 */
/* Folders for the shader caches of drivers: one for each user, of limited size. */
#ifndef PECTEN_RENDER_CACHE_H
#define PECTEN_RENDER_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

#define CACHE_DEPTH_MAX 6      /* folders below each other; what is deeper is removed */
#define CACHE_WORK_MAX  50000U /* files that one look takes in: clients wait for it */

/**
 * cache_prepare() - the folder for one user's renderers
 * @base:	folder of all users; made, with those above it, if missing
 * @uid:	user whose processes are served: what one user's shaders compile to is never given
 *		to another
 * @max_bytes:	older files are removed until the folder is smaller by a fifth, and half of those
 *		seen if there are more than one look takes in; UINT64_MAX: nobody looks, which
 *		saves a walk through the folder
 * @dir:	on success the folder
 *
 * Return: 0 or -errno with a sentence
 */
int cache_prepare(const char *base, uid_t uid, uint64_t max_bytes, char *dir, size_t size,
		  struct err *e) MUST_CHECK;

#endif
