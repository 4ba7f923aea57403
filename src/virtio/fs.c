// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-fs: see virtio/fs.h.
 *
 * Each chain in hand has a slot, from vq_pop() to vq_push().  A slot whose request was finished by
 * a worker travels to the queues' thread as a message.  After a reset such a message may still be
 * under way: it then belongs to an older epoch, and only gives its slot back.
 */
#include "virtio/fs.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>

#include "fs/fs.h"
#include "host/thread.h"
#include "virtio/virtio_dev.h"

enum { QUEUE_HIPRIO, QUEUE_REQUEST, QUEUES };

/*
 * A driver's largest request is a ring's worth of pages less some headers, so this is what 1 MiB
 * needs.  As many chains may wait, for locks say, as the ring holds: what would wake them comes
 * through the same ring.
 */
#define REQUEST_RING 512
#define HIPRIO_RING  128
#define SLOTS        (REQUEST_RING + HIPRIO_RING)

struct slot {
	struct fs_req req;
	struct vq_chain chain;
	struct vq *vq;
	struct loop_msg msg;
	struct virtio_fs *d;
	uint32_t epoch;
	struct list free;
};

struct virtio_fs {
	struct virtio_dev dev;
	struct fs *fs;
	struct fs_thread *t; /* of the loop's thread; made when it first runs */
	pthread_t thread;    /* which thread that is */
	uint32_t epoch;      /* the driver's resets so far */
	struct list free;
	struct slot slots[SLOTS];
};

static void return_chain(struct slot *s)
{
	struct virtio_fs *d = s->d;

	if (s->epoch == d->epoch) {
		vq_push(s->vq, &s->chain, s->req.written);
		/* A chain that cannot hold a request or any reply. */
		if (s->req.err < 0 &&
		    !atomic_load_explicit(&d->dev.needs_reset, memory_order_relaxed))
			virtio_needs_reset(&d->dev, s->req.err);
	}
	list_add_tail(&d->free, &s->free);
}

static void serve(struct virtio_fs *d, struct vq *vq);

static void on_message(struct loop_msg *m)
{
	struct slot *s = container_of(m, struct slot, msg);
	struct virtio_fs *d = s->d;
	struct vq *vq = s->vq;
	bool is_current = s->epoch == d->epoch;

	return_chain(s);
	if (!is_current)
		return;
	vq_signal(vq);
	/* The ring may have been full of waiting requests. */
	if (!atomic_load_explicit(&d->dev.needs_reset, memory_order_relaxed))
		serve(d, vq);
}

/* Any thread. */
static void on_done(struct fs_req *req)
{
	struct slot *s = container_of(req, struct slot, req);

	if (pthread_equal(pthread_self(), s->d->thread))
		return_chain(s);
	else
		loop_post(s->d->dev.loop, &s->msg);
}

static void serve(struct virtio_fs *d, struct vq *vq)
{
	int r = 0;

	while (!list_empty(&d->free)) {
		struct slot *s = container_of(d->free.next, struct slot, free);

		r = vq_pop(vq, &s->chain);
		if (r <= 0)
			break;
		list_del(&s->free);
		s->vq = vq;
		s->epoch = d->epoch;
		s->req = (struct fs_req){ .rd = s->chain.rd, .wr = s->chain.wr, .done = on_done };
		s->msg.fn = on_message;
		fs_submit(d->t, &s->req);
		if (atomic_load_explicit(&d->dev.needs_reset, memory_order_relaxed))
			break;
	}
	if (r < 0)
		virtio_needs_reset(&d->dev, r);
	vq_signal(vq);
}

static void fs_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	serve(container_of(dev, struct virtio_fs, dev), vq);
}

static int fs_dev_start(struct virtio_dev *dev)
{
	struct virtio_fs *d = container_of(dev, struct virtio_fs, dev);

	if (d->t)
		return 0;
	d->thread = pthread_self();
	return fs_thread_create(d->fs, &d->t);
}

static void fs_dev_reset(struct virtio_dev *dev)
{
	struct virtio_fs *d = container_of(dev, struct virtio_fs, dev);

	/* What is cancelled here is answered on this very thread, into rings that are about to go.
	 */
	fs_reset(d->fs);
	d->epoch++;
}

static const struct virtio_ops fs_ops = {
	.start = fs_dev_start,
	.on_notify = fs_on_notify,
	.reset = fs_dev_reset,
};

int virtio_fs_create(const char *tag, struct fs *fs, struct loop *loop, struct virtio_fs **out)
{
	static const struct vq_conf queues[QUEUES] = {
		[QUEUE_HIPRIO] = { .size_max = HIPRIO_RING, .chains_max = HIPRIO_RING },
		[QUEUE_REQUEST] = { .size_max = REQUEST_RING, .chains_max = REQUEST_RING },
	};
	struct virtio_fs_config config = { .num_request_queues = QUEUES - QUEUE_REQUEST };
	size_t len = strlen(tag);

	if (len == 0 || len >= sizeof(config.tag))
		return -EINVAL;
	memcpy(config.tag, tag, len);

	AUTO_FREE struct virtio_fs *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	const struct virtio_desc desc = {
		.ops = &fs_ops,
		.name = "fs",
		.type = VIRTIO_ID_FS,
		.queues = queues,
		.n_queues = QUEUES,
		.config = &config,
		.config_len = sizeof(config),
	};
	int r = virtio_dev_init(&d->dev, &desc, loop);
	if (r < 0)
		return r;
	d->fs = fs;
	list_init(&d->free);
	for (unsigned n = 0; n < SLOTS; n++) {
		d->slots[n].d = d;
		list_init(&d->slots[n].free);
		list_add_tail(&d->free, &d->slots[n].free);
	}
	*out = take(&d);
	return 0;
}

void virtio_fs_destroy(struct virtio_fs *d)
{
	if (!d)
		return;
	virtio_dev_fini(&d->dev);
	fs_thread_destroy(d->t);
	free(d);
}

struct virtio_dev *virtio_fs_dev(struct virtio_fs *d)
{
	return &d->dev;
}
