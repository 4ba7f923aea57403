/* SPDX-License-Identifier: Apache-2.0 */
/* Address decoding: see bus.h. */
#include "vmm/bus.h"

#include <errno.h>

#include "util/ckd.h"

int bus_add(struct bus *b, const struct bus_device *d)
{
	uint64_t end;

	if (d->len == 0 || ckd_add(&end, d->base, d->len))
		return -EINVAL;
	for (unsigned i = 0; i < b->n; i++) {
		if (d->base < b->dev[i].base + b->dev[i].len && b->dev[i].base < end)
			return -EINVAL;
	}
	if (b->n == BUS_DEVICES_MAX)
		return -ENOSPC;
	b->dev[b->n++] = *d;
	return 0;
}

static const struct bus_device *bus_find(const struct bus *b, uint64_t addr, unsigned len)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct bus_device *d = &b->dev[i];

		if (addr >= d->base && range_fits(addr - d->base, len, d->len))
			return d;
	}
	return NULL;
}

uint64_t bus_read(const struct bus *b, uint64_t addr, unsigned len)
{
	const struct bus_device *d = bus_find(b, addr, len);
	uint64_t ones = len < 8 ? (UINT64_C(1) << (8 * len)) - 1 : UINT64_MAX;

	return d ? d->read(d->arg, addr - d->base, len) & ones : ones;
}

void bus_write(const struct bus *b, uint64_t addr, unsigned len, uint64_t value)
{
	const struct bus_device *d = bus_find(b, addr, len);

	if (d)
		d->write(d->arg, addr - d->base, len, value);
}
