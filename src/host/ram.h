/* SPDX-License-Identifier: Apache-2.0 */
/* Large blocks of memory for a guest: its RAM, and address ranges to map other memory into. */
#ifndef PECTEN_HOST_RAM_H
#define PECTEN_HOST_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

#define RAM_ALIGN (UINT64_C(2) << 20) /* huge pages need host and guest addresses congruent */

/**
 * ram_alloc() - anonymous zero pages, huge where the host can
 * @len:	bytes, a multiple of the host's page size
 * @at:		out: first byte, aligned to RAM_ALIGN
 *
 * Nothing is touched yet.  The pages are left out of core dumps.
 *
 * Return: 0, -EINVAL for a bad length, or the -errno of mmap(); undo with ram_free()
 */
int ram_alloc(uint64_t len, void **at) MUST_CHECK;

/**
 * ram_reserve() - addresses without memory behind them
 *
 * As ram_alloc(), but any access faults until ram_window_map() has put something there.
 */
int ram_reserve(uint64_t len, void **at) MUST_CHECK;

/* NULL is fine. */
void ram_free(void *at, uint64_t len);

/**
 * ram_discard() - give pages back to the host; they read as zero afterwards
 * @at:		page-aligned, inside a block of ram_alloc()
 *
 * Return: 0 or -errno
 */
int ram_discard(void *at, uint64_t len) MUST_CHECK;

/* As ram_discard(), for memory shared with another process (shm_map()). */
int ram_discard_shared(void *at, uint64_t len) MUST_CHECK;

/**
 * ram_window_check() - whether mappings of a file end where they should
 *
 * Those of hugetlbfs do not: they grow to the size of a huge page, over whatever comes behind.
 *
 * Return: 0; -EINVAL if they do not; -errno
 */
int ram_window_check(int fd) MUST_CHECK;

/**
 * ram_window_map() - put shared memory into reserved addresses, replacing what was there
 * @at:		page-aligned, inside a block of ram_reserve()
 * @off:	bytes into @fd, page-aligned
 *
 * What ram_window_check() refuses is refused.
 *
 * Return: 0 or -errno; then nothing has changed, or, with -ENOMEM, the addresses fault
 */
int ram_window_map(void *at, uint64_t len, int fd, uint64_t off, bool is_ro) MUST_CHECK;

/** ram_window_unmap() - make addresses fault again; Return: 0 or -errno */
int ram_window_unmap(void *at, uint64_t len) MUST_CHECK;

#endif
