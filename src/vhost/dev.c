/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU may ask of one device: see vhost_internal.h.
 *
 * The driver's DRIVER_OK reaches us as a series of messages whose last one enables the last queue;
 * its reset as one that disables a queue or asks for a queue's position.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "util/log.h"
#include "vhost/vhost_internal.h"
#include "vhost/window.h"

#define VHOST_MSG_MAX (sizeof(struct vhost_hdr) + sizeof(struct vhost_shmem_config))

static bool has_pf(const struct vhost_dev *d, unsigned bit)
{
	return d->protocol & VIRTIO_BIT(bit);
}

static uint64_t protocol_features(const struct vhost_dev *d)
{
	uint64_t f = VIRTIO_BIT(VHOST_PF_MQ) | VIRTIO_BIT(VHOST_PF_REPLY_ACK) |
		     VIRTIO_BIT(VHOST_PF_BACKEND_REQ) | VIRTIO_BIT(VHOST_PF_CONFIG) |
		     VIRTIO_BIT(VHOST_PF_BACKEND_SEND_FD) | VIRTIO_BIT(VHOST_PF_RESET_DEVICE) |
		     VIRTIO_BIT(VHOST_PF_MEM_SLOTS);

	return d->window ? f | VIRTIO_BIT(VHOST_PF_SHMEM) : f;
}

/* QEMU waits for it, so that a socket which takes no more is a broken one. */
static NOINLINE int reply(const struct vhost_dev *d, const void *data, size_t len)
{
	struct vhost_hdr h = { .request = d->hdr.request,
			       .flags = VHOST_VERSION | VHOST_REPLY,
			       .size = (uint32_t)len };
	uint8_t msg[VHOST_MSG_MAX];

	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), data, len);
	return fd_send(d->src.fd, msg, sizeof(h) + len, NULL, 0);
}

static int reply_u64(const struct vhost_dev *d, uint64_t v)
{
	return reply(d, &v, sizeof(v));
}

/* Payloads are copied, because the buffer is not aligned for their types. */
static int take_payload(const struct vhost_dev *d, void *to, size_t len)
{
	if (d->hdr.size != len)
		return -EPROTO;
	memcpy(to, d->payload, len);
	return 0;
}

static void dev_signal(struct virtio_transport *t, struct vq *vq)
{
	struct vhost_dev *d = container_of(t, struct vhost_dev, transport);
	const uint64_t one = 1;

	mutex_lock(&d->lock);
	int fd = d->q[vq->index].call;
	ssize_t n = fd >= 0 ? write(fd, &one, sizeof(one)) : 0; /* full: signalled already */
	mutex_unlock(&d->lock);
	(void)n;
}

static void dev_config_changed(struct virtio_transport *t)
{
	struct vhost_dev *d = container_of(t, struct vhost_dev, transport);
	const struct vhost_hdr h = { .request = VHOST_BACKEND_CONFIG_CHANGE,
				     .flags = VHOST_VERSION };

	mutex_lock(&d->lock);
	/* A driver that is not told looks at its next chance. */
	if (d->backend >= 0 && fd_send(d->backend, &h, sizeof(h), NULL, 0) < 0)
		log_debug(VHOST, "%s: QEMU was not told of a change", d->dev->name);
	mutex_unlock(&d->lock);
}

void vhost_dev_init(struct vhost_dev *d, struct vhost *v, struct virtio_dev *dev)
{
	*d = (struct vhost_dev){ .v = v, .dev = dev, .src = { .fd = -1 }, .backend = -1 };
	d->transport.signal = dev_signal;
	d->transport.config_changed = dev_config_changed;
	dev->transport = &d->transport;
	mutex_init(&d->lock);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		d->q[i].call = -1;
}

void vhost_dev_stop(struct vhost_dev *d)
{
	if (!d->is_running)
		return;
	d->is_running = false;
	virtio_stop(d->dev);
	for (unsigned i = 0; i < d->dev->n_vqs; i++) {
		struct vhost_queue *q = &d->q[i];

		if (q->has_addr && q->has_kick)
			q->base = d->dev->vqs[i].next_avail;
		q->has_addr = false;
		q->has_kick = false;
	}
}

/* Return: 0, or -EPROTO for a ring outside RAM: the driver's doing, or a QEMU that is not ours */
static int layout(const struct vhost_dev *d, const struct vhost_queue *q, struct vq_layout *l)
{
	*l = (struct vq_layout){ .size = (uint16_t)q->size, .next = q->base };
	return vhost_mem_gpa(&d->mem, q->addr.desc, &l->desc_gpa) &&
			       vhost_mem_gpa(&d->mem, q->addr.avail, &l->avail_gpa) &&
			       vhost_mem_gpa(&d->mem, q->addr.used, &l->used_gpa)
		       ? 0
		       : -EPROTO;
}

