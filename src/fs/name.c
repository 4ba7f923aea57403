// SPDX-License-Identifier: Apache-2.0
/* Operations on names: looking up, making, linking, moving and removing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "fs/fs_internal.h"

/**
 * name_openat() - open one component beneath a folder; links are refused
 *
 * Return: descriptor that the caller owns, or -errno
 */
int name_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	/* syscall: openat2 */
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static struct fs_inode *synth_child(struct fs_inode *dir, const char *name)
{
	for (struct fs_inode *i = dir->synth->child; i; i = i->synth->sibling)
		if (strcmp(i->synth->name, name) == 0)
			return i;
	return NULL;
}

/**
 * name_lookup() - find @name in a folder of the host
 * @dirfd:	@dir's descriptor
 * @out:	counted, and with one more reference of the guest
 *
 * Return: 0; -EACCES for what a share must not show; or -errno
 */
int name_lookup(struct fs *fs, struct fs_inode *dir, int dirfd, const char *name,
		struct fs_stat *st, struct fs_inode **out)
{
	int r = stat_at(fs, dirfd, name, st);

	if (r < 0)
		return r;
	if (st->host_dev != dir->dev && stat_is_forbidden_mount(dirfd, name))
		return -EACCES;
	return inode_learn(fs, dir->share, st, dir, name, NULL, out);
}

int op_lookup(struct fs_call *c)
{
	char name[NAME_MAX + 1];
	struct fs_stat st;
	int r = call_name(c, name);

	if (r < 0)
		return r;
	if (c->inode->kind == FS_SYNTH_FILE || (c->share && !S_ISDIR(c->inode->type)))
		return -ENOTDIR;
	if (c->inode->kind == FS_SYNTH_DIR) {
		struct fs_inode *i = synth_child(c->inode, name);

		if (!i)
			return -ENOENT;
		if (i->kind != FS_HOST)
			stat_synth(i, &st);
		else
			r = stat_at(c->fs, i->fd, "", &st);
		return r < 0 ? r : call_reply_entry(c, i, &st);
	}

	AUTO_PIN dir = { 0 };
	r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;

	AUTO_INODE found = { c->fs, NULL };
	r = name_lookup(c->fs, c->inode, dir.fd, name, &st, &found.inode);
	if (r == -ENOENT) {
		/* Number 0 lets the guest remember for a while that there is nothing. */
		struct fuse_entry_out none = {
			.entry_valid = FS_TTL_MS / 1000,
			.entry_valid_nsec = FS_TTL_MS % 1000 * 1000000u,
		};
		return call_reply(c, &none, sizeof(none));
	}
	if (r < 0)
		return r;
	r = call_reply_entry(c, found.inode, &st);
	if (r < 0)
		inode_forget(c->fs, found.inode->nodeid, 1);
	return r;
}

/**
 * name_inherit() - group and mode of a new object where the host does not see to it
 * @mode:	with type, before the umask
 *
 * Return: 0 or -errno
 */
int name_inherit(struct fs_call *c, int dirfd, uint32_t mode, uint32_t *gid, uint32_t *out_mode)
{
	struct fs_stat dir;
	int r = stat_at(c->fs, dirfd, "", &dir);

	if (r < 0)
		return r;
	*gid = c->hdr.gid;
	if (dir.mode & S_ISGID) {
		*gid = dir.gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
	}
	*out_mode = mode;
	return 0;
}

/*
 * Tries @make once more after making the folder accessible to us, if it is ours and that was what
 * was missing.
 */
static bool is_worth_retry(struct fs_call *c, int dirfd, int r)
{
	return r == -EACCES && c->fs->as_user && owner_unlock(c->fs, dirfd) == 0;
}

/**
 * name_created() - give a new object its owner, if the host could not, and learn it
 * @st:		out: its attributes
 * @out:	counted, with a reference of the guest
 */
int name_created(struct fs_call *c, int dirfd, const char *name, struct fs_stat *st,
		 struct fs_inode **out)
{
	int r = stat_at(c->fs, dirfd, name, st);

	return r < 0 ? r : inode_learn(c->fs, c->inode->share, st, c->inode, name, NULL, out);
}

static int reply_created(struct fs_call *c, int dirfd, const char *name)
{
	AUTO_INODE made = { c->fs, NULL };
	struct fs_stat st;
	int r = name_created(c, dirfd, name, &st, &made.inode);

	return r < 0 ? r : call_reply_entry(c, made.inode, &st);
}

/* Records owner, mode and device number of what was just made, as an ordinary user. */
static int record(struct fs_call *c, int dirfd, const char *name, uint32_t gid, uint32_t mode,
		  uint32_t rdev)
{
	AUTO_FD fd = name_openat(dirfd, name, O_PATH, 0);
	struct fs_stat st;

	if (fd < 0)
		return fd;
	int r = stat_at(c->fs, fd, "", &st);
	if (r < 0)
		return r;
	return owner_store(c->fs, fd, &st, c->hdr.uid, gid, mode, (rdev & 0xfff00) >> 8,
			   (rdev & 0xff) | (rdev >> 12 & 0xfff00));
}

