/* SPDX-License-Identifier: Apache-2.0 */
/* The context: see ctx.h.  Creation, the entry points of front ends, and the end. */
#include "venus/ctx.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "util/log.h"
#include "venus/core.h"

static uint64_t default_host_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);

	return pages > 0 ? (uint64_t)pages / 4 * 3 * shm_page_size() : UINT64_C(1) << 30;
}

static struct venus_limits with_defaults(const struct venus_limits *l)
{
	return (struct venus_limits){
		.objects = l->objects ? l->objects : VENUS_MAX_OBJECTS,
		.resources = l->resources ? l->resources : VENUS_MAX_RESOURCES,
		.rings = l->rings ? l->rings : VENUS_MAX_RINGS,
		.host_memories = l->host_memories ? l->host_memories : VENUS_MAX_HOST_MEMORIES,
		.host_bytes = l->host_bytes ? l->host_bytes : default_host_bytes(),
		.shm_bytes = l->shm_bytes ? l->shm_bytes : VENUS_MAX_SHM_BYTES,
		.scratch_bytes = l->scratch_bytes ? l->scratch_bytes : VENUS_MAX_SCRATCH_BYTES,
		.kept_bytes = l->kept_bytes ? l->kept_bytes : VENUS_MAX_KEPT_BYTES,
		.fences = l->fences ? l->fences : VENUS_MAX_FENCES,
	};
}

static void ctx_free(struct venus_ctx *ctx)
{
	if (!ctx)
		return;
	venus_dec_fini(&ctx->dec);
	venus_table_fini(ctx->table);
	free(ctx->table);
	venus_host_close(&ctx->host);
	cond_fini(&ctx->ring_cond);
	mutex_fini(&ctx->copy_lock);
	mutex_fini(&ctx->bind_lock);
	mutex_fini(&ctx->mem_lock);
	mutex_fini(&ctx->res_lock);
	mutex_fini(&ctx->ring_lock);
	mutex_fini(&ctx->inst_lock);
	free(ctx);
}

static void auto_ctx_(struct venus_ctx **ctx)
{
	ctx_free(*ctx);
}
#define AUTO_CTX CLEANUP(auto_ctx_) struct venus_ctx *

static struct venus_ctx *ctx_alloc(void)
{
	struct venus_ctx *ctx = aligned_alloc(64, (sizeof(struct venus_ctx) + 63) & ~(size_t)63);

	if (!ctx)
		return NULL;
	memset(ctx, 0, sizeof(*ctx));
	mutex_init(&ctx->inst_lock);
	mutex_init(&ctx->ring_lock);
	mutex_init(&ctx->res_lock);
	mutex_init(&ctx->mem_lock);
	mutex_init(&ctx->bind_lock);
	mutex_init(&ctx->copy_lock);
	cond_init(&ctx->ring_cond);
	list_init(&ctx->rings);
	for (uint32_t i = 0; i < VENUS_RES_BUCKETS; i++)
		list_init(&ctx->res[i]);
	return ctx;
}

int venus_ctx_create(const struct venus_ctx_config *cfg, struct venus_ctx **out)
{
	if (!cfg->gipa || !cfg->fence_retired)
		return -EINVAL;

	AUTO_CTX ctx = ctx_alloc();
	if (!ctx)
		return -ENOMEM;
	(void)snprintf(ctx->name, sizeof(ctx->name), "%s", cfg->name ? cfg->name : "guest");
	ctx->limits = with_defaults(&cfg->limits);
	ctx->fence_retired = cfg->fence_retired;
	ctx->on_fatal = cfg->fatal;
	ctx->budget = cfg->budget;
	ctx->ring_placed = cfg->ring_placed;
	ctx->user = cfg->user;
	ctx->host.gipa = cfg->gipa;
	ctx->host.hint = cfg->probe;
	ctx->host.maps_driver_memory = cfg->maps_driver_memory;
	ctx->policy = venus_poll_policy();
	ctx->table = calloc(1, sizeof(*ctx->table));
	if (!ctx->table)
		return -ENOMEM;
	int r = venus_table_init(ctx->table, ctx->limits.objects, venus_obj_free);
	if (r < 0)
		return r;
	venus_dec_init(&ctx->dec, ctx, NULL);
	r = venus_monitor_start(ctx);
	if (r < 0)
		return r;
	*out = take(&ctx);
	return 0;
}

bool venus_ctx_is_fatal(const struct venus_ctx *ctx)
{
	return venus_is_fatal(ctx);
}

