/* SPDX-License-Identifier: Apache-2.0 */
/* Shared-memory windows: see window.h. */
#include "mem/window.h"

#include <errno.h>

#include "host/ram.h"
#include "host/shm.h"
#include "util/ckd.h"
#include "util/log.h"

void gm_window_fini(struct gm_window *w)
{
	ram_free(w->host, w->w.len);
	*w = (struct gm_window){ 0 };
}

static bool is_page_range(const struct gm_window *w, uint64_t off, uint64_t len)
{
	uint64_t page = shm_page_size();

	return len > 0 && off % page == 0 && len % page == 0 && range_fits(off, len, w->w.len);
}

int gm_window_map(struct gm_window *w, uint64_t off, int fd, uint64_t fd_off, uint64_t len,
		  bool is_ro)
{
	if (!is_page_range(w, off, len) || fd_off % shm_page_size() != 0)
		return -EINVAL;
	return ram_window_map((uint8_t *)w->host + off, len, fd, fd_off, is_ro);
}

int gm_window_unmap(struct gm_window *w, uint64_t off, uint64_t len)
{
	if (!is_page_range(w, off, len))
		return -EINVAL;
	return ram_window_unmap((uint8_t *)w->host + off, len);
}

static void req_map(struct window *w, struct window_req *req)
{
	req->done(req, gm_window_map(container_of(w, struct gm_window, w), req->off, req->fd,
				     req->fd_off, req->len, req->is_ro));
}

static void req_unmap(struct window *w, struct window_req *req)
{
	req->done(req, gm_window_unmap(container_of(w, struct gm_window, w), req->off, req->len));
}

static void window_reset(struct window *w)
{
	if (gm_window_unmap(container_of(w, struct gm_window, w), 0, w->len) < 0)
		log_error(MEM, "a shared-memory window could not be emptied");
}

static const struct window_ops window_ops = {
	.map = req_map,
	.unmap = req_unmap,
	.reset = window_reset,
};

int gm_window_init(struct gm_window *w, uint64_t gpa, uint64_t len)
{
	*w = (struct gm_window){
		.w = { .ops = &window_ops, .len = len, .maps_max = GM_WINDOW_MAPS },
		.gpa = gpa,
	};
	return ram_reserve(len, &w->host);
}
