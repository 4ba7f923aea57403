/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and ending passt, the process that is the guest's network. */
#ifndef PECTEN_NET_PASST_H
#define PECTEN_NET_PASST_H

#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

/* What the guest is told; init sets it up, there is no DHCP on the way. */
#define PASST_GUEST   "10.0.2.15"
#define PASST_PREFIX  24
#define PASST_GATEWAY "10.0.2.2" /* also the host's loopback */
#define PASST_DNS     "10.0.2.3" /* forwarded to the host's resolver */
#define PASST_MTU     65520

#define PASST_FORWARDS_MAX 64

struct passt_forward {
	uint16_t host_port; /* on 127.0.0.1 */
	uint16_t guest_port;
};

struct passt_conf {
	const char *program;                  /* NULL: found in PATH */
	const struct passt_forward *forwards; /* TCP */
	unsigned n_forwards;
};

struct passt {
	pid_t pid;  /* 0: not running */
	int log_fd; /* what it says; read only if it fails */
};

/**
 * passt_start() - start it with one end of a socket pair
 * @fd:		out: the other end, which speaks frames (net/stream.h); the caller owns it
 *
 * It ends when that socket is closed, however we end.
 *
 * Return: 0; -ENOENT if it is not installed; -ENETUNREACH if this host has no route to anywhere;
 *	   -EADDRINUSE and others if it ends at once; each with a sentence
 */
int passt_start(struct passt *p, const struct passt_conf *c, int *fd, struct err *e) MUST_CHECK;

/**
 * passt_check() - whether it still runs
 *
 * Return: 0, or an error with what it said last
 */
int passt_check(struct passt *p, struct err *e) MUST_CHECK;

/* Ends it and waits for its end.  Harmless if it does not run; a zeroed one is fine. */
void passt_stop(struct passt *p);

#endif
