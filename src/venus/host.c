/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's instance and physical devices, asked once, and what of them guests get to see
 * (venus.md 7).
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#include "host/thread.h"
#include "util/log.h"
#include "venus/core.h"

#define FAMILIES_MAX   64U
#define EXTENSIONS_MAX 4096U

/* The guest's driver implements these by itself. */
static const char *const guest_own[] = {
	VK_EXT_TOOLING_INFO_EXTENSION_NAME,
	VK_KHR_MAP_MEMORY_2_EXTENSION_NAME,
	VK_KHR_DEFERRED_HOST_OPERATIONS_EXTENSION_NAME,
};

/* Only with dma-bufs; guests know no other kind of shared memory. */
static const char *const needs_dmabuf[] = {
	VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME,
	VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME,
	VK_EXT_EXTERNAL_MEMORY_ACQUIRE_UNMODIFIED_EXTENSION_NAME,
	VK_EXT_IMAGE_DRM_FORMAT_MODIFIER_EXTENSION_NAME,
	VK_EXT_QUEUE_FAMILY_FOREIGN_EXTENSION_NAME,
};

int venus_loader_open(PFN_vkGetInstanceProcAddr *gipa, struct err *e)
{
	void *lib = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return err_set(
			e, -ENOENT,
			"cannot load the Vulkan loader (%s); install libvulkan1 and a driver",
			dlerror());
	*gipa = (PFN_vkGetInstanceProcAddr)dlsym(lib, "vkGetInstanceProcAddr");
	if (!*gipa)
		return err_set(e, -ENOENT, "libvulkan.so.1 has no vkGetInstanceProcAddr");
	return 0;
}

uint32_t venus_host_version(PFN_vkGetInstanceProcAddr gipa)
{
	PFN_vkEnumerateInstanceVersion get =
		(PFN_vkEnumerateInstanceVersion)gipa(NULL, "vkEnumerateInstanceVersion");
	uint32_t version = VK_API_VERSION_1_0;

	if (get && get(&version) != VK_SUCCESS)
		version = VK_API_VERSION_1_0;
	return version;
}

/* Host's version with the minor number that we speak at most; the patch number is kept. */
static uint32_t cap_api(uint32_t api)
{
	if (VK_API_VERSION_MINOR(api) <= VK_API_VERSION_MINOR(VENUS_API_MAX))
		return api;
	return VENUS_API_MAX | VK_API_VERSION_PATCH(api);
}

uint32_t venus_guest_version(PFN_vkGetInstanceProcAddr gipa)
{
	return cap_api(venus_host_version(gipa));
}

VkResult venus_host_open(struct venus_host *h, PFN_vkGetInstanceProcAddr gipa,
			 const VkApplicationInfo *app)
{
	VkApplicationInfo own = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO };
	const char *const portability = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
	VkInstanceCreateInfo ci = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
				    .pApplicationInfo = &own };
	VkInstance vk = VK_NULL_HANDLE;

	if (app) {
		own = *app;
		own.pNext = NULL;
	}
	if (own.apiVersion < VENUS_API_MIN)
		own.apiVersion = VENUS_API_MIN;
	h->gipa = gipa;
	venus_vki_load(&h->vki, gipa, NULL);
	if (!h->vki.CreateInstance)
		return VK_ERROR_INITIALIZATION_FAILED;
	VkResult r = h->vki.CreateInstance(&ci, NULL, &vk);
	if (r == VK_ERROR_INCOMPATIBLE_DRIVER) {
		/* Drivers on top of another API hide unless they are asked for. */
		ci.flags = VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
		ci.enabledExtensionCount = 1;
		ci.ppEnabledExtensionNames = &portability;
		r = h->vki.CreateInstance(&ci, NULL, &vk);
	}
	if (r != VK_SUCCESS)
		return r;
	h->vk = vk;
	venus_vki_load(&h->vki, gipa, vk);
	return VK_SUCCESS;
}

bool venus_ext_listed(const VkExtensionProperties *exts, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(exts[i].extensionName, name) == 0)
			return true;
	}
	return false;
}

const VkExtensionProperties *venus_physdev_offers(const struct venus_physdev *p, const char *name)
{
	for (uint32_t i = 0; i < p->exts_count; i++) {
		if (strcmp(p->exts[i].extensionName, name) == 0)
			return &p->exts[i];
	}
	return NULL;
}

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, list[i]) == 0)
			return true;
	}
	return false;
}

