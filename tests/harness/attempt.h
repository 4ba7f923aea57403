/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process does to find out how it is confined: a table of attempts, some of which must fail
 * and some of which must not.
 */
#ifndef PECTEN_TESTS_HARNESS_ATTEMPT_H
#define PECTEN_TESTS_HARNESS_ATTEMPT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

struct attempt {
	const char *what;
	int (*fn)(void); /* 0 if it came to pass, else -errno */
	bool allowed;
};

/* Tries all of them.  Return: how many did not end as they should; stdout says which */
int attempt_all(const struct attempt *a, size_t n);

/* For such functions: what a system call has returned. */
static inline int result(long r)
{
	return r < 0 ? -errno : 0;
}

/* Attempts that several tables have, the first with what open() or the like has returned. */
int attempt_fd(int fd);
int attempt_socket(void); /* of the family AF_UNIX */
int attempt_thread(void);
int attempt_null_device(void); /* to open it */

#endif
