/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fences of front ends (venus.md 9.2): "tell me when all that was submitted to this queue is done".
 *
 * The plain way is an empty submission with a VkFence of ours.  Where the guest's own submission
 * carries no fence we attach ours to it, so that a request that follows costs nothing; whether that
 * is worth it is learnt from what the guest did before.
 *
 * One thread for each queue with requests waits for them one after the other: fences of a queue are
 * reached in the order of its submissions.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "util/log.h"
#include "venus/core.h"

#define SYNCS_MAX       4096U /* VkFences of one queue */
#define RELAX_PER_LOOK  16    /* pauses between two looks at a fence: under a microsecond */
#define FOLD_MISSES_MAX 64U   /* attached fences in a row that nobody asked about */

void venus_queue_init(struct venus_queue *q, struct venus_ctx *ctx, uint32_t ring_idx)
{
	q->ctx = ctx;
	q->ring_idx = ring_idx;
	mutex_init(&q->lock);
	mutex_init(&q->fence_lock);
	cond_init(&q->fence_cond);
	list_init(&q->requests);
	list_init(&q->spare);
	list_init(&q->loose);
	q->is_idle = true;
}

void venus_queue_fini(struct venus_queue *q)
{
	cond_fini(&q->fence_cond);
	mutex_fini(&q->fence_lock);
	mutex_fini(&q->lock);
}

static struct venus_sync *sync_of(struct list *node)
{
	return container_of(node, struct venus_sync, node);
}

/* A VkFence that is reset, with one reference; NULL if the driver gives none. */
static struct venus_sync *sync_get(struct venus_queue *q)
{
	const VkFenceCreateInfo ci = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	const struct venus_vkd *vk = &q->obj.dev->vk;
	VkDevice dev = venus_device_vk(q->obj.dev);
	struct venus_sync *s = NULL;

	mutex_lock(&q->fence_lock);
	if (!list_empty(&q->spare)) {
		s = sync_of(q->spare.next);
	} else if (!list_empty(&q->loose)) {
		s = sync_of(q->loose.next); /* the oldest: if it is not reached, none is */
		if ((!s->is_reached && vk->GetFenceStatus(dev, s->fence) != VK_SUCCESS) ||
		    vk->ResetFences(dev, 1, &s->fence) != VK_SUCCESS)
			s = NULL;
	}
	if (s)
		list_del(&s->node);
	bool is_full = q->syncs >= SYNCS_MAX;
	if (!s && !is_full)
		q->syncs++;
	mutex_unlock(&q->fence_lock);

	if (!s) {
		if (is_full)
			return NULL;
		s = calloc(1, sizeof(*s));
		if (s && vk->CreateFence(dev, &ci, NULL, &s->fence) != VK_SUCCESS) {
			free(s);
			s = NULL;
		}
		if (!s) {
			mutex_lock(&q->fence_lock);
			q->syncs--;
			mutex_unlock(&q->fence_lock);
			return NULL;
		}
		list_init(&s->node);
	}
	s->refs = 1;
	s->is_reached = false;
	s->is_lost = false;
	return s;
}

static void sync_put_locked(struct venus_queue *q, struct venus_sync *s) REQUIRES(&q->fence_lock)
{
	if (!s || --s->refs > 0)
		return;
	/* A failed submission left the fence as it was; every other one is in flight or reached. */
	list_add_tail(s->is_lost ? &q->spare : &q->loose, &s->node);
}

/* Waits until a fence is reached.  Return: false if the queue is stopped before. */
static bool sync_wait(struct venus_queue *q, const struct venus_sync *s, bool *was_spun)
{
	const struct venus_vkd *vk = &q->obj.dev->vk;
	VkDevice dev = venus_device_vk(q->obj.dev);
	const struct venus_poll_policy *policy = q->ctx->policy;
	/* After a wait that was not worth spinning one expects another of that kind. */
	uint64_t start = clock_now_ns();
	uint64_t until = start + (q->is_slow ? policy->spin_ns : policy->fence_spin_ns);
	VkResult r;

	*was_spun = true;
	do {
		r = vk->GetFenceStatus(dev, s->fence);
		if (r != VK_NOT_READY) {
			q->is_slow = false;
			return true;
		}
		for (int i = 0; i < RELAX_PER_LOOK; i++)
			venus_cpu_relax();
	} while (clock_now_ns() < until);

	*was_spun = false;
	do {
		r = vk->WaitForFences(dev, 1, &s->fence, VK_TRUE, VENUS_SLICE_NS);
		if (r != VK_TIMEOUT) {
			/* Reached; or the device is lost, which ends all waiting too. */
			q->is_slow = clock_now_ns() - start > policy->fence_spin_ns;
			return true;
		}
		mutex_lock(&q->fence_lock);
		bool stop = q->stop;
		mutex_unlock(&q->fence_lock);
		if (stop)
			return false;
	} while (true);
}

