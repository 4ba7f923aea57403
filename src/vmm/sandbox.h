/* SPDX-License-Identifier: Apache-2.0 */
/* What the VM process gives up before the guest's first instruction. */
#ifndef PECTEN_VMM_SANDBOX_H
#define PECTEN_VMM_SANDBOX_H

#include "util/err.h"

struct vm_config;

/**
 * sandbox_shares() - let no path lead out of a share
 * @c:		descriptors of its shares are replaced
 *
 * Where we may mount, and paths are going to be hidden: each share becomes a mount of its own, with
 * what is mounted below it now, whose root has nothing above it.  Read-only ones become read-only
 * mounts.  Called before anybody takes the descriptors.  Elsewhere nothing changes.
 */
void sandbox_shares(struct vm_config *c);

/**
 * sandbox_early() - give up files and privileges
 * @c:		its shares stay reachable: read-only ones for reading
 *
 * Called with everything opened that has a path (/dev/kvm, the kernel, libraries) and before any
 * thread is started, since all of it applies to the calling thread and those it starts.  After it
 * no file can be opened but beneath a share (Landlock; where the kernel lacks it, only a warning),
 * nothing can be gained by execution, and of root's capabilities those remain that a file server
 * needs.  Root sees no path but /proc/self either, unless the guest may connect to sockets of the
 * host.
 *
 * Return: 0, or -errno with a sentence
 */
int sandbox_early(const struct vm_config *c, struct err *e) MUST_CHECK;

/**
 * sandbox_running() - give up system calls
 * @c:		whether the guest may connect to unix sockets of the host
 *
 * Called when all threads that exist at the start do exist; covers them and all later ones.  After
 * it no program can be executed, nothing be mounted or traced: such an attempt kills the process
 * (SIGSYS) and is logged by the host's kernel.  No socket can be connected to anything, but to unix
 * ones if the configuration has such a port.  Other calls that
 * are not needed fail with EPERM, or with ENOSYS where a library then falls back.
 *
 * Return: 0, or -errno with a sentence
 */
int sandbox_running(const struct vm_config *c, struct err *e) MUST_CHECK;

#endif
