/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a taken-over QEMU may do, tried out: this program takes QEMU's place, with the very words
 * and the filter of pecten-vm's stage, and then sins.  QEMU's own filter comes on top of that.
 */
#include <asm/ioctls.h>
#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/attempt.h"
#include "host/proc.h"
#include "util/compiler.h"
#include "vmm/qemu.h"

#define TMP  "/tmp/pecten-qemu-XXXXXX"
#define WORD "--sin" /* makes this program QEMU: OUTSIDER FILE SOCKET follow */

#define UNREACHABLE 203 /* this program is in a folder that is closed to that user */

static pid_t outsider;
static const char *outside; /* a file of this user's that QEMU has no business with */
static const char *server;  /* a unix socket somebody listens at */
static int own[2];          /* a pair of sockets, on which each request below means something */

/* Without either way of it, the filter is all there is. */
static bool has_view(void)
{
	return getuid() == 0 ||
	       syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static int open_file(void)
{
	if (!has_view())
		return -EACCES;
	return attempt_fd(open(outside, O_RDONLY | O_CLOEXEC));
}

static int change_mode(void)
{
	return result(chmod(outside, 0666));
}

static int change_owner(void)
{
	return result(lchown(outside, getuid(), getgid()));
}

static int change_times(void)
{
	return result(utimensat(AT_FDCWD, outside, NULL, 0));
}

/* Whether the file system has such attributes is of no interest: the filter is asked first. */
static int add_attribute(void)
{
	int r = result(setxattr(outside, "user.pecten", "x", 1, 0));

	return r == -EOPNOTSUPP ? 0 : r;
}

static int connect_server(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", server);
	return result(connect(fd, (const struct sockaddr *)&to, sizeof(to)));
}

static int make_pair(int type)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	(void)close(pair[0]);
	(void)close(pair[1]);
	return 0;
}

static int pair_of_datagrams(void)
{
	return make_pair(SOCK_DGRAM);
}

static int pair_of_streams(void)
{
	return make_pair(SOCK_STREAM);
}

static int signal_process(void)
{
	return result(kill(outsider, 0));
}

static int signal_thread(void)
{
	return result(syscall(SYS_tgkill, outsider, outsider, 0));
}

static int signal_any_thread(void)
{
	return result(syscall(SYS_tkill, outsider, 0));
}

static int queue_signal(void)
{
	siginfo_t info = { .si_code = SI_QUEUE, .si_signo = SIGUSR1 };

	return result(syscall(SYS_rt_sigqueueinfo, outsider, SIGUSR1, &info));
}

static int signal_by_fcntl(void)
{
	return result(fcntl(own[0], F_SETOWN, outsider));
}

static int choose_signal(void)
{
	return result(fcntl(own[0], F_SETSIG, SIGKILL));
}

/* What the file makes of it is of no interest. */
static int control(unsigned long request)
{
	int value = outsider;
	int r = result(ioctl(own[0], request, &value));

	return r == -ENOTTY || r == -EINVAL ? 0 : r;
}

static int signal_by_ioctl(void)
{
	return control(FIOSETOWN);
}

static int signal_by_socket(void)
{
	return control(SIOCSPGRP);
}

static int type_into_terminal(void)
{
	return control(TIOCSTI);
}

