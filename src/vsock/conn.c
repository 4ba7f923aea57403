// SPDX-License-Identifier: Apache-2.0
/*
 * One connection: a unix socket on one side, packets with credit on the other.
 *
 * The socket is watched for reading only while the guest has room for what would be read, and for
 * writing only while bytes wait that it did not take.  Data for the guest is read straight into its
 * buffers, in conn_next(); data from the guest is written straight out of them, and copied only
 * when the socket is full.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "util/log.h"
#include "vsock/vsock_internal.h"

#define IOV_CHUNK 32

static struct list *bucket(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	return &v->hash[(host_port * 31 + guest_port) % CONN_HASH];
}

struct conn *conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	list_for_each(it, bucket(v, host_port, guest_port))
	{
		struct conn *c = container_of(it, struct conn, hash);

		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

static uint32_t credit(const struct conn *c)
{
	/* Modulo 2^32; more in flight than its buffer holds means that the guest shrank it. */
	uint32_t in_flight = c->tx_cnt - c->peer_fwd;

	return in_flight < c->peer_alloc ? c->peer_alloc - in_flight : 0;
}

static bool wants_input(const struct conn *c)
{
	return c->state == CONN_OPEN && !c->host_has_ended && !c->guest_wants_no_more;
}

static void run(struct conn *c)
{
	if (list_empty(&c->run))
		list_add_tail(&c->v->runnable, &c->run);
	vsock_output_ready(c->v);
}

/* Brings what the loop watches in line with what the connection waits for. */
static void watch(struct conn *c)
{
	unsigned want = (wants_input(c) && !c->is_readable ? (unsigned)LOOP_READ : 0u) |
			(c->buf_len ? (unsigned)LOOP_WRITE : 0u);

	if (want == c->watched)
		return;
	if (!want)
		loop_del(&c->src);
	else if (c->src.loop ? loop_mod(&c->src, want) : loop_add(c->v->loop, &c->src, want))
		log_warn(VSOCK, "a connection's socket cannot be watched");
	c->watched = want;
}

static void flush(struct conn *c);

static void on_event(struct loop_fd *src, unsigned events)
{
	struct conn *c = container_of(src, struct conn, src);

	if (events & (LOOP_READ | LOOP_HUP) && wants_input(c)) {
		c->is_readable = true;
		watch(c);
		run(c);
	}
	if (c->buf_len && events & (LOOP_WRITE | LOOP_HUP))
		flush(c);
	else if (events & LOOP_HUP && !wants_input(c))
		conn_say(c, DUE_RST);
}

/**
 * conn_new() - a connection
 * @fd:		non-blocking socket; taken on success
 *
 * Return: 0; -ENOSPC past VSOCK_MAX_CONNS; -ENOMEM
 */
int conn_new(struct vsock *v, int *fd, uint32_t host_port, uint32_t guest_port,
	     enum conn_state state, struct conn **out)
{
	if (v->n_conns >= VSOCK_MAX_CONNS)
		return -ENOSPC;

	struct conn *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->v = v;
	c->host_port = host_port;
	c->guest_port = guest_port;
	c->state = state;
	c->src = (struct loop_fd){ .fd = take_fd(fd), .fn = on_event };
	list_init(&c->run);
	list_add_tail(&v->conns, &c->all);
	list_add_tail(bucket(v, host_port, guest_port), &c->hash);
	v->n_conns++;
	*out = c;
	return 0;
}

void conn_free(struct conn *c)
{
	list_del(&c->all);
	list_del(&c->hash);
	list_del(&c->run);
	c->v->n_conns--;
	loop_del(&c->src);
	fd_drop(&c->src.fd);
	free(c->buf);
	free(c);
}

/* Something to tell the guest; told when it has buffers. */
void conn_say(struct conn *c, unsigned due)
{
	c->due |= due;
	if (due & DUE_RST) {
		/* Nothing else matters any more, least of all what the socket still has. */
		c->due = DUE_RST;
		c->is_readable = false;
		c->host_has_ended = true;
		c->buf_len = 0;
		watch(c);
	}
	run(c);
}

void conn_credit(struct conn *c, const struct virtio_vsock_hdr *h)
{
	c->peer_alloc = h->buf_alloc;
	c->peer_fwd = h->fwd_cnt;
	if (c->is_readable && credit(c))
		run(c);
}

/* The guest has answered, or asked: data may flow. */
void conn_opened(struct conn *c)
{
	c->state = CONN_OPEN;
	watch(c);
}

/*
 * The guest does not know the connection any more and may use its ports anew.  What it sent before
 * still reaches the host.
 */
void conn_detach(struct conn *c)
{
	list_del(&c->hash);
	list_del(&c->run);
	c->due = 0;
	c->state = CONN_DRAINING;
	c->is_readable = false;
	if (c->buf_len == 0)
		conn_free(c);
	else
		watch(c);
}

/* Passes on that the guest has ended its half, once everything before it is delivered. */
static void end_output(struct conn *c)
{
	if (c->guest_has_ended && c->buf_len == 0)
		(void)shutdown(c->src.fd, SHUT_WR);
}

static void delivered(struct conn *c, uint32_t n)
{
	c->fwd_cnt += n;
	/* Often enough for the guest not to run dry, and not for each packet. */
	if (c->state == CONN_OPEN && c->fwd_cnt - c->told_fwd >= VSOCK_BUF / 4)
		conn_say(c, DUE_CREDIT);
}

