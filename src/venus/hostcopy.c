/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between images and memory by the CPU, and descriptors written into memory: the real
 * functions take pointers, so the protocol has stand-ins that carry the bytes.
 *
 * A driver moves as many bytes as the image demands, whatever the guest says the size is.  It
 * therefore works on scratch memory that is large enough for any format.  What is not part of the
 * image is refused: the CPU would copy what lies beside it.  One copy of a context at a time, lest
 * the scratch memory of all its rings add up.
 */
#include <sys/mman.h>

#include "util/ckd.h"
#include "util/log.h"
#include "venus/core.h"

#define TEXEL_MAX 32U                 /* bytes of a texel of the largest format */
#define BLOCK_MAX 12U                 /* texels along the edge of the largest block */
#define COPY_MAX  (UINT64_C(4) << 30) /* bytes of address space; only what is used gets memory */

/* A tiled image is larger than its texels, and its edges are those of tiles. */
#define TILED_TIMES 4U
#define TILE_MAX    256U /* texels, of at most 64 KiB */
#define TILE_DEPTH  32U  /* of images with depth */

/* clang-format off */
/*
 * Bytes of a texel by the number of its format, up to and including the last of a row.  Blocks have
 * 16 bytes at most, and 16 texels at least.
 */
static const struct {
	VkFormat last;
	uint32_t bytes;
} texels[] = {
	{ VK_FORMAT_UNDEFINED,              TEXEL_MAX },
	{ VK_FORMAT_R8G8_SRGB,              2 },
	{ VK_FORMAT_R16G16_SFLOAT,          4 },
	{ VK_FORMAT_R32G32_SFLOAT,          8 },
	{ VK_FORMAT_R32G32B32A32_SFLOAT,    16 },
	{ VK_FORMAT_R64G64B64A64_SFLOAT,    32 },
	{ VK_FORMAT_E5B9G9R9_UFLOAT_PACK32, 4 },
	{ VK_FORMAT_D32_SFLOAT_S8_UINT,     8 },
	{ VK_FORMAT_ASTC_12x12_SRGB_BLOCK,  1 },
};
/* clang-format on */

static uint32_t texel_bytes(VkFormat format)
{
	for (size_t i = 0; i < ARRAY_LEN(texels); i++) {
		if (format <= texels[i].last)
			return texels[i].bytes;
	}
	return TEXEL_MAX;
}

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
	uint32_t texel; /* bytes; known once it is checked */
};

static uint32_t at_level(uint32_t size, uint32_t level)
{
	return size >> level ? size >> level : 1;
}

static bool fits_edge(int32_t offset, uint32_t extent, uint32_t size)
{
	return offset >= 0 && range_fits((uint64_t)offset, extent, size);
}

/* Return: whether the copy stays within the image @o; false with d->failed */
static bool check_copy(struct venus_dec *d, struct venus_obj *o, struct copy *c)
{
	if (!o || o->type != VK_OBJECT_TYPE_IMAGE) {
		venus_dec_fatal(d, "lacks its image");
		return false;
	}

	const struct venus_image *image = container_of(o, struct venus_image, obj);
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
	c->texel = texel_bytes(image->format);
	return true;
}

/*
 * Room for every byte that a copy of this shape can touch; false if there is none.  Blocks have no
 * depth, in any format that guests get to see.
 */
