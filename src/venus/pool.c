/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command pools, descriptor pools and what is allocated from them.  Members go with their pool.
 *
 * Vulkan wants a pool used by one thread at a time.  We leave that to the guest: one that breaks
 * the rule corrupts the driver in its own renderer process, where it is alone.
 */
#include "venus/core.h"

static struct venus_pool *pool_of(struct venus_obj *o)
{
	return container_of(o, struct venus_pool, obj);
}

void venus_do_vkCreateCommandPool(struct venus_dec *d, struct venus_args_vkCreateCommandPool *a)
{
	uint32_t family = a->pCreateInfo->queueFamilyIndex;
	VkCommandPool vk = VK_NULL_HANDLE;

	if (family >= d->dev->physdev->families_count) {
		venus_dec_fatal(d, "names queue family %u of %u", family,
				d->dev->physdev->families_count);
		return;
	}
	struct venus_obj *o = venus_obj_reserve(d, *a->pCommandPool, VK_OBJECT_TYPE_COMMAND_POOL,
						sizeof(struct venus_pool));
	if (!o)
		return;
	a->ret = d->dev->vk.CreateCommandPool(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

void venus_do_vkCreateDescriptorPool(struct venus_dec *d,
				     struct venus_args_vkCreateDescriptorPool *a)
{
	VkDescriptorPool vk = VK_NULL_HANDLE;
	struct venus_obj *o = venus_obj_reserve(
		d, *a->pDescriptorPool, VK_OBJECT_TYPE_DESCRIPTOR_POOL, sizeof(struct venus_pool));

	if (!o)
		return;
	a->ret =
		d->dev->vk.CreateDescriptorPool(venus_device_vk(d->dev), a->pCreateInfo, NULL, &vk);
	if (a->ret == VK_SUCCESS)
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	else
		venus_obj_cancel(d, o);
}

static void destroy_pool(struct venus_dec *d, struct venus_obj *o)
{
	if (!o || !venus_obj_remove(d, o))
		return;
	venus_pool_empty(d->ctx, pool_of(o), true);
	venus_destroy_handle(d->dev, o->type, o->handle);
}

void venus_do_vkDestroyCommandPool(struct venus_dec *d, struct venus_args_vkDestroyCommandPool *a)
{
	destroy_pool(d, a->commandPool);
}

void venus_do_vkDestroyDescriptorPool(struct venus_dec *d,
				      struct venus_args_vkDestroyDescriptorPool *a)
{
	destroy_pool(d, a->descriptorPool);
}

void venus_do_vkResetDescriptorPool(struct venus_dec *d, struct venus_args_vkResetDescriptorPool *a)
{
	if (!a->descriptorPool) {
		venus_dec_fatal(d, "lacks its pool");
		return;
	}
	venus_pool_empty(d->ctx, pool_of(a->descriptorPool), false);
	a->ret = d->dev->vk.ResetDescriptorPool(
		venus_device_vk(d->dev),
		venus_handle_to(VkDescriptorPool, a->descriptorPool->handle), a->flags);
}

/* @made holds @n handles of the driver, if @r is a success. */
static void conclude(struct venus_dec *d, struct venus_obj **objs, const uint64_t *made, uint32_t n,
		     VkResult r)
{
	for (uint32_t i = 0; i < n; i++) {
		if (r == VK_SUCCESS)
			venus_obj_publish(d, objs[i], made[i], d->pool);
		else
			venus_obj_cancel(d, objs[i]);
	}
}

_Static_assert(sizeof(VkCommandBuffer) == 8 && sizeof(VkDescriptorSet) == 8,
	       "handles have the size of an id");

void venus_do_vkAllocateCommandBuffers(struct venus_dec *d,
				       struct venus_args_vkAllocateCommandBuffers *a)
{
	uint32_t n = a->pAllocateInfo->commandBufferCount;

	if (!d->pool || d->pool->type != VK_OBJECT_TYPE_COMMAND_POOL) {
		venus_dec_fatal(d, "names no command pool");
		return;
	}
	uint64_t *made;
	struct venus_obj **objs = venus_obj_reserve_many(d, a->pCommandBuffers, n,
							 VK_OBJECT_TYPE_COMMAND_BUFFER, &made);
	if (!objs)
		return;
	a->ret = d->dev->vk.AllocateCommandBuffers(venus_device_vk(d->dev), a->pAllocateInfo,
						   (VkCommandBuffer *)(void *)made);
	conclude(d, objs, made, n, a->ret);
}

void venus_do_vkAllocateDescriptorSets(struct venus_dec *d,
				       struct venus_args_vkAllocateDescriptorSets *a)
{
	uint32_t n = a->pAllocateInfo->descriptorSetCount;

	if (!d->pool || d->pool->type != VK_OBJECT_TYPE_DESCRIPTOR_POOL) {
		venus_dec_fatal(d, "names no descriptor pool");
		return;
	}
	uint64_t *made;
	struct venus_obj **objs = venus_obj_reserve_many(d, a->pDescriptorSets, n,
							 VK_OBJECT_TYPE_DESCRIPTOR_SET, &made);
	if (!objs)
		return;
	a->ret = d->dev->vk.AllocateDescriptorSets(venus_device_vk(d->dev), a->pAllocateInfo,
						   (VkDescriptorSet *)(void *)made);
	conclude(d, objs, made, n, a->ret);
}

/*
 * Takes members out of the table and returns their handles in the arena; @n becomes their number.
 * NULL if there are none, or with d->failed if one belongs to another pool.
 */
static uint64_t *take_members(struct venus_dec *d, struct venus_obj *pool, struct venus_obj **objs,
			      uint32_t *n)
{
	uint32_t count = 0;

	if (*n > 0 && (!objs || !pool)) {
		venus_dec_fatal(d, "lacks its array");
		return NULL;
	}
	uint64_t *handles = venus_dec_alloc(d, *n, sizeof(*handles));
	for (uint32_t i = 0; handles && i < *n; i++) {
		if (objs[i] && objs[i]->pool != pool) {
			venus_dec_fatal(d, "frees what belongs to another pool");
			return NULL;
		}
	}
	for (uint32_t i = 0; handles && i < *n; i++) {
		if (objs[i] && venus_obj_remove(d, objs[i]))
			handles[count++] = objs[i]->handle;
	}
	*n = count;
	return count ? handles : NULL;
}

void venus_do_vkFreeCommandBuffers(struct venus_dec *d, struct venus_args_vkFreeCommandBuffers *a)
{
	uint32_t n = a->commandBufferCount;
	const uint64_t *list = take_members(d, a->commandPool, a->pCommandBuffers, &n);

	if (list)
		d->dev->vk.FreeCommandBuffers(
			venus_device_vk(d->dev),
			venus_handle_to(VkCommandPool, a->commandPool->handle), n,
			(const VkCommandBuffer *)(const void *)list);
}

void venus_do_vkFreeDescriptorSets(struct venus_dec *d, struct venus_args_vkFreeDescriptorSets *a)
{
	uint32_t n = a->descriptorSetCount;
	const uint64_t *list = take_members(d, a->descriptorPool, a->pDescriptorSets, &n);

	a->ret = VK_SUCCESS;
	if (list)
		(void)d->dev->vk.FreeDescriptorSets(
			venus_device_vk(d->dev),
			venus_handle_to(VkDescriptorPool, a->descriptorPool->handle), n,
			(const VkDescriptorSet *)(const void *)list);
}
