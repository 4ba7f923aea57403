/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that real guests send, and bytes that none may send. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/fill.h"
#include "client/prims.h"
#include "client/vnt.h"
#include "venus/pnext.h"
#include "venus/venus_gen.h"
#include "venus/vnc_calls.h"

struct bench {
	struct vnt_world w;
	const struct vnc_cmd *called;
	uint64_t args[VNC_PARAMS_MAX];
	uint64_t ret;
	void (*outs)(uint64_t *args); /* what the driver does with its outs */
};

/* Vulkan's functions carry no pointer of ours, so the one test that runs is here. */
static struct bench *now;

uint64_t vnt_called(const struct vnc_cmd *cmd, uint64_t *slots)
{
	now->called = cmd;
	memcpy(now->args, slots, cmd->fields_count * sizeof(*slots));
	if (now->outs)
		now->outs(slots);
	return now->ret;
}

uint64_t vnt_sent(unsigned slot)
{
	return now->args[slot];
}

uint64_t vnt_handle(const struct venus_obj *o)
{
	return o ? o->handle : 0;
}

uint64_t vnt_handles(struct venus_obj **objs, uint64_t n)
{
	return n > 0 ? (uint64_t)(uintptr_t)objs : 0;
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert(b);
	vnt_world_init(&b->w);
	vnt_fake(&b->w.vki, &b->w.dev.vk);
	now = b;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	now = NULL;
	vnt_world_fini(&b->w);
	free(b);
	return 0;
}

/* Runs one command, number and flags included. */
static void feed(struct bench *b, const void *data, size_t size)
{
	uint32_t head[2];

	assert(size >= sizeof(head));
	memcpy(head, data, sizeof(head));
	assert(head[0] < VENUS_CMD_COUNT && venus_cmds[head[0]].run);
	b->called = NULL;
	vnt_world_begin(&b->w, (const uint8_t *)data + 8, size - 8);
	b->w.dec.cmd = venus_cmds[head[0]].name;
	venus_cmds[head[0]].run(&b->w.dec, head[1]);
}

static void *arg(const struct bench *b, unsigned i)
{
	return (void *)(uintptr_t)b->args[i];
}

static const uint32_t create_ring[] = {
	0xbc,    0,    0x36128390, 0x560f, 1, 0,       0x3ba0a600, 1,       0, 0x3ba0a606, 0, 0,
	3000000, 0,    1,          0,      0, 0x200c4, 0,          1000000, 0, 0,          0, 0x40,
	0,       0x80, 0,          0xc0,   0, 0x20000, 0,          0x200c0, 0, 4,          0,
};

static void ring_of_mesa_decodes(void **state)
{
	struct bench *b = *state;

	feed(b, create_ring, sizeof(create_ring));
	assert_false(b->w.dec.failed);
	assert_ptr_equal(b->w.dec.p, b->w.dec.end);
	assert_string_equal(b->called->name, "vkCreateRingMESA");
	assert_true(b->args[0] == UINT64_C(0x560f36128390));

	const VkRingCreateInfoMESA *info = arg(b, 1);
	const VkRingMonitorInfoMESA *monitor = info->pNext;

	assert_int_equal(info->sType, VK_STRUCTURE_TYPE_RING_CREATE_INFO_MESA);
	assert_int_equal(info->resourceId, 1);
	assert_int_equal(info->size, 131268);
	assert_int_equal(info->idleTimeout, 1000000);
	assert_int_equal(info->tailOffset, 64);
	assert_int_equal(info->bufferSize, 131072);
	assert_int_equal(info->extraOffset, 131264);
	assert_int_equal(info->extraSize, 4);
	assert_int_equal(monitor->sType, VK_STRUCTURE_TYPE_RING_MONITOR_INFO_MESA);
	assert_int_equal(monitor->maxReportingPeriodMicroseconds, 3000000);
	assert_null(monitor->pNext);

	struct vnc_buf again = { 0 };

	vnc_vkCreateRingMESA(&again, false, b->args[0], info);
	assert_int_equal(again.size, sizeof(create_ring));
	assert_memory_equal(again.data, create_ring, sizeof(create_ring));
	vnc_buf_fini(&again);
}

static void set_version(uint64_t *args)
{
	*(uint32_t *)(uintptr_t)args[0] = 0x404157;
}

