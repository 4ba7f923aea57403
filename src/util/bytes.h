/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing little-endian bytes with bounds.  A reader that runs out yields zeros and
 * keeps a sticky error: parse first, look at rd_ok() once, act afterwards.
 */
#ifndef PECTEN_UTIL_BYTES_H
#define PECTEN_UTIL_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "util/compiler.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "every supported CPU is little-endian"
#endif

struct rd {
	const uint8_t *p;
	const uint8_t *end;
	bool failed;
};

static inline struct rd rd_init(const void *p, size_t len)
{
	return (struct rd){ .p = p, .end = (const uint8_t *)p + len };
}

static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

static inline bool rd_ok(const struct rd *r)
{
	return !r->failed;
}

/**
 * rd_take() - the next bytes, in place
 *
 * Return: pointer to @len bytes, valid as long as the buffer is; NULL if fewer are left
 */
static inline const uint8_t *rd_take(struct rd *r, size_t len)
{
	if (unlikely(r->failed || len > rd_left(r))) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += len;
	return p;
}

static inline void rd_copy(struct rd *r, void *to, size_t len)
{
	const uint8_t *p = rd_take(r, len);

	if (p)
		memcpy(to, p, len);
	else
		memset(to, 0, len);
}

static inline uint8_t rd_u8(struct rd *r)
{
	uint8_t v;

	rd_copy(r, &v, sizeof(v));
	return v;
}

static inline uint16_t rd_le16(struct rd *r)
{
	uint16_t v;

	rd_copy(r, &v, sizeof(v));
	return v;
}

static inline uint32_t rd_le32(struct rd *r)
{
	uint32_t v;

	rd_copy(r, &v, sizeof(v));
	return v;
}

static inline uint64_t rd_le64(struct rd *r)
{
	uint64_t v;

	rd_copy(r, &v, sizeof(v));
	return v;
}

/* The writing side: what does not fit is dropped and remembered. */
struct wr {
	uint8_t *p;
	uint8_t *end;
	bool failed;
};

static inline struct wr wr_init(void *p, size_t len)
{
	return (struct wr){ .p = p, .end = (uint8_t *)p + len };
}

static inline size_t wr_left(const struct wr *w)
{
	return (size_t)(w->end - w->p);
}

static inline void wr_copy(struct wr *w, const void *from, size_t len)
{
	if (unlikely(w->failed || len > wr_left(w))) {
		w->failed = true;
		return;
	}
	memcpy(w->p, from, len);
	w->p += len;
}

static inline void wr_le32(struct wr *w, uint32_t v)
{
	wr_copy(w, &v, sizeof(v));
}

static inline void wr_le64(struct wr *w, uint64_t v)
{
	wr_copy(w, &v, sizeof(v));
}

/*
 * Bytes of the control character at @s, text that ends with 0; 0 if it is none.  Those of C1 have
 * two bytes in UTF-8, and terminals heed them as they do ESC.
 */
static inline size_t control_len(const char *s)
{
	const unsigned char *b = (const unsigned char *)s;

	if (b[0] < ' ' || b[0] == 0x7f)
		return 1;
	return b[0] == 0xc2 && b[1] >= 0x80 && b[1] < 0xa0 ? 2 : 0;
}

#endif
