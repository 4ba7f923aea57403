/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers by which drivers index their arrays, and counts that contradict each other: what is past
 * the end makes the context fatal and does not reach the driver.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "null_icd.h"
#include "trap.h"

static void queries_past_their_pool(struct guest *g)
{
	guest_put_cmd(g, 171, 0); /* vkResetQueryPool */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 15);
	guest_put_u32(g, 2);
}

static void queries_that_wrap(struct guest *g)
{
	guest_put_cmd(g, 171, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, UINT32_MAX);
	guest_put_u32(g, 2);
}

static void recorded_query_past_its_pool(struct guest *g)
{
	guest_put_cmd(g, 128, 0); /* vkCmdEndQuery */
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 16);
}

static void results_of_queries_past_their_pool(struct guest *g)
{
	guest_put_cmd(g, 49, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 16);
	guest_put_u32(g, 1);
	guest_put_u64(g, 8);
	guest_put_u64(g, 8);
	guest_put_u64(g, 8);
	guest_put_u32(g, 0);
}

static void push_constants_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 132, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u64(g, ID_PIPE_LAYOUT);
	guest_put_u32(g, VK_SHADER_STAGE_COMPUTE_BIT);
	guest_put_u32(g, 256);
	guest_put_u32(g, 4);
	guest_put_u64(g, 4);
	guest_put_u32(g, 0x41414141);
}

static void viewport_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 94, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, 16);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	for (int i = 0; i < 6; i++)
		guest_put_u32(g, 0);
}

static void vertex_buffer_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 105, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, 0x1000);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &(uint64_t){ ID_BUFFER });
	guest_put_ids(g, 1, &(uint64_t){ 0 });
}

static void descriptor_set_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 103, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_u32(g, VK_PIPELINE_BIND_POINT_COMPUTE);
	guest_put_u64(g, ID_PIPE_LAYOUT);
	guest_put_u32(g, 8);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &(uint64_t){ ID_DESC_SET });
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
}

static void vertex_binding_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 65, 0); /* vkCreateGraphicsPipelines */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0); /* stages */
	guest_put_u64(g, 0);
	guest_put_struct(g, VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 0x10000); /* binding, stride, rate */
	guest_put_u32(g, 0x41414141);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	/* The other states need not follow any more; but a stream is not shorter than its array. */
	for (int i = 0; i < 64; i++)
		guest_put_u32(g, 0);
}

/* With one specialization constant, 8 bytes at @offset of 8. */
static void put_compute_pipeline(struct guest *g, uint32_t stage, uint32_t offset)
{
	guest_put_cmd(g, 66, 0); /* vkCreateComputePipelines */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, stage);
	guest_put_u64(g, ID_SHADER);
	guest_put_string(g, "main");
	guest_put_u64(g, 1); /* pSpecializationInfo */
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 0); /* constant, offset, size */
	guest_put_u32(g, offset);
	guest_put_u64(g, 8);
	guest_put_u64(g, 8);
	guest_put_u64(g, 8);
	guest_put_u64(g, 0);
	guest_put_u64(g, ID_PIPE_LAYOUT);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_ids(g, 1, &(uint64_t){ ID_FREE });
}

static void specialization_outside_of_its_data(struct guest *g)
{
	put_compute_pipeline(g, VK_SHADER_STAGE_COMPUTE_BIT, 4096);
}

static void shader_of_an_unknown_stage(struct guest *g)
{
	put_compute_pipeline(g, 0x80000000U, 0);
}

static void inline_bytes_fewer_than_said(struct guest *g)
{
	guest_put_cmd(g, 79, 0); /* vkUpdateDescriptorSets */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET_INLINE_UNIFORM_BLOCK);
	guest_put_u64(g, 0);
	guest_put_u32(g, 4);
	guest_put_u64(g, 4);
	guest_put_u32(g, 0);
	guest_put_u64(g, ID_DESC_SET);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1U << 20); /* so many bytes the driver would copy */
	guest_put_u32(g, VK_DESCRIPTOR_TYPE_INLINE_UNIFORM_BLOCK);
	guest_put_u64(g, 0);
	guest_put_u64(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
}