static void first_reply_is_byte_exact(void **state)
{
	static const uint32_t set_reply[] = { 0xb2, 0, 1, 0, 2, 0, 0, 20, 0 };
	static const uint32_t version[] = { 0x89, 1, 1, 0 };
	static const uint32_t reply[] = { 0x89, 0, 1, 0, 0x404157 };
	struct bench *b = *state;

	feed(b, set_reply, sizeof(set_reply));
	assert_false(b->w.dec.failed);

	const VkCommandStreamDescriptionMESA *d = arg(b, 0);

	assert_int_equal(d->resourceId, 2);
	assert_int_equal(d->offset, 0);
	assert_int_equal(d->size, 20);

	b->outs = set_version;
	feed(b, version, sizeof(version));
	assert_false(b->w.dec.failed);
	assert_int_equal(b->w.replied, sizeof(reply));
	assert_memory_equal(b->w.reply, reply, sizeof(reply));
}

static void instance_of_vulkaninfo_is_byte_exact(void **state)
{
	/* clang-format off */
	static const uint32_t request[] = {
		0, 1,
		1, 0, 1, 0, 0, 0,
		1, 0, 0, 0, 0, 11, 0, 0x6b6c7576, 0x6e696e61, 0x6f66, 1, 0, 0, 0, 0x40416b,
		0, 0, 0, 0, 0, 0,
		0, 0,
		1, 0, 1, 0,
	};
	/* clang-format on */
	static const uint32_t reply[] = { 0, 0, 1, 0, 1, 0 };
	struct bench *b = *state;
	uint32_t bytes[ARRAY_LEN(request)];

	memcpy(bytes, request, sizeof(request));
	memcpy(&bytes[15], "vulkaninfo\0", 12);
	feed(b, bytes, sizeof(bytes));
	assert_false(b->w.dec.failed);
	assert_ptr_equal(b->w.dec.p, b->w.dec.end);

	const VkInstanceCreateInfo *info = arg(b, 0);

	assert_string_equal(info->pApplicationInfo->pApplicationName, "vulkaninfo");
	assert_null(info->pApplicationInfo->pEngineName);
	assert_int_equal(info->pApplicationInfo->apiVersion, 0x40416b);
	assert_null(info->ppEnabledExtensionNames);
	assert_int_equal(b->w.replied, sizeof(reply));
	assert_memory_equal(b->w.reply, reply, sizeof(reply));
}

/* clang-format off */
/* Each row is one word of create_ring, changed.  The last one is past its end. */
static const struct bad_word {
	const char *why;
	unsigned at;
	uint32_t word;
} bad_words[] = {
	{ "mandatory pointer is NULL",           4,  0 },
	{ "marker is neither 0 nor 1",           4,  2 },
	{ "marker has high bits",                5,  1 },
	{ "struct of another sType",             6,  1 },
	{ "chain has no such struct",            9,  48 },
	{ "root itself in its chain",            9,  0x3ba0a600 },
	{ "struct of another root",              9,  0x3ba0a602 },
	{ "chain goes on where members should",  10, 1 },
};
/* clang-format on */

static void broken_ring_is_refused(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad_words); i++) {
		uint32_t bytes[ARRAY_LEN(create_ring)];

		print_message("# %s\n", bad_words[i].why);
		memcpy(bytes, create_ring, sizeof(bytes));
		bytes[bad_words[i].at] = bad_words[i].word;
		feed(b, bytes, sizeof(bytes));
		assert_true(b->w.dec.failed);
		assert_null(b->called);
	}
}

static void struct_twice_in_a_chain_is_refused(void **state)
{
	VkRingMonitorInfoMESA second = { .sType = VK_STRUCTURE_TYPE_RING_MONITOR_INFO_MESA };
	VkRingMonitorInfoMESA first = { .sType = second.sType, .pNext = &second };
	VkRingCreateInfoMESA info = { .sType = VK_STRUCTURE_TYPE_RING_CREATE_INFO_MESA,
				      .pNext = &first };
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	vnc_vkCreateRingMESA(&buf, false, 1, &info);
	feed(b, buf.data, buf.size);
	vnc_buf_fini(&buf);
	assert_true(b->w.dec.failed);
	assert_string_equal(b->w.why, "has two VkRingMonitorInfoMESA in one chain");
}

