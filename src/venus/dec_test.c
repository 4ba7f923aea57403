/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the decoder's and encoder's primitives: each at its last byte and one past it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/log.h"
#include "venus/core.h"
#include "venus/enc.h"
#include "venus/pnext.h"

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL no_driver(VkInstance instance, const char *name)
{
	(void)instance;
	(void)name;
	return NULL;
}

static void nothing_retired(void *user, uint32_t ring_idx, uint64_t fence_id)
{
	(void)user;
	(void)ring_idx;
	(void)fence_id;
}

/* A context, because breaches are its business, and a decoder over some words. */
struct fixture {
	struct venus_ctx *ctx;
	struct venus_dec d;
	uint32_t words[64];
};

static int set_up(void **state)
{
	const struct venus_ctx_config cfg = { .gipa = no_driver,
					      .name = "dec_test",
					      .fence_retired = nothing_retired };
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || venus_ctx_create(&cfg, &f->ctx) < 0)
		return -1;
	log_set_level(LOG_OFF);
	venus_dec_init(&f->d, f->ctx, NULL);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct venus_ctx *ctx = f->ctx;

	venus_dec_fini(&f->d);
	free(f);
	return venus_ctx_destroy(ctx);
}

/* The decoder over the given words, none failed yet. */
static struct venus_dec *over(struct fixture *f, unsigned n, const uint32_t *words)
{
	memcpy(f->words, words, n * sizeof(*words));
	f->d.p = (const uint8_t *)f->words;
	f->d.end = f->d.p + n * sizeof(*words);
	f->d.failed = false;
	f->d.chain = 0;
	f->d.dev = NULL;
	f->d.pool = NULL;
	venus_arena_reset(&f->d.arena);
	return &f->d;
}

#define OVER(f, ...)                                                                               \
	over(f, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), (uint32_t[]){ __VA_ARGS__ })

static void scalars_are_little_endian(void **state)
{
	struct venus_dec *d = OVER(*state, 0x11223344, 0x80000001, 0x89abcdef, 0x01234567,
				   0x3f800000, 0, 0x3ff00000, 0xffffff12, 0xffff1234, 7, 1);

	assert_int_equal(venus_dec_u32(d), 0x11223344);
	assert_int_equal(venus_dec_i32(d), (int32_t)0x80000001);
	assert_int_equal(venus_dec_u64(d), 0x0123456789abcdef);
	assert_true(venus_dec_f32(d) == 1.0F);
	assert_true(venus_dec_f64(d) == 1.0);
	assert_int_equal(venus_dec_u8(d), 0x12);
	assert_int_equal(venus_dec_u16(d), 0x1234);
	assert_int_equal(venus_dec_size(d), 0x100000007);
	assert_int_equal(venus_dec_left(d), 0);
	assert_false(d->failed);
}

static void what_is_missing_reads_as_zero(void **state)
{
	struct venus_dec *d = OVER(*state, 0xffffffff);

	assert_int_equal(venus_dec_u64(d), 0);
	assert_true(d->failed);
	/* Four bytes are left, but it stays failed. */
	assert_int_equal(venus_dec_u32(d), 0);
	assert_true(venus_dec_f32(d) == 0.0F);
	assert_int_equal(venus_dec_left(d), 4);
	assert_true(venus_ctx_is_fatal(d->ctx));
	assert_non_null(venus_dec_take(OVER(*state, 1), 4));
	assert_non_null(venus_dec_take(OVER(*state, 1), 0));
	assert_null(venus_dec_take(OVER(*state, 1), SIZE_MAX));
}

static void markers_are_0_or_1(void **state)
{
	struct venus_dec *d = OVER(*state, 0, 0, 1, 0);

	assert_false(venus_dec_present(d));
	assert_true(venus_dec_present(d));
	assert_false(d->failed);
	assert_false(venus_dec_present(d));
	assert_true(d->failed);
	assert_false(venus_dec_present(OVER(*state, 2, 0)));
	assert_true(d->failed);
	assert_false(venus_dec_present(OVER(*state, 1, 1)));
	assert_true(d->failed);

	assert_true(venus_dec_must(OVER(*state, 1, 0)));
	assert_false(venus_dec_must(OVER(*state, 0, 0)));
	assert_true(d->failed);
	assert_false(venus_dec_must(OVER(*state, 3, 0)));

	venus_dec_null(OVER(*state, 0, 0));
	assert_false(d->failed);
	venus_dec_null(OVER(*state, 1, 0));
	assert_true(d->failed);
}

