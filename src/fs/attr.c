// SPDX-License-Identifier: Apache-2.0
/* Operations on attributes. */
#include <errno.h>
#include <fcntl.h>
#include <sys/vfs.h>

#include "fs/fs_internal.h"

/* Attributes of the request's inode, through the handle if it names one. */
static int current(struct fs_call *c, bool has_fh, uint64_t fh, struct fs_stat *st)
{
	AUTO_PIN pin = { 0 };

	if (!c->share) {
		stat_synth(c->inode, st);
		return 0;
	}
	if (has_fh) {
		AUTO_HANDLE h = { c->fs, handle_get(c->fs, fh, c->inode, false) };

		return h.h ? stat_at(c->fs, h.h->fd, "", st) : -EBADF;
	}
	int r = inode_pin(c->fs, c->inode, &pin);
	return r < 0 ? r : stat_at(c->fs, pin.fd, "", st);
}

int op_getattr(struct fs_call *c)
{
	bool has_fh = c->arg.getattr.getattr_flags & FUSE_GETATTR_FH;
	struct fs_stat st;
	int r = current(c, has_fh, c->arg.getattr.fh, &st);

	return r < 0 ? r : call_reply_attr(c, &st);
}

int op_statx(struct fs_call *c)
{
	bool has_fh = c->arg.statx.getattr_flags & FUSE_GETATTR_FH;
	struct wire_statx_out out = {
		.attr_valid = FS_TTL_MS / 1000,
		.attr_valid_nsec = FS_TTL_MS % 1000 * 1000000u,
	};
	struct fs_stat st;
	int r = current(c, has_fh, c->arg.statx.fh, &st);

	if (r < 0)
		return r;
	stat_to_statx(&st, &out.stat);
	return call_reply(c, &out, sizeof(out));
}

