/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement of the VM process: see sandbox.h. */
#include "vmm/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/sandbox.h"
#include "util/log.h"
#include "vmm/config.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#endif

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_ABI1                                                                                    \
	(FS_READ | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                    \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                          \
	 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |                              \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                              \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                            \
	 LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_MAKE_DEVICE (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

static uint64_t landlock_rights(int abi)
{
	uint64_t rights = FS_ABI1;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return rights;
}

static bool connects(const struct vm_config *c)
{
	for (unsigned i = 0; i < c->n_ports; i++) {
		if (c->ports[i].c.kind == CTL_VSOCK_CONNECT)
			return true;
	}
	return false;
}

/* Return: 0 or -errno, the descriptor is what it was then */
static int detach(struct vm_share *s)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	AUTO_FD fd = open_tree(s->fd, "",
			       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

	if (fd < 0)
		return -errno;
	if (s->c.is_ro &&
	    mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &read_only, sizeof(read_only)) < 0)
		return -errno;
	return dup3(fd, s->fd, O_CLOEXEC) < 0 ? -errno : 0;
}

void sandbox_shares(struct vm_config *c)
{
	/* An ordinary user may not mount, nor hide files. */
	const enum log_level level = geteuid() == 0 ? LOG_INFO : LOG_DEBUG;

	for (unsigned i = 0; i < c->n_shares && !connects(c); i++) {
		int r = detach(&c->shares[i]);

		if (r < 0)
			log_at(level, VMM, "share '%s' leads to the host's other files (%s)",
			       c->shares[i].c.name, strerror(-r));
	}
}

/*
 * Landlock says who opens, makes and removes files; it has no say in their modes, owners, times and
 * extended attributes, nor in connecting to sockets.  So where we may, paths lead nowhere at all,
 * but to the descriptors through which shares are served; and from those not up, see detach().
 */
static int hide_files(const struct vm_config *c, struct err *e)
{
	struct sandbox_view v = { 0 };

	if (connects(c)) /* to a path, which may be made later or lead anywhere */
		return 0;
	/* Not the folders of others: their "root" is the host's, and we may act as any user. */
	int r = sandbox_view_add(&v, "/proc/self", SANDBOX_READ);
	if (r == 0)
		r = sandbox_enter_root(&v);
	sandbox_view_fini(&v);
	if (r < 0) {
		log_info(VMM, "the VM process sees the host's names of files (%s)", strerror(-r));
		return 0;
	}
	return access("/proc/self/fd", F_OK) < 0
		       ? err_errno(e, "cannot confine the VM process (mount namespace)")
		       : 0;
}

static int landlock_allow(int ruleset, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
	long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);

	return r < 0 ? -errno : 0;
}

static int confine_files(const struct vm_config *c, struct err *e)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 0) {
		log_info(VMM, "this host's kernel has no Landlock; file access is confined by our "
			      "own checks only");
		return 0;
	}

	struct landlock_ruleset_attr attr = { .handled_access_fs = landlock_rights((int)abi) };
	AUTO_FD set = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (set < 0)
		return err_errno(e, "cannot confine the VM process (Landlock)");
	for (unsigned i = 0; i < c->n_shares; i++) {
		uint64_t rights = attr.handled_access_fs & ~LANDLOCK_ACCESS_FS_EXECUTE;

		if (c->shares[i].c.is_ro)
			rights = FS_READ;
		else if (!c->shares[i].c.takes_devices)
			rights &= ~(uint64_t)FS_MAKE_DEVICE;
		int r = landlock_allow(set, c->shares[i].fd, rights);
		if (r < 0)
			return err_set(e, r, "cannot confine the VM process to share '%s': %s",
				       c->shares[i].c.name, strerror(-r));
	}
	if (syscall(SYS_landlock_restrict_self, set, 0) < 0)
		return err_errno(e, "cannot confine the VM process (Landlock)");
	return 0;
}

/* What a file server of root needs to act for the guest's users, and nothing else. */
#define KEPT_CAPS                                                                                  \
	(1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER | \
	 1U << CAP_FSETID | 1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_MKNOD |                \
	 1U << CAP_SETFCAP)

static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps) < 0)
		return err_errno(e, "cannot read the capabilities of the VM process");
	caps[0].permitted &= KEPT_CAPS;
	caps[0].effective &= KEPT_CAPS;
	caps[0].inheritable = 0;
	memset(&caps[1], 0, sizeof(caps[1]));
	if (syscall(SYS_capset, &head, caps) < 0)
		return err_errno(e, "cannot drop the capabilities of the VM process");
	return 0;
}

int sandbox_early(const struct vm_config *c, struct err *e)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, "cannot confine the VM process");
	int r = hide_files(c, e);
	if (r == 0)
		r = confine_files(c, e);
	return r < 0 ? r : drop_capabilities(e);
}

/* clang-format off */
/*
 * What traces of whole machines show (every device, a network, the table of tests/fs as root and as
 * an ordinary user), and what the C library does on paths that are rare or on other machines.
 */
