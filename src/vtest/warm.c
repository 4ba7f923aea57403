/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers loaded and examined ahead of the client: see warm.h. */
#include "vtest/warm.h"

#include <errno.h>

#include "venus/probe.h"

int warm_up(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory, struct venus_probe *found,
	    struct err *e)
{
	static const char remedy[] = "install your GPU's driver, or mesa-vulkan-drivers for a "
				     "software one";
	const VkApplicationInfo app = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.pApplicationName = "pecten",
		.apiVersion = VK_API_VERSION_1_1,
	};
	const VkInstanceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &app,
	};
	PFN_vkCreateInstance create = (PFN_vkCreateInstance)gipa(NULL, "vkCreateInstance");
	VkInstance instance = VK_NULL_HANDLE;
	uint32_t count = 0;

	VkResult r = create ? create(&info, NULL, &instance) : VK_ERROR_INITIALIZATION_FAILED;
	if (r == VK_ERROR_INCOMPATIBLE_DRIVER)
		return err_set(e, -ENODEV, "no Vulkan driver works on this host; %s", remedy);
	if (r != VK_SUCCESS)
		return err_set(e, -ENODEV, "the host's Vulkan does not start (VkResult %d); %s",
			       (int)r, remedy);

	PFN_vkEnumeratePhysicalDevices devices =
		(PFN_vkEnumeratePhysicalDevices)gipa(instance, "vkEnumeratePhysicalDevices");
	r = devices ? devices(instance, &count, NULL) : VK_ERROR_INITIALIZATION_FAILED;
	if (r != VK_SUCCESS || count == 0)
		return err_set(e, -ENODEV, "the host's Vulkan drivers find no device; %s", remedy);
	return venus_probe_run(gipa, maps_driver_memory, found, e);
}
