/* SPDX-License-Identifier: Apache-2.0 */
/* What the renderer refuses without ending the context: an error is all that the guest gets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "null_icd.h"
#include "trap.h"

struct world {
	struct guest victim;
	struct guest_shm reply;
	struct guest_shm stream;
};

static int set_up(void **state)
{
	static struct world world;
	struct world *w = &world;

	null_control(NULL);
	trap_reset();
	*state = w;
	return guest_open(&w->victim, NULL) || guest_prologue(&w->victim, &w->reply, &w->stream);
}

static int tear_down(void **state)
{
	struct world *w = *state;

	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	return guest_close(&w->victim) || null_alive(VK_OBJECT_TYPE_UNKNOWN);
}

static void put_free(struct guest *g, int32_t number, uint64_t pool, uint64_t member)
{
	guest_put_cmd(g, number, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, pool);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &member);
}

static uint32_t reply_word(const struct world *w, size_t word)
{
	uint32_t v;

	memcpy(&v, w->reply.map + word * 4, 4);
	return v;
}

static void null_handles_are_nothing(void **state)
{
	struct world *w = *state;

	guest_cmd_destroy(&w->victim, 51, ID_DEVICE, 0);
	guest_cmd_destroy(&w->victim, 22, ID_DEVICE, 0);
	guest_cmd_destroy(&w->victim, 86, ID_DEVICE, 0);
	guest_cmd_destroy(&w->victim, 36, ID_DEVICE, 0);
	put_free(&w->victim, 89, ID_CMD_POOL, 0);
	put_free(&w->victim, 78, ID_DESC_POOL, 0);
	assert_int_equal(guest_submit(&w->victim), 0);
}

static void memory_that_cannot_be_is_an_error(void **state)
{
	struct world *w = *state;
	static const struct {
		uint64_t size;
		uint32_t type;
	} bad[] = {
		{ 0, NULL_TYPE_HOST },
		{ UINT64_MAX, NULL_TYPE_HOST },
		{ UINT64_MAX - 4095, NULL_TYPE_LOCAL },
		{ UINT64_C(1) << 62, NULL_TYPE_HOST },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct venus_blob blob;

		guest_cmd_memory(&w->victim, ID_DEVICE, ID_FREE + i, bad[i].size, bad[i].type);
		w->victim.out[4] = GUEST_REPLY;
		assert_int_equal(guest_submit(&w->victim), 0);
		assert_int_equal(reply_word(w, i * 6), 21);
		assert_true((int32_t)reply_word(w, i * 6 + 1) < 0);
		assert_int_equal(venus_ctx_create_blob(w->victim.ctx, RES_FREE,
						       VENUS_BLOB_MEM_HOST3D, VENUS_BLOB_MAPPABLE,
						       ID_FREE + i, 4096, &blob),
				 -ENOENT);
	}
}

/* The null driver aborts if it would write past what it was given. */
static void results_that_do_not_fit_are_cut(void **state)
{
	struct world *w = *state;
	struct guest *g = &w->victim;

	guest_cmd_reply_stream(g, RES_REPLY, 0, 64);
	guest_put_cmd(g, 49, GUEST_REPLY); /* vkGetQueryPoolResults */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 0);
	guest_put_u32(g, 16); /* all that the pool has */
	guest_put_u64(g, 8);
	guest_put_u64(g, 8);
	guest_put_u64(g, 4096);
	guest_put_u32(g, VK_QUERY_RESULT_64_BIT);
	assert_int_equal(guest_submit(g), 0);
	assert_int_equal(reply_word(w, 0), 49);
	assert_int_equal(reply_word(w, 1), VK_SUCCESS);
	assert_int_equal(reply_word(w, 2), 8);
	assert_int_equal(reply_word(w, 4), 0x01010101);
	assert_int_equal(reply_word(w, 6), 0);
	assert_false(venus_ctx_is_fatal(g->ctx));
}

/* A copy in the driver's own layout is one of the whole level, whatever its extent says. */
static void whole_levels_get_room_for_all_of_it(void **state)
{
	struct world *w = *state;
	struct guest *g = &w->victim;

	null_forget();
	/* More than one texel in any layout needs, less than all 16 x 16 may. */
	guest_cmd_copy_image(g, ID_IMAGE, VK_HOST_IMAGE_COPY_MEMCPY_BIT, 0, 1, 1100000);
	assert_int_equal(guest_submit(g), 0);
	assert_int_equal(null_calls("vkCopyImageToMemory"), 1);
	guest_cmd_copy_image(g, ID_IMAGE, 0, 0, 1, 1100000);
	assert_int_equal(guest_submit(g), 0);
	assert_int_equal(null_calls("vkCopyImageToMemory"), 1);
}

