/* SPDX-License-Identifier: Apache-2.0 */
/* Compute client: pipelines, constants, barriers, what shaders can do. */
#include <math.h>
#include <string.h>

#include "compute.h"

#include "address_comp.h"
#include "group_comp.h"
#include "halves_comp.h"
#include "narrow_comp.h"
#include "saxpy_comp.h"
#include "step_comp.h"

#define N 5000 /* not a multiple of any workgroup */

struct pair {
	struct vkc_buf x, y;
};

static void pair_create(struct vkc *c, struct pair *p)
{
	vkc_buf_create(c, &p->x, N * sizeof(uint32_t), HOST_COHERENT);
	vkc_buf_create(c, &p->y, N * sizeof(uint32_t), HOST_COHERENT);

	uint32_t *x = p->x.map, *y = p->y.map;
	for (uint32_t i = 0; i < N; i++) {
		x[i] = i * 2654435761u;
		y[i] = i + 1;
	}
}

static void pair_destroy(struct vkc *c, struct pair *p)
{
	vkc_buf_destroy(c, &p->x);
	vkc_buf_destroy(c, &p->y);
}

static void dispatch(struct vkc *c, VkCommandBuffer cmd, const struct vkc_compute *p,
		     const uint32_t *push, uint32_t words, uint32_t groups)
{
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p->pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p->layout, 0, 1, &p->set, 0,
				 NULL);
	c->CmdPushConstants(cmd, p->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
			    words * (uint32_t)sizeof(uint32_t), push);
	c->CmdDispatch(cmd, groups, 1, 1);
}

struct saxpy_spec {
	uint32_t local_size, bias;
	VkBool32 negate;
};

static void saxpy_once(struct vkc *c, struct saxpy_spec spec, uint32_t a)
{
	static const VkSpecializationMapEntry entries[] = {
		{ 0, offsetof(struct saxpy_spec, local_size), sizeof(uint32_t) },
		{ 1, offsetof(struct saxpy_spec, bias), sizeof(uint32_t) },
		{ 2, offsetof(struct saxpy_spec, negate), sizeof(VkBool32) },
	};
	VkSpecializationInfo info = { ARRAY_LEN(entries), entries, sizeof(spec), &spec };
	struct vkc_compute p;
	struct pair b;

	pair_create(c, &b);
	vkc_compute_create(c, &p, VKC_SHADER(c, saxpy_comp), 2, 8, &info);
	vkc_compute_bind(c, &p, 0, &b.x);
	vkc_compute_bind(c, &p, 1, &b.y);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	uint32_t push[] = { N - 1, a };
	dispatch(c, cmd, &p, push, 2, (N + spec.local_size - 1) / spec.local_size);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint32_t *x = b.x.map, *y = b.y.map;
	for (uint32_t i = 0; i < N - 1; i++) {
		uint32_t want = a * x[i] + (i + 1) + spec.bias;
		REQUIRE(y[i] == (spec.negate ? ~want : want));
	}
	REQUIRE(y[N - 1] == N); /* past the count given as push constant */
	vkc_compute_destroy(c, &p);
	pair_destroy(c, &b);
}

const char *case_saxpy(struct vkc *c)
{
	saxpy_once(c, (struct saxpy_spec){ 64, 0, VK_FALSE }, 7);
	return NULL;
}

const char *case_specialisation(struct vkc *c)
{
	for (uint32_t size = 1; size <= 128; size *= 4)
		saxpy_once(c, (struct saxpy_spec){ size, size * 3, size & 4 ? VK_TRUE : VK_FALSE },
			   size + 2);
	return NULL;
}

#define CHAIN_STEPS 100

/* What CHAIN_STEPS steps of step.comp leave in the first buffer. */
static void chain_reference(uint32_t *a)
{
	uint32_t *b = calloc(N, sizeof(*b));

	REQUIRE(b);
	for (uint32_t s = 0; s < CHAIN_STEPS; s++) {
		uint32_t *src = s & 1 ? b : a, *dst = s & 1 ? a : b;
		for (uint32_t i = 0; i < N; i++)
			dst[i] = src[i] * 3u + src[(i + s + 1) % N];
	}
	free(b);
}

