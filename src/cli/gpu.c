/* SPDX-License-Identifier: Apache-2.0 */
/* pecten gpu: the GPU path without a virtual machine. */
#include "cli/gpu.h"

#include <errno.h>

#include "cli/cli.h"
#include "cli/cmds.h"
#include "render/renderer.h"

#define PROBE_TIMEOUT_MS 60000

const char *gpu_text(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;
	const char *text = NULL;

	if (json_object_object_get_ex(o, key, &v))
		text = json_object_get_string(v);
	return text ? text : "";
}

int gpu_probe(const struct renderer_spec *spec, struct json_object **out, struct err *e)
{
	AUTO_FREE char *text = NULL;

	int r = renderer_probe(spec, PROBE_TIMEOUT_MS, &text, e);
	if (r < 0)
		return r;

	AUTO_JSON *o = json_tokener_parse(text);
	struct json_object *devices;
	if (!o || !json_object_object_get_ex(o, "devices", &devices) ||
	    !json_object_is_type(devices, json_type_array))
		return err_set(e, -EPROTO, "the probe's answer makes no sense");
	if (json_object_array_length(devices) == 0)
		return err_set(
			e, -ENODEV,
			"no Vulkan device was found on this host; install your GPU's driver, "
			"or mesa-vulkan-drivers for a software one");
	*out = take(&o);
	return 0;
}

static bool has_shared_memory(struct json_object *device)
{
	struct json_object *types;

	if (!json_object_object_get_ex(device, "memoryTypes", &types))
		return false;
	for (size_t i = 0; i < json_object_array_length(types); i++) {
		if (strcmp(gpu_text(json_object_array_get_idx(types, i), "strategy"), "none") != 0)
			return true;
	}
	return false;
}

int gpu_usable(struct json_object *probe, const char **name, struct err *e)
{
	struct json_object *devices = NULL;
	struct json_object *first = NULL;

	(void)json_object_object_get_ex(probe, "devices", &devices);
	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		struct json_object *d = json_object_array_get_idx(devices, i);

		first = first ? first : d;
		if (has_shared_memory(d)) {
			*name = gpu_text(d, "name");
			return 0;
		}
	}
	return err_set(e, -ENODEV,
		       "no memory of '%s' can be shared with guests: its driver offers neither "
		       "VK_EXT_external_memory_host nor dma-buf export; a newer driver may",
		       gpu_text(first, "name"));
}

static const struct cli_cmd cmds[] = {
	{ "serve", "share the GPU with processes and containers over a socket", gpu_serve },
	{ "info", "what the host's drivers offer, and what a server's clients do", gpu_info },
	{ 0 },
};

int cmd_gpu(int argc, char *const *argv)
{
	static const char about[] =
		"Vulkan for programs that hold no GPU device and no vendor driver: they use stock\n"
		"Mesa, which speaks over a socket to a renderer that has the host's driver.";

	return cli_dispatch("pecten gpu", about, cmds, argc, argv);
}
