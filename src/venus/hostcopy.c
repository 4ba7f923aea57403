/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between images and memory by the CPU, and descriptors written into memory: the real
 * functions take pointers, so the protocol has stand-ins that carry the bytes.
 *
 * A driver moves as many bytes as the image demands, whatever the guest says the size is.  It
 * therefore works on scratch memory that is large enough for any format.  What is not part of the
 * image is refused: the CPU would copy what lies beside it.
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

/* A copy, whichever way it goes. */
struct copy {
	VkHostImageCopyFlags flags;
	uint32_t row;    /* texels; 0: as many as are copied */
	uint32_t height; /* likewise */
	VkImageSubresourceLayers part;
	VkOffset3D offset;
	VkExtent3D extent;
};

static uint32_t at_level(uint32_t size, uint32_t level)
{
	return size >> level ? size >> level : 1;
}

static bool fits_edge(int32_t offset, uint32_t extent, uint32_t size)
{
	return offset >= 0 && range_fits((uint64_t)offset, extent, size);
}

/* Return: whether the copy stays within the image that the command names; false with d->failed */
static bool check_copy(struct venus_dec *d, struct copy *c)
{
	if (!d->resource || d->resource->type != VK_OBJECT_TYPE_IMAGE) {
		venus_dec_fatal(d, "lacks its image");
		return false;
	}

	const struct venus_image *image = container_of(d->resource, struct venus_image, obj);
	const uint32_t level = c->part.mipLevel;
	const uint32_t first = c->part.baseArrayLayer;

	if (c->part.layerCount == VK_REMAINING_ARRAY_LAYERS && first < image->layers)
		c->part.layerCount = image->layers - first;
	if (level >= image->levels || level > 31 ||
	    !range_fits(first, c->part.layerCount, image->layers)) {
		venus_dec_fatal(d, "copies level %u, layers %u and %u more of %u and %u", level,
				first, c->part.layerCount, image->levels, image->layers);
		return false;
	}

	const VkExtent3D size = { at_level(image->extent.width, level),
				  at_level(image->extent.height, level),
				  at_level(image->extent.depth, level) };
	if (!fits_edge(c->offset.x, c->extent.width, size.width) ||
	    !fits_edge(c->offset.y, c->extent.height, size.height) ||
	    !fits_edge(c->offset.z, c->extent.depth, size.depth)) {
		venus_dec_fatal(d, "copies what is outside of its image");
		return false;
	}
	/* Then all of it is copied, in a layout of the driver's, whatever the extent says. */
	if (c->flags & VK_HOST_IMAGE_COPY_MEMCPY_BIT)
		c->extent = size;
	return true;
}

/* Room for every byte that a copy of this shape can touch; false if there is none. */
static bool scratch_init(struct scratch *s, const struct copy *c)
{
	const VkExtent3D *e = &c->extent;
	uint64_t w = (uint64_t)(c->row > e->width ? c->row : e->width) + BLOCK_MAX;
	uint64_t h = (uint64_t)(c->height > e->height ? c->height : e->height) + BLOCK_MAX;
	uint64_t n;

	if (ckd_mul(&n, w, h) || ckd_mul(&n, n, (uint64_t)e->depth + BLOCK_MAX) ||
	    ckd_mul(&n, n, (uint64_t)(c->part.layerCount ? c->part.layerCount : 1)) ||
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
	struct copy c = {
		in->flags,       in->memoryRowLength, in->memoryImageHeight, in->imageSubresource,
		in->imageOffset, in->imageExtent
	};
	AUTO_SCRATCH s = { 0 };

	if (!d->dev->vk.CopyImageToMemory) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	if (!check_copy(d, &c))
		return;
	if (!scratch_init(&s, &c) || a->dataSize > s.size) {
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
	struct copy c = { in->flags,           r->memoryRowLength, r->memoryImageHeight,
			  r->imageSubresource, r->imageOffset,     r->imageExtent };
	AUTO_SCRATCH s = { 0 };

	if (!check_copy(d, &c))
		return VK_ERROR_UNKNOWN;
	if (!scratch_init(&s, &c) || r->dataSize > s.size)
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
