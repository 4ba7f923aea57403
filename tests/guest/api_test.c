/* SPDX-License-Identifier: Apache-2.0 */
/* libpecten as a program uses it; the machines are namespaces, see fake_vm.c. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pecten.h"
#include "util/compiler.h"

#define LIMIT_MS 120000 /* only a hang takes that long */

static struct pecten_vm *new_vm(const char *name)
{
	struct pecten_vm *vm;

	assert_int_equal(pecten_vm_create(&vm), 0);
	assert_int_equal(pecten_vm_set_root(vm, "/", 0), 0);
	assert_int_equal(pecten_vm_set_name(vm, name), 0);
	return vm;
}

static struct pecten_cmd *new_cmd(const char *script)
{
	const char *argv[] = { "/bin/sh", "-c", script, NULL };
	struct pecten_cmd *cmd;

	assert_int_equal(pecten_cmd_create(argv, &cmd), 0);
	return cmd;
}

static void start(struct pecten_vm *vm, struct pecten_cmd *cmd)
{
	int r = pecten_vm_start(vm, cmd);

	if (r < 0)
		print_error("# %s\n", pecten_vm_error(vm));
	assert_int_equal(r, 0);
}

#define WORD 5

/* Four letters, in as many parts as they come. */
static void read_word(int fd, char word[WORD])
{
	size_t len = 0;
	ssize_t n;

	while (len < WORD - 1 && (n = read(fd, word + len, WORD - 1 - len)) > 0)
		len += (size_t)n;
	word[len] = '\0';
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static int before;

static int remember_fds(void **state)
{
	(void)state;
	before = count_fds();
	return 0;
}

static int no_fd_is_left(void **state)
{
	(void)state;
	if (count_fds() == before)
		return 0;
	print_error("# %d descriptors before, %d after\n", before, count_fds());
	return -1;
}

static void workload_ends_with_its_status(void **state)
{
	struct pecten_vm *vm = new_vm("api-status");
	struct pecten_cmd *cmd = new_cmd("exit 9");
	struct pecten_exit how;

	(void)state;
	start(vm, cmd);
	assert_int_equal(pecten_cmd_wait(cmd, LIMIT_MS, &how), 0);
	assert_int_equal(how.how, PECTEN_EXITED);
	assert_int_equal(how.status, 9);
	assert_int_equal(pecten_vm_wait(vm, LIMIT_MS, &how), 0);
	assert_int_equal(how.status, 9);
	assert_int_equal(pecten_vm_start(vm, cmd), -EBUSY);
	pecten_vm_destroy(vm);
	pecten_cmd_destroy(cmd);
}

static void machine_without_workload_runs_commands_until_it_is_stopped(void **state)
{
	struct pecten_vm *vm = new_vm("api-idle");
	struct pecten_exit how;
	char out[WORD];
	int p[2];

	(void)state;
	start(vm, NULL);
	assert_int_equal(pecten_vm_wait(vm, 0, &how), -ETIMEDOUT);
	for (int i = 0; i < 3; i++) {
		struct pecten_cmd *cmd = new_cmd("printf word; exit 4");

		assert_int_equal(pipe(p), 0);
		assert_int_equal(pecten_cmd_set_stdio(cmd, -1, p[1], -1), 0);
		(void)close(p[1]);
		assert_int_equal(pecten_vm_exec(vm, cmd), 0);
		assert_int_equal(pecten_cmd_wait(cmd, LIMIT_MS, &how), 0);
		assert_int_equal(how.status, 4);
		read_word(p[0], out);
		assert_string_equal(out, "word");
		(void)close(p[0]);
		pecten_cmd_destroy(cmd);
	}
	assert_int_equal(pecten_vm_stop(vm, LIMIT_MS), 0);
	assert_int_equal(pecten_vm_wait(vm, 0, &how), 0);
	assert_int_equal(how.status, 0);

	struct pecten_cmd *late = new_cmd("true");

	assert_int_equal(pecten_vm_exec(vm, late), -ESRCH);
	pecten_cmd_destroy(late);
	pecten_vm_destroy(vm);
}

static int count_machines(void *arg, const struct pecten_info *info)
{
	if (strncmp(info->name, "api-many-", 9) == 0)
		(*(int *)arg)++;
	return 0;
}

static void one_program_has_several_machines(void **state)
{
	struct pecten_vm *vm[3];
	struct pecten_cmd *cmd[3];
	struct pecten_exit how;
	char name[32];
	char out[WORD];
	int n = 0;
	int p[2];

	(void)state;
	for (int i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "api-many-%d", i);
		vm[i] = new_vm(name);
		cmd[i] = new_cmd("trap 'exit 20' TERM; echo trap; while :; do sleep 0.05; done");
		assert_int_equal(pipe(p), 0);
		assert_int_equal(pecten_cmd_set_stdio(cmd[i], -1, p[1], -1), 0);
		(void)close(p[1]);
		start(vm[i], cmd[i]);
		/* A signal that comes before would end it. */
		read_word(p[0], out);
		assert_string_equal(out, "trap");
		(void)close(p[0]);
	}
	assert_int_equal(pecten_list(count_machines, &n), 0);
	assert_int_equal(n, 3);

	struct pecten_vm *twin = new_vm("api-many-1");

	assert_int_equal(pecten_vm_start(twin, NULL), -EBUSY);
	pecten_vm_destroy(twin);
	assert_int_equal(pecten_cmd_wait(cmd[1], 300, &how), -ETIMEDOUT);
	assert_int_equal(pecten_cmd_signal(cmd[1], SIGTERM), 0);
	assert_int_equal(pecten_cmd_wait(cmd[1], LIMIT_MS, &how), 0);
	assert_int_equal(how.status, 20);
	assert_int_equal(pecten_cmd_signal(cmd[1], SIGTERM), -ESRCH);
	assert_int_equal(pecten_vm_wait(vm[0], 0, &how), -ETIMEDOUT);

	/* The others end as they are: one with its machine, one with its workload's object. */
	pecten_vm_destroy(vm[0]);
	assert_int_equal(pecten_cmd_wait(cmd[0], 0, &how), 0);
	pecten_cmd_destroy(cmd[2]);
	assert_int_equal(pecten_vm_wait(vm[2], 0, &how), 0);
	pecten_vm_destroy(vm[1]);
	pecten_vm_destroy(vm[2]);
	pecten_cmd_destroy(cmd[0]);
	pecten_cmd_destroy(cmd[1]);
}

