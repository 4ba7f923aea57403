/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How records come and go: in the table under their id, in their device's list, and in their
 * pool's. A device or pool that is being destroyed takes no more members, so a record never points
 * to a parent that is gone.
 */
#include <errno.h>
#include <stdlib.h>

#include "venus/core.h"

static bool is_pool(VkObjectType type)
{
	return type == VK_OBJECT_TYPE_COMMAND_POOL || type == VK_OBJECT_TYPE_DESCRIPTOR_POOL;
}

/* Return: false if the device is being destroyed */
static bool begin_making(struct venus_device *dev)
{
	mutex_lock(&dev->lock);
	bool is_open = !dev->obj.gone;
	dev->makers += is_open;
	mutex_unlock(&dev->lock);
	return is_open;
}

static void end_making_locked(struct venus_device *dev) REQUIRES(&dev->lock)
{
	if (--dev->makers == 0 && dev->obj.gone)
		cond_signal(&dev->no_makers);
}

static void end_making(struct venus_device *dev)
{
	if (!dev)
		return;
	mutex_lock(&dev->lock);
	end_making_locked(dev);
	mutex_unlock(&dev->lock);
}

void venus_device_close(struct venus_device *dev)
{
	mutex_lock(&dev->lock);
	dev->obj.gone = true;
	while (dev->makers)
		cond_wait(&dev->no_makers, &dev->lock);
	mutex_unlock(&dev->lock);
}

struct venus_obj *venus_obj_reserve(struct venus_dec *d, uint64_t id, VkObjectType type,
				    size_t size)
{
	if (d->dev && !begin_making(d->dev)) {
		venus_dec_fatal(d, "creates an object of a device that is being destroyed");
		return NULL;
	}
	if (is_pool(type))
		size = sizeof(struct venus_pool);
	struct venus_obj *o = calloc(1, size);
	int r = o ? venus_table_reserve(d->table, id) : -ENOMEM;

	if (r < 0) {
		free(o);
		if (r == -EEXIST)
			venus_dec_fatal(d, "creates object %llu, which exists or is no name",
					(unsigned long long)id);
		else
			venus_dec_fatal(d, "exceeds the limit of %u objects", d->table->limit);
		end_making(d->dev);
		return NULL;
	}
	o->id = id;
	o->type = type;
	o->dev = d->dev;
	list_init(&o->dev_node);
	list_init(&o->pool_node);
	if (is_pool(type))
		list_init(&container_of(o, struct venus_pool, obj)->members);
	return o;
}

struct venus_obj **venus_obj_reserve_many(struct venus_dec *d, const uint64_t *ids, uint32_t n,
					  VkObjectType type, uint64_t **made)
{
	struct venus_obj **objs = ids ? venus_dec_alloc(d, n, sizeof(struct venus_obj *)) : NULL;

	*made = objs ? venus_dec_alloc(d, n, sizeof(**made)) : NULL;
	if (!*made && !d->failed)
		venus_dec_fatal(d, "allocates nothing");
	if (!*made)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		objs[i] = venus_obj_reserve(d, ids[i], type, sizeof(**objs));
		if (objs[i])
			continue;
		while (i-- > 0)
			venus_obj_cancel(d, objs[i]);
		return NULL;
	}
	return objs;
}

void venus_obj_publish(struct venus_dec *d, struct venus_obj *o, uint64_t handle,
		       struct venus_obj *pool)
{
	bool is_orphan = false;

	o->handle = handle;
	o->pool = pool;
	if (o->dev) {
		mutex_lock(&o->dev->lock);
		/* A device that goes waits for its makers, so it is still there to take this. */
		is_orphan = pool && pool->gone;
		if (!is_orphan) {
			list_add_tail(&o->dev->objects, &o->dev_node);
			if (pool)
				list_add_tail(&container_of(pool, struct venus_pool, obj)->members,
					      &o->pool_node);
			/*
			 * Still under the lock, so that whoever destroys the parent finds it in the
			 * table as soon as in the list.
			 */
			venus_table_publish(d->table, o);
			end_making_locked(o->dev);
		}
		mutex_unlock(&o->dev->lock);
	} else {
		venus_table_publish(d->table, o);
	}
	/* Its pool went while it was made, and took it along: the guest raced itself. */
	if (is_orphan)
		venus_obj_cancel(d, o);
}

bool venus_obj_weigh(struct venus_dec *d, struct venus_obj *o, uint64_t bytes)
{
	_Atomic uint64_t *sum = &d->ctx->kept_bytes;
	const uint64_t limit = d->ctx->limits.kept_bytes;

	if (bytes > UINT32_MAX)
		return false;
	/* Relaxed: a number and no more. */
	o->bytes = (uint32_t)bytes;
	return atomic_fetch_add_explicit(sum, bytes, memory_order_relaxed) + bytes <= limit;
}

/* The driver keeps nothing for it any more; exactly once for each record. */
static void unweigh(struct venus_ctx *ctx, const struct venus_obj *o)
{
	if (o->bytes)
		(void)atomic_fetch_sub_explicit(&ctx->kept_bytes, o->bytes, memory_order_relaxed);
}

void venus_obj_cancel(struct venus_dec *d, struct venus_obj *o)
{
	struct venus_device *dev = o->dev;

	unweigh(d->ctx, o);
	venus_table_cancel(d->table, o->id);
	venus_obj_free(o);
	end_making(dev);
}

static void unlink_locked(struct venus_obj *o)
{
	list_del(&o->dev_node);
	list_del(&o->pool_node);
}

