/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wake-up that has a descriptor: signalled from anywhere, also by the kernel (ioeventfd) or by
 * another process; signals before a drain add up to one.
 */
#ifndef PECTEN_HOST_EVENT_H
#define PECTEN_HOST_EVENT_H

#include <stdbool.h>

#include "util/compiler.h"

struct event {
	int rfd; /* readable while signalled; owned */
	int wfd; /* the same number where the host has eventfd; a pipe's other end elsewhere */
};

#define EVENT_NONE                                                                                 \
	(struct event)                                                                             \
	{                                                                                          \
		.rfd = -1, .wfd = -1                                                               \
	}

/** event_open() - Return: 0, or -errno, and then @ev is EVENT_NONE */
int event_open(struct event *ev) MUST_CHECK;

/* Harmless on EVENT_NONE, which it leaves behind. */
void event_close(struct event *ev);

/**
 * event_replace() - be signalled through an eventfd that somebody else has made
 * @fd:		non-blocking; borrowed: it is duplicated
 *
 * Nobody waits for the event meanwhile.  The numbers in @ev stay.
 *
 * Return: 0 or -errno
 */
int event_replace(struct event *ev, int fd) MUST_CHECK;

/* Any thread; never blocks. */
void event_signal(const struct event *ev);

/** event_drain() - Return: whether it was signalled since the last drain */
bool event_drain(const struct event *ev);

#endif
