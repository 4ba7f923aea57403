/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared-memory windows: ranges of guest-physical addresses in which a device shows parts of files
 * while the guest runs (virtio 1.2, 2.10).  Not RAM: the memory map does not know them.
 *
 * struct window is what a device sees of one.  There are two kinds: struct gm_window below is
 * addresses of this process behind one memslot, and done at once; the vhost-user back end asks the
 * CPU engine's process to map and hears of it later.
 */
#ifndef PECTEN_MEM_WINDOW_H
#define PECTEN_MEM_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

struct window;

/* A change of a window on its way; embedded in a struct of the device. */
struct window_req {
	uint64_t off; /* bytes into the window; page-aligned, as are the next two */
	uint64_t len; /* bytes */
	/* map() only: */
	uint64_t fd_off; /* bytes into @fd */
	int fd;          /* borrowed until done(); its file cannot shrink */
	bool is_ro;

	/*
	 * On the device's thread, from inside map() or unmap() or later: the guest sees the
	 * change, or @result is -errno and nothing has changed.
	 */
	void (*done)(struct window_req *req, int result);
};

/*
 * All on the device's thread.  The device neither maps over a live mapping, nor unmaps anything but
 * exactly what it mapped, nor has two requests under way whose ranges overlap.
 */
struct window_ops {
	void (*map)(struct window *w, struct window_req *req);
	void (*unmap)(struct window *w, struct window_req *req);

	/*
	 * The driver has reset the device: all mappings go, before any that is asked for later
	 * appears.  Requests under way are forgotten: their done() is not called any more.
	 */
	void (*reset)(struct window *w);
};

struct window {
	const struct window_ops *ops;
	uint64_t len;      /* bytes; a power of two */
	uint32_t maps_max; /* mappings the device may have at a time */
};

/* A window of this process. */
struct gm_window {
	struct window w; /* for the device */
	uint64_t gpa;
	void *host; /* owned, w.len bytes; faults where nothing is mapped */
};

#define GM_WINDOW_MAPS 16384 /* each is a mapping of this process: vm.max_map_count is 65530 */

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
