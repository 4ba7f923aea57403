/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's set-up: root file system, mounts, shares, host name, network, clock. */
#ifndef PECTEN_GUEST_BOOT_H
#define PECTEN_GUEST_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/agent_msg.h"
#include "util/compiler.h"

#define BOOT_TEXT_MAX 512

struct boot_share {
	bool is_ro;
	char *source;
	char *target;
	int fd; /* O_PATH of the source while the root is switched; -1 else */
};

struct boot {
	char *root; /* source; NULL: the set-up has not said */
	bool is_rw;
	uint64_t overlay_mib;
	struct boot_share shares[AGENT_SHARES_MAX];
	unsigned nshares;
	char *hostname;
	bool has_net;
	uint32_t addr;    /* IPv4, host byte order */
	uint32_t gateway; /* 0: none */
	unsigned prefix;
	unsigned mtu;
	char *resolv; /* text of /etc/resolv.conf; NULL: leave the image's alone */
	int overlay;  /* O_PATH of the overlay's RAM; -1: none */
};

/* Zero is not enough because of the descriptor. */
void boot_init(struct boot *b);
void boot_fini(struct boot *b);

/**
 * boot_take() - note one message of the set-up
 *
 * Return: 0; -EPROTO if it makes no sense; -ENOMEM; -E2BIG past AGENT_SHARES_MAX
 */
int boot_take(struct boot *b, const struct agent_msg *m) MUST_CHECK;

/**
 * boot_do() - carry the set-up out; afterwards the user's root is ours
 * @why:	on failure a sentence for the user, BOOT_TEXT_MAX bytes
 *
 * Return: 0 or -errno
 */
int boot_do(struct boot *b, char *why) MUST_CHECK;

/* Whether the RAM behind the overlay is used up. */
bool boot_overlay_is_full(const struct boot *b);

/**
 * boot_say() - put a failure into words
 *
 * Return: -@code
 */
int boot_say(char *why, int code, const char *fmt, ...) PRINTF_FMT(3, 4);

/**
 * boot_net() - set up "lo" and, if asked for, the network card
 *
 * Return: 0, or -errno with a sentence
 */
int boot_net(const struct boot *b, char *why) MUST_CHECK;

#endif
