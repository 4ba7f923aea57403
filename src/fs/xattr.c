// SPDX-License-Identifier: Apache-2.0
/*
 * Extended attributes.  Names that the host's kernel acts upon are kept from a guest: trusted.* and
 * security.* go under a prefix of ours among the user.* ones, where they mean nothing to the host.
 * Exceptions, as root only, are those that a container's files need and that act on the file alone:
 * security.capability and POSIX ACLs.
 */
#include <errno.h>
#include <sys/xattr.h>

#include "fs/fs_internal.h"

#define XATTR_MAPPED OWNER_XATTR_PREFIX "x."

struct xname {
	char s[sizeof(XATTR_MAPPED) + NAME_MAX + 1];
};

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static bool is_direct(const struct fs *fs, const char *name)
{
	if (has_prefix(name, "user."))
		return !has_prefix(name, OWNER_XATTR_PREFIX);
	return !fs->as_user && (is_acl(name) || strcmp(name, "security.capability") == 0);
}

static bool is_mapped(const char *name)
{
	return has_prefix(name, "security.") || has_prefix(name, "trusted.");
}

void xattr_kill_caps(struct fs *fs, int fd)
{
	if (!fs->as_user)
		return;

	struct proc_path p = proc_path(fd, NULL);
	/* syscall: removexattr */
	(void)removexattr(p.s, XATTR_MAPPED "security.capability");
}

/* The host's name for a guest's.  Return: 0, -EPERM for our own, -EOPNOTSUPP, -ERANGE if too long
 */
static int map_name(struct fs_call *c, struct xname *out)
{
	char name[NAME_MAX + 1];
	int r = call_string(c, name, NAME_MAX);

	if (r < 0)
		return r == -ENAMETOOLONG ? -ERANGE : r;
	bool direct = is_direct(c->fs, name);
	if (!direct && has_prefix(name, OWNER_XATTR_PREFIX))
		return -EPERM;
	if (!direct && !is_mapped(name))
		return -EOPNOTSUPP;
	int n = snprintf(out->s, sizeof(out->s), "%s%s", direct ? "" : XATTR_MAPPED, name);
	return n > NAME_MAX ? -ERANGE : 0;
}

/* Answers with a value or a list, or with its size if the guest asks for that. */
static int reply_bytes(struct fs_call *c, const void *p, size_t len)
{
	struct fuse_getxattr_out out = { .size = (uint32_t)len };

	if (c->arg.getxattr.size == 0)
		return call_reply(c, &out, sizeof(out));
	if (len > c->arg.getxattr.size)
		return -ERANGE;
	return call_reply(c, p, len);
}

int op_getxattr(struct fs_call *c)
{
	struct xname name;
	AUTO_PIN pin = { 0 };

	if (!c->share)
		return -ENODATA;
	int r = map_name(c, &name);
	if (r < 0)
		return r == -EPERM ? -ENODATA : r;
	r = inode_pin(c->fs, c->inode, &pin);
	if (r < 0)
		return r;

	struct proc_path p = proc_path(pin.fd, NULL);
	/* syscall: getxattr */
	ssize_t n = getxattr(p.s, name.s, c->t->scratch, FS_XATTR_MAX);
	return n < 0 ? -errno : reply_bytes(c, c->t->scratch, (size_t)n);
}

int op_setxattr(struct fs_call *c)
{
	struct fuse_setxattr_in a = { 0 };
	size_t arg_len = c->fs->has_setxattr_ext ? sizeof(a) : FUSE_COMPAT_SETXATTR_IN_SIZE;
	struct xname name;
	AUTO_PIN pin = { 0 };

	if (cur_read(&c->in, &a, arg_len) < 0)
		return -EINVAL;
	int r = map_name(c, &name);
	if (r < 0)
		return r;
	if (a.size > FS_XATTR_MAX)
		return -E2BIG;
	if (a.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (cur_read(&c->in, c->t->scratch, a.size) < 0)
		return -EINVAL;
	r = inode_pin(c->fs, c->inode, &pin);
	if (r < 0)
		return r;

	bool kills_sgid = a.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	struct proc_path p = proc_path(pin.fd, NULL);
	if (kills_sgid)
		creds_drop_fsetid(c->fs);
	/* syscall: setxattr */
	r = setxattr(p.s, name.s, c->t->scratch, a.size, (int)a.flags) < 0 ? -errno : 0;
	if (kills_sgid)
		creds_restore_fsetid(c->fs);
	return r;
}

int op_removexattr(struct fs_call *c)
{
	struct xname name;
	AUTO_PIN pin = { 0 };
	int r = map_name(c, &name);

	if (r < 0)
		return r;
	r = inode_pin(c->fs, c->inode, &pin);
	if (r < 0)
		return r;

	struct proc_path p = proc_path(pin.fd, NULL);
	/* syscall: removexattr */
	return removexattr(p.s, name.s) < 0 ? -errno : 0;
}

/* Leaves in @list what the guest may know, under the guest's names.  Return: bytes left */
static size_t filter(const struct fs *fs, char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0; at < len;) {
		char *name = list + at;
		size_t n = strnlen(name, len - at) + 1;

		at += n;
		if (has_prefix(name, XATTR_MAPPED)) {
			name += strlen(XATTR_MAPPED);
			n -= strlen(XATTR_MAPPED);
			if (!is_mapped(name))
				continue;
		} else if (!is_direct(fs, name)) {
			continue;
		}
		/* Names only get shorter and move to the front. */
		memmove(list + kept, name, n);
		kept += n;
	}
	return kept;
}

int op_listxattr(struct fs_call *c)
{
	char *list = (char *)c->t->scratch;
	AUTO_PIN pin = { 0 };

	if (!c->share)
		return reply_bytes(c, "", 0);
	int r = inode_pin(c->fs, c->inode, &pin);
	if (r < 0)
		return r;

	struct proc_path p = proc_path(pin.fd, NULL);
	/* syscall: listxattr */
	ssize_t n = listxattr(p.s, list, FS_XATTR_MAX);
	return n < 0 ? -errno : reply_bytes(c, list, filter(c->fs, list, (size_t)n));
}
