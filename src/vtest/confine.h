/* SPDX-License-Identifier: Apache-2.0 */
/* How a renderer process gives up what it does not need, in three stages. */
#ifndef PECTEN_VTEST_CONFINE_H
#define PECTEN_VTEST_CONFINE_H

#include "render/msg.h"
#include "util/compiler.h"
#include "util/err.h"

/**
 * sandbox_early() - before anything is loaded
 *
 * Lost: outliving the owner, gaining privileges by executing, core dumps, being traced.  Sets the
 * environment that drivers see (shader cache, no implicit layers) and raises the soft limit of
 * descriptors.  Also done without a sandbox.
 *
 * Return: 0 or -errno with a sentence
 */
int sandbox_early(const struct render_config *cfg, struct err *e) MUST_CHECK;

/**
 * sandbox_opened() - once the Vulkan loader is open, before it loads drivers
 *
 * Lost: every file but drivers, their settings and device nodes (read-only) and the shader cache
 * folder; all capabilities; TCP; signals to other processes.
 *
 * Return: 0 or -errno with a sentence
 */
int sandbox_opened(const struct render_config *cfg, struct err *e) MUST_CHECK;

/**
 * sandbox_running() - once drivers are loaded, before the first byte of a client is read
 *
 * Lost: every system call that neither we nor the drivers need; among those lost are exec, fork,
 * socket, connect, mount, ptrace, kill.
 *
 * Return: 0 or -errno with a sentence
 */
int sandbox_running(struct err *e) MUST_CHECK;

#endif
