/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process gives up: the file system but for a list of paths, privileges, system calls.
 * Each function is one step; a program arranges them in stages of its own.  All of them concern
 * the calling thread and those it starts later, so they come before the first thread, except
 * sandbox_syscalls(), which reaches every thread.
 */
#ifndef PECTEN_HOST_SANDBOX_H
#define PECTEN_HOST_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

enum sandbox_access {
	SANDBOX_READ,   /* file, or folder and all below it */
	SANDBOX_EXEC,   /* the same, and programs there may be executed */
	SANDBOX_WRITE,  /* folder: files and folders in it come and go */
	SANDBOX_DEVICE, /* device node */
};

#define SANDBOX_PATHS_MAX 192

struct sandbox_path {
	char *path; /* absolute */
	enum sandbox_access access;
	int place; /* of sandbox_enter_root(), while it works */
};

struct sandbox_view {
	struct sandbox_path *paths;
	size_t count;
};

/**
 * sandbox_view_add() - let a path be seen
 * @path:	absolute, may have glob(7) wildcards in its last part; copied
 *
 * What does not exist is passed over.
 *
 * Return: 0, -ENOMEM above SANDBOX_PATHS_MAX
 */
int sandbox_view_add(struct sandbox_view *v, const char *path,
		     enum sandbox_access access) MUST_CHECK;

/* A zeroed view is fine. */
void sandbox_view_fini(struct sandbox_view *v);

/**
 * sandbox_privileges() - give up what executing other programs could give
 *
 * No new privileges by exec, no core dumps, not dumpable (no ptrace by others of this user).
 *
 * Return: 0 or -errno
 */
int sandbox_privileges(struct err *e) MUST_CHECK;

/**
 * sandbox_enter_root() - a mount namespace of our own, whose root holds a list of paths alone
 *
 * All but the writable folders are read-only.  The old root stays beneath the new one, where no
 * path leads; for good, if the caller then gives up the capabilities to mount, unmount and chroot.
 * Descriptors of folders go on to lead where they led.
 *
 * Return: 0; -EPERM without the privilege, -EINVAL in a chroot that is no mount point; -errno. What
 *	   is seen is the same as before, then
 */
int sandbox_enter_root(struct sandbox_view *v) MUST_CHECK;

/**
 * sandbox_enter_view() - see nothing but a list of paths
 *
 * With the privilege for it: a mount namespace whose root holds these paths alone, all but the
 * writable folders read-only, and no capability any more.  Then, on every kernel that has it: a
 * Landlock domain with the same rights, without TCP, and without signals or abstract sockets
 * to the outside.  At least one of the two must work.
 *
 * Return: 0; -EOPNOTSUPP with a sentence if this system offers neither; or -errno
 */
int sandbox_enter_view(struct sandbox_view *v, struct err *e) MUST_CHECK;

/*
 * A system call allowed under a condition: (argument & mask) == value, and the same of a second
 * argument unless mask2 is 0.  Several rows are or-ed.
 */
struct sandbox_rule {
	const char *call;
	unsigned arg;
	uint64_t mask;
	uint64_t value;
	unsigned arg2;
	uint64_t mask2;
	uint64_t value2;
};

/**
 * sandbox_syscalls() - allow these system calls and no others
 * @allowed:	names, ended by NULL; those this CPU lacks are passed over
 * @rules:	@count more, with conditions
 *
 * Others fail with ENOSYS, as on an older kernel, so that libraries fall back; those that would
 * leave the sandbox fail with EPERM.  Holds for every thread of the process and for good.
 *
 * Return: 0 or -errno with a sentence
 */
int sandbox_syscalls(const char *const *allowed, const struct sandbox_rule *rules, size_t count,
		     struct err *e) MUST_CHECK;

#endif
