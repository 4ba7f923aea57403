/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueue, device side (virtio 1.2, 2.7), with indirect descriptors and EVENT_IDX.
 *
 * The life of a descriptor chain: vq_pop() takes it from the available ring and checks all of it;
 * the device reads through c->rd and writes through c->wr; vq_push() returns it in the used ring;
 * vq_signal() interrupts the driver if it wants that.  Chains may be pushed in any order.
 *
 * A queue belongs to one thread (the device's header says which); only vq->kick is shared.
 * Once the driver has broken a rule the queue is broken until it is started anew: vq_pop() says
 * -EPROTO each time.
 */
#ifndef PECTEN_VIRTIO_VQ_H
#define PECTEN_VIRTIO_VQ_H

#include <stdbool.h>
#include <stdint.h>

#include "host/event.h"
#include "host/loop.h"
#include "util/cur.h"

struct gm;
struct virtio_dev;

#define VQ_SIZE_MAX  1024 /* entries of a ring; a power of two */
#define VQ_LINKS_MAX 2048 /* descriptors of one chain */

/*
 * What is taken from a queue in a row, in chains and pages of their buffers: a driver that offers
 * chains as fast as they are served must not keep the device's thread from all else.
 */
#define VQ_TURN      2048
#define VQ_TURN_PAGE 4096

/* What a device wants of one of its queues. */
struct vq_conf {
	uint16_t size_max;   /* largest ring offered: a power of two, at most VQ_SIZE_MAX */
	uint16_t chains_max; /* chains the device holds at a time; 0 means 1 */
	/*
	 * Descriptors of one chain, 0 for the ring's size, which is the specification's limit
	 * (2.7.5.3.1).  Linux exceeds it in indirect tables where the device's limits are in
	 * config space, and always for virtio-gpu.
	 */
	uint16_t links_max;
	/*
	 * A longer indirect table breaks the queue, or, if this is set, is popped as a chain
	 * without a byte: where Linux makes tables as long as an unprivileged process asks for
	 * (virtio-gpu).
	 */
	bool drops_long;
};

/* Where the driver has put the rings. */
struct vq_layout {
	uint16_t size; /* entries */
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;
	uint16_t next; /* free-running index of the first chain to take; 0 on a new ring */
};

/* One chain in the device's hands.  Plain data: may be copied and kept until vq_push(). */
struct vq_chain {
	struct cur rd; /* device-readable bytes */
	struct cur wr; /* device-writable bytes */
	uint16_t head;
	uint16_t slot; /* vq's: which storage the cursors use */
};

struct vq {
	struct vq_conf conf;
	struct event kick;          /* the driver has notified */
	void (*irq)(struct vq *vq); /* transport: used buffer notification; any thread */
	struct virtio_dev *dev;     /* virtio_dev.c's, as are the next two */
	unsigned index;
	struct loop_fd src;

	/* Valid while started. */
	const struct gm *gm;
	void *desc;
	void *avail;
	void *used;
	uint16_t size; /* 0 while stopped */
	uint16_t links_max;
	uint16_t next_avail; /* free-running, as is next_used; only ring accesses wrap them */
	uint16_t next_used;
	uint16_t signalled; /* next_used at the last vq_signal() */
	uint32_t turn;      /* what is left of VQ_TURN */
	bool has_event_idx;
	bool has_indirect;
	bool is_broken;
	void *table;       /* copy of an indirect table */
	struct iovec *iov; /* chains_max rows of row_len */
	size_t row_len;
	uint16_t *free_slots; /* stack of unused rows */
	uint16_t n_free;
};

/**
 * vq_start() - begin to use the rings the driver has laid out
 * @vq:		zeroed, or stopped; ->conf and ->irq are set
 * @gm:		borrowed until vq_stop()
 * @features:	negotiated: VIRTIO_RING_F_EVENT_IDX and _INDIRECT_DESC count here
 *
 * Return: 0; -EPROTO for a layout that breaks 2.7 (size, alignment, not in RAM); -ENOMEM
 */
int vq_start(struct vq *vq, const struct gm *gm, const struct vq_layout *l,
	     uint64_t features) MUST_CHECK;

/* Ends it.  Chains still in hand become invalid; none may be touched any more.  Harmless twice. */
void vq_stop(struct vq *vq);

/**
 * vq_pop() - take the next descriptor chain
 * @c:		on 1: the chain, checked as a whole: every byte is RAM, readable before writable,
 *		at most links_max links and 2^32-1 bytes; empty if it was dropped (drops_long)
 *
 * On 0 the driver has been asked to notify about the next one, or the turn is over, and then the
 * queue notifies itself.
 *
 * Return: 1; 0 if there is none, or if the device holds chains_max of them (pop again after a
 *	   push), or at the end of a turn; -EPROTO if the driver broke a rule: call
 *	   virtio_needs_reset()
 */
int vq_pop(struct vq *vq, struct vq_chain *c) MUST_CHECK;

/* A notification is being served: a new turn. */
static inline void vq_begin_turn(struct vq *vq)
{
	vq->turn = VQ_TURN;
}

/* Puts the chain popped last, and not pushed since, back to be popped again. */
void vq_unpop(struct vq *vq, struct vq_chain *c);

/**
 * vq_push() - return a chain to the driver
 * @written:	bytes from the first device-writable one on that the device has written without a
 *		gap (2.7.8.2)
 */
void vq_push(struct vq *vq, struct vq_chain *c, uint32_t written);

/* Interrupts the driver unless it does not want to hear of the chains pushed since the last time.
 */
void vq_signal(struct vq *vq);

#endif
