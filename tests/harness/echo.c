/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/echo.h"

int echo_start(struct virtio_dev *dev)
{
	struct echo *e = container_of(dev, struct echo, dev);

	e->starts++;
	return e->start_result;
}

void echo_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c)) > 0) {
		uint32_t n = (uint32_t)cur_left(&c.rd);

		r = cur_copy(&c.wr, &c.rd, n);
		if (r < 0)
			break;
		vq_push(vq, &c, n);
	}
	if (r < 0)
		virtio_needs_reset(dev, r);
	vq_signal(vq);
}

void echo_reset(struct virtio_dev *dev)
{
	container_of(dev, struct echo, dev)->resets++;
}
