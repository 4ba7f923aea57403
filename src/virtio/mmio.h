/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO (virtio 1.2, 4.2): the register page of one device, version 2 only.  Register
 * accesses come from any vCPU thread; interrupts leave through a callback that pulses the line.
 */
#ifndef PECTEN_VIRTIO_MMIO_H
#define PECTEN_VIRTIO_MMIO_H

#include <stdint.h>

#include "util/compiler.h"

struct event;
struct gm;
struct virtio_dev;
struct virtio_mmio;

#define VIRTIO_MMIO_LEN    0x1000 /* bytes of the register page */
#define VIRTIO_MMIO_NOTIFY 0x50   /* QueueNotify: 32 bits, the queue's index */

/**
 * virtio_mmio_create() - give a device a register page
 * @dev:	borrowed; outlives the transport; its ->transport is set here
 * @gm:		borrowed; outlives the transport
 * @irq:	pulses the interrupt line; any thread, never blocks
 *
 * Return: 0 or -ENOMEM
 */
int virtio_mmio_create(struct virtio_dev *dev, const struct gm *gm, void (*irq)(void *arg),
		       void *arg, struct virtio_mmio **out) MUST_CHECK;

/* Resets the device.  No vCPU runs any more; NULL is fine. */
void virtio_mmio_destroy(struct virtio_mmio *m);

/**
 * virtio_mmio_read(), virtio_mmio_write() - a driver's access
 * @off:	bytes into the page
 * @len:	1, 2, 4 or 8; registers below 0x100 answer to 4 only (4.2.2.2)
 *
 * Any thread.  A write to Status or to config space waits for the device's thread.
 */
uint64_t virtio_mmio_read(struct virtio_mmio *m, uint64_t off, unsigned len);
void virtio_mmio_write(struct virtio_mmio *m, uint64_t off, unsigned len, uint64_t value);

/* Wake-up to bind to a write of @queue to QueueNotify; NULL past the last queue. */
const struct event *virtio_mmio_kick(const struct virtio_mmio *m, unsigned queue);

#endif
