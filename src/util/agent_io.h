/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A non-blocking stream of agent messages: bytes of the peer are gathered until they are a
 * message, messages to the peer are queued until the stream takes them.  One thread.
 */
#ifndef PECTEN_UTIL_AGENT_IO_H
#define PECTEN_UTIL_AGENT_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "util/agent_msg.h"
#include "util/compiler.h"

/* Above this many queued bytes no more stream data is accepted; above the limit nothing is. */
#define AGENT_IO_BUSY    ((size_t)256 << 10)
#define AGENT_IO_OUT_MAX ((size_t)8 << 20)

struct agent_io {
	int fd; /* not owned */
	uint8_t *in;
	size_t in_off; /* of the first byte not yet taken */
	size_t in_len; /* bytes in the buffer, taken ones included */
	uint8_t *out;
	size_t out_off;
	size_t out_len;
	size_t out_cap;
};

/**
 * agent_io_init() - wrap a stream
 * @fd:		non-blocking stream socket or pipe; borrowed
 *
 * Return: 0 or -ENOMEM; undo with agent_io_fini()
 */
int agent_io_init(struct agent_io *io, int fd) MUST_CHECK;

/* Frees the buffers; a zeroed object is fine. */
void agent_io_fini(struct agent_io *io);

/**
 * agent_io_fill() - read what the stream has
 *
 * Return: 0 (perhaps nothing came); -ENODATA at the end of the stream; -errno of read()
 */
int agent_io_fill(struct agent_io *io) MUST_CHECK;

/**
 * agent_io_next() - take one message out of what was read
 * @m:		its strings and data are valid until the next call on @io
 *
 * Return: 1; 0 if there is none yet; -EPROTO
 */
int agent_io_next(struct agent_io *io, struct agent_msg *m) MUST_CHECK;

/**
 * agent_io_send() - queue a message; agent_io_flush() sends it
 *
 * Return: 0; -ENOBUFS if AGENT_IO_OUT_MAX bytes wait already, -ENOMEM; or agent_encode()'s error
 */
int agent_io_send(struct agent_io *io, const struct agent_msg *m) MUST_CHECK;

/**
 * agent_io_flush() - write what the stream takes
 *
 * Return: 0 (see agent_io_pending()), or the -errno of send() or write()
 */
int agent_io_flush(struct agent_io *io) MUST_CHECK;

/* Bytes that wait to be sent. */
static inline size_t agent_io_pending(const struct agent_io *io)
{
	return io->out_len - io->out_off;
}

static inline bool agent_io_is_busy(const struct agent_io *io)
{
	return agent_io_pending(io) >= AGENT_IO_BUSY;
}

#endif
