/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of shared-memory windows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blobs_appear_where_asked_and_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
