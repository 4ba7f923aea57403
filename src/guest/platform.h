/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's PID 1 needs of the machine around it.  platform_vm.c is the virtual machine;
 * tests/guest/platform_ns.c puts the same program into namespaces of a host, where the stream is
 * a socketpair and shares are folders.
 */
#ifndef PECTEN_GUEST_PLATFORM_H
#define PECTEN_GUEST_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/**
 * platform_start() - what must happen before anything else: modules, the first mounts
 *
 * Return: 0, or -errno with a sentence in @why
 */
int platform_start(char *why, size_t len) MUST_CHECK;

/**
 * platform_connect() - open the stream to the host
 *
 * Return: a descriptor that the caller owns, or -errno with a sentence in @why
 */
int platform_connect(char *why, size_t len) MUST_CHECK;

/**
 * platform_listen() - accept further connections of the host from here on
 *
 * Return: a non-blocking listening socket that the caller owns, or -errno
 */
int platform_listen(void) MUST_CHECK;

/**
 * platform_accept() - the next connection of the host
 * @listener:	of platform_listen()
 *
 * Processes of the guest can connect to the same port, and are turned away: who speaks to the agent
 * runs commands as root.
 *
 * Return: a non-blocking descriptor that the caller owns; -EACCES for one that was turned away; or
 *	   -errno
 */
int platform_accept(int listener) MUST_CHECK;

/**
 * platform_share() - where a share can be bind-mounted from
 * @source:	its name in the host's set-up: one or more components, no ".."
 * @work:	an empty folder in RAM that exists until the root is switched
 * @path:	receives an absolute path
 *
 * Return: 0, or -errno
 */
int platform_share(const char *source, const char *work, char *path, size_t len) MUST_CHECK;

/**
 * platform_mount_dev() - mount device nodes
 * @at:		folder of the new root, which is "/" by now and has its /proc
 *
 * Return: 0 or -errno
 */
int platform_mount_dev(const char *at) MUST_CHECK;

/* Sets the clock to @ns since 1970, unless it is right within 50 ms. */
void platform_set_clock(uint64_t ns);

/* Flushes what was written to shares. */
void platform_sync(void);

/* Ends the machine at once. */
NORETURN void platform_end(void);

#endif
