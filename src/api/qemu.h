/* SPDX-License-Identifier: Apache-2.0 */
/* Finding QEMU, new enough to let another process serve its devices. */
#ifndef PECTEN_API_QEMU_H
#define PECTEN_API_QEMU_H

#include "api/launch.h"
#include "util/compiler.h"
#include "util/err.h"

#define QEMU_MAJOR 11 /* the first with shared-memory windows over vhost-user */

struct qemu_program {
	char program[LAUNCH_PATH_MAX];
	char root[LAUNCH_PATH_MAX]; /* private folder that it runs from; "": none */
	unsigned major;
	unsigned minor;
};

/**
 * qemu_find() - a QEMU for this CPU
 *
 * $PECTEN_QEMU, then PATH, then the private folder that tools/get-qemu makes.
 *
 * Return: 0, or -ENOENT with a sentence that ends with the remedy behind a ';'
 */
int qemu_find(struct qemu_program *q, struct err *e) MUST_CHECK;

#endif
