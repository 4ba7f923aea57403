/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that no honest guest sends.  Each row of the table makes exactly its own context fatal,
 * with one line in the log that says why, while a second context does not notice; the null driver
 * sees to it that nothing of it reaches the driver.
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

#define MANY 0x40000000U /* elements; 1 GiB and more */

struct world {
	struct guest victim; /* of its own breach */
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest other;
	struct guest_shm other_reply;
	struct guest_shm other_stream;
	uint64_t next; /* id that the other guest uses next */
};

/* ---- objects ---- */

static void id_0(struct world *w)
{
	guest_cmd_buffer(&w->victim, ID_DEVICE, 0, 64);
}

static void id_in_use(struct world *w)
{
	guest_cmd_buffer(&w->victim, ID_DEVICE, ID_IMAGE, 64);
}

static void id_in_use_of_memory(struct world *w)
{
	guest_cmd_memory(&w->victim, ID_DEVICE, ID_BUFFER, 4096, NULL_TYPE_HOST);
}

static void same_id_twice_in_one_array(struct world *w)
{
	const uint64_t ids[] = { ID_FREE, ID_FREE };

	guest_cmd_cmdbufs(&w->victim, ID_DEVICE, ID_CMD_POOL, 2, ids);
}

static void wrong_type(struct world *w)
{
	guest_cmd_destroy(&w->victim, 51, ID_DEVICE, ID_IMAGE);
}

static void unknown_object(struct world *w)
{
	guest_cmd_destroy(&w->victim, 51, ID_DEVICE, 9999);
}

static void unknown_object_with_a_huge_id(struct world *w)
{
	guest_cmd_destroy(&w->victim, 51, ID_DEVICE, UINT64_MAX);
}

static void put_requirements(struct guest *g, uint64_t dev, uint64_t buffer)
{
	guest_put_cmd(g, 30, 0);
	guest_put_u64(g, dev);
	guest_put_u64(g, buffer);
	guest_put_u64(g, 1);
}

static void requirements_of_nothing(struct world *w)
{
	put_requirements(&w->victim, ID_DEVICE, 0);
}

static void requirements_of_no_image(struct world *w)
{
	guest_put_cmd(&w->victim, 31, 0);
	guest_put_u64(&w->victim, ID_DEVICE);
	guest_put_u64(&w->victim, 0);
	guest_put_u64(&w->victim, 1);
}

static void use_after_destroy(struct world *w)
{
	guest_cmd_destroy(&w->victim, 51, ID_DEVICE, ID_BUFFER);
	put_requirements(&w->victim, ID_DEVICE, ID_BUFFER);
}

static void destroyed_twice(struct world *w)
{
	guest_cmd_destroy(&w->victim, 22, ID_DEVICE, ID_MEM_LOCAL);
	guest_cmd_destroy(&w->victim, 22, ID_DEVICE, ID_MEM_LOCAL);
}

static void no_first_object(struct world *w)
{
	put_requirements(&w->victim, 0, ID_BUFFER);
}

static void first_object_of_wrong_type(struct world *w)
{
	put_requirements(&w->victim, ID_QUEUE, ID_BUFFER);
}

static void foreign_device(struct world *w)
{
	put_requirements(&w->victim, ID_DEVICE, ID_BUFFER2);
}

static void foreign_device_by_hand(struct world *w)
{
	guest_cmd_destroy(&w->victim, 22, ID_DEVICE2, ID_MEM_LOCAL);
}

static void foreign_device_in_a_struct(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 145, 0); /* vkGetBufferMemoryRequirements2 */
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, 1000146000);
	guest_put_u64(g, ID_BUFFER2);
	guest_put_struct(g, 1000146003);
}

static void foreign_command_pool(struct world *w)
{
	const uint64_t id = ID_FREE;

	guest_cmd_cmdbufs(&w->victim, ID_DEVICE2, ID_CMD_POOL, 1, &id);
}

static void foreign_fence_at_submit(struct world *w)
{
	guest_cmd_fence(&w->victim, ID_DEVICE2, ID_FREE);
	guest_cmd_submit_one(&w->victim, ID_QUEUE, ID_CMDBUF, ID_FREE);
}

static void put_free(struct guest *g, int32_t number, uint64_t pool, uint64_t member)
{
	guest_put_cmd(g, number, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, pool);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &member);
}

