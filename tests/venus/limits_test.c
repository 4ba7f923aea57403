/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a guest can make the renderer hold has a limit, and the limit holds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "host/shm.h"
#include "null_icd.h"
#include "trap.h"

struct world {
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
};

static void start_as(struct world *w, const struct venus_limits *limits,
		     int (*open)(struct guest *g, const struct venus_limits *limits))
{
	null_control(NULL);
	trap_reset();
	assert_int_equal(open(&w->g, limits), 0);
	assert_int_equal(guest_prologue(&w->g, &w->reply, &w->stream), 0);
}

static void start(struct world *w, const struct venus_limits *limits)
{
	start_as(w, limits, guest_open);
}

static void start_trusted(struct world *w, const struct venus_limits *limits)
{
	start_as(w, limits, guest_open_trusted);
}

static void finish(struct world *w)
{
	assert_int_equal(guest_close(&w->g), 0);
	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
	null_control(NULL);
}

static uint32_t reply_word(const struct world *w, size_t word)
{
	uint32_t v;

	memcpy(&v, w->reply.map + word * 4, 4);
	return v;
}

static void objects(void **state)
{
	struct world w;
	uint64_t id = ID_FREE;

	(void)state;
	start(&w, &(struct venus_limits){ .objects = 64 });
	do {
		guest_cmd_buffer(&w.g, ID_DEVICE, id++, 64);
	} while (guest_submit(&w.g) == 0 && id < 1000);
	assert_true(id > 60 && id < 70);
	assert_true(trap_holds("exceeds the limit of 64 objects"));
	finish(&w);
}

/*
 * A command may decode to so much that there is no room left for its results.  Then nothing is
 * claimed, above all no id of a device that is to be destroyed.
 */
static void results_that_find_no_room(void **state)
{
	/* Of each: a layout, an id and a record; what is left of 64 MiB is less than a handle. */
	const uint32_t n = 2300000;
	struct guest_shm shm;
	struct world w;
	uint8_t *p;

	(void)state;
	start(&w, &(struct venus_limits){ .objects = 2 * n });
	assert_int_equal(guest_shm_new(&w.g, RES_FREE, UINT64_C(64) << 20, &shm), 0);
	guest_put_cmd(&w.g, 77, 0); /* vkAllocateDescriptorSets */
	guest_put_u64(&w.g, ID_DEVICE);
	guest_put_struct(&w.g, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO);
	guest_put_u64(&w.g, ID_DESC_POOL);
	guest_put_u32(&w.g, n);
	p = shm.map;
	memcpy(p, w.g.out, w.g.len);
	p += w.g.len;
	guest_drop(&w.g);
	for (int array = 0; array < 2; array++) {
		memcpy(p, &(uint64_t){ n }, 8);
		p += 8;
		for (uint64_t i = 0; i < n; i++, p += 8)
			memcpy(p, &(uint64_t){ array == 0 ? ID_SET_LAYOUT : ID_FREE + i }, 8);
	}
	guest_cmd_execute(&w.g, RES_FREE, 0, (uint64_t)(p - shm.map));
	assert_int_equal(guest_submit(&w.g), -EPROTO);
	assert_true(trap_holds("vkAllocateDescriptorSets needs more than"));
	guest_shm_drop(&shm);
	finish(&w);
}

/* What was destroyed does not count, however often. */
static void objects_that_are_gone(void **state)
{
	struct world w;

	(void)state;
	start(&w, &(struct venus_limits){ .objects = 256 });
	for (int i = 0; i < 2000; i++) {
		guest_cmd_buffer(&w.g, ID_DEVICE, ID_FREE + (uint64_t)i, 64);
		guest_cmd_destroy(&w.g, 51, ID_DEVICE, ID_FREE + (uint64_t)i);
		assert_int_equal(guest_submit(&w.g), 0);
	}
	finish(&w);
}

static int create_device(struct world *w, uint64_t id)
{
	guest_cmd_reply_stream(&w->g, RES_REPLY, 0, 64);
	size_t at = w->g.len;
	guest_cmd_device(&w->g, ID_PHYS0, id, 1);
	w->g.out[at + 4] = GUEST_REPLY;
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(reply_word(w, 0), 11);
	return (int)reply_word(w, 1);
}

