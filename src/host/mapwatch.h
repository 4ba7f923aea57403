/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learns which descriptor a library maps memory from: a driver's vkMapMemory() gives an address,
 * and the file behind it, which another process could map as well, is known to the driver alone.
 * Works in programs that route mmap() through mapwatch_note(): see vtest/mmap.c.
 */
#ifndef PECTEN_HOST_MAPWATCH_H
#define PECTEN_HOST_MAPWATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"

#define MAPWATCH_MAX 8U /* mappings that one call of a driver may make */

/* What one thread has mapped since mapwatch_begin(). */
struct mapwatch {
	unsigned count;
	struct mapwatch_map {
		const void *at;
		uint64_t size; /* bytes */
		int fd;        /* a duplicate, ours */
	} maps[MAPWATCH_MAX];
};

/* Watches the calling thread until mapwatch_end(); one at a time. */
void mapwatch_begin(struct mapwatch *w);

/**
 * mapwatch_end() - stop watching
 * @at:		address whose mapping is asked for; NULL: none
 * @fd:		on success, a close-on-exec descriptor that the caller owns
 * @size:	on success, bytes that were mapped from its offset 0
 *
 * Return: 0, or -ENOENT if no shared mapping of a file's beginning was seen at @at
 */
int mapwatch_end(struct mapwatch *w, const void *at, int *fd, uint64_t *size) MUST_CHECK;

/* The calling thread has mapped something: for the program's mmap().  Keeps errno. */
void mapwatch_note(const void *at, size_t size, int flags, int fd, off_t offset);

#endif
