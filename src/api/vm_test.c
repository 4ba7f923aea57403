/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VM processes that were taken over, or hang: the program that started one is never kept waiting.
 * They are this very program, which the library executes as its pecten-vm.
 */
#include "api/vm.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/cache.h"
#include "host/fd.h"
#include "util/agent_msg.h"

#define MODE       "PECTEN_TEST_MODE"
#define CONTROL    3
#define SHORT_MS   50    /* for what is not going to happen */
#define LIMIT_MS   60000 /* for what is */
#define TRICKLE_MS 10
#define SHARES     60
#define KILLED     "the VM process did not end in time, so it was killed\n"
#define SENT_MAX   (SHARES * sizeof(struct ctl_msg))

/* --- the VM process --- */

static struct ctl_msg msg;

static void hang(void)
{
	for (;;)
		(void)pause();
}

/* A byte now and then, for ever; never as much as a message in the time for one. */
static void trickle(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	for (size_t i = 0;; i = (i + 1) % len) {
		(void)send(fd, p + i, 1, MSG_NOSIGNAL);
		(void)poll(NULL, 0, TRICKLE_MS);
	}
}

/* Reads everything up to CTL_START. Return: the agent's stream; -1 if that does not come */
static int configure(void)
{
	int fds[CTL_FDS_MAX];
	int stream = -1;

	while (ctl_recv(CONTROL, &msg, fds) == 0) {
		if (msg.type == CTL_START)
			return stream;
		if (msg.type == CTL_VSOCK && msg.u.vsock.kind == CTL_VSOCK_STREAM)
			stream = fds[0];
	}
	return -1;
}

static void speak(int stream, const struct agent_msg *m)
{
	uint8_t buf[256];
	int n = agent_encode(buf, sizeof(buf), m);

	if (n < 0 || fd_write_full(stream, buf, (size_t)n) < 0)
		_exit(2);
}

static void greet(int stream)
{
	speak(stream, &(struct agent_msg){ .type = AGENT_HELLO, .num = { AGENT_VERSION } });
	speak(stream, &(struct agent_msg){ .type = AGENT_READY });
}

static int be_vm_process(const char *mode)
{
	uint8_t note[64];
	sigset_t go_on;
	int stream;
	int signo;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test fails */
	if (strcmp(mode, "deaf") == 0)
		hang();
	stream = configure();
	if (stream < 0)
		return 1;
	msg = (struct ctl_msg){ .magic = CTL_MAGIC, .type = CTL_STARTED };
	if (strcmp(mode, "half") == 0) {
		(void)send(CONTROL, &msg, sizeof(msg) / 2, 0);
		hang();
	}
	if (strcmp(mode, "trickle") == 0)
		trickle(CONTROL, &msg, sizeof(msg));
	if (strcmp(mode, "rude") == 0) {
		msg = (struct ctl_msg){ .type = CTL_FAILED, .u.failed.code = -EIO };
		(void)snprintf(msg.u.failed.text, sizeof(msg.u.failed.text), "\033[2Jgone");
		return ctl_send(CONTROL, &msg, NULL, 0) < 0;
	}
	(void)sigemptyset(&go_on);
	(void)sigaddset(&go_on, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &go_on, NULL);
	greet(stream);
	if (strcmp(mode, "stubborn") == 0)
		hang();

	/* "talkative": the machine has ended, but its agent goes on and on. */
	int n = agent_encode(note, sizeof(note),
			     &(struct agent_msg){ .type = AGENT_NOTE, .str = { "and then" } });

	msg = (struct ctl_msg){ .type = CTL_ENDED, .u.ended.how = CTL_END_POWEROFF };
	if (n < 0 || sigwait(&go_on, &signo) != 0 || ctl_send(CONTROL, &msg, NULL, 0) < 0)
		return 1;
	trickle(stream, note, (size_t)n);
	return 0;
}

/* --- the program that started it --- */

struct fixture {
	char dir[64];
	struct pecten_vm *vm;
	struct pecten_vm *other;
	struct pecten_cmd *cmd;
	char notes[1024];
};

