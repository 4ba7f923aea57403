/* SPDX-License-Identifier: Apache-2.0 */
/* What guests learn about physical devices where it is not simply the driver's answer (venus.md 7).
 */
#include "venus/core.h"

static const struct venus_physdev *physdev_of(struct venus_obj *o)
{
	return container_of(o, struct venus_physdev, obj);
}

/*
 * What we say no to must not look like more to the guest: its driver allocates without waiting for
 * an answer, and takes a failure it did not foresee for the end of the world.
 */
static void clamp_limits(const struct venus_dec *d, VkPhysicalDeviceLimits *l)
{
	if (l->maxMemoryAllocationCount > d->ctx->limits.host_memories)
		l->maxMemoryAllocationCount = d->ctx->limits.host_memories;
}

void venus_do_vkGetPhysicalDeviceProperties(struct venus_dec *d,
					    struct venus_args_vkGetPhysicalDeviceProperties *a)
{
	*a->pProperties = physdev_of(a->physicalDevice)->props;
	clamp_limits(d, &a->pProperties->limits);
}

void venus_do_vkGetPhysicalDeviceProperties2(struct venus_dec *d,
					     struct venus_args_vkGetPhysicalDeviceProperties2 *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);

	venus_dec_vki(d)->GetPhysicalDeviceProperties2(pd->vk, a->pProperties);
	a->pProperties->properties.apiVersion = pd->api;
	clamp_limits(d, &a->pProperties->properties.limits);
}

void venus_do_vkGetPhysicalDeviceQueueFamilyProperties(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceQueueFamilyProperties *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);
	uint32_t n = *a->pQueueFamilyPropertyCount;

	(void)d;
	if (!a->pQueueFamilyProperties || n > pd->families_count)
		n = pd->families_count;
	if (a->pQueueFamilyProperties)
		memcpy(a->pQueueFamilyProperties, pd->families, n * sizeof(*pd->families));
	*a->pQueueFamilyPropertyCount = n;
}

void venus_do_vkGetPhysicalDeviceMemoryProperties(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceMemoryProperties *a)
{
	(void)d;
	*a->pMemoryProperties = physdev_of(a->physicalDevice)->mem;
}

void venus_do_vkGetPhysicalDeviceMemoryProperties2(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceMemoryProperties2 *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);

	if (a->pMemoryProperties->pNext)
		venus_dec_vki(d)->GetPhysicalDeviceMemoryProperties2(pd->vk, a->pMemoryProperties);
	a->pMemoryProperties->memoryProperties = pd->mem;
}

/* Guests know dma-bufs and nothing else; what we cannot make does not exist. */
static void filter_memory(const struct venus_physdev *pd, VkExternalMemoryProperties *p,
			  VkExternalMemoryHandleTypeFlagBits type)
{
	const VkExternalMemoryHandleTypeFlags dmabuf =
		VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;

	if (!pd->has_dmabuf || type != VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT) {
		*p = (VkExternalMemoryProperties){ 0 };
		return;
	}
	p->compatibleHandleTypes &= dmabuf;
	p->exportFromImportedHandleTypes &= dmabuf;
}

void venus_do_vkGetPhysicalDeviceExternalBufferProperties(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceExternalBufferProperties *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);

	venus_dec_vki(d)->GetPhysicalDeviceExternalBufferProperties(pd->vk, a->pExternalBufferInfo,
								    a->pExternalBufferProperties);
	filter_memory(pd, &a->pExternalBufferProperties->externalMemoryProperties,
		      a->pExternalBufferInfo->handleType);
}

void venus_do_vkGetPhysicalDeviceImageFormatProperties2(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceImageFormatProperties2 *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);
	const VkPhysicalDeviceExternalImageFormatInfo *in = venus_chain_find(
		a->pImageFormatInfo, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_IMAGE_FORMAT_INFO);
	VkExternalImageFormatProperties *out = venus_chain_find(
		a->pImageFormatProperties, VK_STRUCTURE_TYPE_EXTERNAL_IMAGE_FORMAT_PROPERTIES);
	VkExternalMemoryHandleTypeFlagBits type = in ? in->handleType : 0;

	if (type != 0 &&
	    (!pd->has_dmabuf || type != VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT)) {
		a->ret = VK_ERROR_FORMAT_NOT_SUPPORTED;
		return;
	}
	a->ret = venus_dec_vki(d)->GetPhysicalDeviceImageFormatProperties2(
		pd->vk, a->pImageFormatInfo, a->pImageFormatProperties);
	if (out)
		filter_memory(pd, &out->externalMemoryProperties, type);
}

void venus_do_vkGetPhysicalDeviceExternalFenceProperties(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceExternalFenceProperties *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);
	const VkExternalFenceHandleTypeFlags sync_fd = VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT;
	VkExternalFenceProperties *p = a->pExternalFenceProperties;

	venus_dec_vki(d)->GetPhysicalDeviceExternalFenceProperties(pd->vk, a->pExternalFenceInfo,
								   p);
	if (a->pExternalFenceInfo->handleType != VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT ||
	    !venus_physdev_offers(pd, VK_KHR_EXTERNAL_FENCE_FD_EXTENSION_NAME)) {
		p->compatibleHandleTypes = 0;
		p->exportFromImportedHandleTypes = 0;
		p->externalFenceFeatures = 0;
	}
	p->compatibleHandleTypes &= sync_fd;
	p->exportFromImportedHandleTypes &= sync_fd;
}

void venus_do_vkGetPhysicalDeviceExternalSemaphoreProperties(
	struct venus_dec *d, struct venus_args_vkGetPhysicalDeviceExternalSemaphoreProperties *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);
	const VkExternalSemaphoreHandleTypeFlags sync_fd =
		VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT;
	VkExternalSemaphoreProperties *p = a->pExternalSemaphoreProperties;

	venus_dec_vki(d)->GetPhysicalDeviceExternalSemaphoreProperties(
		pd->vk, a->pExternalSemaphoreInfo, p);
	if (a->pExternalSemaphoreInfo->handleType !=
	    VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT) {
		p->compatibleHandleTypes = 0;
		p->externalSemaphoreFeatures = 0;
	} else if (pd->emulates_sync_fd) {
		p->compatibleHandleTypes = sync_fd;
		p->externalSemaphoreFeatures = VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT;
		p->exportFromImportedHandleTypes = 0;
	}
	p->compatibleHandleTypes &= sync_fd;
	p->exportFromImportedHandleTypes &= sync_fd;
}

void venus_do_vkEnumerateDeviceExtensionProperties(
	struct venus_dec *d, struct venus_args_vkEnumerateDeviceExtensionProperties *a)
{
	const struct venus_physdev *pd = physdev_of(a->physicalDevice);
	uint32_t n = *a->pPropertyCount;

	(void)d;
	if (a->pLayerName) {
		*a->pPropertyCount = 0;
		a->ret = VK_ERROR_LAYER_NOT_PRESENT;
		return;
	}
	a->ret = a->pProperties && n < pd->exts_count ? VK_INCOMPLETE : VK_SUCCESS;
	if (!a->pProperties || n > pd->exts_count)
		n = pd->exts_count;
	if (a->pProperties)
		memcpy(a->pProperties, pd->exts, n * sizeof(*pd->exts));
	*a->pPropertyCount = n;
}
