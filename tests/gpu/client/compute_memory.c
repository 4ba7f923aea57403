/* SPDX-License-Identifier: Apache-2.0 */
/* Compute client: copies, memory types, mappings, images. */
#include <string.h>

#include "compute.h"

#define BYTES 65536

static void pattern(void *dst, size_t size, uint32_t seed)
{
	uint32_t *v = dst;

	for (size_t i = 0; i < size / sizeof(*v); i++)
		v[i] = (uint32_t)i * 2246822519u ^ seed;
}

static bool has_pattern(const void *src, size_t size, uint32_t seed)
{
	const uint32_t *v = src;

	for (size_t i = 0; i < size / sizeof(*v); i++)
		if (v[i] != ((uint32_t)i * 2246822519u ^ seed))
			return false;
	return true;
}

const char *case_transfer(struct vkc *c)
{
	struct vkc_buf up, gpu, down;
	uint32_t inline_data[16];

	vkc_buf_create(c, &up, BYTES, HOST_COHERENT);
	vkc_buf_create(c, &gpu, BYTES, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
	vkc_buf_create(c, &down, BYTES, HOST_COHERENT);
	pattern(up.map, BYTES, 1);
	pattern(inline_data, sizeof(inline_data), 2);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	VkBufferCopy whole = { 0, 0, BYTES };
	VkBufferCopy parts[] = { { 0, 0, BYTES / 2 }, { BYTES / 2, BYTES / 2, BYTES / 2 } };
	c->CmdCopyBuffer(cmd, up.buf, gpu.buf, 1, &whole);
	vkc_barrier(c, cmd);
	c->CmdUpdateBuffer(cmd, gpu.buf, 4096, sizeof(inline_data), inline_data);
	c->CmdFillBuffer(cmd, gpu.buf, 8192, 4096, 0xdeadbeef);
	vkc_barrier(c, cmd);
	c->CmdCopyBuffer(cmd, gpu.buf, down.buf, 2, parts);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const char *got = down.map;
	const uint32_t *words = down.map;
	REQUIRE(has_pattern(got, 4096, 1));
	REQUIRE(has_pattern(got + 4096, sizeof(inline_data), 2));
	for (uint32_t i = 2048; i < 3072; i++)
		REQUIRE(words[i] == 0xdeadbeef);
	REQUIRE(!memcmp(got + 12288, (char *)up.map + 12288, BYTES - 12288));
	vkc_buf_destroy(c, &up);
	vkc_buf_destroy(c, &gpu);
	vkc_buf_destroy(c, &down);
	return NULL;
}

/* A buffer in one memory type; false if the buffer cannot lie there. */
static bool buf_of_type(struct vkc *c, struct vkc_buf *b, uint32_t type)
{
	VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = BYTES,
		.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
	};
	VkMemoryAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.memoryTypeIndex = type,
	};
	VkMemoryRequirements req;

	*b = (struct vkc_buf){ .size = BYTES };
	VK(c->CreateBuffer(c->dev, &info, NULL, &b->buf));
	c->GetBufferMemoryRequirements(c->dev, b->buf, &req);
	if (!(req.memoryTypeBits & (UINT32_C(1) << type))) {
		c->DestroyBuffer(c->dev, b->buf, NULL);
		return false;
	}
	alloc.allocationSize = req.size + 3 * req.alignment;
	VK(c->AllocateMemory(c->dev, &alloc, NULL, &b->mem));

	VkBindBufferMemoryInfo bind = {
		.sType = VK_STRUCTURE_TYPE_BIND_BUFFER_MEMORY_INFO,
		.buffer = b->buf,
		.memory = b->mem,
		.memoryOffset = 2 * req.alignment,
	};
	VK(c->BindBufferMemory2(c->dev, 1, &bind));
	if (c->mem.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) {
		char *all;
		VK(c->MapMemory(c->dev, b->mem, 0, VK_WHOLE_SIZE, 0, (void **)&all));
		b->map = all + 2 * req.alignment;
	}
	return true;
}

static void copy_and_wait(struct vkc *c, const struct vkc_buf *from, const struct vkc_buf *to)
{
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	VkBufferCopy region = { 0, 0, BYTES };

	c->CmdCopyBuffer(cmd, from->buf, to->buf, 1, &region);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);
}

