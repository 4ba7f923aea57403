/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's fences and semaphores.  A wait blocks its ring, as the protocol demands, but in
 * slices, so that a guest that waits forever can still be stopped.
 *
 * Importing a SYNC_FD into a semaphore only ever means "signalled" here (venus.md 9.1).  Where the
 * driver cannot do it, an empty submission signals the semaphore instead; guests up to Mesa 26.0
 * need the feature to offer more than Vulkan 1.2.
 */
#include "util/log.h"
#include "venus/core.h"

void venus_do_vkCreateFence(struct venus_dec *d, struct venus_args_vkCreateFence *a)
{
	const struct venus_physdev *pd = d->dev->physdev;
	VkExportFenceCreateInfo *export =
		venus_chain_find(a->pCreateInfo, VK_STRUCTURE_TYPE_EXPORT_FENCE_CREATE_INFO);
	VkFence vk = VK_NULL_HANDLE;

	if (export && venus_physdev_offers(pd, VK_KHR_EXTERNAL_FENCE_FD_EXTENSION_NAME))
		export->handleTypes &= VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT;
	else if (export)
		venus_chain_drop(a->pCreateInfo, VK_STRUCTURE_TYPE_EXPORT_FENCE_CREATE_INFO);

	struct venus_obj *o = venus_obj_reserve(d, *a->pFence, VK_OBJECT_TYPE_FENCE, sizeof(*o));
	if (!o)
		return;
	a->ret = d->dev->vk.CreateFence(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

void venus_do_vkCreateSemaphore(struct venus_dec *d, struct venus_args_vkCreateSemaphore *a)
{
	VkExportSemaphoreCreateInfo *export =
		venus_chain_find(a->pCreateInfo, VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO);
	VkSemaphore vk = VK_NULL_HANDLE;

	if (export && !d->dev->physdev->emulates_sync_fd)
		export->handleTypes &= VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT;
	else if (export)
		venus_chain_drop(a->pCreateInfo, VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO);

	struct venus_obj *o =
		venus_obj_reserve(d, *a->pSemaphore, VK_OBJECT_TYPE_SEMAPHORE, sizeof(*o));
	if (!o)
		return;
	a->ret = d->dev->vk.CreateSemaphore(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

static void destroy(struct venus_dec *d, struct venus_obj *o)
{
	if (o && venus_obj_remove(d, o))
		venus_destroy_handle(d->dev, o->type, o->handle);
}

void venus_do_vkDestroyFence(struct venus_dec *d, struct venus_args_vkDestroyFence *a)
{
	destroy(d, a->fence);
}

void venus_do_vkDestroySemaphore(struct venus_dec *d, struct venus_args_vkDestroySemaphore *a)
{
	destroy(d, a->semaphore);
}

void venus_do_vkGetFenceStatus(struct venus_dec *d, struct venus_args_vkGetFenceStatus *a)
{
	if (!a->fence) {
		venus_dec_fatal(d, "lacks its fence");
		return;
	}
	a->ret = d->dev->vk.GetFenceStatus(venus_device_vk(d->dev),
					   venus_handle_to(VkFence, a->fence->handle));
}

/* Host handles of fences, in the arena; NULL (and d->failed) if one is missing. */
static VkFence *fences_of(struct venus_dec *d, struct venus_obj **objs, uint32_t n)
{
	VkFence *list = objs ? venus_dec_alloc(d, n, sizeof(*list)) : NULL;

	for (uint32_t i = 0; list && i < n; i++) {
		if (!objs[i])
			list = NULL;
		else
			list[i] = venus_handle_to(VkFence, objs[i]->handle);
	}
	if (!list && !d->failed)
		venus_dec_fatal(d, "lacks a fence");
	return list;
}

void venus_do_vkResetFences(struct venus_dec *d, struct venus_args_vkResetFences *a)
{
	VkFence *list = fences_of(d, a->pFences, a->fenceCount);

	if (list)
		a->ret = d->dev->vk.ResetFences(venus_device_vk(d->dev), a->fenceCount, list);
}

/* Length of the next slice of a wait that ends at @until; UINT64_MAX stands for never. */
static uint64_t slice(uint64_t until, uint64_t now)
{
	uint64_t left = until > now ? until - now : 0;

	return left < VENUS_SLICE_NS ? left : VENUS_SLICE_NS;
}

static uint64_t deadline(uint64_t timeout_ns)
{
	uint64_t now = clock_now_ns();

	return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

void venus_do_vkWaitForFences(struct venus_dec *d, struct venus_args_vkWaitForFences *a)
{
	const struct venus_vkd *vk = &d->dev->vk;
	VkDevice dev = venus_device_vk(d->dev);
	VkFence *list = fences_of(d, a->pFences, a->fenceCount);

	if (!list)
		return;
	/* Guests mostly wait for what they know to be done. */
	a->ret = vk->WaitForFences(dev, a->fenceCount, list, a->waitAll, 0);
	if (a->ret != VK_TIMEOUT || a->timeout == 0)
		return;
	uint64_t until = deadline(a->timeout);
	uint64_t now = clock_now_ns();
	do {
		a->ret = vk->WaitForFences(dev, a->fenceCount, list, a->waitAll, slice(until, now));
		now = clock_now_ns();
	} while (a->ret == VK_TIMEOUT && now < until && !venus_dec_stops(d));
}

void venus_do_vkWaitSemaphores(struct venus_dec *d, struct venus_args_vkWaitSemaphores *a)
{
	const struct venus_vkd *vk = &d->dev->vk;
	VkDevice dev = venus_device_vk(d->dev);

	if (!vk->WaitSemaphores) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	a->ret = vk->WaitSemaphores(dev, a->pWaitInfo, 0);
	if (a->ret != VK_TIMEOUT || a->timeout == 0)
		return;
	uint64_t until = deadline(a->timeout);
	uint64_t now = clock_now_ns();
	do {
		a->ret = vk->WaitSemaphores(dev, a->pWaitInfo, slice(until, now));
		now = clock_now_ns();
	} while (a->ret == VK_TIMEOUT && now < until && !venus_dec_stops(d));
}

/* ---- payloads that went out as sync files, or come in as such ---- */

void venus_do_vkResetFenceResourceMESA(struct venus_dec *d,
				       struct venus_args_vkResetFenceResourceMESA *a)
{
	const struct venus_vkd *vk = &d->dev->vk;
	VkDevice dev = venus_device_vk(d->dev);
	VkFence fence = a->fence ? venus_handle_to(VkFence, a->fence->handle) : VK_NULL_HANDLE;
	const VkFenceGetFdInfoKHR get = { .sType = VK_STRUCTURE_TYPE_FENCE_GET_FD_INFO_KHR,
					  .fence = fence,
					  .handleType = VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT };
	int fd = -1;

	if (!fence || !vk->GetFenceFdKHR) {
		venus_dec_fatal(d, "names no fence that can be exported");
		return;
	}
	if (vk->GetFenceFdKHR(dev, &get, &fd) == VK_SUCCESS)
		fd_drop(&fd);
}

void venus_do_vkWaitSemaphoreResourceMESA(struct venus_dec *d,
					  struct venus_args_vkWaitSemaphoreResourceMESA *a)
{
	const struct venus_vkd *vk = &d->dev->vk;
	VkSemaphore sem =
		a->semaphore ? venus_handle_to(VkSemaphore, a->semaphore->handle) : VK_NULL_HANDLE;
	const VkSemaphoreGetFdInfoKHR get = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR,
		.semaphore = sem,
		.handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
	};
	int fd = -1;

	if (!sem || !vk->GetSemaphoreFdKHR) {
		venus_dec_fatal(d, "names no semaphore that can be exported");
		return;
	}
	if (vk->GetSemaphoreFdKHR(venus_device_vk(d->dev), &get, &fd) == VK_SUCCESS)
		fd_drop(&fd);
}

/* Any queue of the device that the guest fetched; the caller is a busy reader. */
static struct venus_queue *any_queue(struct venus_device *dev)
{
	struct venus_queue *q = NULL;

	mutex_lock(&dev->lock);
	list_for_each(it, &dev->objects)
	{
		struct venus_obj *o = container_of(it, struct venus_obj, dev_node);

		if (!q && o->type == VK_OBJECT_TYPE_QUEUE)
			q = container_of(o, struct venus_queue, obj);
	}
	mutex_unlock(&dev->lock);
	return q;
}

static VkResult signal_by_submission(struct venus_dec *d, VkSemaphore sem)
{
	const VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
				    .signalSemaphoreCount = 1,
				    .pSignalSemaphores = &sem };
	struct venus_queue *q = any_queue(d->dev);

	if (!q || !venus_queue_lock(q))
		return VK_ERROR_INITIALIZATION_FAILED;
	VkResult r = d->dev->vk.QueueSubmit(q->vk, 1, &info, VK_NULL_HANDLE);
	venus_queue_end(q, NULL, r);
	mutex_unlock(&q->lock);
	return r;
}

void venus_do_vkImportSemaphoreResourceMESA(struct venus_dec *d,
					    struct venus_args_vkImportSemaphoreResourceMESA *a)
{
	const VkImportSemaphoreResourceInfoMESA *info = a->pImportSemaphoreResourceInfo;
	const struct venus_vkd *vk = &d->dev->vk;
	const VkImportSemaphoreFdInfoKHR import = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR,
		.semaphore = info->semaphore,
		.flags = VK_SEMAPHORE_IMPORT_TEMPORARY_BIT,
		.handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
		.fd = -1, /* signalled */
	};
	VkResult r;

	if (!info->semaphore || info->resourceId != 0) {
		venus_dec_fatal(d, "imports something else than a signalled semaphore");
		return;
	}
	if (vk->ImportSemaphoreFdKHR && !d->dev->physdev->emulates_sync_fd)
		r = vk->ImportSemaphoreFdKHR(venus_device_vk(d->dev), &import);
	else
		r = signal_by_submission(d, info->semaphore);
	if (r != VK_SUCCESS)
		log_guest(GPU, "%s: importing a signalled semaphore fails with %d", d->ctx->name,
			  (int)r);
}
