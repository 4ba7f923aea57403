/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Vulkan layer that hides what a guest lacks, so that a program running natively chooses the same
 * shaders and the same kinds of memory.
 *
 * PECTEN_HIDE names device extensions, separated by commas; or PECTEN_SHOW names those that stay,
 * and all others are hidden.  Only the list is touched: programs ask for it before they ask for a
 * feature.  PECTEN_HIDE_MAPPING lists numbers of memory types that lose HOST_VISIBLE and what goes
 * with it, on every physical device.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan_core.h>

#define LAYER_NAME    "VK_LAYER_PECTEN_hide"
#define MAX_INSTANCES 64
#define EXPORT        __attribute__((visibility("default")))

/* The loader gives a layer no cookie, so that what belongs to an instance must be found by the
 * dispatch pointer at the start of every handle. */
struct instance {
	void *key;
	VkInstance handle;
	PFN_vkGetInstanceProcAddr next;
	PFN_vkEnumerateDeviceExtensionProperties enumerate;
	PFN_vkGetPhysicalDeviceMemoryProperties memory;
	PFN_vkGetPhysicalDeviceMemoryProperties2 memory2; /* or its KHR form */
	PFN_vkDestroyInstance destroy;
};

static struct instance instances[MAX_INSTANCES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *key_of(const void *handle)
{
	void *key;

	memcpy(&key, handle, sizeof(key));
	return key;
}

static bool find(const void *handle, struct instance *out)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < MAX_INSTANCES && !found; i++) {
		if (instances[i].key && instances[i].key == key_of(handle)) {
			*out = instances[i];
			found = true;
		}
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static bool is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (list && *list) {
		size_t n = strcspn(list, ",");
		if (n == len && !memcmp(list, name, n))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static bool is_hidden(const char *name)
{
	const char *show = getenv("PECTEN_SHOW");

	return is_listed(getenv("PECTEN_HIDE"), name) || (show && !is_listed(show, name));
}

static VKAPI_ATTR VkResult VKAPI_CALL hide_enumerate_device_extensions(VkPhysicalDevice phys,
								       const char *layer,
								       uint32_t *count,
								       VkExtensionProperties *props)
{
	VkExtensionProperties *all = NULL;
	uint32_t n = 0, kept = 0;
	struct instance in;

	if (!find(phys, &in))
		return VK_ERROR_INITIALIZATION_FAILED;
	if (layer)
		return in.enumerate(phys, layer, count, props);

	VkResult r = in.enumerate(phys, NULL, &n, NULL);
	if (r != VK_SUCCESS)
		return r;
	all = calloc(n ? n : 1, sizeof(*all));
	if (!all)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	r = in.enumerate(phys, NULL, &n, all);
	for (uint32_t i = 0; r >= 0 && i < n; i++) {
		if (is_hidden(all[i].extensionName))
			continue;
		if (props && kept < *count)
			props[kept] = all[i];
		kept++;
	}
	free(all);
	if (r < 0)
		return r;
	r = props && kept > *count ? VK_INCOMPLETE : VK_SUCCESS;
	if (!props || kept < *count)
		*count = kept;
	return r;
}

static void hide_mapping(VkPhysicalDeviceMemoryProperties *props)
{
	const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
					   VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
					   VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
	char number[16];

	for (uint32_t i = 0; i < props->memoryTypeCount; i++) {
		(void)snprintf(number, sizeof(number), "%u", i);
		if (is_listed(getenv("PECTEN_HIDE_MAPPING"), number))
			props->memoryTypes[i].propertyFlags &= ~host;
	}
}

static VKAPI_ATTR void VKAPI_CALL hide_memory(VkPhysicalDevice phys,
					      VkPhysicalDeviceMemoryProperties *props)
{
	struct instance in;

	if (!find(phys, &in))
		return;
	in.memory(phys, props);
	hide_mapping(props);
}

static VKAPI_ATTR void VKAPI_CALL hide_memory2(VkPhysicalDevice phys,
					       VkPhysicalDeviceMemoryProperties2 *props)
{
	struct instance in;

	if (!find(phys, &in) || !in.memory2)
		return;
	in.memory2(phys, props);
	hide_mapping(&props->memoryProperties);
}

static VkLayerInstanceCreateInfo *link_info(const VkInstanceCreateInfo *info)
{
	const VkBaseInStructure *s = info->pNext;

	for (; s; s = s->pNext) {
		/* The loader means this one to be changed by layers. */
		union {
			const VkBaseInStructure *in;
			VkLayerInstanceCreateInfo *out;
		} u = { .in = s };
		if (s->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO &&
		    u.out->function == VK_LAYER_LINK_INFO)
			return u.out;
	}
	return NULL;
}

static VKAPI_ATTR VkResult VKAPI_CALL hide_create_instance(const VkInstanceCreateInfo *info,
							   const VkAllocationCallbacks *alloc,
							   VkInstance *out)
{
	VkLayerInstanceCreateInfo *link = link_info(info);

	if (!link || !link->u.pLayerInfo)
		return VK_ERROR_INITIALIZATION_FAILED;

	struct instance in = { .next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr };
	PFN_vkCreateInstance create = (PFN_vkCreateInstance)in.next(NULL, "vkCreateInstance");
	if (!create)
		return VK_ERROR_INITIALIZATION_FAILED;
	link->u.pLayerInfo = link->u.pLayerInfo->pNext;

	VkResult r = create(info, alloc, out);
	if (r != VK_SUCCESS)
		return r;
	in.key = key_of(*out);
	in.handle = *out;
	in.enumerate = (PFN_vkEnumerateDeviceExtensionProperties)in.next(
		*out, "vkEnumerateDeviceExtensionProperties");
	in.memory = (PFN_vkGetPhysicalDeviceMemoryProperties)in.next(
		*out, "vkGetPhysicalDeviceMemoryProperties");
	in.memory2 = (PFN_vkGetPhysicalDeviceMemoryProperties2)in.next(
		*out, "vkGetPhysicalDeviceMemoryProperties2");
	if (!in.memory2)
		in.memory2 = (PFN_vkGetPhysicalDeviceMemoryProperties2)in.next(
			*out, "vkGetPhysicalDeviceMemoryProperties2KHR");
	in.destroy = (PFN_vkDestroyInstance)in.next(*out, "vkDestroyInstance");

	bool is_kept = false;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < MAX_INSTANCES && !is_kept; i++) {
		if (!instances[i].key) {
			instances[i] = in;
			is_kept = true;
		}
	}
	pthread_mutex_unlock(&lock);
	if (!is_kept) {
		in.destroy(*out, alloc);
		return VK_ERROR_INITIALIZATION_FAILED;
	}
	return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL hide_destroy_instance(VkInstance instance,
							const VkAllocationCallbacks *alloc)
{
	struct instance in;

	if (!instance || !find(instance, &in))
		return;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < MAX_INSTANCES; i++)
		if (instances[i].key == in.key)
			instances[i] = (struct instance){ 0 };
	pthread_mutex_unlock(&lock);
	in.destroy(instance, alloc);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL hide_get_instance_proc(VkInstance instance,
								       const char *name)
{
	struct instance in;

	if (!strcmp(name, "vkGetInstanceProcAddr"))
		return (PFN_vkVoidFunction)hide_get_instance_proc;
	if (!strcmp(name, "vkCreateInstance"))
		return (PFN_vkVoidFunction)hide_create_instance;
	if (!strcmp(name, "vkDestroyInstance"))
		return (PFN_vkVoidFunction)hide_destroy_instance;
	if (!strcmp(name, "vkEnumerateDeviceExtensionProperties"))
		return (PFN_vkVoidFunction)hide_enumerate_device_extensions;
	if (!strcmp(name, "vkGetPhysicalDeviceMemoryProperties"))
		return (PFN_vkVoidFunction)hide_memory;
	if (!strcmp(name, "vkGetPhysicalDeviceMemoryProperties2") ||
	    !strcmp(name, "vkGetPhysicalDeviceMemoryProperties2KHR"))
		return (PFN_vkVoidFunction)hide_memory2;
	return instance && find(instance, &in) ? in.next(instance, name) : NULL;
}

EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version);

EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version)
{
	if (version->loaderLayerInterfaceVersion < 2)
		return VK_ERROR_INITIALIZATION_FAILED;
	version->loaderLayerInterfaceVersion = 2;
	version->pfnGetInstanceProcAddr = hide_get_instance_proc;
	version->pfnGetDeviceProcAddr = NULL;
	version->pfnGetPhysicalDeviceProcAddr = NULL;
	return VK_SUCCESS;
}