static void counts_for_fewer_sets(struct guest *g)
{
	const uint64_t layouts[] = { ID_SET_LAYOUT, ID_SET_LAYOUT };
	const uint64_t sets[] = { ID_FREE, ID_FREE + 1 };

	guest_put_cmd(g, 77, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_VARIABLE_DESCRIPTOR_COUNT_ALLOCATE_INFO);
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 7);
	guest_put_u64(g, ID_DESC_POOL);
	guest_put_u32(g, 2);
	guest_put_ids(g, 2, layouts);
	guest_put_ids(g, 2, sets);
}

static void put_binding(struct guest *g, uint32_t number)
{
	guest_put_cmd(g, 72, 0); /* vkCreateDescriptorSetLayout */
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, number);
	guest_put_u32(g, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
	guest_put_u32(g, 1);
	guest_put_u32(g, VK_SHADER_STAGE_COMPUTE_BIT);
	guest_put_u64(g, 0);
	guest_put_new(g, ID_FREE);
}

static void binding_that_wraps(struct guest *g)
{
	put_binding(g, UINT32_MAX);
}

static void binding_of_a_number_that_costs(struct guest *g)
{
	put_binding(g, 20000000);
}

static void put_render_pass(struct guest *g, uint32_t attachment, uint32_t subpass)
{
	guest_put_cmd(g, 82, 0); /* vkCreateRenderPass */
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0); /* attachments */
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_PIPELINE_BIND_POINT_GRAPHICS);
	guest_put_u32(g, 0); /* inputs */
	guest_put_u64(g, 0);
	guest_put_u32(g, 1); /* colours */
	guest_put_u64(g, 1);
	guest_put_u32(g, attachment);
	guest_put_u32(g, VK_IMAGE_LAYOUT_GENERAL);
	guest_put_u64(g, 0); /* resolve */
	guest_put_u64(g, 0); /* depth */
	guest_put_u32(g, 0); /* preserved */
	guest_put_u64(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_SUBPASS_EXTERNAL);
	guest_put_u32(g, subpass);
	for (int i = 0; i < 5; i++)
		guest_put_u32(g, 0);
	guest_put_new(g, ID_FREE);
}

static void attachment_past_the_last(struct guest *g)
{
	put_render_pass(g, 0, 0);
}

static void subpass_past_the_last(struct guest *g)
{
	put_render_pass(g, VK_ATTACHMENT_UNUSED, 1);
}

static void copy_of_a_level_that_is_not_there(struct guest *g)
{
	guest_cmd_copy_image(g, ID_IMAGE, 0, 1, 1, 4);
}

static void copy_from_beside_the_image(struct guest *g)
{
	guest_cmd_copy_image(g, ID_IMAGE, 0, 0, 17, 17 * 4);
}

static void copy_without_an_image(struct guest *g)
{
	guest_cmd_copy_image(g, 0, 0, 0, 1, 4);
}

/* vkCopyImageToImage of one region within ID_IMAGE, 16 x 16. */
static void put_image_to_image(struct guest *g, uint32_t src_x, uint32_t dst_x)
{
	guest_put_cmd(g, 295, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_COPY_IMAGE_TO_IMAGE_INFO);
	guest_put_u32(g, 0);
	guest_put_u64(g, ID_IMAGE);
	guest_put_u32(g, VK_IMAGE_LAYOUT_GENERAL);
	guest_put_u64(g, ID_IMAGE);
	guest_put_u32(g, VK_IMAGE_LAYOUT_GENERAL);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_IMAGE_COPY_2);
	guest_put_u64(g, 0);
	for (int end = 0; end < 2; end++) {
		guest_put_u32(g, VK_IMAGE_ASPECT_COLOR_BIT);
		guest_put_u32(g, 0); /* level, layers */
		guest_put_u32(g, 0);
		guest_put_u32(g, 1);
		guest_put_u32(g, end == 0 ? src_x : dst_x);
		guest_put_u32(g, 0);
		guest_put_u32(g, 0);
	}
	guest_put_u32(g, 8);
	guest_put_u32(g, 1);
	guest_put_u32(g, 1);
}

static void copy_from_beside_another_image(struct guest *g)
{
	put_image_to_image(g, 9, 0);
}

static void copy_to_beside_another_image(struct guest *g)
{
	put_image_to_image(g, 0, 9);
}

