/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's half of virtio, in this process: fake guest memory, rings built by hand for hostile
 * cases, and a well-behaved driver for a whole device.  The device's loop has no thread, so all
 * that it does happens inside fd_kick().
 *
 *	struct fake_driver f;
 *	fd_init(&f);                           guest RAM, all zero
 *	fd_start(&f, &blk->dev, features);     all queues, rings of the largest size up to FD_RING
 *	uint16_t id = fd_offer(&f, 0, (struct fd_buf[]){ FD_RD(&hdr), FD_WR(&status) }, 2);
 *	fd_kick(&f, 0);
 *	fd_used(&f, 0, &id, &written);         and the bytes are back in "status"
 *	fd_fini(&f);                           stops the device, which still exists
 */
#ifndef PECTEN_TESTS_HARNESS_DRIVER_H
#define PECTEN_TESTS_HARNESS_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "host/loop.h"
#include "mem/gm.h"
#include "virtio/virtio_dev.h"

#define FD_RAM    (UINT64_C(4) << 20) /* bytes of RAM at gpa 0 */
#define FD_RING   64                  /* largest ring fd_start() lays out */
#define FD_QUEUES 8                   /* queues of a device that are started */

/* A ring as the driver sees it; free-running indices. */
struct fd_ring {
	uint16_t size;
	struct vring_desc *desc;
	uint8_t *avail;
	uint8_t *used;
	struct vq_layout layout;
	uint16_t avail_idx;
	uint16_t used_idx; /* entries fetched by fd_used() */
	uint16_t next_desc;
	unsigned irqs; /* used buffer notifications */

	/* Device-writable buffers of each chain, copied back by fd_used(). */
	struct {
		void *to[8];
		uint64_t from[8];
		uint32_t len[8];
		unsigned n;
	} back[FD_RING];
};

struct fake_driver {
	uint8_t *ram;
	struct gm gm;
	uint64_t heap; /* gpa of the next free byte */
	struct fd_ring ring[FD_QUEUES];
	struct virtio_dev *dev;
	struct virtio_transport transport;
	unsigned config_changes;
};

struct fd_buf {
	void *p;
	uint32_t len;
	bool is_wr; /* device-writable */
};

#define FD_RD(p)         ((struct fd_buf){ (p), sizeof(*(p)), false })
#define FD_WR(p)         ((struct fd_buf){ (p), sizeof(*(p)), true })
#define FD_RDN(p, bytes) ((struct fd_buf){ (p), (uint32_t)(bytes), false })
#define FD_WRN(p, bytes) ((struct fd_buf){ (p), (uint32_t)(bytes), true })

/* For what a fixture takes for granted, where an assertion of cmocka has no test to fail. */
void fd_must(bool ok);

void fd_init(struct fake_driver *f);
void fd_fini(struct fake_driver *f);

/* gpa of @len fresh zero bytes, aligned to 16; a test that runs out of RAM aborts. */
uint64_t fd_alloc(struct fake_driver *f, uint64_t len);
void *fd_at(struct fake_driver *f, uint64_t gpa);

/* Lays out one empty ring; ->layout is what the device is told. */
void fd_ring_init(struct fake_driver *f, struct fd_ring *r, uint16_t size);
void fd_ring_desc(struct fd_ring *r, uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags,
		  uint16_t next);
void fd_ring_offer(struct fd_ring *r, uint16_t head);
bool fd_ring_used(struct fd_ring *r, uint16_t *head, uint32_t *written);

/**
 * fd_start() - start all queues of a device
 * @features:	besides VERSION_1
 *
 * Return: what virtio_start() says
 */
int fd_start(struct fake_driver *f, struct virtio_dev *dev, uint64_t features);

/* Offers one chain of at most 8 buffers without a notification; returns its head. */
uint16_t fd_offer(struct fake_driver *f, unsigned queue, const struct fd_buf *bufs, unsigned n);

/* Notifies; the device has dealt with it on return, as far as it works on its own loop. */
void fd_kick(struct fake_driver *f, unsigned queue);

/**
 * fd_spin() - let a device's loop do all that it can do now
 * @loop:	has no thread
 *
 * What is ready is handled, and what that makes ready, several times over; nothing is waited for.
 */
void fd_spin(struct loop *loop);

/**
 * fd_used() - fetch one used chain
 *
 * The bytes the device wrote are copied back into the buffers given to fd_offer().
 *
 * Return: false if there is none
 */
bool fd_used(struct fake_driver *f, unsigned queue, uint16_t *head, uint32_t *written);

#endif
