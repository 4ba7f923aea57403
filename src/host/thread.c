/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and time: see thread.h. */
#include "host/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->c, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / NS_PER_S),
			       .tv_nsec = (long)(deadline_ns % NS_PER_S) };

	return -pthread_cond_timedwait(&c->c, &m->m, &ts);
}

static int start(pthread_t *t, const char *name, const pthread_attr_t *attr, void *(*fn)(void *),
		 void *arg)
{
	sigset_t all;
	sigset_t old;
	char shown[16];

	/* Signals are the main thread's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(t, attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	(void)snprintf(shown, sizeof(shown), "%s", name);
	(void)pthread_setname_np(*t, shown);
	return 0;
}

int thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r != 0)
		return -r;
	r = -pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (r == 0)
		r = start(t, name, &attr, fn, arg);
	(void)pthread_attr_destroy(&attr);
	return r;
}

int thread_start_deep(pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
	return start(t, name, NULL, fn, arg);
}

uint64_t clock_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}