/* One that fails counts no more than one that was destroyed. */
static void devices(void **state)
{
	const uint32_t own = 2; /* the prologue's */
	uint64_t id = ID_FREE;
	struct world w;

	(void)state;
	start(&w, NULL);
	for (uint32_t n = own; n < VENUS_TIMELINES; n++)
		assert_int_equal(create_device(&w, id++), VK_SUCCESS);
	for (int i = 0; i < 3; i++)
		assert_int_equal(create_device(&w, id), VK_ERROR_TOO_MANY_OBJECTS);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_DEVICE), VENUS_TIMELINES);
	guest_put_cmd(&w.g, 12, 0); /* vkDestroyDevice */
	guest_put_u64(&w.g, ID_FREE);
	guest_put_u64(&w.g, 0);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(create_device(&w, id++), VK_SUCCESS);
	assert_int_equal(create_device(&w, id), VK_ERROR_TOO_MANY_OBJECTS);
	finish(&w);
}

static int allocate(struct world *w, uint64_t id, uint64_t size, uint32_t type)
{
	guest_cmd_reply_stream(&w->g, RES_REPLY, 0, 64);
	guest_cmd_memory(&w->g, ID_DEVICE, id, size, type);
	w->g.out[w->g.len - 68] = GUEST_REPLY;
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(reply_word(w, 0), 21);
	return (int)reply_word(w, 1);
}

static void host_memories(void **state)
{
	struct world w;

	(void)state;
	start(&w, &(struct venus_limits){ .host_memories = 3 }); /* one is the prologue's */
	assert_int_equal(allocate(&w, ID_FREE, 4096, NULL_TYPE_HOST), VK_SUCCESS);
	assert_int_equal(allocate(&w, ID_FREE + 1, 4096, NULL_TYPE_HOST), VK_SUCCESS);
	assert_int_equal(allocate(&w, ID_FREE + 2, 4096, NULL_TYPE_HOST),
			 VK_ERROR_TOO_MANY_OBJECTS);
	assert_int_equal(allocate(&w, ID_FREE + 2, 4096, NULL_TYPE_LOCAL), VK_SUCCESS);
	guest_cmd_destroy(&w.g, 22, ID_DEVICE, ID_FREE);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(allocate(&w, ID_FREE + 3, 4096, NULL_TYPE_HOST), VK_SUCCESS);
	finish(&w);
}

static int create_cache(struct world *w, uint64_t id, uint64_t size)
{
	static const uint8_t zeros[64U << 10];

	guest_cmd_reply_stream(&w->g, RES_REPLY, 0, 64);
	guest_put_cmd(&w->g, 61, GUEST_REPLY); /* vkCreatePipelineCache */
	guest_put_u64(&w->g, ID_DEVICE);
	guest_put_struct(&w->g, VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO);
	guest_put_u32(&w->g, 0);
	guest_put_u64(&w->g, size);
	guest_put_u64(&w->g, size);
	guest_put_bytes(&w->g, zeros, size);
	guest_put_new(&w->g, id);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(reply_word(w, 0), 61);
	return (int)reply_word(w, 1);
}

/* As long as the objects live; what failed counts no more. */
static void bytes_that_drivers_keep(void **state)
{
	struct world w;

	(void)state;
	start(&w, &(struct venus_limits){ .kept_bytes = 100U << 10 });
	assert_int_equal(create_cache(&w, ID_FREE, 60U << 10), VK_SUCCESS);
	assert_int_equal(create_cache(&w, ID_FREE + 1, 60U << 10), VK_ERROR_OUT_OF_HOST_MEMORY);
	assert_int_equal(create_cache(&w, ID_FREE + 1, 60U << 10), VK_ERROR_OUT_OF_HOST_MEMORY);
	null_control(&(struct null_control){ .oom_at = 1 });
	assert_int_not_equal(create_cache(&w, ID_FREE + 1, 30U << 10), VK_SUCCESS);
	null_control(NULL);
	assert_int_equal(create_cache(&w, ID_FREE + 1, 30U << 10), VK_SUCCESS);
	guest_cmd_destroy(&w.g, 62, ID_DEVICE, ID_FREE);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(create_cache(&w, ID_FREE, 60U << 10), VK_SUCCESS);
	finish(&w);
}

