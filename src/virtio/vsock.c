// SPDX-License-Identifier: Apache-2.0
/* virtio-vsock: see virtio/vsock.h. */
#include "virtio/vsock.h"

#include <errno.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>

#include "host/loop.h"
#include "virtio/virtio_dev.h"
#include "vsock/vsock.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES };

struct virtio_vsock {
	struct virtio_dev dev;
	struct vsock *vsock;
	struct loop_msg wake;
	bool is_waking;
};

/* Fills the driver's buffers with what there is to say.  Return: 0 or -EPROTO */
static int send_all(struct virtio_vsock *d)
{
	struct vq *vq = &d->dev.vqs[QUEUE_RX];
	struct vq_chain chain;
	int r;

	while ((r = vq_pop(vq, &chain)) > 0) {
		uint32_t written;

		r = vsock_next(d->vsock, &chain.wr, &written);
		if (r <= 0) {
			vq_unpop(vq, &chain);
			break;
		}
		vq_push(vq, &chain, written);
	}
	vq_signal(vq);
	return r;
}

/* Return: 0 or -EPROTO */
static int receive_all(struct virtio_vsock *d)
{
	struct vq *vq = &d->dev.vqs[QUEUE_TX];
	struct vq_chain chain;
	int r = 0;

	while (vsock_takes_input(d->vsock) && (r = vq_pop(vq, &chain)) > 0) {
		r = vsock_input(d->vsock, &chain.rd);
		if (r < 0)
			break;
		vq_push(vq, &chain, 0);
	}
	vq_signal(vq);
	return r;
}

static void work(struct virtio_vsock *d)
{
	int r = receive_all(d);

	if (r >= 0)
		r = send_all(d);
	/* Answers that had filled up are gone now: what waited behind them can be taken. */
	if (r >= 0)
		r = receive_all(d);
	if (r < 0)
		virtio_needs_reset(&d->dev, r);
}

static void on_wake(struct loop_msg *m)
{
	struct virtio_vsock *d = container_of(m, struct virtio_vsock, wake);

	d->is_waking = false;
	/* Relaxed: set by this very thread. */
	if (d->dev.is_running && !atomic_load_explicit(&d->dev.needs_reset, memory_order_relaxed))
		work(d);
}

static void on_output(void *arg)
{
	struct virtio_vsock *d = arg;

	if (d->is_waking)
		return;
	d->is_waking = true;
	loop_post(d->dev.loop, &d->wake);
}

static int vsock_dev_start(struct virtio_dev *dev)
{
	return vsock_start(container_of(dev, struct virtio_vsock, dev)->vsock);
}

static void vsock_on_notify(struct virtio_dev *dev, struct vq *vq UNUSED)
{
	work(container_of(dev, struct virtio_vsock, dev));
}

static void vsock_dev_reset(struct virtio_dev *dev)
{
	vsock_stop(container_of(dev, struct virtio_vsock, dev)->vsock);
}

static const struct virtio_ops vsock_ops = {
	.start = vsock_dev_start,
	.on_notify = vsock_on_notify,
	.reset = vsock_dev_reset,
};

int virtio_vsock_create(uint64_t cid, struct loop *loop, struct virtio_vsock **out)
{
	static const struct vq_conf queues[QUEUES] = {
		[QUEUE_RX] = { .size_max = 256 },
		[QUEUE_TX] = { .size_max = 256 },
		[QUEUE_EVENT] = { .size_max = 16 },
	};
	const struct virtio_vsock_config config = { .guest_cid = cid };
	const struct virtio_desc desc = {
		.ops = &vsock_ops,
		.name = "vsock",
		.type = VIRTIO_ID_VSOCK,
		.queues = queues,
		.n_queues = QUEUES,
		.config = &config,
		.config_len = sizeof(config),
	};

	AUTO_FREE struct virtio_vsock *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->wake.fn = on_wake;
	int r = vsock_create(cid, loop, on_output, d, &d->vsock);
	if (r < 0)
		return r;
	r = virtio_dev_init(&d->dev, &desc, loop);
	if (r < 0) {
		vsock_destroy(d->vsock);
		return r;
	}
	*out = take(&d);
	return 0;
}

void virtio_vsock_destroy(struct virtio_vsock *d)
{
	if (!d)
		return;
	virtio_dev_fini(&d->dev);
	vsock_destroy(d->vsock);
	free(d);
}

struct vsock *virtio_vsock_ports(struct virtio_vsock *d)
{
	return d->vsock;
}

struct virtio_dev *virtio_vsock_dev(struct virtio_vsock *d)
{
	return &d->dev;
}
