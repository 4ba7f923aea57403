/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user back end: offers virtio devices to QEMU, which runs the CPUs and nothing else.  Each
 * device has a socket, whose other end QEMU inherits, and each message there is checked as if the
 * guest had written it, for the guest may own QEMU one day.
 *
 * Threads.  One thread answers all sockets; it waits for a device's thread when the driver starts,
 * stops or configures that device, and for nothing else.  So no device's thread may wait for QEMU:
 * a window (vhost/window.h) answers by callback.
 *
 * The descriptors by which queues are notified and signalled are QEMU's own, and so is their
 * O_NONBLOCK: one that the guest owns can make any of these threads wait for good, and
 * vhost_destroy() for them.  So no device is served by a thread that has other things to do, and
 * who wants to end does not wait for vhost_destroy() without a limit.
 */
#ifndef PECTEN_VHOST_VHOST_H
#define PECTEN_VHOST_VHOST_H

#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

struct vhost;
struct vhost_window;
struct virtio_dev;

#define VHOST_DEVICES_MAX 32

/* Guest memory as we have given it to QEMU: only what lies in it is RAM to the devices. */
struct vhost_ram {
	int fd;       /* shm_create(); borrowed */
	void *host;   /* mapping of all of it; borrowed */
	uint64_t len; /* bytes */
};

struct vhost_conf {
	struct vhost_ram ram;
	/*
	 * QEMU does not keep to the protocol, or has closed a device's socket (then @why is NULL:
	 * it is about to end, or dead).  On the thread of the sockets, at most once for each
	 * device.
	 */
	void (*lost)(void *arg, const char *why);
	void *arg;
};

/** vhost_create() - Return: 0, -ENOMEM or the -errno of the host's primitives */
int vhost_create(const struct vhost_conf *conf, struct vhost **out) MUST_CHECK;

/* Stops the thread and the devices.  QEMU may be there or not; NULL is fine. */
void vhost_destroy(struct vhost *v);

/**
 * vhost_add() - offer one more device
 * @dev:	borrowed; outlives @v; its ->transport is set here and its rings made equally large
 * @w:		window behind one of its shared-memory regions; borrowed; NULL: it has none
 * @sock:	on success QEMU's end of the socket, which the caller owns
 *
 * Before vhost_start().
 *
 * Return: 0; -ENOSPC after VHOST_DEVICES_MAX; or -errno
 */
int vhost_add(struct vhost *v, struct virtio_dev *dev, struct vhost_window *w,
	      int *sock) MUST_CHECK;

/**
 * vhost_start() - begin to answer
 *
 * Devices with a thread of their own have it by now.
 *
 * Return: 0 or -errno
 */
int vhost_start(struct vhost *v) MUST_CHECK;

/**
 * vhost_queues(), vhost_ring(), vhost_config() - what QEMU's command line has to say of a device:
 * number of queues, entries of each ring, bytes of config space
 */
unsigned vhost_queues(const struct virtio_dev *dev);
unsigned vhost_ring(const struct virtio_dev *dev);
unsigned vhost_config_len(const struct virtio_dev *dev);

#endif
