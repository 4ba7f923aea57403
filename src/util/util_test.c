/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the helpers that everything else stands on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/bytes.h"
#include "util/ckd.h"
#include "util/err.h"
#include "util/list.h"

static void reader_that_runs_out_yields_zero_and_stays_failed(void **state)
{
	const uint8_t bytes[] = { 1, 2, 3, 4, 5 };
	struct rd r = rd_init(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(rd_le32(&r), 0x04030201);
	assert_true(rd_ok(&r));
	assert_int_equal(rd_le16(&r), 0);
	assert_false(rd_ok(&r));
	assert_int_equal(rd_u8(&r), 0); /* although one byte is left */
	assert_null(rd_take(&r, 0));
}

static void writer_drops_what_does_not_fit(void **state)
{
	uint8_t bytes[6] = { 0 };
	struct wr w = wr_init(bytes, sizeof(bytes));

	(void)state;
	wr_le32(&w, 0xddccbbaa);
	wr_le32(&w, 1);
	assert_true(w.failed);
	assert_int_equal(bytes[3], 0xdd);
	assert_int_equal(bytes[4], 0);
}

static void ranges_never_wrap(void **state)
{
	uint64_t up;

	(void)state;
	assert_true(range_fits(0, 0, 0));
	assert_true(range_fits(4, 4, 8));
	assert_false(range_fits(4, 5, 8));
	assert_false(range_fits(9, 0, 8));
	assert_false(range_fits(8, UINT64_MAX, 8));
	assert_false(align_up_ckd(&up, 1, 4096));
	assert_int_equal(up, 4096);
	assert_true(align_up_ckd(&up, UINT64_MAX - 10, 4096));
}

static void control_characters_are_told_from_text(void **state)
{
	(void)state;
	assert_int_equal(control_len("\033[2J"), 1);
	assert_int_equal(control_len("\177"), 1);
	assert_int_equal(control_len("\xc2\x9b"
				     "2J"),
			 2); /* CSI */
	assert_int_equal(control_len("a"), 0);
	assert_int_equal(control_len("\xc2\xa7"), 0); /* a section sign */
	assert_int_equal(control_len("\xc2"), 0);
}

static void error_keeps_code_and_sentence(void **state)
{
	struct err e = { 0 };

	(void)state;
	errno = ENOENT;
	assert_int_equal(err_errno(&e, "cannot open '%s'", "x"), -ENOENT);
	assert_string_equal(e.text, "cannot open 'x': No such file or directory");
	assert_int_equal(err_prefix(&e, "disk %d", 1), -ENOENT);
	assert_string_equal(e.text, "disk 1: cannot open 'x': No such file or directory");
	assert_int_equal(err_set(NULL, -EINVAL, "unused"), -EINVAL);
}

static void unlinking_twice_is_harmless(void **state)
{
	struct list head;
	struct list a;
	struct list b;
	int n = 0;

	(void)state;
	list_init(&head);
	list_add_tail(&head, &a);
	list_add_tail(&head, &b);
	list_del(&a);
	list_del(&a);
	list_for_each(it, &head) n++;
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_that_runs_out_yields_zero_and_stays_failed),
		cmocka_unit_test(writer_drops_what_does_not_fit),
		cmocka_unit_test(ranges_never_wrap),
		cmocka_unit_test(control_characters_are_told_from_text),
		cmocka_unit_test(error_keeps_code_and_sentence),
		cmocka_unit_test(unlinking_twice_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
