/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's context, driven by the virtio-gpu device of its VM over a socket: see render/ctx_msg.h.
 *
 * The thread that calls guest_serve() is the context's thread.
 */
#ifndef PECTEN_VTEST_GUEST_H
#define PECTEN_VTEST_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "venus/ctx.h"

struct guest_server;

struct guest_config {
	PFN_vkGetInstanceProcAddr gipa;
	struct venus_limits limits;
	uint64_t spin_ns; /* how long to poll the socket after a message before sleeping */
};

/** guest_create() - Return: 0 or -ENOMEM */
int guest_create(const struct guest_config *cfg, struct guest_server **out) MUST_CHECK;

/* guest_serve() has returned; NULL is fine. */
void guest_destroy(struct guest_server *s);

/**
 * guest_serve() - carry out what the device asks for until it hangs up
 * @fd:		blocking socket, borrowed
 * @e:		on failure, one sentence; may be NULL
 *
 * Return: 0 when the device has left; -EPROTO if it sent nonsense; -ENOMEM; -ETIMEDOUT if the
 *	   host's driver does not come back: then threads are still inside the driver and the
 *	   process shall end with _exit()
 */
int guest_serve(struct guest_server *s, int fd, struct err *e) MUST_CHECK;

/* Makes guest_serve() come back soon, also from inside the context.  Any thread. */
void guest_stop(struct guest_server *s);

/* Any thread: zeroes before the context exists.  Return: whether it does */
bool guest_counters(struct guest_server *s, struct venus_counters *out);

/* Name of the guest's process, "" before it is known.  @name: 64 bytes.  Any thread. */
#define GUEST_NAME_SIZE 64U
void guest_name(struct guest_server *s, char name[GUEST_NAME_SIZE]);

#endif
