/* SPDX-License-Identifier: Apache-2.0 */
/* Compute client: descriptors of every kind and every way of writing them. */
#include <string.h>

#include "compute.h"

#include "gather_comp.h"
#include "kinds_comp.h"
#include "step_comp.h"

#define N         1000
#define ARRAY     6  /* buffers given */
#define ARRAY_MAX 16 /* buffers announced */

static VkPipeline pipeline_of(struct vkc *c, VkShaderModule module, VkPipelineLayout layout)
{
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
			   .module = module,
			   .pName = "main" },
		.layout = layout,
	};
	VkPipeline p;

	VK(c->CreateComputePipelines(c->dev, VK_NULL_HANDLE, 1, &info, NULL, &p));
	return p;
}

static VkPipelineLayout layout_of(struct vkc *c, VkDescriptorSetLayout set, uint32_t push_bytes)
{
	VkPushConstantRange range = { VK_SHADER_STAGE_COMPUTE_BIT, 0, push_bytes };
	VkPipelineLayoutCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &set,
		.pushConstantRangeCount = push_bytes ? 1 : 0,
		.pPushConstantRanges = &range,
	};
	VkPipelineLayout l;

	VK(c->CreatePipelineLayout(c->dev, &info, NULL, &l));
	return l;
}

const char *case_indexing(struct vkc *c)
{
	VkDescriptorSetLayoutBinding bind[] = {
		{ 0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL },
		{ 1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, ARRAY_MAX, VK_SHADER_STAGE_COMPUTE_BIT,
		  NULL },
	};
	VkDescriptorBindingFlags flags[] = {
		0,
		VK_DESCRIPTOR_BINDING_PARTIALLY_BOUND_BIT |
			VK_DESCRIPTOR_BINDING_UPDATE_AFTER_BIND_BIT |
			VK_DESCRIPTOR_BINDING_VARIABLE_DESCRIPTOR_COUNT_BIT,
	};
	VkDescriptorSetLayoutBindingFlagsCreateInfo flags_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_BINDING_FLAGS_CREATE_INFO,
		.bindingCount = ARRAY_LEN(flags),
		.pBindingFlags = flags,
	};
	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.pNext = &flags_info,
		.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_UPDATE_AFTER_BIND_POOL_BIT,
		.bindingCount = ARRAY_LEN(bind),
		.pBindings = bind,
	};
	VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1 + ARRAY_MAX };
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.flags = VK_DESCRIPTOR_POOL_CREATE_UPDATE_AFTER_BIND_BIT,
		.maxSets = 1,
		.poolSizeCount = 1,
		.pPoolSizes = &size,
	};
	VkDescriptorSetVariableDescriptorCountLayoutSupport room = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_VARIABLE_DESCRIPTOR_COUNT_LAYOUT_SUPPORT,
	};
	VkDescriptorSetLayoutSupport support = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_SUPPORT,
		.pNext = &room,
	};
	VkDescriptorSetLayout set_layout;
	VkDescriptorPool pool;
	struct vkc_buf out, in[ARRAY];

	if (!c->f12.runtimeDescriptorArray || !c->f12.descriptorBindingPartiallyBound ||
	    !c->f12.descriptorBindingStorageBufferUpdateAfterBind ||
	    !c->f12.shaderStorageBufferArrayNonUniformIndexing ||
	    !c->f12.descriptorBindingVariableDescriptorCount)
		return "no descriptor indexing";
	c->GetDescriptorSetLayoutSupport(c->dev, &set_info, &support);
	REQUIRE(support.supported && room.maxVariableDescriptorCount >= ARRAY_MAX);
	VK(c->CreateDescriptorSetLayout(c->dev, &set_info, NULL, &set_layout));
	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, &pool));

	uint32_t variable = ARRAY_MAX - 2;
	VkDescriptorSetVariableDescriptorCountAllocateInfo count_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_VARIABLE_DESCRIPTOR_COUNT_ALLOCATE_INFO,
		.descriptorSetCount = 1,
		.pDescriptorCounts = &variable,
	};
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.pNext = &count_info,
		.descriptorPool = pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &set_layout,
	};
	VkDescriptorSet set;
	VK(c->AllocateDescriptorSets(c->dev, &alloc, &set));

	vkc_buf_create(c, &out, N * sizeof(uint32_t), HOST_COHERENT);
	VkDescriptorBufferInfo infos[1 + ARRAY] = { { out.buf, 0, VK_WHOLE_SIZE } };
	for (uint32_t i = 0; i < ARRAY; i++) {
		vkc_buf_create(c, &in[i], N * sizeof(uint32_t), HOST_COHERENT);
		infos[1 + i] = (VkDescriptorBufferInfo){ in[i].buf, 0, VK_WHOLE_SIZE };
		uint32_t *v = in[i].map;
		for (uint32_t k = 0; k < N; k++)
			v[k] = (i + 1) * 100000 + k;
	}
	VkPipelineLayout layout = layout_of(c, set_layout, 8);
	VkShaderModule module = VKC_SHADER(c, gather_comp);
	VkPipeline pipeline = pipeline_of(c, module, layout);
	uint32_t push[] = { N, ARRAY };

	VkWriteDescriptorSet write[] = {
		{ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		  .dstSet = set,
		  .descriptorCount = 1,
		  .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		  .pBufferInfo = infos },
		{ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		  .dstSet = set,
		  .dstBinding = 1,
		  .descriptorCount = ARRAY,
		  .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		  .pBufferInfo = infos + 1 },
	};
	c->UpdateDescriptorSets(c->dev, 1, write, 0, NULL);
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
	c->CmdPushConstants(cmd, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(push), push);
	c->CmdDispatch(cmd, (N + 63) / 64, 1, 1);
	vkc_barrier(c, cmd);
	c->UpdateDescriptorSets(c->dev, 1, write + 1, 0, NULL); /* after it was bound */
	vkc_cmd_run(c, cmd);

	const uint32_t *v = out.map;
	for (uint32_t k = 0; k < N; k++)
		REQUIRE(v[k] == (k % ARRAY + 1) * 100000 + k);
	c->DestroyPipeline(c->dev, pipeline, NULL);
	c->DestroyShaderModule(c->dev, module, NULL);
	c->DestroyPipelineLayout(c->dev, layout, NULL);
	c->DestroyDescriptorPool(c->dev, pool, NULL);
	c->DestroyDescriptorSetLayout(c->dev, set_layout, NULL);
	vkc_buf_destroy(c, &out);
	for (uint32_t i = 0; i < ARRAY; i++)
		vkc_buf_destroy(c, &in[i]);
	return NULL;
}