/* clang-format off */
static const struct {
	uint64_t sent, expect;
	bool may_be_null;
	size_t min_wire;
	bool is_ok;
} counts[] = {
	{ 2, 2, false, 4, true },
	{ 2, 2, true,  4, true },
	{ 0, 0, false, 4, true },
	{ 0, 2, true,  4, true },
	{ 0, 2, false, 4, false },
	{ 1, 2, true,  4, false },
	{ 2, 0, true,  4, false },
	{ 3, 3, false, 4, false },                     /* 12 bytes of 8 */
	{ 2, 2, false, 5, false },
	{ UINT64_MAX, UINT64_MAX, false, 1, false },
	{ UINT64_MAX, UINT64_MAX, false, 0, true },    /* nothing of them is sent */
};
/* clang-format on */

static void count_must_agree_and_fit(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct venus_dec *d = OVER(*state, (uint32_t)counts[i].sent,
					   (uint32_t)(counts[i].sent >> 32), 0, 0);
		uint64_t n = venus_dec_count(d, counts[i].expect, counts[i].may_be_null,
					     counts[i].min_wire);

		assert_int_equal(d->failed, !counts[i].is_ok);
		assert_int_equal(n, counts[i].is_ok ? counts[i].sent : 0);
	}
	assert_int_equal(venus_dec_count(OVER(*state, 2), 2, false, 1), 0);
}

static void fixed_array_has_its_size(void **state)
{
	struct venus_dec *d = OVER(*state, 4, 0);

	venus_dec_fixed(d, 4);
	assert_false(d->failed);
	venus_dec_fixed(d, 4);
	assert_true(d->failed);
	venus_dec_fixed(OVER(*state, 5, 0), 4);
	assert_true(d->failed);
}

static void packed_elements_end_on_a_word(void **state)
{
	struct venus_dec *d = OVER(*state, 0x04030201, 0xaaaaaa05, 9);
	uint8_t b[8] = { 0 };

	venus_dec_packed(d, b, 5, 1);
	assert_int_equal(b[4], 5);
	assert_int_equal(b[5], 0);
	assert_int_equal(venus_dec_u32(d), 9);
	venus_dec_packed(d, b, 0, 8);
	assert_false(d->failed);
	venus_dec_packed(OVER(*state, 1), b, 5, 1);
	assert_true(d->failed);
}

static void string_always_ends(void **state)
{
	struct venus_dec *d = OVER(*state, 4, 0, 0x64636261, 5, 0, 0x64636261, 0x65);

	assert_string_equal(venus_dec_string(d, false), "abc");
	assert_string_equal(venus_dec_string(d, false), "abcd");
	assert_int_equal(venus_dec_left(d), 0);
	assert_null(venus_dec_string(d, true));
	assert_true(d->failed);
	assert_null(venus_dec_string(OVER(*state, 0, 0), true));
	assert_false(d->failed);
	assert_null(venus_dec_string(OVER(*state, 0, 0), false));
	assert_true(d->failed);
	assert_null(venus_dec_string(OVER(*state, 5, 0, 1), false));
	assert_true(d->failed);
	assert_null(venus_dec_string(OVER(*state, 0xffffffff, 0xffffffff, 1), false));
	/* Its padding is missing: two words are left for the five bytes, but only one came. */
	d = OVER(*state, 7, 0, 0x64636261, 0x65);
	d->end -= 1;
	(void)venus_dec_string(d, false);
	assert_true(d->failed);
}

static void strings_are_all_or_nothing(void **state)
{
	struct venus_dec *d = OVER(*state, 2, 0, 0x61, 2, 0, 0x62);
	const char *const *list = venus_dec_strings(d, 2);

	assert_string_equal(list[0], "a");
	assert_string_equal(list[1], "b");
	assert_null(venus_dec_strings(OVER(*state, 2, 0, 0x61, 0, 0), 2));
	assert_true(d->failed);
	assert_null(venus_dec_strings(OVER(*state, 0), UINT64_MAX / 4));
	assert_true(d->failed);
}

