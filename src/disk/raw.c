// SPDX-License-Identifier: Apache-2.0
/* Raw images: byte n of the file is byte n of the disk. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "disk/disk.h"
#include "host/fd.h"
#include "util/ckd.h"

#define IOV_CHUNK 64
#define ZERO_LEN  65536

struct disk {
	int fd;
	bool is_ro;
	uint64_t sectors;
};

int disk_open_fd(int fd_taken, const char *name, bool is_ro, struct disk **out, struct err *e)
{
	AUTO_FD fd = fd_taken;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "cannot examine disk image '%s'", name);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL, "disk image '%s' is neither a file nor a block device",
			       name);
	/* Also tells the size of a block device. */
	off_t size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		return err_errno(e, "cannot tell the size of disk image '%s'", name);
	if (size % DISK_SECTOR != 0)
		return err_set(e, -EINVAL, "disk image '%s' has %jd bytes, not a multiple of %d",
			       name, (intmax_t)size, DISK_SECTOR);
	/* Two writers, or a writer beside readers, would destroy the file system on it. */
	if (flock(fd, (is_ro ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
		return err_set(e, -errno, "disk image '%s' is in use by another virtual machine",
			       name);

	struct disk *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "no memory for disk image '%s'", name);
	d->fd = take_fd(&fd);
	d->is_ro = is_ro;
	d->sectors = (uint64_t)size / DISK_SECTOR;
	*out = d;
	return 0;
}

int disk_open_raw(const char *path, bool is_ro, struct disk **out, struct err *e)
{
	int fd = open(path, (is_ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "cannot open disk image '%s'", path);
	return disk_open_fd(fd, path, is_ro, out, e);
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	fd_drop(&d->fd);
	free(d);
}

uint64_t disk_sectors(const struct disk *d)
{
	return d->sectors;
}

bool disk_is_ro(const struct disk *d)
{
	return d->is_ro;
}

/* Bytes and offset of a transfer, both checked.  Return: 0 or -EINVAL */
static int check_range(const struct disk *d, uint64_t sector, uint64_t bytes, off_t *off)
{
	if (bytes % DISK_SECTOR != 0 || !range_fits(sector, bytes / DISK_SECTOR, d->sectors))
		return -EINVAL;
	*off = (off_t)(sector * DISK_SECTOR);
	return 0;
}

static int transfer(struct disk *d, uint64_t sector, struct cur *c, bool writes)
{
	struct iovec iov[IOV_CHUNK];
	off_t off;
	int r = check_range(d, sector, cur_left(c), &off);

	if (r < 0)
		return r;
	while (cur_left(c) > 0) {
		size_t n = cur_iov(c, iov, IOV_CHUNK, NULL);
		/* syscall: preadv, pwritev */
		ssize_t done =
			writes ? pwritev(d->fd, iov, (int)n, off) : preadv(d->fd, iov, (int)n, off);

		if (done < 0 && errno == EINTR)
			continue;
		/* The end of the file before that of the disk: somebody has cut it. */
		if (done <= 0 || cur_skip(c, (size_t)done) < 0)
			return -EIO;
		off += done;
	}
	return 0;
}

int disk_readv(struct disk *d, uint64_t sector, struct cur *c)
{
	return transfer(d, sector, c, false);
}

int disk_writev(struct disk *d, uint64_t sector, struct cur *c)
{
	return d->is_ro ? -EROFS : transfer(d, sector, c, true);
}

int disk_flush(struct disk *d)
{
	if (d->is_ro)
		return 0;
	/* syscall: fdatasync */
	return fdatasync(d->fd) < 0 ? -EIO : 0;
}

static int set_range(struct disk *d, uint64_t sector, uint64_t count, int mode)
{
	if (d->is_ro)
		return -EROFS;
	if (!range_fits(sector, count, d->sectors))
		return -EINVAL;
	if (count == 0)
		return 0;
	/* syscall: fallocate; for block devices too */
	if (fallocate(d->fd, mode, (off_t)(sector * DISK_SECTOR), (off_t)(count * DISK_SECTOR)) ==
	    0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENODEV ? -EOPNOTSUPP : -EIO;
}

int disk_discard(struct disk *d, uint64_t sector, uint64_t count)
{
	int r = set_range(d, sector, count, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);

	/* It is advice. */
	return r == -EOPNOTSUPP ? 0 : r;
}

static int write_zeros(struct disk *d, uint64_t sector, uint64_t count)
{
	static const char zeros[ZERO_LEN];

	while (count > 0) {
		uint64_t n = count < ZERO_LEN / DISK_SECTOR ? count : ZERO_LEN / DISK_SECTOR;
		struct iovec iov = { (void *)(uintptr_t)zeros, (size_t)n * DISK_SECTOR };
		struct cur c = cur_init(&iov, 1);
		int r = transfer(d, sector, &c, true);

		if (r < 0)
			return r;
		sector += n;
		count -= n;
	}
	return 0;
}

int disk_zero(struct disk *d, uint64_t sector, uint64_t count, bool may_unmap)
{
	int r = -EOPNOTSUPP;

	if (may_unmap)
		r = set_range(d, sector, count, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	if (r == -EOPNOTSUPP)
		r = set_range(d, sector, count, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	return r == -EOPNOTSUPP ? write_zeros(d, sector, count) : r;
}
