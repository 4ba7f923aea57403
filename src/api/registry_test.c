/* SPDX-License-Identifier: Apache-2.0 */
/* Names of machines, where somebody means harm. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
	p->entry.lock = p->entry.dir_lock = p->entry.listener = -1;
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

/* As systemd-tmpfiles does, which removes what has not changed for days: tmpfiles.d(5). */
static bool would_be_tidied_up(const struct place *p, const char *name)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/pecten/%s", p->dir, name);
	AUTO_FD dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	return flock(dir, LOCK_EX | LOCK_NB) == 0;
}

static void running_machine_is_not_tidied_up(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(reg_claim("old", &p->entry, &e), 0);
	assert_false(would_be_tidied_up(p, "old"));
	assert_int_equal(reg_is_running("old", &e), 1);
	reg_release(&p->entry);
	assert_int_equal(lstat(p->entry.dir, &st), -1);
}

/* What a killed program leaves is nobody's: it may be tidied up, and the next machine does. */
static void name_of_a_killed_program_is_free(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(reg_claim("killed", &p->entry, &e) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(would_be_tidied_up(p, "killed"));
	assert_int_equal(reg_is_running("killed", &e), 0);
	assert_int_equal(reg_claim("killed", &p->entry, &e), 0);
	assert_int_equal(reg_is_running("killed", &e), 1);
}

/* Until a process waits for a lock; it is no matter if that cannot be seen. */
static void until_it_waits(pid_t pid)
{
	char line[256];
	int lock_of;

	for (int n = 0; n < 2000; n++) {
		FILE *f = fopen("/proc/locks", "re");
		bool waits = !f;

		while (f && !waits && fgets(line, sizeof(line), f))
			waits = sscanf(line, "%*d: -> FLOCK %*s %*s %d", &lock_of) == 1 &&
				lock_of == pid;
		if (f)
			(void)fclose(f);
		if (waits)
			return;
		(void)poll(NULL, 0, 5);
	}
}

/* The folder of names itself is removed when it is old and empty, perhaps just now. */
static void folder_of_names_that_vanishes_is_made_anew(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char path[128];
	pid_t pid;
	int status;

	(void)snprintf(path, sizeof(path), "%s/pecten", p->dir);
	AUTO_FD base = reg_open(&e);
	assert_true(base >= 0);
	assert_int_equal(flock(base, LOCK_EX), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fd_drop(&base); /* a copy, the lock stays */
		_exit(reg_claim("late", &p->entry, &e) < 0);
	}
	until_it_waits(pid);
	assert_int_equal(rmdir(path), 0);
	fd_drop(&base);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(reg_claim("late", &p->entry, &e), 0); /* to clean up */
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

static void remedies_can_be_taken(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/pecten", p->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0750), 0);
	assert_int_equal(reg_open(&e), -EPERM);
	assert_non_null(strstr(e.text, "; 'chmod 700' it"));
	if (geteuid() != 0)
		return;
	/* Who is not its owner can neither remove it from /tmp nor close it. */
	assert_int_equal(chown(path, 1000, 1000), 0);
	assert_int_equal(reg_open(&e), -EPERM);
	assert_non_null(strstr(e.text, "another user; set XDG_RUNTIME_DIR to"));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/root", path), 0);
	assert_true(reg_open(&e) < 0);
	assert_non_null(strstr(e.text, "; set XDG_RUNTIME_DIR to"));
	assert_int_equal(unlink(path), 0);
}

static void folder_that_others_may_write_to_is_not_used(void **state)
{
	struct place *p = *state;
	struct stat st;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/pecten", p->dir);
	assert_int_equal(chmod(p->dir, 0777), 0);
	AUTO_FD fd = reg_open(NULL);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(machine_that_does_not_answer_makes_nobody_wait,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(running_machine_is_not_tidied_up, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(name_of_a_killed_program_is_free, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(folder_of_names_that_vanishes_is_made_anew, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(folder_of_somebody_else_is_not_used, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(folder_that_others_may_write_to_is_not_used, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(remedies_can_be_taken, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
