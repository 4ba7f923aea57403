/* SPDX-License-Identifier: Apache-2.0 */
/* A context without Vulkan: see fake_ctx.h. */
#include "vtest/fake_ctx.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "host/shm.h"
#include "host/thread.h"
#include "util/ckd.h"
#include "venus/ctx.h"

#define FAKE_RESOURCES 256U
#define FAKE_FENCES    1024U

struct venus_ctx {
	struct venus_ctx_config cfg;
	_Atomic bool is_fatal;
	uint32_t res[FAKE_RESOURCES];
	struct venus_counters counters; /* lock */

	pthread_t thread; /* retires FAKE_RING_LATER */
	struct mutex lock;
	struct cond cond;
	bool stop;                   /* lock */
	bool ending;                 /* lock */
	uint64_t later[FAKE_FENCES]; /* lock */
	uint32_t later_count;        /* lock */
	uint64_t never[FAKE_FENCES];
	uint32_t never_count;
};

static void *retire_later(void *arg)
{
	struct venus_ctx *ctx = arg;

	mutex_lock(&ctx->lock);
	while (!ctx->ending || ctx->later_count) {
		if (!ctx->later_count) {
			cond_wait(&ctx->cond, &ctx->lock);
			continue;
		}
		uint64_t id = ctx->later[0];
		ctx->later_count--;
		memmove(ctx->later, ctx->later + 1, ctx->later_count * sizeof(ctx->later[0]));
		mutex_unlock(&ctx->lock);
		(void)usleep(1000);
		ctx->cfg.fence_retired(ctx->cfg.user, FAKE_RING_LATER, id);
		mutex_lock(&ctx->lock);
	}
	mutex_unlock(&ctx->lock);
	return NULL;
}

int venus_ctx_create(const struct venus_ctx_config *cfg, struct venus_ctx **out)
{
	struct venus_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	ctx->cfg = *cfg;
	mutex_init(&ctx->lock);
	cond_init(&ctx->cond);
	int r = thread_start(&ctx->thread, "fake", retire_later, ctx);
	if (r < 0) {
		free(ctx);
		return r;
	}
	*out = ctx;
	return 0;
}

static void turn_fatal(struct venus_ctx *ctx)
{
	if (!atomic_exchange(&ctx->is_fatal, true) && ctx->cfg.fatal)
		ctx->cfg.fatal(ctx->cfg.user);
}

void venus_ctx_stop(struct venus_ctx *ctx)
{
	mutex_lock(&ctx->lock);
	ctx->stop = true;
	cond_broadcast(&ctx->cond);
	mutex_unlock(&ctx->lock);
	turn_fatal(ctx);
}

int venus_ctx_destroy(struct venus_ctx *ctx)
{
	if (!ctx)
		return 0;
	mutex_lock(&ctx->lock);
	ctx->ending = true;
	cond_broadcast(&ctx->cond);
	mutex_unlock(&ctx->lock);
	(void)pthread_join(ctx->thread, NULL);
	for (uint32_t i = 0; i < ctx->never_count; i++)
		ctx->cfg.fence_retired(ctx->cfg.user, FAKE_RING_NEVER, ctx->never[i]);
	cond_fini(&ctx->cond);
	mutex_fini(&ctx->lock);
	free(ctx);
	return 0;
}

bool venus_ctx_is_fatal(const struct venus_ctx *ctx)
{
	return atomic_load(&ctx->is_fatal);
}

int venus_ctx_submit(struct venus_ctx *ctx, const void *bytes, size_t len)
{
	uint32_t first;

	if (atomic_load(&ctx->is_fatal))
		return -EPROTO;
	memcpy(&first, bytes, sizeof(first));
	mutex_lock(&ctx->lock);
	ctx->counters.commands++;
	ctx->counters.bytes += len;
	mutex_unlock(&ctx->lock);
	if (first == FAKE_FATAL) {
		turn_fatal(ctx);
		return -EPROTO;
	}
	while (first == FAKE_HANG)
		(void)usleep(1000000);
	if (first == FAKE_BLOCK) {
		mutex_lock(&ctx->lock);
		while (!ctx->stop)
			cond_wait(&ctx->cond, &ctx->lock);
		mutex_unlock(&ctx->lock);
	}
	return 0;
}

