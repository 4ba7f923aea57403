/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: serves the host's stream until the VM ends.  docs/guest-protocol.md has the whole
 * conversation.  One thread; everything blocks in one poll().
 */
#ifndef PECTEN_GUEST_AGENT_H
#define PECTEN_GUEST_AGENT_H

#include "util/compiler.h"

struct agent;

/**
 * agent_create() - get ready to serve a stream
 * @fd:		stream to the host; borrowed
 * @out:	on success, the agent; see agent_destroy()
 *
 * SIGCHLD becomes blocked and SIGPIPE ignored.
 *
 * Return: 0 or -errno
 */
int agent_create(int fd, struct agent **out) MUST_CHECK;

/* NULL is fine. */
void agent_destroy(struct agent *a);

/**
 * agent_step() - wait for something and act on it
 * @timeout_ms:	as poll() has it; less where the agent has a deadline of its own
 *
 * Return: 0 to go on; 1 when the host has acknowledged the end; -EPIPE if the host is gone;
 *	   -EPROTO if it does not keep to the protocol; or another -errno
 */
int agent_step(struct agent *a, int timeout_ms) MUST_CHECK;

#endif
