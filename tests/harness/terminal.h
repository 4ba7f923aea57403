/* SPDX-License-Identifier: Apache-2.0 */
/* A user's terminal, for tests of what child processes may do with it.  Needs cmocka. */
#ifndef PECTEN_TESTS_HARNESS_TERMINAL_H
#define PECTEN_TESTS_HARNESS_TERMINAL_H

#include <stddef.h>

#define TERMINAL_PATIENCE_MS 120000 /* for the end of a child; only a hang takes that long */

struct terminal {
	int user;  /* the user's end */
	int saved; /* standard error before */
};

/*
 * Makes a new terminal the standard error; a line has been typed on it already.  Skips the test
 * where there are no terminals.
 */
void terminal_start(struct terminal *t);
/* The standard error from before; what is typed or printed on the terminal stays. */
void terminal_leave(struct terminal *t);
/* After terminal_leave() and the end of all that had it open: was @what printed?  Closes it. */
void terminal_end(struct terminal *t, const char *what);

/*
 * What came through a pipe, a socket or a terminal whose other ends are closed, as text.  One read
 * is not enough: what is written in parts may arrive in parts.
 */
void read_to_end(int fd, char *text, size_t size);

#endif
