/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of shared-memory windows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/fd.h"
#include "host/ram.h"
#include "host/shm.h"
#include "mem/window.h"

static void blobs_appear_where_asked_and_nowhere_else(void **state)
{
	uint64_t page = shm_page_size();
	struct gm_window w;
	void *blob = NULL;
	int fd = -1;

	(void)state;
	assert_int_equal(gm_window_init(&w, UINT64_C(1) << 36, 8 * page), 0);
	assert_int_equal(shm_create("blob", 2 * page, &fd), 0);
	assert_int_equal(shm_map(fd, 2 * page, &blob), 0);

	assert_int_equal(gm_window_map(&w, 6 * page, fd, 0, 2 * page, false), 0);
	((char *)w.host)[7 * page] = 'b';
	assert_int_equal(((char *)blob)[page], 'b');
	assert_int_equal(gm_window_unmap(&w, 6 * page, 2 * page), 0);

	assert_int_equal(gm_window_map(&w, 7 * page, fd, 0, 2 * page, false), -EINVAL);
	assert_int_equal(gm_window_map(&w, page / 2, fd, 0, page, false), -EINVAL);
	assert_int_equal(gm_window_map(&w, 0, fd, page / 2, page, false), -EINVAL);
	assert_int_equal(gm_window_map(&w, 0, fd, 0, 0, false), -EINVAL);
	assert_int_equal(gm_window_map(&w, UINT64_MAX - page + 1, fd, 0, 2 * page, false), -EINVAL);
	assert_int_equal(gm_window_unmap(&w, 8 * page, page), -EINVAL);

	shm_unmap(blob, 2 * page);
	close(fd);
	gm_window_fini(&w);
	gm_window_fini(&w);
}

/*
 * Some files decline only when the kernel has cleared the place already (a socket here, a dma-buf
 * or, on older kernels, sealed memory in earnest).  A hole would be where this process puts its
 * next memory, in sight of the guest.
 */
static void a_file_that_declines_leaves_no_hole(void **state)
{
	uint64_t page = shm_page_size();
	struct gm_window w;
	int pair[2];

	(void)state;
	assert_int_equal(gm_window_init(&w, UINT64_C(1) << 36, 4 * page), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(gm_window_map(&w, page, pair[0], 0, page, false), -ENODEV);

	const void *p = mmap((char *)w.host + page, page, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(p, MAP_FAILED);
	assert_int_equal(errno, EEXIST);
	close(pair[0]);
	close(pair[1]);
	gm_window_fini(&w);
}

/* Their mappings are longer than asked for: over the next blob, or past the window's end. */
static void huge_pages_are_refused(void **state)
{
	uint64_t page = shm_page_size();
	struct gm_window w;
	AUTO_FD fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	(void)state;
	if (fd < 0 || ftruncate(fd, 64 << 20) < 0) {
		print_message("no huge pages: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(ram_window_check(fd), -EINVAL);
	assert_int_equal(gm_window_init(&w, UINT64_C(1) << 36, 4 * page), 0);
	assert_int_equal(gm_window_map(&w, 0, fd, 0, page, false), -EINVAL);
	gm_window_fini(&w);
}

struct asked {
	struct window_req req;
	int calls;
	int result;
};

static void on_done(struct window_req *req, int result)
{
	struct asked *a = container_of(req, struct asked, req);

	a->calls++;
	a->result = result;
}

static void a_device_maps_through_requests(void **state)
{
	uint64_t page = shm_page_size();
	struct asked a = { .req = { .len = page, .done = on_done } };
	struct gm_window w;
	int fd = -1;

	(void)state;
	assert_int_equal(gm_window_init(&w, UINT64_C(1) << 36, 4 * page), 0);
	assert_int_equal(shm_create("blob", page, &fd), 0);
	assert_int_equal(w.w.len, 4 * page);
	assert_true(w.w.maps_max > 0);

	a.req.fd = fd;
	a.req.off = 3 * page;
	w.w.ops->map(&w.w, &a.req);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.result, 0);
	((char *)w.host)[3 * page] = 'b';
	w.w.ops->unmap(&w.w, &a.req);
	assert_int_equal(a.calls, 2);
	assert_int_equal(a.result, 0);

	a.req.off = 4 * page;
	w.w.ops->map(&w.w, &a.req);
	assert_int_equal(a.calls, 3);
	assert_int_equal(a.result, -EINVAL);
	w.w.ops->reset(&w.w);
	assert_int_equal(a.calls, 3);

	close(fd);
	gm_window_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blobs_appear_where_asked_and_nowhere_else),
		cmocka_unit_test(a_file_that_declines_leaves_no_hole),
		cmocka_unit_test(huge_pages_are_refused),
		cmocka_unit_test(a_device_maps_through_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
