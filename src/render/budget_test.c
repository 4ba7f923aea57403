/* SPDX-License-Identifier: Apache-2.0 */
/* Renderers, sound ones and others, that share a budget. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/fd.h"
#include "host/thread.h"
#include "render/budget.h"

#define LIMIT     UINT64_C(1000)
#define RENDERERS 4
#define TURNS     500

struct fixture {
	struct budget budget;
	struct budget_account account[RENDERERS];
	int ours[RENDERERS];
	struct budget_client client[RENDERERS];
	pthread_t owner;
	int result[RENDERERS]; /* why the owner serves it no more */
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->budget.limit = LIMIT;
	for (unsigned i = 0; i < RENDERERS; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
		    fd_set_nonblock(pair[0]) < 0)
			return -1;
		x->ours[i] = pair[0];
		x->client[i].sock = pair[1];
		mutex_init(&x->client[i].lock);
		x->account[i].budget = &x->budget;
	}
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	for (unsigned i = 0; i < RENDERERS; i++) {
		fd_drop(&x->ours[i]);
		fd_drop(&x->client[i].sock);
		mutex_fini(&x->client[i].lock);
	}
	free(x);
	return 0;
}

/* Serves all until each has hung up or been given up. */
static void *own(void *arg)
{
	struct fixture *x = arg;

	for (unsigned left = RENDERERS; left;) {
		left = 0;
		for (unsigned i = 0; i < RENDERERS; i++) {
			if (x->ours[i] < 0)
				continue;
			int r = budget_serve(&x->account[i], x->ours[i]);
			if (r < 0 && r != -EAGAIN) {
				x->result[i] = r;
				fd_drop(&x->ours[i]);
			}
			left++;
		}
		sched_yield();
	}
	return NULL;
}

static void begin(struct fixture *x)
{
	assert_int_equal(thread_start(&x->owner, "owner", own, x), 0);
}

static void end(struct fixture *x)
{
	for (unsigned i = 0; i < RENDERERS; i++)
		fd_drop(&x->client[i].sock);
	assert_int_equal(pthread_join(x->owner, NULL), 0);
}

static void all_hit_one_limit(void **state)
{
	struct fixture *x = *state;

	begin(x);
	assert_int_equal(budget_claim(&x->client[0], 600), 0);
	assert_int_equal(budget_claim(&x->client[1], 401), -ENOMEM);
	assert_int_equal(budget_claim(&x->client[1], UINT64_MAX), -ENOMEM);
	assert_int_equal(budget_claim(&x->client[1], 400), 0);
	assert_int_equal(budget_claim(&x->client[2], 1), -ENOMEM);
	assert_int_equal(budget_claim(&x->client[2], 0), 0);
	budget_return(&x->client[0], 100);
	/* What one returns another finds, if not at once: they are different sockets. */
	while (budget_claim(&x->client[2], 100) < 0)
		sched_yield();
	assert_int_equal(budget_claim(&x->client[0], 1), -ENOMEM);
	end(x);
	assert_int_equal(x->budget.claimed, LIMIT);
	for (unsigned i = 0; i < RENDERERS; i++)
		assert_int_equal(x->result[i], -ENODATA);
	budget_close(&x->account[0]);
	assert_int_equal(x->budget.claimed, 500);
	budget_close(&x->account[0]);
	assert_int_equal(x->budget.claimed, 500);
	budget_close(&x->account[1]);
	budget_close(&x->account[2]);
	assert_int_equal(x->budget.claimed, 0);
}

static void *take_and_return(void *arg)
{
	struct budget_client *c = arg;

	for (unsigned i = 0; i < TURNS; i++) {
		if (budget_claim(c, 300) == 0)
			budget_return(c, 300);
	}
	return NULL;
}

