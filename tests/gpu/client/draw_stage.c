/* SPDX-License-Identifier: Apache-2.0 */
/* See draw_stage.h. */
#include "draw_stage.h"

#include <string.h>

#include "color_frag.h"
#include "color_vert.h"

void draw_image_create(struct vkc *c, struct image *im, VkFormat format, uint32_t side,
		       uint32_t mips, VkSampleCountFlagBits samples, VkImageUsageFlags usage)
{
	VkImageCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
		.imageType = VK_IMAGE_TYPE_2D,
		.format = format,
		.extent = { side, side, 1 },
		.mipLevels = mips,
		.arrayLayers = 1,
		.samples = samples,
		.usage = usage,
	};
	VkMemoryRequirements req;

	VK(c->CreateImage(c->dev, &info, NULL, &im->image));
	c->GetImageMemoryRequirements(c->dev, im->image, &req);
	VkMemoryAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = req.size,
		.memoryTypeIndex = vkc_mem_type(c, req.memoryTypeBits, 0),
	};
	VK(c->AllocateMemory(c->dev, &alloc, NULL, &im->mem));
	VK(c->BindImageMemory(c->dev, im->image, im->mem, 0));
	VkImageViewCreateInfo view = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
		.image = im->image,
		.viewType = VK_IMAGE_VIEW_TYPE_2D,
		.format = format,
		.subresourceRange = { format == DEPTH_FORMAT ? VK_IMAGE_ASPECT_DEPTH_BIT
							     : VK_IMAGE_ASPECT_COLOR_BIT,
				      0, mips, 0, 1 },
	};
	VK(c->CreateImageView(c->dev, &view, NULL, &im->view));
}

void draw_image_destroy(struct vkc *c, struct image *im)
{
	c->DestroyImageView(c->dev, im->view, NULL);
	c->DestroyImage(c->dev, im->image, NULL);
	c->FreeMemory(c->dev, im->mem, NULL);
	*im = (struct image){ 0 };
}

void draw_to_layout(struct vkc *c, VkCommandBuffer cmd, VkImage image, VkImageAspectFlags aspect,
		    VkImageLayout from, VkImageLayout to)
{
	VkImageMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
		.oldLayout = from,
		.newLayout = to,
		.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.image = image,
		.subresourceRange = { aspect, 0, VK_REMAINING_MIP_LEVELS, 0, 1 },
	};

	c->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
			      VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL, 0, NULL, 1, &barrier);
}

static void pass_create(struct vkc *c, struct stage *s)
{
	bool has_msaa = s->samples != VK_SAMPLE_COUNT_1_BIT;
	VkAttachmentDescription att[3] = { {
		.format = FORMAT,
		.samples = s->samples,
		.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
		.storeOp =
			has_msaa ? VK_ATTACHMENT_STORE_OP_DONT_CARE : VK_ATTACHMENT_STORE_OP_STORE,
		.finalLayout = has_msaa ? VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL
					: VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
	} };
	VkImageView views[3] = { s->color.view };
	uint32_t n = 1;
	VkAttachmentReference color = { 0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL };
	VkAttachmentReference depth = { 0, VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL };
	VkAttachmentReference resolve = color;

	if (s->has_depth) {
		depth.attachment = n;
		views[n] = s->depth.view;
		att[n++] = (VkAttachmentDescription){
			.format = DEPTH_FORMAT,
			.samples = s->samples,
			.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
			.storeOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
			.finalLayout = VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL,
		};
	}
	if (has_msaa) {
		resolve.attachment = n;
		views[n] = s->resolved.view;
		att[n++] = (VkAttachmentDescription){
			.format = FORMAT,
			.samples = VK_SAMPLE_COUNT_1_BIT,
			.loadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
			.storeOp = VK_ATTACHMENT_STORE_OP_STORE,
			.finalLayout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
		};
	}
	VkSubpassDescription sub = {
		.pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS,
		.colorAttachmentCount = 1,
		.pColorAttachments = &color,
		.pResolveAttachments = has_msaa ? &resolve : NULL,
		.pDepthStencilAttachment = s->has_depth ? &depth : NULL,
	};
	VkSubpassDependency dep = {
		.srcSubpass = 0,
		.dstSubpass = VK_SUBPASS_EXTERNAL,
		.srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT,
		.dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT,
		.srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT,
	};
	VkRenderPassCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
		.attachmentCount = n,
		.pAttachments = att,
		.subpassCount = 1,
		.pSubpasses = &sub,
		.dependencyCount = 1,
		.pDependencies = &dep,
	};
	VK(c->CreateRenderPass(c->dev, &info, NULL, &s->pass));
	VkFramebufferCreateInfo frame = {
		.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO,
		.renderPass = s->pass,
		.attachmentCount = n,
		.pAttachments = views,
		.width = SIDE,
		.height = SIDE,
		.layers = 1,
	};
	VK(c->CreateFramebuffer(c->dev, &frame, NULL, &s->frame));
}