static void blob_is_copied_and_aligned(void **state)
{
	struct venus_dec *d = OVER(*state, 0x04030201, 5);
	uint8_t *b = venus_dec_blob(d, 5);

	assert_int_equal((uintptr_t)b % 16, 0);
	assert_ptr_not_equal(b, ((struct fixture *)*state)->words);
	assert_int_equal(b[4], 5);
	assert_null(venus_dec_blob(OVER(*state, 1), 5));
	assert_true(d->failed);
	assert_null(venus_dec_blob(OVER(*state, 1), VENUS_ARENA_MAX + 1));
	assert_true(d->failed);
}

static void arena_is_zeroed_and_bounded(void **state)
{
	struct venus_dec *d = OVER(*state, 0);
	uint8_t *a = venus_dec_alloc(d, 3, 5);
	uint8_t *b = venus_dec_alloc(d, 1, 1);

	assert_ptr_equal(b, a + 16);
	memset(a, 0xff, 32);
	venus_arena_reset(&d->arena);
	assert_ptr_equal(venus_dec_alloc(d, 32, 1), a);
	assert_int_equal(a[0] | a[31], 0);

	assert_null(venus_dec_alloc(d, 0, 8));
	assert_false(d->failed);
	assert_null(venus_dec_alloc(d, SIZE_MAX / 2, 4));
	assert_true(d->failed);
	d->failed = false;
	assert_null(venus_dec_alloc(d, VENUS_ARENA_MAX + 1, 1));
	assert_true(d->failed);

	/* In pieces it is bounded too. */
	d = OVER(*state, 0);
	unsigned n = 0;
	while (venus_dec_alloc(d, 1U << 20, 1) && n < 1000)
		n++;
	assert_true(d->failed);
	assert_in_range(n, 60, 65);
	venus_arena_reset(&d->arena);
	assert_true(d->arena.total <= 2U << 20);
	assert_non_null(venus_dec_alloc(d, 100, 1));
}

static void chain_is_bounded(void **state)
{
	struct venus_dec *d = OVER(*state, 0);

	for (unsigned i = 0; i < VENUS_CHAIN_MAX; i++)
		assert_true(venus_dec_chain_node(d));
	assert_false(venus_dec_chain_node(d));
	assert_true(d->failed);
}

static void stype_must_be_the_one(void **state)
{
	struct venus_dec *d = OVER(*state, VK_STRUCTURE_TYPE_SUBMIT_INFO, 5);

	venus_dec_stype(d, VK_STRUCTURE_TYPE_SUBMIT_INFO);
	assert_false(d->failed);
	venus_dec_stype(d, VK_STRUCTURE_TYPE_SUBMIT_INFO);
	assert_true(d->failed);
	venus_dec_stype(d, VK_STRUCTURE_TYPE_SUBMIT_INFO);
}

/* Publishes an object of a device that is made up. */
static struct venus_obj *publish(struct fixture *f, uint64_t id, VkObjectType type,
				 struct venus_device *dev)
{
	struct venus_obj *o = calloc(1, sizeof(struct venus_pool));

	assert_non_null(o);
	o->id = id;
	o->type = type;
	o->handle = id * 100;
	o->dev = dev;
	list_init(&o->dev_node);
	list_init(&o->pool_node);
	assert_int_equal(venus_table_reserve(f->d.table, id), 0);
	venus_table_publish(f->d.table, o);
	return o;
}