/* As Ctrl-C does while `pecten run` still starts, and afterwards. */
static void signals_are_for_the_workload_or_end_the_start(void **state)
{
	struct pecten_vm *vm = new_vm("api-early");
	struct pecten_cmd *cmd = new_cmd("sleep 1000");
	struct pecten_exit how;
	char out[WORD];
	int p[2];

	(void)state;
	assert_int_equal(pecten_vm_signal(vm, 65), -EINVAL);
	assert_int_equal(pecten_vm_signal(vm, SIGTERM), 0);
	assert_true(pecten_vm_start(vm, cmd) < 0);
	assert_non_null(strstr(pecten_vm_error(vm), "stopped"));
	assert_int_equal(pecten_vm_signal(vm, SIGTERM), -ESRCH);
	pecten_vm_destroy(vm);
	pecten_cmd_destroy(cmd);

	vm = new_vm("api-late");
	cmd = new_cmd("trap 'exit 20' TERM; echo trap; while :; do sleep 0.05; done");
	assert_int_equal(pipe(p), 0);
	assert_int_equal(pecten_cmd_set_stdio(cmd, -1, p[1], -1), 0);
	(void)close(p[1]);
	start(vm, cmd);
	read_word(p[0], out);
	assert_string_equal(out, "trap");
	(void)close(p[0]);
	assert_int_equal(pecten_vm_signal(vm, SIGTERM), 0);
	assert_int_equal(pecten_cmd_wait(cmd, LIMIT_MS, &how), 0);
	assert_int_equal(how.status, 20);
	pecten_vm_destroy(vm);
	pecten_cmd_destroy(cmd);
}

static void end_of_a_command_can_be_polled(void **state)
{
	struct pecten_vm *vm = new_vm("api-poll");
	struct pecten_cmd *cmd = new_cmd("sleep 0.2");
	struct pecten_exit how;

	(void)state;

	struct pollfd p = { .fd = pecten_cmd_fd(cmd), .events = POLLIN };

	start(vm, cmd);
	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	assert_int_equal(pecten_cmd_wait(cmd, 0, &how), 0);
	pecten_vm_destroy(vm);
	pecten_cmd_destroy(cmd);
}

