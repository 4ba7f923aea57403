/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multi-threaded client: threads build pipelines at once (each thread of a Venus guest has a ring
 * of its own for that), then record and submit at once, each with a checked result.
 *
 * usage: gpu_threads [THREADS [PIPELINES [ROUNDS]]]
 */
#include <pthread.h>

#include "vk.h"

#include "variant_comp.h"

#define HOST_COHERENT (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define MAX_THREADS   64
#define MAX_PIPELINES 100000
#define WORDS         4096
#define LONG_NS       (UINT64_C(120) * 1000 * 1000 * 1000)

struct shared {
	struct vkc c;
	struct vkc_compute base; /* layout and module for all */
	VkPipeline *pipelines;
	uint32_t threads, pipeline_count, rounds;
	pthread_mutex_t queue_lock; /* Vulkan wants submissions to one queue serialised */
};

struct worker {
	struct shared *s;
	uint32_t index;
	pthread_t thread;
};

static VkPipeline variant(struct shared *s, uint32_t which)
{
	struct vkc *c = &s->c;
	VkSpecializationMapEntry entry = { 0, 0, sizeof(which) };
	VkSpecializationInfo spec = { 1, &entry, sizeof(which), &which };
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
			   .module = s->base.module,
			   .pName = "main",
			   .pSpecializationInfo = &spec },
		.layout = s->base.layout,
	};
	VkPipeline p;

	VK(c->CreateComputePipelines(c->dev, VK_NULL_HANDLE, 1, &info, NULL, &p));
	return p;
}

static void *build(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;

	for (uint32_t i = w->index; i < s->pipeline_count; i += s->threads)
		s->pipelines[i] = variant(s, i);
	return NULL;
}

static VkDescriptorSet own_set(struct shared *s, VkDescriptorPool *pool, const struct vkc_buf *b)
{
	struct vkc *c = &s->c;
	VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1 };
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = 1,
		.pPoolSizes = &size,
	};
	VkDescriptorBufferInfo buf = { b->buf, 0, VK_WHOLE_SIZE };
	VkDescriptorSet set;

	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, pool));
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = *pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &s->base.set_layout,
	};
	VK(c->AllocateDescriptorSets(c->dev, &alloc, &set));
	VkWriteDescriptorSet write = {
		.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = set,
		.descriptorCount = 1,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = &buf,
	};
	c->UpdateDescriptorSets(c->dev, 1, &write, 0, NULL);
	return set;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;
	struct vkc *c = &s->c;
	VkCommandPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.queueFamilyIndex = c->family,
	};
	VkFenceCreateInfo fence_info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
	};
	VkDescriptorPool set_pool;
	VkCommandPool pool;
	VkCommandBuffer cmd;
	VkFence fence;
	struct vkc_buf b;
	uint32_t words = WORDS;

	vkc_buf_create(c, &b, WORDS * sizeof(uint32_t), HOST_COHERENT);
	VkDescriptorSet set = own_set(s, &set_pool, &b);
	VK(c->CreateFence(c->dev, &fence_info, NULL, &fence));
	VK(c->CreateCommandPool(c->dev, &pool_info, NULL, &pool));
	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = pool,
		.commandBufferCount = 1,
	};
	VK(c->AllocateCommandBuffers(c->dev, &alloc, &cmd));

	uint32_t *v = b.map, seed = w->index + 1;
	for (uint32_t r = 0; r < s->rounds; r++) {
		uint32_t first = seed, want = seed;
		for (uint32_t i = 0; i < WORDS; i++)
			v[i] = first + i;

		VK(c->ResetCommandPool(c->dev, pool, 0));
		VK(c->BeginCommandBuffer(cmd, &begin));
		c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, s->base.layout, 0, 1,
					 &set, 0, NULL);
		c->CmdPushConstants(cmd, s->base.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
				    sizeof(words), &words);
		for (uint32_t k = 0; k < 4; k++) {
			seed = seed * 1664525u + 1013904223u;
			uint32_t which = (seed >> 8) % s->pipeline_count;
			c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE,
					   s->pipelines[which]);
			c->CmdDispatch(cmd, (WORDS + 63) / 64, 1, 1);
			vkc_barrier(c, cmd);
			want = want * (2u * which + 1u) + which;
		}
		VK(c->EndCommandBuffer(cmd));
		VkSubmitInfo submit = {
			.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
			.commandBufferCount = 1,
			.pCommandBuffers = &cmd,
		};
		pthread_mutex_lock(&s->queue_lock);
		VkResult res = c->QueueSubmit(c->queue, 1, &submit, fence);
		pthread_mutex_unlock(&s->queue_lock);
		VK(res);
		VK(c->WaitForFences(c->dev, 1, &fence, VK_TRUE, LONG_NS));
		VK(c->ResetFences(c->dev, 1, &fence));
		REQUIRE(v[0] == want);
	}
	c->DestroyCommandPool(c->dev, pool, NULL);
	c->DestroyFence(c->dev, fence, NULL);
	c->DestroyDescriptorPool(c->dev, set_pool, NULL);
	vkc_buf_destroy(c, &b);
	return NULL;
}

static double on_all(struct shared *s, void *(*fn)(void *))
{
	struct worker w[MAX_THREADS];
	uint64_t start = vkc_now_ns();

	for (uint32_t i = 0; i < s->threads; i++) {
		w[i] = (struct worker){ .s = s, .index = i };
		REQUIRE(pthread_create(&w[i].thread, NULL, fn, &w[i]) == 0);
	}
	for (uint32_t i = 0; i < s->threads; i++)
		pthread_join(w[i].thread, NULL);
	return (double)(vkc_now_ns() - start) / 1e9;
}

static uint32_t number(const char *text, uint32_t max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	REQUIRE(*text && !*end && v >= 1 && v <= max);
	return (uint32_t)v;
}

int main(int argc, char **argv)
{
	struct shared s = { .threads = 4, .pipeline_count = 64, .rounds = 50 };

	if (argc > 1)
		s.threads = number(argv[1], MAX_THREADS);
	if (argc > 2)
		s.pipeline_count = number(argv[2], MAX_PIPELINES);
	if (argc > 3)
		s.rounds = number(argv[3], UINT32_MAX);
	setvbuf(stdout, NULL, _IOLBF, 0);
	vkc_open(&s.c, false);
	pthread_mutex_init(&s.queue_lock, NULL);
	s.pipelines = calloc(s.pipeline_count, sizeof(VkPipeline));
	REQUIRE(s.pipelines);
	vkc_compute_create(&s.c, &s.base, VKC_SHADER(&s.c, variant_comp), 1, 4, NULL);

	printf("# %s, %u threads\n", s.c.props.deviceName, s.threads);
	printf("# %u pipelines: %.3f s\n", s.pipeline_count, on_all(&s, build));
	printf("ok 1 - pipelines\n");
	printf("# %u rounds each: %.3f s\n", s.rounds, on_all(&s, work));
	printf("ok 2 - submissions\n1..2\n");
	for (uint32_t i = 0; i < s.pipeline_count; i++)
		s.c.DestroyPipeline(s.c.dev, s.pipelines[i], NULL);
	free(s.pipelines);
	vkc_compute_destroy(&s.c, &s.base);
	vkc_close(&s.c);
	return 0;
}
