/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine ends whatever its QEMU does: here that is tests/harness/evil_qemu.c, which keeps the
 * threads of its devices waiting for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/proc.h"
#include "vmm/control.h"

#define LONG_MS 60000 /* longer than anything takes, on any machine */

static const char *pecten_vm;
static char *evil_qemu; /* NULL: not told */

struct machine {
	struct proc proc;
	int control;
	int ready; /* QEMU says something here; ends with it */
};

/* Return: the one message there is, empty: it is too large for a stack */
static struct ctl_msg *new_msg(enum ctl_type type)
{
	static struct ctl_msg msg;

	memset(&msg, 0, sizeof(msg));
	msg.type = type;
	return &msg;
}

static void say(const struct machine *m, struct ctl_msg *msg, int fd)
{
	assert_int_equal(ctl_send(m->control, msg, &fd, fd >= 0), 0);
}

static void launch(struct machine *m)
{
	const char *const argv[] = { pecten_vm, "3", NULL };
	struct ctl_msg *msg;
	int sock[2];
	int ready[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	m->control = sock[0];
	AUTO_FD theirs = sock[1];
	const struct proc_spec spec = {
		.path = pecten_vm, .argv = argv, .fds = &theirs, .nfds = 1
	};
	assert_int_equal(proc_spawn(&spec, &m->proc, NULL), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	m->ready = ready[0];
	AUTO_FD kernel_fd = ready[1];

	msg = new_msg(CTL_CONFIG);
	msg->u.config.ram_mib = 64;
	msg->u.config.cpus = 1;
	say(m, msg, -1);
	msg = new_msg(CTL_KERNEL);
	msg->u.kernel.kind = CTL_KERNEL_FILE;
	say(m, msg, kernel_fd);
	msg = new_msg(CTL_QEMU);
	(void)snprintf(msg->u.qemu.program, sizeof(msg->u.qemu.program), "%s", evil_qemu);
	say(m, msg, -1);
	say(m, new_msg(CTL_START), -1);
}

/* Return: bytes there were; fails the test if nothing happens */
static ssize_t await_byte(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	return read(fd, &byte, 1);
}

static const struct ctl_msg *await_message(const struct machine *m, enum ctl_type type)
{
	struct pollfd p = { .fd = m->control, .events = POLLIN };
	struct ctl_msg *msg = new_msg(type);
	int fds[CTL_FDS_MAX];

	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_int_equal(ctl_recv(m->control, msg, fds), 0);
	assert_int_equal(msg->type, type);
	return msg;
}

static void await_end(struct machine *m)
{
	int status;

	assert_int_equal(proc_reap(&m->proc, LONG_MS, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(await_byte(m->ready), 0);
}

static int set_up(void **state)
{
	static struct machine machines[2];

	for (size_t i = 0; i < ARRAY_LEN(machines); i++)
		machines[i] = (struct machine){ .proc = PROC_NONE, .control = -1, .ready = -1 };
	*state = machines;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	for (int i = 0; i < 2; i++) {
		proc_kill(&m[i].proc);
		fd_drop(&m[i].control);
		fd_drop(&m[i].ready);
	}
	return 0;
}

/* Both at once, because each takes the time that devices are given. */
static void a_machine_ends_whatever_its_qemu_does(void **state)
{
	struct machine *stopped = *state;
	struct machine *orphan = stopped + 1;

	if (!evil_qemu)
		skip();
	for (struct machine *m = stopped; m <= orphan; m++) {
		launch(m);
		(void)await_message(m, CTL_STARTED);
		assert_int_equal(await_byte(m->ready), 1);
	}
	fd_drop(&orphan->control);
	say(stopped, new_msg(CTL_STOP), -1);
	assert_int_equal(await_message(stopped, CTL_ENDED)->u.ended.how, CTL_END_STOPPED);
	await_end(stopped);
	await_end(orphan);
}

/* PECTEN-VM EVIL-QEMU */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_machine_ends_whatever_its_qemu_does, set_up,
						tear_down),
	};

	if (argc == 3) {
		pecten_vm = argv[1];
		evil_qemu = realpath(argv[2], NULL);
	}
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	free(evil_qemu);
	return r;
}
