/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings (venus.md 5): the guest writes commands into shared memory and moves the tail, a thread
 * executes them and moves the head after each.  A ring without work goes idle; the guest then wakes
 * it with vkNotifyRingMESA, but at most once a millisecond, so whoever was woken stays awake for at
 * least the ring's idle time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "util/ckd.h"
#include "util/log.h"
#include "venus/core.h"

#define RING_BUFFER_MAX  (16U << 20)
#define RING_IDLE_MAX_NS UINT64_C(100000000) /* a guest may not make us poll longer */

#define WATCH_NS UINT64_C(1000000) /* of one wait for pos: see publish_head() */

/*
 * A guest that was interrupted between moving the tail and noting when it last notified us may keep
 * still although we are idle.  So the first few sleeps end by themselves.
 */
#define FIRST_SLEEP_NS UINT64_C(1000000)
#define SLEEPS_BOUNDED 4 /* each four times as long as the one before */

enum { STATUS_IDLE = 1, STATUS_FATAL = 2, STATUS_ALIVE = 4 };

static void status_set(struct venus_ring *r, uint32_t bits)
{
	(void)atomic_fetch_or_explicit(r->status, bits, memory_order_seq_cst);
}

static void status_clear(struct venus_ring *r, uint32_t bits)
{
	(void)atomic_fetch_and_explicit(r->status, ~bits, memory_order_seq_cst);
}

static bool ring_ends(const struct venus_ring *r)
{
	return atomic_load_explicit(&r->stop, memory_order_relaxed) || venus_is_fatal(r->ctx);
}

static bool pos_reached(uint32_t pos, uint32_t seqno)
{
	return (int32_t)(pos - seqno) >= 0;
}

/* Lets those who wait for the ring's position look again. */
static void wake_watchers(struct venus_ring *r)
{
	if (atomic_load_explicit(&r->watchers, memory_order_relaxed) == 0)
		return;
	mutex_lock(&r->lock);
	cond_broadcast(&r->cond);
	mutex_unlock(&r->lock);
}

static void publish_head(struct venus_ring *r, uint32_t pos)
{
	/* Release: the guest may reuse ring and streams, and read the reply, once it sees this. */
	atomic_store_explicit(r->head, pos, memory_order_release);
	atomic_store_explicit(&r->pos, pos, memory_order_release);
	wake_watchers(r);
}

/* Takes what is pending out of the guest's reach and executes it. */
static void ring_execute(struct venus_ring *r, uint32_t pos, uint32_t n)
{
	struct venus_dec *d = &r->dec;
	uint32_t at = pos & (r->buffer_size - 1);
	uint32_t first = n < r->buffer_size - at ? n : r->buffer_size - at;

	memcpy(r->copy, r->buffer + at, first);
	memcpy(r->copy + first, r->buffer, n - first);
	venus_busy(d->table, &d->reader);
	d->p = r->copy;
	d->end = r->copy + n;
	while (d->p < d->end && !ring_ends(r)) {
		if (!venus_dec_one(d))
			break;
		publish_head(r, pos + (uint32_t)(d->p - r->copy));
	}
	venus_idle(&d->reader);
	/* A watcher that came while we stored the last position may have missed it. */
	atomic_thread_fence(memory_order_seq_cst);
	wake_watchers(r);
}

static void ring_sleep(struct venus_ring *r, uint32_t pos)
{
	uint64_t ns = FIRST_SLEEP_NS;
	unsigned n = 0;

	mutex_lock(&r->lock);
	while (!r->is_notified && !ring_ends(r) &&
	       atomic_load_explicit(r->tail, memory_order_acquire) == pos) {
		if (n++ < SLEEPS_BOUNDED)
			(void)cond_wait_until(&r->cond, &r->lock, clock_now_ns() + ns);
		else
			cond_wait(&r->cond, &r->lock);
		ns *= 4;
	}
	mutex_unlock(&r->lock);
}

