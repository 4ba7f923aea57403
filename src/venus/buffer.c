/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers and images.  Their memory may be of another origin than the guest thinks: it names handle
 * types of its own world, which the host's driver may not have.
 */
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
