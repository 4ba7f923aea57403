/* SPDX-License-Identifier: Apache-2.0 */
/* What Vulkan's loader looks for in a driver's library. */
#include "null_internal.h"

#define NULL_LOADER_INTERFACE 5 /* the newest that needs no physical-device entry point */

EXPORT VKAPI_ATTR VkResult VKAPI_CALL vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version);
EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vk_icdGetInstanceProcAddr(VkInstance instance,
									  const char *name);

VKAPI_ATTR VkResult VKAPI_CALL vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version)
{
	if (*version < NULL_LOADER_INTERFACE)
		return VK_ERROR_INCOMPATIBLE_DRIVER;
	*version = NULL_LOADER_INTERFACE;
	return VK_SUCCESS;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vk_icdGetInstanceProcAddr(VkInstance instance,
								   const char *name)
{
	return null_get_instance_proc_addr(instance, name);
}
