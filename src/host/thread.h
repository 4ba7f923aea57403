/* SPDX-License-Identifier: Apache-2.0 */
/* pthreads with names and with Clang's lock analysis (macOS has no <threads.h>). */
#ifndef PECTEN_HOST_THREAD_H
#define PECTEN_HOST_THREAD_H

#include <pthread.h>
#include <stdint.h>

#include "util/compiler.h"

/*
 * Bytes.  Less than a huge page, which the kernel otherwise makes of the first byte of a stack that
 * happens to hold an aligned one: 2 MiB resident for every such thread.
 */
#define THREAD_STACK (1U << 20)

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
};

#define MUTEX_INIT                                                                                 \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER                                                          \
	}

static inline void mutex_init(struct mutex *m)
{
	(void)pthread_mutex_init(&m->m, NULL);
}

static inline void mutex_fini(struct mutex *m)
{
	(void)pthread_mutex_destroy(&m->m);
}

static inline void mutex_lock(struct mutex *m) ACQUIRE(m) NO_LOCK_ANALYSIS
{
	(void)pthread_mutex_lock(&m->m);
}

static inline void mutex_unlock(struct mutex *m) RELEASE(m) NO_LOCK_ANALYSIS
{
	(void)pthread_mutex_unlock(&m->m);
}

/* Condition on CLOCK_MONOTONIC. */
struct cond {
	pthread_cond_t c;
};

void cond_init(struct cond *c);

static inline void cond_fini(struct cond *c)
{
	(void)pthread_cond_destroy(&c->c);
}

static inline void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m)
{
	(void)pthread_cond_wait(&c->c, &m->m);
}

/**
 * cond_wait_until() - wait for a signal or a point in time
 * @deadline_ns:	on CLOCK_MONOTONIC
 *
 * Return: 0 when woken (perhaps spuriously), -ETIMEDOUT at the deadline
 */
int cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns) REQUIRES(m);

static inline void cond_signal(struct cond *c)
{
	(void)pthread_cond_signal(&c->c);
}

static inline void cond_broadcast(struct cond *c)
{
	(void)pthread_cond_broadcast(&c->c);
}

/**
 * thread_start() - start a thread of our own code, with all signals blocked and THREAD_STACK of
 * stack
 * @name:	shown by ps and gdb; at most 15 bytes are kept
 *
 * Return: 0, or -errno; the caller joins @t
 */
int thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg) MUST_CHECK;

/* The same with as much stack as the system gives: for threads that call drivers and their
 * compilers. */
int thread_start_deep(pthread_t *t, const char *name, void *(*fn)(void *), void *arg) MUST_CHECK;

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_now_ns(void);

#endif
