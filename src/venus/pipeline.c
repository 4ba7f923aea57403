/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: several at once, some of which may fail.  Rings of guest threads compile at the same
 * time, so nothing is locked while the driver works.
 */
#include "venus/core.h"

/*
 * Claims the ids of @n pipelines, and finds room for their handles: all that can fail comes before
 * the claims, so that conclude() follows.  NULL (and d->failed) if an id is taken.
 */
static struct venus_obj **reserve(struct venus_dec *d, const uint64_t *ids, uint32_t n,
				  VkPipeline **made)
{
	struct venus_obj **objs = venus_dec_alloc(d, n, sizeof(struct venus_obj *));

	*made = objs ? venus_dec_alloc(d, n, sizeof(**made)) : NULL;
	if (!*made)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		objs[i] = venus_obj_reserve(d, ids[i], VK_OBJECT_TYPE_PIPELINE, sizeof(**objs));
		if (objs[i])
			continue;
		while (i-- > 0)
			venus_obj_cancel(d, objs[i]);
		return NULL;
	}
	return objs;
}

/* What exists gets its id; the rest is reported as 0. */
static void conclude(struct venus_dec *d, struct venus_obj **objs, uint64_t *ids,
		     const VkPipeline *made, uint32_t n, VkResult r)
{
	for (uint32_t i = 0; i < n; i++) {
		if (r >= 0 && made[i]) {
			venus_obj_publish(d, objs[i], venus_handle_of(made[i]), NULL);
			continue;
		}
		if (made[i])
			d->dev->vk.DestroyPipeline(venus_device_vk(d->dev), made[i], NULL);
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
	VkPipeline *made;
	struct venus_obj **objs = reserve(d, a->pPipelines, n, &made);

	if (!objs)
		return;
	a->ret = d->dev->vk.CreateGraphicsPipelines(venus_device_vk(d->dev),
						    cache_of(a->pipelineCache), n, a->pCreateInfos,
						    NULL, made);
	conclude(d, objs, a->pPipelines, made, n, a->ret);
}

void venus_do_vkCreateComputePipelines(struct venus_dec *d,
				       struct venus_args_vkCreateComputePipelines *a)
{
	uint32_t n = a->createInfoCount;
	VkPipeline *made;
	struct venus_obj **objs = reserve(d, a->pPipelines, n, &made);

	if (!objs)
		return;
	a->ret = d->dev->vk.CreateComputePipelines(venus_device_vk(d->dev),
						   cache_of(a->pipelineCache), n, a->pCreateInfos,
						   NULL, made);
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
	VkPipeline *made;
	struct venus_obj **objs = reserve(d, a->pPipelines, n, &made);
	if (!objs)
		return;
	a->ret = d->dev->vk.CreateRayTracingPipelinesKHR(venus_device_vk(d->dev), VK_NULL_HANDLE,
							 cache_of(a->pipelineCache), n,
							 a->pCreateInfos, NULL, made);
	conclude(d, objs, a->pPipelines, made, n, a->ret);
}
