/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What single Vulkan calls cost: one JSON line for each figure.  bench/calls.py runs it natively
 * and remotely in turns and prints ratios.
 *
 * usage: venus_calls [NAME...]
 */
#include <string.h>

#include "vk.h"

#include "variant_comp.h"

#define HOST_COHERENT (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define LONG_NS       (UINT64_C(120) * 1000 * 1000 * 1000)

static void report(const char *name, double value, const char *unit)
{
	printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", name, value, unit);
	fflush(stdout);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Sorts; reports the median and the slowest hundredth in microseconds. */
static void report_times(const char *name, uint64_t *ns, size_t n)
{
	char tail[64];

	qsort(ns, n, sizeof(*ns), compare_u64);
	size_t median = n / 2;
	size_t p99 = n - 1 - n / 100;

	report(name, (double)ns[median] / 1e3, "us");
	snprintf(tail, sizeof(tail), "%s_p99", name);
	report(tail, (double)ns[p99] / 1e3, "us");
}

/* A pipeline that does next to nothing, with the descriptor that it wants. */
struct rig {
	struct vkc_compute p;
	struct vkc_buf data;
};

static void rig_create(struct vkc *c, struct rig *r)
{
	vkc_compute_create(c, &r->p, VKC_SHADER(c, variant_comp), 1, 4, NULL);
	vkc_buf_create(c, &r->data, 4096, HOST_COHERENT);
	vkc_compute_bind(c, &r->p, 0, &r->data);
}

static void rig_destroy(struct vkc *c, struct rig *r)
{
	vkc_compute_destroy(c, &r->p);
	vkc_buf_destroy(c, &r->data);
}

/* What llama.cpp records for each operation: bind, bind, push, dispatch, barrier. */
static const char *bench_record(struct vkc *c)
{
	enum { OPS = 20000, CALLS = 5 };
	uint64_t recorded = 0, done = 0;
	struct rig r;

	rig_create(c, &r);
	for (int round = 0; round < 2; round++) { /* the first warms up */
		uint64_t start = vkc_now_ns();
		VkCommandBuffer cmd = vkc_cmd_begin(c);
		for (uint32_t i = 0; i < OPS; i++) {
			c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, r.p.pipeline);
			c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, r.p.layout, 0,
						 1, &r.p.set, 0, NULL);
			c->CmdPushConstants(cmd, r.p.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 4, &i);
			c->CmdDispatch(cmd, 0, 1, 1);
			vkc_barrier(c, cmd);
		}
		recorded = vkc_now_ns() - start;
		vkc_cmd_run(c, cmd);
		done = vkc_now_ns() - start;
	}
	report("record", CALLS * OPS / ((double)recorded / 1e9), "calls/s");
	report("record_and_run", CALLS * OPS / ((double)done / 1e9), "calls/s");
	rig_destroy(c, &r);
	return NULL;
}

static VkCommandBuffer tiny_cmd(struct vkc *c, const struct rig *r)
{
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = c->pool,
		.commandBufferCount = 1,
	};
	VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
	VkCommandBuffer cmd;

	VK(c->AllocateCommandBuffers(c->dev, &alloc, &cmd));
	VK(c->BeginCommandBuffer(cmd, &begin));
	c->CmdFillBuffer(cmd, r->data.buf, 0, 4, 1);
	VK(c->EndCommandBuffer(cmd));
	return cmd;
}

static const char *bench_submit(struct vkc *c)
{
	enum { N = 1000 };
	uint64_t *ns = calloc(N, sizeof(*ns));
	VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	VkSubmitInfo submit = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
	};
	VkFence fence;
	struct rig r;

	REQUIRE(ns);
	rig_create(c, &r);
	VkCommandBuffer cmd = tiny_cmd(c, &r);
	submit.pCommandBuffers = &cmd;
	VK(c->CreateFence(c->dev, &info, NULL, &fence));
	for (int poll = 0; poll < 2; poll++) {
		for (size_t i = 0; i < N; i++) {
			uint64_t start = vkc_now_ns();
			VK(c->QueueSubmit(c->queue, 1, &submit, fence));
			if (poll) {
				while (c->GetFenceStatus(c->dev, fence) == VK_NOT_READY)
					;
			} else {
				VK(c->WaitForFences(c->dev, 1, &fence, VK_TRUE, LONG_NS));
			}
			ns[i] = vkc_now_ns() - start;
			VK(c->ResetFences(c->dev, 1, &fence));
		}
		report_times(poll ? "submit_poll" : "submit_wait", ns, N);
	}
	c->DestroyFence(c->dev, fence, NULL);
	rig_destroy(c, &r);
	free(ns);
	return NULL;
}

static const char *bench_timeline(struct vkc *c)
{
	enum { N = 1000 };
	uint64_t *ns = calloc(N, sizeof(*ns));
	VkSemaphoreTypeCreateInfo type = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
		.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
	};
	VkSemaphoreCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
				       .pNext = &type };
	VkSemaphore sem;
	struct rig r;

	REQUIRE(ns);
	rig_create(c, &r);
	VkCommandBuffer cmd = tiny_cmd(c, &r);
	VK(c->CreateSemaphore(c->dev, &info, NULL, &sem));
	for (uint64_t i = 0; i < N; i++) {
		uint64_t value = i + 1;
		VkTimelineSemaphoreSubmitInfo values = {
			.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
			.signalSemaphoreValueCount = 1,
			.pSignalSemaphoreValues = &value,
		};
		VkSubmitInfo submit = {
			.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
			.pNext = &values,
			.commandBufferCount = 1,
			.pCommandBuffers = &cmd,
			.signalSemaphoreCount = 1,
			.pSignalSemaphores = &sem,
		};
		VkSemaphoreWaitInfo wait = {
			.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
			.semaphoreCount = 1,
			.pSemaphores = &sem,
			.pValues = &value,
		};
		uint64_t start = vkc_now_ns();
		VK(c->QueueSubmit(c->queue, 1, &submit, VK_NULL_HANDLE));
		VK(c->WaitSemaphores(c->dev, &wait, LONG_NS));
		ns[i] = vkc_now_ns() - start;
	}
	report_times("timeline_wait", ns, N);
	VK(c->QueueWaitIdle(c->queue));
	c->DestroySemaphore(c->dev, sem, NULL);
	rig_destroy(c, &r);
	free(ns);
	return NULL;
}

