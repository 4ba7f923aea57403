/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VkDeviceMemory (venus.md 8).  What a guest may map is, by preference, a sealed memfd of ours that
 * the driver imports as a host pointer, else the driver's memory exported as a dma-buf, else, where
 * the user allows it, the device file that the driver itself maps it from.  The guest
 * allocates first and asks for the mapping later, or never; it may free memory and mapping in
 * either order, so the pages live until both are gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "host/mapwatch.h"
#include "util/ckd.h"
#include "util/log.h"
#include "venus/core.h"

#define HUGE_PAGE (2U << 20) /* bytes; smaller backings do not ask for huge pages */

/* ---- backing ---- */

static VkResult claim(struct venus_ctx *ctx, uint64_t size)
{
	const struct venus_budget *b = ctx->budget;

	return b && size && b->claim(b->arg, size) < 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_SUCCESS;
}

static void give_back(struct venus_ctx *ctx, uint64_t size)
{
	if (ctx->budget && size)
		ctx->budget->give_back(ctx->budget->arg, size);
}

static VkResult host_charge(struct venus_ctx *ctx, uint64_t size)
{
	VkResult r = VK_SUCCESS;

	mutex_lock(&ctx->mem_lock);
	if (ctx->host_memories >= ctx->limits.host_memories) {
		r = VK_ERROR_TOO_MANY_OBJECTS;
	} else if (size > ctx->limits.host_bytes - ctx->host_bytes) {
		r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
	} else {
		ctx->host_memories++;
		ctx->host_bytes += size;
	}
	mutex_unlock(&ctx->mem_lock);
	return r;
}

static void host_uncharge(struct venus_ctx *ctx, uint64_t size)
{
	mutex_lock(&ctx->mem_lock);
	ctx->host_memories--;
	ctx->host_bytes -= size;
	mutex_unlock(&ctx->mem_lock);
}

void venus_backing_put(struct venus_backing *b)
{
	/* Release and acquire: the last one sees what all others did. */
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	shm_unmap(b->map, b->size);
	fd_drop(&b->fd);
	host_uncharge(b->ctx, b->charged);
	give_back(b->ctx, b->charged);
	free(b);
}

static VkResult backing_new(struct venus_ctx *ctx, uint64_t charged, struct venus_backing **out)
{
	VkResult r = host_charge(ctx, charged);

	if (r != VK_SUCCESS)
		return r;
	r = claim(ctx, charged);
	struct venus_backing *b = r == VK_SUCCESS ? calloc(1, sizeof(*b)) : NULL;
	if (!b) {
		host_uncharge(ctx, charged);
		if (r == VK_SUCCESS)
			give_back(ctx, charged);
		return r == VK_SUCCESS ? VK_ERROR_OUT_OF_HOST_MEMORY : r;
	}
	atomic_init(&b->refs, 1);
	b->ctx = ctx;
	b->charged = charged;
	b->fd = -1;
	*out = b;
	return VK_SUCCESS;
}

static VkResult backing_new_memfd(struct venus_ctx *ctx, uint64_t size, struct venus_backing **out)
{
	struct venus_backing *b = NULL;
	VkResult r = backing_new(ctx, size, &b);

	if (r != VK_SUCCESS)
		return r;
	b->size = size;
	if (shm_create("pecten-memory", size, &b->fd) < 0 || shm_map(b->fd, size, &b->map) < 0) {
		venus_backing_put(b);
		return VK_ERROR_OUT_OF_DEVICE_MEMORY;
	}
	/* Helps where the host's shmem_enabled says "advise". */
	if (size >= HUGE_PAGE)
		(void)madvise(b->map, size, MADV_HUGEPAGE);
	*out = b;
	return VK_SUCCESS;
}

/* ---- allocation ---- */

/* Whether the driver insists that a buffer or image gets memory of its own (rarely). */
static bool needs_dedicated(struct venus_device *dev, const VkMemoryDedicatedAllocateInfo *ded)
{
	VkMemoryDedicatedRequirements req = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS
	};
	VkMemoryRequirements2 out = { .sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2,
				      .pNext = &req };

	if (ded->image) {
		const VkImageMemoryRequirementsInfo2 in = {
			.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_REQUIREMENTS_INFO_2,
			.image = ded->image
		};

		dev->vk.GetImageMemoryRequirements2(venus_device_vk(dev), &in, &out);
	} else if (ded->buffer) {
		const VkBufferMemoryRequirementsInfo2 in = {
			.sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2,
			.buffer = ded->buffer
		};

		dev->vk.GetBufferMemoryRequirements2(venus_device_vk(dev), &in, &out);
	}
	return req.requiresDedicatedAllocation;
}

