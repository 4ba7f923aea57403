/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event loop: descriptors, timers and messages from other threads, all handled by one thread.
 * Sources, timers and messages are embedded in the caller's structs; the loop allocates nothing
 * for them and never frees them.
 *
 * A loop without a thread (before loop_bind(), in unit tests, after loop_thread_stop()) runs
 * loop_call() in the caller; several callers take turns, so that nothing that belongs to the loop
 * ever happens on two threads at once.
 */
#ifndef PECTEN_HOST_LOOP_H
#define PECTEN_HOST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/list.h"

struct loop;

enum loop_events {
	LOOP_READ = 1, /* can be read, or the peer is gone */
	LOOP_WRITE = 2,
	LOOP_HUP = 4, /* peer gone or descriptor broken; reported always, never asked for */
};

struct loop_fd {
	int fd; /* borrowed: loop_del() it before it is closed */
	void (*fn)(struct loop_fd *src, unsigned events);
	struct loop *loop; /* NULL while not added */
};

struct loop_timer {
	struct list node;     /* loop's, sorted by deadline */
	uint64_t deadline_ns; /* on CLOCK_MONOTONIC */
	void (*fn)(struct loop_timer *t);
	struct loop *loop; /* NULL while not armed */
};

struct loop_msg {
	struct list node; /* loop's, under its lock */
	void (*fn)(struct loop_msg *m);
};

/** loop_create() - Return: 0, -ENOMEM or the -errno of the host's primitives */
int loop_create(struct loop **out) MUST_CHECK;

/* The loop has no thread any more and no source is used again; NULL is fine. */
void loop_destroy(struct loop *l);

/**
 * loop_add(), loop_mod(), loop_del() - watch a descriptor, level-triggered
 * @src:	->fd and ->fn set by the caller, who keeps it alive until loop_del()
 * @events:	of enum loop_events
 *
 * The loop's thread only.  After loop_del() @src->fn is not called any more, not even for events
 * that have been fetched already.  Deleting what was not added is harmless.
 *
 * Return: 0, or -errno (regular files cannot be watched: -EPERM)
 */
int loop_add(struct loop *l, struct loop_fd *src, unsigned events) MUST_CHECK;
int loop_mod(struct loop_fd *src, unsigned events) MUST_CHECK;
void loop_del(struct loop_fd *src);

/**
 * loop_timer_set() - call @t->fn once at a point in time; an armed timer is moved
 *
 * loop_timer_del() - disarm; harmless if not armed.  The loop's thread only, both.
 */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t deadline_ns);
void loop_timer_del(struct loop_timer *t);

/**
 * loop_post() - have @m->fn called on the loop's thread
 * @m:		embedded in something that lives until @m->fn runs; not posted at the moment
 *
 * Any thread.  Messages run in the order of their posting.
 */
void loop_post(struct loop *l, struct loop_msg *m);

/**
 * loop_call() - run @fn on the loop's thread and wait until it has returned
 *
 * Any thread that holds no lock which the loop's thread may want.
 */
void loop_call(struct loop *l, void (*fn)(void *arg), void *arg);

/* The calling thread announces that it is going to run the loop: calls from others wait for it. */
void loop_bind(struct loop *l);

/** loop_run() - handle events until loop_stop(); binds if that was not done */
void loop_run(struct loop *l);

/* Makes loop_run() return after the current event; any thread. */
void loop_stop(struct loop *l);

/**
 * loop_thread_start() - run the loop on a thread of its own
 * @name:	of the thread, at most 15 bytes
 *
 * Return: 0 or -errno
 */
int loop_thread_start(struct loop *l, const char *name) MUST_CHECK;

/* Stops and joins that thread; messages still queued run in the caller.  Harmless without one. */
void loop_thread_stop(struct loop *l);

#endif
