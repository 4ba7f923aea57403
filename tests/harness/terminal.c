// SPDX-License-Identifier: Apache-2.0
#include "harness/terminal.h"

#include <errno.h>
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
	int tty = -1;

	t->user = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->user >= 0 && grantpt(t->user) == 0 && unlockpt(t->user) == 0)
		tty = open(ptsname(t->user), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0) {
		print_message("skipped: there are no terminals, is /dev/pts mounted? (%s)\n",
			      strerror(errno));
		(void)close(t->user);
		skip();
	}
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

void read_to_end(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len + 1 < size && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
}

void terminal_end(struct terminal *t, const char *what)
{
	char text[512];

	read_to_end(t->user, text, sizeof(text));
	(void)close(t->user);
	assert_non_null(strstr(text, what));
}