/* Mesa does not wait for allocations, so applications have to know when to stop. */
static void number_of_host_memories_is_told(void **state)
{
	const size_t count = 89; /* maxMemoryAllocationCount's word in the first answer */
	struct world w;

	(void)state;
	start(&w, &(struct venus_limits){ .host_memories = 3000 }); /* the driver says 2^20 */
	guest_cmd_reply_stream(&w.g, RES_REPLY, 0, w.reply.size);
	guest_put_cmd(&w.g, 6, GUEST_REPLY); /* vkGetPhysicalDeviceProperties */
	guest_put_u64(&w.g, ID_PHYS0);
	guest_put_u64(&w.g, 1);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(reply_word(&w, 0), 6);
	assert_int_equal(reply_word(&w, count), 3000);

	guest_cmd_reply_stream(&w.g, RES_REPLY, 0, w.reply.size);
	guest_put_cmd(&w.g, 148, GUEST_REPLY); /* vkGetPhysicalDeviceProperties2 */
	guest_put_u64(&w.g, ID_PHYS0);
	guest_put_struct(&w.g, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(reply_word(&w, 0), 148);
	assert_int_equal(reply_word(&w, count + 3), 3000); /* sType and pNext come before */
	finish(&w);
}

static void bytes_of_host_memory(void **state)
{
	struct world w;
	struct venus_counters c;

	(void)state;
	start(&w, &(struct venus_limits){ .host_bytes = 1U << 20 }); /* 64 KiB are the prologue's */
	assert_int_equal(allocate(&w, ID_FREE, 900U << 10, NULL_TYPE_HOST), VK_SUCCESS);
	assert_int_equal(allocate(&w, ID_FREE + 1, 128U << 10, NULL_TYPE_HOST),
			 VK_ERROR_OUT_OF_DEVICE_MEMORY);
	guest_cmd_destroy(&w.g, 22, ID_DEVICE, ID_FREE);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(allocate(&w, ID_FREE + 1, 128U << 10, NULL_TYPE_HOST), VK_SUCCESS);
	venus_ctx_counters(w.g.ctx, &c);
	assert_int_equal(c.host_bytes, 192U << 10);
	finish(&w);
}

/* Bytes that a buffer needs, as guests hear it from vkGetBufferMemoryRequirements2. */
static uint64_t required_size2(struct world *w, uint64_t id)
{
	guest_cmd_reply_stream(&w->g, RES_REPLY, 0, w->reply.size);
	guest_put_cmd(&w->g, 145, GUEST_REPLY);
	guest_put_u64(&w->g, ID_DEVICE);
	guest_put_struct(&w->g, VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2);
	guest_put_u64(&w->g, id);
	guest_put_struct(&w->g, VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(reply_word(w, 0), 145);
	return reply_word(w, 6) | (uint64_t)reply_word(w, 7) << 32;
}

/* Bytes that the driver says a new buffer needs, as guests hear it. */
static uint64_t required_size(struct world *w, uint64_t id, uint64_t size, uint32_t usage)
{
	guest_cmd_reply_stream(&w->g, RES_REPLY, 0, w->reply.size);
	guest_cmd_buffer_of(&w->g, ID_DEVICE, id, size, usage);
	guest_put_cmd(&w->g, 30, GUEST_REPLY); /* vkGetBufferMemoryRequirements */
	guest_put_u64(&w->g, ID_DEVICE);
	guest_put_u64(&w->g, id);
	guest_put_u64(&w->g, 1);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(reply_word(w, 0), 30);
	return reply_word(w, 3) | (uint64_t)reply_word(w, 4) << 32;
}

/* Only for guests that are trusted with it, and each one holds a descriptor. */
static void memory_that_the_driver_maps(void **state)
{
	const uint32_t copies = 1 | 2; /* TRANSFER_SRC, TRANSFER_DST: what Mesa's feedback has */
	const uint32_t storage = 32;
	struct world w;
	struct venus_blob b;
	struct venus_counters c;

	(void)state;
	start(&w, NULL);
	assert_int_equal(allocate(&w, ID_FREE, 4096, NULL_TYPE_BAR), VK_SUCCESS);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, ID_FREE, 4096, &b), -EACCES);
	assert_true(required_size(&w, ID_FREE + 1, 100, storage) < shm_page_size());
	finish(&w);

	start_trusted(&w, &(struct venus_limits){ .host_memories = 2 }); /* one is the prologue's */
	assert_int_equal(required_size(&w, ID_FREE + 1, 100, storage), shm_page_size());
	assert_true(required_size(&w, ID_FREE + 2, 100, copies) < shm_page_size());
	/* What kind of buffer it is stays known, however many others are made. */
	for (uint64_t i = 0; i < 40; i++)
		guest_cmd_buffer_of(&w.g, ID_DEVICE, ID_FREE + 100 + i, 100, copies);
	assert_int_equal(guest_submit(&w.g), 0);
	assert_int_equal(required_size2(&w, ID_FREE + 1), shm_page_size());
	assert_true(required_size2(&w, ID_FREE + 2) < shm_page_size());
	assert_int_equal(allocate(&w, ID_FREE, 8192, NULL_TYPE_BAR), VK_SUCCESS);
	assert_int_equal(allocate(&w, ID_FREE + 3, 4096, NULL_TYPE_BAR), VK_ERROR_TOO_MANY_OBJECTS);
	venus_ctx_counters(w.g.ctx, &c);
	assert_int_equal(c.host_bytes, 64U << 10); /* the prologue's: none of it is the host's */
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, ID_FREE, 16384, &b), -EINVAL);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, ID_FREE, 8192, &b), 0);
	assert_int_equal(b.kind, VENUS_BLOB_DRIVER);
	assert_int_equal(b.map_info, VENUS_MAP_WC);

	void *map = mmap(NULL, b.size, PROT_READ, MAP_SHARED, b.fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	(void)munmap(map, b.size);
	(void)close(b.fd);
	finish(&w);
}