bool venus_ctx_set_fatal(struct venus_ctx *ctx)
{
	/* The waits that this ends take a lock before they look, see venus_ring_fatal_all(). */
	bool is_first = !atomic_exchange_explicit(&ctx->is_fatal, true, memory_order_relaxed);

	if (is_first) {
		venus_ring_fatal_all(ctx);
		if (ctx->on_fatal)
			ctx->on_fatal(ctx->user);
	}
	return is_first;
}

void venus_dec_device_lost(struct venus_dec *d)
{
	d->failed = true;
	if (venus_ctx_set_fatal(d->ctx))
		log_warn(GPU, "%s: the device is lost in %s", d->ctx->name, d->cmd);
}

void venus_ctx_stop(struct venus_ctx *ctx)
{
	atomic_store_explicit(&ctx->stop, true, memory_order_relaxed);
	(void)venus_ctx_set_fatal(ctx);
	venus_ring_stop_all(ctx);
}

int venus_ctx_submit(struct venus_ctx *ctx, const void *bytes, size_t len)
{
	struct venus_dec *d = &ctx->dec;

	d->cmd = NULL;
	if (venus_ctx_is_fatal(ctx))
		return -EPROTO;
	if (len > VENUS_MAX_SUBMIT) {
		venus_dec_fatal(d, "has %zu bytes", len);
		return -EINVAL;
	}
	venus_busy(d->table, &d->reader);
	bool is_done = venus_dec_all(d, bytes, len);
	venus_idle(&d->reader);
	return is_done ? 0 : -EPROTO;
}

/* ---- fences ---- */

void venus_fence_done(struct venus_ctx *ctx, uint32_t ring_idx, uint64_t fence_id)
{
	(void)atomic_fetch_sub_explicit(&ctx->fences_pending, 1, memory_order_relaxed);
	ctx->fence_retired(ctx->user, ring_idx, fence_id);
}

int venus_ctx_fence(struct venus_ctx *ctx, uint32_t ring_idx, uint64_t fence_id)
{
	int r = 0;

	if (ring_idx >= VENUS_TIMELINES)
		return -EINVAL;
	if (atomic_fetch_add_explicit(&ctx->fences_pending, 1, memory_order_relaxed) >=
	    ctx->limits.fences) {
		(void)atomic_fetch_sub_explicit(&ctx->fences_pending, 1, memory_order_relaxed);
		return -ENOMEM;
	}
	(void)atomic_fetch_add_explicit(&ctx->fences, 1, memory_order_relaxed);
	if (ring_idx == VENUS_CPU_TIMELINE) {
		venus_fence_done(ctx, ring_idx, fence_id);
		return 0;
	}

	/* A queue's record stays while we are busy, even if a ring destroys its device. */
	venus_busy(ctx->table, &ctx->dec.reader);
	mutex_lock(&ctx->bind_lock);
	struct venus_queue *q = ctx->timeline[ring_idx];
	mutex_unlock(&ctx->bind_lock);
	if (q)
		r = venus_queue_fence(q, fence_id);
	else if (venus_ctx_is_fatal(ctx))
		venus_fence_done(ctx, ring_idx, fence_id);
	else
		r = -EINVAL;
	venus_idle(&ctx->dec.reader);
	if (r < 0)
		(void)atomic_fetch_sub_explicit(&ctx->fences_pending, 1, memory_order_relaxed);
	return r;
}

/* ---- counters ---- */

static void add_stats(struct venus_counters *out, const struct venus_dec_stats *s)
{
	out->commands += atomic_load_explicit(&s->commands, memory_order_relaxed);
	out->bytes += atomic_load_explicit(&s->bytes, memory_order_relaxed);
	out->replies += atomic_load_explicit(&s->replies, memory_order_relaxed);
	out->ring_sleeps += atomic_load_explicit(&s->sleeps, memory_order_relaxed);
	out->ring_wakes += atomic_load_explicit(&s->wakes, memory_order_relaxed);
	out->ring_idles += atomic_load_explicit(&s->idles, memory_order_relaxed);
}