static void command_buffer_of_another_pool(struct world *w)
{
	guest_cmd_cmd_pool(&w->victim, ID_DEVICE, ID_FREE);
	put_free(&w->victim, 89, ID_FREE, ID_CMDBUF);
}

static void descriptor_set_of_another_pool(struct world *w)
{
	guest_cmd_desc_pool(&w->victim, ID_DEVICE, ID_FREE);
	put_free(&w->victim, 78, ID_FREE, ID_DESC_SET);
}

static void freed_without_an_array(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 89, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_CMD_POOL);
	guest_put_u32(g, 1);
	guest_put_u64(g, 0);
}

static void command_buffer_without_its_pool(struct world *w)
{
	guest_cmd_destroy(&w->victim, 86, ID_DEVICE, ID_CMD_POOL);
	guest_put_cmd(&w->victim, 91, 0);
	guest_put_u64(&w->victim, ID_CMDBUF);
}

static void set_of_a_pool_that_was_reset(struct world *w)
{
	guest_put_cmd(&w->victim, 76, 0);
	guest_put_u64(&w->victim, ID_DEVICE);
	guest_put_u64(&w->victim, ID_DESC_POOL);
	guest_put_u32(&w->victim, 0);
	put_free(&w->victim, 78, ID_DESC_POOL, ID_DESC_SET);
}

static void put_destroy_device(struct guest *g, uint64_t id)
{
	guest_put_cmd(g, 12, 0);
	guest_put_u64(g, id);
	guest_put_u64(g, 0);
}

static void object_without_its_device(struct world *w)
{
	put_destroy_device(&w->victim, ID_DEVICE);
	guest_cmd_destroy(&w->victim, 51, ID_DEVICE2, ID_BUFFER);
}

static void queue_without_its_device(struct world *w)
{
	put_destroy_device(&w->victim, ID_DEVICE);
	guest_cmd_submit_one(&w->victim, ID_QUEUE, ID_CMDBUF, 0);
}

static void device_without_its_instance(struct world *w)
{
	guest_put_cmd(&w->victim, 1, 0);
	guest_put_u64(&w->victim, ID_INSTANCE);
	guest_put_u64(&w->victim, 0);
	guest_cmd_buffer(&w->victim, ID_DEVICE, ID_FREE, 64);
}

static void physical_devices_under_other_names(struct world *w)
{
	guest_cmd_physdevs(&w->victim, ID_INSTANCE, ID_FREE, 2);
}

/* ---- structs, arrays, strings ---- */

static void put_buffer_with_chain(struct guest *g, unsigned nodes, uint32_t stype)
{
	guest_put_cmd(g, 50, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
	for (unsigned i = 0; i < nodes; i++) {
		guest_put_u64(g, 1);
		guest_put_u32(g, stype);
	}
	guest_put_u64(g, 0);
	for (unsigned i = 0; i < nodes; i++)
		guest_put_u32(g, 0); /* handleTypes */
	guest_put_u32(g, 0);
	guest_put_u64(g, 64);
	guest_put_u32(g, 1);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_new(g, ID_FREE);
}

static void endless_chain(struct world *w)
{
	put_buffer_with_chain(&w->victim, 10000, 1000072000);
}

static void struct_twice_in_a_chain(struct world *w)
{
	put_buffer_with_chain(&w->victim, 2, 1000072000);
}

static void struct_that_does_not_belong_here(struct world *w)
{
	put_buffer_with_chain(&w->victim, 1, VK_STRUCTURE_TYPE_SUBMIT_INFO);
}

static void struct_that_nobody_knows(struct world *w)
{
	put_buffer_with_chain(&w->victim, 1, 0xdeadbeef);
}

static void struct_with_a_raw_descriptor(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 21, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, 1);
	guest_put_u32(g, VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
	guest_put_struct(g, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);
	guest_put_u32(g, VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT);
	guest_put_u32(g, 0);
	guest_put_u64(g, 4096);
	guest_put_u32(g, NULL_TYPE_HOST);
	guest_put_new(g, ID_FREE);
}

static void struct_of_another_stype(struct world *w)
{
	struct guest *g = &w->victim;

	guest_cmd_buffer(g, ID_DEVICE, ID_FREE, 64);
	g->out[24] ^= 1; /* sType of the create info */
}

static void pointer_marker_2(struct world *w)
{
	struct guest *g = &w->victim;

	guest_cmd_buffer(g, ID_DEVICE, ID_FREE, 64);
	g->out[16] = 2;
}

static void mandatory_pointer_missing(struct world *w)
{
	struct guest *g = &w->victim;

	guest_cmd_buffer(g, ID_DEVICE, ID_FREE, 64);
	g->out[16] = 0;
}

static void allocator(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 51, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_BUFFER);
	guest_put_u64(g, 1);
}

