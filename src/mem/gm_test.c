/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the guest memory map. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem/gm.h"
#include "util/compiler.h"

#define HIGH UINT64_C(0x100000000)

static uint8_t low[0x3000];
static uint8_t high[0x2000];

/* RAM [0, 0x2000), one more page right behind it elsewhere in the host, and two pages above 4G. */
static struct gm pc_like(void)
{
	struct gm gm = { 0 };

	assert_int_equal(gm_add(&gm, HIGH, high, sizeof(high)), 0);
	assert_int_equal(gm_add(&gm, 0, low, 0x1000), 0);
	assert_int_equal(gm_add(&gm, 0x1000, low + 0x1000, 0x1000), 0);
	assert_int_equal(gm_add(&gm, 0x2000, low, 0x1000), 0);
	assert_int_equal(gm.n, 3);
	return gm;
}

static void ranges_are_checked_as_a_whole(void **state)
{
	struct gm gm = pc_like();
	/* clang-format off */
	const struct {
		const char *why;
		uint64_t gpa, len;
		void *want;
	} cases[] = {
		{ "first byte",             0, 1, low },
		{ "a whole region",         0, 0x2000, low },
		{ "inside",                 0x1ff8, 8, low + 0x1ff8 },
		{ "crosses two regions",    0x1ff9, 8, NULL },
		{ "into the hole",          0x2ff9, 8, NULL },
		{ "in the hole",            0x3000, 1, NULL },
		{ "above 4 GiB",            HIGH + 0x1000, 0x1000, high + 0x1000 },
		{ "past the end",           HIGH + 0x1000, 0x1001, NULL },
		{ "nothing, at the end",    HIGH + 0x2000, 0, NULL },
		{ "wraps",                  UINT64_MAX - 7, 16, NULL },
		{ "wraps to RAM",           UINT64_MAX, 2, NULL },
		{ "length of everything",   0, UINT64_MAX, NULL },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("# %s\n", cases[i].why);
		assert_ptr_equal(gm_range(&gm, cases[i].gpa, cases[i].len), cases[i].want);
	}
}

static void pieces_end_at_region_borders(void **state)
{
	struct gm gm = pc_like();
	uint64_t got = 0;

	(void)state;
	assert_ptr_equal(gm_piece(&gm, 0x1ff9, 8, &got), low + 0x1ff9);
	assert_int_equal(got, 7);
	assert_ptr_equal(gm_piece(&gm, 0x2000, 1, &got), low);
	assert_int_equal(got, 1);
	assert_null(gm_piece(&gm, 0x3000, 1, &got));
	assert_ptr_equal(gm_piece(&gm, 0, UINT64_MAX, &got), low);
	assert_null(gm_piece(&gm, UINT64_MAX, 1, &got));
}

static void neighbours_merge_in_any_order(void **state)
{
	struct gm gm = { 0 };

	(void)state;
	assert_int_equal(gm_add(&gm, 0x1000, low + 0x1000, 0x1000), 0);
	assert_int_equal(gm_add(&gm, 0, low, 0x800), 0);
	assert_int_equal(gm.n, 2);
	assert_int_equal(gm_add(&gm, 0x800, low + 0x800, 0x800), 0);
	assert_int_equal(gm.n, 1);
	assert_ptr_equal(gm_range(&gm, 0, 0x2000), low);

	gm = (struct gm){ 0 };
	assert_int_equal(gm_add(&gm, 0x1000, low + 0x1000, 0x1000), 0);
	assert_int_equal(gm_add(&gm, 0, low, 0x1000), 0);
	assert_int_equal(gm.n, 1);
	assert_ptr_equal(gm_range(&gm, 0, 0x2000), low);
}

static void nonsense_is_refused(void **state)
{
	struct gm gm = pc_like();

	(void)state;
	assert_int_equal(gm_add(&gm, 0x8000, low, 0), -EINVAL);
	assert_int_equal(gm_add(&gm, UINT64_MAX, low, 2), -EINVAL);
	assert_int_equal(gm_add(&gm, 0x2fff, low, 1), -EINVAL);
	assert_int_equal(gm_add(&gm, 0x3000, low, HIGH), -EINVAL);
	assert_int_equal(gm_add(&gm, HIGH, low, 1), -EINVAL);
	for (unsigned i = gm.n; i < GM_REGIONS_MAX; i++)
		assert_int_equal(gm_add(&gm, 0x10000 + 0x2000 * (uint64_t)i, low, 0x1000), 0);
	assert_int_equal(gm_add(&gm, 0x8000, low, 0x1000), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_checked_as_a_whole),
		cmocka_unit_test(pieces_end_at_region_borders),
		cmocka_unit_test(neighbours_merge_in_any_order),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
