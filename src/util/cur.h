/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded cursor over memory in pieces, such as the buffers of a descriptor chain.  Nobody but
 * this file indexes an iovec: a header may lie in one piece or be spread one byte per piece, the
 * caller cannot tell.  A cursor owns nothing; the array and the memory outlive it.
 */
#ifndef PECTEN_UTIL_CUR_H
#define PECTEN_UTIL_CUR_H

#include <stdint.h>
#include <sys/uio.h>

#include "util/compiler.h"

struct cur {
	const struct iovec *iov; /* the piece the cursor is in */
	size_t off;              /* bytes of it already passed */
	size_t left;             /* bytes in all; never more than the pieces hold */
};

/**
 * cur_init() - cursor over all bytes of some pieces
 * @iov:	borrowed as long as the cursor is used
 * @n:		pieces; the caller has seen that their lengths do not add up past SIZE_MAX
 */
struct cur cur_init(const struct iovec *iov, size_t n);

/** cur_left() - Return: bytes between the cursor and the end */
static inline size_t cur_left(const struct cur *c)
{
	return c->left;
}

/**
 * cur_read(), cur_write(), cur_zero(), cur_skip() - move @len bytes and the cursor
 *
 * All or nothing: when fewer bytes are left, neither memory nor cursor changes.
 *
 * Return: 0, or -EPROTO if fewer than @len bytes are left
 */
int cur_read(struct cur *c, void *to, size_t len) MUST_CHECK;
int cur_write(struct cur *c, const void *from, size_t len) MUST_CHECK;
int cur_zero(struct cur *c, size_t len) MUST_CHECK;
int cur_skip(struct cur *c, size_t len) MUST_CHECK;

/**
 * cur_copy() - copy @len bytes from one cursor to the other; the memory must not overlap
 *
 * Return: 0, or -EPROTO if either has fewer bytes left; then nothing has moved
 */
int cur_copy(struct cur *to, struct cur *from, size_t len) MUST_CHECK;

/**
 * cur_split() - cut off the front
 * @len:	bytes that go to @front; all of them if fewer are left
 * @front:	becomes a cursor over the first @len bytes; @c goes on behind them
 */
void cur_split(struct cur *c, size_t len, struct cur *front);

/**
 * cur_iov() - the pieces ahead, for readv() and the like
 * @iov:	filled with at most @max non-empty pieces; the cursor does not move
 * @bytes:	out: how many bytes those pieces hold; may be NULL
 *
 * After a transfer of n bytes the caller calls cur_skip(c, n).
 *
 * Return: number of pieces, 0 only at the end or when @max is 0
 */
size_t cur_iov(const struct cur *c, struct iovec *iov, size_t max, size_t *bytes);

#endif