static void take_note(void *arg, const char *text)
{
	struct fixture *f = arg;
	size_t n = strlen(f->notes);

	(void)snprintf(f->notes + n, sizeof(f->notes) - n, "%s\n", text);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[96];

	assert_non_null(f);
	*state = f;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/pecten-vm-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(path, sizeof(path), "%s/pecten-vm", f->dir);
	char self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(symlink(self, path), 0);
	assert_int_equal(setenv("PECTEN_LIBEXEC", f->dir, 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", f->dir, 1), 0);
	assert_int_equal(pecten_vm_create(&f->vm), 0);
	assert_int_equal(pecten_vm_set_root(f->vm, "/", 0), 0);
	assert_int_equal(pecten_vm_set_engine(f->vm, PECTEN_ENGINE_KVM), 0);
	assert_int_equal(pecten_vm_set_gpu(f->vm, PECTEN_GPU_OFF, 0), 0);
	assert_int_equal(pecten_vm_set_note(f->vm, take_note, f), 0);
	f->vm->end_ms = SHORT_MS;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[96];

	pecten_vm_destroy(f->vm);
	pecten_vm_destroy(f->other);
	pecten_cmd_destroy(f->cmd);
	(void)snprintf(path, sizeof(path), "%s/pecten-vm", f->dir);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/pecten", f->dir);
	(void)rmdir(path);
	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left */
	free(f);
	return 0;
}

static int start(struct fixture *f, const char *mode)
{
	assert_int_equal(setenv(MODE, mode, 1), 0);
	return pecten_vm_start(f->vm, f->cmd);
}

static void half_a_message_is_not_waited_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(start(f, "half"), -ETIMEDOUT);
	assert_non_null(strstr(pecten_vm_error(f->vm), "a part of a message"));
}

static void bytes_that_trickle_in_are_not_waited_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(start(f, "trickle"), -ETIMEDOUT);
	assert_non_null(strstr(pecten_vm_error(f->vm), "a part of a message"));
}

/* Sockets hold a number of messages that nobody reads. */
static void one_that_does_not_read_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	int pair[2];
	int room = 0;
	socklen_t len = sizeof(room);
	char name[32];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, &len), 0);
	(void)close(pair[0]);
	(void)close(pair[1]);
	if (room > (int)SENT_MAX + (32 << 10))
		skip(); /* of this host they hold all that there is to send */
	for (int i = 0; i < SHARES; i++) {
		(void)snprintf(name, sizeof(name), "/mnt/%d", i);
		assert_int_equal(pecten_vm_add_share(f->vm, "/", name, 0), 0);
	}
	f->vm->send_left_ns = UINT64_C(1000000) * SHORT_MS;
	assert_int_equal(start(f, "deaf"), -ETIMEDOUT);
	assert_non_null(strstr(pecten_vm_error(f->vm), "does not read"));
}

static void *stop(void *arg)
{
	/* Before the machine starts there is nothing to stop. */
	while (pecten_vm_wait(arg, 0, NULL) < 0)
		(void)pecten_vm_stop(arg, 0);
	return NULL;
}

static void start_that_hangs_can_be_stopped(void **state)
{
	struct fixture *f = *state;
	pthread_t stopper;

	assert_int_equal(thread_start(&stopper, "stopper", stop, f->vm), 0);
	assert_int_equal(start(f, "deaf"), -EIO);
	assert_int_equal(pthread_join(stopper, NULL), 0);
	assert_string_equal(pecten_vm_error(f->vm), "the machine was stopped");
	assert_string_equal(f->notes, KILLED);
}

static void one_that_ignores_everything_is_killed(void **state)
{
	struct fixture *f = *state;
	struct pecten_exit how;

	assert_int_equal(start(f, "stubborn"), 0);
	assert_int_equal(pecten_vm_stop(f->vm, 0), 0);
	assert_int_equal(pecten_vm_wait(f->vm, 0, &how), 0);
	assert_int_equal(how.status, 128 + SIGKILL);
	assert_string_equal(how.text, "the machine was stopped");
	assert_string_equal(f->notes, KILLED);
}