static bool imports_sync_fd(struct venus_host *h, const struct venus_physdev *p)
{
	const VkPhysicalDeviceExternalSemaphoreInfo info = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO,
		.handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
	};
	VkExternalSemaphoreProperties props = {
		.sType = VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES
	};

	if (!h->vki.GetPhysicalDeviceExternalSemaphoreProperties)
		return false;
	h->vki.GetPhysicalDeviceExternalSemaphoreProperties(p->vk, &info, &props);
	return props.externalSemaphoreFeatures & VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT;
}

/* What we can carry, the host has, and guests do not make themselves. */
static VkResult offer_extensions(struct venus_host *h, struct venus_physdev *p,
				 const VkExtensionProperties *host, uint32_t count)
{
	p->exts = calloc((size_t)count + 1, sizeof(*p->exts));
	if (!p->exts)
		return VK_ERROR_OUT_OF_HOST_MEMORY;

	bool has_sem_fd =
		venus_ext_listed(host, count, VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME);
	p->emulates_sync_fd = !has_sem_fd || !imports_sync_fd(h, p);
	for (unsigned i = 0; i < venus_ext_count; i++) {
		const struct venus_ext *x = &venus_exts[i];
		const VkExtensionProperties *found = NULL;

		for (uint32_t n = 0; n < count && !found; n++) {
			if (strcmp(host[n].extensionName, x->name) == 0)
				found = &host[n];
		}
		bool is_ours = p->emulates_sync_fd &&
			       strcmp(x->name, VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME) == 0;
		if (!x->is_device || (!found && !is_ours) ||
		    is_one_of(x->name, guest_own, ARRAY_LEN(guest_own)) ||
		    (!p->has_dmabuf && is_one_of(x->name, needs_dmabuf, ARRAY_LEN(needs_dmabuf))) ||
		    p->exts_count > count)
			continue;

		VkExtensionProperties *e = &p->exts[p->exts_count++];
		(void)snprintf(e->extensionName, sizeof(e->extensionName), "%s", x->name);
		e->specVersion = found && found->specVersion < x->spec_version ? found->specVersion
									       : x->spec_version;
	}
	return VK_SUCCESS;
}

/* How many there are of what guests number. */
static void ask_limits(struct venus_host *h, struct venus_physdev *p,
		       const VkExtensionProperties *host, uint32_t count)
{
	const VkPhysicalDeviceLimits *l = &p->props.limits;
	VkPhysicalDeviceTransformFeedbackPropertiesEXT xfb = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TRANSFORM_FEEDBACK_PROPERTIES_EXT
	};
	VkPhysicalDeviceSampleLocationsPropertiesEXT locations = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SAMPLE_LOCATIONS_PROPERTIES_EXT
	};
	VkPhysicalDeviceDescriptorHeapPropertiesEXT heap = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DESCRIPTOR_HEAP_PROPERTIES_EXT
	};
	VkPhysicalDeviceProperties2 props = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2
	};

	if (venus_ext_listed(host, count, VK_EXT_TRANSFORM_FEEDBACK_EXTENSION_NAME))
		venus_chain_push(&props, &xfb);
	if (venus_ext_listed(host, count, VK_EXT_SAMPLE_LOCATIONS_EXTENSION_NAME))
		venus_chain_push(&props, &locations);
	if (venus_ext_listed(host, count, VK_EXT_DESCRIPTOR_HEAP_EXTENSION_NAME))
		venus_chain_push(&props, &heap);
	if (props.pNext)
		h->vki.GetPhysicalDeviceProperties2(p->vk, &props);
	p->sample_grid = locations.maxSampleLocationGridSize;
	p->limit[VENUS_LIMIT_PUSH_BYTES] = l->maxPushConstantsSize;
	p->limit[VENUS_LIMIT_PUSH_DATA] =
		heap.maxPushDataSize < UINT32_MAX ? (uint32_t)heap.maxPushDataSize : UINT32_MAX;
	p->limit[VENUS_LIMIT_SETS] = l->maxBoundDescriptorSets;
	p->limit[VENUS_LIMIT_VERTEX_BINDINGS] = l->maxVertexInputBindings;
	p->limit[VENUS_LIMIT_VERTEX_ATTRIBUTES] = l->maxVertexInputAttributes;
	p->limit[VENUS_LIMIT_VIEWPORTS] = l->maxViewports;
	p->limit[VENUS_LIMIT_COLORS] = l->maxColorAttachments;
	p->limit[VENUS_LIMIT_XFB_BUFFERS] = xfb.maxTransformFeedbackBuffers;
}