/* Writes what waits; the socket has room, or has failed. */
static void flush(struct conn *c)
{
	while (c->buf_len) {
		uint32_t n = VSOCK_BUF - c->buf_at;

		/* syscall: sendto */
		ssize_t put = send(c->src.fd, c->buf + c->buf_at, n < c->buf_len ? n : c->buf_len,
				   MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (put < 0) {
			if (c->state == CONN_DRAINING)
				conn_free(c);
			else
				conn_say(c, DUE_RST);
			return;
		}
		c->buf_at = (c->buf_at + (uint32_t)put) % VSOCK_BUF;
		c->buf_len -= (uint32_t)put;
		delivered(c, (uint32_t)put);
	}
	if (c->buf_len == 0 && c->state == CONN_DRAINING) {
		conn_free(c);
		return;
	}
	end_output(c);
	watch(c);
}

/* Keeps what the socket did not take; it fits, because the guest had credit for it. */
static int keep(struct conn *c, struct cur *data, uint32_t len)
{
	if (!c->buf)
		c->buf = malloc(VSOCK_BUF);
	if (!c->buf)
		return -ENOMEM;
	while (len) {
		uint32_t at = (c->buf_at + c->buf_len) % VSOCK_BUF;
		uint32_t n = VSOCK_BUF - at < len ? VSOCK_BUF - at : len;

		if (cur_read(data, c->buf + at, n) < 0)
			return -EPROTO;
		c->buf_len += n;
		len -= n;
	}
	watch(c);
	return 0;
}

/**
 * conn_data() - bytes of the guest
 * @data:	holds at least @len bytes
 *
 * Return: 0; -EPROTO if the guest had no credit for them; -EPIPE or another -errno of the socket
 */
int conn_data(struct conn *c, struct cur *data, uint32_t len)
{
	struct iovec iov[IOV_CHUNK];

	if (c->rx_cnt - c->fwd_cnt > VSOCK_BUF || len > VSOCK_BUF - (c->rx_cnt - c->fwd_cnt) ||
	    c->guest_has_ended)
		return -EPROTO;
	c->rx_cnt += len;
	while (len && c->buf_len == 0) {
		struct cur front = *data;
		struct cur piece;
		cur_split(&front, len, &piece);
		struct msghdr m = { .msg_iov = iov,
				    .msg_iovlen = cur_iov(&piece, iov, IOV_CHUNK, NULL) };
		/* syscall: sendmsg */
		ssize_t put = sendmsg(c->src.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (put <= 0)
			break;
		if (cur_skip(data, (size_t)put) < 0)
			return -EPROTO;
		len -= (uint32_t)put;
		delivered(c, (uint32_t)put);
	}
	return len ? keep(c, data, len) : 0;
}

/* The guest ends one or both halves (5.10.6.5). */
void conn_shutdown(struct conn *c, uint32_t flags)
{
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		c->guest_wants_no_more = true;
		c->is_readable = false;
		(void)shutdown(c->src.fd, SHUT_RD);
	}
	if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		c->guest_has_ended = true;
		end_output(c);
	}
	watch(c);
}

static int say_one(struct conn *c, struct cur *room, unsigned due)
{
	static const struct {
		unsigned due;
		uint16_t op;
		uint32_t flags;
	} says[] = {
		{ DUE_REQUEST, VIRTIO_VSOCK_OP_REQUEST, 0 },
		{ DUE_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE, 0 },
		{ DUE_RST, VIRTIO_VSOCK_OP_RST, 0 },
		{ DUE_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND },
		{ DUE_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0 },
	};

	for (size_t n = 0; n < ARRAY_LEN(says); n++)
		if (says[n].due == due)
			return vsock_write_header(c->v, room, c, says[n].op, says[n].flags, 0);
	return -EPROTO;
}

/* Reads from the socket into @data; the header is written afterwards, into @head. */
static int send_data(struct conn *c, struct cur *head, struct cur *data, uint32_t *written)
{
	struct iovec iov[IOV_CHUNK];
	struct cur piece;
	size_t max = credit(c) < VSOCK_PKT_MAX ? credit(c) : VSOCK_PKT_MAX;

	cur_split(data, max, &piece);
	size_t want;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = cur_iov(&piece, iov, IOV_CHUNK, &want) };
	if (want == 0)
		return -EPROTO;
	/* syscall: recvmsg */
	ssize_t n = recvmsg(c->src.fd, &m, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->is_readable = false;
		watch(c);
		return 0;
	}
	if (n <= 0) {
		c->is_readable = false;
		c->host_has_ended = true;
		conn_say(c, n == 0 ? DUE_SHUTDOWN : DUE_RST);
		watch(c);
		return 0;
	}
	c->tx_cnt += (uint32_t)n;
	if ((size_t)n < want) {
		c->is_readable = false;
		watch(c);
	}
	*written += (uint32_t)n;
	int r = vsock_write_header(c->v, head, c, VIRTIO_VSOCK_OP_RW, 0, (uint32_t)n);
	return r < 0 ? r : 1;
}

/**
 * conn_next() - the next packet of a connection that is on the runnable list
 *
 * Puts it off the list when it has nothing more to say; frees it after its last words.
 *
 * Return: 1, 0 or -EPROTO, as vsock_next()
 */
int conn_next(struct conn *c, struct cur *room, uint32_t *written)
{
	int r = 0;

	*written = sizeof(struct virtio_vsock_hdr);
	list_del(&c->run);
	if (c->due) {
		unsigned due = c->due & -c->due;

		r = say_one(c, room, due);
		if (r < 0)
			return r;
		c->due &= ~due;
		r = 1;
		if (due == DUE_RST) {
			conn_free(c);
			return 1;
		}
	} else if (c->is_readable && wants_input(c)) {
		struct cur head, rest = *room;

		cur_split(&rest, sizeof(struct virtio_vsock_hdr), &head);
		if (credit(c) == 0)
			return 0; /* conn_credit() wakes it */
		r = send_data(c, &head, &rest, written);
	}
	if (r >= 0 && (c->due || (c->is_readable && credit(c))))
		run(c);
	return r;
}
