/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the event loop and of guest-sized memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
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

#define CALLERS 4

struct turns {
	struct loop *l;
	_Atomic bool is_inside;
	_Atomic unsigned overlaps;
	unsigned calls; /* one after the other */
};

static void nested(void *arg)
{
	((struct turns *)arg)->calls++;
}

static void stay(void *arg)
{
	struct turns *t = arg;

	if (atomic_exchange(&t->is_inside, true))
		t->overlaps++;
	usleep(5000);
	loop_call(t->l, nested, t);
	atomic_store(&t->is_inside, false);
}

static void *caller(void *arg)
{
	struct turns *t = arg;

	for (unsigned i = 0; i < 3; i++)
		loop_call(t->l, stay, t);
	return NULL;
}

/* As vCPUs do whose machine is ending. */
static void callers_of_a_loop_without_a_thread_take_turns(void **state)
{
	struct fixture *f = *state;
	struct turns t = { .l = f->l };
	pthread_t threads[CALLERS];

	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(thread_start(&threads[i], "caller", caller, &t), 0);
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(t.overlaps, 0);
	assert_int_equal(t.calls, 3 * CALLERS);
}

struct stop_while_called {
	struct turns t;
	struct loop_msg msg;
	pthread_t late;
};

/* The last message of a loop takes long, and somebody calls meanwhile. */
static void slow_last(struct loop_msg *m)
{
	struct stop_while_called *s = container_of(m, struct stop_while_called, msg);

	assert_int_equal(thread_start(&s->late, "caller", caller, &s->t), 0);
	stay(&s->t);
}

static void calls_wait_for_the_last_messages_of_a_loop(void **state)
{
	struct fixture *f = *state;
	struct stop_while_called s = { .t.l = f->l, .msg.fn = slow_last };

	loop_stop(f->l); /* so that the message is left over for the end */
	loop_post(f->l, &s.msg);
	loop_run(f->l);
	assert_int_equal(pthread_join(s.late, NULL), 0);
	assert_int_equal(s.t.overlaps, 0);
	assert_int_equal(s.t.calls, 4);
}

/* As of a guest that writes registers on many vCPUs. */
static void post_again(struct loop_msg *m)
{
	struct fixture *f = container_of(m, struct fixture, msg);

	if (f->n == 0)
		loop_post(f->l, m);
}

static void endless_messages_do_not_hold_up_the_others(void **state)
{
	struct fixture *f = *state;

	f->msg.fn = post_again;
	loop_post(f->l, &f->msg);
	f->t2.fn = stop_at;
	loop_timer_set(f->l, &f->t2, clock_now_ns() + 1000000);
	loop_run(f->l);
	assert_string_equal(f->order, "s");
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
		cmocka_unit_test_setup_teardown(callers_of_a_loop_without_a_thread_take_turns,
						setup, teardown),
		cmocka_unit_test_setup_teardown(calls_wait_for_the_last_messages_of_a_loop, setup,
						teardown),
		cmocka_unit_test_setup_teardown(endless_messages_do_not_hold_up_the_others, setup,
						teardown),
		cmocka_unit_test(window_shows_what_is_mapped_into_it),
		cmocka_unit_test(discarded_ram_reads_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
