/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's context, driven by the virtio-gpu device of its VM over a socket: see render/ctx_msg.h.
 *
 * The thread that calls guest_serve() is the context's thread.
 */
#ifndef PECTEN_VTEST_GUEST_H
#define PECTEN_VTEST_GUEST_H

#include "util/compiler.h"
#include "util/err.h"
#include "vtest/served.h"

/** guest_create() - Return: 0 or -ENOMEM */
int guest_create(const struct served_config *cfg, struct served **out) MUST_CHECK;

/* guest_serve() has returned; NULL is fine. */
void guest_destroy(struct served *s);

/**
 * guest_serve() - carry out what the device asks for until it hangs up
 * @fd:		blocking socket, borrowed
 * @e:		on failure, one sentence; may be NULL
 *
 * Return: 0 when the device has left; -EPROTO if it sent nonsense; -ENOMEM; -ETIMEDOUT if the
 *	   host's driver does not come back: then threads are still inside the driver and the
 *	   process shall end with _exit()
 */
int guest_serve(struct served *s, int fd, struct err *e) MUST_CHECK;

#endif
