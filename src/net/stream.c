// SPDX-License-Identifier: Apache-2.0
/*
 * Length-prefixed frames: see net/stream.h.  A frame that the socket takes in part is kept whole
 * behind that part, so that the framing survives; at most one is.
 */
#include "net/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/loop.h"
#include "util/log.h"

#define PREFIX    4
#define IOV_CHUNK 64
#define RX_LEN    ((size_t)4 * (NET_FRAME_MAX + PREFIX))

struct net_stream {
	struct loop *loop;
	struct loop_fd src;
	const struct net_stream_ops *ops;
	void *arg;
	unsigned watched;
	bool is_reading;
	bool is_closed;
	bool is_sender_waiting;
	uint8_t tx[NET_FRAME_MAX + PREFIX]; /* rest of a frame, from @tx_at to @tx_end */
	size_t tx_at, tx_end;
	uint8_t rx[RX_LEN]; /* what has been read and not delivered, from @rx_at to @rx_end */
	size_t rx_at, rx_end;
};

static void watch(struct net_stream *s)
{
	unsigned want = s->is_closed ? 0u
				     : (s->is_reading ? (unsigned)LOOP_READ : 0u) |
					       (s->tx_at < s->tx_end ? (unsigned)LOOP_WRITE : 0u);

	if (want == s->watched)
		return;
	if (!want)
		loop_del(&s->src);
	else if (s->src.loop ? loop_mod(&s->src, want) : loop_add(s->loop, &s->src, want))
		log_warn(NET, "the network's socket cannot be watched");
	s->watched = want;
}

static void close_down(struct net_stream *s)
{
	if (s->is_closed)
		return;
	s->is_closed = true;
	s->is_reading = false;
	s->rx_at = s->rx_end = 0;
	s->tx_at = s->tx_end = 0;
	watch(s);
	s->ops->closed(s->arg);
}

/* Hands out whole frames.  Return: false once the receiver has no room or the stream is broken */
static bool deliver(struct net_stream *s)
{
	while (s->rx_end - s->rx_at >= PREFIX) {
		const uint8_t *p = s->rx + s->rx_at;
		size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];

		if (len > NET_FRAME_MAX) {
			log_warn(NET, "the network helper sent a frame of %zu bytes", len);
			close_down(s);
			return false;
		}
		if (s->rx_end - s->rx_at - PREFIX < len)
			break;
		if (len >= NET_FRAME_MIN && !s->ops->frame(s->arg, p + PREFIX, len)) {
			s->is_reading = false;
			return false;
		}
		s->rx_at += PREFIX + len;
	}
	memmove(s->rx, s->rx + s->rx_at, s->rx_end - s->rx_at);
	s->rx_end -= s->rx_at;
	s->rx_at = 0;
	return true;
}

static void receive(struct net_stream *s)
{
	/* syscall: recvfrom */
	ssize_t n = recv(s->src.fd, s->rx + s->rx_end, RX_LEN - s->rx_end, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_down(s);
		return;
	}
	s->rx_end += (size_t)n;
	(void)deliver(s);
}

static void flush(struct net_stream *s)
{
	/* syscall: sendto */
	ssize_t n = send(s->src.fd, s->tx + s->tx_at, s->tx_end - s->tx_at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		close_down(s);
		return;
	}
	s->tx_at += (size_t)n;
}

static void on_event(struct loop_fd *src, unsigned events)
{
	struct net_stream *s = container_of(src, struct net_stream, src);

	if (events & (LOOP_READ | LOOP_HUP) && s->is_reading)
		receive(s);
	else if (events & LOOP_HUP)
		close_down(s);
	if (!s->is_closed && s->tx_at < s->tx_end && events & LOOP_WRITE)
		flush(s);
	watch(s);
	if (s->is_sender_waiting && s->tx_at == s->tx_end) {
		s->is_sender_waiting = false;
		s->ops->writable(s->arg);
	}
}

int net_stream_create(int fd, struct loop *loop, const struct net_stream_ops *ops, void *arg,
		      struct net_stream **out)
{
	struct net_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	s->src = (struct loop_fd){ .fd = fd, .fn = on_event };
	*out = s;
	return 0;
}

void net_stream_destroy(struct net_stream *s)
{
	if (!s)
		return;
	loop_del(&s->src);
	fd_drop(&s->src.fd);
	free(s);
}

void net_stream_pause(struct net_stream *s)
{
	s->is_reading = false;
	watch(s);
}

void net_stream_resume(struct net_stream *s)
{
	if (s->is_closed || s->is_reading)
		return;
	s->is_reading = true;
	(void)deliver(s);
	watch(s);
}

int net_stream_send(struct net_stream *s, struct cur *frame)
{
	struct iovec iov[IOV_CHUNK];
	size_t len = cur_left(frame);
	const uint8_t prefix[PREFIX] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16),
					 (uint8_t)(len >> 8), (uint8_t)len };

	if (s->is_closed)
		return -EPIPE;
	if (s->tx_at < s->tx_end) {
		s->is_sender_waiting = true;
		return -EAGAIN;
	}
	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX)
		return 0;

	iov[0] = (struct iovec){ s->tx, PREFIX };
	memcpy(s->tx, prefix, PREFIX);
	struct msghdr m = { .msg_iov = iov,
			    .msg_iovlen = 1 + cur_iov(frame, iov + 1, IOV_CHUNK - 1, NULL) };
	/* syscall: sendmsg */
	ssize_t n = sendmsg(s->src.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		close_down(s);
		return -EPIPE;
	}
	size_t done = n < 0 ? 0 : (size_t)n;
	if (done == PREFIX + len)
		return 0;

	/* The rest is ours to send; the prefix is in its place already. */
	struct cur rest = *frame;
	size_t sent = done > PREFIX ? done - PREFIX : 0;
	if (cur_skip(&rest, sent) < 0 || cur_read(&rest, s->tx + PREFIX + sent, len - sent) < 0)
		return -EPIPE;
	s->tx_at = done;
	s->tx_end = PREFIX + len;
	watch(s);
	return 0;
}