static void second_instance_is_an_error(void **state)
{
	struct world *w = *state;

	null_forget();
	guest_cmd_instance(&w->victim, ID_FREE);
	assert_int_equal(guest_submit(&w->victim), 0);
	assert_int_equal(null_calls("vkCreateInstance"), 0);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_INSTANCE), 1);
}

static void memory_type_that_does_not_exist_never_reaches_the_driver(void **state)
{
	struct world *w = *state;

	null_forget();
	guest_cmd_memory(&w->victim, ID_DEVICE, ID_FREE, 4096, 3);
	(void)guest_submit(&w->victim);
	assert_int_equal(null_calls("vkAllocateMemory"), 0);
}

static void device_with_queues_that_do_not_exist_never_reaches_the_driver(void **state)
{
	struct world *w = *state;

	null_forget();
	guest_cmd_device(&w->victim, ID_PHYS0, ID_FREE, 2);
	w->victim.out[68] = 7; /* family */
	(void)guest_submit(&w->victim);
	assert_int_equal(null_calls("vkCreateDevice"), 0);
}

static void blobs_are_checked(void **state)
{
	struct world *w = *state;
	struct venus_ctx *ctx = w->victim.ctx;
	struct venus_blob b;
	/* clang-format off */
	static const struct {
		uint32_t res, mem, flags;
		uint64_t id, size;
		int is;
	} blobs[] = {
		{ 0,         2, 1, 0,            4096,       -EINVAL },
		{ RES_REPLY, 2, 1, 0,            4096,       -EEXIST },
		{ RES_FREE,  1, 1, 0,            4096,       -EINVAL },
		{ RES_FREE,  3, 1, 0,            4096,       -EINVAL },
		{ RES_FREE,  2, 1, 0,            0,          -EINVAL },
		{ RES_FREE,  2, 8, 0,            4096,       -EINVAL },
		{ RES_FREE,  2, 1, 0,            UINT64_MAX, -EINVAL },
		{ RES_FREE,  2, 1, 0,            1LL << 50,  -ENOMEM },
		{ RES_FREE,  2, 1, 9999,         4096,       -ENOENT },
		{ RES_FREE,  2, 1, ID_BUFFER,    4096,       -ENOENT },
		{ RES_FREE,  2, 1, ID_MEM_LOCAL, 4096,       -EACCES },
		{ RES_FREE,  2, 1, ID_MEM_HOST,  65536,      -EACCES }, /* it is RES_MEM already */
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(blobs); i++) {
		int r = venus_ctx_create_blob(ctx, blobs[i].res, blobs[i].mem, blobs[i].flags,
					      blobs[i].id, blobs[i].size, &b);

		if (r != blobs[i].is)
			print_message("row %zu: %d\n", i, r);
		assert_int_equal(r, blobs[i].is);
	}
	assert_int_equal(venus_ctx_unref_resource(ctx, 99), -ENOENT);
	assert_int_equal(venus_ctx_unref_resource(ctx, RES_MEM), 0);
	assert_int_equal(venus_ctx_unref_resource(ctx, RES_MEM), -ENOENT);
	assert_false(venus_ctx_is_fatal(ctx));
}

static void blob_larger_than_its_memory_is_refused(void **state)
{
	struct world *w = *state;
	struct venus_blob b;

	guest_cmd_memory(&w->victim, ID_DEVICE, ID_FREE, 4096, NULL_TYPE_HOST);
	assert_int_equal(guest_submit(&w->victim), 0);
	assert_true(venus_ctx_create_blob(w->victim.ctx, RES_FREE, 2, 1, ID_FREE, 1U << 20, &b) <
		    0);
	assert_false(venus_ctx_is_fatal(w->victim.ctx));
}

static void fence_of_an_unknown_timeline_is_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(venus_ctx_fence(w->victim.ctx, 2, 1), -EINVAL);
	assert_int_equal(venus_ctx_fence(w->victim.ctx, 64, 1), -EINVAL);
	assert_int_equal(venus_ctx_fence(w->victim.ctx, UINT32_MAX, 1), -EINVAL);
}

static void submission_that_is_too_long_is_refused(void **state)
{
	struct world *w = *state;
	static const uint8_t byte[4];

	assert_int_equal(venus_ctx_submit(w->victim.ctx, byte, (size_t)VENUS_MAX_SUBMIT + 4),
			 -EINVAL);
	assert_true(venus_ctx_is_fatal(w->victim.ctx));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(null_handles_are_nothing),
		T(memory_that_cannot_be_is_an_error),
		T(results_that_do_not_fit_are_cut),
		T(whole_levels_get_room_for_all_of_it),
		T(second_instance_is_an_error),
		T(memory_type_that_does_not_exist_never_reaches_the_driver),
		T(device_with_queues_that_do_not_exist_never_reaches_the_driver),
		T(blobs_are_checked),
		T(blob_larger_than_its_memory_is_refused),
		T(fence_of_an_unknown_timeline_is_refused),
		T(submission_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