/* step.comp on two buffers, its descriptors written in the way under test. */
struct step_test {
	struct vkc_compute p;
	struct vkc_buf src, dst;
};

static void step_create(struct vkc *c, struct step_test *t)
{
	vkc_buf_create(c, &t->src, N * sizeof(uint32_t), HOST_COHERENT);
	vkc_buf_create(c, &t->dst, N * sizeof(uint32_t), HOST_COHERENT);
	vkc_compute_create(c, &t->p, VKC_SHADER(c, step_comp), 2, 8, NULL);
	uint32_t *v = t->src.map;
	for (uint32_t i = 0; i < N; i++)
		v[i] = i * i;
}

static void step_check_destroy(struct vkc *c, struct step_test *t)
{
	const uint32_t *s = t->src.map, *d = t->dst.map;

	for (uint32_t i = 0; i < N; i++)
		REQUIRE(d[i] == s[i] * 3u + s[(i + 7) % N]);
	vkc_compute_destroy(c, &t->p);
	vkc_buf_destroy(c, &t->src);
	vkc_buf_destroy(c, &t->dst);
}

static void step_dispatch(struct vkc *c, VkCommandBuffer cmd, VkPipelineLayout layout)
{
	uint32_t push[] = { N, 7 };

	c->CmdPushConstants(cmd, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(push), push);
	c->CmdDispatch(cmd, (N + 63) / 64, 1, 1);
	vkc_barrier(c, cmd);
}

static VkDescriptorUpdateTemplateEntry template_entries[] = {
	{ 0, 0, 1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, sizeof(VkDescriptorBufferInfo), 0 },
	{ 1, 0, 1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 0, 0 },
};

