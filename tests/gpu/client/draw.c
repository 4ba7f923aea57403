/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphics client: draws small pictures off screen and reads them back.  It prints the hash of
 * each and, if PECTEN_PICTURES names a folder, writes NAME.ppm there; the driver compares native
 * and remote ones pixel by pixel.  What must hold on any driver is checked here.
 */
#include <string.h>

#include "draw_stage.h"

#include "quad_frag.h"
#include "quad_vert.h"
#include "vertices_comp.h"

static const struct vertex triangle[] = {
	{ { 0.0f, -0.7f, 0.5f, 1.0f }, { 1.0f, 0.0f, 0.0f, 1.0f } },
	{ { 0.7f, 0.6f, 0.5f, 1.0f }, { 0.0f, 1.0f, 0.0f, 1.0f } },
	{ { -0.7f, 0.6f, 0.5f, 1.0f }, { 0.0f, 0.0f, 1.0f, 1.0f } },
};

static uint64_t draw_triangle(struct vkc *c, const char *name, bool is_dynamic,
			      VkSampleCountFlagBits samples)
{
	static const float no_offset[4];
	struct vkc_buf vertices, down;
	struct color_look look;
	struct stage s;

	vkc_buf_create(c, &vertices, sizeof(triangle), HOST_COHERENT);
	vkc_buf_create(c, &down, PICTURE_BYTES, HOST_COHERENT);
	memcpy(vertices.map, triangle, sizeof(triangle));
	stage_create(c, &s, is_dynamic, false, samples);
	color_look_create(c, &look, &s, false);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	stage_begin(c, &s, cmd, VK_SUBPASS_CONTENTS_INLINE);
	color_look_bind(c, cmd, &look, &vertices, no_offset);
	c->CmdDraw(cmd, 3, 1, 0, 0);
	stage_end(c, &s, cmd);
	stage_read_back(c, &s, cmd, &down);

	uint64_t hash = picture_publish(name, &down);
	REQUIRE(picture_is_background(picture_pixel(&down, 0, 0)) &&
		picture_is_background(picture_pixel(&down, 255, 255)));
	REQUIRE(!picture_is_background(picture_pixel(&down, 128, 128)));
	color_look_destroy(c, &look);
	stage_destroy(c, &s);
	vkc_buf_destroy(c, &vertices);
	vkc_buf_destroy(c, &down);
	return hash;
}

static const char *case_triangle(struct vkc *c)
{
	uint64_t pass = draw_triangle(c, "triangle_pass", false, VK_SAMPLE_COUNT_1_BIT);

	if (!c->f13.dynamicRendering)
		return NULL;
	REQUIRE(draw_triangle(c, "triangle_dynamic", true, VK_SAMPLE_COUNT_1_BIT) == pass);
	return NULL;
}

static const char *case_msaa(struct vkc *c)
{
	if (!(c->props.limits.framebufferColorSampleCounts & VK_SAMPLE_COUNT_4_BIT))
		return "no 4 samples";
	uint64_t one = draw_triangle(c, "msaa_off", false, VK_SAMPLE_COUNT_1_BIT);
	uint64_t pass = draw_triangle(c, "msaa_pass", false, VK_SAMPLE_COUNT_4_BIT);
	REQUIRE(one != pass);
	if (c->f13.dynamicRendering)
		REQUIRE(draw_triangle(c, "msaa_dynamic", true, VK_SAMPLE_COUNT_4_BIT) == pass);
	return NULL;
}

/* Three triangles at different depths, drawn in two orders: the picture is the same. */
static uint64_t draw_depth(struct vkc *c, const char *name, bool is_reversed, bool is_dynamic)
{
	struct vkc_buf vertices, down;
	struct color_look look;
	struct stage s;

	vkc_buf_create(c, &vertices, sizeof(triangle), HOST_COHERENT);
	vkc_buf_create(c, &down, PICTURE_BYTES, HOST_COHERENT);
	memcpy(vertices.map, triangle, sizeof(triangle));
	stage_create(c, &s, is_dynamic, true, VK_SAMPLE_COUNT_1_BIT);
	color_look_create(c, &look, &s, false);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	stage_begin(c, &s, cmd, VK_SUBPASS_CONTENTS_INLINE);
	for (int i = 0; i < 3; i++) {
		int k = is_reversed ? 2 - i : i;
		float offset[4] = { 0.2f * (float)(k - 1), 0.1f * (float)k, 0.1f * (float)k, 0.0f };
		color_look_bind(c, cmd, &look, &vertices, offset);
		c->CmdDraw(cmd, 3, 1, 0, 0);
	}
	stage_end(c, &s, cmd);
	stage_read_back(c, &s, cmd, &down);

	uint64_t hash = picture_publish(name, &down);
	color_look_destroy(c, &look);
	stage_destroy(c, &s);
	vkc_buf_destroy(c, &vertices);
	vkc_buf_destroy(c, &down);
	return hash;
}

