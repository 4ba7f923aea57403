/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed parts of all requests, and what protocol 7.39 has that the oldest <linux/fuse.h> we
 * build with (7.38) lacks.
 */
#ifndef PECTEN_FS_WIRE_H
#define PECTEN_FS_WIRE_H

#include <linux/fuse.h>
#include <stdint.h>

#define FS_WIRE_MINOR     39 /* newest minor version we speak */
#define FS_WIRE_MINOR_MIN 31 /* what virtio-fs began with */

#define FS_OP_STATX 52

#define FS_INIT_CREATE_SUPP_GROUP (UINT64_C(1) << 34)
#define FS_EXT_GROUPS             32

struct wire_sx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};

struct wire_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct wire_sx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare2[14];
};

struct wire_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct wire_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct wire_statx stat;
};

_Static_assert(sizeof(struct wire_statx) == 256, "fixed by the protocol");

struct wire_supp_groups {
	uint32_t nr_groups;
	uint32_t group; /* one at most is ever sent */
};

union fs_arg {
	struct fuse_forget_in forget;
	struct fuse_batch_forget_in batch_forget;
	struct fuse_getattr_in getattr;
	struct wire_statx_in statx;
	struct fuse_setattr_in setattr;
	struct fuse_mknod_in mknod;
	struct fuse_mkdir_in mkdir;
	struct fuse_rename_in rename;
	struct fuse_rename2_in rename2;
	struct fuse_link_in link;
	struct fuse_open_in open;
	struct fuse_create_in create;
	struct fuse_read_in read;
	struct fuse_write_in write;
	struct fuse_release_in release;
	struct fuse_flush_in flush;
	struct fuse_fsync_in fsync;
	struct fuse_setxattr_in setxattr;
	struct fuse_getxattr_in getxattr;
	struct fuse_lk_in lk;
	struct fuse_init_in init;
	struct fuse_interrupt_in interrupt;
	struct fuse_fallocate_in fallocate;
	struct fuse_lseek_in lseek;
	struct fuse_copy_file_range_in copy;
};

#endif