static int dev_start(struct vhost_dev *d)
{
	struct vq_layout layouts[VIRTIO_QUEUES_MAX] = { 0 };

	if (!virtio_features_ok(d->dev, d->features) ||
	    vhost_mem_map(&d->mem, &d->v->conf.ram, &d->gm) < 0)
		return -EPROTO;
	for (unsigned i = 0; i < d->dev->n_vqs; i++) {
		const struct vhost_queue *q = &d->q[i];

		/* QEMU says nothing of queues that the driver does not use. */
		if (q->has_addr && q->has_kick && layout(d, q, &layouts[i]) < 0)
			return -EPROTO;
	}
	return virtio_start(d->dev, &d->gm, d->features, layouts);
}

static int on_features(struct vhost_dev *d)
{
	uint64_t f;

	if (take_payload(d, &f, sizeof(f)) < 0)
		return -EPROTO;
	d->features = f & ~VIRTIO_BIT(VHOST_F_PROTOCOL_FEATURES);
	return 0;
}

static int on_protocol(struct vhost_dev *d)
{
	uint64_t f;

	if (take_payload(d, &f, sizeof(f)) < 0 || (f & ~protocol_features(d)))
		return -EPROTO;
	d->protocol = f;
	return 0;
}

static int take_queue(struct vhost_dev *d, struct vhost_vring_state *s)
{
	return take_payload(d, s, sizeof(*s)) < 0 || s->index >= d->dev->n_vqs ? -EPROTO : 0;
}

static int on_vring_num(struct vhost_dev *d)
{
	struct vhost_vring_state s;

	if (take_queue(d, &s) < 0 || s.num > VQ_SIZE_MAX || d->is_running)
		return -EPROTO;
	d->q[s.index].size = s.num;
	return 0;
}

static int on_vring_base(struct vhost_dev *d)
{
	struct vhost_vring_state s;

	if (take_queue(d, &s) < 0 || s.num > UINT16_MAX || d->is_running)
		return -EPROTO;
	d->q[s.index].base = (uint16_t)s.num;
	return 0;
}

static int on_vring_addr(struct vhost_dev *d)
{
	struct vhost_vring_addr a;

	if (take_payload(d, &a, sizeof(a)) < 0 || a.index >= d->dev->n_vqs || d->is_running)
		return -EPROTO;
	d->q[a.index].addr = a;
	d->q[a.index].has_addr = true;
	return 0;
}

static int on_get_vring_base(struct vhost_dev *d)
{
	struct vhost_vring_state s;

	if (take_queue(d, &s) < 0)
		return -EPROTO;
	vhost_dev_stop(d);
	s.num = d->q[s.index].base;
	return reply(d, &s, sizeof(s));
}

/* Which queue a descriptor is for.  Return: 0, or -EPROTO */
static int take_vring_fd(struct vhost_dev *d, unsigned *index, bool *has_fd)
{
	uint64_t v;

	if (take_payload(d, &v, sizeof(v)) < 0 ||
	    (v & ~(uint64_t)(VHOST_VRING_INDEX | VHOST_VRING_NOFD)))
		return -EPROTO;
	*index = v & VHOST_VRING_INDEX;
	*has_fd = !(v & VHOST_VRING_NOFD);
	return *index >= d->dev->n_vqs || d->n_fds != *has_fd ? -EPROTO : 0;
}

static int on_vring_kick(struct vhost_dev *d)
{
	unsigned i;
	bool has_fd;

	/* Without a descriptor we would have to poll; QEMU does not ask for that. */
	if (take_vring_fd(d, &i, &has_fd) < 0 || !has_fd || d->is_running)
		return -EPROTO;
	if (fd_set_nonblock(d->fds[0]) < 0 || virtio_set_kick(d->dev, i, d->fds[0]) < 0)
		return -EPROTO;
	d->q[i].has_kick = true;
	return 0;
}

static int on_vring_call(struct vhost_dev *d)
{
	unsigned i;
	bool has_fd;

	if (take_vring_fd(d, &i, &has_fd) < 0 || (has_fd && fd_set_nonblock(d->fds[0]) < 0))
		return -EPROTO;
	mutex_lock(&d->lock);
	fd_drop(&d->q[i].call);
	if (has_fd)
		d->q[i].call = take_fd(&d->fds[0]);
	mutex_unlock(&d->lock);
	return 0;
}

static int on_vring_enable(struct vhost_dev *d)
{
	struct vhost_vring_state s;

	if (take_queue(d, &s) < 0)
		return -EPROTO;
	if (!s.num) {
		vhost_dev_stop(d);
		return 0;
	}
	if (d->is_running || s.index != d->dev->n_vqs - 1)
		return 0;
	d->is_running = true;
	int r = dev_start(d);
	if (r < 0)
		virtio_needs_reset(d->dev, r);
	return 0;
}

static int on_backend_fd(struct vhost_dev *d)
{
	int fd;

	if (d->n_fds != 1 || fd_set_nonblock(d->fds[0]) < 0)
		return -EPROTO;
	if (d->window)
		vhost_window_detach(d->window);
	mutex_lock(&d->lock);
	fd_drop(&d->backend);
	d->backend = fd = take_fd(&d->fds[0]);
	mutex_unlock(&d->lock);
	return d->window ? vhost_window_attach(d->window, d, fd) : 0;
}

