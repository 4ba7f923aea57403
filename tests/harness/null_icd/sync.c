/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submissions, fences, semaphores, events, queries.  A signal has a point in time from which it
 * counts; submitted work is "done" when the clock has passed it.
 */
#include <string.h>

#include "null_internal.h"

#define NULL_NEVER UINT64_MAX

static uint64_t add_ns(uint64_t t, uint64_t ns)
{
	return ns > NULL_NEVER - t ? NULL_NEVER : t + ns;
}

/* When work that is submitted now will be done. */
static uint64_t done_ns(void)
{
	return add_ns(clock_now_ns(),
		      atomic_load_explicit(&null.faults.work_ns, memory_order_relaxed));
}

/* When a wait that begins now gives up. */
static uint64_t deadline_ns(uint64_t timeout)
{
	uint64_t cap = atomic_load_explicit(&null.faults.wait_cap_ns, memory_order_relaxed);

	return add_ns(clock_now_ns(), cap && cap < timeout ? cap : timeout);
}

static uint64_t semaphore_value_locked(struct null_rec *s)
{
	if (s->u.semaphore.next_ns <= clock_now_ns() && s->u.semaphore.next > s->u.semaphore.value)
		s->u.semaphore.value = s->u.semaphore.next;
	return s->u.semaphore.value;
}

static void signal_semaphore_locked(struct null_rec *s, uint64_t value, uint64_t at)
{
	(void)semaphore_value_locked(s);
	if (value < s->u.semaphore.next)
		value = s->u.semaphore.next;
	s->u.semaphore.next = value;
	s->u.semaphore.next_ns = at;
}

static void signal_fence_locked(struct null_rec *f, uint64_t at)
{
	if (f)
		f->u.fence.ready_ns = at;
}

/* Counts a submission; false once the device is lost. */
static bool admit(struct null_call *c)
{
	uint32_t most = atomic_load_explicit(&null.faults.lose_after, memory_order_relaxed);
	uint32_t n =
		1 + atomic_fetch_add_explicit(&c->dev->u.device.submits, 1, memory_order_relaxed);

	if (most && n > most)
		atomic_store_explicit(&c->dev->u.device.is_lost, true, memory_order_relaxed);
	return !null_is_lost(c);
}

static void run_locked(VkCommandBuffer cmdbuf)
{
	if (cmdbuf)
		null_ops_run(null_rec_of(cmdbuf));
}

static void lock_both(void) ACQUIRE(&null.lock) ACQUIRE(&null.sync)
{
	mutex_lock(&null.lock);
	mutex_lock(&null.sync);
}

static void unlock_both(void) RELEASE(&null.sync) RELEASE(&null.lock)
{
	mutex_unlock(&null.sync);
	mutex_unlock(&null.lock);
}

static VkResult end_submit_locked(struct null_call *c, VkFence fence, uint64_t at)
	REQUIRES(&null.sync)
{
	signal_fence_locked(null_rec_of(fence), at);
	if (at > c->dev->u.device.idle_ns)
		c->dev->u.device.idle_ns = at;
	cond_broadcast(&null.wake);
	return VK_SUCCESS;
}

static void signal_one_locked(VkSemaphore semaphore, uint64_t value, uint64_t at)
{
	struct null_rec *s = null_rec_of(semaphore);

	if (s)
		signal_semaphore_locked(s, s->u.semaphore.is_timeline ? value : 1, at);
}