static void objects_are_of_the_right_kind(void **state)
{
	struct fixture *f = *state;
	static struct venus_device dev_a;
	static struct venus_device dev_b;
	struct venus_obj *buf = publish(f, 5, VK_OBJECT_TYPE_BUFFER, &dev_a);
	struct venus_obj *pool = publish(f, 6, VK_OBJECT_TYPE_COMMAND_POOL, &dev_a);
	struct venus_obj *set_pool =
		publish(f, UINT64_C(1) << 60, VK_OBJECT_TYPE_DESCRIPTOR_POOL, &dev_b);
	struct venus_dec *d = OVER(f, 5, 0, 0, 0);

	assert_ptr_equal(venus_dec_obj(d, VK_OBJECT_TYPE_BUFFER), buf);
	assert_null(venus_dec_obj(d, VK_OBJECT_TYPE_BUFFER));
	assert_false(d->failed);

	assert_int_equal(venus_dec_handle(OVER(f, 5, 0), VK_OBJECT_TYPE_BUFFER), 500);
	assert_int_equal(venus_dec_handle(OVER(f, 0, 0), VK_OBJECT_TYPE_BUFFER), 0);
	assert_false(d->failed);
	assert_int_equal(venus_dec_handle(OVER(f, 5, 0), VK_OBJECT_TYPE_IMAGE), 0);
	assert_true(d->failed);
	assert_null(venus_dec_obj(d, VK_OBJECT_TYPE_BUFFER));
	assert_null(venus_dec_obj(OVER(f, 7, 0), VK_OBJECT_TYPE_BUFFER));
	assert_true(d->failed);
	assert_null(venus_dec_obj_bad(d, 5, VK_OBJECT_TYPE_BUFFER));

	/* All objects of a command belong to its device. */
	d = OVER(f, 5, 0, 5, 0);
	d->dev = &dev_a;
	assert_non_null(venus_dec_obj(d, VK_OBJECT_TYPE_BUFFER));
	d->dev = &dev_b;
	assert_null(venus_dec_obj(d, VK_OBJECT_TYPE_BUFFER));
	assert_true(d->failed);

	/* Pools are remembered for the handlers. */
	d = OVER(f, 6, 0, 0, 0x10000000);
	assert_ptr_equal(venus_dec_obj(d, VK_OBJECT_TYPE_COMMAND_POOL), pool);
	assert_ptr_equal(d->pool, pool);
	assert_ptr_equal(venus_dec_obj(d, VK_OBJECT_TYPE_DESCRIPTOR_POOL), set_pool);
	assert_ptr_equal(d->pool, set_pool);

	/* The first object says which device that is. */
	assert_ptr_equal(venus_dec_first(OVER(f, 6, 0), VK_OBJECT_TYPE_COMMAND_POOL), pool);
	assert_ptr_equal(d->dev, &dev_a);
	assert_null(venus_dec_first(OVER(f, 0, 0), VK_OBJECT_TYPE_COMMAND_POOL));
	assert_true(d->failed);
	assert_null(venus_dec_first(OVER(f, 9, 0), VK_OBJECT_TYPE_COMMAND_POOL));
	assert_null(d->dev);
	assert_int_equal(venus_dec_new_id(OVER(f, 1, 2)), 0x200000001);

	assert_true(venus_table_remove(f->d.table, buf));
	assert_true(venus_table_remove(f->d.table, pool));
	assert_true(venus_table_remove(f->d.table, set_pool));
}

static void device_is_the_device_of_its_commands(void **state)
{
	struct fixture *f = *state;
	struct venus_device *dev = calloc(1, sizeof(*dev));

	assert_non_null(dev);
	dev->obj.id = 3;
	dev->obj.type = VK_OBJECT_TYPE_DEVICE;
	mutex_init(&dev->lock);
	assert_int_equal(venus_table_reserve(f->d.table, 3), 0);
	venus_table_publish(f->d.table, &dev->obj);
	assert_ptr_equal(venus_dec_first(OVER(f, 3, 0), VK_OBJECT_TYPE_DEVICE), &dev->obj);
	assert_ptr_equal(f->d.dev, dev);
	assert_true(venus_table_remove(f->d.table, &dev->obj));
}

static void only_the_first_breach_counts(void **state)
{
	struct fixture *f = *state;
	struct venus_dec *d = OVER(f, 0);

	assert_false(venus_ctx_is_fatal(f->ctx));
	d->cmd = "vkTest";
	venus_dec_fatal(d, "does %s", "something");
	assert_true(d->failed);
	assert_true(venus_ctx_is_fatal(f->ctx));
	assert_false(venus_ctx_set_fatal(f->ctx));
	d->cmd = NULL;
	venus_dec_fatal(d, "again");
}

