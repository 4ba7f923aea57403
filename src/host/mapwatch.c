/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors behind mappings: see mapwatch.h. */
#include "host/mapwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "host/fd.h"

/* mmap() has no argument that could lead to it. */
static _Thread_local struct mapwatch *watching;

void mapwatch_begin(struct mapwatch *w)
{
	w->count = 0;
	watching = w;
}

void mapwatch_note(const void *at, size_t size, int flags, int fd, off_t offset)
{
	struct mapwatch *w = watching;
	int saved = errno;

	if (!w || fd < 0 || offset != 0 || !(flags & MAP_SHARED) || w->count >= MAPWATCH_MAX)
		return;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy >= 0)
		w->maps[w->count++] = (struct mapwatch_map){ .at = at, .size = size, .fd = copy };
	errno = saved;
}

int mapwatch_end(struct mapwatch *w, const void *at, int *fd, uint64_t *size)
{
	int r = -ENOENT;

	watching = NULL;
	for (unsigned i = 0; i < w->count; i++) {
		if (r < 0 && at && w->maps[i].at == at) {
			*fd = take_fd(&w->maps[i].fd);
			*size = w->maps[i].size;
			r = 0;
		} else {
			fd_drop(&w->maps[i].fd);
		}
	}
	return r;
}
