/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vtest client's socket: whole messages in one buffer, answers in one system call each.
 * One thread.
 */
#ifndef PECTEN_VTEST_CONN_H
#define PECTEN_VTEST_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

#define VTEST_HEADER_SIZE 8U
#define VTEST_MSG_MAX     (4U << 20) /* bytes of a payload; Mesa's largest are some hundred KiB */

struct vtest_conn {
	int fd; /* borrowed */
	uint8_t *buf;
	size_t start;     /* first byte not yet consumed */
	size_t end;       /* past the last byte received */
	uint64_t spin_ns; /* how long to poll for the next message before sleeping */
};

/**
 * vtest_conn_init() - prepare a client's socket
 * @fd:		blocking stream socket, borrowed until vtest_conn_fini()
 *
 * Return: 0 or -ENOMEM
 */
int vtest_conn_init(struct vtest_conn *c, int fd) MUST_CHECK;
void vtest_conn_fini(struct vtest_conn *c);

/**
 * vtest_conn_peek() - have at least @len unconsumed bytes in the buffer
 * @len:	at most VTEST_HEADER_SIZE + VTEST_MSG_MAX
 * @bytes:	where they are; valid until the next call
 *
 * Descriptors that a client sends along are dropped by the kernel.
 *
 * Return: 0; -ENODATA if the client has closed at a message boundary, -EPIPE if inside one; or the
 *	   -errno of recv()
 */
int vtest_conn_peek(struct vtest_conn *c, size_t len, const uint8_t **bytes) MUST_CHECK;

/* Consumes bytes that vtest_conn_peek() has shown. */
void vtest_conn_skip(struct vtest_conn *c, size_t len);

/** vtest_conn_send() - Return: 0, -EPIPE if the client is gone, or -errno */
int vtest_conn_send(struct vtest_conn *c, const void *bytes, size_t len) MUST_CHECK;

/**
 * vtest_conn_send_fd() - an answer and then one byte that carries a descriptor
 *
 * The client reads the answer with read() and the descriptor with recvmsg(), so they have to be two
 * messages; they go out in one system call.
 *
 * Return: as vtest_conn_send()
 */
int vtest_conn_send_fd(struct vtest_conn *c, const void *bytes, size_t len, int fd) MUST_CHECK;

#endif
