/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's way to the host's network: a passt process on a socketpair. */
#ifndef PECTEN_API_PASST_H
#define PECTEN_API_PASST_H

#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

#define PASST_PORTS_MAX 32

/* The guest's view; passt answers for the gateway, which is the host's loopback, and for DNS. */
#define PASST_ADDR    UINT32_C(0x0a00020f) /* 10.0.2.15 */
#define PASST_GATEWAY UINT32_C(0x0a000202) /* 10.0.2.2 */
#define PASST_DNS     "10.0.2.3"
#define PASST_PREFIX  24
#define PASST_MTU     65520

struct passt_port {
	uint16_t host;
	uint16_t guest;
};

/**
 * passt_start() - start passt
 * @log:	becomes its stderr; -1: ours
 * @sock:	on success the frames' socket; the caller owns it.  passt ends when it is closed
 * @pid:	on success the process; launch_end()
 *
 * Return: 0; -ENOENT if passt is not installed, -ENETUNREACH if the host has no route,
 *	   -EADDRINUSE if a port is taken; or -errno
 */
int passt_start(const struct passt_port *ports, unsigned nports, int log, int *sock, pid_t *pid,
		struct err *e) MUST_CHECK;

/* Whether passt is installed; @path receives where. Return: 0 or -ENOENT */
int passt_find(char *path, size_t len) MUST_CHECK;

/* Whether the host has a default route. */
int passt_has_route(void);

/**
 * passt_resolv() - text of the guest's resolv.conf: passt's DNS, the host's search domains
 * @text:	receives it
 */
void passt_resolv(char *text, size_t len);

#endif
