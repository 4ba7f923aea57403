/* SPDX-License-Identifier: Apache-2.0 */
/* A driver that does not come back holds up its own context, and that only for a known time. */
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

#define SECOND UINT64_C(1000000000)

static void hanging_driver_is_given_up(void **state)
{
	struct guest g;
	struct guest other;
	struct guest_shm shm[4];
	struct guest_ring ring;
	const uint64_t fence = ID_FENCE;

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
	while (null_calls("vkResetFences") == 0)
		(void)usleep(1000);

	uint64_t start = clock_now_ns();
	assert_int_equal(guest_close(&g), -ETIMEDOUT);
	uint64_t took = clock_now_ns() - start;
	assert_true(took >= VENUS_DESTROY_NS && took < VENUS_DESTROY_NS + 5 * SECOND);
	assert_true(trap_holds("does not come back"));

	/* Nobody else noticed. */
	guest_cmd_buffer(&other, ID_DEVICE, ID_FREE, 64);
	assert_int_equal(guest_submit(&other), 0);
	assert_int_equal(guest_close(&other), 0);

	/* When the driver comes back after all, what was given up is cleared away. */
	null_release();
	for (int i = 0; i < 5000 && null_alive(VK_OBJECT_TYPE_UNKNOWN); i++)
		(void)usleep(1000);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
	(void)usleep(100000); /* the thread that did it frees itself last */
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