/* Sleeps until notified, unless there is work after all. */
static void ring_go_idle(struct venus_ring *r, uint32_t pos)
{
	mutex_lock(&r->lock);
	r->is_notified = false;
	mutex_unlock(&r->lock);
	/* Sequentially consistent: either we see the guest's new tail, or it sees IDLE. */
	status_set(r, STATUS_IDLE);
	if (atomic_load_explicit(r->tail, memory_order_seq_cst) == pos) {
		venus_stat_add(&r->dec.stats.idles, 1);
		ring_sleep(r, pos);
		venus_stat_add(&r->dec.stats.wakes, 1);
	}
	status_clear(r, STATUS_IDLE);
}

static void ring_loop(struct venus_ring *r)
{
	struct venus_poll poll = { .policy = r->ctx->policy };
	uint32_t pos = 0;
	uint64_t active_ns = clock_now_ns();

	while (!ring_ends(r)) {
		uint32_t tail = atomic_load_explicit(r->tail, memory_order_acquire);
		uint32_t n = tail - pos;

		if (n > r->buffer_size) {
			r->dec.cmd = NULL;
			venus_dec_fatal(&r->dec, "moved a ring's tail past its head");
			break;
		}
		if (n > 0) {
			ring_execute(r, pos, n);
			pos = tail;
			active_ns = 0;
			venus_poll_reset(&poll);
			continue;
		}
		enum venus_poll_did did = venus_poll_wait(&poll);
		if (did == VENUS_POLL_SLEPT)
			venus_stat_add(&r->dec.stats.sleeps, 1);
		if (did == VENUS_POLL_SPUN)
			continue;

		uint64_t now = clock_now_ns();
		if (active_ns == 0)
			active_ns = now;
		if (now - active_ns >= r->idle_ns) {
			ring_go_idle(r, pos);
			active_ns = clock_now_ns();
			venus_poll_reset(&poll);
		}
	}
}

static void *ring_main(void *arg)
{
	struct venus_ring *r = arg;

	/* Sleeps of a few microseconds are no use if the kernel adds fifty. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	if (r->priority > 0) /* a guest may not push itself before others */
		(void)setpriority(PRIO_PROCESS, 0, r->priority);
	ring_loop(r);
	if (venus_is_fatal(r->ctx))
		status_set(r, STATUS_FATAL);

	mutex_lock(&r->lock);
	/* Release: whoever frees the ring after seeing this does so after all that we did. */
	atomic_store_explicit(&r->has_ended, true, memory_order_release);
	cond_broadcast(&r->cond);
	mutex_unlock(&r->lock);
	return NULL;
}

/* ---- creation ---- */

struct region {
	size_t at;
	size_t size;
};

/* Every region lies in the window, on a 4-byte boundary, and overlaps no other. */
static bool regions_fit(const struct region *g, unsigned n, size_t window)
{
	for (unsigned i = 0; i < n; i++) {
		if (g[i].at % 4 != 0 || !range_fits(g[i].at, g[i].size, window))
			return false;
		for (unsigned k = 0; k < i; k++) {
			if (g[i].size && g[k].size && g[i].at < g[k].at + g[k].size &&
			    g[k].at < g[i].at + g[i].size)
				return false;
		}
	}
	return true;
}

static bool layout_fits(const VkRingCreateInfoMESA *ci, const struct venus_res *res)
{
	const struct region regions[] = {
		{ ci->headOffset, 4 },
		{ ci->tailOffset, 4 },
		{ ci->statusOffset, 4 },
		{ ci->bufferOffset, ci->bufferSize },
		{ ci->extraOffset, ci->extraSize },
	};

	return res->kind == VENUS_BLOB_SHM && res->map &&
	       range_fits(ci->offset, ci->size, res->size) && ci->offset % 4 == 0 &&
	       is_pow2(ci->bufferSize) && ci->bufferSize >= 4 &&
	       ci->bufferSize <= RING_BUFFER_MAX && ci->extraSize % 4 == 0 &&
	       regions_fit(regions, ARRAY_LEN(regions), ci->size);
}

static void ring_free(struct venus_ring *r)
{
	if (!r)
		return;
	venus_dec_fini(&r->dec);
	venus_res_put(r->res);
	cond_fini(&r->cond);
	mutex_fini(&r->lock);
	free(r->copy);
	venus_scratch_give_back(r->ctx, r->copy_size);
	free(r);
}

static void auto_ring_(struct venus_ring **r)
{
	ring_free(*r);
}
#define AUTO_RING CLEANUP(auto_ring_) struct venus_ring *

