/* SPDX-License-Identifier: Apache-2.0 */
/* The null driver is the judge of other tests; here it is judged itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "host/thread.h"
#include "null_icd.h"

static struct {
	unsigned count;
	char last[320];
} heard;

static void hear(const char *sentence)
{
	heard.count++;
	(void)snprintf(heard.last, sizeof(heard.last), "%s", sentence);
}

static void expect_complaint(const char *part)
{
	if (heard.count == 0 || !strstr(heard.last, part))
		print_message("expected a complaint with '%s', heard '%s'\n", part, heard.last);
	assert_true(heard.count > 0);
	assert_non_null(strstr(heard.last, part));
	heard.count = 0;
	heard.last[0] = '\0';
}

static void control(struct null_control c)
{
	c.complain = hear;
	null_control(&c);
}

struct fixture {
	VkInstance inst;
	VkPhysicalDevice phys;
	VkDevice dev;
	VkQueue queue;
};

#define GET(name)        ((PFN_##name)null_get_instance_proc_addr(NULL, #name))
#define CALL(inst, name) ((PFN_##name)null_get_instance_proc_addr(inst, #name))
#define F(name)          CALL(f->inst, name)

static VkDevice make_device(struct fixture *f, uint32_t exts, const char *const *names)
{
	const float prio[] = { 1.0F, 1.0F };
	const VkDeviceQueueCreateInfo q = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
					    .queueCount = 2,
					    .pQueuePriorities = prio };
	const VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
					  .queueCreateInfoCount = 1,
					  .pQueueCreateInfos = &q,
					  .enabledExtensionCount = exts,
					  .ppEnabledExtensionNames = names };
	VkDevice dev = VK_NULL_HANDLE;

	(void)F(vkCreateDevice)(f->phys, &info, NULL, &dev);
	return dev;
}

static int set_up(void **state)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;
	const VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO };
	uint32_t n = 1;

	heard.count = 0;
	control((struct null_control){ 0 });
	null_forget();
	*state = f;
	if (GET(vkCreateInstance)(&info, NULL, &f->inst) != VK_SUCCESS)
		return -1;
	(void)F(vkEnumeratePhysicalDevices)(f->inst, &n, &f->phys);
	f->dev = make_device(f, 0, NULL);
	F(vkGetDeviceQueue)(f->dev, 0, 0, &f->queue);
	return f->queue ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	F(vkDestroyDevice)(f->dev, NULL);
	F(vkDestroyInstance)(f->inst, NULL);
	return heard.count || null_alive(VK_OBJECT_TYPE_UNKNOWN);
}

static VkBuffer make_buffer(struct fixture *f, VkDevice dev, uint64_t size)
{
	const VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
					  .size = size };
	VkBuffer b = VK_NULL_HANDLE;

	(void)F(vkCreateBuffer)(dev, &info, NULL, &b);
	return b;
}

static void destroyed_object_is_noticed(void **state)
{
	struct fixture *f = *state;
	VkBuffer b = make_buffer(f, f->dev, 64);
	VkMemoryRequirements req = { 0 };

	F(vkGetBufferMemoryRequirements)(f->dev, b, &req);
	assert_int_equal(req.size, 256);
	assert_int_equal(heard.count, 0);
	F(vkDestroyBuffer)(f->dev, b, NULL);
	F(vkGetBufferMemoryRequirements)(f->dev, b, &req);
	expect_complaint("destroyed");
}

static void object_of_another_type_is_noticed(void **state)
{
	struct fixture *f = *state;
	VkBuffer b = make_buffer(f, f->dev, 64);

	F(vkDestroyImage)(f->dev, (VkImage)b, NULL);
	expect_complaint("of type 9 in place of 10");
	F(vkDestroyBuffer)(f->dev, b, NULL);
}

static void object_of_another_device_is_noticed(void **state)
{
	struct fixture *f = *state;
	VkDevice other = make_device(f, 0, NULL);
	VkBuffer b = make_buffer(f, other, 64);

	F(vkDestroyBuffer)(f->dev, b, NULL);
	expect_complaint("of another device");
	F(vkDestroyBuffer)(other, b, NULL);
	F(vkDestroyDevice)(other, NULL);
}

static void number_that_is_no_handle_is_noticed(void **state)
{
	struct fixture *f = *state;

	F(vkDestroyBuffer)(f->dev, (VkBuffer)(uintptr_t)0x1234, NULL);
	expect_complaint("no handle: 0x1234");
	F(vkDestroyBuffer)(NULL, NULL, NULL);
	expect_complaint("no object to work on");
}

static void handle_deep_inside_a_struct_is_checked(void **state)
{
	struct fixture *f = *state;
	VkBuffer b = make_buffer(f, f->dev, 64);
	const VkDescriptorBufferInfo buf = { .buffer = b };
	const VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
					     .descriptorCount = 1,
					     .pBufferInfo = &buf };

	F(vkUpdateDescriptorSets)(f->dev, 1, &write, 0, NULL);
	assert_int_equal(heard.count, 0);
	F(vkDestroyBuffer)(f->dev, b, NULL);
	F(vkUpdateDescriptorSets)(f->dev, 1, &write, 0, NULL);
	expect_complaint("vkUpdateDescriptorSets was given a buffer");
}

static void chains_are_checked(void **state)
{
	struct fixture *f = *state;
	const VkExternalMemoryBufferCreateInfo two = {
		.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO
	};
	const VkExternalMemoryBufferCreateInfo one = {
		.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO, .pNext = &two
	};
	VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .pNext = &one };
	VkBuffer b = VK_NULL_HANDLE;

	assert_int_not_equal(F(vkCreateBuffer)(f->dev, &info, NULL, &b), VK_SUCCESS);
	expect_complaint("twice");
	info.pNext = NULL;
	info.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO;
	assert_int_not_equal(F(vkCreateBuffer)(f->dev, &info, NULL, &b), VK_SUCCESS);
	expect_complaint("of another sType");
}

static void leftovers_are_noticed(void **state)
{
	struct fixture *f = *state;
	VkDevice other = make_device(f, 0, NULL);

	(void)make_buffer(f, other, 64);
	F(vkDestroyDevice)(other, NULL);
	expect_complaint("1 objects of the device are alive");
}

static void members_leave_with_their_pool(void **state)
{
	struct fixture *f = *state;
	const VkCommandPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO
	};
	VkCommandPool pool[2];
	VkCommandBuffer cb[3];

	for (int i = 0; i < 2; i++)
		assert_int_equal(F(vkCreateCommandPool)(f->dev, &pool_info, NULL, &pool[i]), 0);
	const VkCommandBufferAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = pool[0],
		.commandBufferCount = 3
	};

	assert_int_equal(F(vkAllocateCommandBuffers)(f->dev, &info, cb), VK_SUCCESS);
	F(vkFreeCommandBuffers)(f->dev, pool[1], 1, cb);
	expect_complaint("another pool");
	F(vkDestroyCommandPool)(f->dev, pool[0], NULL);
	(void)F(vkEndCommandBuffer)(cb[1]);
	expect_complaint("destroyed");
	F(vkDestroyCommandPool)(f->dev, pool[1], NULL);
}

static void calls_are_counted_under_all_names(void **state)
{
	struct fixture *f = *state;
	uint64_t before = null_calls_total();

	(void)F(vkDeviceWaitIdle)(f->dev);
	(void)F(vkDeviceWaitIdle)(f->dev);
	assert_int_equal(null_calls("vkDeviceWaitIdle"), 2);
	assert_int_equal(null_calls_total(), before + 2);
	assert_int_equal(null_calls("vkNoSuchThing"), 0);
	assert_int_equal(null_calls("vkCmdPipelineBarrier2KHR"),
			 null_calls("vkCmdPipelineBarrier2"));
}

static void functions_need_their_extension(void **state)
{
	struct fixture *f = *state;
	PFN_vkGetDeviceProcAddr gdpa = F(vkGetDeviceProcAddr);
	const char *const ext[] = { "VK_EXT_mesh_shader" };

	assert_null(gdpa(f->dev, "vkCmdDrawMeshTasksEXT"));
	assert_null(gdpa(f->dev, "vkCreateInstance"));
	assert_non_null(gdpa(f->dev, "vkCmdPipelineBarrier2"));
	VkDevice with = make_device(f, 1, ext);
	assert_non_null(gdpa(with, "vkCmdDrawMeshTasksEXT"));
	F(vkDestroyDevice)(with, NULL);
}

static void hidden_extension_is_not_offered(void **state)
{
	struct fixture *f = *state;
	uint32_t all = 0;
	uint32_t fewer = 0;
	const char *const ext[] = { "VK_EXT_external_memory_host" };

	(void)F(vkEnumerateDeviceExtensionProperties)(f->phys, NULL, &all, NULL);
	control((struct null_control){ .hide = "VK_EXT_external_memory_host VK_EXT_mesh_shader" });
	(void)F(vkEnumerateDeviceExtensionProperties)(f->phys, NULL, &fewer, NULL);
	assert_int_equal(all, fewer + 2);
	assert_true(all > 150);
	assert_null(make_device(f, 1, ext));
}

static void device_is_lost_after_the_chosen_submission(void **state)
{
	struct fixture *f = *state;
	const VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	VkFence fence;

	control((struct null_control){ .lose_after = 2 });
	assert_int_equal(F(vkCreateFence)(f->dev, &info, NULL, &fence), VK_SUCCESS);
	assert_int_equal(F(vkQueueSubmit)(f->queue, 0, NULL, fence), VK_SUCCESS);
	assert_int_equal(F(vkGetFenceStatus)(f->dev, fence), VK_SUCCESS);
	assert_int_equal(F(vkResetFences)(f->dev, 1, &fence), VK_SUCCESS);
	assert_int_equal(F(vkQueueSubmit)(f->queue, 0, NULL, VK_NULL_HANDLE), VK_SUCCESS);
	assert_int_equal(F(vkQueueSubmit)(f->queue, 0, NULL, fence), VK_ERROR_DEVICE_LOST);
	assert_int_equal(F(vkWaitForFences)(f->dev, 1, &fence, 1, UINT64_MAX),
			 VK_ERROR_DEVICE_LOST);
	F(vkDestroyFence)(f->dev, fence, NULL);
}

static void nth_object_is_one_too_many(void **state)
{
	struct fixture *f = *state;

	control((struct null_control){ .oom_at = 2 });
	VkBuffer first = make_buffer(f, f->dev, 64);
	assert_non_null(first);
	assert_null(make_buffer(f, f->dev, 64));
	VkBuffer third = make_buffer(f, f->dev, 64);
	assert_non_null(third);
	F(vkDestroyBuffer)(f->dev, first, NULL);
	F(vkDestroyBuffer)(f->dev, third, NULL);
}

#define WORK_NS UINT64_C(20000000)

static void fence_and_timeline_take_their_time(void **state)
{
	struct fixture *f = *state;
	const VkSemaphoreTypeCreateInfo type = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
		.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
		.initialValue = 3
	};
	const VkSemaphoreCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
					     .pNext = &type };
	const uint64_t five = 5;
	VkSemaphore s;
	uint64_t value;

	control((struct null_control){ .work_ns = WORK_NS });
	assert_int_equal(F(vkCreateSemaphore)(f->dev, &info, NULL, &s), VK_SUCCESS);
	const VkTimelineSemaphoreSubmitInfo values = {
		.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
		.signalSemaphoreValueCount = 1,
		.pSignalSemaphoreValues = &five
	};
	const VkSubmitInfo submit = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
				      .pNext = &values,
				      .signalSemaphoreCount = 1,
				      .pSignalSemaphores = &s };
	const VkSemaphoreWaitInfo wait = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
					   .semaphoreCount = 1,
					   .pSemaphores = &s,
					   .pValues = &five };
	uint64_t start = clock_now_ns();

	assert_int_equal(F(vkWaitSemaphores)(f->dev, &wait, 0), VK_TIMEOUT);
	assert_int_equal(F(vkQueueSubmit)(f->queue, 1, &submit, VK_NULL_HANDLE), VK_SUCCESS);
	assert_int_equal(F(vkGetSemaphoreCounterValue)(f->dev, s, &value), VK_SUCCESS);
	assert_true(value == 3 || clock_now_ns() - start >= WORK_NS);
	assert_int_equal(F(vkWaitSemaphores)(f->dev, &wait, UINT64_MAX), VK_SUCCESS);
	assert_true(clock_now_ns() - start >= WORK_NS);
	assert_int_equal(F(vkGetSemaphoreCounterValue)(f->dev, s, &value), VK_SUCCESS);
	assert_int_equal(value, 5);
	F(vkDestroySemaphore)(f->dev, s, NULL);
}

static void *call_idle(void *arg)
{
	struct fixture *f = arg;

	(void)F(vkDeviceWaitIdle)(f->dev);
	return NULL;
}

static void chosen_command_hangs_until_released(void **state)
{
	struct fixture *f = *state;
	pthread_t t;

	control((struct null_control){ .hang = "vkDeviceWaitIdle" });
	assert_int_equal(thread_start(&t, "hangs", call_idle, f), 0);
	while (null_calls("vkDeviceWaitIdle") == 0)
		(void)sched_yield();
	assert_int_not_equal(pthread_tryjoin_np(t, NULL), 0);
	null_release();
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void imported_memory_is_the_very_same(void **state)
{
	struct fixture *f = *state;
	uint32_t *p =
		mmap(NULL, NULL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	const VkImportMemoryHostPointerInfoEXT host = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
		.pHostPointer = p
	};
	VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
				      .pNext = &host,
				      .allocationSize = NULL_PAGE,
				      .memoryTypeIndex = NULL_TYPE_HOST };
	const VkCommandPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO
	};
	const VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO
	};
	VkBuffer b = make_buffer(f, f->dev, NULL_PAGE);
	VkDeviceMemory mem;
	VkCommandPool pool;
	VkCommandBuffer cb;

	assert_int_equal(F(vkAllocateMemory)(f->dev, &info, NULL, &mem), VK_SUCCESS);
	assert_int_equal(F(vkBindBufferMemory)(f->dev, b, mem, 0), VK_SUCCESS);
	assert_int_equal(F(vkCreateCommandPool)(f->dev, &pool_info, NULL, &pool), VK_SUCCESS);
	const VkCommandBufferAllocateInfo cb_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = pool,
		.commandBufferCount = 1
	};
	assert_int_equal(F(vkAllocateCommandBuffers)(f->dev, &cb_info, &cb), VK_SUCCESS);
	assert_int_equal(F(vkBeginCommandBuffer)(cb, &begin), VK_SUCCESS);
	F(vkCmdFillBuffer)(cb, b, 8, VK_WHOLE_SIZE, 0xfeedc0de);
	F(vkCmdFillBuffer)(cb, b, NULL_PAGE, 64, 1); /* past the end: does nothing */
	F(vkCmdCopyBuffer)(cb, b, b, 1, &(VkBufferCopy){ 8, 0, 4 });
	assert_int_equal(F(vkEndCommandBuffer)(cb), VK_SUCCESS);
	assert_int_equal(p[2], 0);
	const VkSubmitInfo submit = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
				      .commandBufferCount = 1,
				      .pCommandBuffers = &cb };
	assert_int_equal(F(vkQueueSubmit)(f->queue, 1, &submit, VK_NULL_HANDLE), VK_SUCCESS);
	assert_int_equal(p[0], 0xfeedc0de);
	assert_int_equal(p[1], 0);
	assert_int_equal(p[NULL_PAGE / 4 - 1], 0xfeedc0de);

	F(vkDestroyCommandPool)(f->dev, pool, NULL);
	F(vkDestroyBuffer)(f->dev, b, NULL);
	F(vkFreeMemory)(f->dev, mem, NULL);
	p[0] = 1; /* still ours */

	info.memoryTypeIndex = NULL_TYPE_BAR;
	assert_int_not_equal(F(vkAllocateMemory)(f->dev, &info, NULL, &mem), VK_SUCCESS);
	expect_complaint("into memory type 2");
	info.memoryTypeIndex = 3;
	assert_int_not_equal(F(vkAllocateMemory)(f->dev, &info, NULL, &mem), VK_SUCCESS);
	expect_complaint("was given memory type 3");
	(void)munmap(p, NULL_PAGE);
}

