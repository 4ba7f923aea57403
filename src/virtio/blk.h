/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (virtio 1.2, 5.2) on a disk image.
 *
 * The queue belongs to the loop's thread, which must be the device's own: it waits for the disk.
 */
#ifndef PECTEN_VIRTIO_BLK_H
#define PECTEN_VIRTIO_BLK_H

#include "util/compiler.h"

#define VIRTIO_BLK_SERIAL 20 /* bytes; shorter ones end with a zero */

struct disk;
struct loop;
struct virtio_blk;
struct virtio_dev;

/**
 * virtio_blk_create() - a device for an image
 * @disk:	taken on success
 * @serial:	what the guest reads as the disk's id; cut to VIRTIO_BLK_SERIAL bytes
 * @loop:	borrowed; outlives the device
 *
 * Return: 0, -ENOMEM or the -errno of the host's descriptors
 */
int virtio_blk_create(struct disk *disk, const char *serial, struct loop *loop,
		      struct virtio_blk **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_blk_destroy(struct virtio_blk *b);

struct virtio_dev *virtio_blk_dev(struct virtio_blk *b);

#endif
