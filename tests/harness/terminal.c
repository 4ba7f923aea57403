// SPDX-License-Identifier: Apache-2.0
#include "harness/terminal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void terminal_start(struct terminal *t)
{
	t->user = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(t->user >= 0);
	assert_int_equal(grantpt(t->user), 0);
	assert_int_equal(unlockpt(t->user), 0);
	int tty = open(ptsname(t->user), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(tty >= 0);
	t->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_int_equal(dup2(tty, STDERR_FILENO), STDERR_FILENO);
	(void)close(tty);
	assert_int_equal(write(t->user, "secret\n", 7), 7);
}

void terminal_leave(struct terminal *t)
{
	assert_int_equal(dup2(t->saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(t->saved);
}

/* One read is not enough: what was echoed and what was printed arrive one after the other. */
void terminal_end(struct terminal *t, const char *what)
{
	char text[512] = "";
	size_t len = 0;
	ssize_t n;

	while (len + 1 < sizeof(text) &&
	       (n = read(t->user, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	(void)close(t->user);
	text[len] = '\0';
	assert_non_null(strstr(text, what));
}
