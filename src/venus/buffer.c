/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers and images.  Their memory may be of another origin than the guest thinks: it names handle
 * types of its own world, which the host's driver may not have.
 */
#include "util/ckd.h"
#include "venus/core.h"

static VkExternalMemoryHandleTypeFlags known_types(const struct venus_physdev *pd)
{
	return pd->has_dmabuf ? VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT : 0;
}

void venus_do_vkCreateBuffer(struct venus_dec *d, struct venus_args_vkCreateBuffer *a)
{
	VkExternalMemoryBufferCreateInfo *ext = venus_chain_find(
		a->pCreateInfo, VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO);
	VkBuffer vk = VK_NULL_HANDLE;

	if (ext)
		ext->handleTypes &= known_types(d->dev->physdev);
	struct venus_obj *o = venus_obj_reserve(d, *a->pBuffer, VK_OBJECT_TYPE_BUFFER, sizeof(*o));
	if (!o)
		return;
	a->ret = d->dev->vk.CreateBuffer(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

void venus_do_vkCreateImage(struct venus_dec *d, struct venus_args_vkCreateImage *a)
{
	VkExternalMemoryImageCreateInfo *ext = venus_chain_find(
		a->pCreateInfo, VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_IMAGE_CREATE_INFO);
	VkImage vk = VK_NULL_HANDLE;

	if (ext)
		ext->handleTypes &= known_types(d->dev->physdev);
	struct venus_obj *o = venus_obj_reserve(d, *a->pImage, VK_OBJECT_TYPE_IMAGE, sizeof(*o));
	if (!o)
		return;
	a->ret = d->dev->vk.CreateImage(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

/* ---- what memory they need ---- */

/* Guests map memory of some drivers in units larger than a page (strategy C). */
static void round_up(const struct venus_dec *d, VkMemoryRequirements *req)
{
	uint64_t align = d->dev->physdev->map_align;
	uint64_t size;

	if (align && !align_up_ckd(&size, req->size, align))
		req->size = size;
}

void venus_do_vkGetBufferMemoryRequirements(struct venus_dec *d,
					    struct venus_args_vkGetBufferMemoryRequirements *a)
{
	d->dev->vk.GetBufferMemoryRequirements(venus_device_vk(d->dev),
					       venus_handle_to(VkBuffer, a->buffer->handle),
					       a->pMemoryRequirements);
	round_up(d, a->pMemoryRequirements);
}

void venus_do_vkGetImageMemoryRequirements(struct venus_dec *d,
					   struct venus_args_vkGetImageMemoryRequirements *a)
{
	d->dev->vk.GetImageMemoryRequirements(venus_device_vk(d->dev),
					      venus_handle_to(VkImage, a->image->handle),
					      a->pMemoryRequirements);
	round_up(d, a->pMemoryRequirements);
}

void venus_do_vkGetBufferMemoryRequirements2(struct venus_dec *d,
					     struct venus_args_vkGetBufferMemoryRequirements2 *a)
{
	d->dev->vk.GetBufferMemoryRequirements2(venus_device_vk(d->dev), a->pInfo,
						a->pMemoryRequirements);
	round_up(d, &a->pMemoryRequirements->memoryRequirements);
}

void venus_do_vkGetImageMemoryRequirements2(struct venus_dec *d,
					    struct venus_args_vkGetImageMemoryRequirements2 *a)
{
	d->dev->vk.GetImageMemoryRequirements2(venus_device_vk(d->dev), a->pInfo,
					       a->pMemoryRequirements);
	round_up(d, &a->pMemoryRequirements->memoryRequirements);
}

void venus_do_vkGetDeviceBufferMemoryRequirements(
	struct venus_dec *d, struct venus_args_vkGetDeviceBufferMemoryRequirements *a)
{
	d->dev->vk.GetDeviceBufferMemoryRequirements(venus_device_vk(d->dev), a->pInfo,
						     a->pMemoryRequirements);
	round_up(d, &a->pMemoryRequirements->memoryRequirements);
}

void venus_do_vkGetDeviceImageMemoryRequirements(
	struct venus_dec *d, struct venus_args_vkGetDeviceImageMemoryRequirements *a)
{
	d->dev->vk.GetDeviceImageMemoryRequirements(venus_device_vk(d->dev), a->pInfo,
						    a->pMemoryRequirements);
	round_up(d, &a->pMemoryRequirements->memoryRequirements);
}
