/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that watches the others: tells the guest that its rings live even while the driver
 * compiles for seconds (venus.md 5.4), and tells the log when the driver does not come back.
 */
#include "util/log.h"
#include "venus/core.h"

#define WATCH_NS UINT64_C(1000000000)  /* between two looks */
#define STUCK_NS UINT64_C(30000000000) /* in one command before a line is logged; then doubling */

#define STATUS_ALIVE   4U
#define MONITOR_NS_MIN UINT64_C(1000000) /* however short a period the guest asks for */

static void watch_ring(struct venus_ring *r, uint64_t passed_ns)
{
	const char *cmd = atomic_load_explicit(&r->dec.stats.running, memory_order_relaxed);
	uint64_t n = atomic_load_explicit(&r->dec.stats.commands, memory_order_relaxed);

	if (r->monitor_ns)
		(void)atomic_fetch_or_explicit(r->status, STATUS_ALIVE, memory_order_seq_cst);
	/* Limit 0: never looked at, so that nothing is known of how long the command has run. */
	if (!cmd || n != r->seen_commands || r->warn_ns == 0) {
		r->seen_commands = n;
		r->stuck_ns = 0;
		r->warn_ns = STUCK_NS;
		return;
	}
	r->stuck_ns += passed_ns;
	if (r->stuck_ns >= r->warn_ns) {
		log_warn(GPU, "%s: a ring has been in %s for %llu s", r->ctx->name, cmd,
			 (unsigned long long)(r->stuck_ns / UINT64_C(1000000000)));
		r->warn_ns *= 2;
	}
}

/* Half the shortest period, so that a report is never late. */
static uint64_t period(struct venus_ctx *ctx) REQUIRES(&ctx->ring_lock)
{
	uint64_t ns = WATCH_NS;

	list_for_each(it, &ctx->rings)
	{
		const struct venus_ring *r = container_of(it, struct venus_ring, node);

		if (r->monitor_ns && r->monitor_ns / 2 < ns)
			ns = r->monitor_ns / 2;
	}
	return ns > MONITOR_NS_MIN ? ns : MONITOR_NS_MIN;
}

static void *monitor_main(void *arg)
{
	struct venus_ctx *ctx = arg;

	mutex_lock(&ctx->ring_lock);
	while (!ctx->monitor_stop) {
		uint64_t start = clock_now_ns();

		(void)cond_wait_until(&ctx->ring_cond, &ctx->ring_lock, start + period(ctx));
		uint64_t passed = clock_now_ns() - start;
		list_for_each(it, &ctx->rings)
			watch_ring(container_of(it, struct venus_ring, node), passed);
	}
	mutex_unlock(&ctx->ring_lock);
	return NULL;
}

int venus_monitor_start(struct venus_ctx *ctx)
{
	int r = thread_start_deep(&ctx->monitor, "venus-monitor", monitor_main, ctx);

	ctx->has_monitor = r == 0;
	return r;
}

void venus_monitor_stop(struct venus_ctx *ctx)
{
	if (!ctx->has_monitor)
		return;
	mutex_lock(&ctx->ring_lock);
	ctx->monitor_stop = true;
	cond_signal(&ctx->ring_cond);
	mutex_unlock(&ctx->ring_lock);
	(void)pthread_join(ctx->monitor, NULL);
	ctx->has_monitor = false;
}
