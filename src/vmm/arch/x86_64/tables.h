/* SPDX-License-Identifier: Apache-2.0 */
/* What tells the guest about its machine: ACPI for stock kernels, MP table for libkrunfw's. */
#ifndef PECTEN_VMM_X86_64_TABLES_H
#define PECTEN_VMM_X86_64_TABLES_H

#include <stdint.h>

#include "util/compiler.h"

struct gm;

/* One virtio device on our bus. */
struct x86_device {
	uint64_t gpa;
	uint32_t irq;
};

/**
 * acpi_write() - RSDP at AT_ACPI, XSDT, FADT, MADT, DSDT
 *
 * A hardware-reduced machine (ACPI 6.4, 4.1): no legacy devices, sleep and reset by registers.
 *
 * Return: 0, or -ENOMEM if the area is not RAM or too small
 */
int acpi_write(const struct gm *gm, unsigned cpus, const struct x86_device *devs,
	       unsigned n_devs) MUST_CHECK;

/** mptable_write() - MP configuration table (MP specification 1.4); Return: as acpi_write() */
int mptable_write(const struct gm *gm, unsigned cpus) MUST_CHECK;

#endif
