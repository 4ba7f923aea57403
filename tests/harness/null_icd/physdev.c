/* SPDX-License-Identifier: Apache-2.0 */
/* Instance and physical devices of the null driver, and what they say about themselves. */
#include <stdio.h>
#include <string.h>

#include "null_internal.h"

#define NULL_PHYSDEVS 2

#define NULL_API VK_MAKE_API_VERSION(0, 1, 4, VK_HEADER_VERSION)

VkResult null_do_vkEnumerateInstanceVersion(struct null_call *c, uint32_t *version)
{
	(void)c;
	*version = NULL_API;
	return VK_SUCCESS;
}

static const VkExtensionProperties instance_extensions[] = {
	{ "VK_KHR_get_physical_device_properties2", 2 },
	{ "VK_KHR_device_group_creation", 1 },
	{ "VK_KHR_external_memory_capabilities", 1 },
	{ "VK_KHR_external_semaphore_capabilities", 1 },
	{ "VK_KHR_external_fence_capabilities", 1 },
};

VkResult null_do_vkEnumerateInstanceExtensionProperties(struct null_call *c, const char *layer,
							uint32_t *count,
							VkExtensionProperties *props)
{
	uint32_t n = ARRAY_LEN(instance_extensions);

	(void)c;
	if (layer)
		return VK_ERROR_LAYER_NOT_PRESENT;
	if (!props) {
		*count = n;
		return VK_SUCCESS;
	}
	if (*count < n)
		n = *count;
	memcpy(props, instance_extensions, n * sizeof(*props));
	*count = n;
	return n < ARRAY_LEN(instance_extensions) ? VK_INCOMPLETE : VK_SUCCESS;
}

VkResult null_do_vkEnumerateInstanceLayerProperties(struct null_call *c, uint32_t *count,
						    VkLayerProperties *props)
{
	(void)c;
	(void)props;
	*count = 0;
	return VK_SUCCESS;
}

VkResult null_do_vkCreateInstance(struct null_call *c, const VkInstanceCreateInfo *info,
				  VkInstance *instance)
{
	(void)c;
	null_control_from_env();
	if (info->enabledLayerCount)
		return VK_ERROR_LAYER_NOT_PRESENT;

	struct null_rec *inst = null_new(VK_OBJECT_TYPE_INSTANCE, NULL, NULL);
	if (!inst)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	for (uint32_t i = 0; i < NULL_PHYSDEVS; i++) {
		struct null_rec *phys = null_new(VK_OBJECT_TYPE_PHYSICAL_DEVICE, NULL, inst);

		if (!phys) {
			null_end(inst);
			return VK_ERROR_OUT_OF_HOST_MEMORY;
		}
		phys->u.phys.index = i;
	}
	*instance = NULL_HANDLE(VkInstance, inst);
	return VK_SUCCESS;
}

void null_do_vkDestroyInstance(struct null_call *c)
{
	for (struct null_rec *phys = c->self->first; phys; phys = phys->next) {
		if (phys->first)
			null_complain(c, "came while a device of the instance is alive");
	}
	null_end(c->self);
}

/* The physical device @index of an instance. */
static struct null_rec *physdev(const struct null_rec *inst, uint32_t index)
{
	struct null_rec *phys = inst->first;

	while (phys && phys->u.phys.index != index)
		phys = phys->next;
	return phys;
}

VkResult null_do_vkEnumeratePhysicalDevices(struct null_call *c, uint32_t *count,
					    VkPhysicalDevice *devices)
{
	if (!devices) {
		*count = NULL_PHYSDEVS;
		return VK_SUCCESS;
	}
	if (*count > NULL_PHYSDEVS)
		*count = NULL_PHYSDEVS;
	for (uint32_t i = 0; i < *count; i++)
		devices[i] = NULL_HANDLE(VkPhysicalDevice, physdev(c->self, i));
	return *count < NULL_PHYSDEVS ? VK_INCOMPLETE : VK_SUCCESS;
}