static struct venus_fence_req *first_request(struct venus_queue *q) REQUIRES(&q->fence_lock)
{
	if (list_empty(&q->requests))
		return NULL;
	return container_of(q->requests.next, struct venus_fence_req, node);
}

/* The request stays in the list during the callback, so that a newer one cannot overtake it. */
static void retire_first(struct venus_queue *q, struct venus_fence_req *req)
{
	venus_fence_done(q->ctx, q->ring_idx, req->id);
	mutex_lock(&q->fence_lock);
	list_del(&req->node);
	sync_put_locked(q, req->sync);
	mutex_unlock(&q->fence_lock);
	free(req);
}

/* A guest that waits for many small submissions asks again before a sleeping thread had woken up.
 */
static void linger(struct venus_queue *q, uint32_t asked)
{
	uint64_t until = clock_now_ns() + q->ctx->policy->linger_ns;

	/* Acquire: pairs with the count in venus_queue_fence(); the lock does the rest. */
	while (atomic_load_explicit(&q->asked, memory_order_acquire) == asked &&
	       clock_now_ns() < until)
		venus_cpu_relax();
}

static void *fence_main(void *arg)
{
	struct venus_queue *q = arg;

	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	while (true) {
		struct venus_fence_req *req;
		bool was_spun = false;

		mutex_lock(&q->fence_lock);
		if (!first_request(q) && !q->stop) {
			uint32_t asked = atomic_load_explicit(&q->asked, memory_order_relaxed);

			mutex_unlock(&q->fence_lock);
			linger(q, asked);
			mutex_lock(&q->fence_lock);
		}
		while ((req = first_request(q)) == NULL && !q->stop)
			cond_wait(&q->fence_cond, &q->fence_lock);
		bool stop = q->stop;
		bool must_wait = req && req->sync && !req->sync->is_reached;
		mutex_unlock(&q->fence_lock);
		if (stop || (must_wait && !sync_wait(q, req->sync, &was_spun)))
			return NULL; /* venus_queue_finish() sees to the rest */
		if (must_wait) {
			mutex_lock(&q->fence_lock);
			req->sync->is_reached = true;
			mutex_unlock(&q->fence_lock);
		}
		if (was_spun)
			(void)atomic_fetch_add_explicit(&q->ctx->fences_spun, 1,
							memory_order_relaxed);
		retire_first(q, req);
	}
}

bool venus_queue_lock(struct venus_queue *q)
{
	mutex_lock(&q->lock);
	if (likely(!q->is_gone))
		return true;
	mutex_unlock(&q->lock);
	return false;
}

struct venus_sync *venus_queue_begin(struct venus_queue *q, VkFence *fence)
{
	struct venus_sync *s = NULL;

	if (*fence == VK_NULL_HANDLE) {
		mutex_lock(&q->fence_lock);
		bool folds = q->folds;
		mutex_unlock(&q->fence_lock);
		if (folds)
			s = sync_get(q);
		if (s)
			*fence = s->fence;
	}
	return s;
}

/* @s covers all submissions up to now; NULL: nothing does. */
static void set_last_locked(struct venus_queue *q, struct venus_sync *s) REQUIRES(&q->fence_lock)
{
	sync_put_locked(q, q->last);
	q->last = s;
	q->is_idle = false;
}

void venus_queue_end(struct venus_queue *q, struct venus_sync *s, VkResult r)
{
	mutex_lock(&q->fence_lock);
	if (s && r != VK_SUCCESS) {
		s->is_lost = true;
		sync_put_locked(q, s);
		s = NULL;
	}
	if (q->last && q->last_was_folded && ++q->fold_misses > FOLD_MISSES_MAX)
		q->folds = false;
	set_last_locked(q, s);
	q->last_was_folded = s != NULL;
	mutex_unlock(&q->fence_lock);
	(void)atomic_fetch_add_explicit(&q->ctx->submits, 1, memory_order_relaxed);
}

