/* SPDX-License-Identifier: Apache-2.0 */
/* Listening unix sockets with a path: a dead owner's leftovers are taken over, a live one's never.
 */
#ifndef PECTEN_HOST_LISTEN_H
#define PECTEN_HOST_LISTEN_H

#include <sys/types.h>
#include <sys/un.h>

#include "util/compiler.h"
#include "util/err.h"

#define LISTEN_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct listen_socket {
	int fd;   /* stream socket, close-on-exec, non-blocking; -1: not open, or given away */
	int lock; /* on PATH.lock; its holder owns PATH; -1: not open */
	char path[LISTEN_PATH_MAX];
};

/**
 * listen_open() - listen on a path
 * @mode:	permissions of the socket, e.g. 0600: who may connect
 * @s:		on success open; see listen_close()
 *
 * A file PATH.lock is locked as long as the socket is open.  It tells a dead owner's socket, which
 * is removed, from a live one's, also when two start at the same time.
 *
 * Return: 0; -EADDRINUSE if somebody listens there, -EEXIST if the path is something else than a
 *	   socket, -ENAMETOOLONG, or the -errno of bind() and the like; all with a sentence
 */
int listen_open(const char *path, mode_t mode, struct listen_socket *s, struct err *e) MUST_CHECK;

/* Removes socket and lock file; a socket that is not open is fine. */
void listen_close(struct listen_socket *s);

/**
 * listen_accept() - next client
 *
 * Return: a blocking close-on-exec socket, -EAGAIN if nobody waits, or -errno
 */
int listen_accept(struct listen_socket *s) MUST_CHECK;

#endif
