/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of confinement: each runs in a child that goes through the three stages, with the tables of
 * the real renderer, and then tries to get out.
 */
#include "vtest/confine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/attempt.h"
#include "host/fd.h"

static char cache[] = "/tmp/pecten-confine-XXXXXX";
static char secret[sizeof(cache) + 16]; /* belongs to the renderer's user */
static pid_t outsider;
static int sockets[2]; /* a pair from before confinement */

static int try_open(const char *path, int flags)
{
	return attempt_fd(open(path, flags | O_CLOEXEC, 0600));
}

static int open_shadow(void)
{
	return try_open("/etc/shadow", O_RDONLY);
}

static int open_passwd(void)
{
	return try_open("/etc/passwd", O_RDONLY);
}

static int open_neighbour(void)
{
	return try_open(secret, O_RDONLY);
}

static int change_mode(void)
{
	return result(chmod(secret, 0666));
}

static int change_own_mode(void)
{
	AUTO_FD fd = memfd_create("test", MFD_CLOEXEC);

	return fd < 0 ? 0 : result(fchmod(fd, 0600));
}

static const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

static int change_times(void)
{
	return result(utimensat(AT_FDCWD, secret, long_ago, 0));
}

/* Half of this pointer is that of no path at all. */
static int change_times_by_half(void)
{
	char *at = mmap((void *)(UINT64_C(1) << 46), 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (at == MAP_FAILED)
		return -errno; /* not to be tried on this machine */
	memcpy(at, secret, sizeof(secret));
	int r = result(utimensat(AT_FDCWD, at, long_ago, 0));
	(void)munmap(at, 4096);
	return r;
}

static int open_by_dots(void)
{
	char path[sizeof(cache) + 64];

	(void)snprintf(path, sizeof(path), "%s/../../etc/passwd", cache);
	return try_open(path, O_RDONLY);
}

static int open_through_proc(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/root/etc/passwd", (int)outsider);
	return try_open(path, O_RDONLY);
}

static int open_others_environment(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)outsider);
	return try_open(path, O_RDONLY);
}

static int open_memory_of_others(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)outsider);
	return try_open(path, O_RDWR);
}

static int write_library(void)
{
	return try_open("/usr/lib/pecten-confine-test", O_RDWR | O_CREAT);
}

static int write_root(void)
{
	return try_open("/pecten-confine-test", O_RDWR | O_CREAT);
}

static int open_kvm(void)
{
	return try_open("/dev/kvm", O_RDWR);
}

static int open_disk(void)
{
	int r = try_open("/dev/vda", O_RDONLY);

	return r == 0 ? 0 : try_open("/dev/sda", O_RDONLY);
}

static int run_shell(void)
{
	char *const argv[] = { "/bin/true", NULL };

	return result(execv("/bin/true", argv));
}

static int run_from_memory(void)
{
	char *const argv[] = { "true", NULL };
	AUTO_FD fd = open("/bin/true", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH));
}

