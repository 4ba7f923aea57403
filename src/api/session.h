/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a connection to the agent: docs/guest-protocol.md.  A session carries at most
 * one command, whose stdio it pumps to and from descriptors of the caller.  The guest may be
 * hostile: what it may make us keep is AGENT_WINDOW bytes a stream.
 *
 * One thread steps a session; session_signal() and session_resize() may be called by any.
 */
#ifndef PECTEN_API_SESSION_H
#define PECTEN_API_SESSION_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/thread.h"
#include "util/agent_io.h"
#include "util/compiler.h"

#define SESSION_POLLS     5
#define SESSION_TEXT_MAX  1024
#define SESSION_NOTES_MAX 32

/* What to run; borrowed strings. */
struct session_spec {
	unsigned flags; /* AGENT_CMD_ */
	unsigned rows;
	unsigned cols;
	char *const *argv; /* ended by NULL */
	char *const *env;  /* ended by NULL; or NULL */
	const char *cwd;   /* or NULL */
	const char *user;  /* or NULL */
	const struct session_rlimit {
		int resource;
		uint64_t soft;
		uint64_t hard;
	} * rlimits;
	unsigned nrlimits;
};

struct session_exit {
	enum agent_how how;
	int value;
	unsigned flags; /* AGENT_EXIT_ */
	char text[SESSION_TEXT_MAX];
};

/* Output that the caller's descriptor has not taken yet. */
struct session_out {
	uint8_t *buf; /* ring of AGENT_WINDOW bytes */
	size_t at;
	size_t len;
	size_t credit; /* written, not yet given back to the guest */
	bool ends;     /* the guest has closed the stream */
};

struct session {
	bool is_init;
	struct agent_io io;
	int stdio[AGENT_STREAMS]; /* owned; -1: closed */
	uint64_t in_credit;
	struct session_out out[AGENT_STREAMS];
	void (*note)(void *arg, const char *text);
	void *note_arg;
	unsigned notes; /* passed on so far, SESSION_NOTES_MAX at most */

	bool has_hello;
	bool is_ready;   /* READY has come */
	bool has_failed; /* FAILED has come: exit.text says why */
	bool has_cmd;    /* START was sent */
	bool has_exit;   /* EXIT has come; output may still be on its way to the caller */
	bool is_gone;    /* the stream has ended */
	struct session_exit exit;
	char release[64]; /* of the guest's kernel */

	int wake[2]; /* pipe: another thread wants something */
	struct mutex lock;
	uint64_t signals; /* lock: bit n - 1: send signal n */
	bool resize;      /* lock */
	unsigned rows;    /* lock */
	unsigned cols;    /* lock */
};

/**
 * session_init() - begin to talk to an agent
 * @fd:		stream socket; borrowed, made non-blocking
 *
 * Return: 0 or -errno; undo with session_fini()
 */
int session_init(struct session *s, int fd) MUST_CHECK;

/* Also right for a zeroed session. */
void session_fini(struct session *s);

/* Queues a message of the set-up. Return: 0, or agent_io_send()'s error */
int session_send(struct session *s, const struct agent_msg *m) MUST_CHECK;

/**
 * session_run() - describe a command and start it
 * @stdio:	descriptors, taken; -1: none
 *
 * Return: 0; -E2BIG if it does not fit the protocol's limits; -ENOMEM
 */
int session_run(struct session *s, const struct session_spec *spec,
		int stdio[AGENT_STREAMS]) MUST_CHECK;

/**
 * session_polls() - what the session waits for
 * @p:		room for SESSION_POLLS
 */
void session_polls(const struct session *s, struct pollfd *p);

/**
 * session_step() - act on poll()'s answer
 * @buf:	scratch of AGENT_DATA_MAX bytes
 *
 * The end of the stream is no error: see is_gone.
 *
 * Return: 0; -EPROTO if the guest does not keep to the protocol; or -errno
 */
int session_step(struct session *s, const struct pollfd *p, uint8_t *buf) MUST_CHECK;

/* Whether the command has ended, or the stream, and all output has been delivered. */
bool session_is_done(const struct session *s);

/* Any thread. Return: 0, or -EINVAL */
int session_signal(struct session *s, int signo) MUST_CHECK;
void session_resize(struct session *s, unsigned rows, unsigned cols);

/**
 * session_copy_text() - copy words of the guest that may reach a terminal
 * @to:		receives at most @len - 1 bytes and a NUL; control characters become '?'
 */
void session_copy_text(char *to, size_t len, const char *from);

/* Any thread: makes poll() return. */
void session_wake(struct session *s);

#endif
