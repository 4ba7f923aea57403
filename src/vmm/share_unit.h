/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's file system device: one virtio-fs with the tag "pecten", whose tree holds /init,
 * empty folders to mount on, and each share under its name.
 */
#ifndef PECTEN_VMM_SHARE_UNIT_H
#define PECTEN_VMM_SHARE_UNIT_H

#include "util/err.h"

struct loop;
struct share_unit;
struct virtio_dev;
struct vm_config;

/**
 * share_unit_create() - file server and device
 * @c:		->init_fd and ->shares are borrowed for the call
 * @loop:	the device's own; borrowed
 *
 * Opens what it needs by path, so it comes before confinement.
 *
 * Return: 0, or -errno with a sentence
 */
int share_unit_create(const struct vm_config *c, struct loop *loop, struct share_unit **out,
		      struct err *e) MUST_CHECK;

/* @u as void, for the device list.  The loop has no thread any more; NULL is fine. */
void share_unit_destroy(void *u);

/** share_unit_start() - start the server's workers, confined as the caller is */
int share_unit_start(void *u, struct err *e) MUST_CHECK;

struct virtio_dev *share_unit_dev(const struct share_unit *u);

#endif
