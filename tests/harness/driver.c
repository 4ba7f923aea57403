/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's half of virtio for tests: see driver.h. */
#include "harness/driver.h"

#include <linux/virtio_config.h>

#define SPIN_ROUNDS 8 /* the longest chain of events that a test sets off is half as long */

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "harness: %s\n", what);
	abort();
}

void fd_must(bool ok)
{
	check(ok, "a fixture cannot be set up");
}

void fd_init(struct fake_driver *f)
{
	*f = (struct fake_driver){ .heap = 0x1000 };
	f->ram = aligned_alloc(4096, FD_RAM);
	check(f->ram, "no memory");
	memset(f->ram, 0, FD_RAM);
	check(gm_add(&f->gm, 0, f->ram, FD_RAM) == 0, "no memory map");
}

void fd_fini(struct fake_driver *f)
{
	if (f->dev)
		virtio_stop(f->dev);
	free(f->ram);
	*f = (struct fake_driver){ 0 };
}

uint64_t fd_alloc(struct fake_driver *f, uint64_t len)
{
	uint64_t at = f->heap;

	check(len <= FD_RAM - at, "guest memory exhausted");
	f->heap = (at + len + 15) & ~UINT64_C(15);
	return at;
}

void *fd_at(struct fake_driver *f, uint64_t gpa)
{
	return f->ram + gpa;
}

void fd_ring_init(struct fake_driver *f, struct fd_ring *r, uint16_t size)
{
	*r = (struct fd_ring){ .size = size };
	r->layout.size = size;
	r->layout.desc_gpa = fd_alloc(f, 16 * (uint64_t)size);
	r->layout.avail_gpa = fd_alloc(f, 6 + 2 * (uint64_t)size);
	r->layout.used_gpa = fd_alloc(f, 6 + 8 * (uint64_t)size);
	r->desc = fd_at(f, r->layout.desc_gpa);
	r->avail = fd_at(f, r->layout.avail_gpa);
	r->used = fd_at(f, r->layout.used_gpa);
	/* A heap that began anew holds what was there before. */
	memset(fd_at(f, r->layout.desc_gpa), 0, f->heap - r->layout.desc_gpa);
}

void fd_ring_desc(struct fd_ring *r, uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags,
		  uint16_t next)
{
	r->desc[i] = (struct vring_desc){ .addr = gpa, .len = len, .flags = flags, .next = next };
}

void fd_ring_offer(struct fd_ring *r, uint16_t head)
{
	memcpy(r->avail + 4 + 2 * (r->avail_idx % r->size), &head, 2);
	r->avail_idx++;
	memcpy(r->avail + 2, &r->avail_idx, 2);
}

bool fd_ring_used(struct fd_ring *r, uint16_t *head, uint32_t *written)
{
	struct vring_used_elem e;
	uint16_t idx;

	memcpy(&idx, r->used + 2, 2);
	if (idx == r->used_idx)
		return false;
	memcpy(&e, r->used + 4 + sizeof(e) * (r->used_idx % r->size), sizeof(e));
	r->used_idx++;
	*head = (uint16_t)e.id;
	*written = e.len;
	return true;
}

static void on_signal(struct virtio_transport *t, struct vq *vq)
{
	struct fake_driver *f = container_of(t, struct fake_driver, transport);

	f->ring[vq->index].irqs++;
}

static void on_config(struct virtio_transport *t)
{
	container_of(t, struct fake_driver, transport)->config_changes++;
}

int fd_start(struct fake_driver *f, struct virtio_dev *dev, uint64_t features)
{
	struct vq_layout layouts[VIRTIO_QUEUES_MAX] = { 0 };

	f->dev = dev;
	f->transport.signal = on_signal;
	f->transport.config_changed = on_config;
	dev->transport = &f->transport;
	for (unsigned i = 0; i < dev->n_vqs && i < FD_QUEUES; i++) {
		uint16_t max = dev->vqs[i].conf.size_max;

		fd_ring_init(f, &f->ring[i], max < FD_RING ? max : FD_RING);
		layouts[i] = f->ring[i].layout;
	}
	return virtio_start(dev, &f->gm, features | VIRTIO_BIT(VIRTIO_F_VERSION_1), layouts);
}

uint16_t fd_offer(struct fake_driver *f, unsigned queue, const struct fd_buf *bufs, unsigned n)
{
	struct fd_ring *r = &f->ring[queue];
	uint16_t head = r->next_desc % r->size;
	uint16_t i = head;

	check(n > 0 && n <= 8 && n <= r->size, "a chain has 1 to 8 buffers");
	r->back[head].n = 0;
	for (unsigned b = 0; b < n; b++) {
		uint64_t gpa = fd_alloc(f, bufs[b].len);
		uint16_t next = (uint16_t)((i + 1) % r->size);
		unsigned flags = (bufs[b].is_wr ? VRING_DESC_F_WRITE : 0U) |
				 (b + 1 < n ? VRING_DESC_F_NEXT : 0U);

		if (bufs[b].is_wr) {
			unsigned k = r->back[head].n++;

			r->back[head].to[k] = bufs[b].p;
			r->back[head].from[k] = gpa;
			r->back[head].len[k] = bufs[b].len;
		} else {
			memcpy(fd_at(f, gpa), bufs[b].p, bufs[b].len);
		}
		fd_ring_desc(r, i, gpa, bufs[b].len, (uint16_t)flags, next);
		i = next;
	}
	r->next_desc = i;
	fd_ring_offer(r, head);
	return head;
}

void fd_kick(struct fake_driver *f, unsigned queue)
{
	if (f->dev->is_running && !f->dev->needs_reset)
		f->dev->ops->on_notify(f->dev, &f->dev->vqs[queue]);
}

struct stopper {
	struct loop_msg m;
	struct loop *loop;
};

static void stop_loop(struct loop_msg *m)
{
	loop_stop(container_of(m, struct stopper, m)->loop);
}

void fd_spin(struct loop *loop)
{
	for (unsigned i = 0; i < SPIN_ROUNDS; i++) {
		struct stopper s = { .m = { .fn = stop_loop }, .loop = loop };

		loop_post(loop, &s.m);
		loop_run(loop);
	}
}

bool fd_used(struct fake_driver *f, unsigned queue, uint16_t *head, uint32_t *written)
{
	struct fd_ring *r = &f->ring[queue];

	if (!fd_ring_used(r, head, written))
		return false;
	check(*head < r->size, "the device returned a head outside the ring");
	for (unsigned k = 0; k < r->back[*head].n; k++)
		memcpy(r->back[*head].to[k], fd_at(f, r->back[*head].from[k]),
		       r->back[*head].len[k]);
	return true;
}