static void family_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 85, 0); /* vkCreateCommandPool */
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0x10000000);
	guest_put_new(g, ID_FREE);
}

static void push_data_past_the_last(struct guest *g)
{
	guest_put_cmd(g, 341, 0);
	guest_put_u64(g, ID_CMDBUF);
	guest_put_struct(g, VK_STRUCTURE_TYPE_PUSH_DATA_INFO_EXT);
	guest_put_u32(g, 256);
	guest_put_u64(g, 4);
	guest_put_u64(g, 4);
	guest_put_u32(g, 0x41414141);
}

/* clang-format off */
static const struct row {
	void (*put)(struct guest *g);
	const char *says;
} rows[] = {
	{ queries_past_their_pool,              "vkResetQueryPool goes to number 17 of 16 queries" },
	{ queries_that_wrap,                    "vkResetQueryPool goes to number 4294967297 of 16 queries" },
	{ recorded_query_past_its_pool,         "vkCmdEndQuery goes to number 17 of 16 queries" },
	{ results_of_queries_past_their_pool,   "vkGetQueryPoolResults goes to number 17 of 16 queries" },
	{ push_constants_past_the_last,         "vkCmdPushConstants goes to number 260 of 256 bytes" },
	{ viewport_past_the_last,               "vkCmdSetViewport goes to number 17 of 16 viewports" },
	{ vertex_buffer_past_the_last,          "vkCmdBindVertexBuffers goes to number 4097 of 16 vertex bindings" },
	{ descriptor_set_past_the_last,         "vkCmdBindDescriptorSets goes to number 9 of 8 descriptor sets" },
	{ vertex_binding_past_the_last,         "vkCreateGraphicsPipelines goes to number 65537 of 16 vertex bindings" },
	{ specialization_outside_of_its_data,   "vkCreateComputePipelines has a specialization constant outside" },
	{ shader_of_an_unknown_stage,           "vkCreateComputePipelines has a shader of the stage 0x80000000" },
	{ inline_bytes_fewer_than_said,         "vkUpdateDescriptorSets writes 1048576 bytes of 4" },
	{ counts_for_fewer_sets,                "vkAllocateDescriptorSets has descriptor counts for 1 sets of 2" },
	{ binding_that_wraps,                   "vkCreateDescriptorSetLayout has a binding of the number 4294967295" },
	{ binding_of_a_number_that_costs,       "vkCreateDescriptorSetLayout has a binding of the number 20000000" },
	{ attachment_past_the_last,             "vkCreateRenderPass names attachment 0 of 0" },
	{ subpass_past_the_last,                "vkCreateRenderPass has a dependency of subpasses 4294967295 and 1 of 1" },
	{ copy_of_a_level_that_is_not_there,    "vkCopyImageToMemoryMESA copies level 1" },
	{ copy_from_beside_the_image,           "vkCopyImageToMemoryMESA copies what is outside" },
	{ copy_from_beside_another_image,       "vkCopyImageToImage copies what is outside" },
	{ copy_to_beside_another_image,         "vkCopyImageToImage copies what is outside" },
	{ family_past_the_last,                 "vkCreateCommandPool names queue family 268435456 of" },
	{ push_data_past_the_last,              "vkCmdPushDataEXT goes to number 260 of 256 bytes of push data" },
	{ copy_without_an_image,                "vkCopyImageToMemoryMESA lacks its image" },
};
/* clang-format on */

static void numbers_past_the_end_do_not_reach_the_driver(void **state)
{
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest g;

	(void)state;
	null_control(NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(guest_open(&g, NULL), 0);
		assert_int_equal(guest_prologue(&g, &reply, &stream), 0);
		trap_reset();
		rows[i].put(&g);
		uint64_t calls = null_calls_total();
		int r = guest_submit(&g);

		if (r != -EPROTO || !trap_holds(rows[i].says)) {
			print_message("row %zu: %d, expected '%s'\n", i, r, rows[i].says);
			trap_show();
		}
		assert_int_equal(r, -EPROTO);
		assert_true(trap_holds(rows[i].says));
		assert_int_equal(null_calls_total(), calls);
		guest_shm_drop(&reply);
		guest_shm_drop(&stream);
		assert_int_equal(guest_close(&g), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_past_the_end_do_not_reach_the_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