static int fork_child(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int clone_child(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int new_user_namespace(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int make_inet_socket(void)
{
	return attempt_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int connect_somewhere(void)
{
	const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

	return result(connect(sockets[0], (const struct sockaddr *)&to, sizeof(to)));
}

static int make_pair(int type)
{
	int made[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, made) < 0)
		return -errno;
	(void)close(made[0]);
	(void)close(made[1]);
	/* Where that driver is, its sockets are let pass. */
	return access("/dev/nvidiactl", F_OK) == 0 ? -EPERM : 0;
}

/* A datagram goes where it is told to, without a connection: having such a socket is enough. */
static int send_somewhere(void)
{
	return make_pair(SOCK_DGRAM);
}

/* Descriptors on their way count against the user, not against this process. */
static int hoard_descriptors(void)
{
	return make_pair(SOCK_SEQPACKET) == 0 ? 0 : make_pair(SOCK_STREAM);
}

static int mount_something(void)
{
	return result(mount("none", "/proc", "tmpfs", 0, NULL));
}

static int trace_outsider(void)
{
	return result(ptrace(PTRACE_SEIZE, outsider, NULL, NULL));
}

static int signal_outsider(void)
{
	return result(kill(outsider, SIGUSR1));
}

static int signal_outsider_thread(void)
{
	return result(syscall(SYS_tgkill, outsider, outsider, SIGUSR1));
}

/* The kernel would send it when the pipe gets readable. */
static int signal_outsider_by_owner(void)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return 0; /* that is meant to work */
	int r = result(fcntl(p[0], F_SETOWN, outsider));
	if (r < 0)
		r = result(fcntl(p[0], F_SETSIG, SIGKILL)) == 0 ? 0 : r;
	(void)close(p[0]);
	(void)close(p[1]);
	return r;
}

static int slow_down_outsider(void)
{
	return result(setpriority(PRIO_PROCESS, (id_t)outsider, 19));
}

static int slow_down_all_of_the_user(void)
{
	int r = result(setpriority(PRIO_USER, 0, 0)); /* leaves those alone that are slower */

	return r == -EACCES || r == -EPERM ? 0 : r;
}

static int leave_root(void)
{
	return result(chroot("/usr"));
}

static int make_device(void)
{
	char path[sizeof(cache) + 16];

	(void)snprintf(path, sizeof(path), "%s/null", cache);
	return result(mknod(path, S_IFCHR | 0600, 0));
}

static int make_link(void)
{
	char path[sizeof(cache) + 16];

	(void)snprintf(path, sizeof(path), "%s/link", cache);
	return result(symlink("/etc/passwd", path));
}

static int type_into_terminal(void)
{
	char c = 'x';
	int r = result(ioctl(STDERR_FILENO, TIOCSTI, &c));

	return r == -ENOTTY ? 0 : r; /* the filter answers before the kernel looks at the file */
}

static int turn_console_to_graphics(void)
{
	int r = result(ioctl(STDERR_FILENO, KDSETMODE, KD_GRAPHICS));

	return r == -ENOTTY ? 0 : r;
}

static int become_dumpable(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int use_uring(void)
{
	return result(syscall(SYS_io_uring_setup, 4, NULL)) == -EFAULT ? 0 : -errno;
}

static int watch_kernel(void)
{
	return result(syscall(SYS_bpf, 0, NULL, 0)) == -EFAULT ? 0 : -errno;
}

/* More than is left to a renderer; nothing of it gets memory. */
/* Bytes that no renderer gets on this machine. */
static size_t too_much(void)
{
	return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) + ((size_t)1 << 36);
}

static int take_all_memory(void)
{
	const size_t size = too_much();
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	(void)munmap(at, size);
	return 0;
}

static int raise_limit(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	return result(setrlimit(RLIMIT_DATA, &none));
}

static int outlive_others(void)
{
	AUTO_FD fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(write(fd, "0", 1));
}

/* What drivers do. */
static int reserve_addresses(void)
{
	const size_t size = too_much();
	void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	(void)munmap(at, size);
	return 0;
}

/* The kernel ends it before others. */
static int come_first(void)
{
	AUTO_FD fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	char text[16] = { 0 };

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -errno;
	return strtol(text, NULL, 10) >= 500 ? 0 : -ERANGE;
}

static int touch_descriptor(void)
{
	AUTO_FD fd = memfd_create("test", MFD_CLOEXEC);

	return fd < 0 ? -errno : result(futimens(fd, long_ago));
}

static int write_cache(void)
{
	char a[sizeof(cache) + 32];
	char b[sizeof(cache) + 32];

	(void)snprintf(a, sizeof(a), "%s/sub", cache);
	if (mkdir(a, 0700) < 0)
		return -errno;
	(void)snprintf(a, sizeof(a), "%s/sub/file.tmp", cache);
	(void)snprintf(b, sizeof(b), "%s/sub/file", cache);
	int r = try_open(a, O_RDWR | O_CREAT | O_EXCL);
	if (r == 0)
		r = result(rename(a, b));
	if (r == 0)
		r = result(truncate(b, 0) < 0 && errno != ENOSYS ? -1 : 0);
	if (r == 0)
		r = result(unlink(b));
	(void)snprintf(a, sizeof(a), "%s/sub", cache);
	return r == 0 ? result(rmdir(a)) : r;
}

static int generate_code(void)
{
	static const unsigned char ret[] = { 0xc3 };
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	memcpy(at, ret, sizeof(ret));
	int r = result(mprotect(at, 4096, PROT_READ | PROT_EXEC));
	(void)munmap(at, 4096);
	return r;
}

static int map_library(void)
{
	AUTO_FD fd = open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	(void)munmap(at, 4096);
	return 0;
}

static int share_memory(void)
{
	AUTO_FD fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : result(ftruncate(fd, 4096));
}

static int read_cpus(void)
{
	int r = try_open("/proc/cpuinfo", O_RDONLY);

	return r < 0 ? r : try_open("/sys/devices/system/cpu/online", O_RDONLY);
}

static int read_own_maps(void)
{
	return try_open("/proc/self/maps", O_RDONLY);
}

static int name_own_program(void)
{
	char link[32];
	char path[1024];

	(void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)getpid());
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return strstr(path, "confine") ? 0 : -ENOENT;
}

static int slow_down_own_thread(void)
{
	return result(setpriority(PRIO_PROCESS, 0, 19)); /* slower than whoever runs this */
}

/* The filter must let it through; only a GPU's node understands it. */
static int compute_on_amd(void)
{
	uint32_t version[2];
	int r = result(ioctl(STDERR_FILENO, _IOR('K', 1, uint32_t[2]), version));

	return r == -ENOTTY || r == -EINVAL ? 0 : r;
}

static int lock_file(void)
{
	AUTO_FD fd = memfd_create("test", MFD_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fd < 0 ? -errno : result(fcntl(fd, F_SETLK, &lock));
}

static int pass_descriptor(void)
{
	char byte = 0;

	return fd_send(sockets[0], &byte, 1, &sockets[0], 1);
}

/* clang-format off */
static const struct attempt attempts[] = {
	{ "/etc/shadow cannot be opened",            open_shadow,             false },
	{ "/etc/passwd cannot be opened",            open_passwd,             false },
	{ "a file beside the cache cannot be opened", open_neighbour,         false },
	{ "nor its mode be changed",                 change_mode,             false },
	{ "nor that of anything else",               change_own_mode,         false },
	{ "nor its times",                           change_times,            false },
	{ "nor by half a pointer",                   change_times_by_half,    false },
	{ "dots do not lead out of the cache",       open_by_dots,            false },
	{ "another process is no way out",           open_through_proc,       false },
	{ "another's environment cannot be read",    open_others_environment, false },
	{ "another's memory cannot be opened",       open_memory_of_others,   false },
	{ "libraries cannot be written",             write_library,           false },
	{ "the root cannot be written",              write_root,              false },
	{ "/dev/kvm cannot be opened",               open_kvm,                false },
	{ "a disk cannot be opened",                 open_disk,               false },
	{ "a program cannot be executed",            run_shell,               false },
	{ "nor by descriptor",                       run_from_memory,         false },
	{ "there is no fork",                        fork_child,              false },
	{ "nor clone of a process",                  clone_child,             false },
	{ "there are no namespaces",                 new_user_namespace,      false },
	{ "there are no unix sockets",               attempt_socket,          false },
	{ "there is no network",                     make_inet_socket,        false },
	{ "nothing can be connected",                connect_somewhere,       false },
	{ "nothing can be sent",                     send_somewhere,          false },
	{ "there is no place to hoard descriptors",  hoard_descriptors,       false },
	{ "nothing can be mounted",                  mount_something,         false },
	{ "another process cannot be traced",        trace_outsider,          false },
	{ "another process cannot be signalled",     signal_outsider,         false },
	{ "nor its threads",                         signal_outsider_thread,  false },
	{ "nor by the kernel on our behalf",         signal_outsider_by_owner, false },
	{ "another process cannot be slowed down",   slow_down_outsider,      false },
	{ "nor all of the user's",                   slow_down_all_of_the_user, false },
	{ "the root cannot be changed",              leave_root,              false },
	{ "no device can be made",                   make_device,             false },
	{ "no symbolic link can be made",            make_link,               false },
	{ "nothing is typed into the terminal",      type_into_terminal,      false },
	{ "the console stays as it is",              turn_console_to_graphics, false },
	{ "tracing cannot be allowed again",         become_dumpable,         false },
	{ "there is no io_uring",                    use_uring,               false },
	{ "there is no bpf",                         watch_kernel,            false },
	{ "memory has an end",                       take_all_memory,         false },
	{ "which cannot be put off",                 raise_limit,             false },
	{ "nor can the kernel's choice be changed",  outlive_others,          false },
	{ "which falls on a renderer first",         come_first,              true },
	{ "addresses can be reserved",               reserve_addresses,       true },
	{ "the cache can be written",                write_cache,             true },
	{ "an open file's times can be set",         touch_descriptor,        true },
	{ "code can be generated",                   generate_code,           true },
	{ "libraries can be mapped",                 map_library,             true },
	{ "threads start",                           attempt_thread,          true },
	{ "memory can be shared",                    share_memory,            true },
	{ "CPUs can be counted",                     read_cpus,               true },
	{ "own mappings can be read",                read_own_maps,           true },
	{ "the own program has a name",              name_own_program,        true },
	{ "an own thread can be slowed down",        slow_down_own_thread,    true },
	{ "KFD can be spoken to",                    compute_on_amd,          true },
	{ "a file can be locked",                    lock_file,               true },
	{ "/dev/null is there",                      attempt_null_device,     true },
	{ "descriptors can be passed",               pass_descriptor,         true },
};
/* clang-format on */

/* Makes a system call fail, as on a kernel without it.  Return: 0 or -errno */
static int forbid(const char *name, int error)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f)
		return -ENOMEM;
	int r = seccomp_rule_add(f, SCMP_ACT_ERRNO((uint32_t)error),
				 seccomp_syscall_resolve_name(name), 0);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}

