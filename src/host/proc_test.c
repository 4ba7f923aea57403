/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of child processes and of listening sockets. */
#include "host/proc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/terminal.h"
#include "host/listen.h"

static int run(const char *script, const int *fds, unsigned nfds, struct proc *p)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct proc_spec spec = { .path = "/bin/sh", .argv = argv, .fds = fds, .nfds = nfds };
	struct err e;

	return proc_spawn(&spec, p, &e);
}

static void a_child_has_the_named_descriptors_and_no_others(void **state)
{
	struct proc p = PROC_NONE;
	char text[64] = "";
	int a[2];
	int status;

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	/* Not close-on-exec, and where the child's own descriptors go. */
	int stray = dup2(a[0], 20);
	assert_int_equal(stray, 20);
	const int fds[] = { a[1], a[0] };
	assert_int_equal(run("i=0; while [ $i -lt 40 ]; do [ -e /proc/$$/fd/$i ] && r=\"$r $i\"; "
			     "i=$((i + 1)); done; echo $r >&3",
			     fds, 2, &p),
			 0);
	(void)close(stray);
	assert_int_equal(proc_reap(&p, TERMINAL_PATIENCE_MS, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(p.pidfd, -1);
	(void)close(a[1]);
	read_to_end(a[0], text, sizeof(text));
	(void)close(a[0]);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, "0 1 2 3 4");
}

static void the_end_of_a_child_is_seen_and_described(void **state)
{
	struct proc p = PROC_NONE;
	char text[80];
	int status;

	(void)state;
	assert_int_equal(proc_reap(&p, 0, NULL), -EAGAIN);
	assert_int_equal(run("exit 7", NULL, 0, &p), 0);
	assert_int_equal(proc_reap(&p, -1, &status), 0);
	proc_describe(status, text, sizeof(text));
	assert_string_equal(text, "ended with status 7");

	assert_int_equal(run("kill -SEGV $$; sleep 60", NULL, 0, &p), 0);
	assert_int_equal(proc_reap(&p, -1, &status), 0);
	proc_describe(status, text, sizeof(text));
	assert_non_null(strstr(text, "was killed by signal 11 (Segmentation fault"));

	assert_int_equal(run("exec sleep 60", NULL, 0, &p), 0);
	assert_int_equal(proc_reap(&p, 10, NULL), -EAGAIN);
	pid_t pid = p.pid;
	proc_kill(&p);
	assert_int_equal(kill(pid, 0), -1);
	proc_kill(&p); /* nothing left to do */
}

static void what_is_typed_is_not_for_children(void **state)
{
	struct proc p = PROC_NONE;
	char text[64] = "";
	struct terminal tty;
	int a[2];

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	terminal_start(&tty);
	int r = run("read x <&2; echo \"<$x>\" >&3; echo said >&2", &a[1], 1, &p);
	terminal_leave(&tty);
	(void)close(a[1]);
	assert_int_equal(r, 0);
	assert_int_equal(proc_reap(&p, TERMINAL_PATIENCE_MS, NULL), 0);
	read_to_end(a[0], text, sizeof(text));
	assert_string_equal(text, "<>\n");
	(void)close(a[0]);
	terminal_end(&tty, "said");
}

static void a_program_that_is_missing_is_told(void **state)
{
	const char *const argv[] = { "x", NULL };
	const struct proc_spec spec = { .path = "/nonexistent/x", .argv = argv };
	struct proc p = PROC_NONE;
	struct err e;
	char path[256];

	(void)state;
	assert_int_equal(proc_spawn(&spec, &p, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/x"));
	assert_int_equal(p.pid, 0);

	assert_int_equal(proc_libexec("no-such-program", "vtest", path, sizeof(path), &e), -ENOENT);
	assert_non_null(strstr(e.text, "PECTEN_LIBEXEC"));
	assert_int_equal(setenv("PECTEN_LIBEXEC", "/bin", 1), 0);
	assert_int_equal(proc_libexec("sh", "vtest", path, sizeof(path), &e), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(unsetenv("PECTEN_LIBEXEC"), 0);
}

static void a_socket_belongs_to_one_server(void **state)
{
	char folder[] = "/tmp/pecten-listen-XXXXXX";
	struct listen_socket s;
	struct listen_socket t;
	struct stat st;
	char path[64];
	char lock[80];
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	assert_int_equal(listen_open(path, 0600, &s, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(listen_open(path, 0600, &t, &e), -EADDRINUSE);
	assert_int_equal(listen_accept(&s), -EAGAIN);

	/* Its owner is killed: the kernel gives the lock back, files stay. */
	(void)close(s.fd);
	(void)close(s.lock);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(listen_open(path, 0666, &t, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	listen_close(&t);
	listen_close(&t);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(lock, F_OK), -1);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_has_the_named_descriptors_and_no_others),
		cmocka_unit_test(the_end_of_a_child_is_seen_and_described),
		cmocka_unit_test(what_is_typed_is_not_for_children),
		cmocka_unit_test(a_program_that_is_missing_is_told),
		cmocka_unit_test(a_socket_belongs_to_one_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