static int make_node(struct fs_call *c, int dirfd, const char *name, uint32_t mode, uint32_t rdev,
		     uint32_t umask_bits)
{
	AUTO_CREDS cr;
	int r = creds_take(c, umask_bits, &cr);

	if (r < 0)
		return r;
	/* The mode that owner_store() will want, so that it has nothing to change in most cases. */
	if (c->fs->as_user && S_ISDIR(mode))
		mode = S_IFDIR | 0700 | (mode & ~umask_bits & 0777);
	else if (c->fs->as_user)
		mode = S_IFREG | 0600 | (S_ISREG(mode) ? mode & ~umask_bits & 0777 : 0);
	if (S_ISDIR(mode)) {
		/* syscall: mkdirat */
		r = mkdirat(dirfd, name, mode & 07777);
	} else {
		dev_t dev = makedev((rdev & 0xfff00) >> 8, (rdev & 0xff) | (rdev >> 12 & 0xfff00));
		/* syscall: mknodat */
		r = mknodat(dirfd, name, mode, S_ISCHR(mode) || S_ISBLK(mode) ? dev : 0);
	}
	return r < 0 ? -errno : 0;
}

static int make(struct fs_call *c, uint32_t mode, uint32_t rdev, uint32_t umask_bits)
{
	char name[NAME_MAX + 1];
	int r = call_name(c, name);

	if (r < 0)
		return r;

	AUTO_PIN dir = { 0 };
	r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;
	r = make_node(c, dir.fd, name, mode, rdev, umask_bits);
	if (is_worth_retry(c, dir.fd, r))
		r = make_node(c, dir.fd, name, mode, rdev, umask_bits);
	if (r < 0)
		return r;
	if (c->fs->as_user) {
		uint32_t gid;

		r = name_inherit(c, dir.fd, mode & ~(umask_bits & 0777), &gid, &mode);
		if (r == 0)
			r = record(c, dir.fd, name, gid, mode, rdev);
		if (r < 0) {
			/* syscall: unlinkat */
			(void)unlinkat(dir.fd, name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
			return r;
		}
	}
	return reply_created(c, dir.fd, name);
}

int op_mknod(struct fs_call *c)
{
	uint32_t mode = c->arg.mknod.mode;

	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFCHR:
	case S_IFBLK:
		if (c->share->refuses_devices)
			return -EPERM;
		break;
	default:
		return -EINVAL;
	}
	return make(c, mode & (S_IFMT | 07777), c->arg.mknod.rdev, c->arg.mknod.umask);
}

int op_mkdir(struct fs_call *c)
{
	return make(c, S_IFDIR | (c->arg.mkdir.mode & 07777), 0, c->arg.mkdir.umask);
}

int op_symlink(struct fs_call *c)
{
	char name[NAME_MAX + 1];
	char *target = (char *)c->t->scratch;
	int r = call_name(c, name);

	if (r == 0)
		r = call_string(c, target, PATH_MAX - 1);
	if (r < 0)
		return r;

	AUTO_PIN dir = { 0 };
	r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;
	{
		AUTO_CREDS cr;
		r = creds_take(c, 0, &cr);
		if (r < 0)
			return r;
		/* syscall: symlinkat */
		r = symlinkat(target, dir.fd, name) < 0 ? -errno : 0;
		if (is_worth_retry(c, dir.fd, r))
			r = symlinkat(target, dir.fd, name) < 0 ? -errno : 0;
	}
	return r < 0 ? r : reply_created(c, dir.fd, name);
}

int op_readlink(struct fs_call *c)
{
	AUTO_PIN pin = { 0 };
	char *target = (char *)c->t->scratch;

	if (!S_ISLNK(c->inode->type))
		return -EINVAL;
	int r = inode_pin(c->fs, c->inode, &pin);
	if (r < 0)
		return r;
	/* syscall: readlinkat */
	ssize_t n = readlinkat(pin.fd, "", target, PATH_MAX);
	if (n < 0)
		return -errno;
	return call_reply(c, target, (size_t)n);
}

/* Another inode of the request, which must lie in the same share. */
static int second(struct fs_call *c, uint64_t nodeid, struct inode_ref *ref)
{
	*ref = (struct inode_ref){ c->fs, inode_get(c->fs, nodeid) };
	if (!ref->inode)
		return -ESTALE;
	if (ref->inode->kind != FS_HOST)
		return -EROFS;
	return ref->inode->share == c->inode->share ? 0 : -EXDEV;
}

