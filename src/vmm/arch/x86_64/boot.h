/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel finds in memory when it starts: see Linux Documentation/arch/x86/boot.rst. */
#ifndef PECTEN_VMM_X86_64_BOOT_H
#define PECTEN_VMM_X86_64_BOOT_H

#include "hyp/hyp.h"
#include "util/err.h"

struct gm;
struct kernel;

/**
 * boot_write() - boot parameters, command line, page tables and descriptor table
 * @ram:	bytes of RAM in all, laid out by machine_map_ram()
 * @cmdline:	kernel command line
 * @b:		out: how the boot CPU starts
 *
 * Return: 0; -E2BIG if the command line is too long for this kernel; -ENOMEM if the first MiB is
 *not RAM
 */
int boot_write(const struct gm *gm, uint64_t ram, const struct kernel *k, const char *cmdline,
	       struct hyp_boot *b, struct err *e) MUST_CHECK;

#endif
