/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images: raw files and block devices. */
#ifndef PECTEN_DISK_DISK_H
#define PECTEN_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/cur.h"
#include "util/err.h"

#define DISK_SECTOR 512 /* bytes; the unit of all positions below */

struct disk;

/**
 * disk_open_raw() - open a raw disk image
 * @path:	image; not kept
 * @is_ro:	open and serve it read-only
 * @out:	on success, the disk; the caller owns it, see disk_close()
 * @e:		on failure, a sentence for the user; may be NULL
 *
 * Return: 0; -EINVAL if the size is not a whole number of sectors, or it is neither a file nor a
 *	   block device; -EAGAIN if somebody else has locked it; -ENOMEM; or the -errno of open()
 */
int disk_open_raw(const char *path, bool is_ro, struct disk **out, struct err *e) MUST_CHECK;

/**
 * disk_open_fd() - the same for an open descriptor
 * @fd:		taken, also on failure
 * @name:	what to call it in @e
 */
int disk_open_fd(int fd, const char *name, bool is_ro, struct disk **out, struct err *e) MUST_CHECK;

/* NULL is fine. */
void disk_close(struct disk *d);

uint64_t disk_sectors(const struct disk *d);
bool disk_is_ro(const struct disk *d);

/**
 * disk_readv(), disk_writev() - move all bytes of @c
 * @c:		a whole number of sectors; moves as far as the transfer went
 *
 * disk_flush() - make what was written durable
 *
 * disk_discard() - the contents of these sectors do not matter any more
 *
 * disk_zero() - make these sectors zero; @may_unmap: their space may be given back
 *
 * They block; any thread, one at a time.
 *
 * Return: 0; -EINVAL for a range outside the disk or a broken sector; -EROFS; -EOPNOTSUPP; -EIO
 */
int disk_readv(struct disk *d, uint64_t sector, struct cur *c) MUST_CHECK;
int disk_writev(struct disk *d, uint64_t sector, struct cur *c) MUST_CHECK;
int disk_flush(struct disk *d) MUST_CHECK;
int disk_discard(struct disk *d, uint64_t sector, uint64_t count) MUST_CHECK;
int disk_zero(struct disk *d, uint64_t sector, uint64_t count, bool may_unmap) MUST_CHECK;

#endif
