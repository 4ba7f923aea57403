/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of shader cache folders. */
#include "render/cache.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/fd.h"

#define KIB ((size_t)1024)
#define DAY ((time_t)86400)

struct fixture {
	char base[64];
	char dir[128];
};

static void put(const struct fixture *f, const char *name, size_t size, time_t age_s)
{
	const struct timespec times[2] = { { .tv_sec = time(NULL) - age_s },
					   { .tv_sec = time(NULL) - age_s } };
	char path[256];
	char block[KIB] = "x";

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	AUTO_FD fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t i = 0; i < size; i += sizeof(block))
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	assert_int_equal(futimens(fd, times), 0);
}

static int exists(const struct fixture *f, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return access(path, F_OK) == 0;
}

static int prepare(struct fixture *f, uint64_t max, struct err *e)
{
	return cache_prepare(f->base, geteuid(), max, f->dir, sizeof(f->dir), e);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	assert_non_null(f);
	(void)snprintf(f->base, sizeof(f->base), "/tmp/pecten-cache-XXXXXX");
	assert_non_null(mkdtemp(f->base));
	(void)snprintf(f->base + strlen(f->base), 8, "/a/b");
	assert_int_equal(prepare(f, 1 << 20, &e), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	*strstr(f->base, "/a/b") = '\0';
	(void)snprintf(command, sizeof(command), "rm -rf %s", f->base);
	int r = system(command); /* a test's own folder */
	free(f);
	return r;
}

static void each_user_has_a_private_folder(void **state)
{
	struct fixture *f = *state;
	char other[128];
	struct stat st;
	struct err e;

	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(cache_prepare(f->base, 12345, 1 << 20, other, sizeof(other), &e), 0);
	assert_string_not_equal(other, f->dir);
	assert_int_equal(cache_prepare("relative", 1, 1, other, sizeof(other), &e), -EINVAL);
}

static void the_oldest_files_go_first(void **state)
{
	struct fixture *f = *state;
	char sub[160];
	struct err e;

	(void)snprintf(sub, sizeof(sub), "%s/sub", f->dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	put(f, "sub/ancient", 400 * KIB, 100 * DAY);
	put(f, "old", 400 * KIB, 3600);
	put(f, "new", 400 * KIB, 0);
	assert_int_equal(prepare(f, 2048 * KIB, &e), 0);
	assert_true(exists(f, "sub/ancient"));
	assert_int_equal(prepare(f, 1024 * KIB, &e), 0);
	assert_false(exists(f, "sub/ancient"));
	assert_true(exists(f, "old"));
	assert_true(exists(f, "new"));
	assert_int_equal(prepare(f, 64 * KIB, &e), 0);
	assert_false(exists(f, "old"));
	assert_false(exists(f, "new"));
}

static void links_are_not_followed(void **state)
{
	struct fixture *f = *state;
	struct fixture outside = { "", "" };
	char link[160];
	struct err e;

	(void)snprintf(outside.dir, sizeof(outside.dir), "%s", f->base);
	put(&outside, "precious", 400 * KIB, 100 * DAY);
	(void)snprintf(link, sizeof(link), "%s/out", f->dir);
	assert_int_equal(symlink(f->base, link), 0);
	put(f, "new", 400 * KIB, 0);
	assert_int_equal(prepare(f, 1 * KIB, &e), 0);
	assert_true(exists(&outside, "precious"));
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err e;

	assert_int_equal(chmod(f->dir, 0770), 0);
	assert_int_equal(prepare(f, 1 << 20, &e), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_user_has_a_private_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_files_go_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_that_others_may_write_is_refused, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
