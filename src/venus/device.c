/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and their queues (venus.md 7, 9.2). */
#include <stdlib.h>

#include "util/log.h"
#include "venus/core.h"

#define SLOTS_MAX 256U /* queues of one device */

/* What we need of the driver for ourselves, beside what the guest enables. */
static uint32_t own_extensions(const struct venus_physdev *pd, const char **out)
{
	uint32_t n = 0;

	if (pd->has_host_import)
		out[n++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
	if (pd->has_dmabuf) {
		out[n++] = VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME;
		out[n++] = VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME;
	}
	return n;
}

#define OWN_EXTENSIONS_MAX 3U

static bool is_listed(const char *const *list, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(list[i], name) == 0)
			return true;
	}
	return false;
}

/* Turns the guest's list into the host's: nothing that was not offered, nothing that is emulated.
 */
static VkResult set_extensions(struct venus_dec *d, const struct venus_physdev *pd,
			       VkDeviceCreateInfo *ci)
{
	uint32_t n = ci->enabledExtensionCount;
	const char **list = venus_dec_alloc(d, (size_t)n + OWN_EXTENSIONS_MAX, sizeof(*list));
	const char *own[OWN_EXTENSIONS_MAX];
	uint32_t count = 0;

	if (!list)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	for (uint32_t i = 0; i < n; i++) {
		const char *name = ci->ppEnabledExtensionNames[i];

		if (!venus_physdev_offers(pd, name))
			return VK_ERROR_EXTENSION_NOT_PRESENT;
		if (pd->emulates_sync_fd &&
		    strcmp(name, VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME) == 0)
			continue;
		if (!is_listed(list, count, name))
			list[count++] = name;
	}
	n = own_extensions(pd, own);
	for (uint32_t i = 0; i < n; i++) {
		if (!is_listed(list, count, own[i]))
			list[count++] = own[i];
	}
	ci->enabledExtensionCount = count;
	ci->ppEnabledExtensionNames = list;
	return VK_SUCCESS;
}

/* Queues must exist; drivers take that for granted.  Return: their number, 0 if they do not. */
static uint32_t count_queues(const struct venus_physdev *pd, const VkDeviceCreateInfo *ci)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < ci->queueCreateInfoCount; i++) {
		const VkDeviceQueueCreateInfo *q = &ci->pQueueCreateInfos[i];
		uint64_t of_family = 0;

		if (q->queueFamilyIndex >= pd->families_count || q->queueCount == 0 ||
		    !q->pQueuePriorities)
			return 0;
		for (uint32_t k = 0; k <= i; k++) {
			const VkDeviceQueueCreateInfo *other = &ci->pQueueCreateInfos[k];

			if (other->queueFamilyIndex == q->queueFamilyIndex)
				of_family += other->queueCount;
			if (k < i && other->queueFamilyIndex == q->queueFamilyIndex &&
			    other->flags == q->flags)
				return 0;
		}
		if (of_family > pd->families[q->queueFamilyIndex].queueCount ||
		    q->queueCount > SLOTS_MAX - total)
			return 0;
		total += q->queueCount;
	}
	return total;
}

static void fetch_queues(struct venus_device *dev, VkDevice vk, const VkDeviceCreateInfo *ci)
{
	struct venus_queue_slot *slot = dev->slots;

	for (uint32_t i = 0; i < ci->queueCreateInfoCount; i++) {
		const VkDeviceQueueCreateInfo *q = &ci->pQueueCreateInfos[i];

		for (uint32_t k = 0; k < q->queueCount; k++, slot++) {
			const VkDeviceQueueInfo2 info = {
				.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_INFO_2,
				.flags = q->flags,
				.queueFamilyIndex = q->queueFamilyIndex,
				.queueIndex = k,
			};

			slot->family = q->queueFamilyIndex;
			slot->index = k;
			slot->flags = q->flags;
			if (q->flags)
				dev->vk.GetDeviceQueue2(vk, &info, &slot->vk);
			else
				dev->vk.GetDeviceQueue(vk, q->queueFamilyIndex, k, &slot->vk);
		}
	}
}

