/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes: executed with nothing inherited but what is named, found beside the running
 * program, watched by a descriptor.
 */
#ifndef PECTEN_HOST_PROC_H
#define PECTEN_HOST_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

#define PROC_PATH_MAX 1024 /* bytes of a program's path */
#define PROC_FDS_MAX  40   /* descriptors handed to a child */
#define PROC_FD_BASE  3    /* number of the first of them in the child */

struct proc_spec {
	const char *path;
	const char *const *argv; /* NULL-terminated, [0] included */
	const char *const *envp; /* NULL-terminated; NULL: our own */
	const int *fds;          /* borrowed; become PROC_FD_BASE, PROC_FD_BASE + 1, ... */
	unsigned nfds;
};

struct proc {
	pid_t pid; /* 0: none */
	int pidfd; /* becomes readable when the child ends; -1: none */
};

#define PROC_NONE                                                                                  \
	(struct proc)                                                                              \
	{                                                                                          \
		.pidfd = -1                                                                        \
	}

/**
 * proc_stderr() - our stderr for a child that shall write to it, and not read
 *
 * A terminal is open for both.  Whoever is in a session or a group of its own could take from it
 * what the user types for others.
 *
 * Return: a descriptor for writing only; -1 if ours is that already, is no terminal, or cannot be
 *	opened anew (another user's; no /proc), so that the child inherits it as it is
 */
int proc_stderr(void) MUST_CHECK;

/**
 * proc_spawn() - execute a program
 * @spec:	borrowed
 * @p:		on success the child; see proc_reap()
 *
 * The child has /dev/null as stdin, our stderr (proc_stderr()) as stdout and stderr, the
 * descriptors of @spec and no others, default signal handling and a process group of its own (a
 * terminal's Ctrl-C is the parent's to handle).
 *
 * Return: 0, or the -errno of posix_spawn() or pidfd_open(); -ENOENT if there is no such program
 */
int proc_spawn(const struct proc_spec *spec, struct proc *p, struct err *e) MUST_CHECK;

/**
 * proc_reap() - collect a child that has ended
 * @timeout_ms:	how long to wait for its end; 0: only look; -1: as long as it takes
 * @status:	as of waitpid(); may be NULL
 *
 * Return: 0 (@p is PROC_NONE then), or -EAGAIN if it still runs
 */
int proc_reap(struct proc *p, int timeout_ms, int *status) MUST_CHECK;

/* Ends a child that need not be asked, and collects it.  PROC_NONE is fine. */
void proc_kill(struct proc *p);

/* "was killed by signal 11 (Segmentation fault)", "ended with status 1". */
void proc_describe(int status, char *text, size_t size);

/**
 * proc_die_with_parent() - be killed when the parent ends
 * @parent:	who is expected to be the parent: if it is not, it has ended already
 *
 * The "parent" is the thread that executed us: it has to live as long as the child.
 *
 * Return: 0, or -ESRCH if the parent is gone
 */
int proc_die_with_parent(pid_t parent) MUST_CHECK;

/**
 * proc_libexec() - find a program of ours
 * @name:	e.g. "pecten-renderer"
 * @dir:	folder of the build tree's src/ that it is built in, e.g. "vtest"
 * @path:	on success its path
 *
 * Looks in $PECTEN_LIBEXEC, then beside the file that holds this code (program or library):
 * ../libexec/pecten, ../../libexec/pecten, and the build tree.
 *
 * Return: 0, or -ENOENT with a sentence
 */
int proc_libexec(const char *name, const char *dir, char *path, size_t size,
		 struct err *e) MUST_CHECK;

#endif
