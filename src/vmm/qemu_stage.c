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

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/proc.h"
#include "host/sandbox.h"
#include "util/log.h"

/* clang-format off */
static const int denied_calls[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kill),
	SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(setns),
	SCMP_SYS(unshare), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(move_mount),
	SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(open_by_handle_at),
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
	SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
	SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
	SCMP_SYS(listen), SCMP_SYS(bind),
};
/* clang-format on */

static int deny(scmp_filter_ctx f)
{
	int r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
				 SCMP_A0(SCMP_CMP_NE, AF_UNIX));

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(denied_calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), denied_calls[i], 0);
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