/* Memory that the guest will map: ours, imported into the driver. */
static VkResult allocate_imported(struct venus_dec *d, VkMemoryAllocateInfo *info,
				  struct venus_memory *mem, VkDeviceMemory *out)
{
	struct venus_device *dev = d->dev;
	const struct venus_physdev *pd = dev->physdev;
	uint64_t align = pd->import_align > shm_page_size() ? pd->import_align : shm_page_size();
	struct venus_backing *b = NULL;
	uint64_t size;

	if (info->allocationSize == 0 || align_up_ckd(&size, info->allocationSize, align))
		return VK_ERROR_OUT_OF_DEVICE_MEMORY;
	VkResult r = backing_new_memfd(d->ctx, size, &b);
	if (r != VK_SUCCESS)
		return r;

	VkImportMemoryHostPointerInfoEXT import = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
		.pHostPointer = b->map,
	};
	/* Neither may be combined with the import of a host pointer. */
	venus_chain_drop(info, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
	venus_chain_drop(info, VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO);
	venus_chain_push(info, &import);
	info->allocationSize = size;
	r = dev->vk.AllocateMemory(venus_device_vk(dev), info, NULL, out);
	if (r != VK_SUCCESS) {
		venus_backing_put(b);
		return r == VK_ERROR_INVALID_EXTERNAL_HANDLE ? VK_ERROR_OUT_OF_DEVICE_MEMORY : r;
	}
	mem->backing = b;
	return VK_SUCCESS;
}

