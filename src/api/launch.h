/* SPDX-License-Identifier: Apache-2.0 */
/* Helper programs: finding and starting pecten-vm and passt, without privilege or leftovers. */
#ifndef PECTEN_API_LAUNCH_H
#define PECTEN_API_LAUNCH_H

#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

#define LAUNCH_PATH_MAX 1024

/* Descriptors of a helper. */
struct launch_io {
	int fd;  /* becomes 3; -1: none */
	int out; /* stdout; -1: /dev/null */
	int err; /* stderr; -1: ours, for writing only (proc_stderr()) */
};

/**
 * launch_find() - where one of our own helper programs is
 * @name:	"pecten-vm"
 * @path:	receives it, LAUNCH_PATH_MAX bytes
 *
 * $PECTEN_LIBEXEC, the folder of the running program, libexec/pecten beside that folder, and the
 * installation's own are tried in this order.
 *
 * Return: 0, or -ENOENT with a sentence
 */
int launch_find(const char *name, char *path, struct err *e) MUST_CHECK;

/**
 * launch() - start a program in a session of its own, with no descriptor but these
 * @argv:	path, arguments, NULL
 * @io:		borrowed
 * @pid:	on success the process; the caller waits for it with launch_end()
 *
 * stdin is /dev/null; signals are as a new program expects them.
 *
 * Return: 0 or -errno
 */
int launch(const char *const *argv, const struct launch_io *io, pid_t *pid,
	   struct err *e) MUST_CHECK;

/**
 * launch_ask() - run a helper that answers in one line within 10 s
 * @text:	receives the first line of its stdout
 *
 * Return: its exit status; -EIO if it crashed; -ETIMEDOUT or another -errno with a sentence
 */
int launch_ask(const char *const *argv, char *text, size_t len, struct err *e) MUST_CHECK;

/**
 * launch_end() - wait for a process, and kill it if it outlasts a time
 * @pid:	0 is fine; 0 afterwards
 *
 * Return: waitpid()'s status, or 0
 */
int launch_end(pid_t *pid, unsigned timeout_ms);

#endif
