/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: owned by a scope until taken, closed once, passed over unix sockets. */
#ifndef PECTEN_HOST_FD_H
#define PECTEN_HOST_FD_H

#include <stdint.h>
#include <unistd.h>

#include "util/compiler.h"

#define FD_PASS_MAX 16 /* descriptors in one message, both ways */

static inline void auto_fd_(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* once: after EINTR the number is free already */
}
#define AUTO_FD CLEANUP(auto_fd_) int

/* Moves a descriptor out of an AUTO_FD variable or a field, which is -1 afterwards. */
static inline int take_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

/* Closes a field's descriptor, if there is one, and marks it closed. */
static inline void fd_drop(int *fd)
{
	auto_fd_(fd);
	*fd = -1;
}

/**
 * fd_read_full(), fd_write_full() - move exactly @len bytes, whatever the kernel splits
 *
 * Return: 0; -ENODATA if the peer closed before the first byte, -EPIPE if in the middle; or the
 *	   -errno of read() or write().  A socket peer that is gone yields -EPIPE, never SIGPIPE.
 */
int fd_read_full(int fd, void *buf, size_t len) MUST_CHECK;
int fd_write_full(int fd, const void *buf, size_t len) MUST_CHECK;

/**
 * fd_send() - one message with descriptors on a unix socket
 * @fds:	borrowed; @nfds at most FD_PASS_MAX
 *
 * Return: 0, or -errno.  Never raises SIGPIPE.
 */
int fd_send(int sock, const void *buf, size_t len, const int *fds, unsigned nfds) MUST_CHECK;

/**
 * fd_send_until() - the same, for a peer that may never read
 * @until_ns:	CLOCK_MONOTONIC
 *
 * Return: 0; -ETIMEDOUT if there was no room by then, perhaps with a part of the message sent; or
 *	   -errno
 */
int fd_send_until(int sock, const void *buf, size_t len, const int *fds, unsigned nfds,
		  uint64_t until_ns) MUST_CHECK;

/**
 * fd_recv() - one message with descriptors from a unix socket
 * @fds:	receives close-on-exec descriptors that the caller owns
 * @nfds:	in: room in @fds; out: how many came.  Superfluous ones are closed.
 *
 * Return: bytes received; 0 at the end; -EPROTO if descriptors were lost; or -errno
 */
ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, unsigned *nfds) MUST_CHECK;

/** fd_set_nonblock() - Return: 0 or -errno */
int fd_set_nonblock(int fd) MUST_CHECK;

#endif
