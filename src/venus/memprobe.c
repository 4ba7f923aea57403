/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out, for each memory type of a driver, how guests can map it (venus.md 8.3).  What a driver
 * says is not enough, so each way is tried once with a small allocation on a device made for that.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "host/mapwatch.h"
#include "util/ckd.h"
#include "util/log.h"
#include "venus/core.h"

#define PROBE_BYTES   UINT64_C(65536) /* rounded up to the driver's alignment */
#define MAP_ALIGN_MAX (UINT64_C(2) << 20)

struct probe {
	struct venus_physdev *pd;
	VkDevice vk;
	struct venus_vkd vkd;
	int fd;
	void *map;
	uint64_t size;
	uint32_t import_bits; /* memory types that can be imported, as the driver says */
};

static bool probe_device(struct venus_host *h, struct probe *p)
{
	const float priority = 1.0f;
	const VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
						.queueFamilyIndex = 0,
						.queueCount = 1,
						.pQueuePriorities = &priority };
	const char *exts[4];
	uint32_t n = 0;

	if (p->pd->has_host_import)
		exts[n++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
	if (p->pd->has_ext_mem_fd)
		exts[n++] = VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME;
	if (p->pd->has_dmabuf)
		exts[n++] = VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME;
	const VkDeviceCreateInfo ci = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
					.queueCreateInfoCount = 1,
					.pQueueCreateInfos = &queue,
					.enabledExtensionCount = n,
					.ppEnabledExtensionNames = exts };

	if (h->vki.CreateDevice(p->pd->vk, &ci, NULL, &p->vk) != VK_SUCCESS)
		return false;
	venus_vkd_load(&p->vkd, h->vki.GetDeviceProcAddr, p->vk);
	return true;
}

/* A memfd mapping such as guests' memory will be, and which types take it. */
static void probe_pointer(struct probe *p)
{
	VkMemoryHostPointerPropertiesEXT props = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT
	};
	uint64_t align = p->pd->import_align;

	if (align < shm_page_size())
		align = shm_page_size();
	p->size = (PROBE_BYTES + align - 1) / align * align;
	if (!p->vkd.GetMemoryHostPointerPropertiesEXT ||
	    shm_create("pecten-probe", p->size, &p->fd) < 0 || shm_map(p->fd, p->size, &p->map) < 0)
		return;
	if (p->vkd.GetMemoryHostPointerPropertiesEXT(
		    p->vk, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, p->map,
		    &props) == VK_SUCCESS)
		p->import_bits = props.memoryTypeBits;
}

static bool try_import(struct probe *p, uint32_t type)
{
	const VkImportMemoryHostPointerInfoEXT import = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
		.pHostPointer = p->map,
	};
	const VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
					    .pNext = &import,
					    .allocationSize = p->size,
					    .memoryTypeIndex = type };
	VkDeviceMemory mem = VK_NULL_HANDLE;

	if (p->vkd.AllocateMemory(p->vk, &info, NULL, &mem) != VK_SUCCESS)
		return false;
	p->vkd.FreeMemory(p->vk, mem, NULL);
	return true;
}

static bool try_dmabuf(struct probe *p, uint32_t type)
{
	const VkExportMemoryAllocateInfo export = {
		.sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
		.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
	};
	const VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
					    .pNext = &export,
					    .allocationSize = PROBE_BYTES,
					    .memoryTypeIndex = type };
	VkMemoryGetFdInfoKHR get = { .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
				     .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT };
	AUTO_FD fd = -1;

	if (!p->vkd.GetMemoryFdKHR ||
	    p->vkd.AllocateMemory(p->vk, &info, NULL, &get.memory) != VK_SUCCESS)
		return false;
	bool is_mappable = false;
	if (p->vkd.GetMemoryFdKHR(p->vk, &get, &fd) == VK_SUCCESS) {
		void *at = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		is_mappable = at != MAP_FAILED;
		if (is_mappable)
			(void)munmap(at, PROBE_BYTES);
	} else {
		fd = -1;
	}
	p->vkd.FreeMemory(p->vk, get.memory, NULL);
	return is_mappable;
}

/* Whether two mappings show the same memory. */
static bool is_same_memory(volatile uint32_t *a, volatile uint32_t *b)
{
	const uint32_t pattern = 0x70656374;

	*a = pattern;
	atomic_thread_fence(memory_order_seq_cst);
	if (*b != pattern)
		return false;
	*b = ~pattern;
	atomic_thread_fence(memory_order_seq_cst);
	return *a == ~pattern;
}

/*
 * A driver that maps its memory from a file, the device's, lets others do so with its descriptor
 * (NVIDIA's does).  It takes the whole mapping only, so its granularity is found out, too.
 */
static bool try_driver(struct probe *p, uint32_t type)
{
	const VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
					    .allocationSize = shm_page_size(),
					    .memoryTypeIndex = type };
	VkDeviceMemory mem = VK_NULL_HANDLE;
	struct mapwatch watch;
	bool is_mappable = false;
	void *theirs = NULL;
	AUTO_FD fd = -1;
	uint64_t size = 0;

	mapwatch_begin(&watch);
	if (p->vkd.AllocateMemory(p->vk, &info, NULL, &mem) == VK_SUCCESS &&
	    p->vkd.MapMemory(p->vk, mem, 0, VK_WHOLE_SIZE, 0, &theirs) != VK_SUCCESS)
		theirs = NULL;
	int r = mapwatch_end(&watch, theirs, &fd, &size);
	if (r == 0 && theirs && size <= MAP_ALIGN_MAX && is_pow2(size) && size >= shm_page_size()) {
		void *ours = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		if (ours != MAP_FAILED) {
			is_mappable = is_same_memory(theirs, ours);
			(void)munmap(ours, size);
		}
	}
	if (mem)
		p->vkd.FreeMemory(p->vk, mem, NULL);
	if (is_mappable && size > p->pd->map_align)
		p->pd->map_align = size;
	return is_mappable;
}

