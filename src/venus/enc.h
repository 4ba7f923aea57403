/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The primitives of the encoder.  Replies are written straight into the guest's reply window; what
 * does not fit is dropped and makes the context fatal.  The memory is guest-writable: it is written
 * once, front to back, and never read.
 */
#ifndef PECTEN_VENUS_ENC_H
#define PECTEN_VENUS_ENC_H

#include "venus/dec.h"

struct venus_enc {
	uint8_t *p;
	uint8_t *end;
	bool failed;
};

/**
 * venus_reply_begin() - start the reply of a command; writes its number
 *
 * Return: false (and d->failed) if the guest asked for a reply without choosing a stream
 */
bool venus_reply_begin(struct venus_dec *d, struct venus_enc *e, int32_t cmd) MUST_CHECK;

/* Ends it: moves the stream's position; a reply that did not fit is a breach. */
void venus_reply_end(struct venus_dec *d, struct venus_enc *e);

/* Room for @len bytes, a multiple of 4; NULL if they do not fit. */
static inline uint8_t *venus_enc_room(struct venus_enc *e, size_t len)
{
	if (unlikely(e->failed || len > (size_t)(e->end - e->p))) {
		e->failed = true;
		return NULL;
	}
	uint8_t *p = e->p;
	e->p += len;
	return p;
}

static inline void venus_enc_u32(struct venus_enc *e, uint32_t v)
{
	uint8_t *p = venus_enc_room(e, 4);

	if (likely(p != NULL))
		memcpy(p, &v, 4);
}

static inline void venus_enc_i32(struct venus_enc *e, int32_t v)
{
	venus_enc_u32(e, (uint32_t)v);
}

static inline void venus_enc_u64(struct venus_enc *e, uint64_t v)
{
	uint8_t *p = venus_enc_room(e, 8);

	if (likely(p != NULL))
		memcpy(p, &v, 8);
}

static inline void venus_enc_f32(struct venus_enc *e, float v)
{
	uint8_t *p = venus_enc_room(e, 4);

	if (likely(p != NULL))
		memcpy(p, &v, 4);
}

static inline void venus_enc_f64(struct venus_enc *e, double v)
{
	uint8_t *p = venus_enc_room(e, 8);

	if (likely(p != NULL))
		memcpy(p, &v, 8);
}

/* Markers and counts: u64, 0 or 1 for a single pointer. */
static inline void venus_enc_marker(struct venus_enc *e, bool is_there)
{
	venus_enc_u64(e, is_there);
}

/* @n packed elements of @size bytes, padded with zeros to four at the end. */
static inline void venus_enc_packed(struct venus_enc *e, const void *from, size_t n, size_t size)
{
	size_t bytes = n * size;
	size_t padded = (bytes + 3) & ~(size_t)3;
	uint8_t *p = venus_enc_room(e, padded);

	if (likely(p != NULL)) {
		memcpy(p, from, bytes);
		memset(p + bytes, 0, padded - bytes);
	}
}

#endif
