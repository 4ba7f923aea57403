/* SPDX-License-Identifier: Apache-2.0 */
/* Shared part of the Vulkan test clients; see vk.h. */
#include "vk.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define FENCE_TIMEOUT_NS (UINT64_C(120) * 1000 * 1000 * 1000)
#define MAX_DEVICES      16
#define MAX_FAMILIES     16
#define MAX_EXTENSIONS   1024

void vkc_check(VkResult r, const char *what, const char *file, int line)
{
	if (r == VK_SUCCESS)
		return;
	fflush(stdout);
	fprintf(stderr, "%s:%d: %s = %d\n", file, line, what, (int)r);
	printf("Bail out! %s = %d\n", what, (int)r);
	exit(1);
}

void vkc_fail(const char *what, const char *file, int line)
{
	fflush(stdout);
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	printf("Bail out! not so: %s\n", what);
	exit(1);
}

/* POSIX gives dlsym() a data pointer for a function. */
static PFN_vkGetInstanceProcAddr entry_point(void *lib)
{
	void *sym = dlsym(lib, "vkGetInstanceProcAddr");
	PFN_vkGetInstanceProcAddr fn = NULL;

	memcpy(&fn, &sym, sizeof(fn));
	return fn;
}

static void load_device_functions(struct vkc *c)
{
#define LOAD(name)                                                                                 \
	c->name = (PFN_vk##name)c->GetDeviceProcAddr(c->dev, "vk" #name);                          \
	REQUIRE(c->name);
#define LOAD_OPTIONAL(name) c->name = (PFN_vk##name)c->GetDeviceProcAddr(c->dev, "vk" #name);
	VKC_DEVICE(LOAD)
	VKC_OPTIONAL(LOAD_OPTIONAL)
#undef LOAD
#undef LOAD_OPTIONAL
}

static void open_instance(struct vkc *c)
{
	c->lib = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!c->lib)
		vkc_fail(dlerror(), __FILE__, __LINE__);
	c->GetInstanceProcAddr = entry_point(c->lib);
	REQUIRE(c->GetInstanceProcAddr);
#define LOAD(name)                                                                                 \
	c->name = (PFN_vk##name)c->GetInstanceProcAddr(c->instance, "vk" #name);                   \
	REQUIRE(c->name);
	VKC_GLOBAL(LOAD)

	VkApplicationInfo app = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.pApplicationName = "pecten-test",
		.apiVersion = VK_API_VERSION_1_3,
	};
	VkInstanceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &app,
	};
	VK(c->CreateInstance(&info, NULL, &c->instance));
	VKC_INSTANCE(LOAD)
#undef LOAD
}

static uint32_t find_family(struct vkc *c, VkPhysicalDevice phys, VkQueueFlags flags)
{
	VkQueueFamilyProperties fam[MAX_FAMILIES];
	uint32_t n = MAX_FAMILIES;

	c->GetPhysicalDeviceQueueFamilyProperties(phys, &n, fam);
	for (uint32_t i = 0; i < n; i++) {
		if ((fam[i].queueFlags & flags) == flags) {
			c->queue_props = fam[i];
			return i;
		}
	}
	return UINT32_MAX;
}

static bool has_extension(const VkExtensionProperties *ext, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(ext[i].extensionName, name))
			return true;
	return false;
}

void vkc_open(struct vkc *c, bool want_graphics)
{
	VkPhysicalDevice phys[MAX_DEVICES];
	uint32_t n = MAX_DEVICES;
	VkQueueFlags flags = VK_QUEUE_COMPUTE_BIT | (want_graphics ? VK_QUEUE_GRAPHICS_BIT : 0);

	open_instance(c);
	VK(c->EnumeratePhysicalDevices(c->instance, &n, phys));
	REQUIRE(n > 0);
	c->phys = phys[0];
	c->family = find_family(c, c->phys, flags);
	REQUIRE(c->family != UINT32_MAX);
	c->GetPhysicalDeviceProperties(c->phys, &c->props);
	c->GetPhysicalDeviceMemoryProperties(c->phys, &c->mem);
	c->api =
		c->props.apiVersion < VK_API_VERSION_1_3 ? c->props.apiVersion : VK_API_VERSION_1_3;
	REQUIRE(c->api >= VK_API_VERSION_1_2);

	c->f13 = (VkPhysicalDeviceVulkan13Features){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
	};
	c->f12 = (VkPhysicalDeviceVulkan12Features){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
		.pNext = c->api >= VK_API_VERSION_1_3 ? &c->f13 : NULL,
	};
	c->f11 = (VkPhysicalDeviceVulkan11Features){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
		.pNext = &c->f12,
	};
	c->features = (VkPhysicalDeviceFeatures2){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
		.pNext = &c->f11,
	};
	c->GetPhysicalDeviceFeatures2(c->phys, &c->features);

	VkExtensionProperties *ext = calloc(MAX_EXTENSIONS, sizeof(*ext));
	const char *enabled[2];
	uint32_t enabled_count = 0;
	n = MAX_EXTENSIONS;
	REQUIRE(ext);
	VK(c->EnumerateDeviceExtensionProperties(c->phys, NULL, &n, ext));
	c->has_push_descriptor = has_extension(ext, n, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME);
	c->has_map_memory2 = has_extension(ext, n, VK_KHR_MAP_MEMORY_2_EXTENSION_NAME);
	free(ext);
	if (c->has_push_descriptor)
		enabled[enabled_count++] = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME;
	if (c->has_map_memory2)
		enabled[enabled_count++] = VK_KHR_MAP_MEMORY_2_EXTENSION_NAME;

	float priority = 1.0f;
	VkDeviceQueueCreateInfo queue = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueFamilyIndex = c->family,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	VkDeviceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.pNext = &c->features,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
		.enabledExtensionCount = enabled_count,
		.ppEnabledExtensionNames = enabled,
	};
	VK(c->CreateDevice(c->phys, &info, NULL, &c->dev));
	load_device_functions(c);
	c->GetDeviceQueue(c->dev, c->family, 0, &c->queue);

	VkCommandPoolCreateInfo pool = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
		.queueFamilyIndex = c->family,
	};
	VK(c->CreateCommandPool(c->dev, &pool, NULL, &c->pool));
}