static void attached_machine_is_used_and_left_alone(void **state)
{
	struct pecten_vm *vm = new_vm("api-attach");
	struct pecten_vm *other;
	struct pecten_cmd *cmd = new_cmd("exit 6");
	struct pecten_exit how;
	char why[256];

	(void)state;
	assert_int_equal(pecten_vm_attach("api-attach", &other, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "api-attach"));
	start(vm, NULL);
	assert_int_equal(pecten_vm_attach("api-attach", &other, NULL, 0), 0);
	assert_int_equal(pecten_vm_exec(other, cmd), 0);
	assert_int_equal(pecten_cmd_wait(cmd, LIMIT_MS, &how), 0);
	assert_int_equal(how.status, 6);
	pecten_cmd_destroy(cmd);
	pecten_vm_destroy(other);
	assert_int_equal(pecten_vm_wait(vm, 0, NULL), -ETIMEDOUT);
	assert_int_equal(pecten_vm_attach("api-attach", &other, NULL, 0), 0);
	assert_int_equal(pecten_vm_stop(other, 0), 0);
	assert_int_equal(pecten_vm_wait(vm, LIMIT_MS, NULL), 0);
	pecten_vm_destroy(other);
	pecten_vm_destroy(vm);
}

static void destroying_a_running_command_hangs_it_up(void **state)
{
	struct pecten_vm *vm = new_vm("api-hang");
	struct pecten_cmd *cmd = new_cmd("sleep 1000");

	(void)state;
	start(vm, NULL);
	assert_int_equal(pecten_vm_exec(vm, cmd), 0);
	pecten_cmd_destroy(cmd);
	pecten_vm_destroy(vm);
}

static void failed_start_leaves_nothing(void **state)
{
	struct pecten_vm *vm = new_vm("api-fail");
	struct pecten_cmd *cmd = new_cmd("true");
	struct pecten_exit how;

	(void)state;
	assert_int_equal(pecten_vm_add_disk(vm, "/no/such/disk", 0), 0);
	assert_int_equal(pecten_vm_start(vm, cmd), -ENOENT);
	assert_non_null(strstr(pecten_vm_error(vm), "/no/such/disk"));
	assert_int_equal(pecten_cmd_wait(cmd, 0, &how), -ESRCH);
	pecten_cmd_destroy(cmd);
	pecten_vm_destroy(vm);
}

static void mistakes_are_told(void **state)
{
	struct pecten_vm *vm;

	(void)state;
	assert_int_equal(pecten_vm_create(&vm), 0);
	assert_int_equal(pecten_vm_set_name(vm, "../x"), -EINVAL);
	assert_int_equal(pecten_vm_set_name(vm, ""), -EINVAL);
	assert_int_equal(pecten_vm_set_root(vm, "/no/such", 0), -ENOENT);
	assert_int_equal(pecten_vm_set_root(vm, "/", 8), -EINVAL);
	assert_int_equal(pecten_vm_set_cpus(vm, 0), -EINVAL);
	assert_int_equal(pecten_vm_set_memory(vm, UINT64_MAX), -EINVAL);
	assert_int_equal(pecten_vm_add_share(vm, "/", "relative", 0), -EINVAL);
	assert_int_equal(pecten_vm_add_port(vm, 0, 1), -EINVAL);
	assert_int_equal(pecten_vm_add_socket(vm, 1024, "/x", 0), -EINVAL);
	assert_int_equal(pecten_vm_set_env(vm, "=x"), -EINVAL);
	assert_int_equal(pecten_vm_set_hostname(vm, "a b"), -EINVAL);
	assert_int_equal(pecten_vm_start(vm, NULL), -EINVAL);
	assert_non_null(strstr(pecten_vm_error(vm), "root file system"));
	pecten_vm_destroy(vm);
	pecten_vm_destroy(NULL);
	pecten_cmd_destroy(NULL);
}

#define API_TEST(f) cmocka_unit_test_setup_teardown(f, remember_fds, no_fd_is_left)

/* The user's own machines, and what is known of their host, are none of our business. */
static char runtime[] = "/tmp/pecten-api.XXXXXX";

static int use_own_names(void **state)
{
	(void)state;
	return mkdtemp(runtime) && setenv("XDG_RUNTIME_DIR", runtime, 1) == 0 ? 0 : -1;
}

static int no_name_is_left(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/pecten/.kvm-works", runtime);
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	return rmdir(path) == 0 && rmdir(runtime) == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(mistakes_are_told),
		API_TEST(workload_ends_with_its_status),
		API_TEST(machine_without_workload_runs_commands_until_it_is_stopped),
		API_TEST(one_program_has_several_machines),
		API_TEST(signals_are_for_the_workload_or_end_the_start),
		API_TEST(end_of_a_command_can_be_polled),
		API_TEST(attached_machine_is_used_and_left_alone),
		API_TEST(destroying_a_running_command_hangs_it_up),
		API_TEST(failed_start_leaves_nothing),
	};

	if (geteuid() != 0) {
		(void)puts("1..0 # SKIP namespaces in place of machines need root");
		return 0;
	}
	return cmocka_run_group_tests(tests, use_own_names, no_name_is_left);
}
