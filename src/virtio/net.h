/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1) with one pair of queues, on a stream of frames.
 *
 * All queues belong to the loop's thread, which may be shared: nothing here blocks.
 */
#ifndef PECTEN_VIRTIO_NET_H
#define PECTEN_VIRTIO_NET_H

#include <stdint.h>

#include "util/compiler.h"

struct loop;
struct virtio_dev;
struct virtio_net;

/**
 * virtio_net_create() - a network card
 * @fd:		connected socket that speaks frames (net/stream.h); taken, also on failure
 * @mac:	the guest's address
 * @mtu:	bytes of payload that the guest shall use; 0: not said
 * @loop:	borrowed; outlives the device
 *
 * Return: 0, -ENOMEM or the -errno of the host's descriptors
 */
int virtio_net_create(int fd, const uint8_t mac[6], uint16_t mtu, struct loop *loop,
		      struct virtio_net **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_net_destroy(struct virtio_net *n);

struct virtio_dev *virtio_net_dev(struct virtio_net *n);

#endif