const char *case_update_template(struct vkc *c)
{
	struct step_test t;
	VkDescriptorUpdateTemplate tpl;

	step_create(c, &t);
	VkDescriptorBufferInfo infos[] = { { t.dst.buf, 0, VK_WHOLE_SIZE },
					   { t.src.buf, 0, VK_WHOLE_SIZE } };
	VkDescriptorUpdateTemplateCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_UPDATE_TEMPLATE_CREATE_INFO,
		.descriptorUpdateEntryCount = ARRAY_LEN(template_entries),
		.pDescriptorUpdateEntries = template_entries,
		.templateType = VK_DESCRIPTOR_UPDATE_TEMPLATE_TYPE_DESCRIPTOR_SET,
		.descriptorSetLayout = t.p.set_layout,
	};
	template_entries[0].offset = sizeof(infos[0]);
	VK(c->CreateDescriptorUpdateTemplate(c->dev, &info, NULL, &tpl));
	c->UpdateDescriptorSetWithTemplate(c->dev, t.p.set, tpl, infos);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, t.p.pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, t.p.layout, 0, 1, &t.p.set, 0,
				 NULL);
	step_dispatch(c, cmd, t.p.layout);
	vkc_cmd_run(c, cmd);
	c->DestroyDescriptorUpdateTemplate(c->dev, tpl, NULL);
	step_check_destroy(c, &t);
	return NULL;
}

static void push_once(struct vkc *c, bool with_template)
{
	VkDescriptorSetLayoutBinding bind[2];
	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT,
		.bindingCount = 2,
		.pBindings = bind,
	};
	VkDescriptorSetLayout set_layout;
	VkDescriptorUpdateTemplate tpl = VK_NULL_HANDLE;
	struct step_test t;

	for (uint32_t i = 0; i < 2; i++)
		bind[i] = (VkDescriptorSetLayoutBinding){ i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1,
							  VK_SHADER_STAGE_COMPUTE_BIT, NULL };
	step_create(c, &t);
	VK(c->CreateDescriptorSetLayout(c->dev, &set_info, NULL, &set_layout));
	VkPipelineLayout layout = layout_of(c, set_layout, 8);
	VkPipeline pipeline = pipeline_of(c, t.p.module, layout);
	VkDescriptorBufferInfo infos[] = { { t.src.buf, 0, VK_WHOLE_SIZE },
					   { t.dst.buf, 0, VK_WHOLE_SIZE } };

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	if (with_template) {
		VkDescriptorUpdateTemplateEntry entries[] = { template_entries[0],
							      template_entries[1] };
		entries[0].offset = 0;
		entries[1].offset = sizeof(infos[0]);
		VkDescriptorUpdateTemplateCreateInfo info = {
			.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_UPDATE_TEMPLATE_CREATE_INFO,
			.descriptorUpdateEntryCount = 2,
			.pDescriptorUpdateEntries = entries,
			.templateType = VK_DESCRIPTOR_UPDATE_TEMPLATE_TYPE_PUSH_DESCRIPTORS,
			.pipelineBindPoint = VK_PIPELINE_BIND_POINT_COMPUTE,
			.pipelineLayout = layout,
		};
		VK(c->CreateDescriptorUpdateTemplate(c->dev, &info, NULL, &tpl));
		c->CmdPushDescriptorSetWithTemplateKHR(cmd, tpl, layout, 0, infos);
	} else {
		VkWriteDescriptorSet write[2];
		for (uint32_t i = 0; i < 2; i++)
			write[i] = (VkWriteDescriptorSet){
				.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
				.dstBinding = i,
				.descriptorCount = 1,
				.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
				.pBufferInfo = &infos[i],
			};
		c->CmdPushDescriptorSetKHR(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 2,
					   write);
	}
	step_dispatch(c, cmd, layout);
	vkc_cmd_run(c, cmd);
	c->DestroyDescriptorUpdateTemplate(c->dev, tpl, NULL);
	c->DestroyPipeline(c->dev, pipeline, NULL);
	c->DestroyPipelineLayout(c->dev, layout, NULL);
	c->DestroyDescriptorSetLayout(c->dev, set_layout, NULL);
	step_check_destroy(c, &t);
}

const char *case_push_descriptor(struct vkc *c)
{
	if (!c->has_push_descriptor)
		return "no VK_KHR_push_descriptor";
	push_once(c, false);
	push_once(c, true);
	return NULL;
}