static void cut_off(struct world *w)
{
	guest_cmd_buffer(&w->victim, ID_DEVICE, ID_FREE, 64);
	w->victim.len -= 4;
}

static void half_a_head(struct world *w)
{
	guest_put_u32(&w->victim, 50);
}

static void array_of_a_gigabyte(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 79, 0); /* vkUpdateDescriptorSets */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u32(g, MANY);
	guest_put_u64(g, MANY);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
}

static void array_of_all_there_is(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 79, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u32(g, UINT32_MAX);
	guest_put_u64(g, UINT64_MAX);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
}

static void array_that_its_count_contradicts(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 37, 0); /* vkResetFences */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u32(g, 2);
	guest_put_ids(g, 1, &(uint64_t){ ID_FENCE });
}

/* Nothing of an output's elements is sent, so the stream's length says nothing. */
static void output_of_a_gigabyte(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 153, 0); /* ...SparseImageFormatProperties2 */
	guest_put_u64(g, ID_PHYS0);
	guest_put_struct(g, 1000059008);
	for (int i = 0; i < 5; i++)
		guest_put_u32(g, 1);
	guest_put_u64(g, 1);
	guest_put_u32(g, MANY);
	guest_put_u64(g, MANY);
}

static void plain_output_of_a_gigabyte(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 7, 0); /* vkGetPhysicalDeviceQueueFamilyProperties */
	guest_put_u64(g, ID_PHYS0);
	guest_put_u64(g, 1);
	guest_put_u32(g, MANY);
	guest_put_u64(g, MANY);
}

static void blob_of_more_than_a_gigabyte(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 49, 0); /* vkGetQueryPoolResults */
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_u64(g, MANY + 1);
	guest_put_u64(g, MANY + 1);
	guest_put_u64(g, 8);
	guest_put_u32(g, 0);
}

static void many_new_objects(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 88, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
	guest_put_u64(g, ID_CMD_POOL);
	guest_put_u32(g, 0);
	guest_put_u32(g, MANY);
	guest_put_u64(g, MANY);
}

static void string_of_a_gigabyte(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 14, 0); /* vkEnumerateDeviceExtensionProperties */
	guest_put_u64(g, ID_PHYS0);
	guest_put_u64(g, UINT64_MAX - 2);
	guest_put_u32(g, 0);
}

/* ---- commands ---- */

static void number_past_the_last(struct world *w)
{
	guest_put_cmd(&w->victim, 346, 0);
}

static void negative_number(struct world *w)
{
	guest_put_cmd(&w->victim, -1, 0);
}

static void retired_number(struct world *w)
{
	guest_put_cmd(&w->victim, 195, 0);
}

static void command_that_guests_never_send(struct world *w)
{
	guest_put_cmd(&w->victim, 19, 0);
	guest_put_u64(&w->victim, ID_QUEUE);
}

static void command_with_a_pointer(struct world *w)
{
	guest_put_cmd(&w->victim, 23, 0);
	guest_put_u64(&w->victim, ID_DEVICE);
}

static void ring_command_on_the_context(struct world *w)
{
	guest_put_cmd(&w->victim, 252, 0);
	guest_put_u64(&w->victim, 1);
}

static void function_of_an_extension_that_is_off(struct world *w)
{
	const uint64_t id = ID_FREE + 1;

	guest_cmd_cmd_pool(&w->victim, ID_DEVICE2, ID_FREE);
	guest_cmd_cmdbufs(&w->victim, ID_DEVICE2, ID_FREE, 1, &id);
	guest_put_cmd(&w->victim, 332, 0); /* vkCmdDrawMeshTasksEXT */
	guest_put_u64(&w->victim, id);
	guest_put_u32(&w->victim, 1);
	guest_put_u32(&w->victim, 1);
	guest_put_u32(&w->victim, 1);
}

/* ---- streams ---- */

static void stream_in_itself(struct world *w)
{
	struct guest *g = &w->victim;

	guest_cmd_execute(g, RES_STREAM, 0, 64);
	memcpy(w->stream.map, g->out, g->len);
	guest_drop(g);
	guest_cmd_execute(g, RES_STREAM, 0, 64);
}

