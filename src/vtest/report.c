/* SPDX-License-Identifier: Apache-2.0 */
/* The probe's result as JSON: see report.h. */
#include "vtest/report.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/fd.h"
#include "render/msg.h"
#include "venus/probe.h"

static void put_json(struct json_object **o)
{
	(void)json_object_put(*o);
}
#define AUTO_JSON CLEANUP(put_json) struct json_object

static void add(struct json_object *to, const char *key, struct json_object *value)
{
	(void)json_object_object_add(to, key, value);
}

static void add_text(struct json_object *to, const char *key, const char *text)
{
	add(to, key, json_object_new_string(text));
}

static void add_number(struct json_object *to, const char *key, uint64_t n)
{
	add(to, key, json_object_new_uint64(n));
}

static void add_version(struct json_object *to, const char *key, uint32_t v)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%u.%u.%u", VK_API_VERSION_MAJOR(v),
		       VK_API_VERSION_MINOR(v), VK_API_VERSION_PATCH(v));
	add_text(to, key, text);
}

static const char *type_name(VkPhysicalDeviceType type)
{
	switch ((int)type) {
	case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
		return "integrated";
	case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
		return "discrete";
	case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
		return "virtual";
	case VK_PHYSICAL_DEVICE_TYPE_CPU:
		return "cpu";
	default:
		return "other";
	}
}

static struct json_object *flags_of(VkMemoryPropertyFlags flags)
{
	/* clang-format off */
	static const struct {
		VkMemoryPropertyFlags bit;
		const char *name;
	} names[] = {
		{ VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,     "device-local" },
		{ VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,     "host-visible" },
		{ VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,    "coherent" },
		{ VK_MEMORY_PROPERTY_HOST_CACHED_BIT,      "cached" },
		{ VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT, "lazy" },
		{ VK_MEMORY_PROPERTY_PROTECTED_BIT,        "protected" },
	};
	/* clang-format on */
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (flags & names[i].bit)
			(void)json_object_array_add(list, json_object_new_string(names[i].name));
	}
	return list;
}

static struct json_object *types_of(const struct venus_probe_device *d)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < d->types_count; i++) {
		const struct venus_probe_type *t = &d->types[i];
		struct json_object *o = json_object_new_object();

		add_number(o, "index", i);
		add_number(o, "heap", t->heap);
		add(o, "hostFlags", flags_of(t->host_flags));
		add(o, "guestFlags", flags_of(t->guest_flags));
		add_text(o, "strategy", venus_strategy_name(t->strategy));
		add_text(o, "why", t->why ? t->why : "");
		(void)json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *heaps_of(const struct venus_probe_device *d)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < d->heaps_count; i++) {
		struct json_object *o = json_object_new_object();

		add_number(o, "bytes", d->heaps[i].size);
		add(o, "deviceLocal",
		    json_object_new_boolean(
			    !!(d->heaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)));
		(void)json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *device(const struct venus_probe_device *d)
{
	struct json_object *o = json_object_new_object();
	struct json_object *extensions = json_object_new_array();

	add_text(o, "name", d->name);
	add_text(o, "driver", d->driver);
	add_text(o, "driverInfo", d->driver_info);
	add_text(o, "type", type_name(d->type));
	add_number(o, "vendorId", d->vendor_id);
	add_number(o, "deviceId", d->device_id);
	add_version(o, "hostApi", d->host_api);
	add_version(o, "guestApi", d->guest_api);
	add(o, "syncFdEmulated", json_object_new_boolean(d->sync_fd_emulated));
	add(o, "heaps", heaps_of(d));
	add(o, "memoryTypes", types_of(d));
	for (uint32_t i = 0; i < d->extensions_count; i++)
		(void)json_object_array_add(extensions,
					    json_object_new_string(d->extensions[i].extensionName));
	add(o, "extensions", extensions);
	return o;
}

int report_send(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory, int control, struct err *e)
{
	CLEANUP(venus_probe_fini) struct venus_probe probe = { 0 };
	struct render_msg msg = { .type = RENDER_REPORT };

	int r = venus_probe_run(gipa, maps_driver_memory, &probe, e);
	if (r < 0)
		return r;

	AUTO_JSON *root = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	add_version(root, "loader", probe.loader_api);
	for (uint32_t i = 0; i < probe.count; i++)
		(void)json_object_array_add(devices, device(&probe.devices[i]));
	add(root, "devices", devices);

	size_t len;
	const char *text = json_object_to_json_string_length(root, JSON_C_TO_STRING_PLAIN, &len);
	AUTO_FD fd = memfd_create("report", MFD_CLOEXEC);
	if (!text || fd < 0 || (r = fd_write_full(fd, text, len)) < 0 ||
	    (r = fd_send(control, &msg, sizeof(msg), &fd, 1)) < 0)
		return err_set(e, r < 0 ? r : -ENOMEM, "the result of the probe could not be sent");
	return 0;
}