VkResult null_do_vkQueueSubmit(struct null_call *c, uint32_t n, const VkSubmitInfo *submits,
			       VkFence fence)
{
	uint64_t at = done_ns();

	if (!admit(c))
		return VK_ERROR_DEVICE_LOST;
	lock_both();
	for (uint32_t i = 0; submits && i < n; i++) {
		const VkTimelineSemaphoreSubmitInfo *values = NULL;

		for (const VkBaseInStructure *s = submits[i].pNext; s; s = s->pNext) {
			const void *p = s;

			if (s->sType == VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO)
				values = p;
		}
		for (uint32_t j = 0;
		     submits[i].pCommandBuffers && j < submits[i].commandBufferCount; j++)
			run_locked(submits[i].pCommandBuffers[j]);
		for (uint32_t j = 0;
		     submits[i].pSignalSemaphores && j < submits[i].signalSemaphoreCount; j++) {
			uint64_t value = values && values->pSignalSemaphoreValues &&
							 j < values->signalSemaphoreValueCount
						 ? values->pSignalSemaphoreValues[j]
						 : 0;

			signal_one_locked(submits[i].pSignalSemaphores[j], value, at);
		}
	}
	VkResult r = end_submit_locked(c, fence, at);

	unlock_both();
	return r;
}

VkResult null_do_vkQueueSubmit2(struct null_call *c, uint32_t n, const VkSubmitInfo2 *submits,
				VkFence fence)
{
	uint64_t at = done_ns();

	if (!admit(c))
		return VK_ERROR_DEVICE_LOST;
	lock_both();
	for (uint32_t i = 0; submits && i < n; i++) {
		const VkSubmitInfo2 *s = &submits[i];

		for (uint32_t j = 0; s->pCommandBufferInfos && j < s->commandBufferInfoCount; j++)
			run_locked(s->pCommandBufferInfos[j].commandBuffer);
		for (uint32_t j = 0; s->pSignalSemaphoreInfos && j < s->signalSemaphoreInfoCount;
		     j++)
			signal_one_locked(s->pSignalSemaphoreInfos[j].semaphore,
					  s->pSignalSemaphoreInfos[j].value, at);
	}
	VkResult r = end_submit_locked(c, fence, at);

	unlock_both();
	return r;
}

VkResult null_do_vkQueueBindSparse(struct null_call *c, uint32_t n, const VkBindSparseInfo *infos,
				   VkFence fence)
{
	uint64_t at = done_ns();

	if (!admit(c))
		return VK_ERROR_DEVICE_LOST;
	lock_both();
	for (uint32_t i = 0; infos && i < n; i++) {
		for (uint32_t j = 0;
		     infos[i].pSignalSemaphores && j < infos[i].signalSemaphoreCount; j++)
			signal_one_locked(infos[i].pSignalSemaphores[j], 0, at);
	}
	VkResult r = end_submit_locked(c, fence, at);

	unlock_both();
	return r;
}

/* Sleeps until something changes or @until, which may be NULL_NEVER. */
static void sleep_locked(uint64_t until) REQUIRES(&null.sync)
{
	if (until == NULL_NEVER)
		cond_wait(&null.wake, &null.sync);
	else
		(void)cond_wait_until(&null.wake, &null.sync, until);
}

static VkResult wait_idle(struct null_call *c)
{
	mutex_lock(&null.sync);
	while (!null_is_lost(c) && c->dev->u.device.idle_ns > clock_now_ns()) {
		/* Work that never ends can be made to end by null_control(). */
		if (c->dev->u.device.idle_ns == NULL_NEVER &&
		    atomic_load_explicit(&null.faults.work_ns, memory_order_relaxed) != NULL_NEVER)
			break;
		sleep_locked(c->dev->u.device.idle_ns);
	}
	mutex_unlock(&null.sync);
	return null_is_lost(c) ? VK_ERROR_DEVICE_LOST : VK_SUCCESS;
}

VkResult null_do_vkQueueWaitIdle(struct null_call *c)
{
	return wait_idle(c);
}

VkResult null_do_vkDeviceWaitIdle(struct null_call *c)
{
	return wait_idle(c);
}

VkResult null_do_vkCreateFence(struct null_call *c, const VkFenceCreateInfo *info, VkFence *fence)
{
	struct null_rec *f = null_new(VK_OBJECT_TYPE_FENCE, c->dev, NULL);

	if (!f)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	f->u.fence.ready_ns = info->flags & VK_FENCE_CREATE_SIGNALED_BIT ? 0 : NULL_NEVER;
	*fence = NULL_HANDLE(VkFence, f);
	return VK_SUCCESS;
}

