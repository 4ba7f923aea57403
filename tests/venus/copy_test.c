/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between images and memory by the CPU: large ones work, and what fails is told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "null_icd.h"
#include "trap.h"

#define MIB UINT64_C(1048576)

struct world {
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
};

static void start(struct world *w)
{
	null_control(NULL);
	trap_reset();
	assert_int_equal(guest_open(&w->g, NULL), 0);
	assert_int_equal(guest_prologue(&w->g, &w->reply, &w->stream), 0);
	null_forget();
}

static void finish(struct world *w)
{
	assert_int_equal(guest_close(&w->g), 0);
	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	null_control(NULL);
}

static void cmd_image(struct guest *g, uint64_t id, uint32_t format, uint32_t width,
		      uint32_t height, uint32_t layers)
{
	guest_put_cmd(g, 54, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO);
	guest_put_u32(g, 0);
	guest_put_u32(g, VK_IMAGE_TYPE_2D);
	guest_put_u32(g, format);
	guest_put_u32(g, width);
	guest_put_u32(g, height);
	guest_put_u32(g, 1);
	guest_put_u32(g, 1); /* levels */
	guest_put_u32(g, layers);
	guest_put_u32(g, 1); /* samples */
	guest_put_u32(g, VK_IMAGE_TILING_OPTIMAL);
	guest_put_u32(g, VK_IMAGE_USAGE_SAMPLED_BIT);
	guest_put_u32(g, VK_SHARING_MODE_EXCLUSIVE);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, VK_IMAGE_LAYOUT_UNDEFINED);
	guest_put_new(g, id);
}

static void put_part(struct guest *g, uint32_t layers)
{
	guest_put_u32(g, VK_IMAGE_ASPECT_COLOR_BIT);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, layers);
}

static void put_box(struct guest *g, uint32_t width, uint32_t height)
{
	for (int i = 0; i < 3; i++)
		guest_put_u32(g, 0);
	guest_put_u32(g, width);
	guest_put_u32(g, height);
	guest_put_u32(g, 1);
}

/* vkCopyImageToMemoryMESA of all layers into @size bytes. */
static void cmd_download(struct guest *g, uint64_t image, uint32_t width, uint32_t height,
			 uint32_t layers, uint64_t size)
{
	guest_put_cmd(g, 297, GUEST_REPLY);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, 1000384008); /* VkCopyImageToMemoryInfoMESA */
	guest_put_u32(g, 0);
	guest_put_u64(g, image);
	guest_put_u32(g, VK_IMAGE_LAYOUT_GENERAL);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	put_part(g, layers);
	put_box(g, width, height);
	guest_put_u64(g, size);
	guest_put_u64(g, size);
}

/* vkCopyMemoryToImageMESA up to and with the count of the bytes of its only region. */
static void cmd_upload_begin(struct guest *g, uint64_t image, uint64_t size)
{
	guest_put_cmd(g, 298, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, 1000384010); /* VkCopyMemoryToImageInfoMESA */
	guest_put_u32(g, 0);
	guest_put_u64(g, image);
	guest_put_u32(g, VK_IMAGE_LAYOUT_GENERAL);
	guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, 1000384009); /* VkMemoryToImageCopyMESA */
	guest_put_u64(g, 0);
	guest_put_u64(g, size);
	guest_put_u64(g, size);
}

/* What follows the bytes. */
static void cmd_upload_end(struct guest *g, uint32_t width, uint32_t height)
{
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	put_part(g, 1);
	put_box(g, width, height);
}

static int32_t result(const struct world *w)
{
	int32_t r;

	memcpy(&r, w->reply.map + 4, sizeof(r));
	return r;
}

static void images_of_many_texels(void **state)
{
	static const struct {
		uint32_t format, width, height, layers;
		VkResult r;
	} rows[] = {
		{ VK_FORMAT_R8G8B8A8_UNORM, 4096, 4096, 1, VK_SUCCESS },
		{ VK_FORMAT_R8G8B8A8_UNORM, 2048, 2048, 6, VK_SUCCESS },
		{ VK_FORMAT_R16G16B16A16_SFLOAT, 16384, 16384, 1, VK_SUCCESS },
		{ VK_FORMAT_BC7_UNORM_BLOCK, 16384, 16384, 8, VK_SUCCESS },
		{ VK_FORMAT_R32G32B32A32_SFLOAT, 16384, 16384, 1, VK_ERROR_OUT_OF_HOST_MEMORY },
		{ 1000156002, 16384, 16384, 1, VK_ERROR_OUT_OF_HOST_MEMORY }, /* several planes */
	};
	struct world w;

	(void)state;
	start(&w);
	for (uint32_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint64_t image = ID_FREE + i;

		print_message("# %u x %u of format %u\n", rows[i].width, rows[i].height,
			      rows[i].format);
		guest_cmd_reply_stream(&w.g, RES_REPLY, 0, 64);
		cmd_image(&w.g, image, rows[i].format, rows[i].width, rows[i].height,
			  rows[i].layers);
		cmd_download(&w.g, image, rows[i].width, rows[i].height, rows[i].layers, 4);
		assert_int_equal(guest_submit(&w.g), 0);
		assert_int_equal(result(&w), rows[i].r);
	}
	finish(&w);
}

/* Mesa sends an image whole, in one command, and wants it back in one answer. */
static void images_of_many_bytes(void **state)
{
	const uint64_t size = 80 * MIB;
	struct guest_shm shm;
	struct world w;
	size_t n;

	(void)state;
	start(&w);
	assert_int_equal(guest_shm_new(&w.g, RES_FREE, size + MIB, &shm), 0);
	cmd_image(&w.g, ID_FREE, VK_FORMAT_R8G8B8A8_UNORM, 4096, 5120, 1);
	assert_int_equal(guest_submit(&w.g), 0);

	cmd_upload_begin(&w.g, ID_FREE, size);
	memcpy(shm.map, w.g.out, w.g.len);
	n = w.g.len + size;
	guest_drop(&w.g);
	cmd_upload_end(&w.g, 4096, 5120);
	memcpy(shm.map + n, w.g.out, w.g.len);
	n += w.g.len;
	guest_drop(&w.g);
	guest_cmd_execute(&w.g, RES_FREE, 0, n);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(null_calls("vkCopyMemoryToImage"), 1);

	guest_cmd_reply_stream(&w.g, RES_FREE, 0, shm.size);
	cmd_download(&w.g, ID_FREE, 4096, 5120, 1, size);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(null_calls("vkCopyImageToMemory"), 1);
	guest_shm_drop(&shm);
	finish(&w);
}

static void upload_that_fails_is_logged(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	cmd_image(&w.g, ID_FREE, VK_FORMAT_R32G32B32A32_SFLOAT, 16384, 16384, 1);
	cmd_upload_begin(&w.g, ID_FREE, 4);
	guest_put_u32(&w.g, 0);
	cmd_upload_end(&w.g, 16384, 16384);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_true(trap_holds("a copy from memory to an image fails with -1"));
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_of_many_texels),
		cmocka_unit_test(images_of_many_bytes),
		cmocka_unit_test(upload_that_fails_is_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
