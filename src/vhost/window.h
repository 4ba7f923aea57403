/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared-memory window of a device, filled by QEMU at our request (SHMEM_MAP).  Requests leave on
 * the device's backend channel, in order and a few at a time, and are done when QEMU has
 * acknowledged them.  For a mapping that takes two answers: QEMU answers SHMEM_MAP before the guest
 * can see it, but a request behind it only afterwards.
 *
 * Everything happens on the thread of the device's loop, but for attach and detach.
 */
#ifndef PECTEN_VHOST_WINDOW_H
#define PECTEN_VHOST_WINDOW_H

#include <stdint.h>

#include "mem/window.h"
#include "util/compiler.h"

struct loop;
struct vhost_dev;
struct vhost_window;

/*
 * Live mappings.  QEMU 11 gives each to each vhost device as a memory region and asserts that
 * these are no more than 512, RAM included.  Each new one costs QEMU time that grows with their
 * number and that of the devices, during which the guest stands still: with 400, a guest that gave
 * them all back did so for a minute on a busy host.
 */
#define VHOST_WINDOW_MAPS 256

/**
 * vhost_window_create() - make a window for a device yet to be made
 * @shmid:	id of the shared-memory region
 * @len:	bytes, a power of two
 * @loop:	the device's; borrowed
 *
 * Return: 0, -EINVAL for a bad length, -ENOMEM
 */
int vhost_window_create(uint8_t shmid, uint64_t len, struct loop *loop,
			struct vhost_window **out) MUST_CHECK;

/* After vhost_destroy() and the device's end; NULL is fine. */
void vhost_window_destroy(struct vhost_window *w);

/* For the device. */
struct window *vhost_window(struct vhost_window *w);

/**
 * vhost_window_attach() - QEMU has given us a channel
 * @d:		device with the lock under which @fd is written to
 *
 * Any thread but the device's. Return: 0 or -errno
 */
int vhost_window_attach(struct vhost_window *w, struct vhost_dev *d, int fd) MUST_CHECK;

/* The channel is about to be closed: requests under way fail.  Harmless without one. */
void vhost_window_detach(struct vhost_window *w);

#endif
