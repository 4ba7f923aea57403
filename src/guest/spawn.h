/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a command in the guest with stdio that the agent pumps. */
#ifndef PECTEN_GUEST_SPAWN_H
#define PECTEN_GUEST_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "guest/spec.h"
#include "util/agent_msg.h"

#define SPAWN_TEXT_MAX 512

/* What went wrong, as a sentence for the user. */
struct spawn_error {
	int code;     /* errno, positive */
	bool is_exec; /* execve() itself failed */
	char text[SPAWN_TEXT_MAX];
};

/* What the child writes to @report if it cannot execute the command; nothing if it can. */
struct spawn_report {
	int32_t stage; /* enum, of spawn.c */
	int32_t code;  /* errno */
};

struct spawned {
	pid_t pid;
	int fd[AGENT_STREAMS]; /* our ends, non-blocking, owned by the caller; -1: none */
	int report;            /* end of file: executed; else a struct spawn_report; owned too */
};

/**
 * spawn() - start a command as a session of its own
 * @s:		what to start; has at least one argument
 * @base:	environment of all commands, under s->env
 * @out:	on success, the process and our ends of its stdio; for a terminal AGENT_STDIN and
 *		AGENT_STDOUT are descriptors of the same pseudo terminal, and AGENT_STDERR is -1
 * @e:		on failure, why
 *
 * The pipes and the terminal belong to the command's user, so that it can reopen /dev/stderr.
 *
 * Return: 0, or -errno
 */
int spawn(const struct cmd_spec *s, const struct strs *base, struct spawned *out,
	  struct spawn_error *e) MUST_CHECK;

/**
 * spawn_explain() - put a child's report into words
 * @s:		what it was to start
 */
void spawn_explain(const struct cmd_spec *s, const struct spawn_report *r, struct spawn_error *e);

/* Sends a signal to a child that has not been waited for. */
void spawn_signal(pid_t pid, int signo);

/* Tells a command, and what it started in the foreground, that nobody listens any more. */
void spawn_hang_up(pid_t pid);

/* Kills every process but the caller, which must be PID 1: elsewhere it does nothing. */
void spawn_kill_all(void);

#endif