void stage_create(struct vkc *c, struct stage *s, bool is_dynamic, bool has_depth,
		  VkSampleCountFlagBits samples)
{
	bool has_msaa = samples != VK_SAMPLE_COUNT_1_BIT;

	*s = (struct stage){ .is_dynamic = is_dynamic, .has_depth = has_depth, .samples = samples };
	draw_image_create(c, &s->color, FORMAT, SIDE, 1, samples,
			  VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT |
				  (has_msaa ? 0 : VK_IMAGE_USAGE_TRANSFER_SRC_BIT));
	if (has_depth)
		draw_image_create(c, &s->depth, DEPTH_FORMAT, SIDE, 1, samples,
				  VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT);
	if (has_msaa)
		draw_image_create(c, &s->resolved, FORMAT, SIDE, 1, VK_SAMPLE_COUNT_1_BIT,
				  VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT |
					  VK_IMAGE_USAGE_TRANSFER_SRC_BIT);
	if (!is_dynamic)
		pass_create(c, s);
}

void stage_destroy(struct vkc *c, struct stage *s)
{
	c->DestroyFramebuffer(c->dev, s->frame, NULL);
	c->DestroyRenderPass(c->dev, s->pass, NULL);
	draw_image_destroy(c, &s->color);
	draw_image_destroy(c, &s->depth);
	draw_image_destroy(c, &s->resolved);
}

static const VkClearColorValue background = { .float32 = { 0.2f, 0.4f, 0.6f, 1.0f } };

void stage_begin(struct vkc *c, struct stage *s, VkCommandBuffer cmd, VkSubpassContents contents)
{
	VkRect2D area = { { 0, 0 }, { SIDE, SIDE } };
	bool has_msaa = s->samples != VK_SAMPLE_COUNT_1_BIT;
	VkClearValue clear[2] = { { .color = background }, { .depthStencil = { 1.0f, 0 } } };

	if (!s->is_dynamic) {
		VkRenderPassBeginInfo info = {
			.sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO,
			.renderPass = s->pass,
			.framebuffer = s->frame,
			.renderArea = area,
			.clearValueCount = s->has_depth ? 2 : 1,
			.pClearValues = clear,
		};
		c->CmdBeginRenderPass(cmd, &info, contents);
		return;
	}
	draw_to_layout(c, cmd, s->color.image, VK_IMAGE_ASPECT_COLOR_BIT, VK_IMAGE_LAYOUT_UNDEFINED,
		       VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL);
	if (s->has_depth)
		draw_to_layout(c, cmd, s->depth.image, VK_IMAGE_ASPECT_DEPTH_BIT,
			       VK_IMAGE_LAYOUT_UNDEFINED,
			       VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL);
	if (has_msaa)
		draw_to_layout(c, cmd, s->resolved.image, VK_IMAGE_ASPECT_COLOR_BIT,
			       VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL);

	VkRenderingAttachmentInfo color = {
		.sType = VK_STRUCTURE_TYPE_RENDERING_ATTACHMENT_INFO,
		.imageView = s->color.view,
		.imageLayout = VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL,
		.resolveMode = has_msaa ? VK_RESOLVE_MODE_AVERAGE_BIT : VK_RESOLVE_MODE_NONE,
		.resolveImageView = s->resolved.view,
		.resolveImageLayout = VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL,
		.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
		.storeOp = VK_ATTACHMENT_STORE_OP_STORE,
		.clearValue = clear[0],
	};
	VkRenderingAttachmentInfo depth = {
		.sType = VK_STRUCTURE_TYPE_RENDERING_ATTACHMENT_INFO,
		.imageView = s->depth.view,
		.imageLayout = VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL,
		.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
		.storeOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
		.clearValue = clear[1],
	};
	VkRenderingInfo info = {
		.sType = VK_STRUCTURE_TYPE_RENDERING_INFO,
		.renderArea = area,
		.layerCount = 1,
		.colorAttachmentCount = 1,
		.pColorAttachments = &color,
		.pDepthAttachment = s->has_depth ? &depth : NULL,
	};
	c->CmdBeginRendering(cmd, &info);
}