static void threads_share_a_socket(void **state)
{
	struct fixture *x = *state;
	pthread_t threads[RENDERERS];

	begin(x);
	for (unsigned i = 0; i < RENDERERS; i++)
		assert_int_equal(
			thread_start(&threads[i], "claims", take_and_return, &x->client[i % 2]), 0);
	for (unsigned i = 0; i < RENDERERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	end(x);
	assert_int_equal(x->budget.claimed, 0);
}

/* Small claims are seldom asked for, and never at the cost of others. */
static void small_claims_are_answered_in_advance(void **state)
{
	const uint64_t limit = UINT64_C(1) << 30;
	const uint64_t spare = limit / BUDGET_SPARE_PART;
	struct fixture *x = *state;

	x->budget.limit = limit;
	begin(x);
	assert_int_equal(budget_claim(&x->client[0], 4096), 0);
	assert_int_equal(x->client[0].spare, spare);
	end(x);

	/* Nobody answers any more, and nobody needs to. */
	for (unsigned i = 0; i < TURNS; i++) {
		assert_int_equal(budget_claim(&x->client[0], spare), 0);
		assert_int_equal(budget_claim(&x->client[0], 1), -ENOMEM);
		budget_return(&x->client[0], spare);
	}
	assert_int_equal(x->account[0].claimed, 4096 + spare);
	assert_int_equal(x->budget.claimed, 4096 + spare);
}

static void what_is_kept_in_advance_is_little(void **state)
{
	const uint64_t limit = UINT64_C(1) << 30;
	const uint64_t spare = limit / BUDGET_SPARE_PART;
	struct fixture *x = *state;

	x->budget.limit = limit;
	begin(x);
	assert_int_equal(budget_claim(&x->client[0], 100 * spare), 0);
	budget_return(&x->client[0], 100 * spare);
	assert_int_equal(x->client[0].spare, spare);
	/* All but what the first keeps is there for another, to the byte. */
	while (budget_claim(&x->client[1], limit - spare) < 0)
		sched_yield();
	assert_int_equal(x->client[1].spare, 0);
	assert_int_equal(budget_claim(&x->client[1], 1), -ENOMEM);
	assert_int_equal(budget_claim(&x->client[0], spare), 0);
	/* With so little left nothing is kept any more. */
	budget_return(&x->client[1], 2 * spare);
	while (budget_claim(&x->client[0], 1) < 0)
		sched_yield();
	assert_int_equal(x->client[0].spare, 0);
	budget_return(&x->client[0], spare + 1);
	assert_int_equal(x->client[0].spare, 0);
	while (budget_claim(&x->client[2], 3 * spare) < 0)
		sched_yield();
	end(x);
	assert_int_equal(x->budget.claimed, limit);
}

/* One that has been taken over: it loses its own account, and others lose nothing. */
static void nobody_returns_what_is_not_his(void **state)
{
	static const struct {
		uint32_t words[4];
		size_t len;
	} bad[] = {
		{ { 2, 0, 11, 0 }, 16 },
		{ { 2, 0, UINT32_MAX, UINT32_MAX }, 16 },
		{ { 3, 0, 1, 0 }, 16 },
		{ { 2, 0, 1 }, 12 },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fixture *x = *state;

		begin(x);
		assert_int_equal(budget_claim(&x->client[0], 900), 0);
		assert_int_equal(budget_claim(&x->client[1], 10), 0);
		assert_int_equal(write(x->client[1].sock, bad[i].words, bad[i].len), bad[i].len);
		assert_int_equal(budget_claim(&x->client[1], 1), -ENOMEM);
		assert_int_equal(budget_claim(&x->client[2], 91), -ENOMEM);
		assert_int_equal(budget_claim(&x->client[2], 90), 0);
		end(x);
		assert_int_equal(x->result[1], -EPROTO);
		assert_int_equal(x->budget.claimed, LIMIT);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

static void one_that_does_not_listen_is_given_up(void **state)
{
	const uint32_t words[4] = { 1, 0, 0, 0 };
	struct fixture *x = *state;
	int r = 0;

	while (r == 0) {
		assert_int_equal(write(x->client[0].sock, words, sizeof(words)), sizeof(words));
		r = budget_serve(&x->account[0], x->ours[0]);
	}
	assert_int_equal(r, -EPROTO);
	assert_int_equal(budget_serve(&x->account[1], x->ours[1]), -EAGAIN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(all_hit_one_limit),
		T(threads_share_a_socket),
		T(small_claims_are_answered_in_advance),
		T(what_is_kept_in_advance_is_little),
		T(nobody_returns_what_is_not_his),
		T(one_that_does_not_listen_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
