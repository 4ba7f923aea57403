/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the virtqueue walk: what a correct driver offers, and what a hostile one may. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/driver.h"

#define F_NEXT     VRING_DESC_F_NEXT
#define F_WRITE    VRING_DESC_F_WRITE
#define F_INDIRECT VRING_DESC_F_INDIRECT

#define INDIRECT  VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_IDX VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX)

struct fixture {
	struct fake_driver f;
	struct fd_ring *r;
	struct vq vq;
	unsigned irqs;
};

static void count_irq(struct vq *vq)
{
	container_of(vq, struct fixture, vq)->irqs++;
}

static void restart(struct fixture *x, uint16_t size, uint64_t features)
{
	x->f.heap = 0x1000;
	memset(x->f.ram, 0, FD_RAM);
	fd_ring_init(&x->f, x->r, size);
	assert_int_equal(vq_start(&x->vq, &x->f.gm, &x->r->layout, features), 0);
	x->irqs = 0;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	*state = x;
	fd_init(&x->f);
	x->r = &x->f.ring[0];
	x->vq.conf = (struct vq_conf){ .size_max = 64, .chains_max = 2 };
	x->vq.irq = count_irq;
	restart(x, 4, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	vq_stop(&x->vq);
	fd_fini(&x->f);
	free(x);
	return 0;
}

/* clang-format off */
/* Ring of 4 and a table at 0x8000.  Each row is one chain a hostile driver may offer. */
static const struct bad_chain {
	const char *why;
	uint16_t head;
	struct { uint64_t gpa; uint32_t len; uint16_t flags, next; } d[2], t[2];
} bad_chains[] = {
	{ "head outside the table",   4, { { 0 } }, { { 0 } } },
	{ "next outside the table",   0, { { 0x1000, 16, F_NEXT, 4 } }, { { 0 } } },
	{ "loop",                     0, { { 0x1000, 16, F_NEXT, 1 }, { 0x2000, 16, F_NEXT, 0 } }, { { 0 } } },
	{ "loop of empty buffers",    0, { { 0, 0, F_NEXT, 0 } }, { { 0 } } },
	{ "readable after writable",  0, { { 0x1000, 16, F_NEXT | F_WRITE, 1 }, { 0x2000, 16, 0, 0 } }, { { 0 } } },
	{ "runs past the end of RAM", 0, { { FD_RAM - 8, 16, 0, 0 } }, { { 0 } } },
	{ "outside RAM",              0, { { FD_RAM, 1, F_WRITE, 0 } }, { { 0 } } },
	{ "wraps the address space",  0, { { UINT64_MAX - 7, 16, 0, 0 } }, { { 0 } } },
	{ "4 GiB long",               0, { { 0, UINT32_MAX, F_NEXT, 1 }, { 0, 1, 0, 0 } }, { { 0 } } },
	{ "indirect with next",       0, { { 0x8000, 16, F_INDIRECT | F_NEXT, 1 } }, { { 0x1000, 16, 0, 0 } } },
	{ "indirect, empty",          0, { { 0x8000, 0, F_INDIRECT, 0 } }, { { 0 } } },
	{ "indirect, crooked",        0, { { 0x8000, 24, F_INDIRECT, 0 } }, { { 0x1000, 16, 0, 0 } } },
	{ "indirect, too many",       0, { { 0x8000, 80, F_INDIRECT, 0 } }, { { 0x1000, 16, 0, 0 } } },
	{ "indirect outside RAM",     0, { { FD_RAM, 16, F_INDIRECT, 0 } }, { { 0 } } },
	{ "indirect in indirect",     0, { { 0x8000, 32, F_INDIRECT, 0 } }, { { 0x8000, 32, F_INDIRECT, 0 } } },
	{ "indirect, next outside",   0, { { 0x8000, 32, F_INDIRECT, 0 } }, { { 0x1000, 16, F_NEXT, 2 } } },
	{ "indirect, loop",           0, { { 0x8000, 32, F_INDIRECT, 0 } }, { { 0x1000, 16, F_NEXT, 0 } } },
};
/* clang-format on */

static void malformed_chain_is_refused(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;

	for (size_t i = 0; i < ARRAY_LEN(bad_chains); i++) {
		const struct bad_chain *b = &bad_chains[i];
		struct vring_desc *t = fd_at(&x->f, 0x8000);

		print_message("# %s\n", b->why);
		restart(x, 4, INDIRECT);
		for (uint16_t n = 0; n < 2; n++) {
			fd_ring_desc(x->r, n, b->d[n].gpa, b->d[n].len, b->d[n].flags,
				     b->d[n].next);
			t[n] = (struct vring_desc){ .addr = b->t[n].gpa,
						    .len = b->t[n].len,
						    .flags = b->t[n].flags,
						    .next = b->t[n].next };
		}
		fd_ring_offer(x->r, b->head);
		assert_int_equal(vq_pop(&x->vq, &c), -EPROTO);
		assert_int_equal(vq_pop(&x->vq, &c), -EPROTO);
	}
}

static void index_may_not_jump_past_the_ring(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;

	for (int i = 0; i < 5; i++)
		fd_ring_offer(x->r, 0);
	assert_int_equal(vq_pop(&x->vq, &c), -EPROTO);
}

static void indirect_needs_the_feature(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;

	fd_ring_desc(x->r, 0, 0x8000, 16, F_INDIRECT, 0);
	fd_ring_offer(x->r, 0);
	assert_int_equal(vq_pop(&x->vq, &c), -EPROTO);
}

/* clang-format off */
static const struct bad_layout {
	const char *why;
	struct vq_layout l;
} bad_layouts[] = {
	{ "no entries",             { .size = 0,   .desc_gpa = 0x1000, .avail_gpa = 0x2000, .used_gpa = 0x3000 } },
	{ "not a power of two",     { .size = 3,   .desc_gpa = 0x1000, .avail_gpa = 0x2000, .used_gpa = 0x3000 } },
	{ "larger than offered",    { .size = 128, .desc_gpa = 0x1000, .avail_gpa = 0x2000, .used_gpa = 0x3000 } },
	{ "table crooked",          { .size = 4,   .desc_gpa = 0x1008, .avail_gpa = 0x2000, .used_gpa = 0x3000 } },
	{ "available ring crooked", { .size = 4,   .desc_gpa = 0x1000, .avail_gpa = 0x2001, .used_gpa = 0x3000 } },
	{ "used ring crooked",      { .size = 4,   .desc_gpa = 0x1000, .avail_gpa = 0x2000, .used_gpa = 0x3002 } },
	{ "table past RAM",         { .size = 4,   .desc_gpa = FD_RAM - 48, .avail_gpa = 0x2000, .used_gpa = 0x3000 } },
	{ "available ring past RAM", { .size = 4,  .desc_gpa = 0x1000, .avail_gpa = FD_RAM - 12, .used_gpa = 0x3000 } },
	{ "used ring past RAM",     { .size = 4,   .desc_gpa = 0x1000, .avail_gpa = 0x2000, .used_gpa = FD_RAM - 36 } },
	{ "wraps",                  { .size = 4,   .desc_gpa = UINT64_MAX - 15, .avail_gpa = 0x2000, .used_gpa = 0x3000 } },
};
/* clang-format on */

static void rings_must_be_well_formed_and_in_ram(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;

	for (size_t i = 0; i < ARRAY_LEN(bad_layouts); i++) {
		print_message("# %s\n", bad_layouts[i].why);
		assert_int_equal(vq_start(&x->vq, &x->f.gm, &bad_layouts[i].l, 0), -EPROTO);
		assert_int_equal(vq_pop(&x->vq, &c), 0);
		vq_signal(&x->vq);
	}
	assert_int_equal(x->irqs, 0);
}

static void chain_becomes_two_cursors(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;
	char got[8] = "";
	uint16_t head = 0;
	uint32_t written = 0;

	memcpy(fd_at(&x->f, 0x2000), "he", 2);
	memcpy(fd_at(&x->f, 0x3000), "llo", 4);
	fd_ring_desc(x->r, 2, 0x2000, 2, F_NEXT, 0);
	fd_ring_desc(x->r, 0, 0x3000, 4, F_NEXT, 3);
	fd_ring_desc(x->r, 3, 0x4000, 0, F_NEXT | F_WRITE, 1);
	fd_ring_desc(x->r, 1, 0x5000, 5, F_WRITE, 0);
	fd_ring_offer(x->r, 2);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	assert_int_equal(c.head, 2);
	assert_int_equal(cur_left(&c.rd), 6);
	assert_int_equal(cur_left(&c.wr), 5);
	assert_int_equal(cur_read(&c.rd, got, 6), 0);
	assert_string_equal(got, "hello");
	assert_int_equal(cur_write(&c.wr, "world", 5), 0);
	vq_push(&x->vq, &c, 5);
	vq_signal(&x->vq);
	vq_signal(&x->vq);
	assert_int_equal(x->irqs, 1);
	assert_memory_equal(fd_at(&x->f, 0x5000), "world", 5);
	assert_true(fd_ring_used(x->r, &head, &written));
	assert_int_equal(head, 2);
	assert_int_equal(written, 5);
	assert_false(fd_ring_used(x->r, &head, &written));
	assert_int_equal(vq_pop(&x->vq, &c), 0);
}

static void indirect_table_follows_direct_links(void **state)
{
	struct fixture *x = *state;
	struct vring_desc *t = fd_at(&x->f, 0x8004); /* tables need no alignment */
	struct vring_desc copy[2] = {
		{ .addr = 0x3000, .len = 4, .flags = F_NEXT, .next = 1 },
		{ .addr = 0x4000, .len = 8, .flags = F_WRITE },
	};
	struct vq_chain c;

	restart(x, 4, INDIRECT);
	memcpy(t, copy, sizeof(copy));
	fd_ring_desc(x->r, 0, 0x2000, 2, F_NEXT, 1);
	fd_ring_desc(x->r, 1, 0x8004, 32, F_INDIRECT | F_WRITE, 0);
	fd_ring_offer(x->r, 0);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	assert_int_equal(cur_left(&c.rd), 6);
	assert_int_equal(cur_left(&c.wr), 8);
}

static void longer_indirect_tables_are_taken_where_the_device_says_so(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;

	for (int pass = 0; pass < 2; pass++) {
		x->vq.conf.links_max = pass ? 100 : 0;
		restart(x, 4, INDIRECT);
		struct vring_desc *t = fd_at(&x->f, 0x8000);
		for (uint16_t i = 0; i < 100; i++)
			t[i] = (struct vring_desc){ .addr = 0x2000,
						    .len = 10,
						    .flags = i < 99 ? F_NEXT : 0,
						    .next = (uint16_t)(i + 1) };
		fd_ring_desc(x->r, 0, 0x8000, 1600, F_INDIRECT, 0);
		fd_ring_offer(x->r, 0);
		assert_int_equal(vq_pop(&x->vq, &c), pass ? 1 : -EPROTO);
	}
	assert_int_equal(cur_left(&c.rd), 1000);
}

static void longer_tables_still_are_dropped_where_the_device_says_so(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;
	uint32_t written;
	uint16_t head;

	x->vq.conf.links_max = 50;
	x->vq.conf.drops_long = true;
	restart(x, 4, INDIRECT);
	fd_ring_desc(x->r, 1, 0x8000, 51 * 16, F_INDIRECT, 0);
	fd_ring_offer(x->r, 1);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	assert_int_equal(cur_left(&c.rd), 0);
	assert_int_equal(cur_left(&c.wr), 0);
	vq_push(&x->vq, &c, 0);
	assert_true(fd_ring_used(x->r, &head, &written));
	assert_int_equal(head, 1);

	/* Behind a direct link, too; but not from outside RAM. */
	fd_ring_desc(x->r, 0, 0x2000, 2, F_NEXT, 1);
	fd_ring_offer(x->r, 0);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	assert_int_equal(cur_left(&c.rd), 0);
	vq_push(&x->vq, &c, 0);
	fd_ring_desc(x->r, 1, FD_RAM, 51 * 16, F_INDIRECT, 0);
	fd_ring_offer(x->r, 1);
	assert_int_equal(vq_pop(&x->vq, &c), -EPROTO);
}

static void buffers_may_cross_regions(void **state)
{
	struct fixture *x = *state;
	uint8_t more[64];
	struct vq_chain c;

	assert_int_equal(gm_add(&x->f.gm, FD_RAM, more, sizeof(more)), 0);
	fd_ring_desc(x->r, 0, FD_RAM - 10, 74, F_WRITE, 0);
	fd_ring_offer(x->r, 0);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	assert_int_equal(cur_zero(&c.wr, 73), 0);
	assert_int_equal(cur_write(&c.wr, "!", 1), 0);
	assert_int_equal(more[63], '!');
}

static void device_holds_no_more_chains_than_it_asked_for(void **state)
{
	struct fixture *x = *state;
	struct vq_chain a, b, c;
	uint16_t head = 0;
	uint32_t written = 0;

	for (uint16_t i = 0; i < 3; i++) {
		fd_ring_desc(x->r, i, 0x2000, 1, 0, 0);
		fd_ring_offer(x->r, i);
	}
	assert_int_equal(vq_pop(&x->vq, &a), 1);
	assert_int_equal(vq_pop(&x->vq, &b), 1);
	assert_int_equal(vq_pop(&x->vq, &c), 0);
	vq_unpop(&x->vq, &b);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	assert_int_equal(c.head, 1);
	vq_push(&x->vq, &c, 0);
	assert_int_equal(vq_pop(&x->vq, &b), 1);
	assert_int_equal(b.head, 2);
	vq_push(&x->vq, &a, 0);
	assert_true(fd_ring_used(x->r, &head, &written));
	assert_int_equal(head, 1);
	assert_true(fd_ring_used(x->r, &head, &written));
	assert_int_equal(head, 0);
}

static void driver_can_decline_interrupts(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;

	x->r->avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
	fd_ring_offer(x->r, 0);
	assert_int_equal(vq_pop(&x->vq, &c), 1);
	vq_push(&x->vq, &c, 0);
	vq_signal(&x->vq);
	assert_int_equal(x->irqs, 0);
}

/* Free-running indices pass 65535 here. */
static void event_idx_signals_once_per_wish_across_the_wrap(void **state)
{
	struct fixture *x = *state;
	struct vq_chain c;
	uint16_t got = 0;
	uint16_t start = 65534;

	restart(x, 4, EVENT_IDX);
	x->r->layout.next = start;
	x->r->avail_idx = start;
	memcpy(x->r->avail + 2, &start, 2);
	assert_int_equal(vq_start(&x->vq, &x->f.gm, &x->r->layout, EVENT_IDX), 0);
	for (uint16_t i = 0; i < 5; i++) {
		uint16_t wish = (uint16_t)(start + 2); /* tell me when the third one is done */

		memcpy(x->r->avail + 4 + 2 * 4, &wish, 2);
		assert_int_equal(vq_pop(&x->vq, &c), 0);
		memcpy(&got, x->r->used + 4 + 8 * 4, 2); /* avail_event: notify at the next one */
		assert_int_equal(got, (uint16_t)(start + i));
		fd_ring_offer(x->r, 0);
		assert_int_equal(vq_pop(&x->vq, &c), 1);
		vq_push(&x->vq, &c, 0);
		vq_signal(&x->vq);
		assert_int_equal(x->irqs, i < 2 ? 0 : 1);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(malformed_chain_is_refused),
		T(index_may_not_jump_past_the_ring),
		T(indirect_needs_the_feature),
		T(rings_must_be_well_formed_and_in_ram),
		T(chain_becomes_two_cursors),
		T(indirect_table_follows_direct_links),
		T(longer_indirect_tables_are_taken_where_the_device_says_so),
		T(longer_tables_still_are_dropped_where_the_device_says_so),
		T(buffers_may_cross_regions),
		T(device_holds_no_more_chains_than_it_asked_for),
		T(driver_can_decline_interrupts),
		T(event_idx_signals_once_per_wish_across_the_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