static struct venus_ring *ring_new(struct venus_ctx *ctx, uint64_t id)
{
	struct venus_ring *r = aligned_alloc(64, (sizeof(*r) + 63) & ~(size_t)63);

	if (!r)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->id = id;
	r->ctx = ctx;
	list_init(&r->node);
	mutex_init(&r->lock);
	cond_init(&r->cond);
	venus_dec_init(&r->dec, ctx, r);
	return r;
}

/* Points into the resource; the offsets were checked. */
static void ring_place(struct venus_ring *r, const VkRingCreateInfoMESA *ci)
{
	uint8_t *base = r->res->map + ci->offset;

	r->head = (_Atomic uint32_t *)(void *)(base + ci->headOffset);
	r->tail = (_Atomic uint32_t *)(void *)(base + ci->tailOffset);
	r->status = (_Atomic uint32_t *)(void *)(base + ci->statusOffset);
	r->buffer = base + ci->bufferOffset;
	r->buffer_size = (uint32_t)ci->bufferSize;
	r->extra = base + ci->extraOffset;
	r->extra_size = ci->extraSize;
	r->idle_ns = ci->idleTimeout < RING_IDLE_MAX_NS ? ci->idleTimeout : RING_IDLE_MAX_NS;
	if (r->idle_ns < r->ctx->policy->awake_ns)
		r->idle_ns = r->ctx->policy->awake_ns;
}

struct venus_ring *venus_ring_find(struct venus_ctx *ctx, uint64_t id)
{
	/* Only the context thread, which is the caller, changes the list. */
	list_for_each(it, &ctx->rings)
	{
		struct venus_ring *r = container_of(it, struct venus_ring, node);

		if (r->id == id)
			return r;
	}
	return NULL;
}

void venus_do_vkCreateRingMESA(struct venus_dec *d, struct venus_args_vkCreateRingMESA *a)
{
	struct venus_ctx *ctx = d->ctx;
	const VkRingCreateInfoMESA *ci = a->pCreateInfo;
	const VkRingMonitorInfoMESA *mon =
		venus_chain_find(ci, VK_STRUCTURE_TYPE_RING_MONITOR_INFO_MESA);
	const VkRingPriorityInfoMESA *prio =
		venus_chain_find(ci, VK_STRUCTURE_TYPE_RING_PRIORITY_INFO_MESA);

	if (venus_ring_find(ctx, a->ring)) {
		venus_dec_fatal(d, "names a ring that exists");
		return;
	}
	if (ctx->rings_count >= ctx->limits.rings) {
		venus_dec_fatal(d, "exceeds the limit of %u rings", ctx->limits.rings);
		return;
	}
	if (mon && mon->maxReportingPeriodMicroseconds == 0) {
		venus_dec_fatal(d, "has a monitor period of 0");
		return;
	}

	AUTO_RING r = ring_new(ctx, a->ring);
	if (!r) {
		venus_dec_fatal(d, "found no memory");
		return;
	}
	r->res = venus_res_get(ctx, ci->resourceId);
	if (!r->res || !layout_fits(ci, r->res)) {
		venus_dec_fatal(d, "has a ring that its resource cannot hold");
		return;
	}
	ring_place(r, ci);
	if (atomic_load_explicit(r->head, memory_order_relaxed) != 0 ||
	    atomic_load_explicit(r->status, memory_order_relaxed) != 0) {
		venus_dec_fatal(d, "has a ring that is not zeroed");
		return;
	}
	/* Rings may share the bytes of one resource, their copies do not. */
	if (venus_scratch_claim(ctx, r->buffer_size)) {
		r->copy_size = r->buffer_size;
		r->copy = malloc(r->copy_size);
	}
	if (!r->copy) {
		venus_dec_fatal(d, "found no memory");
		return;
	}
	r->monitor_ns = mon ? (uint64_t)mon->maxReportingPeriodMicroseconds * 1000 : 0;
	r->priority = prio ? prio->priority : 0;
	if (r->monitor_ns)
		status_set(r, STATUS_ALIVE);
	if (thread_start_deep(&r->thread, "venus-ring", ring_main, r) < 0) {
		venus_dec_fatal(d, "got no thread for its ring");
		return;
	}
	r->has_thread = true;

	mutex_lock(&ctx->ring_lock);
	list_add_tail(&ctx->rings, &r->node);
	ctx->rings_count++;
	(void)take(&r);
	cond_signal(&ctx->ring_cond); /* the monitor's period may have become shorter */
	mutex_unlock(&ctx->ring_lock);
	if (ctx->ring_placed)
		ctx->ring_placed(ctx->user, ci->resourceId, ci->offset + ci->statusOffset);
}