VkResult null_do_vkEnumeratePhysicalDeviceGroups(struct null_call *c, uint32_t *count,
						 VkPhysicalDeviceGroupProperties *groups)
{
	if (!groups) {
		*count = NULL_PHYSDEVS;
		return VK_SUCCESS;
	}
	if (*count > NULL_PHYSDEVS)
		*count = NULL_PHYSDEVS;
	for (uint32_t i = 0; i < *count; i++) {
		if (groups[i].sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES)
			null_complain(c, "was given a group without its sType");
		memset(groups[i].physicalDevices, 0, sizeof(groups[i].physicalDevices));
		groups[i].physicalDeviceCount = 1 + null_too_many();
		groups[i].physicalDevices[0] = NULL_HANDLE(VkPhysicalDevice, physdev(c->self, i));
		groups[i].subsetAllocation = VK_FALSE;
	}
	return *count < NULL_PHYSDEVS ? VK_INCOMPLETE : VK_SUCCESS;
}

static void fill_properties(const struct null_call *c, VkPhysicalDeviceProperties *p)
{
	null_fill_VkPhysicalDeviceProperties(p);
	p->apiVersion = NULL_API;
	p->driverVersion = 1;
	p->vendorID = VK_VENDOR_ID_MESA;
	p->deviceID = c->self->u.phys.index;
	p->deviceType = c->self->u.phys.index ? VK_PHYSICAL_DEVICE_TYPE_CPU
					      : VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
	(void)snprintf(p->deviceName, sizeof(p->deviceName), "%s %u", NULL_DEVICE_NAME,
		       c->self->u.phys.index);
	p->limits.maxMemoryAllocationCount = 1U << 20;
	p->limits.maxPushConstantsSize = 256;
	p->limits.maxBoundDescriptorSets = 8;
	p->limits.maxVertexInputBindings = 16;
	p->limits.maxVertexInputAttributes = 16;
	p->limits.maxViewports = 16;
	p->limits.maxColorAttachments = 8;
	p->limits.nonCoherentAtomSize = 64;
	p->limits.minMemoryMapAlignment = NULL_PAGE;
	p->limits.timestampPeriod = 1.0F;
}

void null_do_vkGetPhysicalDeviceProperties(struct null_call *c, VkPhysicalDeviceProperties *props)
{
	fill_properties(c, props);
}

/* What of a property struct must make sense, after the generated code has filled it. */
static void patch_property(VkBaseOutStructure *s)
{
	void *p = s;

	switch ((uint32_t)s->sType) {
	case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT:
		((VkPhysicalDeviceExternalMemoryHostPropertiesEXT *)p)
			->minImportedHostPointerAlignment = NULL_PAGE;
		break;
	case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DESCRIPTOR_HEAP_PROPERTIES_EXT:
		((VkPhysicalDeviceDescriptorHeapPropertiesEXT *)p)->maxPushDataSize = 256;
		break;
	case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES: {
		VkPhysicalDeviceDriverProperties *d = p;

		d->driverID = VK_DRIVER_ID_MESA_LLVMPIPE;
		(void)snprintf(d->driverName, sizeof(d->driverName), "null");
		(void)snprintf(d->driverInfo, sizeof(d->driverInfo), "computes nothing");
		break;
	}
	case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES: {
		VkPhysicalDeviceVulkan12Properties *d = p;

		d->driverID = VK_DRIVER_ID_MESA_LLVMPIPE;
		(void)snprintf(d->driverName, sizeof(d->driverName), "null");
		(void)snprintf(d->driverInfo, sizeof(d->driverInfo), "computes nothing");
		break;
	}
	default:
		break;
	}
}

void null_do_vkGetPhysicalDeviceProperties2(struct null_call *c, VkPhysicalDeviceProperties2 *props)
{
	null_fill_chain(c, props->pNext);
	for (VkBaseOutStructure *s = props->pNext; s; s = s->pNext)
		patch_property(s);
	fill_properties(c, &props->properties);
}

