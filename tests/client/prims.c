/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder's primitives for tests. */
#include "client/prims.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/fill.h"
#include "venus/enc.h"
#include "venus/pnext.h"

/* The types that the renderer makes records of. */
static const VkObjectType types[] = {
	VK_OBJECT_TYPE_INSTANCE,
	VK_OBJECT_TYPE_PHYSICAL_DEVICE,
	VK_OBJECT_TYPE_DEVICE,
	VK_OBJECT_TYPE_QUEUE,
	VK_OBJECT_TYPE_SEMAPHORE,
	VK_OBJECT_TYPE_COMMAND_BUFFER,
	VK_OBJECT_TYPE_FENCE,
	VK_OBJECT_TYPE_DEVICE_MEMORY,
	VK_OBJECT_TYPE_BUFFER,
	VK_OBJECT_TYPE_IMAGE,
	VK_OBJECT_TYPE_EVENT,
	VK_OBJECT_TYPE_QUERY_POOL,
	VK_OBJECT_TYPE_BUFFER_VIEW,
	VK_OBJECT_TYPE_IMAGE_VIEW,
	VK_OBJECT_TYPE_SHADER_MODULE,
	VK_OBJECT_TYPE_PIPELINE_CACHE,
	VK_OBJECT_TYPE_PIPELINE_LAYOUT,
	VK_OBJECT_TYPE_RENDER_PASS,
	VK_OBJECT_TYPE_PIPELINE,
	VK_OBJECT_TYPE_DESCRIPTOR_SET_LAYOUT,
	VK_OBJECT_TYPE_SAMPLER,
	VK_OBJECT_TYPE_DESCRIPTOR_POOL,
	VK_OBJECT_TYPE_DESCRIPTOR_SET,
	VK_OBJECT_TYPE_FRAMEBUFFER,
	VK_OBJECT_TYPE_COMMAND_POOL,
	VK_OBJECT_TYPE_SAMPLER_YCBCR_CONVERSION,
	VK_OBJECT_TYPE_DESCRIPTOR_UPDATE_TEMPLATE,
	VK_OBJECT_TYPE_ACCELERATION_STRUCTURE_KHR,
};

uint64_t vnt_id(VkObjectType type, unsigned n)
{
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		if (types[i] == type && type == VK_OBJECT_TYPE_DEVICE)
			return 1 + i * VNT_IDS_PER_TYPE; /* there is one */
		if (types[i] == type)
			return 1 + i * VNT_IDS_PER_TYPE + n % VNT_IDS_PER_TYPE;
	}
	return 0;
}

static struct vnt_world *world(struct venus_dec *d)
{
	return container_of(d, struct vnt_world, dec);
}

void vnt_world_init(struct vnt_world *w)
{
	struct venus_chunk *c = calloc(1, sizeof(*c));

	*w = (struct vnt_world){ 0 };
	w->dec.ctx = (void *)w; /* only ever handed back to venus_dec_vki() */
	w->dec.table = calloc(1, sizeof(*w->dec.table));
	w->objs = calloc(ARRAY_LEN(types) * VNT_IDS_PER_TYPE, sizeof(*w->objs));
	w->reply_size = 1U << 20;
	w->reply = malloc(w->reply_size);
	assert(c && w->dec.table && w->objs && w->reply);
	for (unsigned i = 0; i < ARRAY_LEN(types) * VNT_IDS_PER_TYPE; i++) {
		VkObjectType type = types[i / VNT_IDS_PER_TYPE];
		struct venus_obj *o = type == VK_OBJECT_TYPE_DEVICE ? &w->dev.obj : &w->objs[i];

		if (i + 1 != vnt_id(type, i))
			continue;
		o->id = i + 1;
		o->type = type;
		o->handle = vnc_host(o->id);
		o->dev = type > VK_OBJECT_TYPE_DEVICE ? &w->dev : NULL;
		atomic_store_explicit(&c->slot[o->id], o, memory_order_relaxed);
	}
	atomic_store_explicit(&w->dec.table->chunk[0], c, memory_order_relaxed);
}

void vnt_world_fini(struct vnt_world *w)
{
	vnt_world_begin(w, "", 0);
	free(w->dec.arena.block);
	free(atomic_load_explicit(&w->dec.table->chunk[0], memory_order_relaxed));
	free(w->dec.table);
	free(w->objs);
	free(w->reply);
}

void vnt_world_begin(struct vnt_world *w, const void *data, size_t size)
{
	struct venus_arena *a = &w->dec.arena;

	while (a->full) {
		void *next = *(void **)a->full;

		free(a->full);
		a->full = next;
	}
	a->used = 0;
	a->total = a->size;
	w->dec.p = data;
	w->dec.end = w->dec.p + size;
	w->dec.failed = false;
	w->dec.dev = NULL;
	w->dec.pool = NULL;
	w->dec.resource = NULL;
	w->published = w->cancelled = 0;
	w->removed = 0;
	w->device_lost = false;
	w->replied = 0;
	w->why[0] = 0;
}

void venus_dec_fatal(struct venus_dec *d, const char *fmt, ...)
{
	struct vnt_world *w = world(d);
	va_list ap;

	if (d->failed)
		return;
	d->failed = true;
	va_start(ap, fmt);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start() is the line above */
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
}

