/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host's Vulkan drivers can do for guests, in words: for `pecten gpu info` and `doctor`.
 * The renderer chooses by the very same code.
 */
#ifndef PECTEN_VENUS_PROBE_H
#define PECTEN_VENUS_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"
#include "util/err.h"

#define VENUS_MAX_PHYSDEVS 16U /* of one instance that guests see */

/* How guests get to map a memory type (venus.md 8.3). */
enum venus_strategy {
	VENUS_STRATEGY_NONE,   /* they cannot */
	VENUS_STRATEGY_IMPORT, /* B: our memfd, imported into the driver as a host pointer */
	VENUS_STRATEGY_DMABUF, /* A: the driver's memory, exported as a dma-buf */
	VENUS_STRATEGY_DRIVER, /* C: the file that the driver itself maps it from, passed on */
};

struct venus_probe_type {
	VkMemoryPropertyFlags host_flags;  /* as the driver says */
	VkMemoryPropertyFlags guest_flags; /* as guests see it */
	uint32_t heap;
	enum venus_strategy strategy;
	const char *why; /* one clause, static: why this strategy or why none */
};

struct venus_probe_device {
	char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
	char driver[VK_MAX_DRIVER_NAME_SIZE]; /* empty if the driver does not say */
	char driver_info[VK_MAX_DRIVER_INFO_SIZE];
	VkPhysicalDeviceType type;
	uint32_t vendor_id;
	uint32_t device_id;
	uint32_t host_api;  /* as the driver says */
	uint32_t guest_api; /* as guests see it */
	uint32_t types_count;
	struct venus_probe_type types[VK_MAX_MEMORY_TYPES];
	uint64_t map_align; /* bytes: guests' memory is a multiple of it, for strategy C; or 0 */
	uint32_t heaps_count;
	VkMemoryHeap heaps[VK_MAX_MEMORY_HEAPS];
	bool sync_fd_emulated; /* SYNC_FD semaphore import is ours, not the driver's */
	uint32_t extensions_count;
	VkExtensionProperties *extensions; /* offered to guests */
};

struct venus_probe {
	uint32_t loader_api; /* of vkEnumerateInstanceVersion */
	uint32_t count;
	struct venus_probe_device *devices;
};

/**
 * venus_probe_run() - ask every driver
 * @gipa:	see venus_loader_open()
 * @maps_driver_memory:	see struct venus_ctx_config
 * @out:	on success, for venus_probe_fini(); may have no devices
 * @e:		on failure, a sentence for the user; may be NULL
 *
 * Creates an instance and one device after the other, so it takes as long as the drivers need.
 *
 * Return: 0, -ENODEV if no instance can be made, -ENOMEM
 */
int venus_probe_run(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory,
		    struct venus_probe *out, struct err *e) MUST_CHECK;

void venus_probe_fini(struct venus_probe *p);

/* "import", "dma-buf", "driver", "none". */
const char *venus_strategy_name(enum venus_strategy s);

#endif
