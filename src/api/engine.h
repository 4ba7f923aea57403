/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine runs the machine's CPUs: one that exists is not yet one that works. */
#ifndef PECTEN_API_ENGINE_H
#define PECTEN_API_ENGINE_H

#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

/**
 * engine_probe_kvm() - have pecten-vm run a tiny guest
 * @program:	path of pecten-vm, see launch_find()
 * @text:	on success a sentence for `pecten doctor`
 *
 * Return: 0 if KVM works; -ENOTSUP, -EACCES or another -errno with a sentence that ends with the
 *	   remedy behind a ';'
 */
int engine_probe_kvm(const char *program, char *text, size_t len, struct err *e) MUST_CHECK;

/**
 * engine_check() - as engine_probe_kvm(), but remembers a success until the host is booted again
 * or pecten-vm is another
 * @names:	folder of the machines' names, of reg_open(); borrowed
 */
int engine_check(const char *program, int names, struct err *e) MUST_CHECK;

#endif
