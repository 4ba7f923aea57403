/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of a machine's devices and the thread that reads them: see vhost.h. */
#include "vhost/vhost.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "util/log.h"
#include "vhost/vhost_internal.h"
#include "vhost/window.h"

#define RING_MIN   64 /* QEMU's least would do; Linux likes some room */
#define CONFIG_MIN 8  /* QEMU's generic device wants some */

static void drop_fds(struct vhost_dev *d)
{
	while (d->n_fds > 0)
		fd_drop(&d->fds[--d->n_fds]);
}

static void dev_lost(struct vhost_dev *d, const char *why)
{
	loop_del(&d->src);
	d->v->conf.lost(d->v->conf.arg, why);
}

/*
 * Reads what there is of the current message, and nothing behind it: descriptors then belong to it.
 *
 * Return: 1 when it is complete, 0 if more has to come, or -errno
 */
static int dev_receive(struct vhost_dev *d)
{
	const size_t head = sizeof(d->hdr);

	for (;;) {
		bool in_head = d->got < head;
		uint8_t *to = in_head ? (uint8_t *)&d->hdr + d->got : d->payload + (d->got - head);
		size_t end = in_head ? head : head + d->hdr.size;
		unsigned n = VHOST_FDS_MAX - d->n_fds;

		if (end > head + sizeof(d->payload))
			return -EPROTO;
		if (!in_head && d->got == end)
			return 1;
		ssize_t r = fd_recv(d->src.fd, to, end - d->got, d->fds + d->n_fds, &n);
		if (r == -EAGAIN)
			return 0;
		if (r <= 0)
			return r < 0 ? (int)r : -ENODATA;
		d->n_fds += n;
		d->got += (size_t)r;
	}
}

static void dev_on_message(struct loop_fd *src, unsigned events)
{
	struct vhost_dev *d = container_of(src, struct vhost_dev, src);
	int r = dev_receive(d);

	(void)events;
	if (r == 0)
		return;
	if (r > 0)
		r = vhost_handle(d);
	drop_fds(d);
	d->got = 0;
	if (r == -EPROTO)
		log_error(VHOST, "%s: request %u (%u bytes) breaks the protocol", d->dev->name,
			  d->hdr.request, d->hdr.size);
	if (r < 0)
		dev_lost(d, r == -EPROTO ? "QEMU does not keep to the vhost-user protocol" : NULL);
}

int vhost_create(const struct vhost_conf *conf, struct vhost **out)
{
	struct vhost *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->conf = *conf;
	int r = loop_create(&v->loop);
	if (r < 0) {
		free(v);
		return r;
	}
	*out = v;
	return 0;
}

static void dev_fini(struct vhost_dev *d)
{
	vhost_dev_stop(d);
	loop_del(&d->src);
	if (d->window)
		vhost_window_detach(d->window);
	drop_fds(d);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		fd_drop(&d->q[i].call);
	fd_drop(&d->src.fd);
	fd_drop(&d->backend);
	mutex_fini(&d->lock);
}

void vhost_destroy(struct vhost *v)
{
	if (!v)
		return;
	loop_thread_stop(v->loop);
	for (unsigned i = 0; i < v->n; i++)
		dev_fini(&v->dev[i]);
	loop_destroy(v->loop);
	free(v);
}

unsigned vhost_queues(const struct virtio_dev *dev)
{
	return dev->n_vqs;
}

unsigned vhost_ring(const struct virtio_dev *dev)
{
	unsigned max = RING_MIN;

	for (unsigned i = 0; i < dev->n_vqs; i++) {
		if (dev->vqs[i].conf.size_max > max)
			max = dev->vqs[i].conf.size_max;
	}
	return max;
}

unsigned vhost_config_len(const struct virtio_dev *dev)
{
	return dev->config_len > CONFIG_MIN ? dev->config_len : CONFIG_MIN;
}

int vhost_add(struct vhost *v, struct virtio_dev *dev, struct vhost_window *w, int *sock)
{
	unsigned ring = vhost_ring(dev);
	int pair[2];

	if (v->n == VHOST_DEVICES_MAX)
		return -ENOSPC;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;

	struct vhost_dev *d = &v->dev[v->n];
	vhost_dev_init(d, v, dev);
	d->window = w;
	d->src = (struct loop_fd){ .fd = pair[0], .fn = dev_on_message };
	v->n++;
	*sock = pair[1];
	/* QEMU offers rings of one size for the whole device. */
	for (unsigned i = 0; i < dev->n_vqs; i++)
		dev->vqs[i].conf.size_max = (uint16_t)ring;
	return fd_set_nonblock(pair[0]); /* ours; QEMU sets its own */
}

int vhost_start(struct vhost *v)
{
	int r = 0;

	for (unsigned i = 0; i < v->n && r == 0; i++)
		r = loop_add(v->loop, &v->dev[i].src, LOOP_READ);
	return r < 0 ? r : loop_thread_start(v->loop, "vhost");
}
