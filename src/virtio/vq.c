/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueue: see vq.h.  Everything in the rings may change under us at any time, so each
 * field is loaded once, by the vq_load functions, and only the copy is looked at.
 */
#include "virtio/vq.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "mem/gm.h"
#include "util/ckd.h"

/* Offsets into the rings; both are followed by one u16 for EVENT_IDX (2.7.6, 2.7.8). */
#define RING_FLAGS    0
#define RING_IDX      2
#define RING_ENTRIES  4
#define AVAIL_LEN(sz) (RING_ENTRIES + 2 * (uint64_t)(sz) + 2)
#define USED_LEN(sz)  (RING_ENTRIES + sizeof(struct vring_used_elem) * (uint64_t)(sz) + 2)

/*
 * ThreadSanitizer sees our threads, but not the guest that stands between two of them: what one did
 * before it told the guest comes before what another does after the guest told it.  @p: the guest.
 */
#if defined(__has_feature)
#define HAS_FEATURE_TSAN __has_feature(thread_sanitizer)
#else
#define HAS_FEATURE_TSAN 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE_TSAN
#include <sanitizer/tsan_interface.h>
#define TSAN_GUEST_WAS_TOLD(p) __tsan_release((void *)(uintptr_t)(p))
#define TSAN_GUEST_TOLD_US(p)  __tsan_acquire((void *)(uintptr_t)(p))
#else
#define TSAN_GUEST_WAS_TOLD(p) ((void)(p))
#define TSAN_GUEST_TOLD_US(p)  ((void)(p))
#endif

static uint16_t vq_load16(const void *ring, size_t off)
{
	const _Atomic uint16_t *p = (const void *)((const uint8_t *)ring + off);

	return atomic_load_explicit(p, memory_order_relaxed);
}

/* Acquire: pairs with the driver's release of avail->idx, so the entries before it are seen. */
static uint16_t vq_load_idx(const struct vq *vq)
{
	const _Atomic uint16_t *p = (const void *)((const uint8_t *)vq->avail + RING_IDX);
	uint16_t idx = atomic_load_explicit(p, memory_order_acquire);

	TSAN_GUEST_TOLD_US(vq->gm);
	return idx;
}

static void vq_store16(void *ring, size_t off, uint16_t v)
{
	_Atomic uint16_t *p = (void *)((uint8_t *)ring + off);

	atomic_store_explicit(p, v, memory_order_relaxed);
}

static void vq_store32(void *ring, size_t off, uint32_t v)
{
	_Atomic uint32_t *p = (void *)((uint8_t *)ring + off);

	atomic_store_explicit(p, v, memory_order_relaxed);
}

/* Release: the driver that sees the new index sees the entries and the data before it. */
static void vq_store_idx(const struct vq *vq, uint16_t v)
{
	_Atomic uint16_t *p = (void *)((uint8_t *)vq->used + RING_IDX);

	TSAN_GUEST_WAS_TOLD(vq->gm);
	atomic_store_explicit(p, v, memory_order_release);
}

static struct vring_desc vq_load_desc(const void *table, uint16_t i)
{
	const _Atomic uint64_t *p =
		(const void *)((const uint8_t *)table + i * sizeof(struct vring_desc));
	uint64_t raw[2] = { atomic_load_explicit(&p[0], memory_order_relaxed),
			    atomic_load_explicit(&p[1], memory_order_relaxed) };
	struct vring_desc d;

	memcpy(&d, raw, sizeof(d));
	return d;
}

static void *ring_at(const struct gm *gm, uint64_t gpa, uint64_t len, uint64_t align)
{
	return gpa % align == 0 ? gm_range(gm, gpa, len) : NULL;
}