static int set_owner_as_root(struct fs_call *c, int fd)
{
	const struct fuse_setattr_in *a = &c->arg.setattr;
	struct proc_path p = proc_path(fd, NULL);

	/* chown() drops set-id bits, so it comes before a mode that was asked for. */
	if (a->valid & (FATTR_UID | FATTR_GID)) {
		uid_t uid = a->valid & FATTR_UID ? a->uid : (uid_t)-1;
		gid_t gid = a->valid & FATTR_GID ? a->gid : (gid_t)-1;
		/* syscall: fchownat */
		if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	}
	/* syscall: fchmodat */
	if (a->valid & FATTR_MODE && fchmodat(AT_FDCWD, p.s, a->mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int set_owner_as_user(struct fs_call *c, int fd)
{
	const struct fuse_setattr_in *a = &c->arg.setattr;
	struct fs_stat st;
	int r = stat_at(c->fs, fd, "", &st);

	if (r < 0)
		return r;
	if (S_ISLNK(st.mode))
		return a->valid & FATTR_MODE ? -EOPNOTSUPP : 0;
	uint32_t uid = a->valid & FATTR_UID ? a->uid : st.uid;
	uint32_t gid = a->valid & FATTR_GID ? a->gid : st.gid;
	uint32_t mode = st.mode;
	if (a->valid & (FATTR_UID | FATTR_GID) && !S_ISDIR(mode))
		mode &= ~(uint32_t)(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
	if (a->valid & (FATTR_UID | FATTR_GID))
		xattr_kill_caps(c->fs, fd);
	if (a->valid & FATTR_MODE)
		mode = (mode & S_IFMT) | (a->mode & 07777);
	return owner_store(c->fs, fd, &st, uid, gid, mode, st.rdev_major, st.rdev_minor);
}

static int set_size(struct fs_call *c, int fd)
{
	const struct fuse_setattr_in *a = &c->arg.setattr;
	bool kills_setid = a->valid & FATTR_KILL_SUIDGID;
	AUTO_HANDLE h = { c->fs, NULL };
	AUTO_FD own = -1;

	if (!S_ISREG(c->inode->type))
		return S_ISDIR(c->inode->type) ? -EISDIR : -EINVAL;
	if (a->size > INT64_MAX)
		return -EFBIG;
	if (a->valid & FATTR_FH) {
		h.h = handle_get(c->fs, a->fh, c->inode, false);
		if (!h.h || !h.h->can_write)
			return -EBADF;
	} else {
		struct proc_path p = proc_path(fd, NULL);
		int how = O_WRONLY | O_CLOEXEC | O_NOCTTY | (c->in_pool ? 0 : O_NONBLOCK);
		/* syscall: openat */
		own = open(p.s, how);
		if (own < 0 && errno == EACCES && owner_unlock(c->fs, fd) == 0)
			own = open(p.s, how);
		if (own < 0)
			return errno == EWOULDBLOCK && !c->in_pool ? FS_PUNT : -errno;
	}

	if (kills_setid)
		creds_drop_fsetid(c->fs);
	/* syscall: ftruncate */
	int r = ftruncate(h.h ? h.h->fd : own, (off_t)a->size) < 0 ? -errno : 0;
	xattr_kill_caps(c->fs, fd);
	if (kills_setid) {
		creds_restore_fsetid(c->fs);
		if (r == 0)
			r = owner_kill_setid(c->fs, fd);
	}
	return r;
}

static int set_times(struct fs_call *c, int fd)
{
	const struct fuse_setattr_in *a = &c->arg.setattr;
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	struct proc_path p = proc_path(fd, NULL);

	if (a->valid & FATTR_ATIME)
		t[0] = (struct timespec){ (time_t)a->atime, (long)a->atimensec };
	if (a->valid & FATTR_ATIME_NOW)
		t[0].tv_nsec = UTIME_NOW;
	if (a->valid & FATTR_MTIME)
		t[1] = (struct timespec){ (time_t)a->mtime, (long)a->mtimensec };
	if (a->valid & FATTR_MTIME_NOW)
		t[1].tv_nsec = UTIME_NOW;
	/* syscall: utimensat */
	return utimensat(AT_FDCWD, p.s, t, 0) < 0 ? -errno : 0;
}

int op_setattr(struct fs_call *c)
{
	const uint32_t owner = FATTR_MODE | FATTR_UID | FATTR_GID;
	const uint32_t times = FATTR_ATIME | FATTR_MTIME;
	uint32_t valid = c->arg.setattr.valid;
	AUTO_PIN pin = { 0 };
	struct fs_stat st;
	int r = inode_pin(c->fs, c->inode, &pin);

	if (r < 0)
		return r;
	/* First what may have to be done elsewhere, so that nothing is done twice. */
	if (valid & FATTR_SIZE)
		r = set_size(c, pin.fd);
	if (r == 0 && valid & owner)
		r = c->fs->as_user ? set_owner_as_user(c, pin.fd) : set_owner_as_root(c, pin.fd);
	if (r == 0 && valid & times)
		r = set_times(c, pin.fd);
	if (r == 0)
		r = stat_at(c->fs, pin.fd, "", &st);
	return r != 0 ? r : call_reply_attr(c, &st);
}

int op_statfs(struct fs_call *c)
{
	struct fuse_statfs_out out = {
		.st = { .bsize = 4096, .frsize = 4096, .namelen = NAME_MAX }
	};
	AUTO_PIN pin = { 0 };
	struct statfs sf;

	if (c->share) {
		int r = inode_pin(c->fs, c->inode, &pin);
		if (r < 0)
			return r;
		/* syscall: fstatfs */
		if (fstatfs(pin.fd, &sf) < 0)
			return -errno;
		out.st = (struct fuse_kstatfs){
			.blocks = sf.f_blocks,
			.bfree = sf.f_bfree,
			.bavail = sf.f_bavail,
			.files = sf.f_files,
			.ffree = sf.f_ffree,
			.bsize = (uint32_t)sf.f_bsize,
			.namelen = (uint32_t)sf.f_namelen,
			.frsize = (uint32_t)(sf.f_frsize ? sf.f_frsize : sf.f_bsize),
		};
	}
	return call_reply(c, &out, sizeof(out));
}
