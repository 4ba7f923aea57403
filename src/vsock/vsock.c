// SPDX-License-Identifier: Apache-2.0
/* Packets and ports: see vsock.h.  What happens within a connection is in conn.c. */
#include "vsock/vsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/thread.h"
#include "util/log.h"
#include "vsock/vsock_internal.h"

#define ACCEPT_RETRY_NS UINT64_C(100000000)
#define FIRST_PORT      0x40000000u /* of connections that begin on the host */

int vsock_create(uint64_t cid, struct loop *loop, void (*on_output)(void *arg), void *arg,
		 struct vsock **out)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->cid = cid;
	v->loop = loop;
	v->on_output = on_output;
	v->arg = arg;
	v->next_port = FIRST_PORT;
	list_init(&v->conns);
	list_init(&v->runnable);
	for (unsigned n = 0; n < CONN_HASH; n++)
		list_init(&v->hash[n]);
	*out = v;
	return 0;
}

void vsock_destroy(struct vsock *v)
{
	if (!v)
		return;
	vsock_stop(v);
	for (unsigned n = 0; n < v->n_ports; n++)
		fd_drop(&v->port[n].fd);
	free(v);
}

void vsock_output_ready(struct vsock *v)
{
	v->on_output(v->arg);
}

unsigned vsock_conns(const struct vsock *v)
{
	return v->n_conns;
}

/* A port below the limit; @fd is taken, and closed if there is none. */
static int add_port(struct vsock *v, uint32_t port, int fd, struct port **out)
{
	AUTO_FD own = fd;

	if (v->n_ports == VSOCK_MAX_PORTS)
		return -ENOSPC;
	int r = fd >= 0 ? fd_set_nonblock(fd) : 0;
	if (r < 0)
		return r;
	struct port *p = &v->port[v->n_ports++];
	*p = (struct port){ .port = port, .fd = take_fd(&own), .v = v };
	*out = p;
	return 0;
}

static void on_accept(struct loop_fd *src, unsigned events UNUSED)
{
	struct port *p = container_of(src, struct port, src);
	struct vsock *v = p->v;
	struct conn *c;
	/* syscall: accept4 */
	AUTO_FD fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	if (fd < 0) {
		/* Out of descriptors: the connection waits, and we do not spin. */
		loop_del(src);
		loop_timer_set(v->loop, &p->retry, clock_now_ns() + ACCEPT_RETRY_NS);
		return;
	}
	while (conn_find(v, v->next_port, p->port))
		v->next_port++;
	int r = conn_new(v, &fd, v->next_port, p->port, CONN_REQUESTED, &c);
	if (r < 0) {
		log_warn(VSOCK, "too many connections: one to port %u refused", p->port);
		return;
	}
	if (++v->next_port < FIRST_PORT)
		v->next_port = FIRST_PORT;
	conn_say(c, DUE_REQUEST);
}

static void on_retry(struct loop_timer *t)
{
	struct port *p = container_of(t, struct port, retry);

	if (loop_add(p->v->loop, &p->src, LOOP_READ) < 0)
		log_warn(VSOCK, "connections to port %u are not accepted any more", p->port);
}

int vsock_add_listener(struct vsock *v, uint32_t guest_port, int fd)
{
	struct port *p;
	int r = add_port(v, guest_port, fd, &p);

	if (r < 0)
		return r;
	p->kind = PORT_LISTENER;
	p->src = (struct loop_fd){ .fd = p->fd, .fn = on_accept };
	p->retry.fn = on_retry;
	return 0;
}

int vsock_add_path(struct vsock *v, uint32_t port, const char *path)
{
	struct port *p;
	size_t len = strlen(path);

	if (len >= sizeof(p->addr.sun_path))
		return -ENAMETOOLONG;
	int r = add_port(v, port, -1, &p);
	if (r < 0)
		return r;
	p->kind = PORT_PATH;
	p->addr.sun_family = AF_UNIX;
	memcpy(p->addr.sun_path, path, len + 1);
	return 0;
}

int vsock_add_stream(struct vsock *v, uint32_t port, int fd)
{
	struct port *p;
	int r = add_port(v, port, fd, &p);

	if (r == 0)
		p->kind = PORT_STREAM;
	return r;
}

int vsock_start(struct vsock *v)
{
	int r = 0;

	for (unsigned n = 0; n < v->n_ports && r == 0; n++)
		if (v->port[n].kind == PORT_LISTENER)
			r = loop_add(v->loop, &v->port[n].src, LOOP_READ);
	v->is_started = r == 0;
	return r;
}

void vsock_stop(struct vsock *v)
{
	for (unsigned n = 0; n < v->n_ports; n++) {
		if (v->port[n].kind != PORT_LISTENER)
			continue;
		loop_del(&v->port[n].src);
		loop_timer_del(&v->port[n].retry);
	}
	list_for_each_safe(it, &v->conns) conn_free(container_of(it, struct conn, all));
	v->rst_len = 0;
	v->is_started = false;
}

