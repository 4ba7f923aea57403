/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rest of what a renderer process needs of venus/, for one that serves the context without
 * Vulkan of fake_ctx.c: loader and drivers are real, so that confinement is tested with them.
 */
#include <dlfcn.h>
#include <errno.h>

#include "venus/ctx.h"
#include "venus/probe.h"

int venus_loader_open(PFN_vkGetInstanceProcAddr *gipa, struct err *e)
{
	void *lib = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return err_set(e, -ENOENT, "no Vulkan loader");
	*gipa = (PFN_vkGetInstanceProcAddr)(uintptr_t)dlsym(lib, "vkGetInstanceProcAddr");
	return 0;
}

int venus_probe_run(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory,
		    struct venus_probe *out, struct err *e)
{
	(void)maps_driver_memory;
	(void)gipa;
	(void)e;
	out->devices = calloc(1, sizeof(*out->devices));
	if (!out->devices)
		return -ENOMEM;
	out->count = 1;
	out->loader_api = VK_API_VERSION_1_3;
	(void)snprintf(out->devices[0].name, sizeof(out->devices[0].name), "fake device");
	out->devices[0].types_count = 1;
	out->devices[0].types[0].strategy = VENUS_STRATEGY_IMPORT;
	return 0;
}

void venus_probe_fini(struct venus_probe *p)
{
	free(p->devices);
}

const char *venus_strategy_name(enum venus_strategy s)
{
	return s == VENUS_STRATEGY_NONE ? "none" : "import";
}
