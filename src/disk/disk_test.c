// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/disk.h"

#define SECTORS 64u

struct fixture {
	char path[64];
	struct disk *d;
};

static int setup(void **state)
{
	static struct fixture x;

	(void)snprintf(x.path, sizeof(x.path), "/tmp/pecten-disk-XXXXXX");
	int fd = mkstemp(x.path);
	if (fd < 0 || ftruncate(fd, SECTORS * DISK_SECTOR) < 0)
		return -1;
	close(fd);
	*state = &x;
	return disk_open_raw(x.path, false, &x.d, NULL);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_close(x->d);
	return unlink(x->path);
}

static int rw(struct disk *d, bool writes, uint64_t sector, void *p, size_t len)
{
	struct iovec iov[2] = { { p, len / 3 }, { (char *)p + len / 3, len - len / 3 } };
	struct cur c = cur_init(iov, 2);

	return writes ? disk_writev(d, sector, &c) : disk_readv(d, sector, &c);
}

static void ranges_are_those_of_the_disk(void **state)
{
	struct fixture *x = *state;
	uint8_t buf[3 * DISK_SECTOR] = { 0 };

	/* clang-format off */
	const struct { uint64_t sector; size_t len; int want; } cases[] = {
		{ 0, 0, 0 }, { 0, 512, 0 }, { SECTORS - 1, 512, 0 }, { SECTORS, 0, 0 },
		{ SECTORS, 512, -EINVAL }, { SECTORS - 1, 1024, -EINVAL }, { 0, 511, -EINVAL },
		{ 0, 513, -EINVAL }, { UINT64_MAX, 512, -EINVAL }, { UINT64_MAX / 512, 512, -EINVAL },
		{ UINT64_MAX / 512 + 2, 512, -EINVAL }, { SECTORS + 1, 0, -EINVAL },
	};
	/* clang-format on */
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		assert_int_equal(rw(x->d, false, cases[n].sector, buf, cases[n].len),
				 cases[n].want);
		assert_int_equal(rw(x->d, true, cases[n].sector, buf, cases[n].len), cases[n].want);
	}
	assert_int_equal(disk_discard(x->d, SECTORS - 1, 2), -EINVAL);
	assert_int_equal(disk_zero(x->d, UINT64_MAX, 2, true), -EINVAL);
	assert_int_equal(disk_sectors(x->d), SECTORS);
}

static void what_is_written_can_be_read_and_erased(void **state)
{
	struct fixture *x = *state;
	static uint8_t out[4 * DISK_SECTOR], back[4 * DISK_SECTOR], zeros[4 * DISK_SECTOR];

	for (size_t n = 0; n < sizeof(out); n++)
		out[n] = (uint8_t)(n * 13 + 1);
	assert_int_equal(rw(x->d, true, 5, out, sizeof(out)), 0);
	assert_int_equal(disk_flush(x->d), 0);
	assert_int_equal(rw(x->d, false, 5, back, sizeof(back)), 0);
	assert_memory_equal(out, back, sizeof(out));
	for (int may_unmap = 0; may_unmap < 2; may_unmap++) {
		assert_int_equal(rw(x->d, true, 5, out, sizeof(out)), 0);
		assert_int_equal(disk_zero(x->d, 6, 2, may_unmap), 0);
		assert_int_equal(rw(x->d, false, 5, back, sizeof(back)), 0);
		assert_memory_equal(back, out, DISK_SECTOR);
		assert_memory_equal(back + DISK_SECTOR, zeros, 2 * DISK_SECTOR);
		assert_memory_equal(back + 3 * DISK_SECTOR, out + 3 * DISK_SECTOR, DISK_SECTOR);
	}
	assert_int_equal(disk_discard(x->d, 0, SECTORS), 0);
	struct stat st;
	assert_int_equal(stat(x->path, &st), 0);
	assert_int_equal(st.st_size, SECTORS * DISK_SECTOR);
}

static void only_readers_share_an_image(void **state)
{
	struct fixture *x = *state;
	struct disk *a, *b;
	struct err e;

	assert_int_equal(disk_open_raw(x->path, true, &a, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "in use"));
	disk_close(x->d);
	x->d = NULL;
	assert_int_equal(disk_open_raw(x->path, true, &a, &e), 0);
	assert_int_equal(disk_open_raw(x->path, true, &b, &e), 0);
	uint8_t buf[DISK_SECTOR];
	assert_int_equal(rw(a, false, 0, buf, sizeof(buf)), 0);
	assert_int_equal(rw(a, true, 0, buf, sizeof(buf)), -EROFS);
	assert_int_equal(disk_zero(a, 0, 1, false), -EROFS);
	assert_int_equal(disk_discard(a, 0, 1), -EROFS);
	assert_true(disk_is_ro(a));
	disk_close(a);
	disk_close(b);
}

static void what_is_no_image_is_refused(void **state)
{
	struct fixture *x = *state;
	struct disk *d;
	struct err e;

	assert_int_equal(disk_open_raw("/nonexistent", true, &d, &e), -ENOENT);
	assert_int_equal(disk_open_raw("/tmp", true, &d, &e), -EINVAL);
	assert_int_equal(disk_open_raw("/dev/null", true, &d, &e), -EINVAL);
	disk_close(x->d);
	x->d = NULL;
	assert_int_equal(truncate(x->path, 1000), 0);
	assert_int_equal(disk_open_raw(x->path, true, &d, &e), -EINVAL);
	assert_non_null(strstr(e.text, "1000 bytes"));
}

static void an_image_that_shrinks_is_an_error_not_a_crash(void **state)
{
	struct fixture *x = *state;
	uint8_t buf[DISK_SECTOR];

	assert_int_equal(truncate(x->path, DISK_SECTOR + 100), 0);
	assert_int_equal(rw(x->d, false, 1, buf, sizeof(buf)), -EIO);
	assert_int_equal(rw(x->d, false, 10, buf, sizeof(buf)), -EIO);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(ranges_are_those_of_the_disk),
		T(what_is_written_can_be_read_and_erased),
		T(only_readers_share_an_image),
		T(what_is_no_image_is_refused),
		T(an_image_that_shrinks_is_an_error_not_a_crash),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
