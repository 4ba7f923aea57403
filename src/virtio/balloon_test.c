// SPDX-License-Identifier: Apache-2.0
/* Balloon and random numbers: two small devices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <linux/virtio_balloon.h>

#include <cmocka.h>

#include "harness/driver.h"
#include "host/shm.h"
#include "virtio/balloon.h"
#include "virtio/rng.h"

static struct {
	void *at[16];
	uint64_t len[16];
	unsigned n;
	bool is_counting; /* only @n is kept */
} given;                  /* cmocka's callbacks have no argument for it */

static int on_discard(void *at, uint64_t len)
{
	if (given.is_counting) {
		given.n++;
		return 0;
	}
	if ((uintptr_t)at % shm_page_size() || len % shm_page_size() || given.n == 16)
		abort();
	given.at[given.n] = at;
	given.len[given.n++] = len;
	memset(at, 0, len);
	return 0;
}

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct virtio_balloon *b;
	struct virtio_rng *rng;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	fd_must(x != NULL && loop_create(&x->loop) == 0);
	fd_must(virtio_balloon_create(on_discard, x->loop, &x->b) == 0);
	fd_must(virtio_rng_create(x->loop, &x->rng) == 0);
	fd_init(&x->f);
	given.n = 0;
	given.is_counting = false;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	virtio_balloon_destroy(x->b);
	virtio_rng_destroy(x->rng);
	loop_destroy(x->loop);
	free(x);
	return 0;
}

/* Offers guest memory itself, rather than a copy of something. */
static void offer_pages(struct fixture *x, unsigned queue, uint64_t gpa, uint32_t len)
{
	struct fd_ring *r = &x->f.ring[queue];
	uint16_t head = r->next_desc % r->size;

	r->back[head].n = 0;
	fd_ring_desc(r, head, gpa, len, VRING_DESC_F_WRITE, 0);
	r->next_desc = (uint16_t)(head + 1);
	fd_ring_offer(r, head);
	fd_kick(&x->f, queue);
}

static void reported_pages_go_back(void **state)
{
	struct fixture *x = *state;
	uint32_t written;
	uint16_t head;

	fd_must(fd_start(&x->f, virtio_balloon_dev(x->b), VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING)) ==
		0);
	memset(fd_at(&x->f, 0x200000), 0x77, 0x10000);
	offer_pages(x, 2, 0x200000, 0x8000);
	assert_true(fd_used(&x->f, 2, &head, &written));
	assert_int_equal(written, 0);
	assert_int_equal(given.n, 1);
	assert_ptr_equal(given.at[0], fd_at(&x->f, 0x200000));
	assert_int_equal(given.len[0], 0x8000);

	/* Only whole pages. */
	offer_pages(x, 2, 0x208010, 0x2000);
	assert_int_equal(given.n, 2);
	assert_ptr_equal(given.at[1], fd_at(&x->f, 0x209000));
	assert_int_equal(given.len[1], 0x1000);
	offer_pages(x, 2, 0x20a010, 0x800);
	offer_pages(x, 2, 0x20afff, 1);
	assert_int_equal(given.n, 2);
	assert_int_equal(((uint8_t *)fd_at(&x->f, 0x20a010))[0], 0x77);
}

static void inflated_pages_go_back_together(void **state)
{
	struct fixture *x = *state;
	uint32_t pfns[] = { 0x200, 0x201, 0x202, 0x300, 0xffffffff, 0x400, 0x401 };
	uint32_t pages = 512, written;
	uint16_t head;

	fd_must(fd_start(&x->f, virtio_balloon_dev(x->b), 0) == 0);
	virtio_balloon_set_target(x->b, 2);
	assert_int_equal(x->f.config_changes, 1);
	(void)fd_offer(&x->f, 0,
		       (struct fd_buf[]){ FD_RDN(pfns, 5), FD_RDN((uint8_t *)pfns + 5, 22) }, 2);
	fd_kick(&x->f, 0);
	assert_true(fd_used(&x->f, 0, &head, &written));
	/* 0x400 is past the end of RAM; the last one is cut off. */
	assert_int_equal(given.n, 2);
	assert_int_equal(given.len[0], 0x3000);
	assert_ptr_equal(given.at[1], fd_at(&x->f, 0x300000));
	virtio_config_write(virtio_balloon_dev(x->b), 4, &pages, 4);
	assert_int_equal(virtio_balloon_actual(x->b), 2);
	virtio_config_write(virtio_balloon_dev(x->b), 0, &pages, 4);
	virtio_config_write(virtio_balloon_dev(x->b), 5, &pages, 2);
	(void)virtio_config_read(virtio_balloon_dev(x->b), 0, &written, 4);
	assert_int_equal(written, 512);
	(void)fd_offer(&x->f, 1, (struct fd_buf[]){ FD_RD(&pfns) }, 1);
	fd_kick(&x->f, 1);
	assert_true(fd_used(&x->f, 1, &head, &written));
}

static void one_chain_takes_only_so_long(void **state)
{
	struct fixture *x = *state;
	struct fd_ring *r = &x->f.ring[0];
	const uint32_t len = 1 << 19;
	uint32_t written, pfn = 0x200;
	uint16_t head;

	fd_must(fd_start(&x->f, virtio_balloon_dev(x->b), 0) == 0);
	uint64_t gpa = fd_alloc(&x->f, len);
	for (uint32_t at = 0; at < len; at += sizeof(pfn))
		memcpy(fd_at(&x->f, gpa + at), &pfn, sizeof(pfn));
	given.is_counting = true;
	for (uint16_t i = 0; i < 16; i++)
		fd_ring_desc(r, i, gpa, len, i < 15 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	fd_ring_offer(r, 0);
	fd_kick(&x->f, 0);
	assert_true(fd_used(&x->f, 0, &head, &written));
	assert_int_equal(given.n, 65536);
}

static void random_numbers_differ(void **state)
{
	struct fixture *x = *state;
	static uint8_t a[8000], b[64], zeros[64];
	uint32_t written;
	uint16_t head;

	fd_must(fd_start(&x->f, virtio_rng_dev(x->rng), 0) == 0);
	(void)fd_offer(&x->f, 0, (struct fd_buf[]){ FD_WRN(a, 1), FD_WRN(a + 1, 7999) }, 2);
	(void)fd_offer(&x->f, 0, (struct fd_buf[]){ FD_WR(&b) }, 1);
	(void)fd_offer(&x->f, 0, (struct fd_buf[]){ FD_RD(&zeros) }, 1);
	fd_kick(&x->f, 0);
	assert_true(fd_used(&x->f, 0, &head, &written));
	assert_int_equal(written, 4096);
	assert_true(fd_used(&x->f, 0, &head, &written));
	assert_int_equal(written, 64);
	assert_memory_not_equal(a, b, 64);
	assert_memory_not_equal(b, zeros, 64);
	assert_true(fd_used(&x->f, 0, &head, &written));
	assert_int_equal(written, 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reported_pages_go_back),
		T(inflated_pages_go_back_together),
		T(one_chain_takes_only_so_long),
		T(random_numbers_differ),
	};

	return cmocka_run_group_tests_name("balloon", tests, NULL, NULL);
}
