/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stress client: makes and drops everything again and again, so that a renderer which leaks or
 * mixes up objects shows it.  PECTEN_ROUNDS scales the work (default 1).
 */
#include <string.h>

#include "vk.h"

#include "color_frag.h"
#include "step_comp.h"

#define HOST_COHERENT (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define LONG_NS       (UINT64_C(60) * 1000 * 1000 * 1000)

static uint32_t rounds(uint32_t n)
{
	const char *text = getenv("PECTEN_ROUNDS");
	unsigned long scale = text ? strtoul(text, NULL, 10) : 1;

	return (uint32_t)(scale ? scale : 1) * n;
}

/* Many live allocations at once, mapped, then freed in another order than made. */
static const char *case_memory(struct vkc *c)
{
	enum { LIVE = 256 };
	struct vkc_buf *b = calloc(LIVE, sizeof(*b));
	uint32_t seed = 1;

	REQUIRE(b);

	for (uint32_t r = 0; r < rounds(2000); r++) {
		seed = seed * 1664525u + 1013904223u;
		struct vkc_buf *slot = &b[(seed >> 8) % LIVE];
		if (slot->buf) {
			uint32_t *v = slot->map;
			REQUIRE(v[0] == (uint32_t)slot->size);
			REQUIRE(v[slot->size / 4 - 1] == (uint32_t)slot->size);
			vkc_buf_destroy(c, slot);
		}
		VkDeviceSize size = UINT64_C(4096) << ((seed >> 20) % 6);
		vkc_buf_create(c, slot, size, HOST_COHERENT);
		uint32_t *v = slot->map;
		v[0] = v[size / 4 - 1] = (uint32_t)size;
	}
	for (uint32_t i = 0; i < LIVE; i++)
		if (b[i].buf)
			vkc_buf_destroy(c, &b[i]);
	free(b);
	return NULL;
}

static const char *case_big_memory(struct vkc *c)
{
	for (uint32_t r = 0; r < rounds(4); r++) {
		struct vkc_buf b;
		vkc_buf_create(c, &b, UINT64_C(256) << 20, HOST_COHERENT);
		memset(b.map, (int)r, UINT64_C(64) << 20);
		vkc_buf_destroy(c, &b);
	}
	return NULL;
}

/* A submission with a fence of its own each time, some never waited for until the end. */
static const char *case_fences(struct vkc *c)
{
	enum { BATCH = 16 };
	VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };

	for (uint32_t r = 0; r < rounds(50); r++) {
		VkFence f[BATCH];
		for (uint32_t i = 0; i < BATCH; i++) {
			VK(c->CreateFence(c->dev, &info, NULL, &f[i]));
			VK(c->QueueSubmit(c->queue, 0, NULL, f[i]));
		}
		if (r & 1)
			VK(c->WaitForFences(c->dev, BATCH, f, VK_TRUE, LONG_NS));
		else
			VK(c->QueueWaitIdle(c->queue));
		for (uint32_t i = 0; i < BATCH; i++)
			c->DestroyFence(c->dev, f[i], NULL);
	}
	return NULL;
}

/* One large command buffer, larger than any ring. */
static const char *case_long_commands(struct vkc *c)
{
	struct vkc_buf b;
	uint32_t n = rounds(30000);

	vkc_buf_create(c, &b, 65536, HOST_COHERENT);
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t words[16] = { i };
		c->CmdUpdateBuffer(cmd, b.buf, (i % 1024) * 64, sizeof(words), words);
		vkc_barrier(c, cmd);
	}
	vkc_cmd_run(c, cmd);
	const uint32_t *v = b.map;
	for (uint32_t i = n > 1024 ? n - 1024 : 0; i < n; i++)
		REQUIRE(v[(i % 1024) * 16] == i);
	vkc_buf_destroy(c, &b);
	return NULL;
}

