// SPDX-License-Identifier: Apache-2.0
/*
 * Owners and modes for a server that runs as an ordinary user.  Such a user can neither give files
 * away nor make device nodes, yet a package manager in the guest does both.  So what the guest set
 * is kept in the xattr OWNER_XATTR beside the file, which on the host stays ours, accessible to us
 * and without set-id bits.  Devices, FIFOs and sockets are empty regular files with a record.
 *
 * The record is text: "1 UID GID MODE MAJOR MINOR HOSTMODE", modes in octal, MODE with its type.
 * HOSTMODE are the permission bits that the host's file had then: if they differ now, somebody on
 * the host changed them on purpose, and they win.  Symbolic links cannot have such an xattr, so
 * they always belong to 0:0.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "fs/fs_internal.h"
#include "util/bytes.h"

#define OWNER_MAX    96
#define OWNER_NOBODY 65534 /* whom the guest sees behind the host's other users */

static uint32_t take_number(struct rd *r, unsigned base, char end)
{
	uint64_t v = 0;
	bool has_digit = false;

	for (;;) {
		uint8_t c = rd_left(r) == 0 && end == '\0' ? 0 : rd_u8(r);

		if (c == (uint8_t)end && has_digit && rd_ok(r))
			return (uint32_t)v;
		if (c < '0' || c >= '0' + base || v > UINT32_MAX / base) {
			r->failed = true;
			return 0;
		}
		v = v * base + (c - '0');
		if (v > UINT32_MAX)
			r->failed = true;
		has_digit = true;
	}
}

/**
 * owner_parse() - read a record
 *
 * Return: 0, or -EINVAL if it is not one that we write
 */
int owner_parse(const char *s, size_t len, struct owner *o)
{
	struct rd r = rd_init(s, len);

	uint8_t version = rd_u8(&r);
	uint8_t blank = rd_u8(&r);

	if (version != '1' || blank != ' ')
		return -EINVAL;
	*o = (struct owner){
		.uid = take_number(&r, 10, ' '),
		.gid = take_number(&r, 10, ' '),
		.mode = take_number(&r, 8, ' '),
		.rdev_major = take_number(&r, 10, ' '),
		.rdev_minor = take_number(&r, 10, ' '),
		.host_mode = take_number(&r, 8, '\0'),
	};
	if (!rd_ok(&r) || rd_left(&r) != 0 || o->mode > 0177777 || o->host_mode > 07777)
		return -EINVAL;
	return 0;
}

/* Return: bytes, without the final zero, which is there too */
size_t owner_format(const struct owner *o, char *s, size_t max)
{
	int n = snprintf(s, max, "1 %u %u %o %u %u %o", o->uid, o->gid, o->mode, o->rdev_major,
			 o->rdev_minor, o->host_mode);

	return (size_t)n;
}

static bool can_have_record(uint32_t host_mode)
{
	return S_ISREG(host_mode) || S_ISDIR(host_mode);
}

