/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that says it filled more of an array than there was room for: the guest is told what
 * there was room for, and what lies behind it stays here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "null_icd.h"
#include "trap.h"
#include "util/bytes.h"

/* Room for all that the driver claims, so that the reply is not refused for its size. */
#define REPLY_BYTES (UINT64_C(64) << 20)

struct world {
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest_shm large;
};

static void start(struct world *w)
{
	null_control(NULL);
	trap_reset();
	assert_int_equal(guest_open(&w->g, NULL), 0);
	assert_int_equal(guest_prologue(&w->g, &w->reply, &w->stream), 0);
	assert_int_equal(guest_shm_new(&w->g, RES_FREE, REPLY_BYTES, &w->large), 0);
	guest_cmd_reply_stream(&w->g, RES_FREE, 0, REPLY_BYTES);
	null_control(&(struct null_control){ .counts_more = true });
}

static void send(struct world *w)
{
	assert_int_equal(guest_submit(&w->g), 0);
	assert_false(venus_ctx_is_fatal(w->g.ctx));
}

static uint32_t word(const struct world *w, size_t at)
{
	uint32_t v;

	memcpy(&v, w->large.map + at, sizeof(v));
	return v;
}

static void finish(struct world *w)
{
	assert_int_equal(guest_close(&w->g), 0);
	assert_int_equal(trap_lines(), 0);
	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	guest_shm_drop(&w->large);
	null_control(NULL);
}

/* An out parameter with one struct in its chain; the struct's members follow. */
static void put_chained(struct guest *g, uint32_t root, uint32_t node)
{
	guest_put_u64(g, 1);
	guest_put_u32(g, root);
	guest_put_u64(g, 1);
	guest_put_u32(g, node);
	guest_put_u64(g, 0);
}

static void put_room(struct guest *g, uint32_t n)
{
	guest_put_u32(g, n);
	guest_put_u64(g, n);
}

/* Where the members of such a struct begin in the reply. */
#define MEMBERS 36

static void arrays_in_a_chain(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	guest_put_cmd(&w.g, 148, GUEST_REPLY); /* vkGetPhysicalDeviceProperties2 */
	guest_put_u64(&w.g, ID_PHYS0);
	put_chained(&w.g, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
		    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_HOST_IMAGE_COPY_PROPERTIES);
	put_room(&w.g, 2);
	put_room(&w.g, 1);
	send(&w);
	assert_int_equal(word(&w, 0), 148);
	assert_int_equal(word(&w, MEMBERS), 2);
	assert_int_equal(word(&w, MEMBERS + 4), 2);
	assert_int_equal(word(&w, MEMBERS + 20), 1);
	assert_int_equal(word(&w, MEMBERS + 24), 1);
	finish(&w);
}

static void array_of_structs(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	guest_put_cmd(&w.g, 149, GUEST_REPLY); /* vkGetPhysicalDeviceFormatProperties2 */
	guest_put_u64(&w.g, ID_PHYS0);
	guest_put_u32(&w.g, VK_FORMAT_R8G8B8A8_UNORM);
	put_chained(&w.g, VK_STRUCTURE_TYPE_FORMAT_PROPERTIES_2,
		    VK_STRUCTURE_TYPE_DRM_FORMAT_MODIFIER_PROPERTIES_LIST_EXT);
	put_room(&w.g, 2);
	send(&w);
	assert_int_equal(word(&w, 0), 149);
	assert_int_equal(word(&w, MEMBERS), 2);
	assert_int_equal(word(&w, MEMBERS + 4), 2);
	finish(&w);
}

/* Without room the count is an answer, and no index. */
static void count_of_no_array_is_kept(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	guest_put_cmd(&w.g, 149, GUEST_REPLY);
	guest_put_u64(&w.g, ID_PHYS0);
	guest_put_u32(&w.g, VK_FORMAT_R8G8B8A8_UNORM);
	put_chained(&w.g, VK_STRUCTURE_TYPE_FORMAT_PROPERTIES_2,
		    VK_STRUCTURE_TYPE_DRM_FORMAT_MODIFIER_PROPERTIES_LIST_EXT);
	put_room(&w.g, 0);
	send(&w);
	assert_int_equal(word(&w, MEMBERS), 2);
	assert_int_equal(word(&w, MEMBERS + 4), 0);
	finish(&w);
}

static void bytes(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	guest_put_cmd(&w.g, 342, GUEST_REPLY); /* vkGetImageOpaqueCaptureDataEXT */
	guest_put_u64(&w.g, ID_DEVICE);
	guest_put_u32(&w.g, 1);
	guest_put_u64(&w.g, 1);
	guest_put_u64(&w.g, ID_IMAGE);
	guest_put_u64(&w.g, 1);
	guest_put_u64(&w.g, 16);
	guest_put_u64(&w.g, 16);
	send(&w);
	assert_int_equal(word(&w, 0), 342);
	assert_int_equal(word(&w, 16), 16);
	assert_int_equal(word(&w, 24), 16);
	finish(&w);
}

static void devices_of_a_group(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	guest_put_cmd(&w.g, 143, GUEST_REPLY); /* vkEnumeratePhysicalDeviceGroups */
	guest_put_u64(&w.g, ID_INSTANCE);
	guest_put_u64(&w.g, 1);
	guest_put_u32(&w.g, 1);
	guest_put_u64(&w.g, 1);
	guest_put_u32(&w.g, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES);
	guest_put_u64(&w.g, 0);
	guest_put_u64(&w.g, VK_MAX_DEVICE_GROUP_SIZE);
	for (uint32_t i = 0; i < VK_MAX_DEVICE_GROUP_SIZE; i++)
		guest_put_u64(&w.g, 0);
	send(&w);
	assert_int_equal(word(&w, 0), 143);
	assert_int_equal(word(&w, 28 + 12), 1);
	finish(&w);
}

static void types_and_heaps_of_memory(void **state)
{
	struct world w = { 0 };

	(void)state;
	null_control(&(struct null_control){ .counts_more = true });
	trap_reset();
	assert_int_equal(guest_open(&w.g, NULL), 0);
	assert_int_equal(guest_shm_new(&w.g, RES_FREE, 4096, &w.large), 0);
	guest_cmd_instance(&w.g, ID_INSTANCE);
	guest_cmd_physdevs(&w.g, ID_INSTANCE, ID_PHYS0, 2);
	guest_cmd_reply_stream(&w.g, RES_FREE, 0, 4096);
	guest_put_cmd(&w.g, 8, GUEST_REPLY); /* vkGetPhysicalDeviceMemoryProperties */
	guest_put_u64(&w.g, ID_PHYS0);
	guest_put_u64(&w.g, 1);
	guest_put_u64(&w.g, VK_MAX_MEMORY_TYPES);
	guest_put_u64(&w.g, VK_MAX_MEMORY_HEAPS);
	send(&w);
	assert_int_equal(word(&w, 0), 8);
	assert_int_equal(word(&w, 12), VK_MAX_MEMORY_TYPES);
	assert_int_equal(word(&w, 24 + 8 * VK_MAX_MEMORY_TYPES), VK_MAX_MEMORY_HEAPS);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_in_a_chain),
		cmocka_unit_test(array_of_structs),
		cmocka_unit_test(count_of_no_array_is_kept),
		cmocka_unit_test(bytes),
		cmocka_unit_test(devices_of_a_group),
		cmocka_unit_test(types_and_heaps_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
