/* SPDX-License-Identifier: Apache-2.0 */
/* Commands put together by hand, field by field in the order of the wire (venus.md 2); see guest.h.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "null_icd.h"

void guest_cmd_instance(struct guest *g, uint64_t id)
{
	guest_put_cmd(g, 0, 0);
	guest_put_struct(g, VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
	guest_put_u32(g, 0); /* flags */
	guest_put_u64(g, 0); /* pApplicationInfo */
	guest_put_u32(g, 0); /* layers */
	guest_put_u64(g, 0);
	guest_put_u32(g, 0); /* extensions */
	guest_put_u64(g, 0);
	guest_put_new(g, id);
}

void guest_cmd_physdevs(struct guest *g, uint64_t instance, uint64_t first, uint32_t n)
{
	guest_put_cmd(g, 2, 0);
	guest_put_u64(g, instance);
	guest_put_u64(g, 1);
	guest_put_u32(g, n);
	guest_put_u64(g, n);
	for (uint32_t i = 0; i < n; i++)
		guest_put_u64(g, first + i);
}

static void cmd_device(struct guest *g, uint64_t phys, uint64_t id, uint32_t queues, uint32_t n,
		       const char *const *exts)
{
	guest_put_cmd(g, 11, 0);
	guest_put_u64(g, phys);
	guest_put_struct(g, VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
	guest_put_u32(g, 0); /* flags */
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
	guest_put_u64(g, 0); /* pNext */
	guest_put_u32(g, 0); /* flags */
	guest_put_u32(g, 0); /* family */
	guest_put_u32(g, queues);
	guest_put_u64(g, queues);
	for (uint32_t i = 0; i < queues; i++)
		guest_put_u32(g, 0x3f800000);
	guest_put_u32(g, 0); /* layers */
	guest_put_u64(g, 0);
	guest_put_u32(g, n);
	guest_put_u64(g, n);
	for (uint32_t i = 0; i < n; i++)
		guest_put_string(g, exts[i]);
	guest_put_u64(g, 0); /* pEnabledFeatures */
	guest_put_new(g, id);
}

void guest_cmd_device(struct guest *g, uint64_t phys, uint64_t id, uint32_t queues)
{
	cmd_device(g, phys, id, queues, 0, NULL);
}

/* Every extension that brings functions and needs no dma-buf. */
static const char *const extensions[] = {
	"VK_EXT_attachment_feedback_loop_dynamic_state",
	"VK_EXT_color_write_enable",
	"VK_EXT_conditional_rendering",
	"VK_EXT_depth_bias_control",
	"VK_EXT_depth_clamp_control",
	"VK_EXT_descriptor_heap",
	"VK_EXT_extended_dynamic_state2",
	"VK_EXT_extended_dynamic_state3",
	"VK_EXT_mesh_shader",
	"VK_EXT_multi_draw",
	"VK_EXT_sample_locations",
	"VK_EXT_transform_feedback",
	"VK_EXT_vertex_input_dynamic_state",
	"VK_KHR_acceleration_structure",
	"VK_KHR_calibrated_timestamps",
	"VK_KHR_fragment_shading_rate",
	"VK_KHR_ray_tracing_maintenance1",
	"VK_KHR_ray_tracing_pipeline",
};

void guest_cmd_queue(struct guest *g, uint64_t dev, uint64_t id, uint32_t index, uint32_t timeline)
{
	guest_put_cmd(g, 155, 0);
	guest_put_u64(g, dev);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_DEVICE_QUEUE_INFO_2);
	guest_put_struct(g, 1000384005); /* VkDeviceQueueTimelineInfoMESA */
	guest_put_u32(g, timeline);
	guest_put_u32(g, 0); /* flags */
	guest_put_u32(g, 0); /* family */
	guest_put_u32(g, index);
	guest_put_ids(g, 1, &id);
}

void guest_cmd_buffer(struct guest *g, uint64_t dev, uint64_t id, uint64_t size)
{
	guest_cmd_buffer_of(g, dev, id, size, 0x1ff);
}