/*
 * What a request made now has to wait for, with a reference; NULL: nothing but earlier requests.
 * The queue's lock is held, so nothing is submitted in between.
 */
static struct venus_sync *cover(struct venus_queue *q) REQUIRES(&q->lock)
{
	const struct venus_vkd *vk = &q->obj.dev->vk;
	struct venus_sync *s;

	mutex_lock(&q->fence_lock);
	bool is_done = q->is_gone || q->is_idle;
	s = q->last;
	if (s) {
		s->refs++;
		if (q->last_was_folded) {
			q->last_was_folded = false;
			q->fold_misses = 0;
		}
		(void)atomic_fetch_add_explicit(&q->ctx->fences_folded, 1, memory_order_relaxed);
	}
	mutex_unlock(&q->fence_lock);
	if (s || is_done)
		return s;

	s = sync_get(q);
	if (!s) {
		log_warn(GPU, "%s: no VkFence to wait with; waiting for the queue", q->ctx->name);
		(void)vk->QueueWaitIdle(q->vk);
		return NULL;
	}
	VkResult r = vk->QueueSubmit(q->vk, 0, NULL, s->fence);
	mutex_lock(&q->fence_lock);
	if (r != VK_SUCCESS) {
		s->is_lost = true;
		s->is_reached = true;
	}
	q->folds = true;
	q->fold_misses = 0;
	s->refs++;
	set_last_locked(q, s);
	q->last_was_folded = false;
	mutex_unlock(&q->fence_lock);
	return s;
}

int venus_queue_fence(struct venus_queue *q, uint64_t fence_id)
{
	struct venus_fence_req *req = calloc(1, sizeof(*req));

	if (!req)
		return -ENOMEM;
	req->id = fence_id;
	list_init(&req->node);
	mutex_lock(&q->lock);
	req->sync = cover(q);
	mutex_lock(&q->fence_lock);
	mutex_unlock(&q->lock);
	bool is_now = list_empty(&q->requests) && (!req->sync || req->sync->is_reached);
	if (is_now) {
		sync_put_locked(q, req->sync);
		mutex_unlock(&q->fence_lock);
		free(req);
		venus_fence_done(q->ctx, q->ring_idx, fence_id);
		return 0;
	}
	list_add_tail(&q->requests, &req->node);
	(void)atomic_fetch_add_explicit(&q->asked, 1, memory_order_release);
	int r = 0;
	if (!q->has_thread && !q->stop) {
		r = thread_start_deep(&q->thread, "venus-fence", fence_main, q);
		q->has_thread = r == 0;
		if (r < 0) {
			list_del(&req->node);
			sync_put_locked(q, req->sync);
			free(req);
		}
	}
	cond_signal(&q->fence_cond);
	mutex_unlock(&q->fence_lock);
	return r;
}

void venus_queue_stop(struct venus_queue *q)
{
	mutex_lock(&q->fence_lock);
	q->stop = true;
	(void)atomic_fetch_add_explicit(&q->asked, 1, memory_order_release);
	cond_signal(&q->fence_cond);
	mutex_unlock(&q->fence_lock);
}

static void sync_free_all(struct venus_queue *q, struct list *l)
{
	struct venus_device *dev = q->obj.dev;

	list_for_each_safe(it, l)
	{
		struct venus_sync *s = sync_of(it);

		dev->vk.DestroyFence(venus_device_vk(dev), s->fence, NULL);
		free(s);
	}
	list_init(l);
}

/* Retires what is left; the device is idle or lost.  Nothing of the queue is used afterwards. */
void venus_queue_finish(struct venus_queue *q)
{
	struct venus_fence_req *req;

	venus_queue_stop(q);
	if (q->has_thread)
		(void)pthread_join(q->thread, NULL);
	/* Both locks: no request may be on its way between cover() and the list. */
	mutex_lock(&q->lock);
	mutex_lock(&q->fence_lock);
	q->has_thread = false;
	q->is_gone = true;
	while ((req = first_request(q)) != NULL) {
		mutex_unlock(&q->fence_lock);
		retire_first(q, req);
		mutex_lock(&q->fence_lock);
	}
	sync_put_locked(q, q->last);
	q->last = NULL;
	mutex_unlock(&q->fence_lock);
	sync_free_all(q, &q->spare);
	sync_free_all(q, &q->loose);
	mutex_unlock(&q->lock);
}