void vkc_close(struct vkc *c)
{
	VK(c->DeviceWaitIdle(c->dev));
	c->DestroyCommandPool(c->dev, c->pool, NULL);
	c->DestroyDevice(c->dev, NULL);
	c->DestroyInstance(c->instance, NULL);
	/* The loader stays: drivers have threads and exit handlers that outlive the instance. */
}

uint32_t vkc_mem_type(const struct vkc *c, uint32_t bits, VkMemoryPropertyFlags flags)
{
	for (uint32_t i = 0; i < c->mem.memoryTypeCount; i++)
		if ((bits & (UINT32_C(1) << i)) &&
		    (c->mem.memoryTypes[i].propertyFlags & flags) == flags)
			return i;
	return UINT32_MAX;
}

void vkc_buf_create(struct vkc *c, struct vkc_buf *b, VkDeviceSize size,
		    VkMemoryPropertyFlags flags)
{
	VkBufferUsageFlags address =
		c->f12.bufferDeviceAddress ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0;
	VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = size,
		.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
			 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
			 VK_BUFFER_USAGE_VERTEX_BUFFER_BIT | VK_BUFFER_USAGE_INDEX_BUFFER_BIT |
			 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT |
			 VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT | address,
	};
	VkMemoryRequirements req;

	*b = (struct vkc_buf){ .size = size };
	VK(c->CreateBuffer(c->dev, &info, NULL, &b->buf));
	c->GetBufferMemoryRequirements(c->dev, b->buf, &req);

	VkMemoryAllocateFlagsInfo alloc_flags = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
		.flags = address ? VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT : 0,
	};
	VkMemoryAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.pNext = &alloc_flags,
		.allocationSize = req.size,
		.memoryTypeIndex = vkc_mem_type(c, req.memoryTypeBits, flags),
	};
	REQUIRE(alloc.memoryTypeIndex != UINT32_MAX);
	VK(c->AllocateMemory(c->dev, &alloc, NULL, &b->mem));
	VK(c->BindBufferMemory(c->dev, b->buf, b->mem, 0));
	if (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
		VK(c->MapMemory(c->dev, b->mem, 0, VK_WHOLE_SIZE, 0, &b->map));
}

void vkc_buf_destroy(struct vkc *c, struct vkc_buf *b)
{
	c->DestroyBuffer(c->dev, b->buf, NULL);
	c->FreeMemory(c->dev, b->mem, NULL);
	*b = (struct vkc_buf){ 0 };
}

VkCommandBuffer vkc_cmd_begin(struct vkc *c)
{
	VkCommandBufferAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = c->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1,
	};
	VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
	};
	VkCommandBuffer cmd;

	VK(c->AllocateCommandBuffers(c->dev, &info, &cmd));
	VK(c->BeginCommandBuffer(cmd, &begin));
	return cmd;
}

void vkc_cmd_run(struct vkc *c, VkCommandBuffer cmd)
{
	VkFenceCreateInfo fence_info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	VkSubmitInfo submit = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &cmd,
	};
	VkFence fence;

	VK(c->EndCommandBuffer(cmd));
	VK(c->CreateFence(c->dev, &fence_info, NULL, &fence));
	VK(c->QueueSubmit(c->queue, 1, &submit, fence));
	VK(c->WaitForFences(c->dev, 1, &fence, VK_TRUE, FENCE_TIMEOUT_NS));
	c->DestroyFence(c->dev, fence, NULL);
	c->FreeCommandBuffers(c->dev, c->pool, 1, &cmd);
}

