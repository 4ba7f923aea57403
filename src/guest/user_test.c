/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of who a command runs as. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/user.h"

static char dir[] = "/tmp/pecten-user-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	static char long_line[3000];

	(void)state;
	assert_non_null(mkdtemp(dir));
	memset(long_line, 'x', sizeof(long_line) - 2);
	long_line[sizeof(long_line) - 2] = '\n';
	put("passwd", "root:x:0:0:root:/root:/bin/sh\n"
		      "broken\n"
		      ":::::\n"
		      "huge:x:4294967295:1::/:/bin/sh\n"
		      "www:x:33:34:w:/var/www:/bin/false\n"
		      "last:x:77:78:l:relative:/bin/sh");
	put("group", "root:x:0:\n"
		     "adm:x:4:www,last\n"
		     "video:x:44:other,www\n"
		     "wwwx:x:45:wwww\n");
	return 0;
}

static int tear_down(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/passwd", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/group", dir);
	(void)unlink(path);
	return rmdir(dir);
}

/* clang-format off */
static const struct row {
	const char *spec;
	int result;
	uid_t uid;
	gid_t gid;
	size_t ngroups;
	const char *home;
} rows[] = {
	{ "",             0,  0,          0,   0, "/root" },
	{ "root",         0,  0,          0,   0, "/root" },
	{ "www",          0,  33,         34,  2, "/var/www" },
	{ "33",           0,  33,         34,  2, "/var/www" },
	{ "www:adm",      0,  33,         4,   2, "/var/www" },
	{ "www:9",        0,  33,         9,   2, "/var/www" },
	{ "1234:5",       0,  1234,       5,   0, "/" },
	{ "last",         0,  77,         78,  1, "/" },
	{ "4294967294",   0,  4294967294, 0,   0, "/" },
	{ "nobody",       -ENOENT, 0, 0, 0, NULL },
	{ "huge",         -ENOENT, 0, 0, 0, NULL },
	{ "4294967295",   -ENOENT, 0, 0, 0, NULL },
	{ "www:nogroup",  -ENOENT, 0, 0, 0, NULL },
	{ "www:",         -EINVAL, 0, 0, 0, NULL },
	{ "www:1:2",      -EINVAL, 0, 0, 0, NULL },
};
/* clang-format on */

static void users_are_found_as_the_image_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct user u;

		print_message("# '%s'\n", rows[i].spec);
		assert_int_equal(user_find(dir, rows[i].spec, &u), rows[i].result);
		if (rows[i].result < 0)
			continue;
		assert_int_equal(u.uid, rows[i].uid);
		assert_int_equal(u.gid, rows[i].gid);
		assert_int_equal(u.ngroups, rows[i].ngroups);
		assert_string_equal(u.home, rows[i].home);
	}
}

static void numbers_need_no_files(void **state)
{
	struct user u;

	(void)state;
	assert_int_equal(user_find("/nonexistent", "", &u), 0);
	assert_int_equal(u.uid, 0);
	assert_int_equal(user_find("/nonexistent", "7:8", &u), 0);
	assert_int_equal(u.gid, 8);
	assert_int_equal(user_find("/nonexistent", "root", &u), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_found_as_the_image_says),
		cmocka_unit_test(numbers_need_no_files),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
