/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the front ends of the renderer have in common: a socket that is served, a context behind it,
 * and a process that wants to count and to stop them from another thread.  Member of each front
 * end's own struct.
 */
#ifndef PECTEN_VTEST_SERVED_H
#define PECTEN_VTEST_SERVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/thread.h"
#include "util/compiler.h"
#include "util/err.h"
#include "venus/ctx.h"

#define SERVED_NAME_SIZE 64U

struct served_config {
	PFN_vkGetInstanceProcAddr gipa;
	struct venus_limits limits;
	const struct venus_budget *budget; /* see venus/ctx.h */
	bool maps_driver_memory;           /* see venus/ctx.h */
	const struct venus_probe *probe;   /* see venus/ctx.h */
	uint64_t spin_ns; /* how long to poll the socket after a message before sleeping */
};

struct served {
	struct served_config cfg;
	struct err *e;  /* serving thread, as all without a note; NULL while not serving */
	_Atomic int fd; /* stays open as long as callbacks can come; -1 while not serving */
	int stop_how;   /* SHUT_RD or SHUT_RDWR, of served_stop() */
	struct err unheard;

	struct mutex lock;
	struct venus_ctx *ctx;       /* written under the lock, by the serving thread only */
	bool is_stopped;             /* lock */
	char name[SERVED_NAME_SIZE]; /* written as ctx is */
};

void served_init(struct served *s, const struct served_config *cfg, int stop_how);
void served_fini(struct served *s);

/**
 * served_begin() - the calling thread serves from now on
 * @fd:		the peer's socket, borrowed until served_end()
 * @e:		for s->e; may be NULL
 *
 * Return: false if served_stop() was called before
 */
bool served_begin(struct served *s, int fd, struct err *e);

/* Keeps what the peer calls itself, made printable and cut to SERVED_NAME_SIZE. */
void served_set_name(struct served *s, const uint8_t *bytes, size_t len);

/**
 * served_open() - create the context
 * @fence, @fatal:	called with @user by the context's threads
 * @ring_placed:	called with @user by this thread; may be NULL
 *
 * Return: 0, or -errno with a sentence in s->e
 */
int served_open(struct served *s, void (*fence)(void *user, uint32_t ring_idx, uint64_t fence_id),
		void (*fatal)(void *user),
		void (*ring_placed)(void *user, uint32_t res_id, uint64_t off),
		void *user) MUST_CHECK;

/* Ends the context; its fences retire meanwhile.  Return: 0 or -ETIMEDOUT */
int served_end(struct served *s) MUST_CHECK;

/*
 * Makes the serving thread come back soon, also from inside the context.  Any thread, until the
 * socket is closed.
 */
void served_stop(struct served *s);

/* Whether the serving thread has a context that it has not begun to end.  Any thread. */
bool served_is_inside(struct served *s);

/* Any thread: zeroes before there is a context.  Return: whether there is one */
bool served_counters(struct served *s, struct venus_counters *out);

/* What the peer calls itself, "" before it has said that.  Any thread. */
void served_name(struct served *s, char name[SERVED_NAME_SIZE]);

#endif