void vkc_barrier(struct vkc *c, VkCommandBuffer cmd)
{
	VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT |
				 VK_ACCESS_HOST_READ_BIT,
	};

	c->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
			      VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
			      &barrier, 0, NULL, 0, NULL);
}

VkShaderModule vkc_shader(struct vkc *c, const uint32_t *code, size_t bytes)
{
	VkShaderModuleCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = bytes,
		.pCode = code,
	};
	VkShaderModule module;

	VK(c->CreateShaderModule(c->dev, &info, NULL, &module));
	return module;
}

#define MAX_BINDINGS 8

void vkc_compute_create(struct vkc *c, struct vkc_compute *p, VkShaderModule module,
			uint32_t buffers, uint32_t push_bytes, const VkSpecializationInfo *spec)
{
	VkDescriptorSetLayoutBinding bind[MAX_BINDINGS];

	REQUIRE(buffers > 0 && buffers <= MAX_BINDINGS);
	for (uint32_t i = 0; i < buffers; i++)
		bind[i] = (VkDescriptorSetLayoutBinding){
			.binding = i,
			.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
			.descriptorCount = 1,
			.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
		};

	VkDescriptorSetLayoutCreateInfo set_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = buffers,
		.pBindings = bind,
	};
	VkPushConstantRange range = { VK_SHADER_STAGE_COMPUTE_BIT, 0, push_bytes };
	VkPipelineLayoutCreateInfo layout_info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &p->set_layout,
		.pushConstantRangeCount = push_bytes ? 1 : 0,
		.pPushConstantRanges = &range,
	};
	VkDescriptorPoolSize pool_size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, buffers };
	VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = 1,
		.pPoolSizes = &pool_size,
	};

	*p = (struct vkc_compute){ .module = module };
	VK(c->CreateDescriptorSetLayout(c->dev, &set_info, NULL, &p->set_layout));
	VK(c->CreatePipelineLayout(c->dev, &layout_info, NULL, &p->layout));
	VK(c->CreateDescriptorPool(c->dev, &pool_info, NULL, &p->pool));

	VkDescriptorSetAllocateInfo set_alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = p->pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &p->set_layout,
	};
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
			   .module = module,
			   .pName = "main",
			   .pSpecializationInfo = spec },
		.layout = p->layout,
	};
	VK(c->AllocateDescriptorSets(c->dev, &set_alloc, &p->set));
	VK(c->CreateComputePipelines(c->dev, VK_NULL_HANDLE, 1, &info, NULL, &p->pipeline));
}

void vkc_compute_bind(struct vkc *c, struct vkc_compute *p, uint32_t binding,
		      const struct vkc_buf *b)
{
	VkDescriptorBufferInfo buf = { b->buf, 0, VK_WHOLE_SIZE };
	VkWriteDescriptorSet write = {
		.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = p->set,
		.dstBinding = binding,
		.descriptorCount = 1,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = &buf,
	};

	c->UpdateDescriptorSets(c->dev, 1, &write, 0, NULL);
}

void vkc_compute_destroy(struct vkc *c, struct vkc_compute *p)
{
	c->DestroyPipeline(c->dev, p->pipeline, NULL);
	c->DestroyDescriptorPool(c->dev, p->pool, NULL);
	c->DestroyPipelineLayout(c->dev, p->layout, NULL);
	c->DestroyDescriptorSetLayout(c->dev, p->set_layout, NULL);
	c->DestroyShaderModule(c->dev, p->module, NULL);
}

uint64_t vkc_hash(const void *data, size_t size)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t vkc_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

int vkc_main(int argc, char **argv, bool want_graphics, const struct vkc_case *cases, size_t n)
{
	struct vkc c = { 0 };
	size_t done = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	vkc_open(&c, want_graphics);
	printf("# %s, Vulkan %u.%u.%u\n", c.props.deviceName,
	       VK_API_VERSION_MAJOR(c.props.apiVersion), VK_API_VERSION_MINOR(c.props.apiVersion),
	       VK_API_VERSION_PATCH(c.props.apiVersion));
	for (size_t i = 0; i < n; i++) {
		bool is_wanted = argc <= 1;
		for (int a = 1; a < argc; a++)
			is_wanted |= !strcmp(argv[a], cases[i].name);
		if (!is_wanted)
			continue;

		const char *skip = cases[i].run(&c);
		done++;
		printf("ok %zu - %s%s%s\n", done, cases[i].name, skip ? " # SKIP " : "",
		       skip ? skip : "");
	}
	printf("1..%zu\n", done);
	vkc_close(&c);
	return done ? 0 : 2;
}