static void no_streams(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 180, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
	guest_put_u64(g, 0);
	guest_put_u32(g, 0);
}

static void stream_of_unknown_resource(struct world *w)
{
	guest_cmd_execute(&w->victim, 99, 0, 64);
}

static void stream_past_its_resource(struct world *w)
{
	guest_cmd_execute(&w->victim, RES_STREAM, 1U << 16, 4);
}

static void stream_that_wraps(struct world *w)
{
	guest_cmd_execute(&w->victim, RES_STREAM, UINT64_MAX - 3, 8);
}

static void stream_in_device_memory(struct world *w)
{
	guest_cmd_execute(&w->victim, RES_MEM, 0, 64);
}

static void broken_command_in_a_stream(struct world *w)
{
	memset(w->stream.map, 0xff, 64);
	guest_cmd_execute(&w->victim, RES_STREAM, 0, 64);
}

/* ---- replies ---- */

static void reply_to_unknown_resource(struct world *w)
{
	guest_cmd_reply_stream(&w->victim, 99, 0, 64);
}

static void reply_past_its_resource(struct world *w)
{
	guest_cmd_reply_stream(&w->victim, RES_REPLY, 4096, w->reply.size);
}

static void reply_window_that_wraps(struct world *w)
{
	guest_cmd_reply_stream(&w->victim, RES_REPLY, UINT64_MAX - 7, 16);
}

static void reply_to_device_memory(struct world *w)
{
	guest_cmd_reply_stream(&w->victim, RES_MEM, 0, 64);
}

static void seek_past_the_window(struct world *w)
{
	guest_cmd_reply_stream(&w->victim, RES_REPLY, 0, 64);
	guest_put_cmd(&w->victim, 179, 0);
	guest_put_u64(&w->victim, 65);
}

static void reply_that_does_not_fit(struct world *w)
{
	guest_cmd_reply_stream(&w->victim, RES_REPLY, 0, 15);
	guest_put_cmd(&w->victim, 137, GUEST_REPLY);
	guest_put_u64(&w->victim, 1);
}

/* ---- devices, queues, memory ---- */

static void queue_without_timeline(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 155, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_struct(g, VK_STRUCTURE_TYPE_DEVICE_QUEUE_INFO_2);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &(uint64_t){ ID_FREE });
}

static void queue_on_the_cpu_timeline(struct world *w)
{
	guest_cmd_queue(&w->victim, ID_DEVICE, ID_FREE, 1, 0);
}

static void queue_on_timeline_64(struct world *w)
{
	guest_cmd_queue(&w->victim, ID_DEVICE, ID_FREE, 1, 64);
}

static void queue_on_a_timeline_in_use(struct world *w)
{
	guest_cmd_queue(&w->victim, ID_DEVICE, ID_FREE, 1, 1);
}

static void queue_that_was_not_created(struct world *w)
{
	guest_cmd_queue(&w->victim, ID_DEVICE, ID_FREE, 2, 2);
}

static void queue_fetched_twice(struct world *w)
{
	guest_cmd_queue(&w->victim, ID_DEVICE, ID_FREE, 0, 2);
}

static void results_far_apart(struct world *w)
{
	struct guest *g = &w->victim;

	guest_put_cmd(g, 49, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, ID_QUERY_POOL);
	guest_put_u32(g, 0);
	guest_put_u32(g, 16);
	guest_put_u64(g, 8);
	guest_put_u64(g, 8);
	guest_put_u64(g, UINT64_MAX / 2);
	guest_put_u32(g, 0);
}

