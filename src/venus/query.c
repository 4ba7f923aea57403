/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results that are many pieces of one size.  Drivers write all of the pieces, wherever the guest's
 * stride and count put them, and do not look at the size of the memory; so they get memory that is
 * large enough for that, and the guest gets as much of it as it asked for.
 */
#include "util/ckd.h"
#include "venus/core.h"

#define QUERY_MAX 512U /* bytes of the results of one query: 64 values of 8 */
#define GROUP_MAX 256U /* bytes of the handle of a shader group; 32 in every known driver */

/*
 * Memory for @count pieces, one each @stride bytes, the last of them of @last bytes.  @to itself if
 * it is large enough; NULL (and d->failed) above the arena's limit.
 */
static void *room_for(struct venus_dec *d, void *to, size_t size, uint32_t count, uint64_t stride,
		      size_t last, size_t *room)
{
	uint64_t need = 0;

	if (count > 0 && (ckd_mul(&need, (uint64_t)(count - 1), stride) ||
			  ckd_add(&need, need, last) || need > VENUS_ARENA_MAX)) {
		venus_dec_fatal(d, "has results that need more than %u bytes", VENUS_ARENA_MAX);
		return NULL;
	}
	*room = need > size ? (size_t)need : size;
	return need > size ? venus_dec_alloc(d, need, 1) : to;
}

void venus_do_vkCreateQueryPool(struct venus_dec *d, struct venus_args_vkCreateQueryPool *a)
{
	VkQueryPool vk = VK_NULL_HANDLE;
	struct venus_obj *o = venus_obj_reserve(d, *a->pQueryPool, VK_OBJECT_TYPE_QUERY_POOL,
						sizeof(struct venus_query_pool));

	if (!o)
		return;
	container_of(o, struct venus_query_pool, obj)->count = a->pCreateInfo->queryCount;
	a->ret = d->dev->vk.CreateQueryPool(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

void venus_do_vkGetQueryPoolResults(struct venus_dec *d, struct venus_args_vkGetQueryPoolResults *a)
{
	size_t room;

	if (!a->queryPool || !a->pData) {
		venus_dec_fatal(d, "lacks its pool or the place for the results");
		return;
	}
	if (!venus_check_range(d, VENUS_LIMIT_QUERIES, a->firstQuery, a->queryCount))
		return;
	void *to = room_for(d, a->pData, a->dataSize, a->queryCount, a->stride, QUERY_MAX, &room);
	if (!to)
		return;
	a->ret = d->dev->vk.GetQueryPoolResults(
		venus_device_vk(d->dev), venus_handle_to(VkQueryPool, a->queryPool->handle),
		a->firstQuery, a->queryCount, room, to, a->stride, a->flags);
	if (to != a->pData)
		memcpy(a->pData, to, a->dataSize);
}

typedef VkResult(VKAPI_PTR *get_handles_fn)(VkDevice, VkPipeline, uint32_t, uint32_t, size_t,
					    void *);

static VkResult get_handles(struct venus_dec *d, get_handles_fn get, struct venus_obj *pipeline,
			    uint32_t first, uint32_t count, size_t size, void *data)
{
	size_t room;

	if (!get || !pipeline || !data) {
		venus_dec_fatal(d, "is not enabled, or lacks its pipeline");
		return VK_ERROR_UNKNOWN;
	}
	void *to = room_for(d, data, size, count, GROUP_MAX, GROUP_MAX, &room);
	if (!to)
		return VK_ERROR_UNKNOWN;
	VkResult r = get(venus_device_vk(d->dev), venus_handle_to(VkPipeline, pipeline->handle),
			 first, count, room, to);
	if (to != data)
		memcpy(data, to, size);
	return r;
}

void venus_do_vkGetRayTracingShaderGroupHandlesKHR(
	struct venus_dec *d, struct venus_args_vkGetRayTracingShaderGroupHandlesKHR *a)
{
	a->ret = get_handles(d, d->dev->vk.GetRayTracingShaderGroupHandlesKHR, a->pipeline,
			     a->firstGroup, a->groupCount, a->dataSize, a->pData);
}

void venus_do_vkGetRayTracingCaptureReplayShaderGroupHandlesKHR(
	struct venus_dec *d, struct venus_args_vkGetRayTracingCaptureReplayShaderGroupHandlesKHR *a)
{
	a->ret = get_handles(d, d->dev->vk.GetRayTracingCaptureReplayShaderGroupHandlesKHR,
			     a->pipeline, a->firstGroup, a->groupCount, a->dataSize, a->pData);
}
