/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and images: requirements, binding, and the few writes that the null driver carries out.
 */
#include <stdlib.h>
#include <string.h>

#include "null_internal.h"

#define NULL_ALIGN       256
#define NULL_IMAGE_TEXEL 16 /* bytes; every format is taken to be that large */

static uint64_t image_size(const VkImageCreateInfo *info)
{
	uint64_t size = NULL_IMAGE_TEXEL;
	const uint32_t n[] = { info->extent.width, info->extent.height, info->extent.depth,
			       info->arrayLayers };

	for (size_t i = 0; i < ARRAY_LEN(n); i++) {
		if (__builtin_mul_overflow(size, n[i] ? n[i] : 1, &size))
			return UINT64_MAX / 2;
	}
	return size < UINT64_MAX / 4 ? size * 2 : size;
}

static void fill_requirements(const struct null_call *c, uint64_t size, VkMemoryRequirements *req)
{
	uint64_t most = UINT64_MAX - NULL_ALIGN;

	req->size = ((size < most ? size : most) + NULL_ALIGN - 1) & ~(uint64_t)(NULL_ALIGN - 1);
	req->alignment = NULL_ALIGN;
	req->memoryTypeBits = (1U << null_memories(c->dev)->memoryTypeCount) - 1;
}

static VkResult new_bindable(struct null_call *c, VkObjectType type, uint64_t size,
			     uint64_t *handle)
{
	struct null_rec *r = null_new(type, c->dev, NULL);

	if (!r)
		return VK_ERROR_OUT_OF_DEVICE_MEMORY;
	r->u.buffer.size = size;
	*handle = (uintptr_t)r;
	return VK_SUCCESS;
}

VkResult null_do_vkCreateBuffer(struct null_call *c, const VkBufferCreateInfo *info,
				VkBuffer *buffer)
{
	uint64_t h = 0;
	VkResult r = new_bindable(c, VK_OBJECT_TYPE_BUFFER, info->size, &h);

	*buffer = NULL_HANDLE(VkBuffer, h);
	return r;
}

VkResult null_do_vkCreateImage(struct null_call *c, const VkImageCreateInfo *info, VkImage *image)
{
	uint64_t h = 0;
	VkResult r = new_bindable(c, VK_OBJECT_TYPE_IMAGE, image_size(info), &h);

	*image = NULL_HANDLE(VkImage, h);
	return r;
}

static uint64_t size_of(const void *handle)
{
	const struct null_rec *r = null_rec_of(handle);

	return r ? r->u.buffer.size : 0;
}

void null_do_vkGetBufferMemoryRequirements(struct null_call *c, VkBuffer buffer,
					   VkMemoryRequirements *req)
{
	fill_requirements(c, size_of(buffer), req);
}

void null_do_vkGetBufferMemoryRequirements2(struct null_call *c,
					    const VkBufferMemoryRequirementsInfo2 *info,
					    VkMemoryRequirements2 *req)
{
	null_fill_chain(c, req->pNext);
	fill_requirements(c, size_of(info->buffer), &req->memoryRequirements);
}

void null_do_vkGetDeviceBufferMemoryRequirements(struct null_call *c,
						 const VkDeviceBufferMemoryRequirements *info,
						 VkMemoryRequirements2 *req)
{
	null_fill_chain(c, req->pNext);
	fill_requirements(c, info->pCreateInfo ? info->pCreateInfo->size : 0,
			  &req->memoryRequirements);
}

void null_do_vkGetImageMemoryRequirements(struct null_call *c, VkImage image,
					  VkMemoryRequirements *req)
{
	fill_requirements(c, size_of(image), req);
}

void null_do_vkGetImageMemoryRequirements2(struct null_call *c,
					   const VkImageMemoryRequirementsInfo2 *info,
					   VkMemoryRequirements2 *req)
{
	null_fill_chain(c, req->pNext);
	fill_requirements(c, size_of(info->image), &req->memoryRequirements);
}

void null_do_vkGetDeviceImageMemoryRequirements(struct null_call *c,
						const VkDeviceImageMemoryRequirements *info,
						VkMemoryRequirements2 *req)
{
	null_fill_chain(c, req->pNext);
	fill_requirements(c, info->pCreateInfo ? image_size(info->pCreateInfo) : 0,
			  &req->memoryRequirements);
}

static VkResult bind(const void *what, VkDeviceMemory memory, uint64_t offset)
{
	struct null_rec *r = null_rec_of(what);

	if (!r)
		return VK_SUCCESS;
	mutex_lock(&null.lock);
	r->u.buffer.memory = null_rec_of(memory);
	r->u.buffer.offset = offset;
	mutex_unlock(&null.lock);
	return VK_SUCCESS;
}

VkResult null_do_vkBindBufferMemory(struct null_call *c, VkBuffer buffer, VkDeviceMemory memory,
				    VkDeviceSize offset)
{
	(void)c;
	return bind(buffer, memory, offset);
}

