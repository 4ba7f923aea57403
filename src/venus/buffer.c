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

/* ---- what memory they need ---- */

/*
 * Guests map memory of some drivers in units larger than a page (strategy C).  The alignment has to
 * say so, too, because Mesa computes a buffer's size from it.
 */
static void round_up(const struct venus_physdev *pd, VkMemoryRequirements *req)
{
	uint64_t size;

	if (pd->map_align == 0 || align_up_ckd(&size, req->size, pd->map_align))
		return;
	req->size = size;
	if (req->alignment < pd->map_align)
		req->alignment = pd->map_align;
}

/*
 * Mesa's Venus has the GPU write its answers to small buffers, packed as closely as their alignment
 * allows, and overruns them if that is more than a page.  So buffers of their kind stay as they
 * are, and out of memory that asks for more.
 */
static bool is_feedback(const VkBufferCreateInfo *info)
{
	return info->usage == (VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT);
}

static void keep_out(const struct venus_physdev *pd, VkMemoryRequirements *req)
{
	uint32_t bits = req->memoryTypeBits;

	for (uint32_t i = 0; i < pd->host_mem.memoryTypeCount; i++) {
		if (pd->strategy[i] == VENUS_STRATEGY_DRIVER)
			bits &= ~(1U << i);
	}
	if (bits)
		req->memoryTypeBits = bits;
}

static void round_up_buffer(const struct venus_physdev *pd, struct venus_obj *o,
			    VkMemoryRequirements *req)
{
	if (container_of(o, struct venus_buffer, obj)->is_feedback)
		keep_out(pd, req);
	else
		round_up(pd, req);
}

void venus_do_vkGetBufferMemoryRequirements(struct venus_dec *d,
					    struct venus_args_vkGetBufferMemoryRequirements *a)
{
	if (!a->buffer) {
		venus_dec_fatal(d, "lacks its buffer");
		return;
	}
	d->dev->vk.GetBufferMemoryRequirements(venus_device_vk(d->dev),
					       venus_handle_to(VkBuffer, a->buffer->handle),
					       a->pMemoryRequirements);
	round_up_buffer(d->dev->physdev, a->buffer, a->pMemoryRequirements);
}

void venus_do_vkGetBufferMemoryRequirements2(struct venus_dec *d,
					     struct venus_args_vkGetBufferMemoryRequirements2 *a)
{
	if (!d->resource) {
		venus_dec_fatal(d, "lacks its buffer");
		return;
	}
	d->dev->vk.GetBufferMemoryRequirements2(venus_device_vk(d->dev), a->pInfo,
						a->pMemoryRequirements);
	round_up_buffer(d->dev->physdev, d->resource, &a->pMemoryRequirements->memoryRequirements);
}

void venus_do_vkGetDeviceBufferMemoryRequirements(
	struct venus_dec *d, struct venus_args_vkGetDeviceBufferMemoryRequirements *a)
{
	if (!d->dev->vk.GetDeviceBufferMemoryRequirements) {
		venus_dec_fatal(d, "is nothing that the host's driver offers");
		return;
	}
	d->dev->vk.GetDeviceBufferMemoryRequirements(venus_device_vk(d->dev), a->pInfo,
						     a->pMemoryRequirements);
	if (is_feedback(a->pInfo->pCreateInfo))
		keep_out(d->dev->physdev, &a->pMemoryRequirements->memoryRequirements);
	else
		round_up(d->dev->physdev, &a->pMemoryRequirements->memoryRequirements);
}

void venus_do_vkGetImageMemoryRequirements(struct venus_dec *d,
					   struct venus_args_vkGetImageMemoryRequirements *a)
{
	if (!a->image) {
		venus_dec_fatal(d, "lacks its image");
		return;
	}
	d->dev->vk.GetImageMemoryRequirements(venus_device_vk(d->dev),
					      venus_handle_to(VkImage, a->image->handle),
					      a->pMemoryRequirements);
	round_up(d->dev->physdev, a->pMemoryRequirements);
}

void venus_do_vkGetImageMemoryRequirements2(struct venus_dec *d,
					    struct venus_args_vkGetImageMemoryRequirements2 *a)
{
	d->dev->vk.GetImageMemoryRequirements2(venus_device_vk(d->dev), a->pInfo,
					       a->pMemoryRequirements);
	round_up(d->dev->physdev, &a->pMemoryRequirements->memoryRequirements);
}

void venus_do_vkGetDeviceImageMemoryRequirements(
	struct venus_dec *d, struct venus_args_vkGetDeviceImageMemoryRequirements *a)
{
	if (!d->dev->vk.GetDeviceImageMemoryRequirements) {
		venus_dec_fatal(d, "is nothing that the host's driver offers");
		return;
	}
	d->dev->vk.GetDeviceImageMemoryRequirements(venus_device_vk(d->dev), a->pInfo,
						    a->pMemoryRequirements);
	round_up(d->dev->physdev, &a->pMemoryRequirements->memoryRequirements);
}

/* ---- creation ---- */

void venus_do_vkCreateBuffer(struct venus_dec *d, struct venus_args_vkCreateBuffer *a)
{
	VkExternalMemoryBufferCreateInfo *ext = venus_chain_find(
		a->pCreateInfo, VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO);
	VkBuffer vk = VK_NULL_HANDLE;

	if (ext)
		ext->handleTypes &= known_types(d->dev->physdev);
	struct venus_obj *o = venus_obj_reserve(d, *a->pBuffer, VK_OBJECT_TYPE_BUFFER,
						sizeof(struct venus_buffer));
	if (!o)
		return;
	container_of(o, struct venus_buffer, obj)->is_feedback = is_feedback(a->pCreateInfo);
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
	struct venus_obj *o =
		venus_obj_reserve(d, *a->pImage, VK_OBJECT_TYPE_IMAGE, sizeof(struct venus_image));
	if (!o)
		return;
	struct venus_image *image = container_of(o, struct venus_image, obj);
	image->format = a->pCreateInfo->format;
	image->extent = a->pCreateInfo->extent;
	image->levels = a->pCreateInfo->mipLevels;
	image->layers = a->pCreateInfo->arrayLayers;
	a->ret = d->dev->vk.CreateImage(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}