static enum venus_strategy choose(struct venus_host *h, struct probe *p, uint32_t type,
				  const char **why)
{
	VkMemoryPropertyFlags flags = p->pd->host_mem.memoryTypes[type].propertyFlags;

	if (!(flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)) {
		*why = "not visible to the host";
		return VENUS_STRATEGY_NONE;
	}
	if (!(flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)) {
		*why = "not coherent, and guests cannot flush";
		return VENUS_STRATEGY_NONE;
	}
	if (!p->vk) {
		*why = "the driver does not create a device";
		return VENUS_STRATEGY_NONE;
	}
	if (p->import_bits >> type & 1 && try_import(p, type)) {
		*why = "the driver imports our memory";
		return VENUS_STRATEGY_IMPORT;
	}
	if (p->pd->has_dmabuf && try_dmabuf(p, type)) {
		*why = "the driver exports it as a dma-buf";
		return VENUS_STRATEGY_DMABUF;
	}
	if (h->maps_driver_memory && try_driver(p, type)) {
		*why = "the driver's own mapping is passed on";
		return VENUS_STRATEGY_DRIVER;
	}
	*why = "the driver neither imports our memory nor exports it as a dma-buf that can be "
	       "mapped";
	return VENUS_STRATEGY_NONE;
}

/* Whether a buffer's dma-buf can leave the driver and come back. */
static bool dmabuf_works(struct venus_host *h, const struct venus_physdev *pd)
{
	const VkExternalMemoryFeatureFlags need = VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT;
	const VkPhysicalDeviceExternalBufferInfo info = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
		.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
	};
	VkExternalBufferProperties props = { .sType =
						     VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES };

	if (!h->vki.GetPhysicalDeviceExternalBufferProperties)
		return false;
	h->vki.GetPhysicalDeviceExternalBufferProperties(pd->vk, &info, &props);
	return (props.externalMemoryProperties.externalMemoryFeatures & need) == need;
}

static uint64_t import_alignment(struct venus_host *h, const struct venus_physdev *pd)
{
	VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT
	};
	VkPhysicalDeviceProperties2 props = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &host
	};

	h->vki.GetPhysicalDeviceProperties2(pd->vk, &props);
	return host.minImportedHostPointerAlignment;
}

/* What was found out about this very device before; NULL if nothing was. */
static const struct venus_probe_device *known(const struct venus_host *h,
					      const struct venus_physdev *pd)
{
	for (uint32_t i = 0; h->hint && i < h->hint->count; i++) {
		const struct venus_probe_device *k = &h->hint->devices[i];
		bool is_same = strcmp(k->name, pd->props.deviceName) == 0 &&
			       k->vendor_id == pd->props.vendorID &&
			       k->device_id == pd->props.deviceID && k->host_api == pd->host_api &&
			       k->types_count == pd->host_mem.memoryTypeCount;

		for (uint32_t t = 0; is_same && t < k->types_count; t++)
			is_same =
				k->types[t].host_flags == pd->host_mem.memoryTypes[t].propertyFlags;
		if (is_same)
			return k;
	}
	return NULL;
}

/* Where the driver counts more than there can be, there are as many. */
static void ask_memory(struct venus_host *h, struct venus_physdev *pd)
{
	VkPhysicalDeviceMemoryProperties *m = &pd->host_mem;

	h->vki.GetPhysicalDeviceMemoryProperties(pd->vk, m);
	if (m->memoryTypeCount > VK_MAX_MEMORY_TYPES)
		m->memoryTypeCount = VK_MAX_MEMORY_TYPES;
	if (m->memoryHeapCount > VK_MAX_MEMORY_HEAPS)
		m->memoryHeapCount = VK_MAX_MEMORY_HEAPS;
}

void venus_physdev_probe_memory(struct venus_host *h, struct venus_physdev *pd,
				const VkExtensionProperties *host_exts, uint32_t count)
{
	const VkMemoryPropertyFlags host_bits = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
						VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
						VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
	struct probe p = { .pd = pd, .fd = -1 };
	bool is_usable = false;

	ask_memory(h, pd);
	pd->has_host_import =
		venus_ext_listed(host_exts, count, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
	pd->has_ext_mem_fd =
		venus_ext_listed(host_exts, count, VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
	pd->has_dmabuf =
		pd->has_ext_mem_fd &&
		venus_ext_listed(host_exts, count, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME) &&
		dmabuf_works(h, pd);
	if (pd->has_host_import)
		pd->import_align = import_alignment(h, pd);
	const struct venus_probe_device *k = known(h, pd);
	if (!k && probe_device(h, &p) && pd->has_host_import)
		probe_pointer(&p);

	if (k)
		pd->map_align = k->map_align;
	pd->mem = pd->host_mem;
	for (uint32_t i = 0; i < pd->host_mem.memoryTypeCount; i++) {
		pd->strategy[i] = k ? k->types[i].strategy : choose(h, &p, i, &pd->why[i]);
		if (k)
			pd->why[i] = k->types[i].why;
		if (pd->strategy[i] == VENUS_STRATEGY_NONE)
			pd->mem.memoryTypes[i].propertyFlags &= ~host_bits;
		else
			is_usable = true;
	}
	if (!is_usable)
		log_warn(GPU, "%s: guests cannot map any of its memory", pd->props.deviceName);

	if (p.vk)
		p.vkd.DestroyDevice(p.vk, NULL);
	shm_unmap(p.map, p.size);
	fd_drop(&p.fd);
}
