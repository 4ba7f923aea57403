/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO: see mmio.h.
 *
 * Status is written on the device's thread, so set-up, reset and the device's own doings are
 * ordered without a lock being held while the device works; the other registers are behind m->lock.
 */
#include "virtio/mmio.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "util/log.h"
#include "virtio/virtio_dev.h"

#define MMIO_MAGIC   0x74726976U /* "virt" */
#define MMIO_VERSION 2U
#define MMIO_VENDOR  0x4e435450U /* "PTCN" */

struct mmio_queue {
	struct vq_layout layout; /* ->size is what was written to QueueNum */
	bool is_ready;
};

struct virtio_mmio {
	struct virtio_transport transport;
	struct virtio_dev *dev;
	const struct gm *gm;
	void (*irq)(void *arg);
	void *irq_arg;
	_Atomic uint32_t interrupt; /* InterruptStatus: set by devices, cleared by the driver */

	struct mutex lock;
	/* All below: lock. */
	uint32_t status;
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint64_t driver_features;
	uint32_t queue_sel;
	uint32_t shm_sel;
	struct mmio_queue q[VIRTIO_QUEUES_MAX];
};

static void mmio_raise(struct virtio_mmio *m, uint32_t why)
{
	/* Release: the driver that reads the bit finds what it is told about. */
	(void)atomic_fetch_or_explicit(&m->interrupt, why, memory_order_release);
	m->irq(m->irq_arg);
}

static void mmio_signal(struct virtio_transport *t, struct vq *vq)
{
	(void)vq;
	mmio_raise(container_of(t, struct virtio_mmio, transport), VIRTIO_MMIO_INT_VRING);
}

static void mmio_config_changed(struct virtio_transport *t)
{
	mmio_raise(container_of(t, struct virtio_mmio, transport), VIRTIO_MMIO_INT_CONFIG);
}

int virtio_mmio_create(struct virtio_dev *dev, const struct gm *gm, void (*irq)(void *arg),
		       void *arg, struct virtio_mmio **out)
{
	struct virtio_mmio *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->transport.signal = mmio_signal;
	m->transport.config_changed = mmio_config_changed;
	m->dev = dev;
	m->gm = gm;
	m->irq = irq;
	m->irq_arg = arg;
	mutex_init(&m->lock);
	dev->transport = &m->transport;
	*out = m;
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *m)
{
	if (!m)
		return;
	virtio_stop(m->dev);
	mutex_fini(&m->lock);
	free(m);
}

const struct event *virtio_mmio_kick(const struct virtio_mmio *m, unsigned queue)
{
	return queue < m->dev->n_vqs ? &m->dev->vqs[queue].kick : NULL;
}

static uint32_t half(uint64_t v, bool is_high)
{
	return (uint32_t)(is_high ? v >> 32 : v);
}

static void set_half(uint64_t *v, bool is_high, uint32_t to)
{
	unsigned shift = is_high ? 32 : 0;

	*v = (*v & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)to << shift;
}

/* 4.2.2: a region that is not there has length and base -1. */
static uint32_t mmio_shm(const struct virtio_mmio *m, uint64_t off) REQUIRES(&m->lock)
{
	uint64_t len = UINT64_MAX;
	uint64_t base = UINT64_MAX;

	if (m->shm_sel < VIRTIO_SHM_MAX && m->dev->shm[m->shm_sel].len > 0) {
		len = m->dev->shm[m->shm_sel].len;
		base = m->dev->shm[m->shm_sel].gpa;
	}
	switch (off) {
	case VIRTIO_MMIO_SHM_LEN_LOW:
		return half(len, false);
	case VIRTIO_MMIO_SHM_LEN_HIGH:
		return half(len, true);
	case VIRTIO_MMIO_SHM_BASE_LOW:
		return half(base, false);
	default:
		return half(base, true);
	}
}

static uint32_t mmio_read_locked(struct virtio_mmio *m, uint64_t off) REQUIRES(&m->lock)
{
	struct virtio_dev *dev = m->dev;
	unsigned q = m->queue_sel;
	uint8_t byte;

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MMIO_MAGIC;
	case VIRTIO_MMIO_VERSION:
		return MMIO_VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->type;
	case VIRTIO_MMIO_VENDOR_ID:
		return MMIO_VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return m->device_features_sel > 1
			       ? 0
			       : half(virtio_features(dev), m->device_features_sel == 1);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q < dev->n_vqs ? dev->vqs[q].conf.size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q < dev->n_vqs && m->q[q].is_ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		/* Acquire: pairs with mmio_raise(). */
		return atomic_load_explicit(&m->interrupt, memory_order_acquire);
	case VIRTIO_MMIO_STATUS:
		/* Acquire: pairs with virtio_needs_reset(). */
		return m->status | (atomic_load_explicit(&dev->needs_reset, memory_order_acquire)
					    ? VIRTIO_CONFIG_S_NEEDS_RESET
					    : 0);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return mmio_shm(m, off);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return virtio_config_read(dev, 0, &byte, 1);
	default:
		return 0;
	}
}