static int on_get_config(struct vhost_dev *d)
{
	struct vhost_config c;
	uint8_t out[sizeof(c) + VHOST_CONFIG_MAX];

	if (d->hdr.size < sizeof(c))
		return -EPROTO;
	memcpy(&c, d->payload, sizeof(c));
	if (c.len > VHOST_CONFIG_MAX || c.off > VHOST_CONFIG_MAX ||
	    d->hdr.size != sizeof(c) + c.len)
		return -EPROTO;
	memcpy(out, &c, sizeof(c));
	(void)virtio_config_read(d->dev, c.off, out + sizeof(c), c.len);
	return reply(d, out, sizeof(c) + c.len);
}

static int on_set_config(struct vhost_dev *d)
{
	struct vhost_config c;

	if (d->hdr.size < sizeof(c))
		return -EPROTO;
	memcpy(&c, d->payload, sizeof(c));
	if (c.len > VHOST_CONFIG_MAX || d->hdr.size != sizeof(c) + c.len)
		return -EPROTO;
	virtio_config_write(d->dev, c.off, d->payload + sizeof(c), c.len);
	return 0;
}

static int on_add_mem(struct vhost_dev *d)
{
	struct vhost_mem_reg reg;

	if (take_payload(d, &reg, sizeof(reg)) < 0 || d->n_fds != 1)
		return -EPROTO;
	return vhost_mem_add(&d->mem, &d->v->conf.ram, &reg, d->fds[0]);
}

static int on_remove_mem(struct vhost_dev *d)
{
	struct vhost_mem_reg reg;

	if (take_payload(d, &reg, sizeof(reg)) < 0)
		return -EPROTO;
	vhost_mem_remove(&d->mem, &reg);
	return 0;
}

static int on_shmem_config(const struct vhost_dev *d)
{
	struct vhost_shmem_config c = { 0 };

	for (unsigned i = 0; i < VIRTIO_SHM_MAX; i++) {
		c.len[i] = d->dev->shm[i].len;
		c.n += c.len[i] > 0;
	}
	return reply(d, &c, sizeof(c));
}

/* Requests that have an answer of their own; others are acknowledged if QEMU wants that. */
static int handle_query(struct vhost_dev *d, bool *is_query)
{
	*is_query = true;
	switch (d->hdr.request) {
	case VHOST_GET_FEATURES:
		return reply_u64(d,
				 virtio_features(d->dev) | VIRTIO_BIT(VHOST_F_PROTOCOL_FEATURES));
	case VHOST_GET_PROTOCOL_FEATURES:
		return reply_u64(d, protocol_features(d));
	case VHOST_GET_QUEUE_NUM:
		return reply_u64(d, d->dev->n_vqs);
	case VHOST_GET_MAX_MEM_SLOTS:
		return reply_u64(d, VHOST_SLOTS);
	case VHOST_GET_VRING_BASE:
		return on_get_vring_base(d);
	case VHOST_GET_CONFIG:
		return on_get_config(d);
	case VHOST_GET_SHMEM_CONFIG:
		return on_shmem_config(d);
	default:
		*is_query = false;
		return 0;
	}
}

static int handle_command(struct vhost_dev *d)
{
	switch (d->hdr.request) {
	case VHOST_SET_FEATURES:
		return on_features(d);
	case VHOST_SET_PROTOCOL_FEATURES:
		return on_protocol(d);
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_RESET_OWNER:
	case VHOST_RESET_DEVICE:
		vhost_dev_stop(d);
		return 0;
	case VHOST_SET_VRING_NUM:
		return on_vring_num(d);
	case VHOST_SET_VRING_ADDR:
		return on_vring_addr(d);
	case VHOST_SET_VRING_BASE:
		return on_vring_base(d);
	case VHOST_SET_VRING_KICK:
		return on_vring_kick(d);
	case VHOST_SET_VRING_CALL:
		return on_vring_call(d);
	case VHOST_SET_VRING_ERR:
		return 0; /* nothing to report there: DEVICE_NEEDS_RESET is not passed on */
	case VHOST_SET_VRING_ENABLE:
		return on_vring_enable(d);
	case VHOST_SET_BACKEND_REQ_FD:
		return on_backend_fd(d);
	case VHOST_SET_CONFIG:
		return on_set_config(d);
	case VHOST_ADD_MEM_REG:
		return on_add_mem(d);
	case VHOST_REM_MEM_REG:
		return on_remove_mem(d);
	default:
		return -EPROTO;
	}
}

int vhost_handle(struct vhost_dev *d)
{
	bool is_query;

	log_trace(VHOST, "%s: request %u, %u bytes, %u descriptors", d->dev->name, d->hdr.request,
		  d->hdr.size, d->n_fds);
	if ((d->hdr.flags & VHOST_VERSION_MASK) != VHOST_VERSION || (d->hdr.flags & VHOST_REPLY))
		return -EPROTO;

	int r = handle_query(d, &is_query);
	if (is_query)
		return r;
	r = handle_command(d);
	if (r < 0)
		return r == -ENOSPC ? -EPROTO : r;
	return (d->hdr.flags & VHOST_NEED_REPLY) && has_pf(d, VHOST_PF_REPLY_ACK) ? reply_u64(d, 0)
										  : 0;
}