VkResult null_do_vkResetFences(struct null_call *c, uint32_t n, const VkFence *fences)
{
	(void)c;
	mutex_lock(&null.sync);
	for (uint32_t i = 0; fences && i < n; i++)
		signal_fence_locked(null_rec_of(fences[i]), NULL_NEVER);
	mutex_unlock(&null.sync);
	return VK_SUCCESS;
}

VkResult null_do_vkGetFenceStatus(struct null_call *c, VkFence fence)
{
	const struct null_rec *f = null_rec_of(fence);
	bool is_ready;

	if (null_is_lost(c))
		return VK_ERROR_DEVICE_LOST;
	mutex_lock(&null.sync);
	is_ready = !f || f->u.fence.ready_ns <= clock_now_ns();
	mutex_unlock(&null.sync);
	return is_ready ? VK_SUCCESS : VK_NOT_READY;
}

/* Whether all (or any) of the fences are signalled; else when the next one will be. */
static bool fences_ready_locked(uint32_t n, const VkFence *fences, bool all, uint64_t *next)
{
	uint64_t now = clock_now_ns();
	uint32_t ready = 0;

	*next = NULL_NEVER;
	for (uint32_t i = 0; i < n; i++) {
		const struct null_rec *f = null_rec_of(fences[i]);

		if (!f || f->u.fence.ready_ns <= now)
			ready++;
		else if (f->u.fence.ready_ns < *next)
			*next = f->u.fence.ready_ns;
	}
	return all ? ready == n : ready > 0 || n == 0;
}

VkResult null_do_vkWaitForFences(struct null_call *c, uint32_t n, const VkFence *fences,
				 VkBool32 all, uint64_t timeout)
{
	uint64_t until = deadline_ns(timeout);
	VkResult r = VK_SUCCESS;
	uint64_t next;

	mutex_lock(&null.sync);
	while (!null_is_lost(c) && !fences_ready_locked(fences ? n : 0, fences, all, &next)) {
		if (until <= clock_now_ns()) {
			r = VK_TIMEOUT;
			break;
		}
		sleep_locked(next < until ? next : until);
	}
	mutex_unlock(&null.sync);
	return null_is_lost(c) ? VK_ERROR_DEVICE_LOST : r;
}

VkResult null_do_vkCreateSemaphore(struct null_call *c, const VkSemaphoreCreateInfo *info,
				   VkSemaphore *semaphore)
{
	struct null_rec *s = null_new(VK_OBJECT_TYPE_SEMAPHORE, c->dev, NULL);

	if (!s)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	for (const VkBaseInStructure *n = info->pNext; n; n = n->pNext) {
		const void *p = n;
		const VkSemaphoreTypeCreateInfo *t = p;

		if (n->sType == VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO &&
		    t->semaphoreType == VK_SEMAPHORE_TYPE_TIMELINE) {
			s->u.semaphore.is_timeline = true;
			s->u.semaphore.value = t->initialValue;
		}
	}
	*semaphore = NULL_HANDLE(VkSemaphore, s);
	return VK_SUCCESS;
}

VkResult null_do_vkGetSemaphoreCounterValue(struct null_call *c, VkSemaphore semaphore,
					    uint64_t *value)
{
	struct null_rec *s = null_rec_of(semaphore);

	*value = 0;
	if (null_is_lost(c))
		return VK_ERROR_DEVICE_LOST;
	mutex_lock(&null.sync);
	if (s)
		*value = semaphore_value_locked(s);
	mutex_unlock(&null.sync);
	return VK_SUCCESS;
}

VkResult null_do_vkSignalSemaphore(struct null_call *c, const VkSemaphoreSignalInfo *info)
{
	(void)c;
	mutex_lock(&null.sync);
	signal_one_locked(info->semaphore, info->value, 0);
	cond_broadcast(&null.wake);
	mutex_unlock(&null.sync);
	return VK_SUCCESS;
}

