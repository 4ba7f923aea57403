/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last moments before a process becomes QEMU: see qemu.h.
 *
 * QEMU translates and runs the guest's code, so whoever breaks out of that has QEMU's rights.  Here
 * they are cut down to what it needs: files of its own to read, descriptors that it inherits,
 * threads, memory.  No network, no other processes, no capability; QEMU's own filter then forbids
 * to execute anything.
 */
#include "vmm/qemu.h"

#include <asm/ioctls.h>
#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/proc.h"
#include "host/sandbox.h"
#include "util/log.h"

/* clang-format off */
/* Names, since libseccomp may be older than some of them. */
static const char *const denied_calls[] = {
	/* other processes, and signals to them; those of pthread_kill() see below */
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
	"kcmp", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
	"pidfd_open", "pidfd_getfd", "pidfd_send_signal",
	"migrate_pages", "move_pages", "ioprio_set",
	/* the tree of files */
	"mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "fsopen", "fsmount", "move_mount",
	"open_tree", "open_tree_attr", "mount_setattr", "open_by_handle_at",
	/* what Landlock lets everybody do who may by the file's own rights */
	"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat",
	"utime", "utimes", "futimesat", "utimensat", "file_setattr",
	"setxattr", "lsetxattr", "fsetxattr", "setxattrat",
	"removexattr", "lremovexattr", "fremovexattr", "removexattrat",
	/* sockets but those it inherits: behind those of a user are servers that do what they are told */
	"socket", "connect", "listen", "bind",
	/* memory and messages that have names of their own */
	"shmget", "shmat", "msgget", "semget", "mq_open",
	/* the kernel */
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "add_key", "request_key", "keyctl",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
	"swapon",
};

/* (argument & mask) == value; the kernel looks at 32 bits only, whatever the others say. */
static const struct {
	int call;
	unsigned arg;
	uint32_t mask;
	uint32_t value;
} denied_cases[] = {
	/* a datagram goes where it is told to, without a connection */
	{ SCMP_SYS(socketpair), 1, 0xf, SOCK_DGRAM },
	/* it ends with pecten-vm */
	{ SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_PDEATHSIG },
	/* by these the kernel signals other processes of this user */
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETOWN },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETOWN_EX },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETSIG },
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, FIOSETOWN },
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, SIOCSPGRP },
	/* by these a terminal takes words for its user's */
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCSTI },
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCLINUX },
};
/* clang-format on */

static int deny(scmp_filter_ctx f)
{
	const uint32_t no = SCMP_ACT_ERRNO(EPERM);
	/* Signals to its own threads; executing QEMU does not change the number. */
	int r = seccomp_rule_add(f, no, SCMP_SYS(tgkill), 1,
				 SCMP_A0(SCMP_CMP_NE, (uint64_t)getpid()));

	if (r == 0) /* its own limits */
		r = seccomp_rule_add(f, no, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0));
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(denied_cases); i++) {
		const struct scmp_arg_cmp cmp = { .arg = denied_cases[i].arg,
						  .op = SCMP_CMP_MASKED_EQ,
						  .datum_a = denied_cases[i].mask,
						  .datum_b = denied_cases[i].value };

		r = seccomp_rule_add_array(f, no, denied_cases[i].call, 1, &cmp);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(denied_calls); i++) {
		int nr = seccomp_syscall_resolve_name(denied_calls[i]);

		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(f, no, nr, 0);
	}
	return r == 0 ? seccomp_load(f) : r;
}

static int confine_calls(struct err *e)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int r = f ? deny(f) : -ENOMEM;

	seccomp_release(f);
	return r < 0 ? err_set(e, r, "cannot confine QEMU (seccomp): %s", strerror(-r)) : 0;
}

/* "r:PATH", "x:PATH" and "d:PATH". */
static int add_path(struct sandbox_view *v, const char *word)
{
	enum sandbox_access access = *word == 'x'   ? SANDBOX_EXEC
				     : *word == 'd' ? SANDBOX_DEVICE
						    : SANDBOX_READ;

	return strlen(word) > 2 ? sandbox_view_add(v, word + 2, access) : -EINVAL;
}

static int confine(char **words, struct err *e)
{
	struct sandbox_view v = { 0 };
	int r = 0;

	for (; r == 0 && *words && strcmp(*words, "--") != 0; words++)
		r = add_path(&v, *words);
	if (r < 0)
		(void)err_set(e, r, "cannot confine QEMU: too many paths");
	if (r == 0)
		r = sandbox_privileges(e);
	if (r == 0)
		r = sandbox_enter_view(&v, e);
	if (r == -EOPNOTSUPP) {
		log_info(VMM, "this host has neither Landlock nor mount namespaces for us; QEMU is "
			      "confined by system calls only");
		r = 0;
	}
	sandbox_view_fini(&v);
	return r < 0 ? r : confine_calls(e);
}

int qemu_stage(int argc, char **argv)
{
	struct err e = { 0 };
	int at = 0;

	while (at < argc && strcmp(argv[at], "--") != 0)
		at++;
	if (argc < 1 || at + 1 >= argc) {
		(void)fprintf(stderr, "pecten-vm: --qemu is for pecten-vm itself\n");
		return 2;
	}
	if (dup2(PROC_FD_BASE, STDOUT_FILENO) < 0 || dup2(PROC_FD_BASE, STDERR_FILENO) < 0 ||
	    close(PROC_FD_BASE) < 0)
		return 2;
	if (proc_die_with_parent((pid_t)strtol(argv[0], NULL, 10)) < 0)
		return 1;
	if (confine(argv + 1, &e) == 0) {
		(void)execv(argv[at + 1], argv + at + 1);
		(void)err_errno(&e, "cannot execute '%s'", argv[at + 1]);
	}
	(void)fprintf(stderr, "%s\n", e.text);
	return 1;
}
