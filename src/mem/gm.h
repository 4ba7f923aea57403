/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory map: where guest-physical addresses (gpa) of RAM lie in this process.  Built once,
 * immutable while anything of the VM runs, so any thread may look up without a lock.  Only RAM is
 * in it: shared-memory windows have contents that can vanish, and no device may be pointed there.
 */
#ifndef PECTEN_MEM_GM_H
#define PECTEN_MEM_GM_H

#include <stdint.h>

#include "util/compiler.h"

#define GM_REGIONS_MAX 8

struct gm_region {
	uint64_t gpa;
	uint64_t len; /* bytes, non-zero */
	uint8_t *host;
};

struct gm {
	struct gm_region r[GM_REGIONS_MAX]; /* sorted by gpa, disjoint */
	unsigned n;
};

/**
 * gm_add() - enter RAM into the map
 * @host:	borrowed for the life of the map
 *
 * A region that continues another one both in the guest and in the host is merged with it, so
 * that buffers may cross the border.
 *
 * Return: 0; -EINVAL if it is empty, wraps or overlaps; -ENOSPC after GM_REGIONS_MAX regions
 */
int gm_add(struct gm *gm, uint64_t gpa, void *host, uint64_t len) MUST_CHECK;

/**
 * gm_range() - host address of @len bytes of RAM at @gpa
 *
 * Return: pointer to all of them, or NULL if any is not RAM or they are not in one piece
 */
void *gm_range(const struct gm *gm, uint64_t gpa, uint64_t len);

/**
 * gm_piece() - host address of the first bytes of a range that may cross regions
 * @len:	bytes wanted, non-zero
 * @got:	out: how many of them the pointer covers, at least 1
 *
 * Return: pointer, or NULL if the byte at @gpa is not RAM or gpa + len wraps
 */
void *gm_piece(const struct gm *gm, uint64_t gpa, uint64_t len, uint64_t *got);

#endif
