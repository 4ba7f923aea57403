/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does a machine's account of GPU memory cost?  Two contexts on the host's driver allocate and
 * free small memory, in turns: one asks a process beside it before each allocation, as the
 * renderers of a machine ask their broker (render/budget.h), the other nobody.
 *
 * Prints the median time of an allocation and its end for both, and the ratio, for some sizes of
 * memory type 0.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "host/fd.h"
#include "host/loop.h"
#include "host/thread.h"
#include "render/budget.h"

#define ROUNDS    21U
#define PER_ROUND 500U /* allocations */

struct side {
	struct guest g;
	uint64_t ns[ROUNDS]; /* of one allocation and its end */
};

struct broker {
	struct loop *loop;
	struct loop_fd src;
	struct budget budget;
	struct budget_account account;
};

static void on_claim(struct loop_fd *src, unsigned events)
{
	struct broker *b = container_of(src, struct broker, src);
	int r = 0;

	(void)events;
	while (r == 0)
		r = budget_serve(&b->account, src->fd);
	if (r != -EAGAIN)
		loop_stop(b->loop);
}

/* The process that keeps the account. */
static int serve(int sock)
{
	struct broker b = { .budget = { .limit = UINT64_C(1) << 40 } };

	b.account.budget = &b.budget;
	b.src = (struct loop_fd){ .fd = sock, .fn = on_claim };
	if (fd_set_nonblock(sock) < 0 || loop_create(&b.loop) < 0 ||
	    loop_add(b.loop, &b.src, LOOP_READ) < 0)
		return 1;
	loop_run(b.loop);
	return 0;
}

static int claim(void *arg, uint64_t bytes)
{
	return budget_claim(arg, bytes);
}

static void give_back(void *arg, uint64_t bytes)
{
	budget_return(arg, bytes);
}

static void on_fence(void *user, uint32_t ring_idx, uint64_t fence_id)
{
	(void)user;
	(void)ring_idx;
	(void)fence_id;
}

static int begin(struct side *s, PFN_vkGetInstanceProcAddr gipa, const struct venus_budget *budget)
{
	const struct venus_ctx_config cfg = {
		.gipa = gipa, .name = "bench", .budget = budget, .fence_retired = on_fence
	};

	s->g.out = malloc(GUEST_OUT_BYTES);
	if (!s->g.out || venus_ctx_create(&cfg, &s->g.ctx) < 0)
		return -1;
	guest_cmd_instance(&s->g, ID_INSTANCE);
	guest_cmd_physdevs(&s->g, ID_INSTANCE, ID_PHYS0, 1);
	guest_cmd_device(&s->g, ID_PHYS0, ID_DEVICE, 1);
	return guest_submit(&s->g);
}

static int round_of(struct side *s, unsigned round, uint64_t size, uint32_t type)
{
	uint64_t start = clock_now_ns();

	for (unsigned i = 0; i < PER_ROUND; i++) {
		guest_cmd_memory(&s->g, ID_DEVICE, ID_FREE, size, type);
		guest_cmd_destroy(&s->g, 22, ID_DEVICE, ID_FREE);
		if (guest_submit(&s->g) < 0)
			return -1;
	}
	s->ns[round] = (clock_now_ns() - start) / PER_ROUND;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(struct side *s)
{
	qsort(s->ns, ROUNDS, sizeof(s->ns[0]), compare);
	return s->ns[ROUNDS / 2];
}

static int measure(struct side *plain, struct side *asking, uint64_t size, uint32_t type)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (round_of(plain, i, size, type) < 0 || round_of(asking, i, size, type) < 0)
			return -1;
	}
	uint64_t a = median(plain);
	uint64_t b = median(asking);
	(void)printf(
		"type %u, %7ju bytes: %.2f us without an account, %.2f us with it, ratio %.2f\n",
		type, (uintmax_t)size, (double)a / 1000, (double)b / 1000, (double)b / (double)a);
	return 0;
}

int main(void)
{
	static struct side plain;
	static struct side asking;
	struct budget_client client = { .sock = -1 };
	const struct venus_budget budget = {
		.claim = claim, .give_back = give_back, .arg = &client, .counts_all = true
	};
	PFN_vkGetInstanceProcAddr gipa;
	int pair[2];
	struct err e;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		_exit(serve(pair[1]));
	}
	(void)close(pair[1]);
	client.sock = pair[0];
	mutex_init(&client.lock);
	if (pid < 0 || venus_loader_open(&gipa, &e) < 0 || begin(&plain, gipa, NULL) < 0 ||
	    begin(&asking, gipa, &budget) < 0) {
		(void)fprintf(stderr, "bench_budget: the host's driver does not work\n");
		return 1;
	}
	for (uint64_t size = 4096; size <= 1U << 20; size *= 16) {
		if (measure(&plain, &asking, size, 0) < 0)
			return 1;
	}
	(void)guest_close(&plain.g);
	(void)guest_close(&asking.g);
	(void)close(pair[0]);
	(void)waitpid(pid, NULL, 0);
	return 0;
}
