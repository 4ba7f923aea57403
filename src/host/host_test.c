/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of descriptors, shared memory and threads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/mapwatch.h"
#include "host/shm.h"
#include "host/thread.h"

static void descriptors_travel_and_superfluous_ones_are_closed(void **state)
{
	int pair[2];
	int got[1] = { -1 };
	unsigned n = 1;
	char byte = 'x';

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	int give[2] = { pair[0], pair[1] };
	int before = dup(0);
	close(before);
	assert_int_equal(fd_send(pair[0], &byte, 1, give, 2), 0);
	assert_int_equal(fd_recv(pair[1], &byte, 1, got, &n), 1);
	assert_int_equal(n, 1);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(got[0]);
	int after = dup(0); /* the lowest free number is what it was: nothing leaked */
	close(after);
	assert_int_equal(before, after);
	close(pair[0]);
	assert_int_equal(fd_read_full(pair[1], &byte, 1), -ENODATA);
	assert_int_equal(fd_write_full(pair[1], &byte, 1), -EPIPE);
	close(pair[1]);
}

/* A peer that takes a little and then nothing. */
static void sending_ends_in_time(void **state)
{
	static char much[1 << 20];
	int pair[2];
	int got = -1;
	unsigned n = 1;
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	/* More than it ever holds at once, so in parts; the descriptor goes with the first. */
	while (fd_send_until(pair[0], much, sizeof(much), &pair[0], 1, 0) == 0)
		;
	assert_int_equal(fd_send_until(pair[0], much, 1, NULL, 0, clock_now_ns() + 1000),
			 -ETIMEDOUT);
	assert_int_equal(fd_recv(pair[1], &byte, 1, &got, &n), 1);
	assert_int_equal(n, 1);
	close(got);
	close(pair[1]);
	assert_int_equal(fd_send_until(pair[0], much, 1, NULL, 0, 0), -EPIPE);
	close(pair[0]);
}

static void shared_memory_cannot_be_resized(void **state)
{
	int fd = -1;
	void *at = NULL;

	(void)state;
	assert_int_equal(shm_create("t", 0, &fd), -EINVAL);
	assert_int_equal(shm_create("t", 5, &fd), -EINVAL);
	assert_int_equal(shm_create("t", shm_page_size(), &fd), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(shm_map(fd, shm_page_size(), &at), 0);
	*(volatile char *)at = 1;
	shm_unmap(at, shm_page_size());
	close(fd);
}

struct flag {
	struct mutex lock;
	struct cond cond;
	int value; /* lock */
};

static void *raise_flag(void *arg)
{
	struct flag *f = arg;

	mutex_lock(&f->lock);
	f->value = 1;
	cond_signal(&f->cond);
	mutex_unlock(&f->lock);
	return NULL;
}

static void waiting_ends_by_signal_or_by_time(void **state)
{
	struct flag f = { .lock = MUTEX_INIT };
	pthread_t t;

	(void)state;
	cond_init(&f.cond);
	mutex_lock(&f.lock);
	/* It may end for no reason, but not for ever. */
	uint64_t soon = clock_now_ns() + 1000;
	while (cond_wait_until(&f.cond, &f.lock, soon) != -ETIMEDOUT) {
	}
	assert_int_equal(thread_start(&t, "a name that is too long", raise_flag, &f), 0);
	while (!f.value)
		cond_wait(&f.cond, &f.lock);
	mutex_unlock(&f.lock);
	pthread_join(t, NULL);
	cond_fini(&f.cond);
	mutex_fini(&f.lock);
}

static void *measure_stack(void *arg)
{
	pthread_attr_t attr;

	assert_int_equal(pthread_getattr_np(pthread_self(), &attr), 0);
	assert_int_equal(pthread_attr_getstacksize(&attr, arg), 0);
	pthread_attr_destroy(&attr);
	return NULL;
}

static void our_stacks_have_no_room_for_a_huge_page(void **state)
{
	size_t ours = 0;
	size_t deep = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(thread_start(&t, "ours", measure_stack, &ours), 0);
	pthread_join(t, NULL);
	assert_int_equal(thread_start_deep(&t, "deep", measure_stack, &deep), 0);
	pthread_join(t, NULL);
	assert_true(ours <= THREAD_STACK);
	assert_true(deep > ours);
}

static void mappings_are_traced_to_their_descriptor(void **state)
{
	struct mapwatch w;
	uint64_t size = 0;
	int fd = -1;
	int file;

	(void)state;
	assert_int_equal(shm_create("test", 8192, &file), 0);
	mapwatch_note(&fd, 4096, MAP_SHARED, file, 0); /* nobody watches */
	mapwatch_begin(&w);
	mapwatch_note(&size, 4096, MAP_SHARED, file, 4096); /* not its beginning */
	mapwatch_note(&size, 4096, MAP_PRIVATE, file, 0);   /* others would not see it */
	mapwatch_note(&size, 4096, MAP_SHARED | MAP_ANON, -1, 0);
	mapwatch_note(&file, 8192, MAP_SHARED, file, 0);
	for (unsigned i = 0; i < 2 * MAPWATCH_MAX; i++)
		mapwatch_note(&w, 4096, MAP_SHARED, file, 0);
	assert_int_equal(mapwatch_end(&w, &size, &fd, &size), -ENOENT);
	mapwatch_note(&file, 8192, MAP_SHARED, file, 0); /* nor any more */
	mapwatch_begin(&w);
	assert_int_equal(mapwatch_end(&w, &file, &fd, &size), -ENOENT);

	mapwatch_begin(&w);
	mapwatch_note(&file, 8192, MAP_SHARED, file, 0);
	assert_int_equal(mapwatch_end(&w, &file, &fd, &size), 0);
	assert_int_equal(size, 8192);
	assert_int_not_equal(fd, file);
	(void)close(fd);
	(void)close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_travel_and_superfluous_ones_are_closed),
		cmocka_unit_test(sending_ends_in_time),
		cmocka_unit_test(shared_memory_cannot_be_resized),
		cmocka_unit_test(waiting_ends_by_signal_or_by_time),
		cmocka_unit_test(our_stacks_have_no_room_for_a_huge_page),
		cmocka_unit_test(mappings_are_traced_to_their_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
