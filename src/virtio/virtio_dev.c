/* SPDX-License-Identifier: Apache-2.0 */
/* What all virtio devices have in common: see virtio_dev.h. */
#include "virtio/virtio_dev.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "util/ckd.h"
#include "util/log.h"

static void dev_irq(struct vq *vq)
{
	vq->dev->transport->signal(vq->dev->transport, vq);
}

static void dev_on_kick(struct loop_fd *src, unsigned events)
{
	struct vq *vq = container_of(src, struct vq, src);
	struct virtio_dev *dev = vq->dev;

	(void)events;
	(void)event_drain(&vq->kick);
	vq_begin_turn(vq);
	/* Relaxed: set by this very thread. */
	if (dev->is_running && !atomic_load_explicit(&dev->needs_reset, memory_order_relaxed))
		dev->ops->on_notify(dev, vq);
}

int virtio_dev_init(struct virtio_dev *dev, const struct virtio_desc *d, struct loop *loop)
{
	assert(d->n_queues <= VIRTIO_QUEUES_MAX && d->config_len <= VIRTIO_CONFIG_MAX);
	*dev = (struct virtio_dev){
		.ops = d->ops,
		.name = d->name,
		.type = d->type,
		.features = d->features,
		.loop = loop,
		.config_len = d->config_len,
	};
	mutex_init(&dev->lock);
	if (d->config)
		memcpy(dev->config, d->config, d->config_len);
	for (unsigned i = 0; i < d->n_queues; i++) {
		struct vq *vq = &dev->vqs[i];

		assert(is_pow2(d->queues[i].size_max) && d->queues[i].size_max <= VQ_SIZE_MAX &&
		       d->queues[i].links_max <= VQ_LINKS_MAX);
		vq->conf = d->queues[i];
		vq->dev = dev;
		vq->index = i;
		vq->irq = dev_irq;
		int r = event_open(&vq->kick);
		if (r < 0) {
			virtio_dev_fini(dev);
			return r;
		}
		vq->src = (struct loop_fd){ .fd = vq->kick.rfd, .fn = dev_on_kick };
		dev->n_vqs = i + 1;
	}
	return 0;
}

void virtio_dev_fini(struct virtio_dev *dev)
{
	if (!dev->ops)
		return;
	virtio_stop(dev);
	for (unsigned i = 0; i < dev->n_vqs; i++)
		event_close(&dev->vqs[i].kick);
	mutex_fini(&dev->lock);
	dev->ops = NULL;
}

void virtio_needs_reset(struct virtio_dev *dev, int why)
{
	log_guest(VIRTIO, "driver of %s broke the protocol (%d): it must reset the device",
		  dev->name, -why);
	/* Release: the transport that sees the flag sees what led to it; it loads with acquire. */
	atomic_store_explicit(&dev->needs_reset, true, memory_order_release);
	dev->transport->config_changed(dev->transport);
}

void virtio_config_update(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len)
{
	assert(range_fits(off, len, dev->config_len));
	mutex_lock(&dev->lock);
	memcpy(dev->config + off, data, len);
	dev->generation++;
	mutex_unlock(&dev->lock);
	if (dev->is_running)
		dev->transport->config_changed(dev->transport);
}

uint64_t virtio_features(const struct virtio_dev *dev)
{
	return dev->features | VIRTIO_BIT(VIRTIO_F_VERSION_1) |
	       VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
}

bool virtio_features_ok(const struct virtio_dev *dev, uint64_t driver_features)
{
	return !(driver_features & ~virtio_features(dev)) &&
	       (driver_features & VIRTIO_BIT(VIRTIO_F_VERSION_1));
}

static void dev_stop_queues(struct virtio_dev *dev)
{
	for (unsigned i = 0; i < dev->n_vqs; i++) {
		loop_del(&dev->vqs[i].src);
		vq_stop(&dev->vqs[i]);
	}
}

struct start {
	struct virtio_dev *dev;
	const struct gm *gm;
	uint64_t features;
	const struct vq_layout *layouts;
	int result;
};

static int dev_start(const struct start *s)
{
	struct virtio_dev *dev = s->dev;
	int r = 0;

	dev->driver_features = s->features;
	for (unsigned i = 0; i < dev->n_vqs && r == 0; i++) {
		struct vq *vq = &dev->vqs[i];

		if (s->layouts[i].size == 0)
			continue;
		r = vq_start(vq, s->gm, &s->layouts[i], s->features);
		if (r == 0)
			r = loop_add(dev->loop, &vq->src, LOOP_READ);
		if (r == 0)
			event_signal(&vq->kick); /* chains may have been offered before */
	}
	if (r == 0 && dev->ops->start)
		r = dev->ops->start(dev);
	return r;
}

static void dev_start_here(void *arg)
{
	struct start *s = arg;

	s->result = dev_start(s);
	if (s->result < 0)
		dev_stop_queues(s->dev);
	else
		s->dev->is_running = true;
}

int virtio_start(struct virtio_dev *dev, const struct gm *gm, uint64_t driver_features,
		 const struct vq_layout *layouts)
{
	struct start s = { .dev = dev, .gm = gm, .features = driver_features, .layouts = layouts };

	virtio_stop(dev);
	loop_call(dev->loop, dev_start_here, &s);
	return s.result;
}

int virtio_set_kick(struct virtio_dev *dev, unsigned queue, int fd)
{
	return event_replace(&dev->vqs[queue].kick, fd);
}

static void dev_stop_here(void *arg)
{
	struct virtio_dev *dev = arg;

	if (dev->is_running) {
		dev->is_running = false;
		dev->ops->reset(dev);
		dev_stop_queues(dev);
	}
	/* Release: whoever sees the flag gone sees a stopped device. */
	atomic_store_explicit(&dev->needs_reset, false, memory_order_release);
}

void virtio_stop(struct virtio_dev *dev)
{
	loop_call(dev->loop, dev_stop_here, dev);
}

uint32_t virtio_config_read(struct virtio_dev *dev, uint32_t off, void *data, uint32_t len)
{
	uint32_t n = off >= dev->config_len ? 0 : dev->config_len - off;

	memset(data, 0, len);
	mutex_lock(&dev->lock);
	memcpy(data, dev->config + (n ? off : 0), n < len ? n : len);
	uint32_t generation = dev->generation;
	mutex_unlock(&dev->lock);
	return generation;
}

struct config_write {
	struct virtio_dev *dev;
	uint32_t off;
	const void *data;
	uint32_t len;
};

static void dev_config_write_here(void *arg)
{
	const struct config_write *w = arg;

	w->dev->ops->config_write(w->dev, w->off, w->data, w->len);
}

void virtio_config_write(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len)
{
	struct config_write w = { .dev = dev, .off = off, .data = data, .len = len };

	if (dev->ops->config_write && range_fits(off, len, dev->config_len))
		loop_call(dev->loop, dev_config_write_here, &w);
}
