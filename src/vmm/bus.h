/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address decoding: which device answers at an address, for memory and for x86 ports.  Built before
 * the vCPUs run and immutable while they do, so any vCPU thread may access it.
 */
#ifndef PECTEN_VMM_BUS_H
#define PECTEN_VMM_BUS_H

#include <stdint.h>

#include "util/compiler.h"

#define BUS_DEVICES_MAX 48

struct bus_device {
	uint64_t base;
	uint64_t len;
	/* @off is from base; the access lies inside the device as a whole. */
	uint64_t (*read)(void *arg, uint64_t off, unsigned len);
	void (*write)(void *arg, uint64_t off, unsigned len, uint64_t value);
	void *arg;
};

struct bus {
	struct bus_device dev[BUS_DEVICES_MAX];
	unsigned n;
};

/** bus_add() - Return: 0, -EINVAL if it wraps or overlaps, -ENOSPC */
int bus_add(struct bus *b, const struct bus_device *d) MUST_CHECK;

/* Where nothing answers, reads are all ones and writes vanish. */
uint64_t bus_read(const struct bus *b, uint64_t addr, unsigned len);
void bus_write(const struct bus *b, uint64_t addr, unsigned len, uint64_t value);

#endif
