/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames over a stream socket, each behind its length in four bytes, big-endian: what
 * passt and QEMU's stream netdev speak.  Everything happens on the thread of the loop.
 */
#ifndef PECTEN_NET_STREAM_H
#define PECTEN_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/cur.h"

#define NET_FRAME_MIN 14    /* bytes: an Ethernet header */
#define NET_FRAME_MAX 65549 /* with 65535 bytes of payload */

struct loop;
struct net_stream;

struct net_stream_ops {
	/*
	 * A frame has come, valid during the call.  Return: false if there is no room for it; then
	 * nothing is read until net_stream_resume(), which begins with the same frame.
	 */
	bool (*frame)(void *arg, const uint8_t *p, size_t len);
	void (*writable)(void *arg); /* after net_stream_send() said -EAGAIN */
	void (*closed)(void *arg);   /* the other side is gone; once; nothing comes any more */
};

/**
 * net_stream_create() - frames over a connected socket
 * @fd:		taken on success
 * @ops:	borrowed, like @arg, as long as the stream lives
 *
 * Nothing is read before net_stream_resume().
 *
 * Return: 0, -ENOMEM or -errno
 */
int net_stream_create(int fd, struct loop *loop, const struct net_stream_ops *ops, void *arg,
		      struct net_stream **out) MUST_CHECK;

/* NULL is fine. */
void net_stream_destroy(struct net_stream *s);

/** net_stream_pause(), net_stream_resume() - stop and begin to read */
void net_stream_pause(struct net_stream *s);
void net_stream_resume(struct net_stream *s);

/**
 * net_stream_send() - send one frame, all that is left in @frame
 *
 * A frame of impossible length is dropped.
 *
 * Return: 0; -EAGAIN if it was not taken because the socket is full; -EPIPE if the other side is
 *	   gone, and the frame with it
 */
int net_stream_send(struct net_stream *s, struct cur *frame) MUST_CHECK;

#endif
