/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Vulkan test clients share: the loader by dlopen (so that one binary runs in every
 * root), a device with a queue, buffers, and a report in TAP.  A client is a test: any call that
 * fails where it must not ends the program with a line that names it.
 */
#ifndef PECTEN_TESTS_GPU_VK_H
#define PECTEN_TESTS_GPU_VK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off */
#define VKC_GLOBAL(X) \
	X(CreateInstance) X(EnumerateInstanceVersion) X(EnumerateInstanceExtensionProperties)

#define VKC_INSTANCE(X) \
	X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties) \
	X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2) \
	X(GetPhysicalDeviceMemoryProperties) X(GetPhysicalDeviceQueueFamilyProperties) \
	X(GetPhysicalDeviceFormatProperties) X(GetPhysicalDeviceImageFormatProperties2) \
	X(GetPhysicalDeviceExternalBufferProperties) \
	X(GetPhysicalDeviceSparseImageFormatProperties2) \
	X(EnumerateDeviceExtensionProperties) X(CreateDevice) X(GetDeviceProcAddr)

/* Present from Vulkan 1.0 to 1.2. */
#define VKC_DEVICE(X) \
	X(DestroyDevice) X(DeviceWaitIdle) X(GetDeviceQueue) X(QueueSubmit) X(QueueWaitIdle) \
	X(AllocateMemory) X(FreeMemory) X(MapMemory) X(UnmapMemory) X(FlushMappedMemoryRanges) \
	X(InvalidateMappedMemoryRanges) X(CreateBuffer) X(DestroyBuffer) \
	X(GetBufferMemoryRequirements) X(BindBufferMemory) X(BindBufferMemory2) X(CreateImage) \
	X(DestroyImage) X(GetImageMemoryRequirements) X(BindImageMemory) X(CreateImageView) \
	X(DestroyImageView) X(CreateBufferView) X(DestroyBufferView) X(CreateSampler) \
	X(DestroySampler) X(CreateShaderModule) X(DestroyShaderModule) X(CreatePipelineLayout) \
	X(DestroyPipelineLayout) X(CreateComputePipelines) X(CreateGraphicsPipelines) \
	X(DestroyPipeline) X(CreatePipelineCache) X(DestroyPipelineCache) X(GetPipelineCacheData) \
	X(MergePipelineCaches) X(CreateDescriptorSetLayout) X(DestroyDescriptorSetLayout) \
	X(CreateDescriptorPool) X(DestroyDescriptorPool) X(ResetDescriptorPool) \
	X(AllocateDescriptorSets) X(FreeDescriptorSets) X(UpdateDescriptorSets) \
	X(CreateDescriptorUpdateTemplate) X(DestroyDescriptorUpdateTemplate) \
	X(UpdateDescriptorSetWithTemplate) X(CreateCommandPool) X(DestroyCommandPool) \
	X(ResetCommandPool) X(TrimCommandPool) X(AllocateCommandBuffers) X(FreeCommandBuffers) \
	X(BeginCommandBuffer) X(EndCommandBuffer) X(ResetCommandBuffer) X(CreateFence) \
	X(DestroyFence) X(ResetFences) X(GetFenceStatus) X(WaitForFences) X(CreateSemaphore) \
	X(DestroySemaphore) X(GetSemaphoreCounterValue) X(WaitSemaphores) X(SignalSemaphore) \
	X(CreateEvent) X(DestroyEvent) X(GetEventStatus) X(SetEvent) X(ResetEvent) \
	X(CreateQueryPool) X(DestroyQueryPool) X(GetQueryPoolResults) X(ResetQueryPool) \
	X(CreateRenderPass) X(CreateRenderPass2) X(DestroyRenderPass) X(CreateFramebuffer) \
	X(DestroyFramebuffer) X(GetImageSubresourceLayout) X(GetBufferDeviceAddress) \
	X(GetDescriptorSetLayoutSupport) X(CreateSamplerYcbcrConversion) \
	X(DestroySamplerYcbcrConversion) \
	X(CmdBindPipeline) X(CmdBindDescriptorSets) X(CmdPushConstants) X(CmdDispatch) \
	X(CmdDispatchIndirect) X(CmdDispatchBase) X(CmdPipelineBarrier) X(CmdFillBuffer) \
	X(CmdUpdateBuffer) X(CmdCopyBuffer) X(CmdCopyBufferToImage) X(CmdCopyImageToBuffer) \
	X(CmdCopyImage) X(CmdBlitImage) X(CmdResolveImage) X(CmdClearColorImage) X(CmdSetEvent) \
	X(CmdResetEvent) X(CmdWaitEvents) X(CmdResetQueryPool) X(CmdWriteTimestamp) \
	X(CmdBeginQuery) X(CmdEndQuery) X(CmdCopyQueryPoolResults) X(CmdExecuteCommands) \
	X(CmdBeginRenderPass) X(CmdNextSubpass) X(CmdEndRenderPass) X(CmdBindVertexBuffers) \
	X(CmdBindIndexBuffer) X(CmdDraw) X(CmdDrawIndexed) X(CmdDrawIndirect) \
	X(CmdDrawIndexedIndirect) X(CmdSetViewport) X(CmdSetScissor) X(CmdSetBlendConstants) \
	X(CmdSetStencilReference) X(CmdClearAttachments)