/* ---- encoder ---- */

static void encoder_stops_at_the_end(void **state)
{
	uint8_t out[64];
	struct venus_enc e = { .p = out, .end = out + 36 };

	(void)state;
	memset(out, 0xee, sizeof(out));
	venus_enc_u32(&e, 0x11223344);
	venus_enc_i32(&e, -1);
	venus_enc_u64(&e, 0x0123456789abcdef);
	venus_enc_f32(&e, 1.0F);
	venus_enc_marker(&e, true);
	venus_enc_packed(&e, "abcde", 5, 1);
	assert_false(e.failed);
	assert_int_equal(out[0], 0x44);
	assert_int_equal(out[7], 0xff);
	assert_int_equal(out[8], 0xef);
	assert_int_equal(out[19], 0x3f);
	assert_int_equal(out[20], 1);
	assert_int_equal(out[32], 'e');
	assert_int_equal(out[33] | out[34] | out[35], 0); /* no byte of ours leaks as padding */
	venus_enc_u32(&e, 1);
	assert_true(e.failed);
	assert_int_equal(out[36], 0xee);
	assert_null(venus_enc_room(&e, 0));

	e = (struct venus_enc){ .p = out, .end = out + 7 };
	venus_enc_u64(&e, 1);
	assert_true(e.failed);
	e = (struct venus_enc){ .p = out, .end = out + 7 };
	venus_enc_f64(&e, 1.0);
	assert_true(e.failed);
	e = (struct venus_enc){ .p = out, .end = out + 8 };
	venus_enc_f64(&e, 1.0);
	assert_false(e.failed);
	e = (struct venus_enc){ .p = out, .end = out + 3 };
	venus_enc_f32(&e, 1.0F);
	assert_true(e.failed);
	e = (struct venus_enc){ .p = out, .end = out + 4 };
	venus_enc_packed(&e, "abcde", 5, 1);
	assert_true(e.failed);
	assert_ptr_equal(e.p, out);
}

static void reply_stays_in_its_window(void **state)
{
	struct fixture *f = *state;
	struct venus_dec *d = OVER(f, 0);
	struct venus_enc e;
	struct venus_blob blob;

	assert_false(venus_reply_begin(d, &e, 7));
	assert_true(d->failed);
	assert_int_equal(venus_ctx_create_blob(f->ctx, 1, VENUS_BLOB_MEM_HOST3D,
					       VENUS_BLOB_MAPPABLE, 0, 4096, &blob),
			 0);
	(void)close(blob.fd);

	d = OVER(f, 0);
	d->reply.res = venus_res_get(f->ctx, 1);
	assert_non_null(d->reply.res);
	d->reply.base = d->reply.res->map + 8;
	d->reply.size = 16;
	d->reply.pos = 4;
	assert_true(venus_reply_begin(d, &e, 7));
	venus_enc_u64(&e, 1);
	venus_reply_end(d, &e);
	assert_false(d->failed);
	assert_int_equal(d->reply.pos, 16);
	assert_int_equal(d->reply.res->map[12], 7);

	assert_true(venus_reply_begin(d, &e, 7));
	venus_reply_end(d, &e);
	assert_true(d->failed);
	assert_int_equal(d->reply.res->map[24], 0);
	assert_int_equal(d->reply.pos, 16);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(scalars_are_little_endian),
		T(what_is_missing_reads_as_zero),
		T(markers_are_0_or_1),
		T(count_must_agree_and_fit),
		T(fixed_array_has_its_size),
		T(packed_elements_end_on_a_word),
		T(string_always_ends),
		T(strings_are_all_or_nothing),
		T(blob_is_copied_and_aligned),
		T(arena_is_zeroed_and_bounded),
		T(chain_is_bounded),
		T(stype_must_be_the_one),
		T(objects_are_of_the_right_kind),
		T(device_is_the_device_of_its_commands),
		T(only_the_first_breach_counts),
		T(encoder_stops_at_the_end),
		T(reply_stays_in_its_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
