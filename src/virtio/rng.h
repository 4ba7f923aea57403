/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-rng (virtio 1.2, 5.4): the host's random numbers.  The queue belongs to the loop's thread,
 * which may be shared.
 */
#ifndef PECTEN_VIRTIO_RNG_H
#define PECTEN_VIRTIO_RNG_H

#include "util/compiler.h"

struct loop;
struct virtio_dev;
struct virtio_rng;

/** virtio_rng_create() - Return: 0, -ENOMEM or the -errno of the host's descriptors */
int virtio_rng_create(struct loop *loop, struct virtio_rng **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_rng_destroy(struct virtio_rng *r);

struct virtio_dev *virtio_rng_dev(struct virtio_rng *r);

#endif