/* A folder stays a folder; a regular file may stand for anything but folder and link. */
static bool is_type_possible(uint32_t host_mode, uint32_t mode)
{
	if (S_ISDIR(host_mode))
		return S_ISDIR(mode);
	return S_ISREG(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

static uint32_t guest_uid(const struct fs *fs, const struct fs_stat *st)
{
	return st->host_uid == fs->uid ? 0 : OWNER_NOBODY;
}

static uint32_t guest_gid(const struct fs *fs, const struct fs_stat *st)
{
	return st->host_gid == fs->gid ? 0 : OWNER_NOBODY;
}

/**
 * owner_apply() - turn the host's owner and mode into what the guest sees
 * @dirfd:	O_PATH descriptor of the folder, or of the object itself if @name is ""
 */
void owner_apply(struct fs *fs, int dirfd, const char *name, struct fs_stat *st)
{
	char text[OWNER_MAX];
	struct owner o;

	st->uid = guest_uid(fs, st);
	st->gid = guest_gid(fs, st);
	if (!can_have_record(st->host_mode))
		return;

	struct proc_path p = proc_path(dirfd, name);
	/* syscall: getxattr, lgetxattr */
	ssize_t n = *name ? lgetxattr(p.s, OWNER_XATTR, text, sizeof(text))
			  : getxattr(p.s, OWNER_XATTR, text, sizeof(text));
	if (n < 0 || owner_parse(text, (size_t)n, &o) < 0 ||
	    !is_type_possible(st->host_mode, o.mode))
		return;

	st->has_owner_record = true;
	st->uid = o.uid;
	st->gid = o.gid;
	if ((st->host_mode & 07777) == o.host_mode)
		st->mode = o.mode;
	else
		st->mode = (o.mode & S_IFMT) | (st->host_mode & 07777);
	st->rdev_major = o.rdev_major;
	st->rdev_minor = o.rdev_minor;
	if (!S_ISREG(st->mode) && !S_ISDIR(st->mode))
		st->size = st->blocks = 0;
}

/**
 * owner_store() - give an object an owner and a mode
 * @fd:		O_PATH descriptor of the object
 * @st:		its present attributes
 * @mode:	with type
 *
 * The host's file stays readable and writable for us, whatever the guest's mode says.
 *
 * Return: 0; -EPERM if the file system has no user xattrs or the file is not ours
 */
int owner_store(struct fs *fs, int fd, const struct fs_stat *st, uint32_t uid, uint32_t gid,
		uint32_t mode, uint32_t major, uint32_t minor)
{
	bool is_special = !S_ISREG(mode) && !S_ISDIR(mode);
	struct proc_path p = proc_path(fd, NULL);
	struct owner o = { uid, gid, mode, major, minor, 0 };
	char text[OWNER_MAX];

	if (!can_have_record(st->host_mode))
		return 0;
	o.host_mode = is_special ? 0600 : (mode & 0777) | (S_ISDIR(mode) ? 0700 : 0600);
	/* syscall: fchmodat */
	if ((st->host_mode & 07777) != o.host_mode && fchmodat(AT_FDCWD, p.s, o.host_mode, 0) < 0)
		return -errno;

	if (uid == guest_uid(fs, st) && gid == guest_gid(fs, st) && !is_special &&
	    (mode & 07777) == o.host_mode) {
		/* syscall: removexattr */
		return st->has_owner_record && removexattr(p.s, OWNER_XATTR) < 0 ? -errno : 0;
	}
	size_t n = owner_format(&o, text, sizeof(text));
	/* syscall: setxattr */
	if (setxattr(p.s, OWNER_XATTR, text, n, 0) < 0)
		return errno == EOPNOTSUPP ? -EPERM : -errno;
	return 0;
}

/**
 * owner_kill_setid() - drop set-id bits because somebody unprivileged changed the contents
 *
 * Return: 0 or -errno
 */
int owner_kill_setid(struct fs *fs, int fd)
{
	struct fs_stat st;
	int r = stat_at(fs, fd, "", &st);

	if (r < 0)
		return r;
	uint32_t kill = S_ISUID | (st.mode & S_IXGRP ? S_ISGID : 0);
	if (!fs->as_user || !S_ISREG(st.mode) || !(st.mode & kill))
		return 0;
	return owner_store(fs, fd, &st, st.uid, st.gid, st.mode & ~kill, 0, 0);
}

/**
 * owner_unlock() - make an object of ours accessible to us, keeping the mode that the guest sees
 *
 * For trees that something else unpacked, with files and folders that even their owner may not
 * write.
 *
 * Return: 0; -EACCES if that is not what keeps us out
 */
int owner_unlock(struct fs *fs, int fd)
{
	struct fs_stat st;
	int r = stat_at(fs, fd, "", &st);

	if (r < 0)
		return r;
	uint32_t need = S_ISDIR(st.host_mode) ? 0700 : 0600;
	if (!fs->as_user || st.host_uid != fs->uid || !can_have_record(st.host_mode) ||
	    (st.host_mode & need) == need)
		return -EACCES;
	return owner_store(fs, fd, &st, st.uid, st.gid, st.mode, st.rdev_major, st.rdev_minor);
}