/* ---- destruction ---- */

static void ring_stop(struct venus_ring *r)
{
	mutex_lock(&r->lock);
	atomic_store_explicit(&r->stop, true, memory_order_relaxed);
	cond_broadcast(&r->cond);
	mutex_unlock(&r->lock);
}

static void stats_move(struct venus_dec_stats *to, const struct venus_dec_stats *from)
{
	venus_stat_add(&to->commands, atomic_load_explicit(&from->commands, memory_order_relaxed));
	venus_stat_add(&to->bytes, atomic_load_explicit(&from->bytes, memory_order_relaxed));
	venus_stat_add(&to->replies, atomic_load_explicit(&from->replies, memory_order_relaxed));
	venus_stat_add(&to->sleeps, atomic_load_explicit(&from->sleeps, memory_order_relaxed));
	venus_stat_add(&to->wakes, atomic_load_explicit(&from->wakes, memory_order_relaxed));
	venus_stat_add(&to->idles, atomic_load_explicit(&from->idles, memory_order_relaxed));
}

/* The ring's thread has ended, or will end without help. */
static void ring_destroy(struct venus_ring *r)
{
	struct venus_ctx *ctx = r->ctx;

	(void)pthread_join(r->thread, NULL);
	mutex_lock(&ctx->ring_lock);
	list_del(&r->node);
	ctx->rings_count--;
	stats_move(&ctx->past, &r->dec.stats);
	mutex_unlock(&ctx->ring_lock);
	ring_free(r);
}

void venus_do_vkDestroyRingMESA(struct venus_dec *d, struct venus_args_vkDestroyRingMESA *a)
{
	struct venus_ring *r = venus_ring_find(d->ctx, a->ring);

	if (!r) {
		venus_dec_fatal(d, "names a ring that does not exist");
		return;
	}
	ring_stop(r);
	/* The thread may be inside the driver; do not let that keep us from being destroyed. */
	mutex_lock(&r->lock);
	while (!atomic_load_explicit(&r->has_ended, memory_order_acquire) &&
	       !venus_ctx_stops(d->ctx))
		(void)cond_wait_until(&r->cond, &r->lock, clock_now_ns() + VENUS_SLICE_NS);
	bool has_ended = atomic_load_explicit(&r->has_ended, memory_order_acquire);
	mutex_unlock(&r->lock);
	if (has_ended)
		ring_destroy(r);
}

void venus_ring_stop_all(struct venus_ctx *ctx)
{
	mutex_lock(&ctx->ring_lock);
	list_for_each(it, &ctx->rings) ring_stop(container_of(it, struct venus_ring, node));
	mutex_unlock(&ctx->ring_lock);
}

void venus_ring_join_all(struct venus_ctx *ctx)
{
	list_for_each_safe(it, &ctx->rings) ring_destroy(container_of(it, struct venus_ring, node));
}

/* Tells the guest, and ends every wait for a ring. */
void venus_ring_fatal_all(struct venus_ctx *ctx)
{
	mutex_lock(&ctx->ring_lock);
	list_for_each(it, &ctx->rings)
	{
		struct venus_ring *r = container_of(it, struct venus_ring, node);

		status_set(r, STATUS_FATAL);
		mutex_lock(&r->lock);
		cond_broadcast(&r->cond);
		mutex_unlock(&r->lock);
	}
	mutex_unlock(&ctx->ring_lock);
}

/* ---- notification, seqnos ---- */

void venus_ring_notify(struct venus_ring *r)
{
	mutex_lock(&r->lock);
	r->is_notified = true;
	cond_broadcast(&r->cond);
	mutex_unlock(&r->lock);
}