const char *case_memory_types(struct vkc *c)
{
	struct vkc_buf up, down;

	vkc_buf_create(c, &up, BYTES, HOST_COHERENT);
	vkc_buf_create(c, &down, BYTES, HOST_COHERENT);
	for (uint32_t t = 0; t < c->mem.memoryTypeCount; t++) {
		VkMemoryPropertyFlags flags = c->mem.memoryTypes[t].propertyFlags;
		VkMappedMemoryRange range = {
			.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
			.size = VK_WHOLE_SIZE,
		};
		struct vkc_buf b;

		if (flags &
		    (VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT))
			continue;
		if (!buf_of_type(c, &b, t))
			continue;
		range.memory = b.mem;
		pattern(up.map, BYTES, t);
		memset(down.map, 0, BYTES);
		copy_and_wait(c, &up, &b);
		if (b.map) {
			VK(c->InvalidateMappedMemoryRanges(c->dev, 1, &range));
			REQUIRE(has_pattern(b.map, BYTES, t));
			pattern(b.map, BYTES, t + 77);
			VK(c->FlushMappedMemoryRanges(c->dev, 1, &range));
		}
		copy_and_wait(c, &b, &down);
		REQUIRE(has_pattern(down.map, BYTES, b.map ? t + 77 : t));
		printf("# memory type %u, flags 0x%x: ok\n", t, flags);
		vkc_buf_destroy(c, &b);
	}
	vkc_buf_destroy(c, &up);
	vkc_buf_destroy(c, &down);
	return NULL;
}

const char *case_map_cycles(struct vkc *c)
{
	struct vkc_buf down;

	vkc_buf_create(c, &down, BYTES, HOST_COHERENT);
	for (uint32_t i = 0; i < 64; i++) {
		struct vkc_buf b;

		vkc_buf_create(c, &b, BYTES, HOST_COHERENT);
		for (uint32_t k = 0; k < 4; k++) {
			void *part;
			c->UnmapMemory(c->dev, b.mem);
			VK(c->MapMemory(c->dev, b.mem, k * BYTES / 4, BYTES / 4, 0, &part));
			pattern(part, BYTES / 4, i + k);
		}
		copy_and_wait(c, &b, &down);
		for (uint32_t k = 0; k < 4; k++)
			REQUIRE(has_pattern((char *)down.map + k * BYTES / 4, BYTES / 4, i + k));
		vkc_buf_destroy(c, &b);
	}
	vkc_buf_destroy(c, &down);
	return NULL;
}

const char *case_map_memory2(struct vkc *c)
{
	struct vkc_buf b;

	if (!c->has_map_memory2)
		return "no VK_KHR_map_memory2";
	vkc_buf_create(c, &b, BYTES, HOST_COHERENT);
	pattern(b.map, BYTES, 9);

	VkMemoryUnmapInfo unmap = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_UNMAP_INFO,
		.memory = b.mem,
	};
	VkMemoryMapInfo map = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_MAP_INFO,
		.memory = b.mem,
		.offset = 4096,
		.size = VK_WHOLE_SIZE,
	};
	void *again;
	VK(c->UnmapMemory2KHR(c->dev, &unmap));
	VK(c->MapMemory2KHR(c->dev, &map, &again));
	uint32_t first;
	memcpy(&first, again, sizeof(first));
	REQUIRE(first == (1024u * 2246822519u ^ 9u));
	vkc_buf_destroy(c, &b);
	return NULL;
}

#define SIDE 64

struct image {
	VkImage image;
	VkDeviceMemory mem;
};

static void image_create(struct vkc *c, struct image *im)
{
	VkImageCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
		.imageType = VK_IMAGE_TYPE_2D,
		.format = VK_FORMAT_R8G8B8A8_UNORM,
		.extent = { SIDE, SIDE, 1 },
		.mipLevels = 3,
		.arrayLayers = 2,
		.samples = VK_SAMPLE_COUNT_1_BIT,
		.tiling = VK_IMAGE_TILING_OPTIMAL,
		.usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
	};
	VkMemoryRequirements req;

	VK(c->CreateImage(c->dev, &info, NULL, &im->image));
	c->GetImageMemoryRequirements(c->dev, im->image, &req);

	VkMemoryAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = req.size,
		.memoryTypeIndex = vkc_mem_type(c, req.memoryTypeBits, 0),
	};
	VK(c->AllocateMemory(c->dev, &alloc, NULL, &im->mem));
	VK(c->BindImageMemory(c->dev, im->image, im->mem, 0));
}

