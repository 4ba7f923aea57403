/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command in the guest: its life from the first message of its description to its exit status,
 * and the pumping of its stdio.  Nothing here blocks.
 *
 * Flow control: a stream may carry AGENT_WINDOW bytes and then what the receiver gave credit for.
 * What arrives for stdin is kept until the command reads it; what the command writes stays in its
 * pipe until there is credit and the queue to the host is short.
 */
#ifndef PECTEN_GUEST_CMD_H
#define PECTEN_GUEST_CMD_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/spawn.h"
#include "guest/spec.h"
#include "util/agent_io.h"
#include "util/compiler.h"

enum cmd_state {
	CMD_NONE,     /* the connection has no command yet, or no longer */
	CMD_SPEC,     /* being described */
	CMD_STARTING, /* forked; execve() not yet reported */
	CMD_RUNNING,
	CMD_EXITED, /* reaped; its last output is on the way */
};

struct cmd {
	enum cmd_state state;
	struct cmd_spec spec;
	struct spawned p; /* p.fd[i] is -1 once stream i is closed */
	int status;       /* of waitpid(), from CMD_EXITED on */
	bool is_oom;
	struct spawn_error error; /* code is 0 if it was executed */

	/* host to command */
	uint8_t *in; /* ring of AGENT_WINDOW bytes */
	size_t in_at;
	size_t in_len;
	size_t in_credit; /* read by the command, not yet given back to the host */
	bool in_ends;     /* the host has closed stdin: close after the rest */

	/* command to host, by stream */
	uint64_t credit[AGENT_STREAMS];
	bool has_limit; /* exited, while others hold its pipes: only limit[] bytes are its own */
	int limit[AGENT_STREAMS];
};

#define CMD_POLLS 3 /* pollfds that a command needs at most */

/* Begins with AGENT_CMD. */
void cmd_init(struct cmd *c, const struct agent_msg *m);

/* Releases everything but the process, and leaves CMD_NONE. */
void cmd_fini(struct cmd *c);

/**
 * cmd_describe() - note one message of a command's description
 *
 * Return: 0; -EPROTO, -E2BIG or -ENOMEM
 */
int cmd_describe(struct cmd *c, const struct agent_msg *m) MUST_CHECK;

/**
 * cmd_start() - start what was described
 *
 * On failure the command counts as exited and c->error says why.
 */
void cmd_start(struct cmd *c, const struct strs *base);

/**
 * cmd_take() - DATA, CLOSE, CREDIT, SIGNAL or RESIZE for a command
 *
 * Return: 0; -EPROTO if the host exceeds a window or names a stream that does not exist
 */
int cmd_take(struct cmd *c, const struct agent_msg *m) MUST_CHECK;

/**
 * cmd_reaped() - the process has ended
 * @status:	of waitpid()
 * @is_last:	nobody else holds its pipes: read them to their end
 */
void cmd_reaped(struct cmd *c, int status, bool is_oom, bool is_last);

/**
 * cmd_polls() - what the command waits for
 * @p:		room for CMD_POLLS; unused ones get fd -1
 * @is_busy:	no output is wanted now
 */
void cmd_polls(const struct cmd *c, struct pollfd *p, bool is_busy);

/**
 * cmd_pump() - act on poll()'s answer, and move what can be moved
 * @buf:	scratch of AGENT_DATA_MAX bytes
 *
 * Return: 0, or agent_io_send()'s error
 */
int cmd_pump(struct cmd *c, const struct pollfd *p, struct agent_io *io, uint8_t *buf) MUST_CHECK;

/* Whether everything of an exited command has been passed on, so that its EXIT may be sent. */
bool cmd_is_done(const struct cmd *c);

/**
 * cmd_send_exit() - tell the host how the command ended
 *
 * Return: 0, or agent_io_send()'s error
 */
int cmd_send_exit(const struct cmd *c, struct agent_io *io) MUST_CHECK;

#endif
