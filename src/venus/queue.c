/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submissions.  Vulkan wants a queue used by one thread at a time; the guest's driver sees to that
 * among its own threads, but the fences of fence.c are submitted by ours.
 */
#include "util/log.h"
#include "venus/core.h"

static VkFence fence_of(const struct venus_obj *o)
{
	return o ? venus_handle_to(VkFence, o->handle) : VK_NULL_HANDLE;
}

static struct venus_queue *queue_of(struct venus_obj *o)
{
	return container_of(o, struct venus_queue, obj);
}

/* Takes the queue's lock; false, and d->failed, if another ring destroys the device. */
static bool enter(struct venus_dec *d, struct venus_queue *q) TRY_ACQUIRE(true, &q->lock)
{
	if (likely(venus_queue_lock(q)))
		return true;
	venus_dec_fatal(d, "submits to a queue of a device that is being destroyed");
	return false;
}

static void log_failure(const struct venus_dec *d, VkResult r)
{
	if (r != VK_SUCCESS)
		log_guest(GPU, "%s: %s fails with %d", d->ctx->name, d->cmd, (int)r);
}

void venus_do_vkQueueSubmit(struct venus_dec *d, struct venus_args_vkQueueSubmit *a)
{
	struct venus_queue *q = queue_of(a->queue);
	VkFence fence = fence_of(a->fence);

	if (!enter(d, q))
		return;
	struct venus_sync *s = venus_queue_begin(q, &fence);
	a->ret = d->dev->vk.QueueSubmit(q->vk, a->submitCount, a->pSubmits, fence);
	venus_queue_end(q, s, a->ret);
	mutex_unlock(&q->lock);
	log_failure(d, a->ret);
}

void venus_do_vkQueueSubmit2(struct venus_dec *d, struct venus_args_vkQueueSubmit2 *a)
{
	struct venus_queue *q = queue_of(a->queue);
	VkFence fence = fence_of(a->fence);

	if (!d->dev->vk.QueueSubmit2) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	if (!enter(d, q))
		return;
	struct venus_sync *s = venus_queue_begin(q, &fence);
	a->ret = d->dev->vk.QueueSubmit2(q->vk, a->submitCount, a->pSubmits, fence);
	venus_queue_end(q, s, a->ret);
	mutex_unlock(&q->lock);
	log_failure(d, a->ret);
}

void venus_do_vkQueueBindSparse(struct venus_dec *d, struct venus_args_vkQueueBindSparse *a)
{
	struct venus_queue *q = queue_of(a->queue);
	VkFence fence = fence_of(a->fence);

	if (!enter(d, q))
		return;
	struct venus_sync *s = venus_queue_begin(q, &fence);
	a->ret = d->dev->vk.QueueBindSparse(q->vk, a->bindInfoCount, a->pBindInfo, fence);
	venus_queue_end(q, s, a->ret);
	mutex_unlock(&q->lock);
	log_failure(d, a->ret);
}
