/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets between ports of a guest and unix sockets of the host (virtio 1.2, 5.10.6).
 * Packets in, packets out: how they travel is the caller's business.
 *
 * Everything happens on one thread, that of the loop.
 */
#ifndef PECTEN_VSOCK_VSOCK_H
#define PECTEN_VSOCK_VSOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/cur.h"

#define VSOCK_MAX_CONNS 1024
#define VSOCK_MAX_PORTS 128
#define VSOCK_BUF       (64u << 10) /* bytes of a connection that the host has not taken yet */
#define VSOCK_PKT_MAX   (64u << 10) /* bytes of data in one packet to the guest */
#define VSOCK_HOST_CID  2

struct loop;
struct vsock;

/**
 * vsock_create() - a switchboard without any ports
 * @cid:	the guest's context id, 3 or more
 * @loop:	borrowed
 * @on_output:	called when vsock_next() has something to say, also from within the functions below,
 *		so that it must not call any of them itself
 *
 * Return: 0 or -ENOMEM
 */
int vsock_create(uint64_t cid, struct loop *loop, void (*on_output)(void *arg), void *arg,
		 struct vsock **out) MUST_CHECK;

/* Closes everything, what was taken by the vsock_add_ functions included.  NULL is fine. */
void vsock_destroy(struct vsock *v);

/**
 * vsock_add_listener() - each connection to a unix socket becomes one to a port of the guest
 * @fd:		listening, non-blocking or not; taken
 *
 * vsock_add_path() - connections of the guest to our @port are connected to the unix socket @path
 *
 * vsock_add_stream() - the guest's first connection to our @port is the connected socket @fd; taken
 *
 * Before vsock_start().
 *
 * Return: 0, -ENOSPC past VSOCK_MAX_PORTS, -ENAMETOOLONG, or -errno; what was to be taken is closed
 *	   then
 */
int vsock_add_listener(struct vsock *v, uint32_t guest_port, int fd) MUST_CHECK;
int vsock_add_path(struct vsock *v, uint32_t port, const char *path) MUST_CHECK;
int vsock_add_stream(struct vsock *v, uint32_t port, int fd) MUST_CHECK;

/** vsock_start() - the guest is there: accept connections; Return: 0 or -errno */
int vsock_start(struct vsock *v) MUST_CHECK;

/* The guest is gone: all connections end; listeners wait for the next vsock_start(). */
void vsock_stop(struct vsock *v);

/* Whether vsock_input() may be called: not while too many answers wait for vsock_next(). */
bool vsock_takes_input(const struct vsock *v);

/**
 * vsock_input() - a packet of the guest
 * @pkt:	header and data; nothing of it is kept
 *
 * Return: 0, also for packets that are refused; -EPROTO if it is no packet
 */
int vsock_input(struct vsock *v, struct cur *pkt) MUST_CHECK;

/**
 * vsock_next() - write the next packet for the guest
 * @room:	at least a header's size
 * @written:	bytes written to it
 *
 * Return: 1; 0 if there is nothing to say; -EPROTO if the room is too small
 */
int vsock_next(struct vsock *v, struct cur *room, uint32_t *written) MUST_CHECK;

/* Connections, for tests and `--json`. */
unsigned vsock_conns(const struct vsock *v);

#endif
