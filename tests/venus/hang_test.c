/* SPDX-License-Identifier: Apache-2.0 */
/* A driver that does not come back holds up its own context, and that only for a known time. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "host/thread.h"
#include "null_icd.h"
#include "trap.h"

/* Threads of this process, a sanitizer's included. */
static unsigned threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void hanging_driver_is_given_up(void **state)
{
	struct guest g;
	struct guest other;
	struct guest_shm shm[4];
	struct guest_ring ring;
	const uint64_t fence = ID_FENCE;
	const unsigned threads_before = threads();

	(void)state;
	null_forget();
	trap_reset();
	assert_int_equal(guest_open(&g, NULL), 0);
	assert_int_equal(guest_prologue(&g, &shm[0], &shm[1]), 0);
	assert_int_equal(guest_open(&other, NULL), 0);
	assert_int_equal(guest_prologue(&other, &shm[2], &shm[3]), 0);
	assert_int_equal(guest_ring_open(&g, &ring, 1, RES_RING), 0);

	null_control(&(struct null_control){ .hang = "vkResetFences" });
	guest_put_cmd(&g, 37, 0);
	guest_put_u64(&g, ID_DEVICE);
	guest_put_u32(&g, 1);
	guest_put_ids(&g, 1, &fence);
	guest_ring_send(&g, &ring);
	assert_true(GUEST_AWAIT(null_calls("vkResetFences") > 0));

	uint64_t start = clock_now_ns();
	assert_int_equal(guest_close(&g), -ETIMEDOUT);
	uint64_t took = clock_now_ns() - start;
	assert_true(took >= VENUS_DESTROY_NS && took < VENUS_DESTROY_NS + GUEST_PATIENCE);
	assert_true(trap_holds("does not come back"));

	/* Nobody else noticed. */
	guest_cmd_buffer(&other, ID_DEVICE, ID_FREE, 64);
	assert_int_equal(guest_submit(&other), 0);
	assert_int_equal(guest_close(&other), 0);

	/* When the driver comes back after all, what was given up is cleared away. */
	null_release();
	assert_true(GUEST_AWAIT(null_alive(VK_OBJECT_TYPE_UNKNOWN) == 0));
	/* The thread that did it frees itself last, and a leak check must not come before. */
	assert_true(GUEST_AWAIT(threads() <= threads_before));
	guest_shm_drop(&ring.shm);
	for (int i = 0; i < 4; i++)
		guest_shm_drop(&shm[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hanging_driver_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
