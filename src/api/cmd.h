/* SPDX-License-Identifier: Apache-2.0 */
/* struct pecten_cmd inside the library: a description, and while it runs a session. */
#ifndef PECTEN_API_CMD_H
#define PECTEN_API_CMD_H

#include "api/session.h"
#include "host/thread.h"
#include "pecten.h"
#include "util/err.h"

#define CMD_RLIMITS_MAX 16

enum cmd_phase { CMD_DESCRIBED, CMD_RUNS, CMD_ENDED };

/* A growing list of strings, ended by NULL. */
struct words {
	char **v;
	size_t n;
};

struct pecten_cmd {
	struct words argv;
	struct words env;
	char *cwd;
	char *user;
	struct session_rlimit rlimits[CMD_RLIMITS_MAX];
	unsigned nrlimits;
	unsigned flags; /* AGENT_CMD_ */
	unsigned rows;
	unsigned cols;
	int stdio[AGENT_STREAMS];
	struct err err;

	/* a further command has a session and a thread of its own */
	struct session own;
	int sock; /* of it; -1 */
	bool has_thread;
	pthread_t thread;

	int done[2]; /* pipe, whose writing end is closed when the command has ended */
	struct mutex lock;
	struct cond changed;
	enum cmd_phase phase;    /* lock */
	struct session *session; /* lock; NULL when it does not run */
	struct pecten_exit how;  /* lock */
	/* Somebody who must let go before the object is freed: the workload's machine. */
	void (*release)(void *arg); /* lock */
	void *release_arg;          /* lock */
};

/* Appends a copy. Return: 0, -E2BIG past AGENT_ITEMS_MAX, or -ENOMEM */
int words_add(struct words *w, const char *text) MUST_CHECK;
void words_fini(struct words *w);

/**
 * cmd_begin() - put the command on a session
 * @s:		borrowed until cmd_end()
 * @release:	called by pecten_cmd_destroy() while the command runs; makes cmd_end() happen
 *
 * Return: 0; -EBUSY if it was started before; or session_run()'s error, with a sentence in
 *	   cmd->err
 */
int cmd_begin(struct pecten_cmd *cmd, struct session *s, void (*release)(void *arg),
	      void *arg) MUST_CHECK;

/* The session is not used any more; whoever waits learns how the command ended. */
void cmd_end(struct pecten_cmd *cmd, const struct pecten_exit *how);

/**
 * cmd_start_thread() - serve a further command by a thread of its own
 * @sock:	connection to the agent, taken
 *
 * Return: as cmd_begin()
 */
int cmd_start_thread(struct pecten_cmd *cmd, int sock) MUST_CHECK;

/* What a session's EXIT means; @s->has_exit is true. */
void exit_of_session(const struct session *s, struct pecten_exit *how);

/* The machine is gone. */
void exit_of_machine(struct pecten_exit *how, const char *text);

#endif