static const char *case_depth(struct vkc *c)
{
	uint64_t h = draw_depth(c, "depth", false, false);

	REQUIRE(draw_depth(c, "depth_reversed", true, false) == h);
	if (c->f13.dynamicRendering)
		REQUIRE(draw_depth(c, "depth_dynamic", true, true) == h);
	return NULL;
}

/* Indexed and instanced drawing with blending, half of it in a secondary command buffer. */
static const char *case_instances(struct vkc *c)
{
	static const uint16_t indices[] = { 0, 1, 2, 2, 1, 0 };
	static const float offset[4] = { -0.4f, -0.2f, 0.0f, 0.0f };
	struct vkc_buf vertices, index, args, down;
	struct color_look look;
	struct stage s;
	VkDrawIndexedIndirectCommand draw = { 3, 2, 3, 0, 1 };

	vkc_buf_create(c, &vertices, sizeof(triangle), HOST_COHERENT);
	vkc_buf_create(c, &index, sizeof(indices), HOST_COHERENT);
	vkc_buf_create(c, &args, sizeof(draw), HOST_COHERENT);
	vkc_buf_create(c, &down, PICTURE_BYTES, HOST_COHERENT);
	memcpy(vertices.map, triangle, sizeof(triangle));
	memcpy(index.map, indices, sizeof(indices));
	memcpy(args.map, &draw, sizeof(draw));
	stage_create(c, &s, false, false, VK_SAMPLE_COUNT_1_BIT);
	color_look_create(c, &look, &s, true);

	VkCommandBufferAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = c->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_SECONDARY,
		.commandBufferCount = 1,
	};
	VkCommandBufferInheritanceInfo inherit = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO,
		.renderPass = s.pass,
		.framebuffer = s.frame,
	};
	VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_RENDER_PASS_CONTINUE_BIT,
		.pInheritanceInfo = &inherit,
	};
	VkCommandBuffer sec;
	VK(c->AllocateCommandBuffers(c->dev, &alloc, &sec));
	VK(c->BeginCommandBuffer(sec, &begin));
	color_look_bind(c, sec, &look, &vertices, offset);
	c->CmdBindIndexBuffer(sec, index.buf, 0, VK_INDEX_TYPE_UINT16);
	c->CmdDrawIndexed(sec, 3, 2, 0, 0, 0);
	if (c->features.features.drawIndirectFirstInstance)
		c->CmdDrawIndexedIndirect(sec, args.buf, 0, 1, sizeof(draw));
	VK(c->EndCommandBuffer(sec));

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	stage_begin(c, &s, cmd, VK_SUBPASS_CONTENTS_SECONDARY_COMMAND_BUFFERS);
	c->CmdExecuteCommands(cmd, 1, &sec);
	stage_end(c, &s, cmd);
	stage_read_back(c, &s, cmd, &down);
	picture_publish("instances", &down);
	REQUIRE(!picture_is_background(picture_pixel(&down, 100, 120)));
	c->FreeCommandBuffers(c->dev, c->pool, 1, &sec);
	color_look_destroy(c, &look);
	stage_destroy(c, &s);
	vkc_buf_destroy(c, &vertices);
	vkc_buf_destroy(c, &index);
	vkc_buf_destroy(c, &args);
	vkc_buf_destroy(c, &down);
	return NULL;
}

