/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vtest protocol (venus.md 10): one client's socket in, one renderer context behind it.
 *
 * The thread that calls vtest_serve() is the connection's thread and the context's thread.
 */
#ifndef PECTEN_VTEST_SERVER_H
#define PECTEN_VTEST_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "venus/ctx.h"

#define VTEST_PROTOCOL_MIN 3U /* Mesa 25.0 */
#define VTEST_PROTOCOL     4U /* Mesa 26.2 */

struct vtest_server;

struct vtest_config {
	PFN_vkGetInstanceProcAddr gipa;
	struct venus_limits limits;
	uint64_t spin_ns; /* how long to poll the socket after a message before sleeping */
};

/** vtest_server_create() - Return: 0, -ENOMEM or -errno */
int vtest_server_create(const struct vtest_config *cfg, struct vtest_server **out) MUST_CHECK;

/* vtest_serve() has returned; NULL is fine. */
void vtest_server_destroy(struct vtest_server *s);

/**
 * vtest_serve() - speak with a client until it leaves
 * @fd:		its socket, borrowed
 * @e:		on failure, one sentence on what the client did wrong; may be NULL
 *
 * Return: 0 when the client left in order; -EPROTO if it broke the protocol, -ENOMEM if it reached
 *	   a limit, -ECONNRESET if it vanished; -ETIMEDOUT if the host's driver does not come back:
 *	   then threads are still inside the driver and the process shall end with _exit()
 */
int vtest_serve(struct vtest_server *s, int fd, struct err *e) MUST_CHECK;

/*
 * Makes vtest_serve() come back soon, also from inside the context.  Any thread, until the caller
 * of vtest_serve() closes the socket.
 */
void vtest_server_stop(struct vtest_server *s);

/* Any thread: zeroes before the client has created its context. Return: whether it has */
bool vtest_server_counters(struct vtest_server *s, struct venus_counters *out);

/* Name that the client gave for its process, "" before that.  @name: 64 bytes.  Any thread. */
#define VTEST_NAME_SIZE 64U
void vtest_server_client_name(struct vtest_server *s, char name[VTEST_NAME_SIZE]);

#endif
