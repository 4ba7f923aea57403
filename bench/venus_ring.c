/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does a recorded command cost the renderer?  Sends the commands that llama.cpp records for
 * each operation through a ring to a context on the null driver, and prints nanoseconds per command
 * from the guest's tail store to the ring's head store.  The null driver's own checks are in the
 * figure.
 *
 * Prints as well how long a synchronous command takes: from the tail store to the reply.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"
#include "host/thread.h"

#define ROUNDS   200U
#define PER_SEND 16U  /* operations: about 5 KiB, a command buffer as Mesa sends it */
#define PER_RING 180U /* operations: as many as the ring holds */
#define COMMANDS 5U   /* of one operation */
#define RING_ID  77U
#define TIMEOUT  UINT64_C(5000000000)

enum { CMD_BEGIN = 90, CMD_BIND_PIPELINE = 93, CMD_BIND_SETS = 103, CMD_DISPATCH = 110 };
enum { CMD_BARRIER = 126, CMD_PUSH_CONSTANTS = 132, CMD_VERSION = 137 };

static void put_operation(struct guest *g)
{
	const uint64_t set = ID_DESC_SET;

	guest_put_cmd(g, CMD_BIND_PIPELINE, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, 1); /* compute */
	guest_put_u64(g, ID_PIPELINE);

	guest_put_cmd(g, CMD_BIND_SETS, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, 1);
	guest_put_u64(g, ID_PIPE_LAYOUT);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &set);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);

	guest_put_cmd(g, CMD_PUSH_CONSTANTS, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u64(g, ID_PIPE_LAYOUT);
	guest_put_u32(g, 0x20); /* stage */
	guest_put_u32(g, 0);
	guest_put_u32(g, 64);
	guest_put_u64(g, 64);
	for (unsigned i = 0; i < 16; i++)
		guest_put_u32(g, i);

	guest_put_cmd(g, CMD_DISPATCH, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, 1);
	guest_put_u32(g, 1);
	guest_put_u32(g, 1);

	guest_put_cmd(g, CMD_BARRIER, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, 0x800);
	guest_put_u32(g, 0x800);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 46); /* VkMemoryBarrier */
	guest_put_u64(g, 0);
	guest_put_u32(g, 0x60);
	guest_put_u32(g, 0x60);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
}

static void put_begin(struct guest *g)
{
	guest_put_cmd(g, CMD_BEGIN, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_struct(g, 42);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
}

static int fail(const char *what)
{
	(void)fprintf(stderr, "venus_ring: %s\n", what);
	return 1;
}

static uint64_t spin_until_passed(const struct guest_ring *r)
{
	uint64_t start = clock_now_ns();

	while (guest_ring_load(r, GUEST_RING_HEAD) != r->tail) {
		if (guest_ring_load(r, GUEST_RING_STATUS) & GUEST_STATUS_FATAL)
			return 0;
		if (clock_now_ns() - start > TIMEOUT)
			return 0;
	}
	return clock_now_ns();
}

struct result {
	uint64_t best_ns;
	uint64_t sum_ns;
};

/* Sends what was put together and adds the time until the ring has passed it. */
static bool timed_send(struct guest *g, struct guest_ring *r, struct result *res)
{
	uint64_t start = clock_now_ns();

	guest_ring_send(g, r);
	uint64_t end = spin_until_passed(r);
	if (!end)
		return false;
	res->sum_ns += end - start;
	if (end - start < res->best_ns)
		res->best_ns = end - start;
	return true;
}

static int measure_recording(struct guest *g, struct guest_ring *r, unsigned per_send)
{
	struct result res = { .best_ns = UINT64_MAX };

	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned k = 0; k < per_send; k++)
			put_operation(g);
		if (!timed_send(g, r, &res))
			return fail("the ring stopped");
	}
	(void)printf("recorded command, %u at once: %.0f ns at best, %.0f ns on average\n",
		     per_send * COMMANDS, (double)res.best_ns / (per_send * COMMANDS),
		     (double)res.sum_ns / ROUNDS / (per_send * COMMANDS));
	return 0;
}

static int measure_reply(struct guest *g, struct guest_ring *r)
{
	struct result res = { .best_ns = UINT64_MAX };

	for (unsigned i = 0; i < ROUNDS; i++) {
		guest_cmd_reply_stream(g, RES_REPLY, 0, 4096);
		guest_put_cmd(g, CMD_VERSION, GUEST_REPLY);
		guest_put_u64(g, 1);
		if (!timed_send(g, r, &res))
			return fail("the ring stopped");
	}
	(void)printf("synchronous command: %llu ns at best, %llu ns on average\n",
		     (unsigned long long)res.best_ns, (unsigned long long)(res.sum_ns / ROUNDS));
	return 0;
}

static int measure(struct guest *g, struct guest_ring *r)
{
	put_begin(g);
	guest_ring_send(g, r);
	if (!spin_until_passed(r))
		return fail("the ring does not begin");
	if (measure_recording(g, r, PER_SEND) || measure_recording(g, r, PER_RING))
		return 1;
	return measure_reply(g, r);
}

int main(void)
{
	struct guest g;
	struct guest_ring r;
	struct guest_shm reply;
	struct guest_shm stream;

	(void)printf("%ld CPUs\n", sysconf(_SC_NPROCESSORS_ONLN));
	if (guest_open(&g, NULL) < 0 || guest_prologue(&g, &reply, &stream) < 0 ||
	    guest_ring_open(&g, &r, RING_ID, RES_FREE) < 0)
		return fail("the context does not start");
	int status = measure(&g, &r);
	if (guest_close(&g) < 0)
		status = 1;
	guest_shm_drop(&reply);
	guest_shm_drop(&stream);
	guest_shm_drop(&r.shm);
	return status;
}
