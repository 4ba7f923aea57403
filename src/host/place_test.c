/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of whom the folders of the environment are left to. */
#include "host/place.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRANGER 12345

struct fixture {
	char dir[64];
	char path[128];
};

static const char *at(struct fixture *f, const char *name)
{
	(void)snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
	return f->path;
}

static void make(struct fixture *f, const char *name, mode_t mode)
{
	assert_int_equal(mkdir(at(f, name), 0700), 0);
	assert_int_equal(chmod(f->path, mode), 0);
}

static int check(struct fixture *f, const char *name)
{
	return place_check(at(f, name), "WHERE", NULL);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/pecten-place-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	make(f, "own", 0755);
	make(f, "open", 0777);
	make(f, "open/own", 0700);
	make(f, "sticky", 01777);
	make(f, "sticky/own", 0700);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	(void)snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	int r = system(command); /* a test's own folder */
	free(f);
	return r;
}

static void what_others_can_exchange_is_refused(void **state)
{
	static const struct {
		const char *name;
		int code;
	} cases[] = {
		{ "own", 0 },
		{ "own/not/yet", 0 },
		{ "./own//../own/", 0 },
		{ "open", -EPERM },
		{ "open/not-yet", -EPERM },
		{ "open/own", -EPERM }, /* renamed, and another one put there */
		{ "sticky", -EPERM },
		{ "sticky/not-yet", -EPERM },
		{ "sticky/own", 0 },
		{ "sticky/own/not/yet", 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].name);
		assert_int_equal(check(f, cases[i].name), cases[i].code);
	}
}

static void links_are_followed_as_far_as_they_are_safe(void **state)
{
	struct fixture *f = *state;
	char target[128];

	(void)snprintf(target, sizeof(target), "%s/own", f->dir);
	assert_int_equal(symlink(target, at(f, "whole")), 0);
	assert_int_equal(symlink("../own", at(f, "own/up")), 0);
	assert_int_equal(symlink("open/own", at(f, "out")), 0);
	assert_int_equal(symlink("loop", at(f, "loop")), 0);
	assert_int_equal(check(f, "whole/up/new"), 0);
	assert_int_equal(check(f, "out/new"), -EPERM);
	assert_int_equal(check(f, "loop/new"), -ELOOP);
}

static void strangers_are_named(void **state)
{
	struct fixture *f = *state;
	char wanted[256];
	struct err e = { 0 };

	if (geteuid() != 0)
		skip();
	make(f, "theirs", 0755);
	assert_int_equal(chown(f->path, STRANGER, STRANGER), 0);
	(void)snprintf(wanted, sizeof(wanted),
		       "'%s' belongs to another user; set WHERE to a folder of your own", f->path);
	assert_int_equal(place_check(at(f, "theirs/cache"), "WHERE", &e), -EPERM);
	assert_string_equal(e.text, wanted);
	make(f, "theirs/ours", 0700);
	assert_int_equal(check(f, "theirs/ours"), -EPERM);

	/* In /tmp it is theirs to exchange, wherever it leads for now. */
	assert_int_equal(symlink("../own", at(f, "sticky/link")), 0);
	assert_int_equal(check(f, "sticky/link"), 0);
	assert_int_equal(lchown(f->path, STRANGER, STRANGER), 0);
	assert_int_equal(check(f, "sticky/link"), -EPERM);
}

static void groups_are_strangers_unless_they_are_the_users_own(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	make(f, "group", 0775);
	assert_int_equal(check(f, "group"), 0);
	assert_int_equal(chown(f->path, 0, STRANGER), 0);
	assert_int_equal(check(f, "group"), -EPERM);
}

static void cache_is_where_the_specification_says(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	char wanted[128];
	char path[256];

	assert_int_equal(setenv("HOME", at(f, "own"), 1), 0);
	assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
	assert_int_equal(place_cache(path, sizeof(path), "x/y", &e), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s/.cache/pecten/x/y", f->path);
	assert_string_equal(path, wanted);
	assert_int_equal(setenv("XDG_CACHE_HOME", "relative", 1), 0);
	assert_int_equal(place_cache(path, sizeof(path), "x/y", &e), 0);
	assert_string_equal(path, wanted);

	assert_int_equal(setenv("XDG_CACHE_HOME", at(f, "sticky/own"), 1), 0);
	assert_int_equal(place_cache(path, sizeof(path), "x/y", &e), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s/pecten/x/y", f->path);
	assert_string_equal(path, wanted);
	assert_int_equal(place_cache(path, strlen(wanted), "x/y", &e), -ENAMETOOLONG);

	assert_int_equal(setenv("XDG_CACHE_HOME", at(f, "open"), 1), 0);
	assert_int_equal(place_cache(path, sizeof(path), "x/y", &e), -EPERM);
	assert_non_null(strstr(e.text, "; set XDG_CACHE_HOME to"));
	assert_int_equal(setenv("XDG_CACHE_HOME", "", 1), 0);
	assert_int_equal(setenv("HOME", "", 1), 0);
	assert_int_equal(place_cache(path, sizeof(path), "x/y", &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_others_can_exchange_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(links_are_followed_as_far_as_they_are_safe, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(strangers_are_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(groups_are_strangers_unless_they_are_the_users_own,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(cache_is_where_the_specification_says, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
