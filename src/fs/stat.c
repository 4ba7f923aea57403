// SPDX-License-Identifier: Apache-2.0
/* Attributes: from the host's statx() to what the guest sees, and on to the wire. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "fs/fs_internal.h"

#define NSEC UINT64_C(1000000000)

/* Not in every <linux/magic.h> that we build with. */
#define PSTORE_MAGIC   0x6165676c
#define CONFIGFS_MAGIC 0x62656570
#define FUSECTL_MAGIC  0x65735543
#define MQUEUE_MAGIC   0x19800202

struct proc_path proc_path(int fd, const char *name)
{
	struct proc_path p;

	(void)snprintf(p.s, sizeof(p.s), name && *name ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d",
		       fd, name);
	return p;
}

static uint64_t stamp_ns(const struct statx_timestamp *t)
{
	return (uint64_t)t->tv_sec * NSEC + t->tv_nsec;
}

/**
 * stat_at() - attributes of an object, as the guest shall see them, and its identity
 * @dirfd:	folder, or the object itself if @name is ""
 * @name:	one component; a symbolic link is not followed
 *
 * Return: 0, or the -errno of statx()
 */
int stat_at(struct fs *fs, int dirfd, const char *name, struct fs_stat *st)
{
	struct statx sx;
	/* syscall: statx */
	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH),
		  STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return -errno;

	uint64_t dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
	*st = (struct fs_stat){
		.ino = inode_guest_ino(fs, dev, sx.stx_ino),
		.size = sx.stx_size,
		.blocks = sx.stx_blocks,
		.atime = sx.stx_atime,
		.mtime = sx.stx_mtime,
		.ctime = sx.stx_ctime,
		.btime = sx.stx_btime,
		.mask = sx.stx_mask & STATX_BTIME,
		.mode = sx.stx_mode,
		.nlink = sx.stx_nlink,
		.uid = sx.stx_uid,
		.gid = sx.stx_gid,
		.blksize = sx.stx_blksize,
		.rdev_major = sx.stx_rdev_major,
		.rdev_minor = sx.stx_rdev_minor,
		.attributes = sx.stx_attributes,
		.attributes_mask = sx.stx_attributes_mask,
		.host_ino = sx.stx_ino,
		.host_dev = dev,
		.btime_ns = sx.stx_mask & STATX_BTIME ? stamp_ns(&sx.stx_btime) : 0,
		.ctime_ns = stamp_ns(&sx.stx_ctime),
		.host_mode = sx.stx_mode,
		.host_uid = sx.stx_uid,
		.host_gid = sx.stx_gid,
	};
	if (fs->as_user)
		owner_apply(fs, dirfd, name, st);
	return 0;
}

void stat_synth(const struct fs_inode *i, struct fs_stat *st)
{
	bool is_dir = i->kind == FS_SYNTH_DIR;

	*st = (struct fs_stat){
		.ino = UINT64_C(0xffff) << 48 | i->nodeid,
		.size = i->synth->len,
		.blocks = (i->synth->len + 511) / 512,
		.mode = i->synth->mode | (is_dir ? S_IFDIR : S_IFREG),
		.nlink = is_dir ? 2 : 1,
		.blksize = 4096,
	};
}

void stat_to_attr(const struct fs_stat *st, struct fuse_attr *a)
{
	*a = (struct fuse_attr){
		.ino = st->ino,
		.size = st->size,
		.blocks = st->blocks,
		.atime = (uint64_t)st->atime.tv_sec,
		.mtime = (uint64_t)st->mtime.tv_sec,
		.ctime = (uint64_t)st->ctime.tv_sec,
		.atimensec = st->atime.tv_nsec,
		.mtimensec = st->mtime.tv_nsec,
		.ctimensec = st->ctime.tv_nsec,
		.mode = st->mode,
		.nlink = st->nlink,
		.uid = st->uid,
		.gid = st->gid,
		/* The guest kernel's encoding: 12 bits of major between the minor's 8 and 12. */
		.rdev = (st->rdev_minor & 0xff) | (st->rdev_major & 0xfff) << 8 |
			(st->rdev_minor & 0xfff00) << 12,
		.blksize = st->blksize,
	};
}

static struct wire_sx_time sx_time(const struct statx_timestamp *t)
{
	return (struct wire_sx_time){ .sec = t->tv_sec, .nsec = t->tv_nsec };
}

void stat_to_statx(const struct fs_stat *st, struct wire_statx *sx)
{
	*sx = (struct wire_statx){
		.mask = STATX_BASIC_STATS | st->mask,
		.blksize = st->blksize,
		.attributes = st->attributes,
		.nlink = st->nlink,
		.uid = st->uid,
		.gid = st->gid,
		.mode = (uint16_t)st->mode,
		.ino = st->ino,
		.size = st->size,
		.blocks = st->blocks,
		.attributes_mask = st->attributes_mask,
		.atime = sx_time(&st->atime),
		.btime = sx_time(&st->btime),
		.ctime = sx_time(&st->ctime),
		.mtime = sx_time(&st->mtime),
		.rdev_major = st->rdev_major,
		.rdev_minor = st->rdev_minor,
	};
}

/**
 * stat_is_forbidden_mount() - whether an object lies on a file system that acts on the host
 *
 * Regular files of /proc, /sys and their kind reach this very process and the host's kernel, so a
 * share that contains such a mount does not serve it.
 */
bool stat_is_forbidden_mount(int dirfd, const char *name)
{
	static const uint32_t magics[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,  DEBUGFS_MAGIC,        TRACEFS_MAGIC,
		SECURITYFS_MAGIC, BPF_FS_MAGIC, CGROUP_SUPER_MAGIC,   CGROUP2_SUPER_MAGIC,
		EFIVARFS_MAGIC,   NSFS_MAGIC,   DEVPTS_SUPER_MAGIC,   SELINUX_MAGIC,
		SMACK_MAGIC,      PSTORE_MAGIC, BINFMTFS_MAGIC,       CONFIGFS_MAGIC,
		FUSECTL_MAGIC,    MQUEUE_MAGIC, RDTGROUP_SUPER_MAGIC,
	};
	AUTO_FD fd = *name ? name_openat(dirfd, name, O_PATH, 0) : -1;
	struct statfs sf;

	if (*name && fd < 0)
		return true;
	/* syscall: fstatfs */
	if (fstatfs(*name ? fd : dirfd, &sf) < 0)
		return true;
	for (size_t n = 0; n < ARRAY_LEN(magics); n++)
		if ((uint32_t)sf.f_type == magics[n])
			return true;
	return false;
}
