/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pecten-init: PID 1 and agent of the guest.  It serves the host until the VM ends, and then ends
 * the VM; whatever goes wrong before the host can be told is printed on the console.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest/agent.h"
#include "guest/platform.h"

/* A kernel without /dev/console starts PID 1 without stdio; nothing may land on 0 to 2. */
static void fill_stdio(void)
{
	int fd;

	do {
		fd = open("/", O_PATH);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		(void)close(fd);
}

static void say(const char *what)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "pecten-init: %s\n", what);
	ssize_t done =
		write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line));

	(void)done; /* nobody is left to be told */
}

/* What services expect; the kernel's own limit for its first process is low. */
static void raise_limits(void)
{
	const struct rlimit files = { .rlim_cur = 1024, .rlim_max = 524288 };

	(void)setrlimit(RLIMIT_NOFILE, &files); /* a namespace of a host may refuse */
}

static int serve(int fd)
{
	struct agent *a;
	int r = agent_create(fd, &a);

	while (r == 0)
		r = agent_step(a, -1);
	if (r < 0 && r != -EPIPE) {
		char text[128];

		(void)snprintf(text, sizeof(text), "the agent ends: %s", strerror(-r));
		say(text);
	}
	return r;
}

int main(void)
{
	char why[512];

	fill_stdio();
	raise_limits();

	int r = platform_start(why, sizeof(why));

	if (r == 0)
		r = platform_connect(why, sizeof(why));
	if (r < 0)
		say(why);
	else
		(void)serve(r);
	platform_end();
}
