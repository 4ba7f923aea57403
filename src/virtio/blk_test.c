// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "harness/driver.h"
#include "virtio/blk.h"

#define SECTORS 64u

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct virtio_blk *b;
	char path[64];
};

static int setup_with(void **state, bool is_ro)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct disk *d;

	fd_must(x != NULL);
	(void)snprintf(x->path, sizeof(x->path), "/tmp/pecten-blk-XXXXXX");
	int fd = mkstemp(x->path);
	fd_must(fd >= 0 && ftruncate(fd, SECTORS * DISK_SECTOR) == 0);
	fd_must(disk_open_fd(fd, "test", is_ro, &d, NULL) == 0);
	fd_must(loop_create(&x->loop) == 0);
	fd_must(virtio_blk_create(d, "serial-number-that-is-too-long", x->loop, &x->b) == 0);
	fd_init(&x->f);
	fd_must(fd_start(&x->f, virtio_blk_dev(x->b), 0) == 0);
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false);
}

static int setup_ro(void **state)
{
	return setup_with(state, true);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	virtio_blk_destroy(x->b);
	loop_destroy(x->loop);
	(void)unlink(x->path);
	free(x);
	return 0;
}

/* One request; returns its status. */
static uint8_t ask(struct fixture *x, uint32_t type, uint64_t sector, void *out, size_t out_len,
		   void *in, size_t in_len, uint32_t *written)
{
	struct virtio_blk_outhdr h = { .type = type, .sector = sector };
	struct fd_buf bufs[8] = { FD_RDN(&h, 5), FD_RDN((uint8_t *)&h + 5, sizeof(h) - 5) };
	uint8_t status = 0xee;
	uint32_t len;
	uint16_t head;
	unsigned n = 2;

	if (out_len) {
		bufs[n++] = FD_RDN(out, 1);
		bufs[n++] = FD_RDN((uint8_t *)out + 1, out_len - 1);
	}
	if (in_len) {
		bufs[n++] = FD_WRN(in, in_len - 1);
		bufs[n++] = FD_WRN((uint8_t *)in + in_len - 1, 1);
	}
	bufs[n++] = FD_WR(&status);
	(void)fd_offer(&x->f, 0, bufs, n);
	fd_kick(&x->f, 0);
	assert_true(fd_used(&x->f, 0, &head, &len));
	if (written)
		*written = len;
	return status;
}