static VkResult ask_extensions(struct venus_host *h, struct venus_physdev *p)
{
	uint32_t n = 0;
	VkResult r = h->vki.EnumerateDeviceExtensionProperties(p->vk, NULL, &n, NULL);

	if (r != VK_SUCCESS)
		return r;
	n = n < EXTENSIONS_MAX ? n : EXTENSIONS_MAX;
	AUTO_FREE VkExtensionProperties *host = calloc((size_t)n + 1, sizeof(*host));
	if (!host)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	r = h->vki.EnumerateDeviceExtensionProperties(p->vk, NULL, &n, host);
	if (r != VK_SUCCESS && r != VK_INCOMPLETE)
		return r;
	ask_limits(h, p, host, n);
	venus_physdev_probe_memory(h, p, host, n);
	return offer_extensions(h, p, host, n);
}

static void ask_driver(struct venus_host *h, struct venus_physdev *p)
{
	VkPhysicalDeviceDriverProperties driver = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES
	};
	VkPhysicalDeviceProperties2 props = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver
	};

	h->vki.GetPhysicalDeviceProperties2(p->vk, &props);
	(void)snprintf(p->driver, sizeof(p->driver), "%s", driver.driverName);
	(void)snprintf(p->driver_info, sizeof(p->driver_info), "%s", driver.driverInfo);
}

static void physdev_free(struct venus_physdev *p)
{
	if (!p)
		return;
	free(p->families);
	free(p->exts);
	free(p);
}

static VkResult physdev_new(struct venus_host *h, VkPhysicalDevice vk, struct venus_physdev **out)
{
	struct venus_physdev *p = calloc(1, sizeof(*p));
	uint32_t n = 0;

	if (!p)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	p->vk = vk;
	h->vki.GetPhysicalDeviceProperties(vk, &p->props);
	p->host_api = p->props.apiVersion;
	p->api = cap_api(p->host_api);
	p->props.apiVersion = p->api;
	ask_driver(h, p);
	h->vki.GetPhysicalDeviceQueueFamilyProperties(vk, &n, NULL);
	n = n < FAMILIES_MAX ? n : FAMILIES_MAX;
	p->families = calloc((size_t)n + 1, sizeof(*p->families));
	if (!p->families) {
		physdev_free(p);
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	}
	h->vki.GetPhysicalDeviceQueueFamilyProperties(vk, &n, p->families);
	p->families_count = n;
	VkResult r = ask_extensions(h, p);
	if (r != VK_SUCCESS) {
		physdev_free(p);
		return r;
	}
	*out = p;
	return VK_SUCCESS;
}

VkResult venus_host_enumerate(struct venus_host *h)
{
	VkPhysicalDevice list[VENUS_MAX_PHYSDEVS] = { VK_NULL_HANDLE };
	uint32_t n = VENUS_MAX_PHYSDEVS;

	if (h->is_enumerated)
		return VK_SUCCESS;
	VkResult r = h->vki.EnumeratePhysicalDevices(h->vk, &n, list);
	if (r != VK_SUCCESS && r != VK_INCOMPLETE)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		VkPhysicalDeviceProperties props;

		/* Guests need 1.1 (venus.md 6). */
		h->vki.GetPhysicalDeviceProperties(list[i], &props);
		if (props.apiVersion < VENUS_API_MIN)
			continue;
		uint64_t start_ns = clock_now_ns();
		r = physdev_new(h, list[i], &h->physdev[h->count]);
		log_debug(GPU, "%s was examined in %ju ms", props.deviceName,
			  (uintmax_t)((clock_now_ns() - start_ns) / 1000000));
		if (r != VK_SUCCESS) {
			log_warn(GPU, "leaving out %s: its driver fails with %d", props.deviceName,
				 (int)r);
			continue;
		}
		h->count++;
	}
	h->is_enumerated = true;
	return VK_SUCCESS;
}

void venus_host_close(struct venus_host *h)
{
	for (uint32_t i = 0; i < h->count; i++)
		physdev_free(h->physdev[i]);
	h->count = 0;
	h->is_enumerated = false;
	if (h->vk)
		h->vki.DestroyInstance(h->vk, NULL);
	h->vk = VK_NULL_HANDLE;
}