int venus_ctx_create_blob(struct venus_ctx *ctx, uint32_t res_id, uint32_t mem, uint32_t flags,
			  uint64_t blob_id, uint64_t size, struct venus_blob *out)
{
	uint64_t aligned;
	uint32_t at = FAKE_RESOURCES;

	if (mem != VENUS_BLOB_MEM_HOST3D || size == 0 || size > FAKE_MAX_BLOB || flags > 7 ||
	    align_up_ckd(&aligned, size, shm_page_size()))
		return -EINVAL;
	if (blob_id >= FAKE_BLOB_MISSING && blob_id != FAKE_BLOB_LIMIT)
		return -ENOENT;
	for (uint32_t i = 0; i < FAKE_RESOURCES; i++) {
		if (ctx->res[i] == res_id)
			return -EEXIST;
		if (ctx->res[i] == 0)
			at = i;
	}
	if (at == FAKE_RESOURCES || blob_id == FAKE_BLOB_LIMIT)
		return -ENOMEM;

	int fd;
	int r = shm_create("fake", aligned, &fd);
	if (r < 0)
		return r;
	ctx->res[at] = res_id;
	*out = (struct venus_blob){
		.kind = VENUS_BLOB_SHM, .fd = fd, .size = aligned, .map_info = VENUS_MAP_CACHED
	};
	return 0;
}

int venus_ctx_import_resource(struct venus_ctx *ctx, uint32_t res_id, const struct venus_blob *blob)
{
	uint32_t at = FAKE_RESOURCES;

	if (res_id == 0 || blob->size == 0)
		return -EINVAL;
	for (uint32_t i = 0; i < FAKE_RESOURCES; i++) {
		if (ctx->res[i] == res_id)
			return -EEXIST;
		if (ctx->res[i] == 0)
			at = i;
	}
	if (at == FAKE_RESOURCES)
		return -ENOMEM;
	ctx->res[at] = res_id;
	return 0;
}

int venus_ctx_unref_resource(struct venus_ctx *ctx, uint32_t res_id)
{
	for (uint32_t i = 0; res_id && i < FAKE_RESOURCES; i++) {
		if (ctx->res[i] == res_id) {
			ctx->res[i] = 0;
			return 0;
		}
	}
	return -ENOENT;
}

int venus_ctx_fence(struct venus_ctx *ctx, uint32_t ring_idx, uint64_t fence_id)
{
	int r = 0;

	switch (ring_idx) {
	case VENUS_CPU_TIMELINE:
		ctx->cfg.fence_retired(ctx->cfg.user, ring_idx, fence_id);
		break;
	case FAKE_RING_LATER:
		mutex_lock(&ctx->lock);
		if (ctx->later_count < FAKE_FENCES)
			ctx->later[ctx->later_count++] = fence_id;
		else
			r = -ENOMEM;
		cond_signal(&ctx->cond);
		mutex_unlock(&ctx->lock);
		break;
	case FAKE_RING_NEVER:
		if (ctx->never_count >= FAKE_FENCES)
			return -ENOMEM;
		ctx->never[ctx->never_count++] = fence_id;
		break;
	default:
		return -EINVAL;
	}
	mutex_lock(&ctx->lock);
	ctx->counters.fences += r == 0;
	mutex_unlock(&ctx->lock);
	return r;
}

void venus_capset_fill(uint8_t out[VENUS_CAPSET_SIZE])
{
	for (uint32_t i = 0; i < VENUS_CAPSET_SIZE; i++)
		out[i] = (uint8_t)i;
}

void venus_ctx_counters(struct venus_ctx *ctx, struct venus_counters *out)
{
	mutex_lock(&ctx->lock);
	*out = ctx->counters;
	mutex_unlock(&ctx->lock);
}