/*
 * Every allocation is one of its own, so that the sanitizer sees the end of each; the link takes
 * the first 16 bytes.
 */
void *venus_arena_grow(struct venus_arena *a, size_t bytes)
{
	if (a->total + bytes > VENUS_ARENA_MAX)
		return NULL;

	uint8_t *p = calloc(1, bytes + 16);

	assert(p);
	*(void **)p = a->full;
	a->full = p;
	a->total += bytes;
	return p + 16;
}

void *venus_dec_blob(struct venus_dec *d, uint64_t n)
{
	void *p = venus_dec_alloc(d, n, 1);

	if (p)
		venus_dec_packed(d, p, n, 1);
	return p;
}

const char *venus_dec_string(struct venus_dec *d, bool may_be_null)
{
	uint64_t n = venus_dec_u64(d);

	if (n == 0) {
		if (!may_be_null)
			venus_dec_fatal(d, "lacks a string");
		return NULL;
	}
	if (n > venus_dec_left(d)) {
		venus_dec_fatal(d, "has a string that is longer than the stream");
		return NULL;
	}

	char *s = venus_dec_blob(d, n);

	if (s)
		s[n - 1] = 0;
	return s;
}

const char *const *venus_dec_strings(struct venus_dec *d, uint64_t n)
{
	const char **s = venus_dec_alloc(d, n, sizeof(*s));

	for (uint64_t i = 0; s && i < n; i++)
		s[i] = venus_dec_string(d, false);
	return s;
}

/* What is sent here is well-formed, and not meant to make sense. */
bool venus_check_range(struct venus_dec *d, enum venus_limit limit, uint32_t first, uint32_t count)
{
	(void)limit;
	(void)first;
	(void)count;
	return !d->failed;
}

#define NO_CHECK(type)                                                                             \
	void venus_check_##type(struct venus_dec *d, const type *s)                                \
	{                                                                                          \
		(void)d;                                                                           \
		(void)s;                                                                           \
	}

NO_CHECK(VkClearAttachment)
NO_CHECK(VkDescriptorSetAllocateInfo)
NO_CHECK(VkDescriptorSetLayoutCreateInfo)
NO_CHECK(VkGraphicsPipelineCreateInfo)
NO_CHECK(VkPipelineLayoutCreateInfo)
NO_CHECK(VkPipelineShaderStageCreateInfo)
NO_CHECK(VkPipelineVertexInputDivisorStateCreateInfo)
NO_CHECK(VkPipelineVertexInputStateCreateInfo)
NO_CHECK(VkPushDataInfoEXT)
NO_CHECK(VkRenderPassCreateInfo)
NO_CHECK(VkRenderPassCreateInfo2)
NO_CHECK(VkSampleLocationsInfoEXT)
NO_CHECK(VkSpecializationInfo)
NO_CHECK(VkWriteDescriptorSet)

struct venus_obj *venus_table_get_sparse(struct venus_table *t, uint64_t id)
{
	(void)t;
	(void)id;
	return NULL;
}

struct venus_obj *venus_dec_obj_bad(struct venus_dec *d, uint64_t id, VkObjectType type)
{
	venus_dec_fatal(d, "names the object %llu, which is not of type %d", (unsigned long long)id,
			type);
	return NULL;
}

struct venus_obj *venus_dec_first_bad(struct venus_dec *d)
{
	venus_dec_fatal(d, "names no object");
	return NULL;
}

const struct venus_vki *venus_dec_vki(const struct venus_dec *d)
{
	return &((const struct vnt_world *)(const void *)d->ctx)->vki;
}

struct venus_obj *venus_obj_reserve(struct venus_dec *d, uint64_t id, VkObjectType type,
				    size_t size)
{
	struct vnt_world *w = world(d);

	assert(size == sizeof(struct venus_obj));
	w->spare = (struct venus_obj){ .id = id, .type = type };
	return &w->spare;
}

void venus_obj_publish(struct venus_dec *d, struct venus_obj *o, uint64_t handle,
		       struct venus_obj *pool)
{
	assert(!pool);
	o->handle = handle;
	world(d)->published++;
}

bool venus_obj_weigh(struct venus_dec *d, struct venus_obj *o, uint64_t bytes)
{
	(void)bytes;
	assert(o == &world(d)->spare);
	return true;
}

void venus_obj_cancel(struct venus_dec *d, struct venus_obj *o)
{
	assert(o == &world(d)->spare);
	world(d)->cancelled++;
}

bool venus_obj_remove(struct venus_dec *d, struct venus_obj *o)
{
	world(d)->removed = o->id;
	return true;
}

void venus_dec_device_lost(struct venus_dec *d)
{
	world(d)->device_lost = true;
}

bool venus_reply_begin(struct venus_dec *d, struct venus_enc *e, int32_t cmd)
{
	struct vnt_world *w = world(d);

	*e = (struct venus_enc){ .p = w->reply, .end = w->reply + w->reply_size };
	venus_enc_i32(e, cmd);
	return true;
}

void venus_reply_end(struct venus_dec *d, struct venus_enc *e)
{
	struct vnt_world *w = world(d);

	if (e->failed)
		venus_dec_fatal(d, "does not fit into the reply");
	w->replied = (size_t)(e->p - w->reply);
}