void venus_do_vkNotifyRingMESA(struct venus_dec *d, struct venus_args_vkNotifyRingMESA *a)
{
	struct venus_ring *r = venus_ring_find(d->ctx, a->ring);

	if (!r)
		venus_dec_fatal(d, "names a ring that does not exist");
	else
		venus_ring_notify(r);
}

void venus_do_vkWriteRingExtraMESA(struct venus_dec *d, struct venus_args_vkWriteRingExtraMESA *a)
{
	struct venus_ring *r = venus_ring_find(d->ctx, a->ring);

	if (!r || a->offset % 4 != 0 || !range_fits(a->offset, 4, r->extra_size)) {
		venus_dec_fatal(d, "writes outside a ring's extra region");
		return;
	}
	/* Release: the guest's acquire load orders what we did before. */
	atomic_store_explicit((_Atomic uint32_t *)(void *)(r->extra + a->offset), a->value,
			      memory_order_release);
}

void venus_do_vkSubmitVirtqueueSeqnoMESA(struct venus_dec *d,
					 struct venus_args_vkSubmitVirtqueueSeqnoMESA *a)
{
	struct venus_ring *r = venus_ring_find(d->ctx, a->ring);

	if (!r) {
		venus_dec_fatal(d, "names a ring that does not exist");
		return;
	}
	mutex_lock(&r->lock);
	/* Release: the ring goes on with what came before this command. */
	if (a->seqno > atomic_load_explicit(&r->vq_seqno, memory_order_relaxed))
		atomic_store_explicit(&r->vq_seqno, a->seqno, memory_order_release);
	cond_broadcast(&r->cond);
	mutex_unlock(&r->lock);
}

static bool vq_reached(struct venus_ring *r, uint64_t seqno)
{
	return atomic_load_explicit(&r->vq_seqno, memory_order_acquire) >= seqno;
}

void venus_do_vkWaitVirtqueueSeqnoMESA(struct venus_dec *d,
				       struct venus_args_vkWaitVirtqueueSeqnoMESA *a)
{
	struct venus_ring *r = d->ring;
	struct venus_poll poll = { .policy = d->ctx->policy };

	while (!vq_reached(r, a->seqno) && venus_poll_wait(&poll) != VENUS_POLL_SLEPT) {
		if (ring_ends(r))
			return;
	}
	if (vq_reached(r, a->seqno))
		return;
	mutex_lock(&r->lock);
	while (!vq_reached(r, a->seqno) && !ring_ends(r))
		cond_wait(&r->cond, &r->lock);
	mutex_unlock(&r->lock);
}

/* Whether the ring has passed @seqno, or never will. */
static bool ring_passed(struct venus_dec *d, struct venus_ring *r, uint32_t seqno)
{
	return pos_reached(atomic_load_explicit(&r->pos, memory_order_acquire), seqno) ||
	       venus_is_fatal(d->ctx) || atomic_load_explicit(&r->has_ended, memory_order_acquire);
}

void venus_do_vkWaitRingSeqnoMESA(struct venus_dec *d, struct venus_args_vkWaitRingSeqnoMESA *a)
{
	struct venus_ring *r = venus_ring_find(d->ctx, a->ring);
	struct venus_poll poll = { .policy = d->ctx->policy };
	uint32_t seqno = (uint32_t)a->seqno;

	if (!r) {
		venus_dec_fatal(d, "names a ring that does not exist");
		return;
	}
	if (ring_passed(d, r, seqno))
		return;
	/* The guest moved the tail first; a ring that idles has not seen it, or there is nothing.
	 */
	if (!pos_reached(atomic_load_explicit(r->tail, memory_order_acquire), seqno)) {
		venus_dec_fatal(d, "waits for what its ring was not given");
		return;
	}
	venus_ring_notify(r);
	while (!ring_passed(d, r, seqno)) {
		if (venus_poll_wait(&poll) != VENUS_POLL_SLEPT)
			continue;
		mutex_lock(&r->lock);
		(void)atomic_fetch_add_explicit(&r->watchers, 1, memory_order_seq_cst);
		while (!ring_passed(d, r, seqno))
			(void)cond_wait_until(&r->cond, &r->lock, clock_now_ns() + WATCH_NS);
		(void)atomic_fetch_sub_explicit(&r->watchers, 1, memory_order_relaxed);
		mutex_unlock(&r->lock);
	}
}