/* Later or optional: NULL where the device has neither the version nor the extension. */
#define VKC_OPTIONAL(X) \
	X(QueueSubmit2) X(CmdPipelineBarrier2) X(CmdWriteTimestamp2) X(CmdSetEvent2) \
	X(CmdWaitEvents2) X(CmdResetEvent2) X(CmdBeginRendering) X(CmdEndRendering) \
	X(CmdCopyBuffer2) X(CreatePrivateDataSlot) X(DestroyPrivateDataSlot) X(SetPrivateData) \
	X(GetPrivateData) X(GetDeviceBufferMemoryRequirements) X(CmdSetCullMode) \
	X(CmdSetPrimitiveTopology) X(CmdPushDescriptorSetKHR) \
	X(CmdPushDescriptorSetWithTemplateKHR) X(MapMemory2KHR) X(UnmapMemory2KHR)
/* clang-format on */

#define VKC_FIELD(name) PFN_vk##name name;

struct vkc {
	void *lib;
	PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
	VKC_GLOBAL(VKC_FIELD)
	VKC_INSTANCE(VKC_FIELD)
	VKC_DEVICE(VKC_FIELD)
	VKC_OPTIONAL(VKC_FIELD)

	VkInstance instance;
	VkPhysicalDevice phys;
	VkDevice dev;
	uint32_t family;
	VkQueue queue;
	uint32_t api; /* what device and instance both have */
	VkPhysicalDeviceProperties props;
	VkPhysicalDeviceMemoryProperties mem;
	VkQueueFamilyProperties queue_props;
	VkPhysicalDeviceFeatures2 features; /* enabled: everything the device has, chained: */
	VkPhysicalDeviceVulkan11Features f11;
	VkPhysicalDeviceVulkan12Features f12;
	VkPhysicalDeviceVulkan13Features f13; /* zero below Vulkan 1.3 */
	bool has_push_descriptor, has_map_memory2;

	VkCommandPool pool; /* for vkc_cmd_begin() */
};

/** Ends the program unless a Vulkan call succeeded. */
#define VK(call) vkc_check((call), #call, __FILE__, __LINE__)
/** Ends the program unless a condition holds. */
#define REQUIRE(cond) ((cond) ? (void)0 : vkc_fail(#cond, __FILE__, __LINE__))

void vkc_check(VkResult r, const char *what, const char *file, int line);
_Noreturn void vkc_fail(const char *what, const char *file, int line);

/**
 * vkc_open() - load Vulkan and open the first device with a queue for compute (and graphics)
 * @c:			zeroed; vkc_close() undoes it
 * @want_graphics:	take a queue family with graphics
 *
 * Every feature of Vulkan 1.0 to 1.3 that the device has is enabled, and push descriptors.
 */
void vkc_open(struct vkc *c, bool want_graphics);
void vkc_close(struct vkc *c);

/** A buffer with memory of its own; map is NULL unless the memory is host-visible. */
struct vkc_buf {
	VkBuffer buf;
	VkDeviceMemory mem;
	VkDeviceSize size; /* bytes, as asked for */
	void *map;
};

/** The first memory type among bits that has all of flags; UINT32_MAX if there is none. */
uint32_t vkc_mem_type(const struct vkc *c, uint32_t bits, VkMemoryPropertyFlags flags);
/** Storage, transfer, uniform, vertex, index, indirect and (with the feature) address usage. */
void vkc_buf_create(struct vkc *c, struct vkc_buf *b, VkDeviceSize size,
		    VkMemoryPropertyFlags flags);
void vkc_buf_destroy(struct vkc *c, struct vkc_buf *b);

/** One-time command buffer of c->pool, in the recording state. */
VkCommandBuffer vkc_cmd_begin(struct vkc *c);
/** Ends it, submits it, waits for it with a fence and frees it. */
void vkc_cmd_run(struct vkc *c, VkCommandBuffer cmd);
/** Memory barrier from everything to everything, host included. */
void vkc_barrier(struct vkc *c, VkCommandBuffer cmd);

VkShaderModule vkc_shader(struct vkc *c, const uint32_t *code, size_t bytes);
#define VKC_SHADER(c, name) vkc_shader(c, name, sizeof(name))

/** A compute pipeline with one set of storage buffers and push constants. */
struct vkc_compute {
	VkDescriptorSetLayout set_layout;
	VkPipelineLayout layout;
	VkShaderModule module;
	VkPipeline pipeline;
	VkDescriptorPool pool;
	VkDescriptorSet set;
};

/**
 * vkc_compute_create() - build pipeline and set
 * @buffers:	number of storage buffers, bound from binding 0 on
 * @push_bytes:	size of the push constants
 * @spec:	specialisation constants, or NULL
 */
void vkc_compute_create(struct vkc *c, struct vkc_compute *p, VkShaderModule module,
			uint32_t buffers, uint32_t push_bytes, const VkSpecializationInfo *spec);
void vkc_compute_bind(struct vkc *c, struct vkc_compute *p, uint32_t binding,
		      const struct vkc_buf *b);
void vkc_compute_destroy(struct vkc *c, struct vkc_compute *p);

/** FNV-1a over bytes; a picture's or a result's fingerprint. */
uint64_t vkc_hash(const void *data, size_t size);
/** Nanoseconds of the monotonic clock. */
uint64_t vkc_now_ns(void);

/** One test of a client: returns NULL if passed, else why the device cannot be tested. */
struct vkc_case {
	const char *name;
	const char *(*run)(struct vkc *c);
};

/**
 * vkc_main() - run cases and print TAP
 * @argv:	names of cases to run; none: all of them
 *
 * Return: exit status
 */
int vkc_main(int argc, char **argv, bool want_graphics, const struct vkc_case *cases, size_t n);

#endif