/* clang-format off */
static const struct row {
	void (*put)(struct world *w);
	const char *says;
} rows[] = {
	{ id_0,                                 "vkCreateBuffer creates object 0" },
	{ id_in_use,                            "vkCreateBuffer creates object 12, which exists" },
	{ id_in_use_of_memory,                  "vkAllocateMemory creates object 11, which exists" },
	{ same_id_twice_in_one_array,           "vkAllocateCommandBuffers creates object 31, which exists" },
	{ wrong_type,                           "vkDestroyBuffer names object 12 of type 10 as one of type 9" },
	{ unknown_object,                       "vkDestroyBuffer names object 9999, which does not exist" },
	{ unknown_object_with_a_huge_id,        "vkDestroyBuffer names object 18446744073709551615, which does not exist" },
	{ requirements_of_nothing,              "vkGetBufferMemoryRequirements lacks its buffer" },
	{ requirements_of_no_image,             "vkGetImageMemoryRequirements lacks its image" },
	{ use_after_destroy,                    "vkGetBufferMemoryRequirements names object 11, which does not exist" },
	{ destroyed_twice,                      "vkFreeMemory names object 10, which does not exist" },
	{ no_first_object,                      "vkGetBufferMemoryRequirements lacks its first object" },
	{ first_object_of_wrong_type,           "vkGetBufferMemoryRequirements names object 5 of type 4 as one of type 3" },
	{ foreign_device,                       "vkGetBufferMemoryRequirements names object 30 of another device" },
	{ foreign_device_by_hand,               "vkFreeMemory names object 10 of another device" },
	{ foreign_device_in_a_struct,           "vkGetBufferMemoryRequirements2 names object 30 of another device" },
	{ foreign_command_pool,                 "vkAllocateCommandBuffers names object 6 of another device" },
	{ foreign_fence_at_submit,              "vkQueueSubmit names object 31 of another device" },
	{ command_buffer_of_another_pool,       "vkFreeCommandBuffers" },
	{ descriptor_set_of_another_pool,       "vkFreeDescriptorSets" },
	{ freed_without_an_array,               "vkFreeCommandBuffers" },
	{ command_buffer_without_its_pool,      "vkEndCommandBuffer names object 7, which does not exist" },
	{ set_of_a_pool_that_was_reset,         "vkFreeDescriptorSets names object 17, which does not exist" },
	{ object_without_its_device,            "vkDestroyBuffer names object 11, which does not exist" },
	{ queue_without_its_device,             "vkQueueSubmit names object 5, which does not exist" },
	{ device_without_its_instance,          "vkCreateBuffer names object 4, which does not exist" },
	{ physical_devices_under_other_names,   "vkEnumeratePhysicalDevices" },
	{ endless_chain,                        "vkCreateBuffer " },
	{ struct_twice_in_a_chain,              "has two VkExternalMemoryBufferCreateInfo in one chain" },
	{ struct_that_does_not_belong_here,     "vkCreateBuffer " },
	{ struct_that_nobody_knows,             "vkCreateBuffer " },
	{ struct_with_a_raw_descriptor,         "vkAllocateMemory " },
	{ struct_of_another_stype,              "vkCreateBuffer has a struct of another sType" },
	{ pointer_marker_2,                     "vkCreateBuffer has a pointer marker that is neither 0 nor 1" },
	{ mandatory_pointer_missing,            "vkCreateBuffer lacks a mandatory pointer" },
	{ allocator,                            "vkDestroyBuffer " },
	{ cut_off,                              "vkCreateBuffer ends in the middle" },
	{ half_a_head,                          "ends in the middle" },
	{ array_of_a_gigabyte,                  "vkUpdateDescriptorSets has an array that is longer than the stream" },
	{ array_of_all_there_is,                "vkUpdateDescriptorSets has an array of a length that its count contradicts" },
	{ array_that_its_count_contradicts,     "vkResetFences has an array of a length that its count contradicts" },
	{ output_of_a_gigabyte,                 "vkGetPhysicalDeviceSparseImageFormatProperties2 has an array that is longer" },
	{ plain_output_of_a_gigabyte,           "vkGetPhysicalDeviceQueueFamilyProperties needs more than" },
	{ blob_of_more_than_a_gigabyte,         "vkGetQueryPoolResults wants 1073741825 bytes" },
	{ results_far_apart,                    "vkGetQueryPoolResults has results that need more than" },
	{ many_new_objects,                     "vkAllocateCommandBuffers has an array that is longer than the stream" },
	{ string_of_a_gigabyte,                 "vkEnumerateDeviceExtensionProperties has a string that is longer" },
	{ number_past_the_last,                 "unknown number 346" },
	{ negative_number,                      "unknown number -1" },
	{ retired_number,                       "100000MESA is not a command that guests may send" },
	{ command_that_guests_never_send,       "vkQueueWaitIdle is not a command that guests may send" },
	{ command_with_a_pointer,               "vkMapMemory is not a command that guests may send" },
	{ ring_command_on_the_context,          "vkWaitVirtqueueSeqnoMESA came on the wrong level" },
	{ function_of_an_extension_that_is_off, "vkCmdDrawMeshTasksEXT" },
	{ stream_in_itself,                     "vkExecuteCommandStreamsMESA is nested in itself" },
	{ no_streams,                           "vkExecuteCommandStreamsMESA has" },
	{ stream_of_unknown_resource,           "vkExecuteCommandStreamsMESA names no shared memory" },
	{ stream_past_its_resource,             "vkExecuteCommandStreamsMESA names no shared memory" },
	{ stream_that_wraps,                    "vkExecuteCommandStreamsMESA names no shared memory" },
	{ stream_in_device_memory,              "vkExecuteCommandStreamsMESA names no shared memory" },
	{ broken_command_in_a_stream,           "unknown number -1" },
	{ reply_to_unknown_resource,            "vkSetReplyCommandStreamMESA names no shared memory" },
	{ reply_past_its_resource,              "vkSetReplyCommandStreamMESA names no shared memory" },
	{ reply_window_that_wraps,              "vkSetReplyCommandStreamMESA names no shared memory" },
	{ reply_to_device_memory,               "vkSetReplyCommandStreamMESA names no shared memory" },
	{ seek_past_the_window,                 "vkSeekReplyCommandStreamMESA leaves the reply stream" },
	{ reply_that_does_not_fit,              "vkEnumerateInstanceVersion has a reply that does not fit" },
	{ queue_without_timeline,               "vkGetDeviceQueue2" },
	{ queue_on_the_cpu_timeline,            "vkGetDeviceQueue2" },
	{ queue_on_timeline_64,                 "vkGetDeviceQueue2" },
	{ queue_on_a_timeline_in_use,           "vkGetDeviceQueue2" },
	{ queue_that_was_not_created,           "vkGetDeviceQueue2" },
	{ queue_fetched_twice,                  "vkGetDeviceQueue2" },
};
/* clang-format on */