static const int allowed_calls[] = {
	/* memory and threads */
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mprotect), SCMP_SYS(mremap),
	SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sysinfo), SCMP_SYS(gettid),
	SCMP_SYS(getpid), SCMP_SYS(wait4), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* signals, time and chance */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime), SCMP_SYS(nanosleep), SCMP_SYS(getrandom),
	/* events and descriptors */
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll),
	SCMP_SYS(close), SCMP_SYS(dup3), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(preadv), SCMP_SYS(pwritev),
	SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(lseek),
	/* sockets that exist; new ones see below */
	SCMP_SYS(accept4), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
	SCMP_SYS(recvfrom), SCMP_SYS(shutdown),
	/* files, beneath the shares */
	SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstat),
	SCMP_SYS(fstatfs), SCMP_SYS(getdents64), SCMP_SYS(unlinkat), SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat), SCMP_SYS(symlinkat), SCMP_SYS(linkat), SCMP_SYS(renameat2),
	SCMP_SYS(readlinkat), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fchown),
	SCMP_SYS(fchownat), SCMP_SYS(utimensat), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(syncfs), SCMP_SYS(copy_file_range),
	SCMP_SYS(flock), SCMP_SYS(getxattr), SCMP_SYS(setxattr), SCMP_SYS(listxattr),
	SCMP_SYS(removexattr), SCMP_SYS(lgetxattr), SCMP_SYS(umask),
	/* acting as a user of the guest; without the capabilities they do nothing */
	SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(geteuid),
	SCMP_SYS(getegid), SCMP_SYS(getuid), SCMP_SYS(getgid), SCMP_SYS(capget), SCMP_SYS(capset),
};

/*
 * Newer ways that libraries try first; told what an older kernel tells, they take the older way.
 * clone3() has its flags in memory, where a filter cannot look.  By name: ours may be older.
 */
static const char *const unknown_calls[] = {
	"clone3", "fchmodat2", "epoll_pwait2", "futex_wait", "futex_wake", "futex_waitv", "mseal",
	"map_shadow_stack",
};

/*
 * Nothing of ours ever makes these.  Whoever does has taken the process over and wants out of it:
 * the process dies, and the host's kernel logs the call.
 */
static const char *const deadly_calls[] = {
	/* programs and other processes */
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
	"pidfd_open", "pidfd_getfd", "kcmp", "tkill", "setns",
	/* the tree of files */
	"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "mount_setattr",
	"fsopen", "fspick", "fsconfig", "fsmount", "open_by_handle_at",
	/* the network */
	"bind", "listen",
	/* the kernel */
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
	"io_uring_register", "add_key", "request_key", "keyctl", "init_module", "finit_module",
	"delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "iopl",
	"ioperm", "modify_ldt",
};
/* clang-format on */

/* Threads, but no processes or namespaces. */
static int allow_threads(scmp_filter_ctx f)
{
	const uint64_t want = CLONE_VM | CLONE_THREAD;
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				 SCMP_A0(SCMP_CMP_MASKED_EQ, want, want));

	if (r == 0) /* a thread's own umask and working directory, for the file server */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(unshare), 1,
				     SCMP_A0(SCMP_CMP_EQ, CLONE_FS));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				     SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	return r;
}

/*
 * Landlock leaves unix sockets alone, and behind those of a user's desktop, of Docker and the like
 * are servers that do whatever they are asked.
 */
static int allow_sockets(scmp_filter_ctx f, const struct vm_config *c)
{
	const uint64_t type = 0xf; /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
	/* For renderers.  A datagram socket could be used to write to any other. */
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2,
				 SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
				 SCMP_A1(SCMP_CMP_MASKED_EQ, type, SOCK_SEQPACKET));

	if (r < 0 || !connects(c))
		return r;
	/* The guest's connections to sockets that the user has named; paths cannot be filtered. */
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
			     SCMP_A1(SCMP_CMP_MASKED_EQ, type, SOCK_STREAM));
	return r == 0 ? seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0) : r;
}

/* Not F_SETOWN and F_SETSIG: by them the kernel signals other processes of this user. */
static const int allowed_fcntls[] = {
	F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,     F_GETFL,      F_SETFL,     F_GETLK,
	F_SETLK, F_SETLKW,        F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_ADD_SEALS, F_GET_SEALS,
};

/* ioctl() of KVM, and the one that asks how much there is to read; signals to our own threads. */
static int allow_narrow(scmp_filter_ctx f)
{
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, KVMIO << 8));

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed_fcntls); i++)
		r = seccomp_rule_add(
			f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint64_t)allowed_fcntls[i]));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_EQ, 0x541b /* FIONREAD */));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()));
	return r;
}

/* Calls that neither this CPU nor libseccomp knows are passed over. */
static int add_named(scmp_filter_ctx f, uint32_t action, const char *const *names, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);

		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(f, action, nr, 0);
	}
	return r;
}

static int load_filter(scmp_filter_ctx f, const struct vm_config *c)
{
	int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed_calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (r == 0)
		r = allow_threads(f);
	if (r == 0)
		r = allow_narrow(f);
	if (r == 0)
		r = allow_sockets(f, c);
	if (r == 0)
		r = add_named(f, SCMP_ACT_ERRNO(ENOSYS), unknown_calls, ARRAY_LEN(unknown_calls));
	if (r == 0)
		r = add_named(f, SCMP_ACT_KILL_PROCESS, deadly_calls, ARRAY_LEN(deadly_calls));
	return r == 0 ? seccomp_load(f) : r;
}

int sandbox_running(const struct vm_config *c, struct err *e)
{
	/* What is neither needed nor a sign of attack is refused: a library may only be trying. */
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = f ? load_filter(f, c) : -ENOMEM;

	seccomp_release(f);
	return r < 0 ? err_set(e, r, "cannot confine the VM process (seccomp): %s", strerror(-r))
		     : 0;
}
