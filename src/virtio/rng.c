// SPDX-License-Identifier: Apache-2.0
/* virtio-rng: see virtio/rng.h. */
#include "virtio/rng.h"

#include <errno.h>

#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "virtio/virtio_dev.h"

#define CHUNK       256  /* what getrandom() gives without interruption */
#define REQUEST_MAX 4096 /* bytes for one chain; the driver asks again for more */

struct virtio_rng {
	struct virtio_dev dev;
};

static uint32_t fill(struct cur *wr)
{
	uint8_t buf[CHUNK];
	uint32_t sum = 0;

	while (sum < REQUEST_MAX && cur_left(wr) > 0) {
		size_t want = cur_left(wr) < sizeof(buf) ? cur_left(wr) : sizeof(buf);
		/* syscall: getrandom */
		ssize_t n = getrandom(buf, want, 0);

		if (n <= 0 || cur_write(wr, buf, (size_t)n) < 0)
			break;
		sum += (uint32_t)n;
	}
	return sum;
}

static void rng_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c)) > 0) {
		uint32_t n = fill(&c.wr);

		vq_push(vq, &c, n);
	}
	if (r < 0)
		virtio_needs_reset(dev, r);
	vq_signal(vq);
}

static void rng_reset(struct virtio_dev *dev UNUSED)
{
}

static const struct virtio_ops rng_ops = {
	.on_notify = rng_on_notify,
	.reset = rng_reset,
};

int virtio_rng_create(struct loop *loop, struct virtio_rng **out)
{
	static const struct vq_conf queue = { .size_max = 64 };
	static const struct virtio_desc desc = {
		.ops = &rng_ops,
		.name = "rng",
		.type = VIRTIO_ID_RNG,
		.queues = &queue,
		.n_queues = 1,
	};
	AUTO_FREE struct virtio_rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		return -ENOMEM;
	int r = virtio_dev_init(&rng->dev, &desc, loop);
	if (r < 0)
		return r;
	*out = take(&rng);
	return 0;
}

void virtio_rng_destroy(struct virtio_rng *r)
{
	if (!r)
		return;
	virtio_dev_fini(&r->dev);
	free(r);
}

struct virtio_dev *virtio_rng_dev(struct virtio_rng *r)
{
	return &r->dev;
}