static void blocks_are_written_and_read(void **state)
{
	struct fixture *x = *state;
	uint8_t out[1024], in[1024] = { 0 };
	uint32_t written;

	for (size_t n = 0; n < sizeof(out); n++)
		out[n] = (uint8_t)(n * 3);
	assert_int_equal(ask(x, VIRTIO_BLK_T_OUT, 7, out, 1024, NULL, 0, &written),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(written, 1);
	assert_int_equal(ask(x, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(x, VIRTIO_BLK_T_IN, 7, NULL, 0, in, 1024, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 1025);
	assert_memory_equal(in, out, 1024);
	char id[20];
	assert_int_equal(ask(x, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, id, 20, &written),
			 VIRTIO_BLK_S_OK);
	assert_memory_equal(id, "serial-number-that-i", 20);
}

static void errors_are_told_in_the_status(void **state)
{
	struct fixture *x = *state;
	uint8_t buf[1024] = { 0 };
	uint32_t written;

	assert_int_equal(ask(x, VIRTIO_BLK_T_IN, SECTORS - 1, NULL, 0, buf, 1024, &written),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(written, 0);
	assert_int_equal(ask(x, VIRTIO_BLK_T_IN, 0, NULL, 0, buf, 100, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, VIRTIO_BLK_T_OUT, UINT64_MAX, buf, 512, NULL, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, buf, 19, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, 77, 0, NULL, 0, NULL, 0, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_false(virtio_blk_dev(x->b)->needs_reset);
}

static void ranges_are_discarded_and_zeroed(void **state)
{
	struct fixture *x = *state;
	struct virtio_blk_discard_write_zeroes r[17] = { { 1, 2, 0 }, { 5, 1, 1 } };
	static uint8_t out[8 * 512], in[8 * 512];

	memset(out, 0x5a, sizeof(out));
	assert_int_equal(ask(x, VIRTIO_BLK_T_OUT, 0, out, sizeof(out), NULL, 0, NULL), 0);
	assert_int_equal(ask(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, r, 32, NULL, 0, NULL), 0);
	assert_int_equal(ask(x, VIRTIO_BLK_T_IN, 0, NULL, 0, in, sizeof(in), NULL), 0);
	for (size_t n = 0; n < 8; n++)
		assert_int_equal(in[n * 512], n == 1 || n == 2 || n == 5 ? 0 : 0x5a);

	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, r, 16, NULL, 0, NULL), 0);
	/* Discarding cannot unmap, unknown flags, odd lengths, too many, too far. */
	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, &r[1], 16, NULL, 0, NULL),
			 VIRTIO_BLK_S_UNSUPP);
	r[2] = (struct virtio_blk_discard_write_zeroes){ 0, 1, 2 };
	assert_int_equal(ask(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, &r[2], 16, NULL, 0, NULL),
			 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, r, 15, NULL, 0, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, NULL, 0, NULL, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, r, sizeof(r), NULL, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
	r[0] = (struct virtio_blk_discard_write_zeroes){ SECTORS - 1, 2, 0 };
	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, r, 16, NULL, 0, NULL), VIRTIO_BLK_S_IOERR);
	r[0] = (struct virtio_blk_discard_write_zeroes){ UINT64_MAX, UINT32_MAX, 0 };
	assert_int_equal(ask(x, VIRTIO_BLK_T_WRITE_ZEROES, 0, r, 16, NULL, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
}

static void a_read_only_disk_says_so(void **state)
{
	struct fixture *x = *state;
	struct virtio_blk_discard_write_zeroes r = { 0, 1, 0 };
	uint8_t buf[512] = { 0 };

	assert_true(virtio_features(virtio_blk_dev(x->b)) & VIRTIO_BIT(VIRTIO_BLK_F_RO));
	assert_false(virtio_features(virtio_blk_dev(x->b)) & VIRTIO_BIT(VIRTIO_BLK_F_DISCARD));
	assert_int_equal(ask(x, VIRTIO_BLK_T_IN, 0, NULL, 0, buf, 512, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(x, VIRTIO_BLK_T_OUT, 0, buf, 512, NULL, 0, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, VIRTIO_BLK_T_DISCARD, 0, &r, 16, NULL, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(x, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0, NULL), VIRTIO_BLK_S_OK);
}

static void chains_that_hold_no_request_need_a_reset(void **state)
{
	struct fixture *x = *state;
	struct virtio_blk_outhdr h = { 0 };
	uint8_t status;

	/* clang-format off */
	struct { struct fd_buf b[2]; unsigned n; } const cases[] = {
		{ { FD_RD(&h) }, 1 },
		{ { FD_WR(&status) }, 1 },
		{ { FD_RDN(&h, 15), FD_WR(&status) }, 2 },
	};
	/* clang-format on */
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		(void)fd_offer(&x->f, 0, cases[n].b, cases[n].n);
		fd_kick(&x->f, 0);
		assert_true(virtio_blk_dev(x->b)->needs_reset);
		virtio_stop(virtio_blk_dev(x->b));
		assert_int_equal(fd_start(&x->f, virtio_blk_dev(x->b), 0), 0);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(blocks_are_written_and_read),
		T(errors_are_told_in_the_status),
		T(ranges_are_discarded_and_zeroed),
		cmocka_unit_test_setup_teardown(a_read_only_disk_says_so, setup_ro, teardown),
		T(chains_that_hold_no_request_need_a_reset),
	};

	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