static bool count_device(struct venus_ctx *ctx)
{
	/* Relaxed: a number and no more. */
	if (atomic_fetch_add_explicit(&ctx->devices, 1, memory_order_relaxed) < VENUS_MAX_DEVICES)
		return true;
	(void)atomic_fetch_sub_explicit(&ctx->devices, 1, memory_order_relaxed);
	return false;
}

static void uncount_device(struct venus_ctx *ctx)
{
	(void)atomic_fetch_sub_explicit(&ctx->devices, 1, memory_order_relaxed);
}

void venus_do_vkCreateDevice(struct venus_dec *d, struct venus_args_vkCreateDevice *a)
{
	const struct venus_vki *vki = venus_dec_vki(d);
	const struct venus_physdev *pd = container_of(a->physicalDevice, struct venus_physdev, obj);
	VkDeviceCreateInfo *ci = a->pCreateInfo;
	VkDevice vk = VK_NULL_HANDLE;
	uint32_t queues = count_queues(pd, ci);

	ci->enabledLayerCount = 0; /* deprecated, ignored by drivers */
	ci->ppEnabledLayerNames = NULL;
	if (queues == 0) {
		a->ret = VK_ERROR_INITIALIZATION_FAILED;
		return;
	}
	a->ret = set_extensions(d, pd, ci);
	if (a->ret != VK_SUCCESS)
		return;

	if (!count_device(d->ctx)) {
		a->ret = VK_ERROR_TOO_MANY_OBJECTS;
		return;
	}

	struct venus_obj *o = venus_obj_reserve(d, *a->pDevice, VK_OBJECT_TYPE_DEVICE,
						sizeof(struct venus_device));
	if (!o) {
		uncount_device(d->ctx);
		return;
	}
	struct venus_device *dev = container_of(o, struct venus_device, obj);
	mutex_init(&dev->lock);
	cond_init(&dev->no_makers);
	list_init(&dev->objects);
	dev->physdev = pd;
	dev->slots = calloc(queues, sizeof(*dev->slots));
	a->ret =
		dev->slots ? vki->CreateDevice(pd->vk, ci, NULL, &vk) : VK_ERROR_OUT_OF_HOST_MEMORY;
	if (a->ret != VK_SUCCESS) {
		log_info(GPU, "%s: vkCreateDevice on %s fails with %d", d->ctx->name,
			 pd->props.deviceName, (int)a->ret);
		venus_obj_cancel(d, o);
		uncount_device(d->ctx);
		return;
	}
	dev->slots_count = queues;
	venus_vkd_load(&dev->vk, vki->GetDeviceProcAddr, vk);
	fetch_queues(dev, vk, ci);
	venus_obj_publish(d, o, venus_handle_of(vk), NULL);
}

static struct venus_queue_slot *take_slot(struct venus_device *dev, const VkDeviceQueueInfo2 *info)
{
	struct venus_queue_slot *found = NULL;

	mutex_lock(&dev->lock);
	for (uint32_t i = 0; i < dev->slots_count && !found; i++) {
		struct venus_queue_slot *s = &dev->slots[i];

		if (s->family == info->queueFamilyIndex && s->index == info->queueIndex &&
		    s->flags == info->flags && !s->is_taken) {
			s->is_taken = true;
			found = s;
		}
	}
	mutex_unlock(&dev->lock);
	return found;
}

/* Binds a timeline to a queue. */
static bool bind_timeline(struct venus_ctx *ctx, struct venus_queue *q, uint32_t ring_idx)
{
	bool is_free = false;

	if (ring_idx == VENUS_CPU_TIMELINE || ring_idx >= VENUS_TIMELINES)
		return false;
	mutex_lock(&ctx->bind_lock);
	if (!ctx->timeline[ring_idx]) {
		ctx->timeline[ring_idx] = q;
		is_free = true;
	}
	mutex_unlock(&ctx->bind_lock);
	return is_free;
}