static void struct_that_may_repeat_may_repeat(void **state)
{
	VkDevicePrivateDataCreateInfo second = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_PRIVATE_DATA_CREATE_INFO
	};
	VkDevicePrivateDataCreateInfo first = { .sType = second.sType, .pNext = &second };
	VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
				    .pNext = &first };
	VkPhysicalDevice gpu = (VkPhysicalDevice)vnt_id(VK_OBJECT_TYPE_PHYSICAL_DEVICE, 0);
	VkDevice device = (VkDevice)(uintptr_t)1000;
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	vnc_vkCreateDevice(&buf, false, gpu, &info, NULL, &device);
	feed(b, buf.data, buf.size);
	vnc_buf_fini(&buf);
	assert_false(b->w.dec.failed);
}

/* Of the only structs that may repeat, as many as the limit allows, and one more. */
static void endless_chain_is_refused(void **state)
{
	VkDevicePrivateDataCreateInfo *nodes = calloc(VENUS_CHAIN_MAX + 1, sizeof(*nodes));
	VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = nodes };
	VkPhysicalDevice gpu = (VkPhysicalDevice)vnt_id(VK_OBJECT_TYPE_PHYSICAL_DEVICE, 0);
	VkDevice device = (VkDevice)(uintptr_t)1000;
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	assert_non_null(nodes);
	for (unsigned i = 0; i <= VENUS_CHAIN_MAX; i++) {
		nodes[i].sType = VK_STRUCTURE_TYPE_DEVICE_PRIVATE_DATA_CREATE_INFO;
		if (i < VENUS_CHAIN_MAX)
			nodes[i].pNext = &nodes[i + 1];
	}
	vnc_vkCreateDevice(&buf, false, gpu, &info, NULL, &device);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);

	nodes[VENUS_CHAIN_MAX - 1].pNext = NULL;
	buf.size = 0;
	vnc_vkCreateDevice(&buf, false, gpu, &info, NULL, &device);
	feed(b, buf.data, buf.size);
	assert_false(b->w.dec.failed);
	vnc_buf_fini(&buf);
	free(nodes);
}

static void reply_with_a_foreign_struct_fails(void **state)
{
	VkPhysicalDeviceVulkan11Features ours = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES
	};
	VkBaseInStructure input = { .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO };
	VkBaseInStructure foreign = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO };
	VkBaseInStructure loop = { .sType = ours.sType, .pNext = &loop };
	struct bench *b = *state;

	for (int i = 0; i < 5; i++) {
		const void *chains[] = { NULL, &ours, &input, &foreign, &loop };
		struct venus_enc e = { .p = b->w.reply, .end = b->w.reply + b->w.reply_size };

		venus_enc_chain(&e, chains[i]);
		assert_int_equal(e.failed, i >= 2);
	}
}

/* Every feature struct at once: over a hundred nodes. */
static void longest_chain_fits(void **state)
{
	const struct vnc_struct *root = vnc_struct_of(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
	VkPhysicalDeviceFeatures2 f = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 };
	VkPhysicalDevice gpu = (VkPhysicalDevice)vnt_id(VK_OBJECT_TYPE_PHYSICAL_DEVICE, 0);
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	assert_true(root->nodes_count > 100);
	for (unsigned i = 0; i < root->nodes_count; i++) {
		VkBaseOutStructure *n = calloc(1, root->nodes[i]->size);

		assert_non_null(n);
		n->sType = root->nodes[i]->stype;
		n->pNext = f.pNext;
		f.pNext = n;
	}
	vnc_vkGetPhysicalDeviceFeatures2(&buf, true, gpu, &f);
	feed(b, buf.data, buf.size);
	assert_false(b->w.dec.failed);

	struct vnc_view v = { .p = b->w.reply, .end = b->w.reply + b->w.replied };

	vnc_reply_vkGetPhysicalDeviceFeatures2(&v, gpu, &f);
	assert_false(v.failed);
	assert_ptr_equal(v.p, v.end);
	vnc_buf_fini(&buf);
	for (VkBaseOutStructure *n = f.pNext, *next; n; n = next) {
		next = n->pNext;
		free(n);
	}
}

static VkCommandBuffer cmdbuf(void)
{
	return (VkCommandBuffer)vnt_id(VK_OBJECT_TYPE_COMMAND_BUFFER, 0);
}