/* Memory of the driver's, exportable as a dma-buf where that is how guests map it. */
static VkResult allocate_plain(struct venus_dec *d, VkMemoryAllocateInfo *info,
			       struct venus_memory *mem, VkDeviceMemory *out)
{
	struct venus_device *dev = d->dev;
	const struct venus_physdev *pd = dev->physdev;
	VkExportMemoryAllocateInfo *export =
		venus_chain_find(info, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
	VkExportMemoryAllocateInfo own = {
		.sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
		.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
	};

	if (export && !pd->has_dmabuf)
		venus_chain_drop(info, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
	else if (export)
		export->handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;
	else if (mem->strategy == VENUS_STRATEGY_DMABUF)
		venus_chain_push(info, &own);
	mem->is_exportable = pd->has_dmabuf && (export || mem->strategy == VENUS_STRATEGY_DMABUF);
	if (d->ctx->budget &&
	    (mem->strategy != VENUS_STRATEGY_NONE || d->ctx->budget->counts_all)) {
		VkResult r = claim(d->ctx, info->allocationSize);

		if (r != VK_SUCCESS)
			return r;
		mem->claimed = info->allocationSize;
	}
	return dev->vk.AllocateMemory(venus_device_vk(dev), info, NULL, out);
}

/*
 * Memory that the driver maps from its device's file, which the guest will map as well.  The guest
 * fails to if the size is no multiple of what the driver maps; one that has asked what its buffers
 * and images require never has such a size.
 */
static VkResult allocate_watched(struct venus_dec *d, VkMemoryAllocateInfo *info,
				 struct venus_memory *mem, VkDeviceMemory *out)
{
	const struct venus_device *dev = d->dev;
	struct venus_backing *b = NULL;
	struct mapwatch watch;
	void *map = NULL;
	VkResult r = backing_new(d->ctx, 0, &b);

	if (r != VK_SUCCESS)
		return r;
	mapwatch_begin(&watch);
	r = allocate_plain(d, info, mem, out);
	if (r == VK_SUCCESS &&
	    dev->vk.MapMemory(venus_device_vk(dev), *out, 0, VK_WHOLE_SIZE, 0, &map) != VK_SUCCESS)
		map = NULL;
	if (mapwatch_end(&watch, map, &b->fd, &b->size) == 0)
		mem->backing = b;
	else
		venus_backing_put(b);
	return r;
}

/* Memory that is a resource already, of another context. */
static VkResult allocate_resource(struct venus_dec *d, VkMemoryAllocateInfo *info,
				  const VkImportMemoryResourceInfoMESA *mesa, VkDeviceMemory *out)
{
	struct venus_device *dev = d->dev;
	struct venus_res *res = venus_res_get(d->ctx, mesa->resourceId);

	if (!res) {
		venus_dec_fatal(d, "imports resource %u, which does not exist", mesa->resourceId);
		return VK_ERROR_INVALID_EXTERNAL_HANDLE;
	}
	VkResult r = VK_ERROR_INVALID_EXTERNAL_HANDLE;
	AUTO_FD fd = res->kind == VENUS_BLOB_DMABUF && dev->physdev->has_dmabuf
			     ? fcntl(res->fd, F_DUPFD_CLOEXEC, 0)
			     : -1;
	if (fd >= 0) {
		VkImportMemoryFdInfoKHR import = {
			.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
			.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
			.fd = fd,
		};

		venus_chain_drop(info, VK_STRUCTURE_TYPE_IMPORT_MEMORY_RESOURCE_INFO_MESA);
		venus_chain_push(info, &import);
		r = dev->vk.AllocateMemory(venus_device_vk(dev), info, NULL, out);
		if (r == VK_SUCCESS)
			(void)take_fd(&fd); /* the driver's */
	}
	venus_res_put(res);
	return r;
}

static VkResult allocate(struct venus_dec *d, VkMemoryAllocateInfo *info, struct venus_memory *mem,
			 VkDeviceMemory *out)
{
	const VkImportMemoryResourceInfoMESA *mesa =
		venus_chain_find(info, VK_STRUCTURE_TYPE_IMPORT_MEMORY_RESOURCE_INFO_MESA);
	const VkMemoryDedicatedAllocateInfo *ded =
		venus_chain_find(info, VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO);

	if (mesa)
		return allocate_resource(d, info, mesa, out);
	if (mem->strategy == VENUS_STRATEGY_IMPORT && !(ded && needs_dedicated(d->dev, ded)))
		return allocate_imported(d, info, mem, out);
	if (mem->strategy == VENUS_STRATEGY_DRIVER)
		return allocate_watched(d, info, mem, out);
	return allocate_plain(d, info, mem, out);
}

void venus_do_vkAllocateMemory(struct venus_dec *d, struct venus_args_vkAllocateMemory *a)
{
	VkMemoryAllocateInfo *info = a->pAllocateInfo;
	const struct venus_physdev *pd = d->dev->physdev;
	VkDeviceMemory vk = VK_NULL_HANDLE;

	if (info->memoryTypeIndex >= pd->host_mem.memoryTypeCount) {
		venus_dec_fatal(d, "names memory type %u of %u", info->memoryTypeIndex,
				pd->host_mem.memoryTypeCount);
		return;
	}
	struct venus_obj *o = venus_obj_reserve(d, *a->pMemory, VK_OBJECT_TYPE_DEVICE_MEMORY,
						sizeof(struct venus_memory));
	if (!o)
		return;
	struct venus_memory *mem = container_of(o, struct venus_memory, obj);
	mem->size = info->allocationSize;
	mem->type = info->memoryTypeIndex;
	mem->strategy = pd->strategy[mem->type];
	a->ret = allocate(d, info, mem, &vk);
	if (a->ret == VK_SUCCESS) {
		venus_obj_publish(d, o, venus_handle_of(vk), NULL);
	} else {
		log_debug(GPU, "%s: vkAllocateMemory of %llu bytes of type %u fails with %d",
			  d->ctx->name, (unsigned long long)mem->size, mem->type, (int)a->ret);
		give_back(d->ctx, mem->claimed);
		venus_obj_cancel(d, o);
	}
}

void venus_memory_release(struct venus_ctx *ctx, struct venus_device *dev, struct venus_memory *mem)
{
	mutex_lock(&ctx->mem_lock);
	struct venus_backing *b = mem->backing;
	mem->backing = NULL;
	mem->is_freed = true;
	mutex_unlock(&ctx->mem_lock);

	/* The driver first: it must not find its pages gone. */
	dev->vk.FreeMemory(venus_device_vk(dev), venus_handle_to(VkDeviceMemory, mem->obj.handle),
			   NULL);
	venus_backing_put(b);
	give_back(ctx, mem->claimed);
}

void venus_do_vkFreeMemory(struct venus_dec *d, struct venus_args_vkFreeMemory *a)
{
	if (a->memory && venus_obj_remove(d, a->memory))
		venus_memory_release(d->ctx, d->dev,
				     container_of(a->memory, struct venus_memory, obj));
}

/* ---- resources ---- */

static int export_dmabuf(struct venus_memory *mem, uint64_t size, struct venus_res *res)
{
	struct venus_device *dev = mem->obj.dev;
	const VkMemoryGetFdInfoKHR get = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
		.memory = venus_handle_to(VkDeviceMemory, mem->obj.handle),
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
	};

	if (dev->vk.GetMemoryFdKHR(venus_device_vk(dev), &get, &res->fd) != VK_SUCCESS) {
		res->fd = -1;
		return -EACCES;
	}
	off_t end = lseek(res->fd, 0, SEEK_END);
	if (end >= 0 && (uint64_t)end < size)
		return -EINVAL;
	return 0;
}

static uint32_t wc_or_cached(const struct venus_physdev *pd, uint32_t type)
{
	const VkMemoryPropertyFlags cached =
		VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

	return (pd->host_mem.memoryTypes[type].propertyFlags & cached) == cached ? VENUS_MAP_CACHED
										 : VENUS_MAP_WC;
}

static int export_locked(struct venus_memory *mem, uint64_t size, struct venus_res *res,
			 uint32_t *map_info)
{
	const struct venus_physdev *pd = mem->obj.dev->physdev;
	int r;

	if (mem->is_freed)
		return -ENOENT;
	if (mem->is_exported)
		return -EACCES;
	if (mem->backing) {
		bool is_driver = mem->strategy == VENUS_STRATEGY_DRIVER;

		if (size > mem->backing->size)
			return -EINVAL;
		(void)atomic_fetch_add_explicit(&mem->backing->refs, 1, memory_order_relaxed);
		res->backing = mem->backing;
		res->kind = is_driver ? VENUS_BLOB_DRIVER : VENUS_BLOB_MEMORY;
		*map_info = is_driver ? wc_or_cached(pd, mem->type) : VENUS_MAP_CACHED;
	} else {
		if (!mem->is_exportable)
			return -EACCES;
		r = export_dmabuf(mem, size, res);
		if (r < 0)
			return r;
		res->kind = VENUS_BLOB_DMABUF;
		*map_info = wc_or_cached(pd, mem->type);
	}
	res->size = size;
	mem->is_exported = true;
	return 0;
}

void venus_memory_unexport(struct venus_ctx *ctx, uint64_t mem_id)
{
	venus_busy(ctx->table, &ctx->dec.reader);
	struct venus_obj *o = venus_table_get(ctx->table, mem_id);
	if (o && o->type == VK_OBJECT_TYPE_DEVICE_MEMORY) {
		mutex_lock(&ctx->mem_lock);
		container_of(o, struct venus_memory, obj)->is_exported = false;
		mutex_unlock(&ctx->mem_lock);
	}
	venus_idle(&ctx->dec.reader);
}

int venus_memory_export(struct venus_ctx *ctx, uint64_t mem_id, uint64_t size,
			struct venus_res *res, uint32_t *map_info)
{
	int r = -ENOENT;

