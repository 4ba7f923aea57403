// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-balloon: see virtio/balloon.h.
 *
 * Whatever a driver names, it can only lose what is in it: every page is the guest's own RAM, and a
 * page given back reads as zero.
 */
#include "virtio/balloon.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>

#include "host/shm.h"
#include "mem/gm.h"
#include "virtio/virtio_dev.h"

/* Queues of features that we do not offer have no number in Linux, so reporting is the third. */
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORTING, QUEUES };

#define PFN_SHIFT      12
#define PFNS_PER_MIB   256
#define RUN_MAX        256   /* page numbers looked at together */
#define PFNS_MAX       65536 /* of one chain; Linux sends 256 */
#define PIECES_AT_ONCE 32

struct virtio_balloon {
	struct virtio_dev dev;
	int (*discard)(void *at, uint64_t len);
	_Atomic uint32_t actual_pages;
};

/* The whole host pages within some of the guest's bytes go back. */
static void give_back(const struct virtio_balloon *b, uint8_t *at, uint64_t len)
{
	uint64_t page = shm_page_size();
	uint64_t skip = (page - (uintptr_t)at % page) % page;

	if (len < skip)
		return;
	len = (len - skip) / page * page;
	/* A host that declines keeps the page, which is no harm. */
	if (len)
		(void)b->discard(at + skip, len);
}

/* Free pages are offered as buffers to write to: what they hold does not matter (5.5.6.7). */
static void take_reported(struct virtio_balloon *b, struct cur *wr)
{
	struct iovec iov[PIECES_AT_ONCE];
	size_t n, bytes;

	while ((n = cur_iov(wr, iov, PIECES_AT_ONCE, &bytes)) > 0) {
		for (size_t k = 0; k < n; k++)
			give_back(b, iov[k].iov_base, iov[k].iov_len);
		if (cur_skip(wr, bytes) < 0)
			return;
	}
}

/* Page numbers of the guest, 4 KiB each; neighbours are given back together. */
static void take_inflated(struct virtio_balloon *b, const struct gm *gm, struct cur *rd)
{
	uint64_t start = 0, end = 0;
	struct cur pfns;
	uint32_t pfn;

	cur_split(rd, PFNS_MAX * sizeof(pfn), &pfns);
	while (cur_read(&pfns, &pfn, sizeof(pfn)) == 0) {
		uint64_t gpa = (uint64_t)pfn << PFN_SHIFT;
		uint8_t *at;

		if (end != gpa || end - start >= (uint64_t)RUN_MAX << PFN_SHIFT) {
			at = gm_range(gm, start, end - start);
			if (at && end > start)
				give_back(b, at, end - start);
			start = gpa;
		}
		end = gpa + (UINT64_C(1) << PFN_SHIFT);
	}
	uint8_t *at = gm_range(gm, start, end - start);
	if (at && end > start)
		give_back(b, at, end - start);
}

static void balloon_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c)) > 0) {
		if (vq->index == QUEUE_INFLATE)
			take_inflated(b, vq->gm, &c.rd);
		else if (vq->index == QUEUE_REPORTING)
			take_reported(b, &c.wr);
		/* Deflated pages come back by being touched. */
		vq_push(vq, &c, 0);
	}
	if (r < 0)
		virtio_needs_reset(dev, r);
	vq_signal(vq);
}

/* The driver writes back how far it has come. */
static void balloon_config_write(struct virtio_dev *dev, uint32_t off, const void *data,
				 uint32_t len)
{
	struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);
	uint32_t pages;

	if (off != offsetof(struct virtio_balloon_config, actual) || len != sizeof(pages))
		return;
	memcpy(&pages, data, sizeof(pages));
	/* Relaxed: a figure for people. */
	atomic_store_explicit(&b->actual_pages, pages, memory_order_relaxed);
	mutex_lock(&dev->lock);
	memcpy(dev->config + off, &pages, sizeof(pages));
	mutex_unlock(&dev->lock);
}

static void balloon_reset(struct virtio_dev *dev)
{
	struct virtio_balloon *b = container_of(dev, struct virtio_balloon, dev);

	atomic_store_explicit(&b->actual_pages, 0, memory_order_relaxed);
}

static const struct virtio_ops balloon_ops = {
	.on_notify = balloon_on_notify,
	.reset = balloon_reset,
	.config_write = balloon_config_write,
};

int virtio_balloon_create(int (*discard)(void *at, uint64_t len), struct loop *loop,
			  struct virtio_balloon **out)
{
	static const struct vq_conf queues[QUEUES] = {
		[QUEUE_INFLATE] = { .size_max = 128 },
		[QUEUE_DEFLATE] = { .size_max = 128 },
		[QUEUE_REPORTING] = { .size_max = 128 },
	};
	static const struct virtio_desc desc = {
		.ops = &balloon_ops,
		.name = "balloon",
		.type = VIRTIO_ID_BALLOON,
		.features = VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
			    VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING),
		.queues = queues,
		.n_queues = QUEUES,
		.config_len = offsetof(struct virtio_balloon_config, actual) + sizeof(uint32_t),
	};
	AUTO_FREE struct virtio_balloon *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->discard = discard;
	int r = virtio_dev_init(&b->dev, &desc, loop);
	if (r < 0)
		return r;
	*out = take(&b);
	return 0;
}

void virtio_balloon_destroy(struct virtio_balloon *b)
{
	if (!b)
		return;
	virtio_dev_fini(&b->dev);
	free(b);
}

void virtio_balloon_set_target(struct virtio_balloon *b, uint32_t mib)
{
	uint32_t pages = mib > UINT32_MAX / PFNS_PER_MIB ? UINT32_MAX : mib * PFNS_PER_MIB;

	virtio_config_update(&b->dev, offsetof(struct virtio_balloon_config, num_pages), &pages,
			     sizeof(pages));
}

uint32_t virtio_balloon_actual(struct virtio_balloon *b)
{
	return atomic_load_explicit(&b->actual_pages, memory_order_relaxed) / PFNS_PER_MIB;
}

struct virtio_dev *virtio_balloon_dev(struct virtio_balloon *b)
{
	return &b->dev;
}