void stage_end(struct vkc *c, struct stage *s, VkCommandBuffer cmd)
{
	if (!s->is_dynamic) {
		c->CmdEndRenderPass(cmd);
		return;
	}
	c->CmdEndRendering(cmd);
	draw_to_layout(c, cmd, s->resolved.image ? s->resolved.image : s->color.image,
		       VK_IMAGE_ASPECT_COLOR_BIT, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL,
		       VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
}

VkPipeline stage_pipeline(struct vkc *c, const struct stage *s, const struct look *look)
{
	VkPipelineShaderStageCreateInfo stages[] = {
		{ .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
		  .stage = VK_SHADER_STAGE_VERTEX_BIT,
		  .module = look->vert,
		  .pName = "main" },
		{ .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
		  .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
		  .module = look->frag,
		  .pName = "main" },
	};
	VkVertexInputBindingDescription binding = { 0, sizeof(struct vertex),
						    VK_VERTEX_INPUT_RATE_VERTEX };
	VkVertexInputAttributeDescription attrs[] = {
		{ 0, 0, VK_FORMAT_R32G32B32A32_SFLOAT, offsetof(struct vertex, pos) },
		{ 1, 0, VK_FORMAT_R32G32B32A32_SFLOAT, offsetof(struct vertex, color) },
	};
	VkPipelineVertexInputStateCreateInfo input = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO,
		.vertexBindingDescriptionCount = look->has_vertices ? 1 : 0,
		.pVertexBindingDescriptions = &binding,
		.vertexAttributeDescriptionCount = look->has_vertices ? 2 : 0,
		.pVertexAttributeDescriptions = attrs,
	};
	VkPipelineInputAssemblyStateCreateInfo assembly = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
		.topology = look->topology,
	};
	VkViewport viewport = { 0.0f, 0.0f, (float)SIDE, (float)SIDE, 0.0f, 1.0f };
	VkRect2D scissor = { { 0, 0 }, { SIDE, SIDE } };
	VkPipelineViewportStateCreateInfo view = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
		.viewportCount = 1,
		.pViewports = &viewport,
		.scissorCount = 1,
		.pScissors = &scissor,
	};
	VkPipelineRasterizationStateCreateInfo raster = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
		.cullMode = VK_CULL_MODE_NONE,
		.lineWidth = 1.0f,
	};
	VkSampleMask mask = ~UINT32_C(0);
	VkPipelineMultisampleStateCreateInfo samples = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
		.rasterizationSamples = s->samples,
		.pSampleMask = &mask,
	};
	VkPipelineDepthStencilStateCreateInfo depth = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_DEPTH_STENCIL_STATE_CREATE_INFO,
		.depthTestEnable = look->has_depth,
		.depthWriteEnable = look->has_depth,
		.depthCompareOp = VK_COMPARE_OP_LESS,
	};
	VkPipelineColorBlendAttachmentState att = {
		.blendEnable = look->has_blend,
		.srcColorBlendFactor = VK_BLEND_FACTOR_CONSTANT_ALPHA,
		.dstColorBlendFactor = VK_BLEND_FACTOR_ONE_MINUS_CONSTANT_ALPHA,
		.srcAlphaBlendFactor = VK_BLEND_FACTOR_ONE,
		.colorWriteMask = 0xf,
	};
	VkPipelineColorBlendStateCreateInfo blend = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
		.attachmentCount = 1,
		.pAttachments = &att,
		.blendConstants = { 0.0f, 0.0f, 0.0f, 0.5f },
	};
	VkDynamicState dynamic_states[] = { VK_DYNAMIC_STATE_VIEWPORT, VK_DYNAMIC_STATE_SCISSOR };
	VkPipelineDynamicStateCreateInfo dynamic = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_DYNAMIC_STATE_CREATE_INFO,
		.dynamicStateCount = ARRAY_LEN(dynamic_states),
		.pDynamicStates = dynamic_states,
	};
	VkFormat format = FORMAT;
	VkPipelineRenderingCreateInfo rendering = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_RENDERING_CREATE_INFO,
		.colorAttachmentCount = 1,
		.pColorAttachmentFormats = &format,
		.depthAttachmentFormat = s->has_depth ? DEPTH_FORMAT : VK_FORMAT_UNDEFINED,
	};
	VkGraphicsPipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
		.pNext = s->is_dynamic ? &rendering : NULL,
		.stageCount = ARRAY_LEN(stages),
		.pStages = stages,
		.pVertexInputState = &input,
		.pInputAssemblyState = &assembly,
		.pViewportState = &view,
		.pRasterizationState = &raster,
		.pMultisampleState = &samples,
		.pDepthStencilState = &depth,
		.pColorBlendState = &blend,
		.pDynamicState = &dynamic,
		.layout = look->layout,
		.renderPass = s->pass,
	};
	VkPipeline p;

	VK(c->CreateGraphicsPipelines(c->dev, VK_NULL_HANDLE, 1, &info, NULL, &p));
	return p;
}