void guest_cmd_buffer_of(struct guest *g, uint64_t dev, uint64_t id, uint64_t size, uint32_t usage)
{
	guest_put_cmd(g, 50, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
	guest_put_u32(g, 0); /* flags */
	guest_put_u64(g, size);
	guest_put_u32(g, usage);
	guest_put_u32(g, 0); /* sharingMode */
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_new(g, id);
}

void guest_cmd_memory(struct guest *g, uint64_t dev, uint64_t id, uint64_t size, uint32_t type)
{
	guest_put_cmd(g, 21, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
	guest_put_u64(g, size);
	guest_put_u32(g, type);
	guest_put_new(g, id);
}

void guest_cmd_fence(struct guest *g, uint64_t dev, uint64_t id)
{
	guest_put_cmd(g, 35, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_FENCE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_new(g, id);
}

void guest_cmd_cmd_pool(struct guest *g, uint64_t dev, uint64_t id)
{
	guest_put_cmd(g, 85, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
	guest_put_u32(g, 2);
	guest_put_u32(g, 0);
	guest_put_new(g, id);
}

void guest_cmd_cmdbufs(struct guest *g, uint64_t dev, uint64_t pool, uint32_t n,
		       const uint64_t *ids)
{
	guest_put_cmd(g, 88, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
	guest_put_u64(g, pool);
	guest_put_u32(g, 0);
	guest_put_u32(g, n);
	guest_put_ids(g, n, ids);
}

void guest_cmd_desc_pool(struct guest *g, uint64_t dev, uint64_t id)
{
	guest_put_cmd(g, 74, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO);
	guest_put_u32(g, 1);
	guest_put_u32(g, 16);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
	guest_put_u32(g, 16);
	guest_put_new(g, id);
}

static void cmd_set_layout(struct guest *g, uint64_t dev, uint64_t id)
{
	guest_put_cmd(g, 72, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 0); /* binding */
	guest_put_u32(g, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
	guest_put_u32(g, 1);
	guest_put_u32(g, VK_SHADER_STAGE_COMPUTE_BIT);
	guest_put_u64(g, 0);
	guest_put_new(g, id);
}

void guest_cmd_desc_sets(struct guest *g, uint64_t dev, uint64_t pool, uint64_t layout, uint32_t n,
			 const uint64_t *ids)
{
	guest_put_cmd(g, 77, 0);
	guest_put_u64(g, dev);
	guest_put_struct(g, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO);
	guest_put_u64(g, pool);
	guest_put_u32(g, n);
	guest_put_u64(g, n);
	for (uint32_t i = 0; i < n; i++)
		guest_put_u64(g, layout);
	guest_put_ids(g, n, ids);
}

void guest_cmd_destroy(struct guest *g, int32_t number, uint64_t dev, uint64_t id)
{
	guest_put_cmd(g, number, 0);
	guest_put_u64(g, dev);
	guest_put_u64(g, id);
	guest_put_u64(g, 0);
}

void guest_cmd_submit_one(struct guest *g, uint64_t queue, uint64_t cmdbuf, uint64_t fence)
{
	guest_put_cmd(g, 18, 0);
	guest_put_u64(g, queue);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_SUBMIT_INFO);
	guest_put_u64(g, 0); /* pNext */
	guest_put_u32(g, 0); /* waits */
	guest_put_u64(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &cmdbuf);
	guest_put_u32(g, 0); /* signals */
	guest_put_u64(g, 0);
	guest_put_u64(g, fence);
}

void guest_cmd_reply_stream(struct guest *g, uint32_t res, uint64_t offset, uint64_t size)
{
	guest_put_cmd(g, 178, 0);
	guest_put_u64(g, 1);
	guest_put_u32(g, res);
	guest_put_u64(g, offset);
	guest_put_u64(g, size);
}

static void cmd_image(struct guest *g)
{
	guest_put_cmd(g, 54, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_IMAGE_TYPE_2D);
	guest_put_u32(g, VK_FORMAT_R8G8B8A8_UNORM);
	guest_put_u32(g, 16);
	guest_put_u32(g, 16);
	guest_put_u32(g, 1);
	guest_put_u32(g, 1); /* mip levels */
	guest_put_u32(g, 1); /* layers */
	guest_put_u32(g, 1); /* samples */
	guest_put_u32(g, 0); /* tiling */
	guest_put_u32(g, 0x1f);
	guest_put_u32(g, 0); /* sharingMode */
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0); /* layout */
	guest_put_new(g, ID_IMAGE);

	guest_put_cmd(g, 57, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u64(g, ID_IMAGE);
	guest_put_u32(g, VK_IMAGE_VIEW_TYPE_2D);
	guest_put_u32(g, VK_FORMAT_R8G8B8A8_UNORM);
	for (int i = 0; i < 4; i++)
		guest_put_u32(g, 0); /* swizzle */
	guest_put_u32(g, 1);         /* aspect */
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_new(g, ID_IMAGE_VIEW);
}

static void cmd_sampler(struct guest *g)
{
	guest_put_cmd(g, 70, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO);
	for (int i = 0; i < 16; i++) /* every member has four bytes, and zero will do */
		guest_put_u32(g, 0);
	guest_put_new(g, ID_SAMPLER);
}

static void cmd_pipeline(struct guest *g)
{
	const uint64_t layout = ID_SET_LAYOUT;
	const uint64_t pipeline = ID_PIPELINE;
	const uint32_t spirv[] = { 0x07230203, 0x00010000, 0, 1, 0 };

	guest_put_cmd(g, 68, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &layout);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_new(g, ID_PIPE_LAYOUT);

	guest_put_cmd(g, 59, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u64(g, sizeof(spirv));
	guest_put_u64(g, sizeof(spirv) / 4);
	guest_put_bytes(g, spirv, sizeof(spirv));
	guest_put_new(g, ID_SHADER);

	guest_put_cmd(g, 66, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 0); /* cache */
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_SHADER_STAGE_COMPUTE_BIT);
	guest_put_u64(g, ID_SHADER);
	guest_put_string(g, "main");
	guest_put_u64(g, 0);
	guest_put_u64(g, ID_PIPE_LAYOUT);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_ids(g, 1, &pipeline);
}

static void cmd_sync(struct guest *g)
{
	guest_cmd_fence(g, ID_DEVICE, ID_FENCE);

	guest_put_cmd(g, 40, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_new(g, ID_SEMAPHORE);

	guest_put_cmd(g, 40, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
	guest_put_struct(g, VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
	guest_put_u32(g, VK_SEMAPHORE_TYPE_TIMELINE);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_new(g, ID_TIMELINE);

	guest_put_cmd(g, 42, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_EVENT_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_new(g, ID_EVENT);

	guest_put_cmd(g, 47, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_QUERY_TYPE_TIMESTAMP);
	guest_put_u32(g, 16);
	guest_put_u32(g, 0);
	guest_put_new(g, ID_QUERY_POOL);
}

static void cmd_others(struct guest *g)
{
	/* An empty render pass with one empty subpass. */
	guest_put_cmd(g, 82, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 0); /* flags */
	guest_put_u32(g, 0); /* bind point */
	guest_put_u32(g, 0);
	guest_put_u64(g, 0); /* inputs */
	guest_put_u32(g, 0);
	guest_put_u64(g, 0); /* colours */
	guest_put_u64(g, 0); /* resolves */
	guest_put_u64(g, 0); /* depth */
	guest_put_u32(g, 0);
	guest_put_u64(g, 0); /* preserved */
	guest_put_u32(g, 0);
	guest_put_u64(g, 0); /* dependencies */
	guest_put_new(g, ID_RENDER_PASS);

	guest_put_cmd(g, 52, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u64(g, ID_BUFFER);
	guest_put_u32(g, VK_FORMAT_R32_UINT);
	guest_put_u64(g, 0);
	guest_put_u64(g, 64);
	guest_put_new(g, ID_BUFFER_VIEW);

	guest_put_cmd(g, 61, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u64(g, 0);
	guest_put_new(g, ID_CACHE);
}

static void cmd_bind(struct guest *g)
{
	guest_put_cmd(g, 28, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_BUFFER);
	guest_put_u64(g, ID_MEM_HOST);
	guest_put_u64(g, 0);
}

int guest_prologue(struct guest *g, struct guest_shm *reply, struct guest_shm *stream)
{
	const uint64_t cmdbufs[] = { ID_CMDBUF, ID_CMDBUF2 };
	const uint64_t set = ID_DESC_SET;
	struct venus_blob blob;
	int r = guest_shm_new(g, RES_REPLY, 1U << 16, reply);

	stream->map = NULL;
	if (r == 0)
		r = guest_shm_new(g, RES_STREAM, 1U << 16, stream);
	if (r < 0)
		return r;
	guest_cmd_instance(g, ID_INSTANCE);
	guest_cmd_physdevs(g, ID_INSTANCE, ID_PHYS0, 2);
	cmd_device(g, ID_PHYS0, ID_DEVICE, 2, ARRAY_LEN(extensions), extensions);
	guest_cmd_queue(g, ID_DEVICE, ID_QUEUE, 0, 1);
	guest_cmd_cmd_pool(g, ID_DEVICE, ID_CMD_POOL);
	guest_cmd_cmdbufs(g, ID_DEVICE, ID_CMD_POOL, 2, cmdbufs);
	guest_cmd_memory(g, ID_DEVICE, ID_MEM_HOST, 1U << 16, NULL_TYPE_HOST);
	guest_cmd_memory(g, ID_DEVICE, ID_MEM_LOCAL, 1U << 16, NULL_TYPE_LOCAL);
	guest_cmd_buffer(g, ID_DEVICE, ID_BUFFER, 1U << 16);
	cmd_bind(g);
	cmd_image(g);
	cmd_sampler(g);
	cmd_set_layout(g, ID_DEVICE, ID_SET_LAYOUT);
	guest_cmd_desc_pool(g, ID_DEVICE, ID_DESC_POOL);
	guest_cmd_desc_sets(g, ID_DEVICE, ID_DESC_POOL, ID_SET_LAYOUT, 1, &set);
	cmd_pipeline(g);
	cmd_sync(g);
	cmd_others(g);
	guest_cmd_device(g, ID_PHYS1, ID_DEVICE2, 2);
	guest_cmd_buffer(g, ID_DEVICE2, ID_BUFFER2, 4096);
	guest_cmd_reply_stream(g, RES_REPLY, 0, reply->size);
	r = guest_submit(g);
	if (r < 0)
		return r;
	r = venus_ctx_create_blob(g->ctx, RES_MEM, VENUS_BLOB_MEM_HOST3D, VENUS_BLOB_MAPPABLE,
				  ID_MEM_HOST, 1U << 16, &blob);
	if (r == 0)
		(void)close(blob.fd);
	return r;
}

void guest_cmd_execute(struct guest *g, uint32_t res, uint64_t offset, uint64_t size)
{
	guest_put_cmd(g, 180, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, res);
	guest_put_u64(g, offset);
	guest_put_u64(g, size);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
}

void guest_cmd_copy_image(struct guest *g, uint64_t image, uint32_t flags, uint32_t level,
			  uint32_t width, uint64_t size)
{
	guest_put_cmd(g, 297, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, 1000384008); /* VkCopyImageToMemoryInfoMESA */
	guest_put_u32(g, flags);
	guest_put_u64(g, image);
	guest_put_u32(g, VK_IMAGE_LAYOUT_GENERAL);
	guest_put_u32(g, 0); /* memoryRowLength */
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_IMAGE_ASPECT_COLOR_BIT);
	guest_put_u32(g, level);
	guest_put_u32(g, 0); /* layers */
	guest_put_u32(g, 1);
	for (int i = 0; i < 3; i++)
		guest_put_u32(g, 0); /* offset */
	guest_put_u32(g, width);
	guest_put_u32(g, 1);
	guest_put_u32(g, 1);
	guest_put_u64(g, size);
	guest_put_u64(g, size);
}
