/* SPDX-License-Identifier: Apache-2.0 */
/* Guest-sized memory blocks by mmap(2): see ram.h. */
#include "host/ram.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "host/shm.h"
#include "util/ckd.h"

/* mmap() knows no alignment: take more and give the ends back. */
static int map_aligned(uint64_t len, int prot, int flags, void **at)
{
	uint64_t room;

	if (len == 0 || len % shm_page_size() != 0 || ckd_add(&room, len, RAM_ALIGN) ||
	    room > SIZE_MAX)
		return -EINVAL;

	uint8_t *p =
		mmap(NULL, room, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
	if (p == MAP_FAILED)
		return -errno;

	uint64_t front = -(uintptr_t)p % RAM_ALIGN;
	if (front > 0)
		(void)munmap(p, front);
	(void)munmap(p + front + len, RAM_ALIGN - front);
	*at = p + front;
	return 0;
}

int ram_alloc(uint64_t len, void **at)
{
	int r = map_aligned(len, PROT_READ | PROT_WRITE, 0, at);

	if (r < 0)
		return r;
	/* Both are advice: an old kernel may decline. */
	(void)madvise(*at, len, MADV_HUGEPAGE);
	(void)madvise(*at, len, MADV_DONTDUMP);
	return 0;
}

int ram_reserve(uint64_t len, void **at)
{
	return map_aligned(len, PROT_NONE, 0, at);
}

void ram_free(void *at, uint64_t len)
{
	if (at)
		(void)munmap(at, len);
}

int ram_discard(void *at, uint64_t len)
{
	return madvise(at, len, MADV_DONTNEED) < 0 ? -errno : 0;
}

int ram_discard_shared(void *at, uint64_t len)
{
	return madvise(at, len, MADV_REMOVE) < 0 ? -errno : 0;
}

int ram_window_unmap(void *at, uint64_t len)
{
	const void *p = mmap(at, len, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

int ram_window_check(int fd)
{
	struct statfs fs;

	/* syscall: fstatfs */
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	return fs.f_type == HUGETLBFS_MAGIC ? -EINVAL : 0;
}

int ram_window_map(void *at, uint64_t len, int fd, uint64_t off, bool is_ro)
{
	int prot = is_ro ? PROT_READ : PROT_READ | PROT_WRITE;

	if (off > INT64_MAX)
		return -EINVAL;

	int r = ram_window_check(fd);
	if (r < 0)
		return r;

	/*
	 * Elsewhere first, then moved: where a file declines to be mapped, mmap(MAP_FIXED) has
	 * taken away what was there, and whatever this process maps next may come to lie in the
	 * hole.
	 */
	void *p = mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)off);
	if (p == MAP_FAILED)
		return -errno;
	if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
		r = -errno;

		/* Out of memory, and the place may be empty. */
		(void)munmap(p, len);
		(void)!ram_window_unmap(at, len);
		return r;
	}
	return 0;
}
