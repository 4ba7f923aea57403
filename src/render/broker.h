/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renderers for a VM process, which is confined and cannot execute anything: a broker, a process of
 * the user's own, does it.  All it is ever told is "here is a socket, give it a renderer".
 */
#ifndef PECTEN_RENDER_BROKER_H
#define PECTEN_RENDER_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

#define BROKER_MAGIC 0x6b627067U /* "gpbk" */

/* The one message, a packet with one descriptor. */
struct broker_msg {
	uint32_t magic;
	uint32_t pad;
};

/**
 * broker_connect() - ask for a renderer
 * @broker:	SOCK_SEQPACKET socket to the broker; borrowed
 * @sock:	on success a non-blocking SOCK_SEQPACKET socket to the renderer, which the caller
 *		owns; it hangs up if there is to be none
 *
 * Does not wait for anybody.
 *
 * Return: 0; -EPIPE if there is no broker any more; -EAGAIN if it does not listen; or -errno
 */
int broker_connect(int broker, int *sock) MUST_CHECK;

struct broker_config {
	int sock;             /* to the VM process; borrowed */
	uint32_t log_level;   /* of renderers */
	uint64_t memory;      /* bytes that all may allocate together; 0: no limit */
	bool counts_all;      /* of them: also what the guest cannot map */
	bool maps_driver;     /* see maps_driver_memory in venus/ctx.h */
	unsigned contexts;    /* renderers at a time */
	const char *cache;    /* folder for shader caches; NULL for none */
	uint64_t cache_bytes; /* its size at most */
	/*
	 * What became of the first renderer, called once: code 0, or -errno with a sentence for the
	 * user.  NULL: none is started before the guest needs it.
	 */
	void (*first)(void *arg, int code, const char *text);
	void *arg;
};

/**
 * broker_run() - serve until the VM process hangs up
 *
 * Return: 0, or -errno with a sentence
 */
int broker_run(const struct broker_config *cfg, struct err *e) MUST_CHECK;

#endif