int vq_start(struct vq *vq, const struct gm *gm, const struct vq_layout *l, uint64_t features)
{
	/* No ring offers more chains at a time than it has entries. */
	uint16_t chains = vq->conf.chains_max < l->size ? vq->conf.chains_max : l->size;
	uint16_t links = vq->conf.links_max ? vq->conf.links_max : l->size;

	vq_stop(vq);
	if (chains == 0)
		chains = 1;
	if (!is_pow2(l->size) || l->size > vq->conf.size_max)
		return -EPROTO;
	vq->desc = ring_at(gm, l->desc_gpa, sizeof(struct vring_desc) * l->size, 16);
	vq->avail = ring_at(gm, l->avail_gpa, AVAIL_LEN(l->size), 2);
	vq->used = ring_at(gm, l->used_gpa, USED_LEN(l->size), 4);
	if (!vq->desc || !vq->avail || !vq->used)
		return -EPROTO;

	vq->row_len = (size_t)links + GM_REGIONS_MAX;
	vq->iov = calloc(chains * vq->row_len, sizeof(*vq->iov));
	vq->table = calloc(links, sizeof(struct vring_desc));
	vq->free_slots = calloc(chains, sizeof(*vq->free_slots));
	if (!vq->iov || !vq->table || !vq->free_slots) {
		vq_stop(vq);
		return -ENOMEM;
	}
	for (vq->n_free = 0; vq->n_free < chains; vq->n_free++)
		vq->free_slots[vq->n_free] = vq->n_free;
	vq->gm = gm;
	vq->links_max = links;
	vq->next_avail = l->next;
	vq->next_used = l->next;
	vq->signalled = l->next;
	vq->has_event_idx = features & (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	vq->has_indirect = features & (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	vq->is_broken = false;
	vq->size = l->size;
	vq_begin_turn(vq);
	return 0;
}

void vq_stop(struct vq *vq)
{
	free(vq->iov);
	free(vq->table);
	free(vq->free_slots);
	vq->iov = NULL;
	vq->table = NULL;
	vq->free_slots = NULL;
	vq->n_free = 0;
	vq->size = 0;
}

/* A chain while it is being walked. */
struct walk {
	struct iovec *iov; /* readable pieces, then writable ones */
	size_t n;
	size_t n_rd;
	uint64_t bytes;
};

/* Adds one buffer; @d is a copy. */
static int walk_add(const struct vq *vq, struct walk *w, const struct vring_desc *d)
{
	bool is_wr = d->flags & VRING_DESC_F_WRITE;
	uint64_t gpa = d->addr;
	uint64_t left = d->len;
	uint64_t got = 0;

	if (!is_wr && w->n > w->n_rd)
		return -EPROTO; /* 2.7.4.2: readable after writable */
	w->bytes += left;
	if (w->bytes > UINT32_MAX)
		return -EPROTO;
	for (; left > 0; gpa += got, left -= got) {
		void *p = gm_piece(vq->gm, gpa, left, &got);

		if (!p || w->n == vq->row_len)
			return -EPROTO;
		w->iov[w->n++] = (struct iovec){ .iov_base = p, .iov_len = got };
	}
	if (!is_wr)
		w->n_rd = w->n;
	return 0;
}

/*
 * Copies an indirect table, so that it is read once.
 *
 * Return: its number of entries; -E2BIG if it is to be dropped; -EPROTO
 */
static int walk_indirect(const struct vq *vq, const struct vring_desc *d)
{
	if (!vq->has_indirect || (d->flags & VRING_DESC_F_NEXT) || d->len == 0 ||
	    d->len % sizeof(struct vring_desc) != 0)
		return -EPROTO;

	const void *from = gm_range(vq->gm, d->addr, d->len);
	if (!from)
		return -EPROTO;
	if (d->len / sizeof(struct vring_desc) > vq->links_max)
		return vq->conf.drops_long ? -E2BIG : -EPROTO;
	memcpy(vq->table, from, d->len);
	atomic_signal_fence(memory_order_seq_cst); /* the compiler may not look at the original */
	return (int)(d->len / sizeof(struct vring_desc));
}

static int vq_walk(const struct vq *vq, uint16_t head, struct walk *w)
{
	const void *table = vq->desc;
	int limit = vq->size;
	int i = head;

	/* Counting links is what ends a cyclic chain. */
	for (unsigned links = 0; links < vq->links_max;) {
		if (i >= limit)
			return -EPROTO;
		struct vring_desc d = vq_load_desc(table, (uint16_t)i);

		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (table == vq->table)
				return -EPROTO; /* 2.7.5.3.1: no table in a table */
			limit = walk_indirect(vq, &d);
			if (limit < 0)
				return limit;
			table = vq->table;
			i = 0;
			continue;
		}
		int r = walk_add(vq, w, &d);
		if (r < 0)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
		links++;
	}
	return -EPROTO;
}

/* Number of chains on offer, after asking for a notification if there are none. */
static uint16_t vq_offered(const struct vq *vq)
{
	uint16_t n = (uint16_t)(vq_load_idx(vq) - vq->next_avail);

	if (n != 0 || !vq->has_event_idx)
		return n;
	vq_store16(vq->used, RING_ENTRIES + sizeof(struct vring_used_elem) * vq->size,
		   vq->next_avail);
	/* The driver stores idx, then loads our avail_event: one of us sees the other's store. */
	atomic_thread_fence(memory_order_seq_cst);
	return (uint16_t)(vq_load_idx(vq) - vq->next_avail);
}

int vq_pop(struct vq *vq, struct vq_chain *c)
{
	if (vq->is_broken)
		return -EPROTO;
	if (vq->n_free == 0 || vq->size == 0)
		return 0;

	if (vq->turn == 0) {
		event_signal(&vq->kick);
		return 0;
	}

	uint16_t n = vq_offered(vq);
	if (n == 0) {
		vq_begin_turn(vq);
		return 0;
	}

	uint16_t slot = vq->free_slots[vq->n_free - 1];
	struct walk w = { .iov = &vq->iov[slot * vq->row_len] };
	uint16_t at = vq->next_avail & (uint16_t)(vq->size - 1);
	uint16_t head = vq_load16(vq->avail, RING_ENTRIES + 2 * (size_t)at);

	int r = n > vq->size ? -EPROTO : vq_walk(vq, head, &w);
	if (r == -E2BIG) {
		w.n = 0;
		w.n_rd = 0;
	} else if (r < 0) {
		vq->is_broken = true;
		return -EPROTO;
	}
	uint64_t cost = 1 + w.bytes / VQ_TURN_PAGE;
	vq->turn -= cost < vq->turn ? (uint32_t)cost : vq->turn;
	vq->next_avail++;
	vq->n_free--;
	*c = (struct vq_chain){
		.rd = cur_init(w.iov, w.n_rd),
		.wr = cur_init(w.iov + w.n_rd, w.n - w.n_rd),
		.head = head,
		.slot = slot,
	};
	return 1;
}

void vq_unpop(struct vq *vq, struct vq_chain *c)
{
	vq->free_slots[vq->n_free++] = c->slot;
	vq->next_avail--;
}

void vq_push(struct vq *vq, struct vq_chain *c, uint32_t written)
{
	size_t at = RING_ENTRIES + sizeof(struct vring_used_elem) *
					   (size_t)(vq->next_used & (uint16_t)(vq->size - 1));

	vq->free_slots[vq->n_free++] = c->slot;
	vq_store32(vq->used, at, c->head);
	vq_store32(vq->used, at + 4, written);
	vq->next_used++;
	vq_store_idx(vq, vq->next_used);
}

/* 2.7.10: whether the driver asked to hear about a chain in (signalled, next_used]. */
static bool vq_wants_signal(const struct vq *vq)
{
	/* The driver stores used_event, then loads used->idx: one of us sees the other's store. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!vq->has_event_idx)
		return !(vq_load16(vq->avail, RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);

	uint16_t event = vq_load16(vq->avail, RING_ENTRIES + 2 * (size_t)vq->size);
	return vring_need_event(event, vq->next_used, vq->signalled);
}

void vq_signal(struct vq *vq)
{
	if (vq->size == 0 || vq->signalled == vq->next_used)
		return;
	if (vq_wants_signal(vq))
		vq->irq(vq);
	vq->signalled = vq->next_used;
}