int vsock_write_header(struct vsock *v, struct cur *room, struct conn *c, uint16_t op,
		       uint32_t flags, uint32_t len)
{
	struct virtio_vsock_hdr h = {
		.src_cid = VSOCK_HOST_CID,
		.dst_cid = v->cid,
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = VSOCK_BUF,
		.fwd_cnt = c->fwd_cnt,
	};

	c->told_fwd = c->fwd_cnt;
	return cur_write(room, &h, sizeof(h));
}

bool vsock_takes_input(const struct vsock *v)
{
	return v->rst_len < VSOCK_RSTS;
}

/* Refuses a packet of a connection that does not exist. */
static void refuse(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	if (!vsock_takes_input(v))
		return; /* the caller should have asked */
	v->rst[(v->rst_at + v->rst_len++) % VSOCK_RSTS] = (struct rst){ host_port, guest_port };
	vsock_output_ready(v);
}

/* The socket behind one of our ports.  Return: descriptor or -errno */
static int connect_host(struct vsock *v, uint32_t port)
{
	for (unsigned n = 0; n < v->n_ports; n++) {
		struct port *p = &v->port[n];

		if (p->port != port || p->kind == PORT_LISTENER)
			continue;
		if (p->kind == PORT_STREAM && p->fd >= 0)
			return take_fd(&p->fd);
		if (p->kind == PORT_STREAM)
			continue;
		/* syscall: socket, connect */
		AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return -errno;
		/* A full backlog is EAGAIN here: unix sockets are never "in progress". */
		if (connect(fd, (const struct sockaddr *)&p->addr, sizeof(p->addr)) < 0)
			return -errno;
		return take_fd(&fd);
	}
	return -ECONNREFUSED;
}

static void on_request(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	struct conn *c;
	AUTO_FD fd = connect_host(v, h->dst_port);
	int r = fd < 0 ? fd : conn_new(v, &fd, h->dst_port, h->src_port, CONN_OPEN, &c);

	if (r < 0) {
		log_debug(VSOCK, "guest's connection to port %u refused: %d", h->dst_port, -r);
		refuse(v, h->dst_port, h->src_port);
		return;
	}
	conn_credit(c, h);
	conn_say(c, DUE_RESPONSE);
	conn_opened(c);
}

/* Ends a connection from our side. */
static void abort_conn(struct conn *c)
{
	conn_say(c, DUE_RST);
}

static void on_packet(struct conn *c, const struct virtio_vsock_hdr *h, struct cur *data)
{
	struct vsock *v = c->v;

	if (c->due & DUE_RST)
		return;
	conn_credit(c, h);
	if (c->state == CONN_REQUESTED && h->op != VIRTIO_VSOCK_OP_RESPONSE &&
	    h->op != VIRTIO_VSOCK_OP_RST) {
		abort_conn(c);
		return;
	}
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (c->state == CONN_REQUESTED)
			conn_opened(c);
		else
			abort_conn(c);
		break;
	case VIRTIO_VSOCK_OP_RST:
		conn_detach(c);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		conn_shutdown(c, h->flags);
		/* Both halves: the guest waits for our word that it may forget it. */
		if (c->guest_has_ended && c->guest_wants_no_more) {
			refuse(v, c->host_port, c->guest_port);
			conn_detach(c);
		}
		break;
	case VIRTIO_VSOCK_OP_RW:
		if (conn_data(c, data, h->len) < 0)
			abort_conn(c);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		conn_say(c, DUE_CREDIT);
		break;
	default: /* another REQUEST, or nothing we know */
		abort_conn(c);
	}
}

int vsock_input(struct vsock *v, struct cur *pkt)
{
	struct virtio_vsock_hdr h;

	if (cur_read(pkt, &h, sizeof(h)) < 0 || h.len > cur_left(pkt))
		return -EPROTO;
	if (h.src_cid != v->cid || h.dst_cid != VSOCK_HOST_CID) {
		log_guest(VSOCK, "packet from or to a context that does not exist dropped");
		return 0;
	}

	struct conn *c = conn_find(v, h.dst_port, h.src_port);
	if (h.type != VIRTIO_VSOCK_TYPE_STREAM || (!c && h.op != VIRTIO_VSOCK_OP_REQUEST)) {
		/* A refusal is never answered by another one. */
		if (h.op != VIRTIO_VSOCK_OP_RST)
			refuse(v, h.dst_port, h.src_port);
		return 0;
	}
	if (c)
		on_packet(c, &h, pkt);
	else
		on_request(v, &h);
	return 0;
}

int vsock_next(struct vsock *v, struct cur *room, uint32_t *written)
{
	if (cur_left(room) < sizeof(struct virtio_vsock_hdr))
		return -EPROTO;
	if (v->rst_len) {
		const struct rst *rst = &v->rst[v->rst_at];
		struct conn gone = { .host_port = rst->host_port, .guest_port = rst->guest_port };

		v->rst_at = (v->rst_at + 1) % VSOCK_RSTS;
		v->rst_len--;
		*written = sizeof(struct virtio_vsock_hdr);
		int r = vsock_write_header(v, room, &gone, VIRTIO_VSOCK_OP_RST, 0, 0);
		return r < 0 ? r : 1;
	}
	while (!list_empty(&v->runnable)) {
		int r = conn_next(container_of(v->runnable.next, struct conn, run), room, written);

		if (r != 0)
			return r;
	}
	return 0;
}
