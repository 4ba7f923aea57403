/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory from memfd_create(2): see shm.h. */
#include "host/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/fd.h"

uint64_t shm_page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

int shm_create(const char *name, uint64_t size, int *fd)
{
	if (size == 0 || size % shm_page_size() != 0 || size > INT64_MAX)
		return -EINVAL;

	AUTO_FD m = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m < 0)
		return -errno;
	if (ftruncate(m, (off_t)size) < 0)
		return -errno;
	if (fcntl(m, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*fd = take_fd(&m);
	return 0;
}

int shm_map(int fd, uint64_t size, void **at)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*at = p;
	return 0;
}

void shm_unmap(void *at, uint64_t size)
{
	if (at)
		(void)munmap(at, size);
}
