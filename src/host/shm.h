/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous shared memory that its receivers can neither shrink nor grow. */
#ifndef PECTEN_HOST_SHM_H
#define PECTEN_HOST_SHM_H

#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/**
 * shm_create() - sealed shared memory of a fixed size
 * @name:	shown in /proc/PID/maps
 * @size:	bytes, non-zero, a multiple of the page size
 * @fd:		on success a close-on-exec descriptor that the caller owns
 *
 * The size is sealed, so mapping it cannot fault because of what a peer does.  Pages are zero and
 * not yet allocated.
 *
 * Return: 0, -EINVAL for a bad size, or the -errno of memfd_create(), ftruncate() or fcntl()
 */
int shm_create(const char *name, uint64_t size, int *fd) MUST_CHECK;

/**
 * shm_map() - map shared memory for reading and writing
 *
 * Return: 0, or the -errno of mmap(); undo with shm_unmap()
 */
int shm_map(int fd, uint64_t size, void **at) MUST_CHECK;

/* NULL is fine. */
void shm_unmap(void *at, uint64_t size);

/* Bytes of a page of this host. */
uint64_t shm_page_size(void);

#endif
