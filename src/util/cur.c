/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors over memory in pieces: see cur.h. */
#include "util/cur.h"

#include <errno.h>
#include <string.h>

struct cur cur_init(const struct iovec *iov, size_t n)
{
	struct cur c = { .iov = iov };

	for (size_t i = 0; i < n; i++)
		c.left += iov[i].iov_len;
	return c;
}

/* The rest of the current piece, at most @max bytes; there is at least one byte left. */
static uint8_t *cur_piece(struct cur *c, size_t max, size_t *len)
{
	while (c->off == c->iov->iov_len) {
		c->iov++;
		c->off = 0;
	}

	size_t n = c->iov->iov_len - c->off;
	if (n > c->left)
		n = c->left;
	*len = n < max ? n : max;
	return (uint8_t *)c->iov->iov_base + c->off;
}

static void cur_pass(struct cur *c, size_t len)
{
	c->off += len;
	c->left -= len;
}

int cur_read(struct cur *c, void *to, size_t len)
{
	uint8_t *p = to;
	size_t n;

	if (len > c->left)
		return -EPROTO;
	while (len > 0) {
		const uint8_t *at = cur_piece(c, len, &n);

		memcpy(p, at, n);
		cur_pass(c, n);
		p += n;
		len -= n;
	}
	return 0;
}

int cur_write(struct cur *c, const void *from, size_t len)
{
	const uint8_t *p = from;
	size_t n;

	if (len > c->left)
		return -EPROTO;
	while (len > 0) {
		uint8_t *at = cur_piece(c, len, &n);

		memcpy(at, p, n);
		cur_pass(c, n);
		p += n;
		len -= n;
	}
	return 0;
}

int cur_zero(struct cur *c, size_t len)
{
	size_t n;

	if (len > c->left)
		return -EPROTO;
	while (len > 0) {
		uint8_t *at = cur_piece(c, len, &n);

		memset(at, 0, n);
		cur_pass(c, n);
		len -= n;
	}
	return 0;
}

int cur_skip(struct cur *c, size_t len)
{
	size_t n;

	if (len > c->left)
		return -EPROTO;
	while (len > 0) {
		(void)cur_piece(c, len, &n);
		cur_pass(c, n);
		len -= n;
	}
	return 0;
}

int cur_copy(struct cur *to, struct cur *from, size_t len)
{
	size_t room;
	size_t n;

	if (len > to->left || len > from->left)
		return -EPROTO;
	while (len > 0) {
		uint8_t *dst = cur_piece(to, len, &room);
		const uint8_t *src = cur_piece(from, room, &n);

		memcpy(dst, src, n);
		cur_pass(to, n);
		cur_pass(from, n);
		len -= n;
	}
	return 0;
}

void cur_split(struct cur *c, size_t len, struct cur *front)
{
	if (len > c->left)
		len = c->left;
	*front = *c;
	front->left = len;
	(void)!cur_skip(c, len); /* cannot fail: len <= c->left */
}

size_t cur_iov(const struct cur *c, struct iovec *iov, size_t max, size_t *bytes)
{
	struct cur walk = *c;
	size_t count = 0;
	size_t n;

	while (count < max && walk.left > 0) {
		uint8_t *p = cur_piece(&walk, walk.left, &n);

		iov[count++] = (struct iovec){ .iov_base = p, .iov_len = n };
		cur_pass(&walk, n);
	}
	if (bytes)
		*bytes = c->left - walk.left;
	return count;
}