void venus_ctx_counters(struct venus_ctx *ctx, struct venus_counters *out)
{
	*out = (struct venus_counters){
		.submits = atomic_load_explicit(&ctx->submits, memory_order_relaxed),
		.fences = atomic_load_explicit(&ctx->fences, memory_order_relaxed),
		.fences_folded = atomic_load_explicit(&ctx->fences_folded, memory_order_relaxed),
		.fences_spun = atomic_load_explicit(&ctx->fences_spun, memory_order_relaxed),
	};
	add_stats(out, &ctx->dec.stats);
	mutex_lock(&ctx->ring_lock);
	add_stats(out, &ctx->past);
	list_for_each(it, &ctx->rings)
		add_stats(out, &container_of(it, struct venus_ring, node)->dec.stats);
	out->rings = ctx->rings_count;
	mutex_unlock(&ctx->ring_lock);
	mutex_lock(&ctx->table->lock);
	out->objects = ctx->table->count - ctx->table->retired_count;
	mutex_unlock(&ctx->table->lock);
	mutex_lock(&ctx->res_lock);
	out->resources = ctx->res_count;
	out->shm_bytes = ctx->shm_bytes;
	mutex_unlock(&ctx->res_lock);
	mutex_lock(&ctx->mem_lock);
	out->host_memories = ctx->host_memories;
	out->host_bytes = ctx->host_bytes;
	mutex_unlock(&ctx->mem_lock);
}

static void log_counters(struct venus_ctx *ctx)
{
	struct venus_counters c;

	venus_ctx_counters(ctx, &c);
	log_debug(GPU,
		  "%s: %llu commands of %llu bytes, %llu replies, %llu submissions, %llu fences "
		  "(%llu folded, %llu spun), %llu wakes, %llu idles, %llu sleeps",
		  ctx->name, (unsigned long long)c.commands, (unsigned long long)c.bytes,
		  (unsigned long long)c.replies, (unsigned long long)c.submits,
		  (unsigned long long)c.fences, (unsigned long long)c.fences_folded,
		  (unsigned long long)c.fences_spun, (unsigned long long)c.ring_wakes,
		  (unsigned long long)c.ring_idles, (unsigned long long)c.ring_sleeps);
}

/* ---- the end ---- */

/* Runs in a thread of its own, because the driver may never come back. */
struct ending {
	struct venus_ctx *ctx;
	struct mutex lock;
	struct cond cond;
	bool is_done;   /* under lock */
	bool is_leaked; /* under lock: the caller left, the thread frees this */
};

static void end_all(struct venus_ctx *ctx)
{
	struct venus_obj *o;

	venus_ring_join_all(ctx);
	/* Nobody decodes any more, so without us as a reader removed records would be freed. */
	venus_busy(ctx->table, &ctx->dec.reader);
	while ((o = venus_table_first(ctx->table, VK_OBJECT_TYPE_DEVICE)) != NULL) {
		if (venus_table_remove(ctx->table, o))
			venus_device_finish(ctx, container_of(o, struct venus_device, obj));
	}
	venus_idle(&ctx->dec.reader);
	venus_monitor_stop(ctx);
	venus_res_put(ctx->dec.reply.res);
	ctx->dec.reply.res = NULL;
	venus_res_fini_all(ctx);
	ctx_free(ctx);
}

static void ending_free(struct ending *e)
{
	cond_fini(&e->cond);
	mutex_fini(&e->lock);
	free(e);
}

static void *ending_main(void *arg)
{
	struct ending *e = arg;

	end_all(e->ctx);
	mutex_lock(&e->lock);
	e->is_done = true;
	bool is_leaked = e->is_leaked;
	cond_signal(&e->cond);
	mutex_unlock(&e->lock);
	if (is_leaked)
		ending_free(e);
	return NULL;
}

int venus_ctx_destroy(struct venus_ctx *ctx)
{
	uint64_t deadline = clock_now_ns() + VENUS_DESTROY_NS;
	pthread_t thread;

	if (!ctx)
		return 0;
	log_counters(ctx);
	venus_ctx_stop(ctx);
	struct ending *e = calloc(1, sizeof(*e));
	if (!e)
		return -ETIMEDOUT;
	e->ctx = ctx;
	mutex_init(&e->lock);
	cond_init(&e->cond);
	if (thread_start_deep(&thread, "venus-end", ending_main, e) < 0) {
		ending_free(e);
		return -ETIMEDOUT;
	}
	mutex_lock(&e->lock);
	while (!e->is_done && clock_now_ns() < deadline)
		(void)cond_wait_until(&e->cond, &e->lock, deadline);
	bool is_done = e->is_done;
	e->is_leaked = !is_done;
	mutex_unlock(&e->lock);
	if (!is_done) {
		log_error(GPU, "the host's Vulkan driver does not come back; giving up on it");
		(void)pthread_detach(thread);
		return -ETIMEDOUT;
	}
	(void)pthread_join(thread, NULL);
	ending_free(e);
	return 0;
}