/* Vertices and draw parameters come from a compute shader in the same command buffer. */
static const char *case_compute_vertices(struct vkc *c)
{
	enum { TRIANGLES = 32 };
	static const float no_offset[4];
	struct vkc_buf vertices, args, down;
	struct vkc_compute gen;
	struct color_look look;
	struct stage s;
	uint32_t triangles = TRIANGLES;

	vkc_buf_create(c, &vertices, TRIANGLES * 3 * sizeof(struct vertex),
		       VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
	vkc_buf_create(c, &args, sizeof(VkDrawIndirectCommand),
		       VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
	vkc_buf_create(c, &down, PICTURE_BYTES, HOST_COHERENT);
	vkc_compute_create(c, &gen, VKC_SHADER(c, vertices_comp), 2, sizeof(triangles), NULL);
	vkc_compute_bind(c, &gen, 0, &vertices);
	vkc_compute_bind(c, &gen, 1, &args);
	stage_create(c, &s, false, false, VK_SAMPLE_COUNT_1_BIT);
	color_look_create(c, &look, &s, false);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, gen.pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, gen.layout, 0, 1, &gen.set, 0,
				 NULL);
	c->CmdPushConstants(cmd, gen.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(triangles),
			    &triangles);
	c->CmdDispatch(cmd, 1, 1, 1);
	VkBufferMemoryBarrier barriers[] = {
		{ .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER,
		  .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
		  .dstAccessMask = VK_ACCESS_VERTEX_ATTRIBUTE_READ_BIT,
		  .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		  .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		  .buffer = vertices.buf,
		  .size = VK_WHOLE_SIZE },
		{ .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER,
		  .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
		  .dstAccessMask = VK_ACCESS_INDIRECT_COMMAND_READ_BIT,
		  .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		  .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		  .buffer = args.buf,
		  .size = VK_WHOLE_SIZE },
	};
	c->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
			      VK_PIPELINE_STAGE_VERTEX_INPUT_BIT |
				      VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT,
			      0, 0, NULL, 2, barriers, 0, NULL);
	stage_begin(c, &s, cmd, VK_SUBPASS_CONTENTS_INLINE);
	color_look_bind(c, cmd, &look, &vertices, no_offset);
	c->CmdDrawIndirect(cmd, args.buf, 0, 1, sizeof(VkDrawIndirectCommand));
	stage_end(c, &s, cmd);
	stage_read_back(c, &s, cmd, &down);
	picture_publish("compute_vertices", &down);
	REQUIRE(!picture_is_background(picture_pixel(&down, 40, 40)) &&
		!picture_is_background(picture_pixel(&down, 215, 128)));
	REQUIRE(picture_is_background(picture_pixel(&down, 10, 10)));
	color_look_destroy(c, &look);
	stage_destroy(c, &s);
	vkc_compute_destroy(c, &gen);
	vkc_buf_destroy(c, &vertices);
	vkc_buf_destroy(c, &args);
	vkc_buf_destroy(c, &down);
	return NULL;
}