/* Creates and destroys one object of each kind; NAME is the Vulkan suffix. */
#define ONE(NAME, TYPE, INFO)                                                                      \
	do {                                                                                       \
		TYPE one_object;                                                                   \
		VK(c->Create##NAME(c->dev, INFO, NULL, &one_object));                              \
		c->Destroy##NAME(c->dev, one_object, NULL);                                        \
	} while (0)

static const char *case_objects(struct vkc *c)
{
	VkBufferCreateInfo buffer = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
				      .size = 4096,
				      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT };
	VkImageCreateInfo image = { .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
				    .imageType = VK_IMAGE_TYPE_3D,
				    .format = VK_FORMAT_R8G8B8A8_UNORM,
				    .extent = { 16, 16, 4 },
				    .mipLevels = 1,
				    .arrayLayers = 1,
				    .samples = VK_SAMPLE_COUNT_1_BIT,
				    .usage = VK_IMAGE_USAGE_SAMPLED_BIT };
	VkSamplerCreateInfo sampler = { .sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO };
	VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	VkSemaphoreCreateInfo sem = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO };
	VkSemaphoreTypeCreateInfo type = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
					   .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE };
	VkSemaphoreCreateInfo timeline = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
					   .pNext = &type };
	VkEventCreateInfo event = { .sType = VK_STRUCTURE_TYPE_EVENT_CREATE_INFO };
	VkQueryPoolCreateInfo query = { .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
					.queryType = VK_QUERY_TYPE_TIMESTAMP,
					.queryCount = 8 };
	VkPipelineCacheCreateInfo cache = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO };
	VkShaderModuleCreateInfo shader = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
					    .codeSize = sizeof(color_frag),
					    .pCode = color_frag };
	VkDescriptorSetLayoutBinding binding = { 0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 4,
						 VK_SHADER_STAGE_COMPUTE_BIT, NULL };
	VkDescriptorSetLayoutCreateInfo set = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = 1,
		.pBindings = &binding,
	};
	VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 4 };
	VkDescriptorPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
					    .maxSets = 1,
					    .poolSizeCount = 1,
					    .pPoolSizes = &size };
	VkPipelineLayoutCreateInfo layout = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO
	};
	VkCommandPoolCreateInfo commands = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
					     .queueFamilyIndex = c->family };
	VkSubpassDescription subpass = { .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS };
	VkRenderPassCreateInfo pass = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
					.subpassCount = 1,
					.pSubpasses = &subpass };
	VkSamplerYcbcrConversionCreateInfo ycbcr = {
		.sType = VK_STRUCTURE_TYPE_SAMPLER_YCBCR_CONVERSION_CREATE_INFO,
		.format = VK_FORMAT_G8_B8R8_2PLANE_420_UNORM,
		.ycbcrModel = VK_SAMPLER_YCBCR_MODEL_CONVERSION_YCBCR_601,
	};
	VkPrivateDataSlotCreateInfo slot = {
		.sType = VK_STRUCTURE_TYPE_PRIVATE_DATA_SLOT_CREATE_INFO
	};

	for (uint32_t r = 0; r < rounds(200); r++) {
		ONE(Buffer, VkBuffer, &buffer);
		ONE(Image, VkImage, &image);
		ONE(Sampler, VkSampler, &sampler);
		ONE(Fence, VkFence, &fence);
		ONE(Semaphore, VkSemaphore, &sem);
		if (c->f12.timelineSemaphore)
			ONE(Semaphore, VkSemaphore, &timeline);
		ONE(Event, VkEvent, &event);
		ONE(QueryPool, VkQueryPool, &query);
		ONE(PipelineCache, VkPipelineCache, &cache);
		ONE(ShaderModule, VkShaderModule, &shader);
		ONE(DescriptorSetLayout, VkDescriptorSetLayout, &set);
		ONE(DescriptorPool, VkDescriptorPool, &pool);
		ONE(PipelineLayout, VkPipelineLayout, &layout);
		ONE(CommandPool, VkCommandPool, &commands);
		if (c->queue_props.queueFlags & VK_QUEUE_GRAPHICS_BIT)
			ONE(RenderPass, VkRenderPass, &pass);
		if (c->f11.samplerYcbcrConversion)
			ONE(SamplerYcbcrConversion, VkSamplerYcbcrConversion, &ycbcr);
		if (c->f13.privateData)
			ONE(PrivateDataSlot, VkPrivateDataSlot, &slot);
	}
	return NULL;
}

static const char *case_pipelines(struct vkc *c)
{
	for (uint32_t r = 0; r < rounds(20); r++) {
		struct vkc_compute p;
		vkc_compute_create(c, &p, VKC_SHADER(c, step_comp), 2, 8, NULL);
		vkc_compute_destroy(c, &p);
	}
	return NULL;
}

/* Whole devices beside the one in use. */
static const char *case_devices(struct vkc *c)
{
	(void)c;
	for (uint32_t r = 0; r < rounds(5); r++) {
		struct vkc other = { 0 };
		struct vkc_buf b;
		vkc_open(&other, false);
		vkc_buf_create(&other, &b, 4096, HOST_COHERENT);
		vkc_buf_destroy(&other, &b);
		vkc_close(&other);
	}
	return NULL;
}

static const struct vkc_case cases[] = {
	{ "memory", case_memory },   { "big_memory", case_big_memory },
	{ "fences", case_fences },   { "long_commands", case_long_commands },
	{ "objects", case_objects }, { "pipelines", case_pipelines },
	{ "devices", case_devices },
};

int main(int argc, char **argv)
{
	return vkc_main(argc, argv, false, cases, ARRAY_LEN(cases));
}
