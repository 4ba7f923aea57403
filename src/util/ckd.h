/* SPDX-License-Identifier: Apache-2.0 */
/* Checked arithmetic under C23's names: true means that the result did not fit. */
#ifndef PECTEN_UTIL_CKD_H
#define PECTEN_UTIL_CKD_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

#define ckd_add(r, a, b) __builtin_add_overflow(a, b, r)
#define ckd_sub(r, a, b) __builtin_sub_overflow(a, b, r)
#define ckd_mul(r, a, b) __builtin_mul_overflow(a, b, r)

static inline bool is_pow2(uint64_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

/**
 * align_up_ckd() - round up to a multiple of a power of two
 *
 * Return: true if the result does not fit in 64 bits
 */
static inline MUST_CHECK bool align_up_ckd(uint64_t *out, uint64_t x, uint64_t align)
{
	uint64_t sum;

	if (ckd_add(&sum, x, align - 1))
		return true;
	*out = sum & ~(align - 1);
	return false;
}

/* Whether [off, off + len) lies inside [0, limit); never wraps. */
static inline bool range_fits(uint64_t off, uint64_t len, uint64_t limit)
{
	return off <= limit && len <= limit - off;
}

#endif