static VkImage image(void)
{
	return (VkImage)(uintptr_t)vnt_id(VK_OBJECT_TYPE_IMAGE, 0);
}

static void every_form_of_a_colour_decodes(void **state)
{
	static const uint32_t tags[] = { 0, 1, 2, 3 };
	VkClearColorValue colour = { .uint32 = { 1, 2, 3, 0x3f800000 } };
	VkImageSubresourceRange range = { .levelCount = 1 };
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	vnc_vkCmdClearColorImage(&buf, false, cmdbuf(), image(), VK_IMAGE_LAYOUT_GENERAL, &colour,
				 1, &range);
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		/* number, flags, two ids, layout, marker: then the tag */
		memcpy(buf.data + 8 + 16 + 4 + 8, &tags[i], 4);
		feed(b, buf.data, buf.size);
		assert_int_equal(b->w.dec.failed, tags[i] > 2);
		if (tags[i] <= 2)
			assert_memory_equal(arg(b, 3), &colour, sizeof(colour));
	}
	vnc_buf_fini(&buf);
}

static void tag_that_contradicts_its_owner_is_refused(void **state)
{
	VkDeviceAddressRangeEXT range = { .address = 4096, .size = 64 };
	VkResourceDescriptorInfoEXT info = {
		.sType = VK_STRUCTURE_TYPE_RESOURCE_DESCRIPTOR_INFO_EXT,
		.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.data.pAddressRange = &range,
	};
	VkDevice device = (VkDevice)vnt_id(VK_OBJECT_TYPE_DEVICE, 0);
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };
	uint8_t out[32];

	vnc_vkWriteResourceDescriptorMESA(&buf, false, device, &info, sizeof(out), out);
	feed(b, buf.data, buf.size);
	assert_false(b->w.dec.failed);

	const VkResourceDescriptorInfoEXT *got = arg(b, 1);

	assert_int_equal(got->data.pAddressRange->address, 4096);

	/* head, device, marker, sType, pNext, type: then the tag of the union */
	uint32_t tag = VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE;

	memcpy(buf.data + 8 + 8 + 8 + 4 + 8 + 4, &tag, 4);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);
	vnc_buf_fini(&buf);
}

static void host_addresses_are_refused(void **state)
{
	VkAccelerationStructureBuildGeometryInfoKHR info = {
		.sType = VK_STRUCTURE_TYPE_ACCELERATION_STRUCTURE_BUILD_GEOMETRY_INFO_KHR,
		.scratchData.deviceAddress = 4096,
	};
	VkAccelerationStructureBuildSizesInfoKHR sizes = {
		.sType = VK_STRUCTURE_TYPE_ACCELERATION_STRUCTURE_BUILD_SIZES_INFO_KHR
	};
	VkDevice device = (VkDevice)vnt_id(VK_OBJECT_TYPE_DEVICE, 0);
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };
	uint32_t tag = 1;

	vnc_vkGetAccelerationStructureBuildSizesKHR(&buf, false, device,
						    VK_ACCELERATION_STRUCTURE_BUILD_TYPE_DEVICE_KHR,
						    &info, NULL, &sizes);
	feed(b, buf.data, buf.size);
	assert_false(b->w.dec.failed);
	/* head, device, type, marker, sType, pNext, 3 words, 2 ids, count, 2 arrays: the tag */
	memcpy(buf.data + 8 + 8 + 4 + 8 + 4 + 8 + 12 + 16 + 4 + 16, &tag, 4);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);
	vnc_buf_fini(&buf);
}

static void array_that_may_be_left_out_keeps_its_length(void **state)
{
	VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
				    .size = 64,
				    .queueFamilyIndexCount = 5 };
	VkDevice device = (VkDevice)vnt_id(VK_OBJECT_TYPE_DEVICE, 0);
	VkBuffer buffer = (VkBuffer)(uintptr_t)1000;
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	vnc_vkCreateBuffer(&buf, false, device, &info, NULL, &buffer);
	feed(b, buf.data, buf.size);
	vnc_buf_fini(&buf);
	assert_false(b->w.dec.failed);

	const VkBufferCreateInfo *got = arg(b, 1);

	assert_int_equal(got->queueFamilyIndexCount, 5);
	assert_null(got->pQueueFamilyIndices);
}

