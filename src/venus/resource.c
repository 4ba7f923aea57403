/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources: what a front end calls a blob.  Shared memory is mapped here, because rings and
 * streams live in it; memory behind a VkDeviceMemory is only passed on.  A resource lives as long
 * as anybody uses it, whatever the guest says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "util/ckd.h"
#include "util/log.h"
#include "venus/core.h"

static struct list *bucket_of(struct venus_ctx *ctx, uint32_t id)
{
	return &ctx->res[id % VENUS_RES_BUCKETS];
}

static struct venus_res *find_locked(struct venus_ctx *ctx, uint32_t id) REQUIRES(&ctx->res_lock)
{
	list_for_each(it, bucket_of(ctx, id))
	{
		struct venus_res *res = container_of(it, struct venus_res, node);

		if (res->id == id)
			return res;
	}
	return NULL;
}

struct venus_res *venus_res_get(struct venus_ctx *ctx, uint32_t id)
{
	mutex_lock(&ctx->res_lock);
	struct venus_res *res = find_locked(ctx, id);
	if (res)
		(void)atomic_fetch_add_explicit(&res->refs, 1, memory_order_relaxed);
	mutex_unlock(&ctx->res_lock);
	return res;
}

void venus_res_put(struct venus_res *res)
{
	/* Release and acquire: the last one sees what all others did. */
	if (!res || atomic_fetch_sub_explicit(&res->refs, 1, memory_order_acq_rel) != 1)
		return;

	struct venus_ctx *ctx = res->ctx;
	if (res->map) {
		shm_unmap(res->map, res->size);
		mutex_lock(&ctx->res_lock);
		ctx->shm_bytes -= res->size;
		mutex_unlock(&ctx->res_lock);
	}
	venus_backing_put(res->backing);
	fd_drop(&res->fd);
	free(res);
}

static void auto_res_(struct venus_res **res)
{
	venus_res_put(*res);
}
#define AUTO_RES CLEANUP(auto_res_) struct venus_res *

static struct venus_res *res_new(struct venus_ctx *ctx, uint32_t id)
{
	struct venus_res *res = calloc(1, sizeof(*res));

	if (!res)
		return NULL;
	atomic_init(&res->refs, 1);
	res->id = id;
	res->ctx = ctx;
	res->fd = -1;
	list_init(&res->node);
	return res;
}

/* Puts @res into the table, which takes the reference on success. */
static int res_insert(struct venus_ctx *ctx, struct venus_res *res)
{
	int r = 0;

	mutex_lock(&ctx->res_lock);
	if (find_locked(ctx, res->id)) {
		r = -EEXIST;
	} else if (ctx->res_count >= ctx->limits.resources) {
		r = -ENOMEM;
	} else {
		list_add_tail(bucket_of(ctx, res->id), &res->node);
		ctx->res_count++;
	}
	mutex_unlock(&ctx->res_lock);
	return r;
}

/* Books @size bytes of shared memory, or refuses. */
static int shm_charge(struct venus_ctx *ctx, uint64_t size)
{
	int r = 0;

	mutex_lock(&ctx->res_lock);
	if (size > ctx->limits.shm_bytes - ctx->shm_bytes)
		r = -ENOMEM;
	else
		ctx->shm_bytes += size;
	mutex_unlock(&ctx->res_lock);
	return r;
}

static int shm_fill(struct venus_ctx *ctx, struct venus_res *res, uint64_t size)
{
	void *map = NULL;
	int r = shm_charge(ctx, size);

	if (r < 0)
		return r;
	r = shm_create("pecten-shm", size, &res->fd);
	if (r == 0)
		r = shm_map(res->fd, size, &map);
	if (r < 0) {
		mutex_lock(&ctx->res_lock);
		ctx->shm_bytes -= size;
		mutex_unlock(&ctx->res_lock);
		return r;
	}
	res->kind = VENUS_BLOB_SHM;
	res->size = size;
	res->map = map;
	return 0;
}

/* Puts a finished resource into the table, and a duplicate of its descriptor into @out. */
static int hand_out(struct venus_ctx *ctx, struct venus_res *res, struct venus_blob *out)
{
	AUTO_FD fd = fcntl(res->backing ? res->backing->fd : res->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;

	int r = res_insert(ctx, res);
	if (r == 0)
		out->fd = take_fd(&fd);
	return r;
}

int venus_ctx_create_blob(struct venus_ctx *ctx, uint32_t res_id, uint32_t mem, uint32_t flags,
			  uint64_t blob_id, uint64_t size, struct venus_blob *out)
{
	uint64_t rounded;
	uint32_t map_info = VENUS_MAP_CACHED;
	int r;

	if (res_id == 0 || mem != VENUS_BLOB_MEM_HOST3D || size == 0 ||
	    (flags & ~(VENUS_BLOB_MAPPABLE | VENUS_BLOB_SHAREABLE | VENUS_BLOB_CROSS_DEVICE)) ||
	    align_up_ckd(&rounded, size, shm_page_size()))
		return -EINVAL;

	AUTO_RES res = res_new(ctx, res_id);
	if (!res)
		return -ENOMEM;
	if (blob_id == 0)
		r = flags == VENUS_BLOB_MAPPABLE ? shm_fill(ctx, res, rounded) : -EINVAL;
	else
		r = venus_memory_export(ctx, blob_id, rounded, res, &map_info);
	if (r < 0)
		return r;

	out->kind = res->kind;
	out->offset = res->offset;
	out->size = res->size;
	out->map_info = flags & VENUS_BLOB_MAPPABLE ? map_info : VENUS_MAP_NONE;
	r = hand_out(ctx, res, out);
	if (r == 0)
		(void)take(&res); /* the table's */
	else if (blob_id != 0)
		venus_memory_unexport(ctx, blob_id);
	return r;
}

int venus_ctx_import_resource(struct venus_ctx *ctx, uint32_t res_id, const struct venus_blob *blob)
{
	int r;

	if (res_id == 0 || blob->size == 0)
		return -EINVAL;
	/* We never map what others made, so its size only matters to those who do. */
	off_t end = lseek(blob->fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	if (!range_fits(blob->offset, blob->size, (uint64_t)end))
		return -EINVAL;

	AUTO_RES res = res_new(ctx, res_id);
	if (!res)
		return -ENOMEM;
	res->kind = blob->kind == VENUS_BLOB_DMABUF ? VENUS_BLOB_DMABUF : VENUS_BLOB_MEMORY;
	res->size = blob->size;
	res->offset = blob->offset;
	res->fd = fcntl(blob->fd, F_DUPFD_CLOEXEC, 0);
	if (res->fd < 0)
		return -errno;
	r = res_insert(ctx, res);
	if (r < 0)
		return r;
	(void)take(&res);
	return 0;
}

int venus_ctx_unref_resource(struct venus_ctx *ctx, uint32_t res_id)
{
	mutex_lock(&ctx->res_lock);
	struct venus_res *res = find_locked(ctx, res_id);
	if (res) {
		list_del(&res->node);
		ctx->res_count--;
	}
	mutex_unlock(&ctx->res_lock);
	venus_res_put(res);
	return res ? 0 : -ENOENT;
}

void venus_res_fini_all(struct venus_ctx *ctx)
{
	for (uint32_t i = 0; i < VENUS_RES_BUCKETS; i++) {
		list_for_each_safe(it, &ctx->res[i])
		{
			list_del(it);
			venus_res_put(container_of(it, struct venus_res, node));
		}
	}
	ctx->res_count = 0;
}
