/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device that echoes what it is sent, for tests of transports. */
#ifndef PECTEN_TESTS_HARNESS_ECHO_H
#define PECTEN_TESTS_HARNESS_ECHO_H

#include "virtio/virtio_dev.h"

struct echo {
	struct virtio_dev dev;
	unsigned starts; /* calls */
	unsigned resets;
	int start_result; /* of echo_start() */
	char written[8];  /* for a test's own config_write() */
};

/* Members of the test's struct virtio_ops. */
int echo_start(struct virtio_dev *dev);
void echo_on_notify(struct virtio_dev *dev, struct vq *vq);
void echo_reset(struct virtio_dev *dev);

#endif
