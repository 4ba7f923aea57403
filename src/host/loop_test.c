/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the event loop and of guest-sized memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "host/event.h"
#include "host/loop.h"
#include "host/ram.h"
#include "host/shm.h"
#include "host/thread.h"

struct fixture {
	struct loop *l;
	struct event a, b;
	struct loop_fd src_a, src_b;
	struct loop_timer t1, t2;
	struct loop_msg msg;
	char order[8];
	unsigned n;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ 0 };
	*state = &f;
	return loop_create(&f.l) < 0 || event_open(&f.a) < 0 || event_open(&f.b) < 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->l);
	event_close(&f->a);
	event_close(&f->b);
	return 0;
}

static void note(struct fixture *f, char c)
{
	if (f->n < sizeof(f->order) - 1)
		f->order[f->n++] = c;
}

/* Both are ready; whichever comes first deletes the other, which must not be heard of again. */
static void on_a(struct loop_fd *src, unsigned events)
{
	struct fixture *f = container_of(src, struct fixture, src_a);

	assert_int_equal(events, LOOP_READ);
	note(f, 'x');
	loop_del(&f->src_b);
	event_drain(&f->a);
}

static void on_b(struct loop_fd *src, unsigned events)
{
	struct fixture *f = container_of(src, struct fixture, src_b);

	assert_int_equal(events, LOOP_READ);
	note(f, 'x');
	loop_del(&f->src_a);
	event_drain(&f->b);
}

static void stop_at(struct loop_timer *t)
{
	struct fixture *f = container_of(t, struct fixture, t2);

	note(f, 's');
	loop_stop(f->l);
}

static void deleted_source_is_silent_even_if_ready(void **state)
{
	struct fixture *f = *state;

	f->src_a = (struct loop_fd){ .fd = f->a.rfd, .fn = on_a };
	f->src_b = (struct loop_fd){ .fd = f->b.rfd, .fn = on_b };
	assert_int_equal(loop_add(f->l, &f->src_a, LOOP_READ), 0);
	assert_int_equal(loop_add(f->l, &f->src_b, LOOP_READ), 0);
	event_signal(&f->a);
	event_signal(&f->b);
	f->t2.fn = stop_at;
	loop_timer_set(f->l, &f->t2, clock_now_ns() + 2000000);
	loop_run(f->l);
	assert_string_equal(f->order, "xs");
	loop_del(&f->src_a);
	loop_del(&f->src_b);
}

static void first_timer(struct loop_timer *t)
{
	note(container_of(t, struct fixture, t1), '1');
}

static void timers_fire_in_order_and_can_be_moved(void **state)
{
	struct fixture *f = *state;
	uint64_t now = clock_now_ns();

	f->t1.fn = first_timer;
	f->t2.fn = stop_at;
	loop_timer_set(f->l, &f->t2, now + 1000000);
	loop_timer_set(f->l, &f->t1, now + 9000000000);
	loop_timer_set(f->l, &f->t1, now);
	loop_run(f->l);
	assert_string_equal(f->order, "1s");
	loop_timer_set(f->l, &f->t1, now);
	loop_timer_del(&f->t1);
	loop_timer_del(&f->t1);
}

static void stop_from_message(struct loop_msg *m)
{
	loop_stop(container_of(m, struct fixture, msg)->l);
}

static void read_thread(void *arg)
{
	*(pthread_t *)arg = pthread_self();
}

static void calls_run_on_the_loop_thread_or_here_without_one(void **state)
{
	struct fixture *f = *state;
	pthread_t who;

	loop_call(f->l, read_thread, &who);
	assert_true(pthread_equal(who, pthread_self()));
	assert_int_equal(loop_thread_start(f->l, "test"), 0);
	loop_call(f->l, read_thread, &who);
	assert_false(pthread_equal(who, pthread_self()));
	f->msg.fn = stop_from_message;
	loop_post(f->l, &f->msg);
	loop_thread_stop(f->l);
	loop_call(f->l, read_thread, &who);
	assert_true(pthread_equal(who, pthread_self()));
}

static void window_shows_what_is_mapped_into_it(void **state)
{
	uint64_t page = shm_page_size();
	void *at = NULL;
	void *other = NULL;
	int fd = -1;

	(void)state;
	assert_int_equal(ram_alloc(page + 1, &at), -EINVAL);
	assert_int_equal(ram_alloc(0, &at), -EINVAL);
	assert_int_equal(ram_alloc(UINT64_MAX - page + 1, &at), -EINVAL);
	assert_int_equal(ram_reserve(4 * page, &at), 0);
	assert_int_equal((uintptr_t)at % RAM_ALIGN, 0);
	assert_int_equal(shm_create("t", 2 * page, &fd), 0);
	assert_int_equal(shm_map(fd, 2 * page, &other), 0);
	assert_int_equal(ram_window_map((char *)at + page, page, fd, page, false), 0);
	((char *)at)[page] = 'p';
	assert_int_equal(((char *)other)[page], 'p');
	assert_int_equal(ram_window_map((char *)at + page, page, fd, UINT64_MAX, false), -EINVAL);
	assert_int_equal(ram_window_unmap((char *)at + page, page), 0);
	ram_free(at, 4 * page);
	shm_unmap(other, 2 * page);
	close(fd);
}

static void discarded_ram_reads_zero(void **state)
{
	uint64_t page = shm_page_size();
	void *at = NULL;

	(void)state;
	assert_int_equal(ram_alloc(2 * page, &at), 0);
	((volatile char *)at)[page] = 7;
	assert_int_equal(ram_discard((char *)at + page, page), 0);
	assert_int_equal(((volatile char *)at)[page], 0);
	ram_free(at, 2 * page);
	ram_free(NULL, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(deleted_source_is_silent_even_if_ready, setup,
						teardown),
		cmocka_unit_test_setup_teardown(timers_fire_in_order_and_can_be_moved, setup,
						teardown),
		cmocka_unit_test_setup_teardown(calls_run_on_the_loop_thread_or_here_without_one,
						setup, teardown),
		cmocka_unit_test(window_shows_what_is_mapped_into_it),
		cmocka_unit_test(discarded_ram_reads_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