uint64_t virtio_mmio_read(struct virtio_mmio *m, uint64_t off, unsigned len)
{
	uint64_t v = 0;

	if (off >= VIRTIO_MMIO_CONFIG) {
		(void)virtio_config_read(m->dev, (uint32_t)(off - VIRTIO_MMIO_CONFIG), &v, len);
		return v;
	}
	if (len != 4)
		return 0;
	mutex_lock(&m->lock);
	v = mmio_read_locked(m, off);
	mutex_unlock(&m->lock);
	return v;
}

/* The registers of the selected queue; they are fixed once it is ready (4.2.2.2). */
static void mmio_write_queue(struct virtio_mmio *m, uint64_t off, uint32_t v) REQUIRES(&m->lock)
{
	if (m->queue_sel >= m->dev->n_vqs)
		return;

	struct mmio_queue *q = &m->q[m->queue_sel];
	bool is_live = m->status & VIRTIO_CONFIG_S_DRIVER_OK;
	if (is_live || (q->is_ready && off != VIRTIO_MMIO_QUEUE_READY))
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->layout.size = v <= VQ_SIZE_MAX ? (uint16_t)v : 0;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		q->is_ready = v & 1;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->layout.desc_gpa, off == VIRTIO_MMIO_QUEUE_DESC_HIGH, v);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->layout.avail_gpa, off == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, v);
		break;
	default:
		set_half(&q->layout.used_gpa, off == VIRTIO_MMIO_QUEUE_USED_HIGH, v);
		break;
	}
}

struct status_write {
	struct virtio_mmio *m;
	uint32_t value;
};

static void mmio_reset(struct virtio_mmio *m)
{
	virtio_stop(m->dev);
	atomic_store_explicit(&m->interrupt, 0, memory_order_relaxed); /* the device is silent */
	mutex_lock(&m->lock);
	m->status = 0;
	m->device_features_sel = 0;
	m->driver_features_sel = 0;
	m->driver_features = 0;
	m->queue_sel = 0;
	m->shm_sel = 0;
	memset(m->q, 0, sizeof(m->q));
	mutex_unlock(&m->lock);
}

/* DRIVER_OK; the caller has checked that it was not set and that FEATURES_OK is. */
static void mmio_driver_ok(struct virtio_mmio *m)
{
	struct vq_layout layouts[VIRTIO_QUEUES_MAX] = { 0 };
	bool is_bad = false;

	mutex_lock(&m->lock);
	uint64_t features = m->driver_features;
	for (unsigned i = 0; i < m->dev->n_vqs; i++) {
		if (!m->q[i].is_ready)
			continue;
		layouts[i] = m->q[i].layout;
		is_bad |= layouts[i].size == 0;
	}
	mutex_unlock(&m->lock);

	int r = is_bad ? -EPROTO : virtio_start(m->dev, m->gm, features, layouts);
	if (r < 0)
		virtio_needs_reset(m->dev, r);
}

/* On the device's thread: nobody else changes Status meanwhile. */
static void mmio_write_status_here(void *arg)
{
	const struct status_write *w = arg;
	struct virtio_mmio *m = w->m;
	uint32_t v = w->value & 0xff & ~(uint32_t)VIRTIO_CONFIG_S_NEEDS_RESET;

	if (w->value == 0) {
		mmio_reset(m);
		return;
	}
	mutex_lock(&m->lock);
	uint32_t old = m->status;
	v |= old; /* 2.1.1: the driver must not clear a bit */
	if (!(old & VIRTIO_CONFIG_S_FEATURES_OK) && !virtio_features_ok(m->dev, m->driver_features))
		v &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
	if (!(v & VIRTIO_CONFIG_S_FEATURES_OK))
		v &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
	m->status = v;
	mutex_unlock(&m->lock);
	if (v & ~old & VIRTIO_CONFIG_S_DRIVER_OK)
		mmio_driver_ok(m);
}

static void mmio_write_locked(struct virtio_mmio *m, uint64_t off, uint32_t v) REQUIRES(&m->lock)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->device_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->driver_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (m->driver_features_sel <= 1 && !(m->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&m->driver_features, m->driver_features_sel == 1, v);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		m->queue_sel = v;
		break;
	case VIRTIO_MMIO_SHM_SEL:
		m->shm_sel = v;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
	case VIRTIO_MMIO_QUEUE_READY:
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		mmio_write_queue(m, off, v);
		break;
	default:
		break;
	}
}

void virtio_mmio_write(struct virtio_mmio *m, uint64_t off, unsigned len, uint64_t value)
{
	uint32_t v = (uint32_t)value;
	struct status_write w = { .m = m, .value = v };

	if (off >= VIRTIO_MMIO_CONFIG) {
		virtio_config_write(m->dev, (uint32_t)(off - VIRTIO_MMIO_CONFIG), &value, len);
		return;
	}
	if (len != 4)
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (v < m->dev->n_vqs)
			event_signal(&m->dev->vqs[v].kick);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		/* Relaxed: what the driver does next is ordered by the rings. */
		(void)atomic_fetch_and_explicit(&m->interrupt, ~v, memory_order_relaxed);
		break;
	case VIRTIO_MMIO_STATUS:
		loop_call(m->dev->loop, mmio_write_status_here, &w);
		break;
	default:
		mutex_lock(&m->lock);
		mmio_write_locked(m, off, v);
		mutex_unlock(&m->lock);
		break;
	}
}
