/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vtest protocol (venus.md 10): one client's socket in, one renderer context behind it.
 *
 * The thread that calls vtest_serve() is the connection's thread and the context's thread.
 */
#ifndef PECTEN_VTEST_SERVER_H
#define PECTEN_VTEST_SERVER_H

#include "util/compiler.h"
#include "util/err.h"
#include "vtest/served.h"

#define VTEST_PROTOCOL_MIN 3U /* Mesa 25.0 */
#define VTEST_PROTOCOL     4U /* Mesa 26.2 */

/** vtest_server_create() - Return: 0, -ENOMEM or -errno */
int vtest_server_create(const struct served_config *cfg, struct served **out) MUST_CHECK;

/* vtest_serve() has returned; NULL is fine. */
void vtest_server_destroy(struct served *s);

/**
 * vtest_serve() - speak with a client until it leaves
 * @fd:		its socket, borrowed
 * @e:		on failure, one sentence on what the client did wrong; may be NULL
 *
 * Return: 0 when the client left in order; -EPROTO if it broke the protocol, -ENOMEM if it reached
 *	   a limit, -ECONNRESET if it vanished; -ETIMEDOUT if the host's driver does not come back:
 *	   then threads are still inside the driver and the process shall end with _exit()
 */
int vtest_serve(struct served *s, int fd, struct err *e) MUST_CHECK;

#endif