bool venus_obj_remove(struct venus_dec *d, struct venus_obj *o)
{
	if (!venus_table_remove(d->table, o))
		return false;
	unweigh(d->ctx, o);
	if (o->dev) {
		mutex_lock(&o->dev->lock);
		unlink_locked(o);
		mutex_unlock(&o->dev->lock);
	}
	return true;
}

/* First record of a list, unlinked; NULL when it is empty. */
static struct venus_obj *pop_member(struct venus_pool *pool)
{
	struct venus_obj *o = NULL;

	if (!list_empty(&pool->members)) {
		o = container_of(pool->members.next, struct venus_obj, pool_node);
		unlink_locked(o);
	}
	return o;
}

void venus_pool_empty(struct venus_ctx *ctx, struct venus_pool *pool, bool for_good)
{
	struct venus_device *dev = pool->obj.dev;
	struct venus_obj *o;

	mutex_lock(&dev->lock);
	if (for_good)
		pool->obj.gone = true;
	while ((o = pop_member(pool)) != NULL) {
		/* Whoever else removes it finds the lists done. */
		if (!venus_table_remove(ctx->table, o))
			continue;
	}
	mutex_unlock(&dev->lock);
}

/* clang-format off */
/* Users before what they use.  Pools take their members along. */
static const VkObjectType death_order[] = {
	VK_OBJECT_TYPE_COMMAND_BUFFER, VK_OBJECT_TYPE_COMMAND_POOL,
	VK_OBJECT_TYPE_DESCRIPTOR_SET, VK_OBJECT_TYPE_DESCRIPTOR_POOL,
	VK_OBJECT_TYPE_DESCRIPTOR_UPDATE_TEMPLATE,
	VK_OBJECT_TYPE_FRAMEBUFFER, VK_OBJECT_TYPE_PIPELINE, VK_OBJECT_TYPE_PIPELINE_CACHE,
	VK_OBJECT_TYPE_PIPELINE_LAYOUT, VK_OBJECT_TYPE_DESCRIPTOR_SET_LAYOUT,
	VK_OBJECT_TYPE_RENDER_PASS, VK_OBJECT_TYPE_SHADER_MODULE, VK_OBJECT_TYPE_SAMPLER,
	VK_OBJECT_TYPE_BUFFER_VIEW, VK_OBJECT_TYPE_IMAGE_VIEW,
	VK_OBJECT_TYPE_SAMPLER_YCBCR_CONVERSION, VK_OBJECT_TYPE_ACCELERATION_STRUCTURE_KHR,
	VK_OBJECT_TYPE_QUERY_POOL, VK_OBJECT_TYPE_EVENT, VK_OBJECT_TYPE_FENCE,
	VK_OBJECT_TYPE_SEMAPHORE, VK_OBJECT_TYPE_BUFFER, VK_OBJECT_TYPE_IMAGE,
	VK_OBJECT_TYPE_DEVICE_MEMORY, VK_OBJECT_TYPE_QUEUE,
};
/* clang-format on */

static void destroy_child(struct venus_ctx *ctx, struct venus_device *dev, struct venus_obj *o)
{
	if (o->type == VK_OBJECT_TYPE_DEVICE_MEMORY)
		venus_memory_release(ctx, dev, container_of(o, struct venus_memory, obj));
	else if (!o->pool)
		venus_destroy_handle(dev, o->type, o->handle);
}

/* First of the records that go with a device, unlinked; NULL when there are no more. */
static struct venus_obj *pop_dead(struct venus_device *dev, struct list *dead)
{
	struct venus_obj *o = NULL;

	/* Whoever else removes one of them takes it off the list, wherever that is. */
	mutex_lock(&dev->lock);
	if (!list_empty(dead)) {
		o = container_of(dead->next, struct venus_obj, dev_node);
		list_del(&o->dev_node);
	}
	mutex_unlock(&dev->lock);
	return o;
}

void venus_device_empty(struct venus_ctx *ctx, struct venus_device *dev)
{
	for (size_t i = 0; i < ARRAY_LEN(death_order); i++) {
		struct list dead;
		struct venus_obj *child;

		/* Nothing is added any more, so one pass for each type finds all of it. */
		list_init(&dead);
		mutex_lock(&dev->lock);
		list_for_each_safe(it, &dev->objects)
		{
			struct venus_obj *o = container_of(it, struct venus_obj, dev_node);

			if (o->type != death_order[i])
				continue;
			unlink_locked(o);
			list_add_tail(&dead, &o->dev_node);
		}
		mutex_unlock(&dev->lock);
		while ((child = pop_dead(dev, &dead)) != NULL) {
			bool is_ours = venus_table_remove(ctx->table, child);

			if (!is_ours)
				continue;
			destroy_child(ctx, dev, child);
			unweigh(ctx, child);
		}
	}
}

void venus_obj_free(struct venus_obj *o)
{
	switch ((int)o->type) {
	case VK_OBJECT_TYPE_PHYSICAL_DEVICE:
		return; /* belongs to the context */
	case VK_OBJECT_TYPE_DEVICE: {
		struct venus_device *dev = container_of(o, struct venus_device, obj);

		cond_fini(&dev->no_makers);
		mutex_fini(&dev->lock);
		free(dev->slots);
		break;
	}
	case VK_OBJECT_TYPE_QUEUE:
		venus_queue_fini(container_of(o, struct venus_queue, obj));
		break;
	default:
		break;
	}
	free(o);
}
