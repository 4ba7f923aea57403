/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread of ours waits for memory that a guest, another thread or the GPU will change.  All
 * waiting policy is here.
 *
 * First it spins, because on a machine with CPUs to spare the next command of a guest that is busy
 * comes within microseconds.  Then it lets others run, which on a small machine may be the very
 * thread it waits for: the guest's, or a software rasteriser's.  Then it sleeps, shortly at first.
 */
#include <sched.h>
#include <time.h>

#include "venus/core.h"

#define FEW_CPUS  4 /* below this a spinning thread is in the way of those it waits for */
#define MANY_CPUS 8

#define RELAX_PER_STEP 32 /* pauses between two looks at the clock */
#define YIELDS         16
#define SLEEP_NS_MIN   UINT64_C(5000)
#define SLEEPS_EACH    8 /* of a length before it doubles */

enum { SPIN = 0, YIELD = 1, SLEEP = YIELD + YIELDS };

#define US(n) ((uint64_t)(n)*1000)

/*
 * A token of a language model takes some 1.5 ms on a fast GPU: with CPUs to spare a ring does not
 * go idle in between, and its fence is found by looking rather than by being woken.
 */
static const struct venus_poll_policy few = { .spin_ns = US(2),
					      .sleep_max_ns = US(100),
					      .awake_ns = 0,
					      .fence_spin_ns = US(2),
					      .linger_ns = 0 };
static const struct venus_poll_policy some = { .spin_ns = US(20),
					       .sleep_max_ns = US(50),
					       .awake_ns = US(2000),
					       .fence_spin_ns = US(50),
					       .linger_ns = US(50) };
static const struct venus_poll_policy many = { .spin_ns = US(200),
					       .sleep_max_ns = US(20),
					       .awake_ns = US(5000),
					       .fence_spin_ns = US(2500),
					       .linger_ns = US(2500) };

const struct venus_poll_policy *venus_poll_policy(void)
{
	cpu_set_t set;
	int n = 1;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	if (n < FEW_CPUS)
		return &few;
	return n < MANY_CPUS ? &some : &many;
}

enum venus_poll_did venus_poll_wait(struct venus_poll *p)
{
	const struct venus_poll_policy *policy = p->policy;

	if (p->step == SPIN) {
		if (p->since_ns == 0)
			p->since_ns = clock_now_ns();
		for (int i = 0; i < RELAX_PER_STEP; i++)
			venus_cpu_relax();
		if (clock_now_ns() - p->since_ns >= policy->spin_ns)
			p->step = YIELD;
		return VENUS_POLL_SPUN;
	}
	if (p->step < SLEEP) {
		p->step++;
		(void)sched_yield();
		return VENUS_POLL_YIELDED;
	}

	uint32_t doublings = (p->step - SLEEP) / SLEEPS_EACH;
	uint64_t ns = doublings < 16 ? SLEEP_NS_MIN << doublings : policy->sleep_max_ns;
	struct timespec ts = {
		.tv_nsec = (long)(ns < policy->sleep_max_ns ? ns : policy->sleep_max_ns)
	};

	p->step++;
	(void)nanosleep(&ts, NULL);
	return VENUS_POLL_SLEPT;
}
