/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a host that says anything to the agent.  The input is a list of portions: a length
 * byte, then that many bytes for the stream.  A length of 0 is followed by a byte that says what
 * happens to the command instead: it writes, reads, closes, or exits.  Processes, mounts and the
 * machine are replaced below, so nothing of the host is touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/agent_peer.h"
#include "guest/agent.h"
#include "guest/boot.h"
#include "guest/platform.h"
#include "guest/spawn.h"

#define PORTIONS 400
#define FAKE_PID 0x3ffffff0 /* above any pid_max, and never signalled: see below */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The other ends of the last command's stdio; the target has one thread. */
static int theirs[AGENT_STREAMS] = { -1, -1, -1 };

static void drop(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int boot_do(struct boot *b, char *why)
{
	if (!b->root)
		return boot_say(why, EPROTO, "no root");
	for (unsigned i = 0; i < b->nshares; i++) {
		if (b->shares[i].target[0] != '/')
			abort();
	}
	if (b->has_net && b->prefix > 32)
		abort();
	return 0;
}

int boot_say(char *why, int code, const char *fmt, ...)
{
	(void)snprintf(why, BOOT_TEXT_MAX, "%s", fmt);
	return -code;
}

bool boot_overlay_is_full(const struct boot *b)
{
	return b->overlay_mib == 1;
}

int platform_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int platform_listen(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void platform_set_clock(uint64_t ns)
{
	(void)ns;
}

void platform_sync(void)
{
}

int spawn(const struct cmd_spec *s, const struct strs *base, struct spawned *out,
	  struct spawn_error *e)
{
	int p[2];

	(void)base;
	if (s->argv.n == 0 || s->argv.v[s->argv.n])
		abort();
	if (s->user && *s->user == 'x') {
		*e = (struct spawn_error){ .code = ENOENT, .text = "no such user" };
		return -ENOENT;
	}
	*out = (struct spawned){ .pid = FAKE_PID, .fd = { -1, -1, -1 } };
	for (int i = 0; i < AGENT_STREAMS; i++) {
		drop(&theirs[i]);
		if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
			abort();
		out->fd[i] = p[i == AGENT_STDIN];
		theirs[i] = p[i != AGENT_STDIN];
	}
	out->report = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

void spawn_explain(const struct cmd_spec *s, const struct spawn_report *r, struct spawn_error *e)
{
	(void)s;
	(void)r;
	e->code = ENOENT;
}

void spawn_signal(pid_t pid, int signo)
{
	(void)pid;
	(void)signo;
}

void spawn_hang_up(pid_t pid)
{
	(void)pid;
}

void spawn_kill_all(void)
{
}

static void act(uint8_t what)
{
	static uint8_t bytes[65536];
	unsigned stream = what % AGENT_STREAMS;
	ssize_t n = 0;

	if (theirs[stream] < 0)
		return;
	if (what & 0x80)
		drop(&theirs[stream]);
	else if (stream == AGENT_STDIN)
		n = read(theirs[stream], bytes, sizeof(bytes));
	else
		n = write(theirs[stream], bytes, (size_t)1 << (what >> 2 & 15));
	(void)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent *a;
	int pair[2];
	int r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    agent_create(pair[0], &a) < 0)
		abort();
	for (unsigned i = 0; i < PORTIONS && size > 0 && r == 0; i++) {
		size_t n = *data++;

		size--;
		if (n == 0 && size > 0) {
			act(*data++);
			size--;
		} else {
			n = n < size ? n : size;
			if (send(pair[1], data, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
				break;
			data += n;
			size -= n;
		}
		r = agent_step(a, 0);
		agent_peer_hear(pair[1]);
	}
	(void)close(pair[1]);
	for (int i = 0; i < 8 && r == 0; i++)
		r = agent_step(a, 0);
	agent_peer_hear(-1);
	agent_destroy(a);
	(void)close(pair[0]);
	for (int i = 0; i < AGENT_STREAMS; i++)
		drop(&theirs[i]);
	return 0;
}