int op_link(struct fs_call *c)
{
	char name[NAME_MAX + 1];
	AUTO_INODE old = { 0 };
	AUTO_PIN dir = { 0 };
	AUTO_PIN pin = { 0 };
	int r = call_name(c, name);

	if (r < 0)
		return r;
	r = second(c, c->arg.link.oldnodeid, &old);
	if (r < 0)
		return r;
	if (S_ISDIR(old.inode->type))
		return -EPERM;
	r = inode_pin(c->fs, old.inode, &pin);
	if (r == 0)
		r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;

	/* An ordinary user may link a descriptor's object only this way (see openat(2), O_TMPFILE).
	 */
	struct proc_path p = proc_path(pin.fd, NULL);
	/* syscall: linkat */
	r = linkat(AT_FDCWD, p.s, dir.fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	if (is_worth_retry(c, dir.fd, r))
		r = linkat(AT_FDCWD, p.s, dir.fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	return reply_created(c, dir.fd, name);
}

/*
 * What @name means, if the guest knows it, with its descriptor kept: once the name is gone, the
 * inode can be reached through that alone.
 */
static void hold_victim(struct fs_call *c, struct fs_inode *dir, int dirfd, const char *name,
			struct inode_ref *ref, struct pin *pin)
{
	struct fs_stat st;

	*ref = (struct inode_ref){ c->fs, NULL };
	if (stat_at(c->fs, dirfd, name, &st) < 0)
		return;
	ref->inode = inode_find(c->fs, dir->share, &st);
	if (ref->inode && inode_pin(c->fs, ref->inode, pin) < 0)
		pin->inode = NULL;
}

static int remove_name(struct fs_call *c, int flags)
{
	char name[NAME_MAX + 1];
	AUTO_PIN dir = { 0 };
	int r = call_name(c, name);

	if (r < 0)
		return r;
	r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;

	AUTO_INODE victim = { 0 };
	AUTO_PIN kept = { 0 };
	hold_victim(c, c->inode, dir.fd, name, &victim, &kept);
	/* syscall: unlinkat */
	r = unlinkat(dir.fd, name, flags) < 0 ? -errno : 0;
	if (is_worth_retry(c, dir.fd, r))
		r = unlinkat(dir.fd, name, flags) < 0 ? -errno : 0;
	if (r == 0 && victim.inode)
		inode_unnamed(c->fs, victim.inode, c->inode, name);
	return r;
}

int op_unlink(struct fs_call *c)
{
	return remove_name(c, 0);
}

int op_rmdir(struct fs_call *c)
{
	return remove_name(c, AT_REMOVEDIR);
}

static int do_rename(int from, const char *old, int to, const char *new, uint32_t flags)
{
	/* syscall: renameat2 */
	return syscall(SYS_renameat2, from, old, to, new, flags) < 0 ? -errno : 0;
}

static int move(struct fs_call *c, uint64_t newdir, uint32_t flags)
{
	char old[NAME_MAX + 1], new[NAME_MAX + 1];
	AUTO_INODE to_dir = { 0 }, moved = { 0 }, victim = { 0 };
	AUTO_PIN from = { 0 };
	AUTO_PIN to = { 0 };
	AUTO_PIN kept_moved = { 0 };
	AUTO_PIN kept_victim = { 0 };
	int r = call_name(c, old);

	if (r == 0)
		r = call_name(c, new);
	if (r < 0)
		return r;
	r = second(c, newdir, &to_dir);
	if (r < 0)
		return r;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	/* A whiteout is a device node, and one that an ordinary user's record cannot stand for. */
	if (flags & RENAME_WHITEOUT && (c->share->refuses_devices || c->fs->as_user))
		return -EINVAL;
	r = inode_pin(c->fs, c->inode, &from);
	if (r == 0)
		r = inode_pin(c->fs, to_dir.inode, &to);
	if (r < 0)
		return r;

	hold_victim(c, c->inode, from.fd, old, &moved, &kept_moved);
	hold_victim(c, to_dir.inode, to.fd, new, &victim, &kept_victim);
	r = do_rename(from.fd, old, to.fd, new, flags);
	if (r == -EACCES && c->fs->as_user) {
		/* Moving a folder to another parent also needs write permission to itself. */
		bool has_changed = owner_unlock(c->fs, from.fd) == 0;
		has_changed |= owner_unlock(c->fs, to.fd) == 0;
		if (kept_moved.inode)
			has_changed |= owner_unlock(c->fs, kept_moved.fd) == 0;
		if (has_changed)
			r = do_rename(from.fd, old, to.fd, new, flags);
	}
	if (r < 0)
		return r;

	/* Two names of one file: rename() does nothing (POSIX). */
	if (moved.inode && moved.inode == victim.inode)
		return 0;
	if (victim.inode && flags & RENAME_EXCHANGE)
		inode_moved(c->fs, victim.inode, c->inode, old);
	else if (victim.inode)
		inode_unnamed(c->fs, victim.inode, to_dir.inode, new);
	if (moved.inode)
		inode_moved(c->fs, moved.inode, to_dir.inode, new);
	return 0;
}

int op_rename(struct fs_call *c)
{
	return move(c, c->arg.rename.newdir, 0);
}

int op_rename2(struct fs_call *c)
{
	return move(c, c->arg.rename2.newdir, c->arg.rename2.flags);
}