	venus_busy(ctx->table, &ctx->dec.reader);
	struct venus_obj *o = venus_table_get(ctx->table, mem_id);
	if (o && o->type == VK_OBJECT_TYPE_DEVICE_MEMORY) {
		mutex_lock(&ctx->mem_lock);
		r = export_locked(container_of(o, struct venus_memory, obj), size, res, map_info);
		mutex_unlock(&ctx->mem_lock);
	}
	venus_idle(&ctx->dec.reader);
	return r;
}

void venus_do_vkGetMemoryResourcePropertiesMESA(
	struct venus_dec *d, struct venus_args_vkGetMemoryResourcePropertiesMESA *a)
{
	struct venus_device *dev = d->dev;
	VkMemoryResourceAllocationSizePropertiesMESA *sized =
		venus_chain_find(a->pMemoryResourceProperties,
				 VK_STRUCTURE_TYPE_MEMORY_RESOURCE_ALLOCATION_SIZE_PROPERTIES_MESA);
	VkMemoryFdPropertiesKHR props = { .sType = VK_STRUCTURE_TYPE_MEMORY_FD_PROPERTIES_KHR };
	struct venus_res *res = venus_res_get(d->ctx, a->resourceId);

	if (!res) {
		venus_dec_fatal(d, "names resource %u, which does not exist", a->resourceId);
		return;
	}
	a->ret = VK_ERROR_INVALID_EXTERNAL_HANDLE;
	if (res->kind == VENUS_BLOB_DMABUF && dev->physdev->has_dmabuf)
		a->ret = dev->vk.GetMemoryFdPropertiesKHR(
			venus_device_vk(dev), VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
			res->fd, &props);
	if (a->ret == VK_SUCCESS) {
		a->pMemoryResourceProperties->memoryTypeBits = props.memoryTypeBits;
		if (sized)
			sized->allocationSize = res->size;
	}
	venus_res_put(res);
}
