/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of the null driver and their members: command buffers, descriptor sets, queries. */
#include <string.h>

#include "null_internal.h"

#define NULL_GROUP_HANDLE 32 /* bytes */

static VkResult allocate(struct null_call *c, VkObjectType type, struct null_rec *pool, uint32_t n,
			 uint64_t *handles)
{
	for (uint32_t i = 0; i < n; i++)
		handles[i] = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct null_rec *r = null_new(type, c->dev, pool);

		if (!r) {
			while (i--) {
				null_end((struct null_rec *)(uintptr_t)handles[i]);
				handles[i] = 0;
			}
			return VK_ERROR_OUT_OF_HOST_MEMORY;
		}
		handles[i] = (uintptr_t)r;
	}
	return VK_SUCCESS;
}

static void free_members(struct null_call *c, struct null_rec *pool, uint32_t n,
			 const uint64_t *handles)
{
	for (uint32_t i = 0; handles && i < n; i++) {
		struct null_rec *r = (struct null_rec *)(uintptr_t)handles[i];

		if (r && r->pool != pool) {
			null_complain(c, "frees a member of another pool");
			return;
		}
		/* The same member twice in one call: the second is dead by now. */
		null_end(r);
	}
}

static void drop_members(struct null_rec *pool)
{
	while (pool && pool->first)
		null_end(pool->first);
}

_Static_assert(sizeof(VkCommandBuffer) == sizeof(uint64_t), "handles are 64 bits wide");
_Static_assert(sizeof(VkDescriptorSet) == sizeof(uint64_t), "handles are 64 bits wide");

VkResult null_do_vkAllocateCommandBuffers(struct null_call *c,
					  const VkCommandBufferAllocateInfo *info,
					  VkCommandBuffer *cmdbufs)
{
	if (!info->commandPool)
		return VK_ERROR_UNKNOWN;
	return allocate(c, VK_OBJECT_TYPE_COMMAND_BUFFER, null_rec_of(info->commandPool),
			info->commandBufferCount, (uint64_t *)(void *)cmdbufs);
}

void null_do_vkFreeCommandBuffers(struct null_call *c, VkCommandPool pool, uint32_t n,
				  const VkCommandBuffer *cmdbufs)
{
	free_members(c, null_rec_of(pool), n, (const uint64_t *)(const void *)cmdbufs);
}

VkResult null_do_vkAllocateDescriptorSets(struct null_call *c,
					  const VkDescriptorSetAllocateInfo *info,
					  VkDescriptorSet *sets)
{
	if (!info->descriptorPool)
		return VK_ERROR_UNKNOWN;
	return allocate(c, VK_OBJECT_TYPE_DESCRIPTOR_SET, null_rec_of(info->descriptorPool),
			info->descriptorSetCount, (uint64_t *)(void *)sets);
}

VkResult null_do_vkFreeDescriptorSets(struct null_call *c, VkDescriptorPool pool, uint32_t n,
				      const VkDescriptorSet *sets)
{
	free_members(c, null_rec_of(pool), n, (const uint64_t *)(const void *)sets);
	return VK_SUCCESS;
}

VkResult null_do_vkResetDescriptorPool(struct null_call *c, VkDescriptorPool pool,
				       VkDescriptorPoolResetFlags flags)
{
	(void)c;
	(void)flags;
	drop_members(null_rec_of(pool));
	return VK_SUCCESS;
}

/* As real drivers do it: each result where the stride puts it, whatever the size says. */
VkResult null_do_vkGetQueryPoolResults(struct null_call *c, VkQueryPool pool, uint32_t first,
				       uint32_t count, size_t size, void *data, VkDeviceSize stride,
				       VkQueryResultFlags flags)
{
	size_t each = flags & VK_QUERY_RESULT_64_BIT ? 8 : 4;

	(void)pool;
	(void)first;
	if (null_is_lost(c))
		return VK_ERROR_DEVICE_LOST;
	if (count && (size < each || (count > 1 && stride > (size - each) / (count - 1)))) {
		null_complain(c, "writes %u results, one each %llu bytes, past the end of %zu",
			      count, (unsigned long long)stride, size);
		return VK_ERROR_UNKNOWN;
	}
	for (uint32_t i = 0; i < count; i++)
		memset((uint8_t *)data + i * stride, 1, each);
	return VK_SUCCESS;
}

static VkResult group_handles(struct null_call *c, uint32_t count, size_t size, void *data)
{
	if (count > size / NULL_GROUP_HANDLE) {
		null_complain(c, "writes %u handles past the end of %zu bytes", count, size);
		return VK_ERROR_UNKNOWN;
	}
	memset(data, 1, (size_t)count * NULL_GROUP_HANDLE);
	return VK_SUCCESS;
}

VkResult null_do_vkGetRayTracingShaderGroupHandlesKHR(struct null_call *c, VkPipeline pipeline,
						      uint32_t first, uint32_t count, size_t size,
						      void *data)
{
	(void)pipeline;
	(void)first;
	return group_handles(c, count, size, data);
}

VkResult null_do_vkGetRayTracingCaptureReplayShaderGroupHandlesKHR(struct null_call *c,
								   VkPipeline pipeline,
								   uint32_t first, uint32_t count,
								   size_t size, void *data)
{
	(void)pipeline;
	(void)first;
	return group_handles(c, count, size, data);
}
