/* SPDX-License-Identifier: Apache-2.0 */
/* Buffered socket of a vtest client: see conn.h. */
#include "vtest/conn.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/thread.h"

/* Room to receive behind the largest message, so that short messages behind it need no move. */
#define SLACK    (64U << 10)
#define BUF_SIZE ((size_t)VTEST_HEADER_SIZE + VTEST_MSG_MAX + SLACK)

int vtest_conn_init(struct vtest_conn *c, int fd)
{
	*c = (struct vtest_conn){ .fd = fd };
	/* Pages appear as messages need them: most clients never touch more than a few. */
	c->buf = mmap(NULL, BUF_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->buf == MAP_FAILED) {
		c->buf = NULL;
		return -ENOMEM;
	}
	return 0;
}

void vtest_conn_fini(struct vtest_conn *c)
{
	if (c->buf)
		(void)munmap(c->buf, BUF_SIZE);
	c->buf = NULL;
}

/* Receives once.  Return: bytes, 0 at the end, or -errno */
static ssize_t receive(struct vtest_conn *c)
{
	uint64_t until = c->spin_ns ? clock_now_ns() + c->spin_ns : 0;
	int flags = c->spin_ns ? MSG_DONTWAIT : 0;

	for (;;) {
		/*
		 * recv() has no room for descriptors: those sent along are closed by the kernel.
		 * #syscalls renderer: recvfrom
		 */
		ssize_t n = recv(c->fd, c->buf + c->end, BUF_SIZE - c->end, flags);

		if (n >= 0)
			return n;
		if (errno == EAGAIN && flags) {
			if (clock_now_ns() >= until)
				flags = 0;
			continue;
		}
		if (errno != EINTR)
			return -errno;
	}
}

int vtest_conn_peek(struct vtest_conn *c, size_t len, const uint8_t **bytes)
{
	if (c->end - c->start < len && c->start > 0) {
		if (c->start == c->end || BUF_SIZE - c->start < len) {
			memmove(c->buf, c->buf + c->start, c->end - c->start);
			c->end -= c->start;
			c->start = 0;
		}
	}
	while (c->end - c->start < len) {
		ssize_t n = receive(c);

		if (n == 0)
			return c->end == c->start ? -ENODATA : -EPIPE;
		if (n < 0)
			return (int)n;
		c->end += (size_t)n;
	}
	*bytes = c->buf + c->start;
	return 0;
}

void vtest_conn_skip(struct vtest_conn *c, size_t len)
{
	c->start += len;
}

int vtest_conn_send(struct vtest_conn *c, const void *bytes, size_t len)
{
	return fd_write_full(c->fd, bytes, len);
}

int vtest_conn_send_fd(struct vtest_conn *c, const void *bytes, size_t len, int fd)
{
	char dummy = 0;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)bytes, .iov_len = len },
		{ .iov_base = &dummy, .iov_len = 1 },
	};
	struct mmsghdr msgs[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1],
			       .msg_iovlen = 1,
			       .msg_control = control.buf,
			       .msg_controllen = sizeof(control.buf) } },
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&msgs[1].msg_hdr);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));

	int n;
	do { /* #syscalls renderer: sendmmsg */
		n = sendmmsg(c->fd, msgs, 2, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 2 && msgs[0].msg_len == len)
		return 0;
	if (n == 2)
		return -EIO; /* a blocking socket does not split a dozen bytes */

	/* Interrupted between the two: the answer may even be incomplete. */
	int r = 0;
	if (msgs[0].msg_len < len)
		r = fd_write_full(c->fd, (const char *)bytes + msgs[0].msg_len,
				  len - msgs[0].msg_len);
	return r < 0 ? r : fd_send(c->fd, &dummy, 1, &fd, 1);
}