const char *case_dynamic_offset(struct vkc *c)
{
	VkDeviceSize step = c->props.limits.minStorageBufferOffsetAlignment;
	VkDescriptorSetLayoutBinding bind[2];
	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = 2,
		.pBindings = bind,
	};
	VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER_DYNAMIC, 2 };
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = 1,
		.pPoolSizes = &size,
	};
	VkDescriptorSetLayout set_layout;
	VkDescriptorPool pool;
	VkDescriptorSet set;
	struct step_test t;
	struct vkc_buf big[2];

	if (step < sizeof(uint32_t))
		step = sizeof(uint32_t);
	for (uint32_t i = 0; i < 2; i++) {
		bind[i] = (VkDescriptorSetLayoutBinding){ i,
							  VK_DESCRIPTOR_TYPE_STORAGE_BUFFER_DYNAMIC,
							  1, VK_SHADER_STAGE_COMPUTE_BIT, NULL };
		vkc_buf_create(c, &big[i], N * sizeof(uint32_t) + 3 * step, HOST_COHERENT);
	}
	step_create(c, &t);
	VK(c->CreateDescriptorSetLayout(c->dev, &set_info, NULL, &set_layout));
	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, &pool));
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &set_layout,
	};
	VK(c->AllocateDescriptorSets(c->dev, &alloc, &set));
	for (uint32_t i = 0; i < 2; i++) {
		VkDescriptorBufferInfo info = { big[i].buf, 0, N * sizeof(uint32_t) };
		VkWriteDescriptorSet write = {
			.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
			.dstSet = set,
			.dstBinding = i,
			.descriptorCount = 1,
			.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER_DYNAMIC,
			.pBufferInfo = &info,
		};
		c->UpdateDescriptorSets(c->dev, 1, &write, 0, NULL);
	}
	VkPipelineLayout layout = layout_of(c, set_layout, 8);
	VkPipeline pipeline = pipeline_of(c, t.p.module, layout);
	uint32_t offsets[] = { (uint32_t)step, 3 * (uint32_t)step };

	memcpy((char *)big[0].map + offsets[0], t.src.map, N * sizeof(uint32_t));
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 2,
				 offsets);
	step_dispatch(c, cmd, layout);
	vkc_cmd_run(c, cmd);
	memcpy(t.dst.map, (char *)big[1].map + offsets[1], N * sizeof(uint32_t));
	c->DestroyPipeline(c->dev, pipeline, NULL);
	c->DestroyPipelineLayout(c->dev, layout, NULL);
	c->DestroyDescriptorPool(c->dev, pool, NULL);
	c->DestroyDescriptorSetLayout(c->dev, set_layout, NULL);
	for (uint32_t i = 0; i < 2; i++)
		vkc_buf_destroy(c, &big[i]);
	step_check_destroy(c, &t);
	return NULL;
}

#define SETS 16

const char *case_pool_reset(struct vkc *c)
{
	VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2 * SETS };
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.flags = VK_DESCRIPTOR_POOL_CREATE_FREE_DESCRIPTOR_SET_BIT,
		.maxSets = SETS,
		.poolSizeCount = 1,
		.pPoolSizes = &size,
	};
	VkDescriptorSetLayout layouts[SETS];
	VkDescriptorSet sets[SETS];
	VkDescriptorPool pool;
	struct step_test t;

	step_create(c, &t);
	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, &pool));
	for (uint32_t i = 0; i < SETS; i++)
		layouts[i] = t.p.set_layout;
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = pool,
		.descriptorSetCount = SETS,
		.pSetLayouts = layouts,
	};
	for (uint32_t round = 0; round < 20; round++) {
		VK(c->AllocateDescriptorSets(c->dev, &alloc, sets));
		VkCopyDescriptorSet copy = {
			.sType = VK_STRUCTURE_TYPE_COPY_DESCRIPTOR_SET,
			.srcSet = t.p.set,
			.dstSet = sets[round % SETS],
			.descriptorCount = 1,
		};
		vkc_compute_bind(c, &t.p, 0, &t.src);
		vkc_compute_bind(c, &t.p, 1, &t.dst);
		c->UpdateDescriptorSets(c->dev, 0, NULL, 1, &copy);
		copy.srcBinding = copy.dstBinding = 1;
		c->UpdateDescriptorSets(c->dev, 0, NULL, 1, &copy);
		memset(t.dst.map, 0, N * sizeof(uint32_t));
		VkCommandBuffer cmd = vkc_cmd_begin(c);
		c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, t.p.pipeline);
		c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, t.p.layout, 0, 1,
					 &sets[round % SETS], 0, NULL);
		step_dispatch(c, cmd, t.p.layout);
		vkc_cmd_run(c, cmd);
		if (round & 1)
			VK(c->ResetDescriptorPool(c->dev, pool, 0));
		else
			VK(c->FreeDescriptorSets(c->dev, pool, SETS, sets));
	}
	c->DestroyDescriptorPool(c->dev, pool, NULL);
	step_check_destroy(c, &t);
	return NULL;
}