static int outlive(void)
{
	return result(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

/* The kernel takes the lower half of the word. */
static int outlive_by_another_word(void)
{
	return result(syscall(SYS_prctl, UINT64_C(1) << 32 | PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

static int limit_process(void)
{
	const struct rlimit none = { 0, 0 };

	return result(prlimit(outsider, RLIMIT_CORE, &none, NULL));
}

static int read_own_limit(void)
{
	struct rlimit files;

	return result(getrlimit(RLIMIT_NOFILE, &files));
}

static int trace(void)
{
	return result(ptrace(PTRACE_SEIZE, outsider, NULL, NULL));
}

static int compare(void)
{
	return result(syscall(SYS_kcmp, getpid(), getpid(), 1 /* KCMP_VM */, 0, 0));
}

static int share_memory(void)
{
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);

	if (id < 0)
		return -errno;
	(void)shmctl(id, IPC_RMID, NULL);
	return 0;
}

static int new_namespace(void)
{
	return result(syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */));
}

static int signal_own_thread(void)
{
	return -pthread_kill(pthread_self(), 0);
}

/* clang-format off */
static const struct attempt attempts[] = {
	{ "a file of the user cannot be opened",   open_file,               false },
	{ "nor its mode be changed",               change_mode,             false },
	{ "nor its owner",                         change_owner,            false },
	{ "nor its times",                         change_times,            false },
	{ "nor its attributes",                    add_attribute,           false },
	{ "there are no sockets",                  attempt_socket,          false },
	{ "no server can be spoken to",            connect_server,          false },
	{ "there are no datagrams",                pair_of_datagrams,       false },
	{ "a process cannot be signalled",         signal_process,          false },
	{ "nor its threads",                       signal_thread,           false },
	{ "nor by their number alone",             signal_any_thread,       false },
	{ "nor with a word",                       queue_signal,            false },
	{ "nor by the kernel's hand",              signal_by_fcntl,         false },
	{ "nor with another signal",               choose_signal,           false },
	{ "nor by an ioctl",                       signal_by_ioctl,         false },
	{ "nor by that of sockets",                signal_by_socket,        false },
	{ "nothing is typed into a terminal",      type_into_terminal,      false },
	{ "it does not outlive pecten-vm",         outlive,                 false },
	{ "not even by another word for it",       outlive_by_another_word, false },
	{ "a process keeps its limits",            limit_process,           false },
	{ "a process cannot be traced",            trace,                   false },
	{ "processes cannot be compared",          compare,                 false },
	{ "there is no System V memory",           share_memory,            false },
	{ "there are no namespaces",               new_namespace,           false },
	{ "a pair of streams can be made",         pair_of_streams,         true },
	{ "own limits can be read",                read_own_limit,          true },
	{ "threads start",                         attempt_thread,          true },
	{ "and can be signalled",                  signal_own_thread,       true },
	{ "/dev/null is there",                    attempt_null_device,     true },
};
/* clang-format on */

/* In QEMU's place.  Return: exit status */
static int sin_all(char **words)
{
	outsider = (pid_t)strtol(words[0], NULL, 10);
	outside = words[1];
	server = words[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, own) < 0)
		return 1;
	return attempt_all(attempts, ARRAY_LEN(attempts));
}

struct place {
	char dir[sizeof(TMP)];
	char file[sizeof(TMP) + 8];
	char socket[sizeof(TMP) + 8];
	int listener;
	pid_t outsider; /* of the user that QEMU runs as */
};

static void wait_for_the_end(uid_t uid)
{
	if (uid != getuid() && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		_exit(1);
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)signal(SIGUSR1, SIG_IGN);
	for (;;)
		(void)poll(NULL, 0, 1000);
}

static void place_init(struct place *p, uid_t uid)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	memcpy(p->dir, TMP, sizeof(TMP));
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	(void)snprintf(p->file, sizeof(p->file), "%s/file", p->dir);
	(void)snprintf(p->socket, sizeof(p->socket), "%s/socket", p->dir);
	AUTO_FD fd = open(p->file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", p->socket);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->listener >= 0);
	assert_int_equal(bind(p->listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(p->listener, 4), 0);
	if (uid != getuid()) {
		assert_int_equal(fchown(fd, uid, uid), 0);
		assert_int_equal(chown(p->socket, uid, uid), 0);
	}
	p->outsider = fork();
	assert_true(p->outsider >= 0);
	if (p->outsider == 0)
		wait_for_the_end(uid);
}

static void place_fini(struct place *p)
{
	(void)kill(p->outsider, SIGKILL);
	(void)waitpid(p->outsider, NULL, 0);
	(void)close(p->listener);
	(void)unlink(p->socket);
	(void)unlink(p->file);
	(void)rmdir(p->dir);
}

/* In a child.  Return: exit status, of the failure to become QEMU */
static int become_qemu(struct place *p, uid_t uid)
{
	char parent[16];
	char other[16];
	char self[512];
	char seen[sizeof(self) + 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return 200;
	self[n] = '\0';
	(void)snprintf(seen, sizeof(seen), "x:%s", self);
	(void)snprintf(parent, sizeof(parent), "%d", (int)getppid());
	(void)snprintf(other, sizeof(other), "%d", (int)p->outsider);

	char *words[] = { parent,
			  "x:/usr",
			  "x:/lib",
			  "x:/lib64",
			  seen,
			  "r:/proc/self",
			  "r:/etc/ld.so.cache",
			  "d:/dev/null",
			  "--",
			  self,
			  WORD,
			  other,
			  p->file,
			  p->socket,
			  NULL };

	if (uid != getuid() && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		return 201;
	if (access(self, X_OK) < 0)
		return UNREACHABLE;
	(void)close(p->listener);
	if (dup2(STDERR_FILENO, PROC_FD_BASE) < 0)
		return 202;
	return qemu_stage((int)ARRAY_LEN(words) - 1, words);
}

static void try_as(uid_t uid)
{
	struct place p = { .listener = -1 };
	int status;

	place_init(&p, uid);
	(void)fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(become_qemu(&p, uid));
	assert_int_equal(waitpid(child, &status, 0), child);
	place_fini(&p);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == UNREACHABLE)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void qemu_cannot_get_out(void **state)
{
	(void)state;
	try_as(getuid());
}

static void nor_can_one_of_an_ordinary_user(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip(); /* the other test is this one */
	try_as(65534);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemu_cannot_get_out),
		cmocka_unit_test(nor_can_one_of_an_ordinary_user),
	};

	if (argc == 5 && strcmp(argv[1], WORD) == 0)
		_exit(sin_all(argv + 2)); /* no leak check: it traces */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