void color_look_create(struct vkc *c, struct color_look *l, const struct stage *s, bool has_blend)
{
	VkPushConstantRange range = { VK_SHADER_STAGE_VERTEX_BIT, 0, 4 * sizeof(float) };
	VkPipelineLayoutCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.pushConstantRangeCount = 1,
		.pPushConstantRanges = &range,
	};

	l->look = (struct look){
		.vert = VKC_SHADER(c, color_vert),
		.frag = VKC_SHADER(c, color_frag),
		.topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST,
		.has_vertices = true,
		.has_depth = s->has_depth,
		.has_blend = has_blend,
	};
	VK(c->CreatePipelineLayout(c->dev, &info, NULL, &l->look.layout));
	l->pipeline = stage_pipeline(c, s, &l->look);
}

void color_look_destroy(struct vkc *c, struct color_look *l)
{
	c->DestroyPipeline(c->dev, l->pipeline, NULL);
	c->DestroyPipelineLayout(c->dev, l->look.layout, NULL);
	c->DestroyShaderModule(c->dev, l->look.vert, NULL);
	c->DestroyShaderModule(c->dev, l->look.frag, NULL);
}

void color_look_bind(struct vkc *c, VkCommandBuffer cmd, const struct color_look *l,
		     const struct vkc_buf *vertices, const float *offset)
{
	VkViewport viewport = { 0.0f, 0.0f, (float)SIDE, (float)SIDE, 0.0f, 1.0f };
	VkRect2D scissor = { { 0, 0 }, { SIDE, SIDE } };
	VkDeviceSize zero = 0;

	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, l->pipeline);
	c->CmdSetViewport(cmd, 0, 1, &viewport);
	c->CmdSetScissor(cmd, 0, 1, &scissor);
	c->CmdBindVertexBuffers(cmd, 0, 1, &vertices->buf, &zero);
	c->CmdPushConstants(cmd, l->look.layout, VK_SHADER_STAGE_VERTEX_BIT, 0, 4 * sizeof(float),
			    offset);
}

void stage_read_back(struct vkc *c, struct stage *s, VkCommandBuffer cmd, struct vkc_buf *down)
{
	VkBufferImageCopy region = {
		.imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.imageExtent = { SIDE, SIDE, 1 },
	};

	c->CmdCopyImageToBuffer(cmd, s->resolved.image ? s->resolved.image : s->color.image,
				VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, down->buf, 1, &region);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);
}

uint64_t picture_publish(const char *name, const struct vkc_buf *down)
{
	const char *dir = getenv("PECTEN_PICTURES");
	const unsigned char *px = down->map;
	uint64_t hash = vkc_hash(px, PICTURE_BYTES);

	printf("# picture %s %016llx\n", name, (unsigned long long)hash);
	if (dir) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s.ppm", dir, name);
		FILE *f = fopen(path, "wb");
		REQUIRE(f);
		fprintf(f, "P6\n%d %d\n255\n", SIDE, SIDE);
		for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
			fwrite(px + 4 * i, 3, 1, f);
		REQUIRE(fclose(f) == 0);
	}
	return hash;
}

const unsigned char *picture_pixel(const struct vkc_buf *down, uint32_t x, uint32_t y)
{
	return (const unsigned char *)down->map + 4 * ((size_t)y * SIDE + x);
}

bool picture_is_background(const unsigned char *px)
{
	return !memcmp(px, "\x33\x66\x99\xff", 4);
}
