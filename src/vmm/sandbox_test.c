/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement, tried out from inside: each case is a child that confines itself and then sins. */
#include "vmm/sandbox.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/config.h"

#define TMP "/tmp/pecten-sandbox-XXXXXX"

struct place {
	char dir[sizeof(TMP)];
	struct vm_config c; /* shares: "ro", "rw" (no device nodes), "root" (with) */
};

static const char *const names[] = { "ro", "rw", "root" };

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	memcpy(p->dir, TMP, sizeof(TMP));
	assert_non_null(mkdtemp(p->dir));

	AUTO_FD at = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(at >= 0);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct vm_share *s = &p->c.shares[i];

		assert_int_equal(mkdirat(at, names[i], 0755), 0);
		s->fd = openat(at, names[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		assert_true(s->fd >= 0);
		(void)snprintf(s->c.name, sizeof(s->c.name), "%s", names[i]);
		s->c.is_ro = i == 0;
		s->c.takes_devices = i == 2;
		AUTO_FD file = openat(s->fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		assert_true(file >= 0);
	}
	p->c.n_shares = ARRAY_LEN(names);
	AUTO_FD outside = openat(at, "outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(outside >= 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	AUTO_FD at = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < p->c.n_shares; i++) {
		static const char *const made[] = { "file", "new", "node" };

		for (size_t k = 0; k < ARRAY_LEN(made); k++)
			(void)unlinkat(p->c.shares[i].fd, made[k], 0);
		(void)close(p->c.shares[i].fd);
		assert_int_equal(unlinkat(at, names[i], AT_REMOVEDIR), 0);
	}
	assert_int_equal(unlinkat(at, "outside", 0), 0);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* Whether we may give ourselves another root. */
static bool has_mounts(void)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct stat root;
		struct stat up;

		/* A root that is not the namespace's own cannot be covered. */
		_exit(unshare(CLONE_NEWNS) < 0 ||
		      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		      syscall(SYS_fsopen, "tmpfs", 0) < 0 || stat("/", &root) < 0 ||
		      stat("/..", &up) < 0 || root.st_ino != up.st_ino);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status == 0;
}

/* 0 or a positive errno. */
static int outcome(long r)
{
	return r < 0 ? errno : 0;
}

static int open_at(const struct place *p, unsigned share, const char *name, int flags)
{
	return outcome(openat(p->c.shares[share].fd, name, flags | O_CLOEXEC, 0644));
}

static int open_elsewhere(const struct place *p)
{
	(void)p;
	return outcome(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int mode_elsewhere(const struct place *p)
{
	struct stat st;

	(void)p;
	return outcome(fchmodat(AT_FDCWD, "/etc", stat("/etc", &st) < 0 ? 0755 : st.st_mode, 0));
}

/* Its root would be the host's. */
static int other_process(const struct place *p)
{
	struct stat st;

	(void)p;
	return outcome(stat("/proc/1", &st));
}

/* The share's own descriptor as a way up. */
static int mode_above(const struct place *p)
{
	return outcome(fchmodat(p->c.shares[1].fd, "../outside", 0666, 0));
}

static int owner_above(const struct place *p)
{
	return outcome(fchownat(p->c.shares[1].fd, "../outside", 1, 1, 0));
}

static int time_above(const struct place *p)
{
	return outcome(utimensat(p->c.shares[1].fd, "../outside", NULL, 0));
}

static int capability_above(const struct place *p)
{
	const struct vfs_cap_data all = {
		.magic_etc = htole32(VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
		.data = { { .permitted = UINT32_MAX } },
	};
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/../outside", p->c.shares[1].fd);
	return outcome(setxattr(path, "security.capability", &all, sizeof(all), 0));
}

/* Down and up again is no way out. */
static int move_within(const struct place *p)
{
	int at = p->c.shares[1].fd;
	int r = outcome(mkdirat(at, "a", 0755)) + outcome(mkdirat(at, "b", 0755)) +
		outcome(mknodat(at, "a/x", S_IFREG | 0600, 0)) +
		outcome(renameat2(at, "a/x", at, "a/../b/x", RENAME_NOREPLACE)) +
		outcome(unlinkat(at, "b/x", 0));

	return r + outcome(unlinkat(at, "a", AT_REMOVEDIR)) +
	       outcome(unlinkat(at, "b", AT_REMOVEDIR));
}

/* As the file server opens what it has found. */
static int open_by_descriptor(const struct place *p)
{
	char path[64];
	AUTO_FD fd = openat(p->c.shares[1].fd, "file", O_PATH | O_CLOEXEC);

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return outcome(open(path, O_RDWR | O_CLOEXEC)) + outcome(fchmodat(AT_FDCWD, path, 0640, 0));
}

static int read_ro(const struct place *p)
{
	return open_at(p, 0, "file", O_RDONLY);
}

/* A read-only mount is asked before Landlock. */
static int refused(int r)
{
	return r == EROFS ? EACCES : r;
}

static int write_ro(const struct place *p)
{
	return refused(open_at(p, 0, "file", O_WRONLY));
}

static int create_ro(const struct place *p)
{
	return refused(open_at(p, 0, "new", O_CREAT | O_WRONLY));
}

static int mode_ro(const struct place *p)
{
	return outcome(fchmodat(p->c.shares[0].fd, "file", 0666, 0));
}

static int create_rw(const struct place *p)
{
	return open_at(p, 1, "new", O_CREAT | O_WRONLY);
}

static int node_rw(const struct place *p)
{
	return outcome(mknodat(p->c.shares[1].fd, "node", S_IFCHR | 0600, 0x103));
}

static void *count(void *arg)
{
	++*(int *)arg;
	return NULL;
}

static int thread(const struct place *p)
{
	pthread_t t;
	int n = 0;

	(void)p;
	if (pthread_create(&t, NULL, count, &n) != 0)
		return ENOSYS;
	(void)pthread_join(t, NULL);
	return n == 1 ? 0 : EIO;
}

static int unix_socket(const struct place *p)
{
	(void)p;
	return outcome(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int unix_connect(const struct place *p)
{
	const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "/nobody/listens" };

	(void)p;
	return outcome(connect(-1, (const struct sockaddr *)&at, sizeof(at)));
}

static int unix_pair(const struct place *p)
{
	int pair[2];

	(void)p;
	return outcome(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

static int unix_datagrams(const struct place *p)
{
	int pair[2];

	(void)p;
	return outcome(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
}

static int inet_socket(const struct place *p)
{
	(void)p;
	return outcome(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int vsock_socket(const struct place *p)
{
	(void)p;
	return outcome(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int tty_ioctl(const struct place *p)
{
	char c = 'x';

	(void)p;
	return outcome(ioctl(0, TIOCSTI, &c));
}

static int namespaces(const struct place *p)
{
	(void)p;
	return outcome(syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */));
}

static int process(const struct place *p)
{
	(void)p;
	return outcome(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int signal_others(const struct place *p)
{
	(void)p;
	return outcome(kill(getppid(), 0));
}

static int signal_other_threads(const struct place *p)
{
	pid_t other = getppid();

	(void)p;
	return outcome(syscall(SYS_tgkill, other, other, 0));
}

/* The kernel would send it when the descriptor gets readable. */
static int signal_by_owner(const struct place *p)
{
	return outcome(fcntl(p->c.shares[1].fd, F_SETOWN, getppid()));
}

static int signal_own_thread(const struct place *p)
{
	(void)p;
	return pthread_kill(pthread_self(), 0);
}

static int execute(const struct place *p)
{
	char *const argv[] = { NULL };

	(void)p;
	return outcome(syscall(SYS_execve, "/bin/true", argv, argv));
}

static int trace(const struct place *p)
{
	(void)p;
	return outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int mount_something(const struct place *p)
{
	(void)p;
	return outcome(mount("none", "/tmp", "tmpfs", 0, NULL));
}

static int serve(const struct place *p)
{
	(void)p;
	return outcome(listen(0, 1));
}

/* clang-format off */
#define DIES 1000
static const struct sin {
	const char *what;
	int (*commit)(const struct place *p);
	int result; /* 0, errno, or DIES */
	bool by_landlock;
	bool has_port;  /* the guest may connect to a socket of the host */
	bool by_mounts;
} sins[] = {
	{ "a file outside all shares",          open_elsewhere,       EACCES, true, true },
	{ "the same, with its name hidden",     open_elsewhere,       ENOENT, false, false, true },
	{ "the mode of a file outside",         mode_elsewhere,       ENOENT, false, false, true },
	{ "another process",                    other_process,        ENOENT, false, false, true },
	{ "the mode of a file above a share",   mode_above,           ENOENT, false, false, true },
	{ "its owner",                          owner_above,          ENOENT, false, false, true },
	{ "its times",                          time_above,           ENOENT, false, false, true },
	{ "capabilities for it",                capability_above,     ENOENT, false, false, true },
	{ "the mode of a file in a read-only share", mode_ro,         EROFS,  false, false, true },
	{ "moves within a share",               move_within,          0,      false },
	{ "a file of a writable share",         open_by_descriptor,   0,      false },
	{ "the same with a port",               open_by_descriptor,   0,      false, true },
	{ "reading a read-only share",          read_ro,              0,      false },
	{ "writing a read-only share",          write_ro,             EACCES, true },
	{ "a new file in a read-only share",    create_ro,            EACCES, true },
	{ "a new file in a writable share",     create_rw,            0,      false },
	{ "a device node in a volume",          node_rw,              EACCES, true },
	{ "a thread",                           thread,               0,      false },
	{ "a unix socket",                      unix_socket,          EPERM,  false },
	{ "connecting a unix socket",           unix_connect,         EPERM,  false },
	{ "a unix socket for a port",           unix_socket,          0,      false, true },
	{ "connecting it",                      unix_connect,         EBADF,  false, true },
	{ "a pair of sockets for a renderer",   unix_pair,            0,      false },
	{ "datagrams",                          unix_datagrams,       EPERM,  false },
	{ "an internet socket",                 inet_socket,          EPERM,  false },
	{ "a vsock socket",                     vsock_socket,         EPERM,  false },
	{ "typing into a terminal",             tty_ioctl,            EPERM,  false },
	{ "a user namespace",                   namespaces,           EPERM,  false },
	{ "a process",                          process,              EPERM,  false },
	{ "a signal to another process",        signal_others,        EPERM,  false },
	{ "a signal to its threads",            signal_other_threads, EPERM,  false },
	{ "a signal by the kernel's hand",      signal_by_owner,      EPERM,  false },
	{ "a signal to a thread of ours",       signal_own_thread,    0,      false },
	{ "a program",                          execute,              DIES,   false },
	{ "tracing",                            trace,                DIES,   false },
	{ "a mount",                            mount_something,      DIES,   false },
	{ "a server",                           serve,                DIES,   false },
};
/* clang-format on */

/* In a child: 200 if it could not confine itself. */
static int confess(const struct place *p, const struct sin *s)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		static struct vm_config c; /* too large for a stack */
		struct err e = { 0 };

		c = p->c;
		c.ports[0].c.kind = CTL_VSOCK_CONNECT;
		c.n_ports = s->has_port;
		sandbox_shares(&c);
		if (sandbox_early(&c, &e) < 0 || sandbox_running(&c, &e) < 0)
			_exit(200);
		_exit(s->commit(p));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? DIES : -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void what_is_not_needed_is_refused(void **state)
{
	const struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(sins); i++) {
		if (sins[i].by_landlock && !has_landlock())
			continue;
		if (sins[i].by_mounts && !has_mounts())
			continue;
		print_message("%s\n", sins[i].what);
		assert_int_equal(confess(p, &sins[i]), sins[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_needed_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
