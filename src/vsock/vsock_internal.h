/* SPDX-License-Identifier: Apache-2.0 */
/* What vsock.c (packets and ports) and conn.c (one connection) share. */
#ifndef PECTEN_VSOCK_VSOCK_INTERNAL_H
#define PECTEN_VSOCK_VSOCK_INTERNAL_H

#include <linux/virtio_vsock.h>
#include <sys/un.h>

#include "host/loop.h"
#include "util/list.h"
#include "vsock/vsock.h"

#define VSOCK_RSTS 64 /* refusals that may wait for the guest's buffers */
#define CONN_HASH  256

/* Messages of a connection that are due, in the order of their importance. */
enum {
	DUE_REQUEST = 1 << 0,
	DUE_RESPONSE = 1 << 1,
	DUE_RST = 1 << 2, /* last words: the connection goes with it */
	DUE_SHUTDOWN = 1 << 3,
	DUE_CREDIT = 1 << 4,
};

enum conn_state {
	CONN_REQUESTED, /* we have asked the guest, or are about to */
	CONN_OPEN,
	CONN_DRAINING, /* the guest is through with it; the host has still to take some bytes */
};

struct conn {
	struct vsock *v;
	struct list all;  /* v->conns */
	struct list hash; /* v->hash; empty while draining */
	struct list run;  /* v->runnable, if vsock_next() has something to do here */
	enum conn_state state;
	uint32_t host_port, guest_port;
	unsigned due;
	struct loop_fd src;
	unsigned watched;

	/* To the guest. */
	uint32_t peer_alloc, peer_fwd; /* its buffer, and how much of ours it has taken */
	uint32_t tx_cnt;               /* bytes sent, modulo 2^32 like all such counts (5.10.6.3) */
	bool is_readable;
	bool host_has_ended; /* our socket's other end sends no more */
	bool guest_wants_no_more;

	/* From the guest. */
	uint32_t rx_cnt, fwd_cnt; /* bytes received; and passed on to the socket */
	uint32_t told_fwd;        /* what the guest knows of fwd_cnt */
	bool guest_has_ended;
	uint8_t *buf; /* VSOCK_BUF bytes that the socket would not take; NULL until needed */
	uint32_t buf_at, buf_len;
};

struct port {
	uint32_t port;
	enum { PORT_LISTENER, PORT_PATH, PORT_STREAM } kind;
	int fd; /* owned; -1 once a stream is handed out */
	struct loop_fd src;
	struct loop_timer retry; /* after accept() failed */
	struct vsock *v;
	struct sockaddr_un addr;
};

struct rst {
	uint32_t host_port, guest_port;
};

struct vsock {
	uint64_t cid;
	struct loop *loop;
	void (*on_output)(void *arg);
	void *arg;
	bool is_started;
	struct list conns;
	struct list runnable;
	struct list hash[CONN_HASH];
	unsigned n_conns;
	uint32_t next_port;
	struct rst rst[VSOCK_RSTS];
	unsigned rst_at, rst_len;
	struct port port[VSOCK_MAX_PORTS];
	unsigned n_ports;
};

/* conn.c */
struct conn *conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port);
int conn_new(struct vsock *v, int *fd, uint32_t host_port, uint32_t guest_port,
	     enum conn_state state, struct conn **out) MUST_CHECK;
void conn_free(struct conn *c);
void conn_say(struct conn *c, unsigned due);
void conn_credit(struct conn *c, const struct virtio_vsock_hdr *h);
int conn_data(struct conn *c, struct cur *data, uint32_t len) MUST_CHECK;
void conn_shutdown(struct conn *c, uint32_t flags);
void conn_opened(struct conn *c);
void conn_detach(struct conn *c);
int conn_next(struct conn *c, struct cur *room, uint32_t *written) MUST_CHECK;

/* vsock.c */
int vsock_write_header(struct vsock *v, struct cur *room, struct conn *c, uint16_t op,
		       uint32_t flags, uint32_t len) MUST_CHECK;
void vsock_output_ready(struct vsock *v);

#endif