static const VkQueueFamilyProperties families[NULL_FAMILIES] = {
	{ VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT |
		  VK_QUEUE_SPARSE_BINDING_BIT,
	  2,
	  64,
	  { 1, 1, 1 } },
	{ VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT, 1, 64, { 1, 1, 1 } },
};

uint32_t null_family_queues(uint32_t family)
{
	return family < NULL_FAMILIES ? families[family].queueCount : 0;
}

void null_do_vkGetPhysicalDeviceQueueFamilyProperties(struct null_call *c, uint32_t *count,
						      VkQueueFamilyProperties *props)
{
	(void)c;
	if (!props || *count > NULL_FAMILIES)
		*count = NULL_FAMILIES;
	if (props)
		memcpy(props, families, *count * sizeof(*props));
}

void null_do_vkGetPhysicalDeviceQueueFamilyProperties2(struct null_call *c, uint32_t *count,
						       VkQueueFamilyProperties2 *props)
{
	if (!props || *count > NULL_FAMILIES)
		*count = NULL_FAMILIES;
	for (uint32_t i = 0; props && i < *count; i++) {
		null_fill_chain(c, props[i].pNext);
		props[i].queueFamilyProperties = families[i];
	}
}

#define HOST_COHERENT (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

static const VkPhysicalDeviceMemoryProperties memories[NULL_PHYSDEVS] = {
	{ .memoryTypeCount = 3,
	  .memoryTypes = { [NULL_TYPE_LOCAL] = { VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0 },
			   [NULL_TYPE_HOST] = { HOST_COHERENT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
						1 },
			   [NULL_TYPE_BAR] = { VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | HOST_COHERENT,
					       0 } },
	  .memoryHeapCount = 2,
	  .memoryHeaps = { { NULL_HEAP_BYTES, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT },
			   { NULL_HEAP_BYTES, 0 } } },
	{ .memoryTypeCount = 1,
	  .memoryTypes = { { VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | HOST_COHERENT |
				     VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
			     0 } },
	  .memoryHeapCount = 1,
	  .memoryHeaps = { { NULL_HEAP_BYTES, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT } } },
};

const VkPhysicalDeviceMemoryProperties *null_memories(const struct null_rec *dev)
{
	return &memories[dev->pool->u.phys.index];
}

uint32_t null_importable_types(const struct null_rec *dev)
{
	return dev->pool->u.phys.index ? 1U : 1U << NULL_TYPE_HOST;
}

void null_do_vkGetPhysicalDeviceMemoryProperties(struct null_call *c,
						 VkPhysicalDeviceMemoryProperties *props)
{
	*props = memories[c->self->u.phys.index];
	props->memoryTypeCount += null_too_many();
	props->memoryHeapCount += null_too_many();
}

void null_do_vkGetPhysicalDeviceMemoryProperties2(struct null_call *c,
						  VkPhysicalDeviceMemoryProperties2 *props)
{
	null_fill_chain(c, props->pNext);
	props->memoryProperties = memories[c->self->u.phys.index];
}

VkResult null_do_vkEnumerateDeviceExtensionProperties(struct null_call *c, const char *layer,
						      uint32_t *count, VkExtensionProperties *props)
{
	uint32_t n = 0;
	uint32_t room = *count;

	(void)c;
	if (layer)
		return VK_ERROR_LAYER_NOT_PRESENT;
	for (uint32_t i = 0; i < null_extension_count; i++) {
		if (null_is_hidden(&null_extensions[i]))
			continue;
		if (props && n == room)
			return VK_INCOMPLETE;
		if (props) {
			memset(&props[n], 0, sizeof(*props));
			(void)snprintf(props[n].extensionName, sizeof(props[n].extensionName), "%s",
				       null_extensions[i].name);
			props[n].specVersion = null_extensions[i].version;
		}
		n++;
		if (props)
			*count = n;
	}
	*count = n;
	return VK_SUCCESS;
}