static bool semaphores_ready_locked(const VkSemaphoreWaitInfo *info, uint64_t *next)
{
	uint32_t ready = 0;
	uint32_t n = info->pSemaphores && info->pValues ? info->semaphoreCount : 0;

	*next = NULL_NEVER;
	for (uint32_t i = 0; i < n; i++) {
		struct null_rec *s = null_rec_of(info->pSemaphores[i]);

		if (!s || semaphore_value_locked(s) >= info->pValues[i])
			ready++;
		else if (s->u.semaphore.next > s->u.semaphore.value &&
			 s->u.semaphore.next_ns < *next)
			*next = s->u.semaphore.next_ns;
	}
	if (info->flags & VK_SEMAPHORE_WAIT_ANY_BIT)
		return ready > 0 || n == 0;
	return ready == n;
}

VkResult null_do_vkWaitSemaphores(struct null_call *c, const VkSemaphoreWaitInfo *info,
				  uint64_t timeout)
{
	uint64_t until = deadline_ns(timeout);
	VkResult r = VK_SUCCESS;
	uint64_t next;

	mutex_lock(&null.sync);
	while (!null_is_lost(c) && !semaphores_ready_locked(info, &next)) {
		if (until <= clock_now_ns()) {
			r = VK_TIMEOUT;
			break;
		}
		sleep_locked(next < until ? next : until);
	}
	mutex_unlock(&null.sync);
	return null_is_lost(c) ? VK_ERROR_DEVICE_LOST : r;
}

/* SYNC_FD: the payload is always "signalled", for which -1 stands. */

VkResult null_do_vkGetFenceFdKHR(struct null_call *c, const VkFenceGetFdInfoKHR *info, int *fd)
{
	(void)c;
	mutex_lock(&null.sync);
	signal_fence_locked(null_rec_of(info->fence), NULL_NEVER);
	mutex_unlock(&null.sync);
	*fd = -1;
	return VK_SUCCESS;
}

VkResult null_do_vkImportFenceFdKHR(struct null_call *c, const VkImportFenceFdInfoKHR *info)
{
	(void)c;
	mutex_lock(&null.sync);
	signal_fence_locked(null_rec_of(info->fence), 0);
	cond_broadcast(&null.wake);
	mutex_unlock(&null.sync);
	return VK_SUCCESS;
}

VkResult null_do_vkGetSemaphoreFdKHR(struct null_call *c, const VkSemaphoreGetFdInfoKHR *info,
				     int *fd)
{
	(void)c;
	(void)info;
	*fd = -1;
	return VK_SUCCESS;
}

VkResult null_do_vkImportSemaphoreFdKHR(struct null_call *c, const VkImportSemaphoreFdInfoKHR *info)
{
	(void)c;
	mutex_lock(&null.sync);
	signal_one_locked(info->semaphore, 1, 0);
	cond_broadcast(&null.wake);
	mutex_unlock(&null.sync);
	return VK_SUCCESS;
}

VkResult null_do_vkGetEventStatus(struct null_call *c, VkEvent event)
{
	struct null_rec *e = null_rec_of(event);

	if (null_is_lost(c))
		return VK_ERROR_DEVICE_LOST;
	return e && atomic_load_explicit(&e->u.event.is_set, memory_order_relaxed) ? VK_EVENT_SET
										   : VK_EVENT_RESET;
}

static VkResult set_event(VkEvent event, bool is_set)
{
	struct null_rec *e = null_rec_of(event);

	if (e)
		atomic_store_explicit(&e->u.event.is_set, is_set, memory_order_relaxed);
	return VK_SUCCESS;
}

VkResult null_do_vkSetEvent(struct null_call *c, VkEvent event)
{
	(void)c;
	return set_event(event, true);
}

VkResult null_do_vkResetEvent(struct null_call *c, VkEvent event)
{
	(void)c;
	return set_event(event, false);
}