static void chain(struct vkc *c, bool use_sync2)
{
	struct vkc_compute p[2];
	struct pair b;
	uint32_t *want = calloc(N, sizeof(*want));

	REQUIRE(want);
	pair_create(c, &b);
	memcpy(want, b.x.map, N * sizeof(*want));
	chain_reference(want);
	for (uint32_t i = 0; i < 2; i++) {
		vkc_compute_create(c, &p[i], VKC_SHADER(c, step_comp), 2, 8, NULL);
		vkc_compute_bind(c, &p[i], i, &b.x);
		vkc_compute_bind(c, &p[i], 1 - i, &b.y);
	}

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	for (uint32_t s = 0; s < CHAIN_STEPS; s++) {
		uint32_t push[] = { N, s + 1 };
		dispatch(c, cmd, &p[s & 1], push, 2, (N + 63) / 64);
		VkBufferMemoryBarrier2 barrier = {
			.sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER_2,
			.srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
			.srcAccessMask = VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT,
			.dstStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT |
					VK_PIPELINE_STAGE_2_HOST_BIT,
			.dstAccessMask =
				VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_HOST_READ_BIT,
			.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
			.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
			.buffer = s & 1 ? b.x.buf : b.y.buf,
			.size = VK_WHOLE_SIZE,
		};
		VkDependencyInfo dep = {
			.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
			.bufferMemoryBarrierCount = 1,
			.pBufferMemoryBarriers = &barrier,
		};
		if (use_sync2)
			c->CmdPipelineBarrier2(cmd, &dep);
		else
			vkc_barrier(c, cmd);
	}
	if (use_sync2) {
		VkCommandBufferSubmitInfo buf = {
			.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
			.commandBuffer = cmd,
		};
		VkSubmitInfo2 submit = {
			.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
			.commandBufferInfoCount = 1,
			.pCommandBufferInfos = &buf,
		};
		VK(c->EndCommandBuffer(cmd));
		VK(c->QueueSubmit2(c->queue, 1, &submit, VK_NULL_HANDLE));
		VK(c->QueueWaitIdle(c->queue));
		c->FreeCommandBuffers(c->dev, c->pool, 1, &cmd);
	} else {
		vkc_cmd_run(c, cmd);
	}
	REQUIRE(!memcmp(want, b.x.map, N * sizeof(*want)));
	for (uint32_t i = 0; i < 2; i++)
		vkc_compute_destroy(c, &p[i]);
	pair_destroy(c, &b);
	free(want);
}

const char *case_barrier_chain(struct vkc *c)
{
	chain(c, false);
	return NULL;
}

const char *case_sync2(struct vkc *c)
{
	if (!c->f13.synchronization2)
		return "no synchronization2";
	chain(c, true);
	return NULL;
}

const char *case_indirect(struct vkc *c)
{
	struct vkc_compute p;
	struct vkc_buf args;
	struct pair b;
	uint32_t push[] = { N, 1 };
	VkDispatchIndirectCommand groups = { (N + 63) / 64, 1, 1 };

	pair_create(c, &b);
	vkc_buf_create(c, &args, 256, HOST_COHERENT);
	memcpy((char *)args.map + 64, &groups, sizeof(groups));
	vkc_compute_create(c, &p, VKC_SHADER(c, step_comp), 2, 8, NULL);
	vkc_compute_bind(c, &p, 0, &b.x);
	vkc_compute_bind(c, &p, 1, &b.y);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	dispatch(c, cmd, &p, push, 2, 0); /* none, but leaves everything bound */
	c->CmdDispatchIndirect(cmd, args.buf, 64);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint32_t *x = b.x.map, *y = b.y.map;
	for (uint32_t i = 0; i < N; i++)
		REQUIRE(y[i] == x[i] * 3u + x[(i + 1) % N]);
	vkc_compute_destroy(c, &p);
	vkc_buf_destroy(c, &args);
	pair_destroy(c, &b);
	return NULL;
}

