/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: several at once, some of which may fail.  Rings of guest threads compile at the same
 * time, so nothing is locked while the driver works.
 */
#include "venus/core.h"

/* What exists gets its id; the rest is reported as 0. */
static void conclude(struct venus_dec *d, struct venus_obj **objs, uint64_t *ids,
		     const uint64_t *made, uint32_t n, VkResult r)
{
	for (uint32_t i = 0; i < n; i++) {
		if (r >= 0 && made[i]) {
			venus_obj_publish(d, objs[i], made[i], NULL);
			continue;
		}
		if (made[i])
			venus_destroy_handle(d->dev, VK_OBJECT_TYPE_PIPELINE, made[i]);
		venus_obj_cancel(d, objs[i]);
		ids[i] = 0;
	}
}

static VkPipelineCache cache_of(const struct venus_obj *o)
{
	return o ? venus_handle_to(VkPipelineCache, o->handle) : VK_NULL_HANDLE;
}

void venus_do_vkCreateGraphicsPipelines(struct venus_dec *d,
					struct venus_args_vkCreateGraphicsPipelines *a)
{
	uint32_t n = a->createInfoCount;
	uint64_t *made;
	struct venus_obj **objs =
		venus_obj_reserve_many(d, a->pPipelines, n, VK_OBJECT_TYPE_PIPELINE, &made);

	if (!objs)
		return;
	a->ret = d->dev->vk.CreateGraphicsPipelines(venus_device_vk(d->dev),
						    cache_of(a->pipelineCache), n, a->pCreateInfos,
						    NULL, (VkPipeline *)(void *)made);
	conclude(d, objs, a->pPipelines, made, n, a->ret);
}

void venus_do_vkCreateComputePipelines(struct venus_dec *d,
				       struct venus_args_vkCreateComputePipelines *a)
{
	uint32_t n = a->createInfoCount;
	uint64_t *made;
	struct venus_obj **objs =
		venus_obj_reserve_many(d, a->pPipelines, n, VK_OBJECT_TYPE_PIPELINE, &made);

	if (!objs)
		return;
	a->ret = d->dev->vk.CreateComputePipelines(venus_device_vk(d->dev),
						   cache_of(a->pipelineCache), n, a->pCreateInfos,
						   NULL, (VkPipeline *)(void *)made);
	conclude(d, objs, a->pPipelines, made, n, a->ret);
}

void venus_do_vkCreateRayTracingPipelinesKHR(struct venus_dec *d,
					     struct venus_args_vkCreateRayTracingPipelinesKHR *a)
{
	uint32_t n = a->createInfoCount;

	if (!d->dev->vk.CreateRayTracingPipelinesKHR || a->deferredOperation) {
		venus_dec_fatal(d, "is not enabled, or deferred");
		return;
	}
	uint64_t *made;
	struct venus_obj **objs =
		venus_obj_reserve_many(d, a->pPipelines, n, VK_OBJECT_TYPE_PIPELINE, &made);
	if (!objs)
		return;
	a->ret = d->dev->vk.CreateRayTracingPipelinesKHR(
		venus_device_vk(d->dev), VK_NULL_HANDLE, cache_of(a->pipelineCache), n,
		a->pCreateInfos, NULL, (VkPipeline *)(void *)made);
	conclude(d, objs, a->pPipelines, made, n, a->ret);
}