/* Occlusion and pipeline statistics of the plain triangle. */
static const char *case_queries(struct vkc *c)
{
	static const float no_offset[4];
	bool has_stats = c->features.features.pipelineStatisticsQuery;
	VkQueryPoolCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
		.queryType = VK_QUERY_TYPE_OCCLUSION,
		.queryCount = 2,
	};
	VkQueryPoolCreateInfo stats_info = {
		.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
		.queryType = VK_QUERY_TYPE_PIPELINE_STATISTICS,
		.queryCount = 1,
		.pipelineStatistics = VK_QUERY_PIPELINE_STATISTIC_INPUT_ASSEMBLY_VERTICES_BIT |
				      VK_QUERY_PIPELINE_STATISTIC_VERTEX_SHADER_INVOCATIONS_BIT,
	};
	VkQueryControlFlags precise =
		c->features.features.occlusionQueryPrecise ? VK_QUERY_CONTROL_PRECISE_BIT : 0;
	VkQueryPool pool, stats_pool = VK_NULL_HANDLE;
	struct vkc_buf vertices, down;
	struct color_look look;
	struct stage s;

	VK(c->CreateQueryPool(c->dev, &info, NULL, &pool));
	if (has_stats)
		VK(c->CreateQueryPool(c->dev, &stats_info, NULL, &stats_pool));
	vkc_buf_create(c, &vertices, sizeof(triangle), HOST_COHERENT);
	vkc_buf_create(c, &down, PICTURE_BYTES, HOST_COHERENT);
	memcpy(vertices.map, triangle, sizeof(triangle));
	stage_create(c, &s, false, false, VK_SAMPLE_COUNT_1_BIT);
	color_look_create(c, &look, &s, false);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdResetQueryPool(cmd, pool, 0, 2);
	if (has_stats) {
		c->CmdResetQueryPool(cmd, stats_pool, 0, 1);
		c->CmdBeginQuery(cmd, stats_pool, 0, 0);
	}
	stage_begin(c, &s, cmd, VK_SUBPASS_CONTENTS_INLINE);
	color_look_bind(c, cmd, &look, &vertices, no_offset);
	c->CmdBeginQuery(cmd, pool, 0, precise);
	c->CmdDraw(cmd, 3, 1, 0, 0);
	c->CmdEndQuery(cmd, pool, 0);
	c->CmdBeginQuery(cmd, pool, 1, precise);
	c->CmdEndQuery(cmd, pool, 1);
	stage_end(c, &s, cmd);
	if (has_stats)
		c->CmdEndQuery(cmd, stats_pool, 0);
	stage_read_back(c, &s, cmd, &down);

	uint64_t seen[2], stats[2];
	uint64_t covered = 0;
	VK(c->GetQueryPoolResults(c->dev, pool, 0, 2, sizeof(seen), seen, sizeof(seen[0]),
				  VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
	for (uint32_t y = 0; y < SIDE; y++)
		for (uint32_t x = 0; x < SIDE; x++)
			covered += !picture_is_background(picture_pixel(&down, x, y));
	REQUIRE(precise ? seen[0] == covered : seen[0] > 0);
	REQUIRE(seen[1] == 0);
	printf("# samples passed: %llu\n", (unsigned long long)seen[0]);
	if (has_stats) {
		VK(c->GetQueryPoolResults(c->dev, stats_pool, 0, 1, sizeof(stats), stats,
					  sizeof(stats),
					  VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
		REQUIRE(stats[0] == 3 && stats[1] == 3);
	}
	c->DestroyQueryPool(c->dev, pool, NULL);
	c->DestroyQueryPool(c->dev, stats_pool, NULL);
	color_look_destroy(c, &look);
	stage_destroy(c, &s);
	vkc_buf_destroy(c, &vertices);
	vkc_buf_destroy(c, &down);
	return NULL;
}

#define TEX_SIDE 64
#define TEX_MIPS 7

/* A texture whose smaller levels are made by blits. */
static void texture_create(struct vkc *c, struct image *tex, VkCommandBuffer cmd,
			   struct vkc_buf *up)
{
	uint8_t *px = up->map;

	draw_image_create(c, tex, FORMAT, TEX_SIDE, TEX_MIPS, VK_SAMPLE_COUNT_1_BIT,
			  VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
				  VK_IMAGE_USAGE_TRANSFER_SRC_BIT);
	for (uint32_t y = 0; y < TEX_SIDE; y++)
		for (uint32_t x = 0; x < TEX_SIDE; x++) {
			uint8_t *p = px + 4 * (y * TEX_SIDE + x);
			p[0] = (uint8_t)(4 * x);
			p[1] = (uint8_t)(4 * y);
			p[2] = ((x / 8) ^ (y / 8)) & 1 ? 255 : 0;
			p[3] = 255;
		}
	draw_to_layout(c, cmd, tex->image, VK_IMAGE_ASPECT_COLOR_BIT, VK_IMAGE_LAYOUT_UNDEFINED,
		       VK_IMAGE_LAYOUT_GENERAL);
	VkBufferImageCopy copy = {
		.imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.imageExtent = { TEX_SIDE, TEX_SIDE, 1 },
	};
	c->CmdCopyBufferToImage(cmd, up->buf, tex->image, VK_IMAGE_LAYOUT_GENERAL, 1, &copy);
	for (uint32_t m = 1; m < TEX_MIPS; m++) {
		int32_t from = TEX_SIDE >> (m - 1), to = TEX_SIDE >> m;
		VkImageBlit blit = {
			.srcSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, m - 1, 0, 1 },
			.srcOffsets = { { 0, 0, 0 }, { from, from, 1 } },
			.dstSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, m, 0, 1 },
			.dstOffsets = { { 0, 0, 0 }, { to, to, 1 } },
		};
		vkc_barrier(c, cmd);
		c->CmdBlitImage(cmd, tex->image, VK_IMAGE_LAYOUT_GENERAL, tex->image,
				VK_IMAGE_LAYOUT_GENERAL, 1, &blit, VK_FILTER_LINEAR);
	}
	vkc_barrier(c, cmd);
}

static const char *case_quad(struct vkc *c)
{
	VkDescriptorSetLayoutBinding bind[] = {
		{ 0, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1, VK_SHADER_STAGE_FRAGMENT_BIT,
		  NULL },
		{ 1, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, 1, VK_SHADER_STAGE_FRAGMENT_BIT, NULL },
	};
	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = ARRAY_LEN(bind),
		.pBindings = bind,
	};
	VkDescriptorPoolSize sizes[] = { { VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1 },
					 { VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, 1 } };
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = ARRAY_LEN(sizes),
		.pPoolSizes = sizes,
	};
	VkSamplerCreateInfo sampler_info = {
		.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
		.magFilter = VK_FILTER_LINEAR,
		.minFilter = VK_FILTER_LINEAR,
		.mipmapMode = VK_SAMPLER_MIPMAP_MODE_LINEAR,
		.addressModeU = VK_SAMPLER_ADDRESS_MODE_MIRRORED_REPEAT,
		.addressModeV = VK_SAMPLER_ADDRESS_MODE_REPEAT,
		.minLod = 1.5f,
		.maxLod = 6.0f,
	};
	static const float tint[4] = { 1.0f, 0.5f, 0.75f, 1.0f };
	VkDescriptorSetLayout set_layout;
	VkDescriptorPool pool;
	VkDescriptorSet set;
	VkSampler sampler;
	struct vkc_buf up, uni, down;
	struct image tex;
	struct stage s;

	vkc_buf_create(c, &up, 4 * TEX_SIDE * TEX_SIDE, HOST_COHERENT);
	vkc_buf_create(c, &uni, sizeof(tint), HOST_COHERENT);
	vkc_buf_create(c, &down, PICTURE_BYTES, HOST_COHERENT);
	memcpy(uni.map, tint, sizeof(tint));
	VK(c->CreateSampler(c->dev, &sampler_info, NULL, &sampler));
	VK(c->CreateDescriptorSetLayout(c->dev, &set_info, NULL, &set_layout));
	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, &pool));
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &set_layout,
	};
	VK(c->AllocateDescriptorSets(c->dev, &alloc, &set));
	VkPipelineLayoutCreateInfo layout_info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &set_layout,
	};
	struct look look = {
		.vert = VKC_SHADER(c, quad_vert),
		.frag = VKC_SHADER(c, quad_frag),
		.topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_STRIP,
	};
	VK(c->CreatePipelineLayout(c->dev, &layout_info, NULL, &look.layout));
	stage_create(c, &s, false, false, VK_SAMPLE_COUNT_1_BIT);
	VkPipeline pipeline = stage_pipeline(c, &s, &look);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	texture_create(c, &tex, cmd, &up);
	VkDescriptorImageInfo image = { sampler, tex.view, VK_IMAGE_LAYOUT_GENERAL };
	VkDescriptorBufferInfo buf = { uni.buf, 0, sizeof(tint) };
	VkWriteDescriptorSet writes[] = {
		{ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		  .dstSet = set,
		  .descriptorCount = 1,
		  .descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
		  .pImageInfo = &image },
		{ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		  .dstSet = set,
		  .dstBinding = 1,
		  .descriptorCount = 1,
		  .descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER,
		  .pBufferInfo = &buf },
	};
	c->UpdateDescriptorSets(c->dev, ARRAY_LEN(writes), writes, 0, NULL);

	VkViewport viewport = { 0.0f, 0.0f, (float)SIDE, (float)SIDE, 0.0f, 1.0f };
	VkRect2D scissor = { { 16, 0 }, { SIDE - 48, SIDE } };
	stage_begin(c, &s, cmd, VK_SUBPASS_CONTENTS_INLINE);
	c->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, pipeline);
	c->CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, look.layout, 0, 1, &set, 0,
				 NULL);
	c->CmdSetViewport(cmd, 0, 1, &viewport);
	c->CmdSetScissor(cmd, 0, 1, &scissor);
	c->CmdDraw(cmd, 4, 1, 0, 0);
	stage_end(c, &s, cmd);
	stage_read_back(c, &s, cmd, &down);
	picture_publish("quad", &down);
	REQUIRE(!picture_is_background(picture_pixel(&down, 128, 128)) &&
		picture_is_background(picture_pixel(&down, 230, 128)));

	c->DestroyPipeline(c->dev, pipeline, NULL);
	c->DestroyPipelineLayout(c->dev, look.layout, NULL);
	c->DestroyShaderModule(c->dev, look.vert, NULL);
	c->DestroyShaderModule(c->dev, look.frag, NULL);
	c->DestroyDescriptorPool(c->dev, pool, NULL);
	c->DestroyDescriptorSetLayout(c->dev, set_layout, NULL);
	c->DestroySampler(c->dev, sampler, NULL);
	draw_image_destroy(c, &tex);
	stage_destroy(c, &s);
	vkc_buf_destroy(c, &up);
	vkc_buf_destroy(c, &uni);
	vkc_buf_destroy(c, &down);
	return NULL;
}

static const struct vkc_case cases[] = {
	{ "triangle", case_triangle },
	{ "msaa", case_msaa },
	{ "depth", case_depth },
	{ "instances", case_instances },
	{ "compute_vertices", case_compute_vertices },
	{ "queries", case_queries },
	{ "quad", case_quad },
};

int main(int argc, char **argv)
{
	return vkc_main(argc, argv, true, cases, ARRAY_LEN(cases));
}
