/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and queues of the null driver, and the way from a name to a function. */
#include <stdio.h>
#include <string.h>

#include "null_internal.h"

static int find_extension(const char *name)
{
	for (uint32_t i = 0; i < null_extension_count; i++) {
		if (strcmp(null_extensions[i].name, name) == 0)
			return null_is_hidden(&null_extensions[i]) ? -1 : (int)i;
	}
	return -1;
}

static bool has_ext(const struct null_rec *dev, int ext)
{
	return dev->u.device.ext[ext / 32] & (1U << (ext % 32));
}

static bool add_queues(struct null_call *c, struct null_rec *dev,
		       const VkDeviceQueueCreateInfo *info)
{
	struct null_rec *q;

	if (info->queueFamilyIndex >= NULL_FAMILIES ||
	    info->queueCount > null_family_queues(info->queueFamilyIndex)) {
		null_complain(c, "asks for %u queues of family %u", info->queueCount,
			      info->queueFamilyIndex);
		return true;
	}
	for (uint32_t i = 0; i < info->queueCount; i++) {
		q = null_new(VK_OBJECT_TYPE_QUEUE, dev, dev);
		if (!q)
			return false;
		q->u.queue.family = info->queueFamilyIndex;
		q->u.queue.index = i;
		dev->u.device.queue[info->queueFamilyIndex][i] = q;
	}
	dev->u.device.queues[info->queueFamilyIndex] = info->queueCount;
	return true;
}

VkResult null_do_vkCreateDevice(struct null_call *c, const VkDeviceCreateInfo *info,
				VkDevice *device)
{
	struct null_rec *dev = null_new(VK_OBJECT_TYPE_DEVICE, NULL, c->self);

	if (!dev)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	for (uint32_t i = 0; i < info->enabledExtensionCount; i++) {
		int ext = find_extension(info->ppEnabledExtensionNames[i]);

		if (ext < 0) {
			null_end(dev);
			return VK_ERROR_EXTENSION_NOT_PRESENT;
		}
		dev->u.device.ext[ext / 32] |= 1U << (ext % 32);
	}
	for (uint32_t i = 0; i < info->queueCreateInfoCount; i++) {
		if (!add_queues(c, dev, &info->pQueueCreateInfos[i])) {
			null_end(dev);
			return VK_ERROR_OUT_OF_HOST_MEMORY;
		}
	}
	*device = NULL_HANDLE(VkDevice, dev);
	return VK_SUCCESS;
}

/* Queues are members of the device and vanish with it; everything else must be gone. */
void null_do_vkDestroyDevice(struct null_call *c)
{
	uint32_t queues = 0;
	uint32_t members = atomic_load_explicit(&c->self->members, memory_order_relaxed);

	for (uint32_t f = 0; f < NULL_FAMILIES; f++)
		queues += c->self->u.device.queues[f];
	bool is_race_ok = atomic_load_explicit(&null.faults.is_stale_ok, memory_order_relaxed);

	/* One that is created while its device goes is nobody's any more. */
	if (members > queues && is_race_ok) {
		null_end_owned(c->self);
	} else if (members > queues) {
		null_complain(c, "came while %u objects of the device are alive", members - queues);
		null_end_owned(c->self);
	}
	null_end(c->self);
}

static void get_queue(struct null_call *c, uint32_t family, uint32_t index, VkQueue *queue)
{
	*queue = VK_NULL_HANDLE;
	if (family >= NULL_FAMILIES || index >= c->dev->u.device.queues[family])
		null_complain(c, "asks for queue %u of family %u, which was not created", index,
			      family);
	else
		*queue = NULL_HANDLE(VkQueue, c->dev->u.device.queue[family][index]);
}

void null_do_vkGetDeviceQueue(struct null_call *c, uint32_t family, uint32_t index, VkQueue *queue)
{
	get_queue(c, family, index, queue);
}

void null_do_vkGetDeviceQueue2(struct null_call *c, const VkDeviceQueueInfo2 *info, VkQueue *queue)
{
	get_queue(c, info->queueFamilyIndex, info->queueIndex, queue);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc_addr(VkDevice device,
								     const char *name)
{
	const struct null_command *cmd = null_find_command(name);
	const struct null_rec *dev = null_rec_of(device);

	if (!cmd || cmd->level != 2)
		return NULL;
	for (size_t i = 0; !cmd->is_core && i < ARRAY_LEN(cmd->ext) && cmd->ext[i] >= 0; i++) {
		if (has_ext(dev, cmd->ext[i]))
			return cmd->fn;
	}
	return cmd->is_core ? cmd->fn : NULL;
}

static pthread_once_t started = PTHREAD_ONCE_INIT;

static void start(void)
{
	cond_init(&null.wake);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_get_instance_proc_addr(VkInstance instance,
								     const char *name)
{
	(void)pthread_once(&started, start);
	if (strcmp(name, "vkGetInstanceProcAddr") == 0)
		return (PFN_vkVoidFunction)null_get_instance_proc_addr;
	if (strcmp(name, "vkGetDeviceProcAddr") == 0)
		return (PFN_vkVoidFunction)get_device_proc_addr;

	const struct null_command *cmd = null_find_command(name);

	if (!cmd || (!instance && cmd->level != 0))
		return NULL;
	return cmd->fn;
}
