/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of running machines: a folder each, for the same user only, below $XDG_RUNTIME_DIR/pecten
 * if that is the user's own; or /run/user/UID/pecten, or /tmp/pecten-UID:
 *
 *	lock		locked (flock) by the process that started the machine, as long as it runs
 *	agent		unix socket; each connection reaches the agent in the guest
 *	info.json	for `pecten ps`
 *
 * The folder itself is locked (shared) as long, so that nothing that tidies up /tmp takes old files
 * for forgotten ones.  A folder whose lock is free is left over from a killed process; whoever
 *claims a name removes all such folders first.
 */
#ifndef PECTEN_API_REGISTRY_H
#define PECTEN_API_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pecten.h"
#include "util/compiler.h"
#include "util/err.h"

#define REG_NAME_MAX 63
#define REG_PATH_MAX 512

struct reg_entry {
	char name[REG_NAME_MAX + 1];
	char dir[REG_PATH_MAX];
	int lock;     /* -1: not claimed */
	int dir_lock; /* on the folder; -1 */
	int listener; /* of the agent's socket, not accepted from by us; -1 */
};

/* Whether a name may be used. */
bool reg_name_ok(const char *name);

/**
 * reg_claim() - reserve a name
 * @name:	"" makes one up
 * @entry:	filled in; undo with reg_release()
 *
 * Return: 0; -EBUSY if a running machine has it; or -errno
 */
int reg_claim(const char *name, struct reg_entry *entry, struct err *e) MUST_CHECK;

/* The folder of names, made if need be. Return: a descriptor that the caller owns, or -errno */
int reg_open(struct err *e) MUST_CHECK;

/* The machine has ended.  Harmless on an entry that was not claimed. */
void reg_release(struct reg_entry *entry);

/**
 * reg_publish() - write what `pecten ps` shows
 * @vm_pid:	of the VM process
 */
int reg_publish(const struct reg_entry *entry, const struct pecten_info *info, pid_t vm_pid,
		struct err *e) MUST_CHECK;

/* Return: 1 if a running machine has that name, 0 if not, or -errno */
int reg_is_running(const char *name, struct err *e) MUST_CHECK;

/* Connects to the agent of a running machine. Return: a descriptor, or -errno */
int reg_connect(const char *name, struct err *e) MUST_CHECK;

/* Process of a machine, 0 if unknown. */
pid_t reg_vm_pid(const char *name);

/* As pecten_list(). */
int reg_list(int (*fn)(void *arg, const struct pecten_info *info), void *arg) MUST_CHECK;

#endif