VkResult null_do_vkBindBufferMemory2(struct null_call *c, uint32_t n,
				     const VkBindBufferMemoryInfo *infos)
{
	(void)c;
	for (uint32_t i = 0; infos && i < n; i++)
		(void)bind(infos[i].buffer, infos[i].memory, infos[i].memoryOffset);
	return VK_SUCCESS;
}

/* Where @off of a buffer lies, if it has host-visible memory and room for @size bytes there. */
static uint8_t *bytes_of(const struct null_rec *buf, uint64_t off, uint64_t size)
{
	const struct null_rec *m = buf ? buf->u.buffer.memory : NULL;

	if (!m || atomic_load_explicit(&buf->state, memory_order_relaxed) != NULL_ALIVE ||
	    atomic_load_explicit(&m->state, memory_order_relaxed) != NULL_ALIVE ||
	    atomic_load_explicit(&m->type, memory_order_relaxed) != VK_OBJECT_TYPE_DEVICE_MEMORY ||
	    !m->u.memory.map || off > buf->u.buffer.size || size > buf->u.buffer.size - off ||
	    __builtin_add_overflow(off, buf->u.buffer.offset, &off) || off > m->u.memory.size ||
	    size > m->u.memory.size - off)
		return NULL;
	return m->u.memory.map + off;
}

static void run_op(const struct null_op *op)
{
	uint64_t size = op->size;

	if (size == VK_WHOLE_SIZE)
		size = op->dst_off <= op->dst->u.buffer.size
			       ? (op->dst->u.buffer.size - op->dst_off) & ~UINT64_C(3)
			       : 0;
	uint8_t *to = bytes_of(op->dst, op->dst_off, size);
	const uint8_t *from =
		op->kind == NULL_OP_COPY ? bytes_of(op->src, op->src_off, size) : NULL;

	if (!to)
		return;
	if (op->kind == NULL_OP_COPY) {
		if (from)
			memmove(to, from, size);
		return;
	}
	for (uint64_t i = 0; size >= sizeof(op->data) && i <= size - sizeof(op->data);
	     i += sizeof(op->data))
		memcpy(to + i, &op->data, sizeof(op->data));
}

void null_ops_run(const struct null_rec *cmdbuf)
{
	const struct null_ops *ops = cmdbuf->u.cmdbuf.ops;

	for (uint32_t i = 0; ops && i < ops->n; i++)
		run_op(&ops->op[i]);
}

void null_cmdbuf_fini(struct null_rec *r)
{
	free(r->u.cmdbuf.ops);
	r->u.cmdbuf.ops = NULL;
}

static void record(const struct null_call *c, const struct null_op *op)
{
	mutex_lock(&null.lock);
	if (!c->self->u.cmdbuf.ops)
		c->self->u.cmdbuf.ops = calloc(1, sizeof(struct null_ops));

	struct null_ops *ops = c->self->u.cmdbuf.ops;

	if (op->dst && ops && ops->n < NULL_OPS)
		ops->op[ops->n++] = *op;
	mutex_unlock(&null.lock);
}

void null_do_vkCmdFillBuffer(struct null_call *c, VkBuffer dst, VkDeviceSize off, VkDeviceSize size,
			     uint32_t data)
{
	record(c, &(struct null_op){ .kind = NULL_OP_FILL,
				     .dst = null_rec_of(dst),
				     .dst_off = off,
				     .size = size,
				     .data = data });
}

/* Remembers the first word only, which is what tests look at. */
void null_do_vkCmdUpdateBuffer(struct null_call *c, VkBuffer dst, VkDeviceSize off,
			       VkDeviceSize size, const void *data)
{
	struct null_op op = { .kind = NULL_OP_UPDATE,
			      .dst = null_rec_of(dst),
			      .dst_off = off,
			      .size = sizeof(op.data) };

	if (!data || size < sizeof(op.data))
		return;
	memcpy(&op.data, data, sizeof(op.data));
	record(c, &op);
}

void null_do_vkCmdCopyBuffer(struct null_call *c, VkBuffer src, VkBuffer dst, uint32_t n,
			     const VkBufferCopy *regions)
{
	for (uint32_t i = 0; src && regions && i < n; i++)
		record(c, &(struct null_op){ .kind = NULL_OP_COPY,
					     .src = null_rec_of(src),
					     .dst = null_rec_of(dst),
					     .src_off = regions[i].srcOffset,
					     .dst_off = regions[i].dstOffset,
					     .size = regions[i].size });
}

static VkResult forget(const struct null_call *c)
{
	mutex_lock(&null.lock);
	if (c->self->u.cmdbuf.ops)
		c->self->u.cmdbuf.ops->n = 0;
	mutex_unlock(&null.lock);
	return VK_SUCCESS;
}

VkResult null_do_vkBeginCommandBuffer(struct null_call *c, const VkCommandBufferBeginInfo *info)
{
	(void)info;
	return forget(c);
}

VkResult null_do_vkResetCommandBuffer(struct null_call *c, VkCommandBufferResetFlags flags)
{
	(void)flags;
	return forget(c);
}
