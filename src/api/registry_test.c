/* SPDX-License-Identifier: Apache-2.0 */
/* Names of machines, where somebody means harm. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/registry.h"
#include "host/fd.h"

#define CONNECTIONS_MAX 256

struct place {
	char dir[64];
	struct reg_entry entry;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/pecten-reg-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(setenv("XDG_RUNTIME_DIR", p->dir, 1), 0);
	p->entry.lock = p->entry.listener = -1;
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char path[128];

	reg_release(&p->entry);
	(void)snprintf(path, sizeof(path), "%s/pecten", p->dir);
	(void)rmdir(path);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

/* A guest that has reset its vsock device takes no connections. */
static void machine_that_does_not_answer_makes_nobody_wait(void **state)
{
	struct place *p = *state;
	int fds[CONNECTIONS_MAX];
	struct err e = { 0 };
	unsigned n = 0;

	assert_int_equal(reg_claim("deaf", &p->entry, &e), 0);
	while (n < CONNECTIONS_MAX && (fds[n] = reg_connect("deaf", &e)) >= 0)
		n++;
	assert_true(n > 0 && n < CONNECTIONS_MAX);
	assert_int_equal(fds[n], -EAGAIN);
	assert_string_equal(e.text, "the machine 'deaf' does not answer");
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	while (n-- > 0)
		(void)close(fds[n]);
}

static void folder_of_somebody_else_is_not_used(void **state)
{
	struct place *p = *state;
	struct stat st;
	char path[128];

	if (geteuid() != 0)
		skip();
	(void)snprintf(path, sizeof(path), "%s/pecten", p->dir);
	assert_int_equal(chown(p->dir, 1000, 1000), 0);
	AUTO_FD fd = reg_open(NULL);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(chown(p->dir, 0, 0), 0);
	AUTO_FD own = reg_open(NULL);
	assert_true(own >= 0);
	assert_int_equal(stat(path, &st), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(machine_that_does_not_answer_makes_nobody_wait,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(folder_of_somebody_else_is_not_used, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