static void resources(void **state)
{
	struct world w;
	struct venus_blob b;

	(void)state;
	start(&w, &(struct venus_limits){ .resources = 4 }); /* three are the prologue's */
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, 0, 4096, &b), 0);
	(void)close(b.fd);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, 0, 4096, &b), -ENOMEM);
	assert_int_equal(venus_ctx_unref_resource(w.g.ctx, 50), 0);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, 0, 4096, &b), 0);
	(void)close(b.fd);
	assert_false(venus_ctx_is_fatal(w.g.ctx));
	finish(&w);
}

/* A resource that was refused does not use its memory up. */
static void resources_of_memory(void **state)
{
	struct world w;
	struct venus_blob b;

	(void)state;
	start(&w, &(struct venus_limits){ .resources = 4 }); /* three are the prologue's */
	assert_int_equal(allocate(&w, ID_FREE, 4096, NULL_TYPE_HOST), VK_SUCCESS);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, 0, 4096, &b), 0);
	(void)close(b.fd);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, ID_FREE, 4096, &b), -ENOMEM);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, ID_FREE, 4096, &b), -EEXIST);
	assert_int_equal(venus_ctx_unref_resource(w.g.ctx, 50), 0);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, ID_FREE, 4096, &b), 0);
	(void)close(b.fd);
	assert_int_equal(venus_ctx_unref_resource(w.g.ctx, 51), 0);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, ID_FREE, 4096, &b), -EACCES);
	finish(&w);
}

static void bytes_of_shared_memory(void **state)
{
	struct world w;
	struct venus_blob b;

	(void)state;
	start(&w, &(struct venus_limits){ .shm_bytes = 256U << 10 }); /* 128 KiB are in use */
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, 0, 132U << 10, &b), -ENOMEM);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 50, 2, 1, 0, 128U << 10, &b), 0);
	(void)close(b.fd);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, 0, 1, &b), -ENOMEM);
	assert_int_equal(venus_ctx_unref_resource(w.g.ctx, 50), 0);
	assert_int_equal(venus_ctx_create_blob(w.g.ctx, 51, 2, 1, 0, 1, &b), 0);
	(void)close(b.fd);
	finish(&w);
}