static void agent_that_outlives_its_machine_is_not_listened_to(void **state)
{
	static const char *const argv[] = { "true", NULL };
	struct fixture *f = *state;
	struct pecten_exit how;

	assert_int_equal(pecten_cmd_create(argv, &f->cmd), 0);
	assert_int_equal(pecten_cmd_set_stdio(f->cmd, -1, -1, -1), 0);
	assert_int_equal(start(f, "talkative"), 0);
	assert_int_equal(kill(reg_vm_pid(pecten_vm_name(f->vm)), SIGUSR1), 0);
	assert_int_equal(pecten_cmd_wait(f->cmd, LIMIT_MS, &how), 0);
	assert_string_equal(how.text, "the guest switched the machine off");
	assert_non_null(strstr(f->notes, KILLED));
}

static void its_words_do_not_reach_the_terminal_raw(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(start(f, "rude"), -EIO);
	assert_string_equal(pecten_vm_error(f->vm), "?[2Jgone");
}

static void socket_of_a_dead_machine_is_replaced_and_no_other(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct fixture *f = *state;
	struct stat st;
	char path[80];
	char lock[96];

	(void)snprintf(path, sizeof(path), "%s/port", f->dir);
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	AUTO_FD dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(dead, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	fd_drop(&dead);

	assert_int_equal(pecten_vm_add_socket(f->vm, 5000, path, 1), 0);
	assert_int_equal(start(f, "stubborn"), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	AUTO_FD client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (const struct sockaddr *)&addr, sizeof(addr)), 0);

	assert_int_equal(pecten_vm_create(&f->other), 0);
	assert_int_equal(pecten_vm_set_root(f->other, "/", 0), 0);
	assert_int_equal(pecten_vm_set_engine(f->other, PECTEN_ENGINE_KVM), 0);
	assert_int_equal(pecten_vm_set_gpu(f->other, PECTEN_GPU_OFF, 0), 0);
	assert_int_equal(pecten_vm_add_socket(f->other, 5000, path, 1), 0);
	assert_int_equal(pecten_vm_start(f->other, NULL), -EADDRINUSE);
	assert_int_equal(lstat(path, &st), 0);

	assert_int_equal(pecten_vm_stop(f->vm, 0), 0);
	assert_int_equal(lstat(path, &st), -1);
	assert_int_equal(lstat(lock, &st), -1);
}

/* Such as the caller's of `sudo -E`. */
static void cache_that_others_can_change_is_not_used(void **state)
{
	struct fixture *f = *state;
	struct qemu_program q;
	struct err e = { 0 };
	int kernel = -1;
	int initrd = -1;

	assert_int_equal(chmod(f->dir, 0777), 0);
	assert_int_equal(setenv("XDG_CACHE_HOME", f->dir, 1), 0);
	assert_int_equal(setenv("PATH", "/no/such", 1), 0);
	assert_int_equal(unsetenv("PECTEN_QEMU"), 0);
	assert_int_equal(qemu_find(&q, &e), -EPERM);
	assert_non_null(strstr(e.text, "; set XDG_CACHE_HOME to"));
	assert_int_equal(cache_kernel(&kernel, &initrd, &e), -EPERM);
	assert_non_null(strstr(e.text, "; set XDG_CACHE_HOME to"));
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_int_equal(cache_kernel(&kernel, &initrd, &e), -ENOENT);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(half_a_message_is_not_waited_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(bytes_that_trickle_in_are_not_waited_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(one_that_does_not_read_is_not_waited_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(start_that_hangs_can_be_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_ignores_everything_is_killed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(agent_that_outlives_its_machine_is_not_listened_to,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_words_do_not_reach_the_terminal_raw, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(socket_of_a_dead_machine_is_replaced_and_no_other,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(cache_that_others_can_change_is_not_used, set_up,
						tear_down),
	};
	const char *mode = getenv(MODE);

	if (mode && argc == 2 && strcmp(argv[1], "3") == 0)
		return be_vm_process(mode);
	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