static void array_that_contradicts_its_count_is_refused(void **state)
{
	VkBufferCopy regions[2] = { { .size = 4 }, { .size = 8 } };
	VkBuffer buffer = (VkBuffer)(uintptr_t)vnt_id(VK_OBJECT_TYPE_BUFFER, 0);
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };
	static const uint64_t counts[] = { 0, 1, 3, UINT64_C(0x100000002) };

	vnc_vkCmdCopyBuffer(&buf, false, cmdbuf(), buffer, buffer, 2, regions);
	feed(b, buf.data, buf.size);
	assert_false(b->w.dec.failed);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		/* head, three ids, regionCount: then the array's own count */
		memcpy(buf.data + 8 + 24 + 4, &counts[i], 8);
		feed(b, buf.data, buf.size);
		assert_true(b->w.dec.failed);
	}
	vnc_buf_fini(&buf);
}

/* 24 bytes that ask for billions of elements: refused before anything is allocated. */
static void giant_counts_are_refused(void **state)
{
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	vnc_put32(&buf, VENUS_CMD_vkResetFences);
	vnc_put32(&buf, 0);
	vnc_put64(&buf, vnt_id(VK_OBJECT_TYPE_DEVICE, 0));
	vnc_put32(&buf, UINT32_MAX);
	vnc_put64(&buf, UINT32_MAX);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);
	assert_int_equal(b->w.dec.arena.total, 0);

	/* Storage for results is bounded by the arena instead. */
	buf.size = 0;
	vnc_put32(&buf, VENUS_CMD_vkEnumerateDeviceExtensionProperties);
	vnc_put32(&buf, 0);
	vnc_put64(&buf, vnt_id(VK_OBJECT_TYPE_PHYSICAL_DEVICE, 0));
	vnc_put64(&buf, 0);
	vnc_put64(&buf, 1);
	vnc_put32(&buf, UINT32_MAX);
	vnc_put64(&buf, UINT32_MAX);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);
	assert_true(b->w.dec.arena.total < 4096);
	vnc_buf_fini(&buf);
}

static void object_of_another_type_is_refused(void **state)
{
	VkBufferCopy region = { .size = 4 };
	VkBuffer buffer = (VkBuffer)(uintptr_t)vnt_id(VK_OBJECT_TYPE_BUFFER, 0);
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	vnc_vkCmdCopyBuffer(&buf, false, cmdbuf(), buffer, (VkBuffer)(uintptr_t)image(), 1,
			    &region);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);

	buf.size = 0;
	vnc_vkCmdCopyBuffer(&buf, false, NULL, buffer, buffer, 1, &region);
	feed(b, buf.data, buf.size);
	assert_true(b->w.dec.failed);
	vnc_buf_fini(&buf);
}

static void draws_come_tightly_packed(void **state)
{
	VkMultiDrawInfoEXT draws[3] = { { 0, 3 }, { 3, 6 }, { 9, 9 } };
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	/* A guest may lie about the stride; the driver must not believe it. */
	b->args[5] = 12345;
	vnc_vkCmdDrawMultiEXT(&buf, false, cmdbuf(), 3, draws, 1, 0, 1U << 30);
	feed(b, buf.data, buf.size);
	vnc_buf_fini(&buf);
	assert_false(b->w.dec.failed);
	assert_memory_equal(arg(b, 2), draws, sizeof(draws));
	assert_int_equal(b->args[5], 12345); /* fake_vkCmdDrawMultiEXT() saw sizeof() */
}

static void lost_device_without_reply_ends_the_context(void **state)
{
	VkDevice device = (VkDevice)vnt_id(VK_OBJECT_TYPE_DEVICE, 0);
	VkEvent event = (VkEvent)(uintptr_t)vnt_id(VK_OBJECT_TYPE_EVENT, 0);
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	b->ret = (uint64_t)(int64_t)VK_ERROR_DEVICE_LOST;
	vnc_vkGetEventStatus(&buf, true, device, event);
	feed(b, buf.data, buf.size);
	assert_false(b->w.device_lost);

	buf.size = 0;
	vnc_vkGetEventStatus(&buf, false, device, event);
	feed(b, buf.data, buf.size);
	assert_true(b->w.device_lost);

	buf.size = 0;
	vnc_vkSetEvent(&buf, false, device, event);
	feed(b, buf.data, buf.size);
	assert_false(b->w.device_lost); /* not among its errors */
	vnc_buf_fini(&buf);
}

