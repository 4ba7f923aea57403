/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-fs (virtio 1.2, 5.11): carries FUSE requests between the driver and the file server.
 *
 * Both queues belong to the loop's thread, which must be the device's own: it also carries out the
 * short requests, under file system credentials and a umask of its own.  Answers of the server's
 * workers come back to it as messages.
 */
#ifndef PECTEN_VIRTIO_FS_H
#define PECTEN_VIRTIO_FS_H

#include "util/compiler.h"

struct fs;
struct loop;
struct virtio_dev;
struct virtio_fs;

/**
 * virtio_fs_create() - a device for a file server
 * @tag:	name that the guest mounts, at most 35 bytes
 * @fs:		borrowed; outlives the device and serves nobody else
 * @loop:	borrowed; outlives the device
 *
 * Return: 0; -EINVAL for a bad tag; -ENOMEM; or the -errno of the host's descriptors
 */
int virtio_fs_create(const char *tag, struct fs *fs, struct loop *loop,
		     struct virtio_fs **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_fs_destroy(struct virtio_fs *d);

struct virtio_dev *virtio_fs_dev(struct virtio_fs *d);

#endif