const char *case_secondary(struct vkc *c)
{
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = c->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_SECONDARY,
		.commandBufferCount = 2,
	};
	VkCommandBufferInheritanceInfo inherit = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO,
	};
	VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT,
		.pInheritanceInfo = &inherit,
	};
	VkCommandBuffer sec[2];
	struct vkc_compute p;
	struct pair b;

	pair_create(c, &b);
	vkc_compute_create(c, &p, VKC_SHADER(c, step_comp), 2, 8, NULL);
	vkc_compute_bind(c, &p, 0, &b.x);
	vkc_compute_bind(c, &p, 1, &b.y);
	VK(c->AllocateCommandBuffers(c->dev, &alloc, sec));
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t push[] = { i ? N : N / 2, 1 };
		VK(c->BeginCommandBuffer(sec[i], &begin));
		dispatch(c, sec[i], &p, push, 2, (N + 63) / 64);
		vkc_barrier(c, sec[i]);
		VK(c->EndCommandBuffer(sec[i]));
	}

	VkCommandBuffer order[] = { sec[0], sec[1], sec[1] };
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdExecuteCommands(cmd, ARRAY_LEN(order), order);
	vkc_cmd_run(c, cmd);

	const uint32_t *x = b.x.map, *y = b.y.map;
	for (uint32_t i = 0; i < N; i++)
		REQUIRE(y[i] == x[i] * 3u + x[(i + 1) % N]);
	c->FreeCommandBuffers(c->dev, c->pool, 2, sec);
	vkc_compute_destroy(c, &p);
	pair_destroy(c, &b);
	return NULL;
}

const char *case_subgroup(struct vkc *c)
{
	VkPhysicalDeviceSubgroupProperties sub = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
	};
	VkPhysicalDeviceProperties2 props = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
		.pNext = &sub,
	};
	struct vkc_compute p;
	struct pair b;

	c->GetPhysicalDeviceProperties2(c->phys, &props);
	if (!(sub.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT))
		return "no subgroup arithmetic";
	pair_create(c, &b);
	vkc_compute_create(c, &p, VKC_SHADER(c, group_comp), 2, 0, NULL);
	vkc_compute_bind(c, &p, 0, &b.x);
	vkc_compute_bind(c, &p, 1, &b.y);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p.pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p.layout, 0, 1, &p.set, 0,
				 NULL);
	c->CmdDispatch(cmd, N / 128, 1, 1);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint32_t *x = b.x.map, *y = b.y.map;
	for (uint32_t g = 0; g < N / 128; g++) {
		uint32_t sum = 0;
		for (uint32_t i = 0; i < 128; i++)
			sum += x[g * 128 + i];
		REQUIRE(y[g] == sum);
	}
	vkc_compute_destroy(c, &p);
	pair_destroy(c, &b);
	return NULL;
}

const char *case_narrow(struct vkc *c)
{
	struct vkc_compute p;
	struct pair b;

	if (!c->f12.storageBuffer8BitAccess || !c->f11.storageBuffer16BitAccess ||
	    !c->features.features.shaderInt16)
		return "no 8-bit or 16-bit storage";
	pair_create(c, &b);
	vkc_compute_create(c, &p, VKC_SHADER(c, narrow_comp), 2, 4, NULL);
	vkc_compute_bind(c, &p, 0, &b.x);
	vkc_compute_bind(c, &p, 1, &b.y);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	uint32_t count = 2 * N;
	dispatch(c, cmd, &p, &count, 1, (count + 63) / 64);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint8_t *src = b.x.map;
	const uint16_t *dst = b.y.map;
	for (uint32_t i = 0; i < count; i++)
		REQUIRE(dst[i] == src[i] * 257u);
	vkc_compute_destroy(c, &p);
	pair_destroy(c, &b);
	return NULL;
}

const char *case_halves(struct vkc *c)
{
	struct vkc_compute p;
	struct pair b;

	if (!c->f12.shaderFloat16)
		return "no 16-bit floats";
	pair_create(c, &b);
	vkc_compute_create(c, &p, VKC_SHADER(c, halves_comp), 2, 4, NULL);
	vkc_compute_bind(c, &p, 0, &b.x);
	vkc_compute_bind(c, &p, 1, &b.y);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	uint32_t count = N / 64 * 64;
	dispatch(c, cmd, &p, &count, 1, N / 64);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint32_t *src = b.x.map;
	const float *dst = b.y.map;
	for (uint32_t i = 0; i < count; i++) {
		float x = (float)(src[i] % 64) / 16;
		float other = (float)(src[i / 64 * 64 + 63 - i % 64] % 64) / 16;
		float want = exp2f(other) + powf(other + 1, 2) + log2f(other + 1) + sinf(x) +
			     cosf(x) + x * x + x + fmodf(x, 3);
		REQUIRE(fabsf(dst[i] - want) < 0.02f * want + 0.05f);
	}
	vkc_compute_destroy(c, &p);
	pair_destroy(c, &b);
	return NULL;
}