static void to_general(struct vkc *c, VkCommandBuffer cmd, VkImage image)
{
	VkImageMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
		.oldLayout = VK_IMAGE_LAYOUT_UNDEFINED,
		.newLayout = VK_IMAGE_LAYOUT_GENERAL,
		.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.image = image,
		.subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, VK_REMAINING_MIP_LEVELS, 0,
				      VK_REMAINING_ARRAY_LAYERS },
	};

	c->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
			      VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL, 0, NULL, 1, &barrier);
}

const char *case_images(struct vkc *c)
{
	const VkImageLayout general = VK_IMAGE_LAYOUT_GENERAL;
	struct vkc_buf up, down;
	struct image a, b;

	if (!(c->queue_props.queueFlags & VK_QUEUE_GRAPHICS_BIT))
		return "queue cannot blit";
	vkc_buf_create(c, &up, SIDE * SIDE * 4, HOST_COHERENT);
	vkc_buf_create(c, &down, SIDE * SIDE * 4, HOST_COHERENT);
	image_create(c, &a);
	image_create(c, &b);
	uint8_t *px = up.map;
	for (uint32_t i = 0; i < SIDE * SIDE * 4; i++)
		px[i] = (uint8_t)(i / 8 * 37);

	VkBufferImageCopy whole = {
		.imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 1 },
		.imageExtent = { SIDE, SIDE, 1 },
	};
	VkImageCopy copy = {
		.srcSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 1 },
		.dstSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.extent = { SIDE, SIDE, 1 },
	};
	VkImageBlit blit = {
		.srcSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.srcOffsets = { { 0, 0, 0 }, { SIDE, SIDE, 1 } },
		.dstSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 1, 0, 1 },
		.dstOffsets = { { SIDE / 2, 0, 0 }, { 0, SIDE / 2, 1 } },
	};
	VkClearColorValue red = { .float32 = { 1.0f, 0.0f, 0.0f, 1.0f } };
	VkImageSubresourceRange mip2 = { VK_IMAGE_ASPECT_COLOR_BIT, 2, 1, 0, 2 };

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	to_general(c, cmd, a.image);
	to_general(c, cmd, b.image);
	c->CmdCopyBufferToImage(cmd, up.buf, a.image, general, 1, &whole);
	vkc_barrier(c, cmd);
	c->CmdCopyImage(cmd, a.image, general, b.image, general, 1, &copy);
	c->CmdClearColorImage(cmd, b.image, general, &red, 1, &mip2);
	vkc_barrier(c, cmd);
	c->CmdBlitImage(cmd, b.image, general, b.image, general, 1, &blit, VK_FILTER_NEAREST);
	vkc_barrier(c, cmd);
	whole.imageSubresource = (VkImageSubresourceLayers){ VK_IMAGE_ASPECT_COLOR_BIT, 1, 0, 1 };
	whole.imageExtent = (VkExtent3D){ SIDE / 2, SIDE / 2, 1 };
	c->CmdCopyImageToBuffer(cmd, b.image, general, down.buf, 1, &whole);
	whole.imageSubresource = (VkImageSubresourceLayers){ VK_IMAGE_ASPECT_COLOR_BIT, 2, 1, 1 };
	whole.imageExtent = (VkExtent3D){ SIDE / 4, SIDE / 4, 1 };
	whole.bufferOffset = SIDE * SIDE;
	c->CmdCopyImageToBuffer(cmd, b.image, general, down.buf, 1, &whole);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	/* Pairs of pixels are equal, so halving with the nearest filter is exact; mirrored in x. */
	const uint8_t *got = down.map;
	for (uint32_t y = 0; y < SIDE / 2; y++)
		for (uint32_t x = 0; x < SIDE / 2; x++) {
			uint32_t sx = SIDE - 2 - 2 * x;
			const uint8_t *even = px + (2 * y * SIDE + sx) * 4;
			const uint8_t *odd = px + ((2 * y + 1) * SIDE + sx) * 4;
			const uint8_t *p = got + (y * SIDE / 2 + x) * 4;
			REQUIRE(!memcmp(p, even, 4) || !memcmp(p, odd, 4));
		}
	for (uint32_t i = 0; i < SIDE / 4 * SIDE / 4; i++)
		REQUIRE(!memcmp(got + SIDE * SIDE + i * 4, "\xff\0\0\xff", 4));
	for (struct image *im = &a; im; im = im == &a ? &b : NULL) {
		c->DestroyImage(c->dev, im->image, NULL);
		c->FreeMemory(c->dev, im->mem, NULL);
	}
	vkc_buf_destroy(c, &up);
	vkc_buf_destroy(c, &down);
	return NULL;
}
