/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of cursors over memory in pieces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/cur.h"

/* "abcdefgh" in pieces of 1, 0, 3, 0 and 4 bytes. */
struct pieces {
	char a[1], b[3], c[4];
	struct iovec iov[5];
	struct cur cur;
};

static struct pieces *pieces_reset(struct pieces *p)
{
	memcpy(p->a, "a", 1);
	memcpy(p->b, "bcd", 3);
	memcpy(p->c, "efgh", 4);
	p->iov[0] = (struct iovec){ p->a, 1 };
	p->iov[1] = (struct iovec){ NULL, 0 };
	p->iov[2] = (struct iovec){ p->b, 3 };
	p->iov[3] = (struct iovec){ p->b, 0 };
	p->iov[4] = (struct iovec){ p->c, 4 };
	p->cur = cur_init(p->iov, 5);
	return p;
}

static void reading_crosses_pieces_and_stops_at_the_end(void **state)
{
	struct pieces p;
	char got[9] = "";

	(void)state;
	pieces_reset(&p);
	assert_int_equal(cur_left(&p.cur), 8);
	assert_int_equal(cur_read(&p.cur, got, 5), 0);
	assert_string_equal(got, "abcde");
	assert_int_equal(cur_read(&p.cur, got, 4), -EPROTO);
	assert_int_equal(cur_left(&p.cur), 3);
	assert_string_equal(got, "abcde");
	assert_int_equal(cur_read(&p.cur, got, 3), 0);
	assert_memory_equal(got, "fgh", 3);
	assert_int_equal(cur_read(&p.cur, got, 0), 0);
	assert_int_equal(cur_read(&p.cur, got, 1), -EPROTO);
}

static void writing_and_clearing_cross_pieces(void **state)
{
	struct pieces p;

	(void)state;
	pieces_reset(&p);
	assert_int_equal(cur_write(&p.cur, "123456789", 9), -EPROTO);
	assert_memory_equal(p.a, "a", 1);
	assert_int_equal(cur_write(&p.cur, "12", 2), 0);
	assert_int_equal(cur_zero(&p.cur, 3), 0);
	assert_int_equal(cur_zero(&p.cur, 4), -EPROTO);
	assert_int_equal(cur_skip(&p.cur, 4), -EPROTO);
	assert_int_equal(cur_skip(&p.cur, 2), 0);
	assert_int_equal(cur_write(&p.cur, "z", 1), 0);
	assert_memory_equal(p.a, "1", 1);
	assert_memory_equal(p.b, "2\0\0", 3);
	assert_memory_equal(p.c, "\0fgz", 4);
}

static void split_halves_do_not_reach_into_each_other(void **state)
{
	struct pieces p;
	struct cur front;
	char got[8];

	(void)state;
	pieces_reset(&p);
	cur_split(&p.cur, 2, &front);
	assert_int_equal(cur_left(&front), 2);
	assert_int_equal(cur_left(&p.cur), 6);
	assert_int_equal(cur_read(&front, got, 3), -EPROTO);
	assert_int_equal(cur_read(&front, got, 2), 0);
	assert_int_equal(cur_read(&p.cur, got + 2, 6), 0);
	assert_memory_equal(got, "abcdefgh", 8);

	pieces_reset(&p);
	cur_split(&p.cur, 100, &front);
	assert_int_equal(cur_left(&front), 8);
	assert_int_equal(cur_left(&p.cur), 0);
}

static void iov_lists_what_is_ahead_without_empty_pieces(void **state)
{
	struct pieces p;
	struct cur front;
	struct iovec iov[5];
	size_t bytes = 0;

	(void)state;
	pieces_reset(&p);
	assert_int_equal(cur_skip(&p.cur, 2), 0);
	cur_split(&p.cur, 4, &front);
	assert_int_equal(cur_iov(&front, iov, 5, &bytes), 2);
	assert_int_equal(bytes, 4);
	assert_ptr_equal(iov[0].iov_base, p.b + 1);
	assert_int_equal(iov[0].iov_len, 2);
	assert_ptr_equal(iov[1].iov_base, p.c);
	assert_int_equal(iov[1].iov_len, 2);
	assert_int_equal(cur_iov(&front, iov, 1, &bytes), 1);
	assert_int_equal(bytes, 2);
	assert_int_equal(cur_iov(&front, iov, 0, NULL), 0);
	assert_int_equal(cur_skip(&front, 4), 0);
	assert_int_equal(cur_iov(&front, iov, 5, &bytes), 0);
	assert_int_equal(bytes, 0);
}

static void copying_lines_up_different_pieces(void **state)
{
	struct pieces p;
	char to[8] = "";
	struct iovec iov[2] = { { to, 3 }, { to + 3, 5 } };
	struct cur dst = cur_init(iov, 2);

	(void)state;
	pieces_reset(&p);
	assert_int_equal(cur_copy(&dst, &p.cur, 9), -EPROTO);
	assert_int_equal(cur_copy(&dst, &p.cur, 8), 0);
	assert_memory_equal(to, "abcdefgh", 8);
	assert_int_equal(cur_copy(&dst, &p.cur, 1), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_crosses_pieces_and_stops_at_the_end),
		cmocka_unit_test(writing_and_clearing_cross_pieces),
		cmocka_unit_test(split_halves_do_not_reach_into_each_other),
		cmocka_unit_test(iov_lists_what_is_ahead_without_empty_pieces),
		cmocka_unit_test(copying_lines_up_different_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
