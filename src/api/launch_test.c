// SPDX-License-Identifier: Apache-2.0
/* What a helper program finds when it starts. */
#include "api/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/terminal.h"

/* It is in a session of its own, where job control does not keep it from the terminal. */
static void what_is_typed_is_not_for_helpers(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c", "read x <&2; echo \"<$x>\"; echo said >&2",
				     NULL };
	char text[64] = "";
	struct err e = { 0 };
	struct terminal tty;
	pid_t pid = 0;
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	terminal_start(&tty);
	const struct launch_io io = { .fd = -1, .out = out[1], .err = -1 };
	int r = launch(argv, &io, &pid, &e);
	terminal_leave(&tty);
	(void)close(out[1]);
	assert_int_equal(r, 0);
	assert_int_equal(launch_end(&pid, TERMINAL_PATIENCE_MS), 0);
	read_to_end(out[0], text, sizeof(text));
	assert_string_equal(text, "<>\n");
	(void)close(out[0]);
	terminal_end(&tty, "said");
}

/* A pipe whose reader is gone must not hold the launch up, a socket cannot be opened anew. */
static void other_kinds_of_stderr_are_inherited(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c", "[ -e /proc/$$/fd/2 ]", NULL };
	const struct launch_io io = { .fd = -1, .out = -1, .err = -1 };

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		struct err e = { 0 };
		pid_t pid = 0;
		int ends[2];

		if (kind == 0)
			assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		else
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
					 0);
		assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		int r = launch(argv, &io, &pid, &e);
		assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
		(void)close(saved);
		assert_int_equal(r, 0);
		assert_int_equal(launch_end(&pid, TERMINAL_PATIENCE_MS), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_typed_is_not_for_helpers),
		cmocka_unit_test(other_kinds_of_stderr_are_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