static void missing_function_is_refused(void **state)
{
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	b->w.dev.vk.CmdDispatch = NULL;
	vnc_vkCmdDispatch(&buf, false, cmdbuf(), 1, 1, 1);
	feed(b, buf.data, buf.size);
	vnc_buf_fini(&buf);
	assert_true(b->w.dec.failed);
}

static void failed_create_gives_its_id_back(void **state)
{
	VkEventCreateInfo info = { .sType = VK_STRUCTURE_TYPE_EVENT_CREATE_INFO };
	VkDevice device = (VkDevice)vnt_id(VK_OBJECT_TYPE_DEVICE, 0);
	VkEvent event = (VkEvent)(uintptr_t)1000;
	struct bench *b = *state;
	struct vnc_buf buf = { 0 };

	b->ret = (uint64_t)(int64_t)VK_ERROR_OUT_OF_HOST_MEMORY;
	vnc_vkCreateEvent(&buf, true, device, &info, NULL, &event);
	feed(b, buf.data, buf.size);
	assert_false(b->w.dec.failed);
	assert_int_equal(b->w.cancelled, 1);
	assert_int_equal(b->w.published, 0);

	struct vnc_view v = { .p = b->w.reply, .end = b->w.reply + b->w.replied };

	assert_int_equal(vnc_reply_vkCreateEvent(&v, device, &info, NULL, &event),
			 VK_ERROR_OUT_OF_HOST_MEMORY);
	assert_false(v.failed);
	vnc_buf_fini(&buf);
}

/* The table is what venus-commands.tsv and gen/venus/commands.py say. */
static void table_knows_levels_and_refusals(void **state)
{
	(void)state;
	assert_string_equal(venus_cmds[345].name, "vkUnregisterCustomBorderColorEXT");
	assert_int_equal(VENUS_CMD_COUNT, 346);
	for (unsigned i = 0; i < VENUS_CMD_COUNT; i++) {
		const struct venus_cmd *c = &venus_cmds[i];

		assert_non_null(c->name);
		assert_int_equal(c->run != NULL, c->level != 0);
	}
	assert_null(venus_cmds[195].run);
	assert_null(venus_cmds[VENUS_CMD_vkQueueWaitIdle].run);
	assert_null(venus_cmds[VENUS_CMD_vkMapMemory].run);
	assert_null(venus_cmds[VENUS_CMD_vkGetDeviceQueue].run);
	assert_int_equal(venus_cmds[VENUS_CMD_vkCreateRingMESA].level, VENUS_LEVEL_CTX);
	assert_int_equal(venus_cmds[VENUS_CMD_vkWaitVirtqueueSeqnoMESA].level, VENUS_LEVEL_RING);
	assert_int_equal(venus_cmds[VENUS_CMD_vkCreateInstance].level,
			 VENUS_LEVEL_CTX | VENUS_LEVEL_RING);
	assert_int_equal(venus_ext_count, 187);
	for (unsigned i = 1; i < VENUS_STYPE_COUNT; i++)
		assert_true(venus_stypes[i - 1] < venus_stypes[i]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(ring_of_mesa_decodes),
		T(first_reply_is_byte_exact),
		T(instance_of_vulkaninfo_is_byte_exact),
		T(broken_ring_is_refused),
		T(struct_twice_in_a_chain_is_refused),
		T(struct_that_may_repeat_may_repeat),
		T(longest_chain_fits),
		T(endless_chain_is_refused),
		T(reply_with_a_foreign_struct_fails),
		T(every_form_of_a_colour_decodes),
		T(tag_that_contradicts_its_owner_is_refused),
		T(host_addresses_are_refused),
		T(array_that_may_be_left_out_keeps_its_length),
		T(array_that_contradicts_its_count_is_refused),
		T(giant_counts_are_refused),
		T(object_of_another_type_is_refused),
		T(draws_come_tightly_packed),
		T(lost_device_without_reply_ends_the_context),
		T(missing_function_is_refused),
		T(failed_create_gives_its_id_back),
		T(table_knows_levels_and_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