static void stale_handles_can_be_tolerated(void **state)
{
	struct fixture *f = *state;
	VkBuffer b = make_buffer(f, f->dev, 64);
	VkMemoryRequirements req = { .size = 77 };

	control((struct null_control){ .is_stale_ok = true });
	F(vkDestroyBuffer)(f->dev, b, NULL);
	F(vkGetBufferMemoryRequirements)(f->dev, b, &req);
	assert_int_equal(heard.count, 0);
	assert_int_equal(req.size, 77);
}

static void features_and_properties_are_filled_through_the_chain(void **state)
{
	struct fixture *f = *state;
	VkPhysicalDeviceVulkan13Features f13 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES
	};
	VkPhysicalDeviceFeatures2 features = { .sType =
						       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
					       .pNext = &f13 };
	VkImageLayout layouts[8] = { 0 };
	VkPhysicalDeviceVulkan14Properties p14 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_4_PROPERTIES,
		.copySrcLayoutCount = 8,
		.pCopySrcLayouts = layouts
	};
	VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
		.pNext = &p14
	};
	VkPhysicalDeviceProperties2 props = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &host
	};

	F(vkGetPhysicalDeviceFeatures2)(f->phys, &features);
	assert_int_equal(features.features.shaderInt64, VK_TRUE);
	assert_int_equal(f13.synchronization2, VK_TRUE);
	F(vkGetPhysicalDeviceProperties2)(f->phys, &props);
	assert_int_equal(host.minImportedHostPointerAlignment, NULL_PAGE);
	assert_string_equal(props.properties.deviceName, NULL_DEVICE_NAME " 0");
	assert_int_equal(p14.copySrcLayoutCount, 2);
	assert_int_equal(layouts[1], 1);
	assert_int_equal(layouts[2], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(destroyed_object_is_noticed),
		T(object_of_another_type_is_noticed),
		T(object_of_another_device_is_noticed),
		T(number_that_is_no_handle_is_noticed),
		T(handle_deep_inside_a_struct_is_checked),
		T(chains_are_checked),
		T(leftovers_are_noticed),
		T(members_leave_with_their_pool),
		T(calls_are_counted_under_all_names),
		T(functions_need_their_extension),
		T(hidden_extension_is_not_offered),
		T(device_is_lost_after_the_chosen_submission),
		T(nth_object_is_one_too_many),
		T(fence_and_timeline_take_their_time),
		T(chosen_command_hangs_until_released),
		T(imported_memory_is_the_very_same),
		T(stale_handles_can_be_tolerated),
		T(features_and_properties_are_filled_through_the_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
