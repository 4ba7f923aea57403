/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vtest client writes to its socket.  The first byte of an input chooses how the connection
 * begins; the rest is written as it is.  Behind the server is the context that executes nothing.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/thread.h"
#include "vtest/conn.h"
#include "vtest/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX   65536U
#define PATIENCE_MS 20 /* for an answer; then the server is stopped, as when a client vanishes */

enum { BEGIN_NEW, BEGIN_NAMED, BEGIN_V3, BEGIN_V4, BEGIN_KINDS };

struct serving {
	struct served *server;
	int fd;
	int result;
	struct err e;
};

static void *serve(void *arg)
{
	struct serving *s = arg;

	s->result = vtest_serve(s->server, s->fd, &s->e);
	fd_drop(&s->fd);
	return NULL;
}

static void begin(int fd, unsigned kind)
{
	static const uint32_t named[] = { 4, 8, 0x74736574 };
	uint32_t rest[] = { 1, 11, kind == BEGIN_V3 ? 3 : 4, 1, 17, 4, 2, 19, 0, 0, 2, 19, 0, 0 };

	if (kind >= BEGIN_NAMED && fd_write_full(fd, named, sizeof(named)) < 0)
		return;
	if (kind >= BEGIN_V3 && fd_write_full(fd, rest, sizeof(rest)) < 0)
		return;
}

/* Reads answers until the server closes; those with descriptors, too. */
static void drain(struct serving *s, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char bytes[2048];
	int fds[FD_PASS_MAX];

	for (;;) {
		unsigned n = FD_PASS_MAX;

		int r = poll(&p, 1, PATIENCE_MS);
		if (r < 0) /* libFuzzer's alarm */
			continue;
		if (r == 0)
			served_stop(s->server);
		ssize_t got = fd_recv(fd, bytes, sizeof(bytes), fds, &n);
		while (n)
			(void)close(fds[--n]);
		if (got <= 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct served_config cfg = { 0 };
	struct serving s = { 0 };
	int pair[2];
	pthread_t thread;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    vtest_server_create(&cfg, &s.server) < 0)
		abort();
	s.fd = pair[1];

	/* Everything fits into the socket: the server starts when all of it is there. */
	begin(pair[0], data[0] % BEGIN_KINDS);
	if (fd_write_full(pair[0], data + 1, size - 1) < 0 || shutdown(pair[0], SHUT_WR) < 0 ||
	    thread_start(&thread, "serve", serve, &s) < 0)
		abort();
	drain(&s, pair[0]);
	(void)pthread_join(thread, NULL);
	(void)close(pair[0]);

	/* Either it left in order, or there is a sentence for the log. */
	if (s.result < 0 && s.e.text[0] == '\0')
		abort();
	if (s.result == -ETIMEDOUT)
		abort();
	vtest_server_destroy(s.server);
	return 0;
}
