/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (virtio 1.2, 5.5): pages that the guest does not use go back to the host, by
 * themselves as the guest frees them (free page reporting) or on our demand (inflation).
 *
 * All queues belong to the loop's thread, which may be shared.
 */
#ifndef PECTEN_VIRTIO_BALLOON_H
#define PECTEN_VIRTIO_BALLOON_H

#include <stdint.h>

#include "util/compiler.h"

struct loop;
struct virtio_balloon;
struct virtio_dev;

/**
 * virtio_balloon_create() - a balloon
 * @discard:	gives page-aligned RAM back to the host, after which it reads as zero
 * (ram_discard())
 *
 * Return: 0, -ENOMEM or the -errno of the host's descriptors
 */
int virtio_balloon_create(int (*discard)(void *at, uint64_t len), struct loop *loop,
			  struct virtio_balloon **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_balloon_destroy(struct virtio_balloon *b);

/* How much RAM the guest shall do without, in MiB; the device's thread. */
void virtio_balloon_set_target(struct virtio_balloon *b, uint32_t mib);

/* How much it does without, in MiB; any thread. */
uint32_t virtio_balloon_actual(struct virtio_balloon *b);

struct virtio_dev *virtio_balloon_dev(struct virtio_balloon *b);

#endif
