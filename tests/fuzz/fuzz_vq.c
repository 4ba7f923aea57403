/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a driver that writes anything into its rings, and changes them while the device
 * works.  The input is the first page of guest memory, where the rings lie; after each chain one
 * more byte of it is changed.  Every byte of every chain is read and written.
 */
#include <assert.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "mem/gm.h"
#include "virtio/vq.h"

#define PAGE     4096
#define RAM      (16 * PAGE)
#define AT_AVAIL 0x100 /* right behind the table */
#define AT_USED  0x130
#define RING     16
#define FEATURES                                                                                   \
	(UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define CHAINS   64 /* looked at per input */
#define WR_BYTES 0x10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_irq(struct vq *vq)
{
	(void)vq;
}

static void use_chain(struct vq_chain *c)
{
	uint8_t buf[256];

	while (cur_left(&c->rd) > 0) {
		size_t n = cur_left(&c->rd) < sizeof(buf) ? cur_left(&c->rd) : sizeof(buf);

		assert(cur_read(&c->rd, buf, n) == 0);
	}
	/* Writing is bounded: chains of 4 GiB that point to the same page are legal. */
	size_t n = cur_left(&c->wr) < WR_BYTES ? cur_left(&c->wr) : WR_BYTES;
	assert(cur_zero(&c->wr, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ram[RAM] __attribute__((aligned(PAGE)));
	struct vq vq = { .conf = { .size_max = RING, .chains_max = 2 }, .irq = no_irq };
	const struct vq_layout l = { .size = RING, .avail_gpa = AT_AVAIL, .used_gpa = AT_USED };
	struct gm gm = { 0 };
	struct vq_chain c;

	memset(ram, 0, sizeof(ram));
	memcpy(ram, data, size < PAGE ? size : PAGE);
	assert(gm_add(&gm, 0, ram, RAM / 2) == 0);
	assert(gm_add(&gm, RAM / 2 + PAGE, ram + RAM / 2, RAM / 2) == 0);
	assert(vq_start(&vq, &gm, &l, FEATURES) == 0);
	for (size_t i = 0; i < CHAINS && vq_pop(&vq, &c) > 0; i++) {
		if (cur_left(&c.rd) <= RAM)
			use_chain(&c);
		vq_push(&vq, &c, 0);
		vq_signal(&vq);
		if (PAGE + 2 * i + 1 < size)
			ram[(data[PAGE + 2 * i] * 16) % PAGE] = data[PAGE + 2 * i + 1];
	}
	vq_stop(&vq);
	return 0;
}