#define REFUSED 104 /* neither way exists, and the user is told */

/* What a system may lack. */
enum { NO_LANDLOCK = 1, NO_NAMESPACES = 2 };

/* In a child.  Return: exit status */
static int confine_and_try(uid_t uid, unsigned lacks)
{
	struct render_config cfg = { .parent = getppid(),
				     .max_memory = 1 << 30,
				     .cache_max = 1 << 20 };
	struct err e = { 0 };
	int wrong = 0;

	(void)snprintf(cfg.cache_dir, sizeof(cfg.cache_dir), "%s", cache);
	if (uid != getuid() && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		return 100;
	/* A renderer is executed by its user, and its folder in /proc is that user's. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if ((lacks & NO_LANDLOCK) && forbid("landlock_create_ruleset", ENOSYS) < 0)
		return 102;
	if ((lacks & NO_NAMESPACES) && forbid("unshare", EPERM) < 0)
		return 103;
	/* What a user set for other programs does not disable the cache that they gave us. */
	(void)setenv("MESA_SHADER_CACHE_DISABLE", "true", 1);
	if (sandbox_early(&cfg, &e) < 0 || sandbox_opened(&cfg, &e) < 0 ||
	    sandbox_running(&e) < 0) {
		print_message("# %s\n", e.text);
		(void)fflush(NULL);
		return strstr(e.text, "--no-sandbox") ? REFUSED : 101;
	}
	wrong += strcmp(getenv("MESA_SHADER_CACHE_DISABLE"), "false") != 0;
	return wrong + attempt_all(attempts, ARRAY_LEN(attempts));
}

/* Return: exit status of a child that confines itself and tries to get out */
static int try_as(uid_t uid, unsigned lacks)
{
	int status;

	if (getuid() == 0) {
		assert_int_equal(chown(cache, uid, uid), 0);
		assert_int_equal(chown(secret, uid, uid), 0);
	}
	(void)fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(confine_and_try(uid, lacks));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_confined_renderer_cannot_get_out(void **state)
{
	(void)state;
	assert_int_equal(try_as(getuid(), 0), 0);
}

static void nor_can_one_of_an_ordinary_user(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip(); /* the other test is this one */
	assert_int_equal(try_as(65534, 0), 0);
}

static void one_of_the_two_ways_is_enough(void **state)
{
	(void)state;
	assert_int_equal(try_as(getuid(), NO_NAMESPACES), 0);
	if (getuid() == 0)
		assert_int_equal(try_as(0, NO_LANDLOCK), 0);
}

static void without_either_nobody_is_served(void **state)
{
	(void)state;
	assert_int_equal(try_as(getuid(), NO_NAMESPACES | NO_LANDLOCK), REFUSED);
}

static void a_renderer_dies_with_its_parent(void **state)
{
	int status;
	int pair[2];
	char byte;

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid_t parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		pid_t child = fork();

		if (child == 0) {
			struct render_config cfg = { .parent = getppid() };
			struct err e;

			/* Confinement must not undo it. */
			if (sandbox_early(&cfg, &e) == 0 && sandbox_opened(&cfg, &e) == 0 &&
			    sandbox_running(&e) == 0 && write(pair[1], "x", 1) == 1)
				for (;;)
					(void)poll(NULL, 0, 1000);
			_exit(1);
		}
		/* Ends without a word once the child is ready. */
		_exit(child > 0 && read(pair[0], &byte, 1) == 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_int_equal(status, 0);
	(void)close(pair[1]);
	/* The child held the write end: its death is the end of the pipe. */
	struct pollfd p = { .fd = pair[0], .events = POLLIN };
	assert_int_equal(poll(&p, 1, 120000), 1); /* a busy host clears away slowly */
	assert_int_equal(read(pair[0], &byte, 1), 0);
	(void)close(pair[0]);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(cache));
	(void)snprintf(secret, sizeof(secret), "%s.secret", cache);
	AUTO_FD fd = open(secret, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	outsider = fork();
	assert_true(outsider >= 0);
	if (outsider == 0) {
		/* Readable by anybody of the same user, were it not for the sandbox. */
		if (getuid() == 0 && setresuid(65534, 65534, 65534) == 0)
			(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		(void)signal(SIGUSR1, SIG_IGN);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			(void)poll(NULL, 0, 1000);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)kill(outsider, SIGKILL);
	(void)waitpid(outsider, NULL, 0);
	(void)close(sockets[0]);
	(void)close(sockets[1]);
	(void)unlink(secret);
	(void)rmdir(cache);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_confined_renderer_cannot_get_out),
		cmocka_unit_test(nor_can_one_of_an_ordinary_user),
		cmocka_unit_test(one_of_the_two_ways_is_enough),
		cmocka_unit_test(without_either_nobody_is_served),
		cmocka_unit_test(a_renderer_dies_with_its_parent),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
