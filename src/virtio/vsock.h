/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2, 5.10): carries packets between the driver and the switchboard.
 *
 * All queues belong to the loop's thread, which may be shared: nothing here blocks.
 */
#ifndef PECTEN_VIRTIO_VSOCK_H
#define PECTEN_VIRTIO_VSOCK_H

#include <stdint.h>

#include "util/compiler.h"

struct loop;
struct virtio_dev;
struct virtio_vsock;
struct vsock;

/**
 * virtio_vsock_create() - a device and its switchboard
 * @cid:	the guest's context id, 3 or more
 * @loop:	borrowed; outlives the device
 *
 * Return: 0, -ENOMEM or the -errno of the host's descriptors
 */
int virtio_vsock_create(uint64_t cid, struct loop *loop, struct virtio_vsock **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_vsock_destroy(struct virtio_vsock *d);

/* For the vsock_add_ functions, before the VM starts. */
struct vsock *virtio_vsock_ports(struct virtio_vsock *d);

struct virtio_dev *virtio_vsock_dev(struct virtio_vsock *d);

#endif