#define SIDE 8

struct texture {
	VkImage image;
	VkDeviceMemory mem;
	VkImageView view;
};

static void texture_create(struct vkc *c, struct texture *t, VkFormat format,
			   VkImageUsageFlags usage)
{
	VkImageCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
		.imageType = VK_IMAGE_TYPE_2D,
		.format = format,
		.extent = { SIDE, SIDE, 1 },
		.mipLevels = 1,
		.arrayLayers = 1,
		.samples = VK_SAMPLE_COUNT_1_BIT,
		.usage = usage | VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
	};
	VkMemoryRequirements req;

	VK(c->CreateImage(c->dev, &info, NULL, &t->image));
	c->GetImageMemoryRequirements(c->dev, t->image, &req);
	VkMemoryAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = req.size,
		.memoryTypeIndex = vkc_mem_type(c, req.memoryTypeBits, 0),
	};
	VK(c->AllocateMemory(c->dev, &alloc, NULL, &t->mem));
	VK(c->BindImageMemory(c->dev, t->image, t->mem, 0));
	VkImageViewCreateInfo view = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
		.image = t->image,
		.viewType = VK_IMAGE_VIEW_TYPE_2D,
		.format = format,
		.subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 },
	};
	VK(c->CreateImageView(c->dev, &view, NULL, &t->view));
}

static void texture_destroy(struct vkc *c, struct texture *t)
{
	c->DestroyImageView(c->dev, t->view, NULL);
	c->DestroyImage(c->dev, t->image, NULL);
	c->FreeMemory(c->dev, t->mem, NULL);
}

static void texture_fill(struct vkc *c, VkCommandBuffer cmd, const struct texture *t,
			 const struct vkc_buf *from)
{
	VkImageMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
		.newLayout = VK_IMAGE_LAYOUT_GENERAL,
		.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.image = t->image,
		.subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 },
	};
	VkBufferImageCopy region = {
		.imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.imageExtent = { SIDE, SIDE, 1 },
	};

	c->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
			      VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL, 0, NULL, 1, &barrier);
	c->CmdCopyBufferToImage(cmd, from->buf, t->image, VK_IMAGE_LAYOUT_GENERAL, 1, &region);
	vkc_barrier(c, cmd);
}