static void rings(void **state)
{
	struct world w;
	struct guest_ring r[3];

	(void)state;
	start(&w, &(struct venus_limits){ .rings = 2 });
	assert_int_equal(guest_ring_open(&w.g, &r[0], 1, 100), 0);
	assert_int_equal(guest_ring_open(&w.g, &r[1], 2, 101), 0);
	assert_int_equal(guest_ring_open(&w.g, &r[2], 3, 102), -EPROTO);
	assert_true(trap_holds("exceeds the limit of 2 rings"));
	finish(&w);
	for (int i = 0; i < 3; i++)
		guest_shm_drop(&r[i].shm);
}

/* A guest with many CPUs compiles in as many threads, each with a ring of its own. */
static void rings_of_many_threads(void **state)
{
	enum { COUNT = 150 };
	static struct guest_ring r[COUNT];
	struct world w;

	(void)state;
	start(&w, NULL);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(guest_ring_open(&w.g, &r[i], 1 + i, 100 + i), 0);
	finish(&w);
	for (int i = 0; i < COUNT; i++)
		guest_shm_drop(&r[i].shm);
}

/* What rings copy before they execute it is booked, and given back. */
static void bytes_of_private_copies(void **state)
{
	struct world w;
	struct guest_ring r[5];
	int n;

	(void)state;
	/* 256 KiB are the context level's. */
	start(&w, &(struct venus_limits){ .scratch_bytes = (256U << 10) + 4 * GUEST_RING_BYTES });
	for (n = 0; n < 4; n++)
		assert_int_equal(guest_ring_open(&w.g, &r[n], 1 + (uint64_t)n, 100 + (uint32_t)n),
				 0);
	guest_put_cmd(&w.g, 189, 0); /* vkDestroyRingMESA */
	guest_put_u64(&w.g, 1);
	assert_int_equal(guest_submit(&w.g), 0);
	guest_shm_drop(&r[0].shm);
	assert_int_equal(guest_ring_open(&w.g, &r[0], 1, 110), 0);
	assert_int_equal(guest_ring_open(&w.g, &r[4], 5, 104), -EPROTO);
	assert_true(trap_holds("vkCreateRingMESA found no memory"));
	finish(&w);
	for (n = 0; n < 5; n++)
		guest_shm_drop(&r[n].shm);
}

static void fences(void **state)
{
	struct world w;

	(void)state;
	start(&w, &(struct venus_limits){ .fences = 3 });
	/* However long this takes, the driver does not tell before that it is done. */
	null_control(&(struct null_control){ .hang = "vkGetFenceStatus" });
	guest_cmd_submit_one(&w.g, ID_QUEUE, ID_CMDBUF, 0);
	assert_int_equal(guest_submit(&w.g), 0);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(venus_ctx_fence(w.g.ctx, 1, i), 0);
	assert_int_equal(venus_ctx_fence(w.g.ctx, 1, 4), -ENOMEM);
	null_release();
	assert_true(GUEST_AWAIT(atomic_load(&w.g.retired) == 3));
	assert_int_equal(venus_ctx_fence(w.g.ctx, 1, 5), 0);
	finish(&w);
	assert_int_equal(atomic_load(&w.g.last_retired), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects),
		cmocka_unit_test(results_that_find_no_room),
		cmocka_unit_test(objects_that_are_gone),
		cmocka_unit_test(devices),
		cmocka_unit_test(host_memories),
		cmocka_unit_test(bytes_that_drivers_keep),
		cmocka_unit_test(number_of_host_memories_is_told),
		cmocka_unit_test(bytes_of_host_memory),
		cmocka_unit_test(memory_that_the_driver_maps),
		cmocka_unit_test(resources),
		cmocka_unit_test(bytes_of_shared_memory),
		cmocka_unit_test(rings),
		cmocka_unit_test(rings_of_many_threads),
		cmocka_unit_test(bytes_of_private_copies),
		cmocka_unit_test(fences),
		cmocka_unit_test(resources_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
