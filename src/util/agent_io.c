/* SPDX-License-Identifier: Apache-2.0 */
/* Non-blocking stream of agent messages: see agent_io.h. */
#include "util/agent_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_CAP (2 * AGENT_MSG_MAX)

int agent_io_init(struct agent_io *io, int fd)
{
	*io = (struct agent_io){ .fd = fd, .in = malloc(IN_CAP) };
	return io->in ? 0 : -ENOMEM;
}

void agent_io_fini(struct agent_io *io)
{
	free(io->in);
	free(io->out);
	*io = (struct agent_io){ .fd = -1 };
}

int agent_io_fill(struct agent_io *io)
{
	if (io->in_off > 0) {
		io->in_len -= io->in_off;
		memmove(io->in, io->in + io->in_off, io->in_len);
		io->in_off = 0;
	}
	if (io->in_len == IN_CAP)
		return 0; /* holds at least one whole message, which the caller has yet to take */

	ssize_t n = read(io->fd, io->in + io->in_len, IN_CAP - io->in_len);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ENODATA;
	io->in_len += (size_t)n;
	return 0;
}

int agent_io_next(struct agent_io *io, struct agent_msg *m)
{
	int n = agent_decode(io->in + io->in_off, io->in_len - io->in_off, m);

	if (n <= 0)
		return n;
	io->in_off += (size_t)n;
	return 1;
}

/* Makes room for the largest message. */
static int grow(struct agent_io *io)
{
	if (io->out_off > 0 && (io->out_off == io->out_len || io->out_off > io->out_cap / 2)) {
		io->out_len -= io->out_off;
		memmove(io->out, io->out + io->out_off, io->out_len);
		io->out_off = 0;
	}
	if (io->out_cap - io->out_len >= AGENT_MSG_MAX)
		return 0;
	if (io->out_len - io->out_off >= AGENT_IO_OUT_MAX)
		return -ENOBUFS;

	size_t cap = io->out_cap ? io->out_cap * 2 : 2 * AGENT_MSG_MAX;
	uint8_t *out = realloc(io->out, cap);

	if (!out)
		return -ENOMEM;
	io->out = out;
	io->out_cap = cap;
	return 0;
}

int agent_io_send(struct agent_io *io, const struct agent_msg *m)
{
	int r = grow(io);

	if (r < 0)
		return r;
	r = agent_encode(io->out + io->out_len, io->out_cap - io->out_len, m);
	if (r < 0)
		return r;
	io->out_len += (size_t)r;
	return 0;
}

int agent_io_flush(struct agent_io *io)
{
	while (io->out_off < io->out_len) {
		size_t left = io->out_len - io->out_off;
		ssize_t n = send(io->fd, io->out + io->out_off, left, MSG_NOSIGNAL);

		if (n < 0 && errno == ENOTSOCK)
			n = write(io->fd, io->out + io->out_off, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		io->out_off += (size_t)n;
	}
	io->out_off = 0;
	io->out_len = 0;
	return 0;
}
