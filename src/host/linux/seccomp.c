/* SPDX-License-Identifier: Apache-2.0 */
/* System call filter by libseccomp: see sandbox.h. */
#include <errno.h>
#include <seccomp.h>

#include "host/sandbox.h"

/* Refused in plain words: whoever tries these wants out. */
static const char *const forbidden[] = {
	"accept",
	"accept4",
	"bind",
	"bpf",
	"chmod", /* these two are asked for by libraries, too, which can do without */
	"chroot",
	"connect",
	"execve",
	"execveat",
	"fchmod",
	"fork",
	"fsopen",
	"fsmount",
	"io_uring_setup",
	"kexec_load",
	"keyctl",
	"listen",
	"mknod",
	"mknodat",
	"mount",
	"move_mount",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"pidfd_getfd",
	"pivot_root",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"setns",
	"socket",
	"umount2",
	"unshare",
	"userfaultfd",
	"vfork",
};

static void release(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

/* Return: 0 or -errno; a call that this CPU or libseccomp does not know is no error */
static int add(scmp_filter_ctx f, uint32_t action, const char *name,
	       const struct sandbox_rule *rule)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr == __NR_SCMP_ERROR)
		return 0;
	if (!rule)
		return seccomp_rule_add(f, action, nr, 0);

	const struct scmp_arg_cmp cmp[] = {
		{ .arg = rule->arg,
		  .op = SCMP_CMP_MASKED_EQ,
		  .datum_a = rule->mask,
		  .datum_b = rule->value },
		{ .arg = rule->arg2,
		  .op = SCMP_CMP_MASKED_EQ,
		  .datum_a = rule->mask2,
		  .datum_b = rule->value2 },
	};
	return seccomp_rule_add_array(f, action, nr, rule->mask2 ? 2 : 1, cmp);
}

int sandbox_syscalls(const char *const *allowed, const struct sandbox_rule *rules, size_t count,
		     struct err *e)
{
	CLEANUP(release) scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));

	if (!f)
		return err_set(e, -ENOMEM, "no memory for the system call filter");

	int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; r == 0 && allowed[i]; i++)
		r = add(f, SCMP_ACT_ALLOW, allowed[i], NULL);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add(f, SCMP_ACT_ALLOW, rules[i].call, &rules[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(forbidden); i++)
		r = add(f, SCMP_ACT_ERRNO(EPERM), forbidden[i], NULL);
	if (r == 0)
		r = seccomp_load(f);
	if (r < 0)
		return err_set(e, r,
			       "cannot install the system call filter: %s; does the kernel have "
			       "seccomp?",
			       strerror(-r));
	return 0;
}