const char *case_kinds(struct vkc *c)
{
	static const VkDescriptorType kinds[] = {
		VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER,
		VK_DESCRIPTOR_TYPE_STORAGE_IMAGE,
		VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
		VK_DESCRIPTOR_TYPE_SAMPLER,
		VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE,
		VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
	};
	enum { KINDS = ARRAY_LEN(kinds), PIXELS = SIDE * SIDE };
	VkDescriptorSetLayoutBinding bind[KINDS];
	VkDescriptorPoolSize sizes[KINDS];
	struct vkc_buf out, uni, texels, pixels, words;
	struct texture img, tex;
	VkBufferView texel_view;
	VkSampler sampler;

	VkSamplerCreateInfo sampler_info = {
		.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
		.addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
		.addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
		.addressModeW = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
	};
	VK(c->CreateSampler(c->dev, &sampler_info, NULL, &sampler));
	for (uint32_t i = 0; i < KINDS; i++) {
		bind[i] = (VkDescriptorSetLayoutBinding){
			i,
			kinds[i],
			1,
			VK_SHADER_STAGE_COMPUTE_BIT,
			i == 4 ? &sampler : NULL, /* an immutable one, too */
		};
		sizes[i] = (VkDescriptorPoolSize){ kinds[i], 1 };
	}
	vkc_buf_create(c, &out, PIXELS * 4, HOST_COHERENT);
	vkc_buf_create(c, &uni, 64, HOST_COHERENT);
	vkc_buf_create(c, &texels, PIXELS * 4, HOST_COHERENT);
	vkc_buf_create(c, &pixels, PIXELS * 4, HOST_COHERENT);
	vkc_buf_create(c, &words, PIXELS * 4, HOST_COHERENT);
	uint32_t *u = uni.map, *t = texels.map, *w = words.map;
	uint8_t *px = pixels.map;
	for (uint32_t i = 0; i < 4; i++)
		u[4 * i] = 1000000 * (i + 1);
	for (uint32_t i = 0; i < PIXELS; i++) {
		t[i] = 100000 * i;
		w[i] = 7 * i;
		px[4 * i] = (uint8_t)(3 * i);
		px[4 * i + 1] = (uint8_t)(255 - i);
	}
	texture_create(c, &img, VK_FORMAT_R32_UINT, VK_IMAGE_USAGE_STORAGE_BIT);
	texture_create(c, &tex, VK_FORMAT_R8G8B8A8_UNORM, VK_IMAGE_USAGE_SAMPLED_BIT);
	VkBufferViewCreateInfo view_info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
		.buffer = texels.buf,
		.format = VK_FORMAT_R32_UINT,
		.range = VK_WHOLE_SIZE,
	};
	VK(c->CreateBufferView(c->dev, &view_info, NULL, &texel_view));

	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = KINDS,
		.pBindings = bind,
	};
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = KINDS,
		.pPoolSizes = sizes,
	};
	VkDescriptorSetLayout set_layout;
	VkDescriptorPool pool;
	VkDescriptorSet set;
	VK(c->CreateDescriptorSetLayout(c->dev, &set_info, NULL, &set_layout));
	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, &pool));
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &set_layout,
	};
	VK(c->AllocateDescriptorSets(c->dev, &alloc, &set));
	VkDescriptorBufferInfo bufs[] = { { out.buf, 0, VK_WHOLE_SIZE }, { uni.buf, 0, 64 } };
	VkDescriptorImageInfo images[] = {
		{ VK_NULL_HANDLE, img.view, VK_IMAGE_LAYOUT_GENERAL },
		{ VK_NULL_HANDLE, tex.view, VK_IMAGE_LAYOUT_GENERAL },
		{ sampler, tex.view, VK_IMAGE_LAYOUT_GENERAL },
	};
	for (uint32_t i = 0; i < KINDS; i++) {
		static const int image_of[KINDS] = { -1, -1, 0, -1, -1, 1, 2 };
		VkWriteDescriptorSet write = {
			.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
			.dstSet = set,
			.dstBinding = i,
			.descriptorCount = 1,
			.descriptorType = kinds[i],
			.pBufferInfo = i < 2 ? &bufs[i] : NULL,
			.pImageInfo = image_of[i] >= 0 ? &images[image_of[i]] : NULL,
			.pTexelBufferView = i == 3 ? &texel_view : NULL,
		};
		if (i != 4)
			c->UpdateDescriptorSets(c->dev, 1, &write, 0, NULL);
	}
	VkPipelineLayout layout = layout_of(c, set_layout, 0);
	VkShaderModule module = VKC_SHADER(c, kinds_comp);
	VkPipeline pipeline = pipeline_of(c, module, layout);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	texture_fill(c, cmd, &img, &words);
	texture_fill(c, cmd, &tex, &pixels);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
	c->CmdDispatch(cmd, 1, 1, 1);
	vkc_barrier(c, cmd);
	VkBufferImageCopy region = {
		.imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.imageExtent = { SIDE, SIDE, 1 },
	};
	c->CmdCopyImageToBuffer(cmd, img.image, VK_IMAGE_LAYOUT_GENERAL, words.buf, 1, &region);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	const uint32_t *o = out.map;
	for (uint32_t i = 0; i < PIXELS; i++) {
		uint32_t want = 1000000 * (i % 4 + 1) + 100000 * i + px[4 * i] +
				256u * px[4 * i + 1] + 7 * i;
		REQUIRE(o[i] == want);
		REQUIRE(w[i] == 8 * i);
	}
	c->DestroyPipeline(c->dev, pipeline, NULL);
	c->DestroyShaderModule(c->dev, module, NULL);
	c->DestroyPipelineLayout(c->dev, layout, NULL);
	c->DestroyDescriptorPool(c->dev, pool, NULL);
	c->DestroyDescriptorSetLayout(c->dev, set_layout, NULL);
	c->DestroyBufferView(c->dev, texel_view, NULL);
	c->DestroySampler(c->dev, sampler, NULL);
	texture_destroy(c, &img);
	texture_destroy(c, &tex);
	struct vkc_buf *bufs_to_free[] = { &out, &uni, &texels, &pixels, &words };
	for (size_t i = 0; i < ARRAY_LEN(bufs_to_free); i++)
		vkc_buf_destroy(c, bufs_to_free[i]);
	return NULL;
}
