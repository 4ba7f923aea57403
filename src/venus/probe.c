/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's drivers can do, for people: see probe.h. */
#include "venus/probe.h"

#include <errno.h>
#include <stdlib.h>

#include "venus/core.h"

const char *venus_strategy_name(enum venus_strategy s)
{
	switch (s) {
	case VENUS_STRATEGY_IMPORT:
		return "import";
	case VENUS_STRATEGY_DMABUF:
		return "dma-buf";
	case VENUS_STRATEGY_DRIVER:
		return "driver";
	case VENUS_STRATEGY_NONE:
	default:
		return "none";
	}
}

static void describe(struct venus_probe_device *to, struct venus_physdev *from)
{
	(void)snprintf(to->name, sizeof(to->name), "%s", from->props.deviceName);
	(void)snprintf(to->driver, sizeof(to->driver), "%s", from->driver);
	(void)snprintf(to->driver_info, sizeof(to->driver_info), "%s", from->driver_info);
	to->type = from->props.deviceType;
	to->vendor_id = from->props.vendorID;
	to->device_id = from->props.deviceID;
	to->host_api = from->host_api;
	to->guest_api = from->api;
	to->types_count = from->host_mem.memoryTypeCount;
	for (uint32_t i = 0; i < to->types_count; i++) {
		to->types[i] = (struct venus_probe_type){
			.host_flags = from->host_mem.memoryTypes[i].propertyFlags,
			.guest_flags = from->mem.memoryTypes[i].propertyFlags,
			.heap = from->host_mem.memoryTypes[i].heapIndex,
			.strategy = from->strategy[i],
			.why = from->why[i],
		};
	}
	to->map_align = from->map_align;
	to->heaps_count = from->host_mem.memoryHeapCount;
	memcpy(to->heaps, from->host_mem.memoryHeaps, sizeof(to->heaps));
	to->sync_fd_emulated = from->emulates_sync_fd;
	to->extensions_count = from->exts_count;
	to->extensions = from->exts;
	from->exts = NULL; /* handed over */
	from->exts_count = 0;
}

int venus_probe_run(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory,
		    struct venus_probe *out, struct err *e)
{
	struct venus_host host = { .maps_driver_memory = maps_driver_memory };
	const VkApplicationInfo app = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
					.pApplicationName = "pecten",
					.apiVersion = VENUS_API_MAX };

	*out = (struct venus_probe){ .loader_api = venus_host_version(gipa) };
	VkResult r = venus_host_open(&host, gipa, &app);
	if (r == VK_SUCCESS)
		r = venus_host_enumerate(&host);
	if (r != VK_SUCCESS) {
		venus_host_close(&host);
		return err_set(e, -ENODEV,
			       "no Vulkan driver of this host works (error %d); install one, for "
			       "example mesa-vulkan-drivers",
			       (int)r);
	}
	out->devices = calloc((size_t)host.count + 1, sizeof(*out->devices));
	if (!out->devices) {
		venus_host_close(&host);
		return err_set(e, -ENOMEM, "no memory to describe the Vulkan drivers");
	}
	out->count = host.count;
	for (uint32_t i = 0; i < host.count; i++)
		describe(&out->devices[i], host.physdev[i]);
	venus_host_close(&host);
	return 0;
}

void venus_probe_fini(struct venus_probe *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		free(p->devices[i].extensions);
	free(p->devices);
	*p = (struct venus_probe){ 0 };
}