/* A call that must be answered by the driver each time. */
static const char *bench_round_trip(struct vkc *c)
{
	enum { N = 2000 };
	uint64_t *ns = calloc(N, sizeof(*ns));
	VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO };
	VkPipelineCache cache;

	REQUIRE(ns);
	VK(c->CreatePipelineCache(c->dev, &info, NULL, &cache));
	for (size_t i = 0; i < N; i++) {
		size_t size = 0;
		uint64_t start = vkc_now_ns();
		VK(c->GetPipelineCacheData(c->dev, cache, &size, NULL));
		ns[i] = vkc_now_ns() - start;
	}
	report_times("round_trip", ns, N);
	c->DestroyPipelineCache(c->dev, cache, NULL);
	free(ns);
	return NULL;
}

static void alloc_times(struct vkc *c, const char *name, VkDeviceSize size, size_t n)
{
	uint64_t *ns = calloc(n, sizeof(*ns));
	uint32_t type = vkc_mem_type(c, ~UINT32_C(0), HOST_COHERENT);
	VkMemoryAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = size,
		.memoryTypeIndex = type,
	};

	REQUIRE(ns && type != UINT32_MAX);
	for (size_t i = 0; i < n; i++) {
		VkDeviceMemory mem;
		void *map;
		uint64_t start = vkc_now_ns();
		VK(c->AllocateMemory(c->dev, &info, NULL, &mem));
		VK(c->MapMemory(c->dev, mem, 0, VK_WHOLE_SIZE, 0, &map));
		memset(map, 1, 1);
		c->UnmapMemory(c->dev, mem);
		c->FreeMemory(c->dev, mem, NULL);
		ns[i] = vkc_now_ns() - start;
	}
	report_times(name, ns, n);
	free(ns);
}

static const char *bench_alloc(struct vkc *c)
{
	alloc_times(c, "alloc_map_free_64k", 65536, 500);
	alloc_times(c, "alloc_map_free_64m", UINT64_C(64) << 20, 50);
	return NULL;
}

static const char *bench_bandwidth(struct vkc *c)
{
	enum { BYTES = 128 << 20, ROUNDS = 4 };
	uint64_t best_write = UINT64_MAX, best_read = UINT64_MAX;
	char *own = malloc(BYTES);
	struct vkc_buf b;

	REQUIRE(own);
	memset(own, 3, BYTES);
	vkc_buf_create(c, &b, BYTES, HOST_COHERENT);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t0 = vkc_now_ns();
		memcpy(b.map, own, BYTES);
		uint64_t t1 = vkc_now_ns();
		memcpy(own, b.map, BYTES);
		uint64_t t2 = vkc_now_ns();
		best_write = t1 - t0 < best_write ? t1 - t0 : best_write;
		best_read = t2 - t1 < best_read ? t2 - t1 : best_read;
	}
	report("map_write", (double)BYTES / (double)best_write, "GB/s");
	report("map_read", (double)BYTES / (double)best_read, "GB/s");
	vkc_buf_destroy(c, &b);
	free(own);
	return NULL;
}

/* Start-up of a program with many pipelines, until the device has done something with one. */
static const char *bench_pipelines(struct vkc *c)
{
	enum { N = 1000 };
	VkPipeline *pipelines = calloc(N, sizeof(VkPipeline));
	struct rig r;

	REQUIRE(pipelines);
	rig_create(c, &r);
	uint64_t start = vkc_now_ns();
	for (uint32_t i = 0; i < N; i++) {
		VkSpecializationMapEntry entry = { 0, 0, sizeof(i) };
		VkSpecializationInfo spec = { 1, &entry, sizeof(i), &i };
		VkComputePipelineCreateInfo info = {
			.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
			.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
				   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
				   .module = r.p.module,
				   .pName = "main",
				   .pSpecializationInfo = &spec },
			.layout = r.p.layout,
		};
		VK(c->CreateComputePipelines(c->dev, VK_NULL_HANDLE, 1, &info, NULL,
					     &pipelines[i]));
	}
	uint32_t words = 1;
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipelines[N - 1]);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, r.p.layout, 0, 1, &r.p.set, 0,
				 NULL);
	c->CmdPushConstants(cmd, r.p.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 4, &words);
	c->CmdDispatch(cmd, 1, 1, 1);
	vkc_cmd_run(c, cmd);
	report("pipelines_1000", (double)(vkc_now_ns() - start) / 1e9, "s");
	for (uint32_t i = 0; i < N; i++)
		c->DestroyPipeline(c->dev, pipelines[i], NULL);
	free(pipelines);
	rig_destroy(c, &r);
	return NULL;
}

static const struct vkc_case benches[] = {
	{ "round_trip", bench_round_trip }, { "record", bench_record },
	{ "submit", bench_submit },         { "timeline", bench_timeline },
	{ "alloc", bench_alloc },           { "bandwidth", bench_bandwidth },
	{ "pipelines", bench_pipelines },
};

int main(int argc, char **argv)
{
	return vkc_main(argc, argv, false, benches, ARRAY_LEN(benches));
}