const char *case_address(struct vkc *c)
{
	struct {
		VkDeviceAddress src, dst;
		uint32_t count, pad;
	} push = { .count = N };
	VkBufferDeviceAddressInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
	};
	struct vkc_compute p;
	struct pair b;

	if (!c->f12.bufferDeviceAddress)
		return "no bufferDeviceAddress";
	pair_create(c, &b);
	info.buffer = b.x.buf;
	push.src = c->GetBufferDeviceAddress(c->dev, &info);
	info.buffer = b.y.buf;
	push.dst = c->GetBufferDeviceAddress(c->dev, &info);
	REQUIRE(push.src && push.dst);
	vkc_compute_create(c, &p, VKC_SHADER(c, address_comp), 1, sizeof(push), NULL);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p.pipeline);
	c->CmdPushConstants(cmd, p.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(push), &push);
	c->CmdDispatch(cmd, (N + 63) / 64, 1, 1);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint32_t *x = b.x.map, *y = b.y.map;
	for (uint32_t i = 0; i < N; i++)
		REQUIRE(y[i] == (x[N - 1 - i] ^ 0xa5a5a5a5u));
	vkc_compute_destroy(c, &p);
	pair_destroy(c, &b);
	return NULL;
}

const char *case_pipeline_cache(struct vkc *c)
{
	VkPipelineCacheCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
	};
	VkPipelineCache cache[2];
	struct vkc_compute p;
	size_t size = 0, got;

	VK(c->CreatePipelineCache(c->dev, &info, NULL, &cache[0]));
	vkc_compute_create(c, &p, VKC_SHADER(c, step_comp), 2, 8, NULL);

	VkPipelineCreationFeedback feedback = { 0 }, stage = { 0 };
	VkPipelineCreationFeedbackCreateInfo feedback_info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO,
		.pPipelineCreationFeedback = &feedback,
		.pipelineStageCreationFeedbackCount = 1,
		.pPipelineStageCreationFeedbacks = &stage,
	};
	VkComputePipelineCreateInfo create = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.pNext = c->api >= VK_API_VERSION_1_3 ? &feedback_info : NULL,
		.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
			   .module = p.module,
			   .pName = "main" },
		.layout = p.layout,
	};
	VkPipeline pipeline;
	VK(c->CreateComputePipelines(c->dev, cache[0], 1, &create, NULL, &pipeline));
	c->DestroyPipeline(c->dev, pipeline, NULL);

	VK(c->GetPipelineCacheData(c->dev, cache[0], &size, NULL));
	REQUIRE(size >= sizeof(VkPipelineCacheHeaderVersionOne));
	char *data = calloc(1, size);
	REQUIRE(data);
	got = size;
	VK(c->GetPipelineCacheData(c->dev, cache[0], &got, data));
	REQUIRE(got <= size);
	VkPipelineCacheHeaderVersionOne head;
	if (got >= sizeof(head)) {
		memcpy(&head, data, sizeof(head));
		REQUIRE(head.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE);
		REQUIRE(head.vendorID == c->props.vendorID && head.deviceID == c->props.deviceID);
		REQUIRE(!memcmp(head.pipelineCacheUUID, c->props.pipelineCacheUUID, VK_UUID_SIZE));
	} else {
		/* lavapipe of Mesa 26.2 announces 32 bytes and writes 20 */
		printf("# pipeline cache: %zu bytes announced, %zu given\n", size, got);
	}
	if (size > 16) {
		got = 16;
		REQUIRE(c->GetPipelineCacheData(c->dev, cache[0], &got, data) == VK_INCOMPLETE);
		got = size;
		VK(c->GetPipelineCacheData(c->dev, cache[0], &got, data));
	}

	info.initialDataSize = got;
	info.pInitialData = data;
	VK(c->CreatePipelineCache(c->dev, &info, NULL, &cache[1]));
	VK(c->MergePipelineCaches(c->dev, cache[1], 1, &cache[0]));
	VK(c->CreateComputePipelines(c->dev, cache[1], 1, &create, NULL, &pipeline));
	c->DestroyPipeline(c->dev, pipeline, NULL);
	c->DestroyPipelineCache(c->dev, cache[0], NULL);
	c->DestroyPipelineCache(c->dev, cache[1], NULL);
	vkc_compute_destroy(c, &p);
	free(data);
	return NULL;
}