static bool scratch_init(struct scratch *s, const struct copy *c)
{
	const VkExtent3D *e = &c->extent;
	bool is_tiled = c->flags & VK_HOST_IMAGE_COPY_MEMCPY_BIT;
	uint32_t edge = is_tiled ? TILE_MAX : BLOCK_MAX;
	uint64_t w = (uint64_t)(c->row > e->width ? c->row : e->width) + edge;
	uint64_t h = (uint64_t)(c->height > e->height ? c->height : e->height) + edge;
	uint64_t depth = e->depth ? e->depth : 1;
	uint64_t layers = c->part.layerCount ? c->part.layerCount : 1;
	uint64_t n;

	if (is_tiled && depth > 1)
		depth += TILE_DEPTH;
	if (ckd_mul(&n, w, h) || ckd_mul(&n, n, depth) || ckd_mul(&n, n, layers) ||
	    ckd_mul(&n, n, (uint64_t)c->texel * (is_tiled ? TILED_TIMES : 1)) || n > COPY_MAX)
		return false;
	void *at = mmap(NULL, n, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return false;
	s->at = at;
	s->size = n;
	return true;
}

static VkResult copy_to_memory(struct venus_dec *d, const VkCopyImageToMemoryInfoMESA *in,
			       void *data, size_t size)
{
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
	struct copy c = { in->flags,
			  in->memoryRowLength,
			  in->memoryImageHeight,
			  in->imageSubresource,
			  in->imageOffset,
			  in->imageExtent,
			  0 };
	AUTO_SCRATCH s = { 0 };

	if (!check_copy(d, d->resource, &c))
		return VK_ERROR_UNKNOWN;
	if (!scratch_init(&s, &c) || size > s.size)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	region.pHostPointer = s.at;
	VkResult r = d->dev->vk.CopyImageToMemory(venus_device_vk(d->dev), &info);
	if (r == VK_SUCCESS && data)
		memcpy(data, s.at, size);
	return r;
}

void venus_do_vkCopyImageToMemoryMESA(struct venus_dec *d,
				      struct venus_args_vkCopyImageToMemoryMESA *a)
{
	if (!d->dev->vk.CopyImageToMemory) {
		venus_dec_fatal(d, "is not enabled");
		return;
	}
	mutex_lock(&d->ctx->copy_lock);
	a->ret = copy_to_memory(d, a->pCopyImageToMemoryInfo, a->pData, a->dataSize);
	mutex_unlock(&d->ctx->copy_lock);
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
	struct copy c = { in->flags,
			  r->memoryRowLength,
			  r->memoryImageHeight,
			  r->imageSubresource,
			  r->imageOffset,
			  r->imageExtent,
			  0 };
	AUTO_SCRATCH s = { 0 };

	if (!check_copy(d, d->resource, &c))
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
	mutex_lock(&d->ctx->copy_lock);
	for (uint32_t i = 0; i < in->regionCount && in->pRegions && a->ret == VK_SUCCESS; i++)
		a->ret = copy_to_image(d, in, &in->pRegions[i]);
	mutex_unlock(&d->ctx->copy_lock);
	/* Guests do not wait for an answer: the image would stay as it is, and nobody would know.
	 */
	if (a->ret != VK_SUCCESS && !d->failed)
		log_guest(GPU, "%s: a copy from memory to an image fails with %d", d->ctx->name,
			  (int)a->ret);
}

void venus_do_vkCopyImageToImage(struct venus_dec *d, struct venus_args_vkCopyImageToImage *a)
{
	const VkCopyImageToImageInfo *in = a->pCopyImageToImageInfo;

	if (!d->dev->vk.CopyImageToImage) {
		venus_dec_fatal(d, "is nothing that the host's driver offers");
		return;
	}
	if (!in->srcImage || !in->dstImage) {
		venus_dec_fatal(d, "lacks its image");
		return;
	}
	for (uint32_t i = 0; i < in->regionCount && in->pRegions; i++) {
		const VkImageCopy2 *r = &in->pRegions[i];
		struct copy from = { .flags = in->flags,
				     .part = r->srcSubresource,
				     .offset = r->srcOffset,
				     .extent = r->extent };
		struct copy to = { .flags = in->flags,
				   .part = r->dstSubresource,
				   .offset = r->dstOffset,
				   .extent = r->extent };

		if (!check_copy(d, d->source, &from) || !check_copy(d, d->resource, &to))
			return;
	}
	a->ret = d->dev->vk.CopyImageToImage(venus_device_vk(d->dev), in);
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
