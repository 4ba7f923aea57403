/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of shader cache folders. */
#include "render/cache.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/fd.h"

#define KIB ((size_t)1024)
#define DAY ((time_t)86400)

#define LOOKS_MAX 1000

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

/*
 * Looks until a file is gone.  One look is enough, but for a machine that is busy: what there was
 * no time for waits for the next.
 */
static int prepare_until_gone(struct fixture *f, uint64_t max, const char *name, struct err *e)
{
	int r = 0;

	for (int i = 0; r == 0 && i < LOOKS_MAX && (i == 0 || exists(f, name)); i++)
		r = prepare(f, max, e);
	return r;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	assert_non_null(f);
	/* Tens of thousands of files, and removals with a time limit. */
	(void)snprintf(f->base, sizeof(f->base), "%s/pecten-cache-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
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
	assert_int_equal(prepare_until_gone(f, 1024 * KIB, "sub/ancient", &e), 0);
	assert_false(exists(f, "sub/ancient"));
	assert_true(exists(f, "old"));
	assert_true(exists(f, "new"));
	assert_int_equal(prepare_until_gone(f, 64 * KIB, "old", &e), 0);
	assert_int_equal(prepare_until_gone(f, 64 * KIB, "new", &e), 0);
	assert_false(exists(f, "old"));
	assert_false(exists(f, "new"));
}

/* Files and folders right in the user's folder. */
static unsigned entries(const struct fixture *f)
{
	DIR *d = opendir(f->dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

static void what_lies_too_deep_is_removed(void **state)
{
	enum { DEPTH = 5 * CACHE_DEPTH_MAX };
	struct fixture *f = *state;
	char sub[160];
	struct err e;

	AUTO_FD at = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd_drop(&at);
		at = next;
		AUTO_FD file = openat(at, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(file >= 0);
	}
	assert_int_equal(prepare_until_gone(f, 1 << 30, "d/d/d/d/d/d/d", &e), 0);
	for (int i = 0; i < LOOKS_MAX && entries(f) > 1; i++)
		assert_int_equal(prepare(f, 1 << 30, &e), 0);
	assert_int_equal(unlinkat(at, "f", 0), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(entries(f), 1);
	(void)snprintf(sub, sizeof(sub), "d/d/d/d/d/d/f");
	assert_true(exists(f, sub)); /* CACHE_DEPTH_MAX folders are fine */
	assert_false(exists(f, "d/d/d/d/d/d/d"));
}

static void empty_folders_go_when_there_are_many(void **state)
{
	enum { COUNT = CACHE_WORK_MAX / 4 + 100 };
	struct fixture *f = *state;
	unsigned left = COUNT + 1;
	struct err e;

	put(f, "file", KIB, 0);
	AUTO_FD at = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < COUNT; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(mkdirat(at, name, 0700), 0);
	}
	/* More than one look takes in: a client would wait for it. */
	for (int i = 0; i < LOOKS_MAX && left >= CACHE_WORK_MAX / 4; i++) {
		assert_int_equal(prepare(f, 1 << 30, &e), 0);
		left = entries(f);
		print_message("%u left\n", left);
	}
	assert_true(left < CACHE_WORK_MAX / 4);
	assert_int_equal(prepare(f, 1 << 30, &e), 0);
	assert_int_equal(entries(f), left); /* few enough */
	/* How many go in the time of a look depends on the machine. */
	put(f, "large", 64 * KIB, 0);
	for (int i = 0; i < LOOKS_MAX && entries(f) >= left; i++)
		assert_int_equal(prepare(f, 32 * KIB, &e), 0);
	assert_true(entries(f) < left);
}

static void of_too_many_files_the_older_half_goes(void **state)
{
	enum { COUNT = CACHE_WORK_MAX + 1 };
	const struct timespec old[2] = { { .tv_sec = time(NULL) - DAY },
					 { .tv_sec = time(NULL) - DAY } };
	struct fixture *f = *state;
	unsigned young = 0;
	struct err e;

	AUTO_FD at = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < COUNT; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		AUTO_FD fd = openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		if (i % 4)
			assert_int_equal(futimens(fd, old), 0);
		else
			young++;
	}
	for (int i = 0; i < LOOKS_MAX && entries(f) >= CACHE_WORK_MAX; i++)
		assert_int_equal(prepare(f, 1 << 30, &e), 0);
	assert_true(entries(f) < CACHE_WORK_MAX);
	print_message("%u left of %d\n", entries(f), COUNT);
	for (int i = 0; i < COUNT; i += 4) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		young -= exists(f, name) ? 1 : 0;
	}
	assert_int_equal(young, 0);
}

/* Return: 0, or the line that failed */
static int close_folders_to_us(void)
{
	static const mode_t modes[] = { 0, 0400, 0500, 0300 };
	struct fixture f = { "/tmp/pecten-cache-XXXXXX", "" };
	char sub[160];
	struct err e;

	/* What they are for is not known to root. */
	if (geteuid() == 0 &&
	    (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534)))
		return __LINE__;
	if (!mkdtemp(f.base))
		return __LINE__;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (prepare(&f, 1 << 20, &e) < 0)
			return __LINE__;
		(void)snprintf(sub, sizeof(sub), "%s/sub", f.dir);
		if (mkdir(sub, 0700) < 0)
			return __LINE__;
		put(&f, "sub/file", 400 * KIB, 0);
		if (chmod(sub, modes[i]) < 0 || prepare_until_gone(&f, 64 * KIB, "sub", &e) < 0 ||
		    exists(&f, "sub"))
			return __LINE__;
	}
	if (chmod(f.dir, 0) < 0 || prepare(&f, 1 << 20, &e) < 0)
		return __LINE__;
	(void)snprintf(sub, sizeof(sub), "rm -rf %s", f.base);
	return system(sub); /* a test's own folder */
}

static void closed_folders_hide_nothing(void **state)
{
	int status = 0;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(close_folders_to_us() & 0xff);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(WIFEXITED(status));
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
		cmocka_unit_test_setup_teardown(what_lies_too_deep_is_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(empty_folders_go_when_there_are_many, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(of_too_many_files_the_older_half_goes, set_up,
						tear_down),
		cmocka_unit_test(closed_folders_hide_nothing),
		cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_that_others_may_write_is_refused, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