VkResult null_do_vkEnumerateDeviceLayerProperties(struct null_call *c, uint32_t *count,
						  VkLayerProperties *props)
{
	(void)c;
	(void)props;
	*count = 0;
	return VK_SUCCESS;
}

static void fill_external_memory(VkExternalMemoryHandleTypeFlags type,
				 VkExternalMemoryProperties *p)
{
	memset(p, 0, sizeof(*p));
	if (type == VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT &&
	    !null_is_hidden_name("VK_EXT_external_memory_host")) {
		p->externalMemoryFeatures = VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
	} else if (type == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT &&
		   atomic_load_explicit(&null.faults.has_dmabuf, memory_order_relaxed)) {
		p->externalMemoryFeatures = VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT |
					    VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
		p->exportFromImportedHandleTypes = type;
	} else {
		return;
	}
	p->compatibleHandleTypes = type;
}

void null_do_vkGetPhysicalDeviceExternalBufferProperties(
	struct null_call *c, const VkPhysicalDeviceExternalBufferInfo *info,
	VkExternalBufferProperties *props)
{
	null_fill_chain(c, props->pNext);
	fill_external_memory(info->handleType, &props->externalMemoryProperties);
}

VkResult
null_do_vkGetPhysicalDeviceImageFormatProperties2(struct null_call *c,
						  const VkPhysicalDeviceImageFormatInfo2 *info,
						  VkImageFormatProperties2 *props)
{
	VkExternalMemoryHandleTypeFlags type = 0;

	for (const VkBaseInStructure *s = info->pNext; s; s = s->pNext) {
		const void *p = s;

		if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_IMAGE_FORMAT_INFO)
			type = ((const VkPhysicalDeviceExternalImageFormatInfo *)p)->handleType;
	}
	null_fill_chain(c, props->pNext);
	for (VkBaseOutStructure *s = props->pNext; s; s = s->pNext) {
		void *p = s;

		if (s->sType == VK_STRUCTURE_TYPE_EXTERNAL_IMAGE_FORMAT_PROPERTIES)
			fill_external_memory(
				type,
				&((VkExternalImageFormatProperties *)p)->externalMemoryProperties);
	}
	null_fill_VkImageFormatProperties(&props->imageFormatProperties);
	return VK_SUCCESS;
}

void null_do_vkGetPhysicalDeviceExternalFenceProperties(
	struct null_call *c, const VkPhysicalDeviceExternalFenceInfo *info,
	VkExternalFenceProperties *props)
{
	bool is_known = info->handleType == VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT &&
			atomic_load_explicit(&null.faults.has_sync_fd, memory_order_relaxed);

	null_fill_chain(c, props->pNext);
	props->exportFromImportedHandleTypes = is_known ? info->handleType : 0;
	props->compatibleHandleTypes = is_known ? info->handleType : 0;
	props->externalFenceFeatures = is_known ? VK_EXTERNAL_FENCE_FEATURE_EXPORTABLE_BIT |
							  VK_EXTERNAL_FENCE_FEATURE_IMPORTABLE_BIT
						: 0;
}

void null_do_vkGetPhysicalDeviceExternalSemaphoreProperties(
	struct null_call *c, const VkPhysicalDeviceExternalSemaphoreInfo *info,
	VkExternalSemaphoreProperties *props)
{
	bool is_known = info->handleType == VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT &&
			atomic_load_explicit(&null.faults.has_sync_fd, memory_order_relaxed);

	null_fill_chain(c, props->pNext);
	props->exportFromImportedHandleTypes = is_known ? info->handleType : 0;
	props->compatibleHandleTypes = is_known ? info->handleType : 0;
	props->externalSemaphoreFeatures =
		is_known ? VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT |
				   VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT
			 : 0;
}