static void other_works(struct world *w)
{
	uint64_t id = ID_FREE + w->next++;

	guest_cmd_buffer(&w->other, ID_DEVICE, id, 64);
	put_requirements(&w->other, ID_DEVICE, id);
	guest_cmd_destroy(&w->other, 51, ID_DEVICE, id);
	assert_int_equal(guest_submit(&w->other), 0);
	assert_false(venus_ctx_is_fatal(w->other.ctx));
	assert_int_equal(atomic_load(&w->other.fatals), 0);
}

static int set_up(void **state)
{
	static struct world world;
	struct world *w = &world;

	null_control(NULL);
	trap_reset();
	w->next = 0;
	*state = w;
	if (guest_open(&w->other, NULL))
		return -1;
	int r = guest_prologue(&w->other, &w->other_reply, &w->other_stream);
	if (r)
		trap_show();
	return r;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	guest_shm_drop(&w->other_reply);
	guest_shm_drop(&w->other_stream);
	return guest_close(&w->other) || null_alive(VK_OBJECT_TYPE_UNKNOWN);
}

static void breach_ends_its_own_context_with_one_line(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest *g = &w->victim;

		assert_int_equal(guest_open(g, NULL), 0);
		assert_int_equal(guest_prologue(g, &w->reply, &w->stream), 0);
		trap_reset();
		rows[i].put(w);
		int r = guest_submit(g);

		if (r != -EPROTO || trap_lines() != 1 || !trap_holds(rows[i].says)) {
			print_message("row %zu: %d, %u lines, expected '%s'\n", i, r, trap_lines(),
				      rows[i].says);
			trap_show();
		}
		assert_int_equal(r, -EPROTO);
		assert_int_equal(trap_lines(), 1);
		assert_true(trap_holds(rows[i].says));
		assert_true(venus_ctx_is_fatal(g->ctx));
		assert_int_equal(atomic_load(&g->fatals), 1);
		other_works(w);

		/* It stays so, silently; fences retire, and destruction works. */
		guest_cmd_buffer(g, ID_DEVICE, 500, 64);
		assert_int_equal(guest_submit(g), -EPROTO);
		assert_int_equal(venus_ctx_fence(g->ctx, VENUS_CPU_TIMELINE, 5), 0);
		assert_int_equal(atomic_load(&g->last_retired), 5);
		assert_int_equal(trap_lines(), 1);
		guest_shm_drop(&w->reply);
		guest_shm_drop(&w->stream);
		assert_int_equal(guest_close(g), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(breach_ends_its_own_context_with_one_line, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
