/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared-memory window: a range of guest-physical addresses behind one memslot, into which blobs
 * are mapped while the guest runs (virtio 1.2, 2.10).  Not RAM: the memory map does not know it.
 */
#ifndef PECTEN_MEM_WINDOW_H
#define PECTEN_MEM_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

struct gm_window {
	uint64_t gpa;
	uint64_t len; /* bytes */
	void *host;   /* owned; faults where nothing is mapped */
};

/** gm_window_init() - Return: 0, -EINVAL or the -errno of mmap() */
int gm_window_init(struct gm_window *w, uint64_t gpa, uint64_t len) MUST_CHECK;

/* The hypervisor has let go of it; a zeroed window is fine. */
void gm_window_fini(struct gm_window *w);

/**
 * gm_window_map() - show a part of a file in the window, replacing what was there
 * @off:	bytes into the window
 * @fd:		borrowed; the caller knows that the file cannot shrink
 * @fd_off:	bytes into @fd
 * @len:	bytes
 *
 * @off, @fd_off and @len are multiples of the host's page size.  One thread at a time.
 *
 * Return: 0, -EINVAL for a range that is empty, crooked or outside, or the -errno of mmap()
 */
int gm_window_map(struct gm_window *w, uint64_t off, int fd, uint64_t fd_off, uint64_t len,
		  bool is_ro) MUST_CHECK;

/** gm_window_unmap() - Return: 0, -EINVAL as above, or the -errno of mmap() */
int gm_window_unmap(struct gm_window *w, uint64_t off, uint64_t len) MUST_CHECK;

#endif