static void unbind_timeline(struct venus_ctx *ctx, struct venus_queue *q)
{
	mutex_lock(&ctx->bind_lock);
	if (ctx->timeline[q->ring_idx] == q)
		ctx->timeline[q->ring_idx] = NULL;
	mutex_unlock(&ctx->bind_lock);
}

void venus_do_vkGetDeviceQueue2(struct venus_dec *d, struct venus_args_vkGetDeviceQueue2 *a)
{
	const VkDeviceQueueTimelineInfoMESA *timeline =
		venus_chain_find(a->pQueueInfo, VK_STRUCTURE_TYPE_DEVICE_QUEUE_TIMELINE_INFO_MESA);

	if (!timeline) {
		venus_dec_fatal(d, "names no timeline");
		return;
	}
	struct venus_obj *o =
		venus_obj_reserve(d, *a->pQueue, VK_OBJECT_TYPE_QUEUE, sizeof(struct venus_queue));
	if (!o)
		return;
	struct venus_queue *q = container_of(o, struct venus_queue, obj);
	venus_queue_init(q, d->ctx, timeline->ringIdx);
	struct venus_queue_slot *slot = take_slot(d->dev, a->pQueueInfo);
	if (!slot) {
		venus_dec_fatal(d, "names a queue that does not exist or was fetched before");
		venus_obj_cancel(d, o);
		return;
	}
	q->vk = slot->vk;
	if (!bind_timeline(d->ctx, q, timeline->ringIdx)) {
		venus_dec_fatal(d, "names timeline %u, which is in use or none", timeline->ringIdx);
		venus_obj_cancel(d, o);
		return;
	}
	venus_obj_publish(d, o, venus_handle_of(slot->vk), NULL);
}

/* The queues that the guest fetched.  Return: their number, at most VENUS_TIMELINES. */
static uint32_t list_queues(struct venus_device *dev, struct venus_queue **list)
{
	uint32_t n = 0;

	mutex_lock(&dev->lock);
	list_for_each(it, &dev->objects)
	{
		struct venus_obj *o = container_of(it, struct venus_obj, dev_node);

		/* Each holds a timeline, so there cannot be more. */
		if (o->type == VK_OBJECT_TYPE_QUEUE && n < VENUS_TIMELINES)
			list[n++] = container_of(o, struct venus_queue, obj);
	}
	mutex_unlock(&dev->lock);
	return n;
}

void venus_device_finish(struct venus_ctx *ctx, struct venus_device *dev)
{
	struct venus_queue *queues[VENUS_TIMELINES];

	venus_device_close(dev);
	uint32_t n = list_queues(dev, queues);
	for (uint32_t i = 0; i < n; i++)
		venus_queue_stop(queues[i]);
	/* Fences retire because their work is done, as far as the driver lets us say so. */
	if (dev->vk.DeviceWaitIdle(venus_device_vk(dev)) != VK_SUCCESS)
		log_info(GPU, "%s: the device is lost", ctx->name);
	for (uint32_t i = 0; i < n; i++) {
		venus_queue_finish(queues[i]);
		unbind_timeline(ctx, queues[i]);
	}
	venus_device_empty(ctx, dev);
	/* Until then others could find its queues and command buffers, and by them the device. */
	venus_table_renew(ctx->table, &dev->obj);
	dev->vk.DestroyDevice(venus_device_vk(dev), NULL);
	uncount_device(ctx);
}

void venus_do_vkDestroyDevice(struct venus_dec *d, struct venus_args_vkDestroyDevice *a)
{
	if (a->device && venus_obj_remove(d, a->device))
		venus_device_finish(d->ctx, container_of(a->device, struct venus_device, obj));
}
