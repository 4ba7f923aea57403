/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mmap() of this program and of every library in it, drivers included: the kernel's, watched by
 * host/mapwatch.h.  Left out of builds with sanitizers, which bring an mmap() of their own.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "host/mapwatch.h"

void *watched_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);

void *watched_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *map = (void *)syscall(SYS_mmap, at, size, prot, flags, fd,
				    offset); /* NOLINT(performance-no-int-to-ptr) */

	if ((intptr_t)map != -1)
		mapwatch_note(map, size, flags, fd, offset);
	return map;
}

/* Under both of its names, whatever the headers call which. */
__asm__(".globl mmap\n.type mmap, @function\n.set mmap, watched_mmap\n"
	".globl mmap64\n.type mmap64, @function\n.set mmap64, watched_mmap\n");
