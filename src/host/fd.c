/* SPDX-License-Identifier: Apache-2.0 */
/* Moving bytes and descriptors: see fd.h. */
#include "host/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#include "host/thread.h"

#define NS_PER_MS UINT64_C(1000000)

int fd_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return done ? -EPIPE : -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

int fd_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		/* #syscalls renderer: sendto */
		ssize_t n = send(fd, (const char *)buf + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == ENOTSOCK)
			n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

union fd_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
};

/* One sendmsg() with descriptors, without SIGPIPE.  Return: bytes sent or -errno */
static ssize_t send_some(int sock, const void *buf, size_t len, const int *fds, unsigned nfds,
			 int flags)
{
	union fd_control control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > FD_PASS_MAX)
		return -EINVAL;
	if (nfds) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}

	ssize_t n;
	do {
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int fd_send(int sock, const void *buf, size_t len, const int *fds, unsigned nfds)
{
	ssize_t n = send_some(sock, buf, len, fds, nfds, 0);

	if (n < 0)
		return (int)n;
	if ((size_t)n < len) /* the descriptors went with the first byte */
		return fd_write_full(sock, (const char *)buf + n, len - (size_t)n);
	return 0;
}

/* Return: 0 when a socket takes more (or is broken), -ETIMEDOUT, or -errno */
static int wait_writable(int sock, uint64_t until_ns)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLOUT };
		uint64_t now = clock_now_ns();
		uint64_t left_ms = now < until_ns ? (until_ns - now) / NS_PER_MS + 1 : 0;
		int r = poll(&p, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (left_ms == 0)
			return -ETIMEDOUT;
	}
}

int fd_send_until(int sock, const void *buf, size_t len, const int *fds, unsigned nfds,
		  uint64_t until_ns)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && done < len) {
		ssize_t n = send_some(sock, (const char *)buf + done, len - done, fds,
				      done ? 0 : nfds, MSG_DONTWAIT);

		if (n >= 0)
			done += (size_t)n;
		else
			r = n == -EAGAIN ? wait_writable(sock, until_ns) : (int)n;
	}
	return r;
}

ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, unsigned *nfds)
{
	union fd_control control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	unsigned room = *nfds;

	*nfds = 0;
	ssize_t n;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*nfds < room)
				fds[(*nfds)++] = fd;
			else
				(void)close(fd);
		}
	}
	if (msg.msg_flags & MSG_CTRUNC) {
		while (*nfds)
			(void)close(fds[--*nfds]);
		return -EPROTO;
	}
	return n;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}
