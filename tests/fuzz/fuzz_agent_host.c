/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a guest that says anything to the library.  The input is a list of portions, a
 * length byte and that many bytes for the stream; a length of 0 closes a descriptor of the caller,
 * as a reader that goes away does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/session.h"
#include "fuzz/agent_peer.h"
#include "host/fd.h"

#define PORTIONS 400

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In the library a thread that has all signals blocked does this work. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -1 : 0;
}

static int step(struct session *s)
{
	static uint8_t buf[AGENT_DATA_MAX];
	struct pollfd p[SESSION_POLLS];

	session_polls(s, p);
	if (poll(p, SESSION_POLLS, 0) < 0)
		return -errno;
	for (unsigned i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		if (s->out[i].len > AGENT_WINDOW || s->out[i].at >= AGENT_WINDOW)
			abort();
	}
	return session_step(s, p, buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "cat";
	static char *argv[] = { name, NULL };
	const struct session_spec spec = { .argv = argv };
	struct session s;
	int pair[2];
	int out[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    pipe2(out, O_CLOEXEC) < 0 || session_init(&s, pair[0]) < 0)
		abort();

	int stdio[AGENT_STREAMS] = { open("/dev/zero", O_RDONLY | O_CLOEXEC),
				     open("/dev/null", O_WRONLY | O_CLOEXEC), out[1] };

	r = session_run(&s, &spec, stdio);
	for (unsigned i = 0; i < PORTIONS && size > 0 && r == 0; i++) {
		size_t n = *data++;

		size--;
		n = n < size ? n : size;
		if (n == 0)
			fd_drop(&out[0]);
		else if (send(pair[1], data, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
			break;
		data += n;
		size -= n;
		r = step(&s);
		agent_peer_hear(pair[1]);
	}
	(void)close(pair[1]);
	for (int i = 0; i < 8 && r == 0; i++)
		r = step(&s);
	agent_peer_hear(-1);
	session_fini(&s);
	(void)close(pair[0]);
	fd_drop(&out[0]);
	return 0;
}
