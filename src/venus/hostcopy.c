/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between images and memory by the CPU, and descriptors written into memory: the real
 * functions take pointers, so the protocol has stand-ins that carry the bytes.
 *
 * A driver moves as many bytes as the image demands, whatever the guest says the size is.  It
 * therefore works on scratch memory that is large enough for any format.
 */
#include <sys/mman.h>

#include "util/ckd.h"
#include "venus/core.h"

#define TEXEL_MAX    32U /* bytes of a texel of the largest format, or share of a block */
#define BLOCK_MAX    12U /* texels along the edge of the largest block */
#define COPY_MAX     (UINT64_C(16) << 30) /* bytes of address space; only what is used gets memory */
#define MEMCPY_TIMES 4U                   /* a tiled image is larger than its texels */

struct scratch {
	void *at;
	uint64_t size;
};

static void scratch_fini(struct scratch *s)
{
	if (s->at)
		(void)munmap(s->at, s->size);
}
#define AUTO_SCRATCH CLEANUP(scratch_fini) struct scratch

/* Room for every byte that a copy of this shape can touch; false if there is none. */
static bool scratch_init(struct scratch *s, uint32_t row, uint32_t height, VkExtent3D extent,
			 uint32_t layers)
{
	uint64_t w = (uint64_t)(row > extent.width ? row : extent.width) + BLOCK_MAX;
	uint64_t h = (uint64_t)(height > extent.height ? height : extent.height) + BLOCK_MAX;
	uint64_t n;

	if (ckd_mul(&n, w, h) || ckd_mul(&n, n, (uint64_t)extent.depth + BLOCK_MAX) ||
	    ckd_mul(&n, n, (uint64_t)(layers ? layers : 1)) ||
	    ckd_mul(&n, n, (uint64_t)TEXEL_MAX * MEMCPY_TIMES) || n > COPY_MAX)
		return false;
	void *at = mmap(NULL, n, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return false;
	s->at = at;
	s->size = n;
	return true;
}

void venus_do_vkCopyImageToMemoryMESA(struct venus_dec *d,
				      struct venus_args_vkCopyImageToMemoryMESA *a)
{
	const VkCopyImageToMemoryInfoMESA *in = a->pCopyImageToMemoryInfo;
	VkImageToMemoryCopy region = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_TO_MEMORY_COPY,
		.memoryRowLength = in->memoryRowLength,
		.memoryImageHeight = in->memoryImageHeight,
		.imageSubresource = in->imageSubresource,
		.imageOffset = in->imageOffset,
		.imageExtent = in->imageExtent,
	};
	const VkCopyImageToMemoryInfo info = {
		.sType = VK_STRUCTURE_TYPE_COPY_IMAGE_TO_MEMORY_INFO,
		.flags = in->flags,
		.srcImage = in->srcImage,
		.srcImageLayout = in->srcImageLayout,
		.regionCount = 1,
		.pRegions = &region,
	};
	AUTO_SCRATCH s = { 0 };

	if (!d->dev->vk.CopyImageToMemory) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	if (!scratch_init(&s, in->memoryRowLength, in->memoryImageHeight, in->imageExtent,
			  in->imageSubresource.layerCount) ||
	    a->dataSize > s.size) {
		a->ret = VK_ERROR_OUT_OF_HOST_MEMORY;
		return;
	}
	region.pHostPointer = s.at;
	a->ret = d->dev->vk.CopyImageToMemory(venus_device_vk(d->dev), &info);
	if (a->ret == VK_SUCCESS && a->pData)
		memcpy(a->pData, s.at, a->dataSize);
}

static VkResult copy_to_image(struct venus_dec *d, const VkCopyMemoryToImageInfoMESA *in,
			      const VkMemoryToImageCopyMESA *r)
{
	VkMemoryToImageCopy region = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_TO_IMAGE_COPY,
		.memoryRowLength = r->memoryRowLength,
		.memoryImageHeight = r->memoryImageHeight,
		.imageSubresource = r->imageSubresource,
		.imageOffset = r->imageOffset,
		.imageExtent = r->imageExtent,
	};
	const VkCopyMemoryToImageInfo info = {
		.sType = VK_STRUCTURE_TYPE_COPY_MEMORY_TO_IMAGE_INFO,
		.flags = in->flags,
		.dstImage = in->dstImage,
		.dstImageLayout = in->dstImageLayout,
		.regionCount = 1,
		.pRegions = &region,
	};
	AUTO_SCRATCH s = { 0 };

	if (!scratch_init(&s, r->memoryRowLength, r->memoryImageHeight, r->imageExtent,
			  r->imageSubresource.layerCount) ||
	    r->dataSize > s.size)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	if (r->pData)
		memcpy(s.at, r->pData, r->dataSize);
	region.pHostPointer = s.at;
	return d->dev->vk.CopyMemoryToImage(venus_device_vk(d->dev), &info);
}

void venus_do_vkCopyMemoryToImageMESA(struct venus_dec *d,
				      struct venus_args_vkCopyMemoryToImageMESA *a)
{
	const VkCopyMemoryToImageInfoMESA *in = a->pCopyMemoryToImageInfo;

	if (!d->dev->vk.CopyMemoryToImage) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	a->ret = VK_SUCCESS;
	for (uint32_t i = 0; i < in->regionCount && in->pRegions && a->ret == VK_SUCCESS; i++)
		a->ret = copy_to_image(d, in, &in->pRegions[i]);
}

void venus_do_vkWriteSamplerDescriptorMESA(struct venus_dec *d,
					   struct venus_args_vkWriteSamplerDescriptorMESA *a)
{
	const VkHostAddressRangeEXT range = { .address = a->pData, .size = a->dataSize };

	if (!d->dev->vk.WriteSamplerDescriptorsEXT || !a->pData) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	a->ret = d->dev->vk.WriteSamplerDescriptorsEXT(venus_device_vk(d->dev), 1, a->pSampler,
						       &range);
}

void venus_do_vkWriteResourceDescriptorMESA(struct venus_dec *d,
					    struct venus_args_vkWriteResourceDescriptorMESA *a)
{
	const VkHostAddressRangeEXT range = { .address = a->pData, .size = a->dataSize };

	if (!d->dev->vk.WriteResourceDescriptorsEXT || !a->pData) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	a->ret = d->dev->vk.WriteResourceDescriptorsEXT(venus_device_vk(d->dev), 1, a->pResource,
							&range);
}
