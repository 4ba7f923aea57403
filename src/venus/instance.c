/* SPDX-License-Identifier: Apache-2.0 */
/* The instance and the enumeration of what is below it (venus.md 7).  One instance per context. */
#include "util/log.h"
#include "venus/core.h"

const struct venus_vki *venus_dec_vki(const struct venus_dec *d)
{
	return &d->ctx->host.vki;
}

void venus_do_vkEnumerateInstanceVersion(struct venus_dec *d,
					 struct venus_args_vkEnumerateInstanceVersion *a)
{
	*a->pApiVersion = venus_guest_version(d->ctx->host.gipa);
	a->ret = VK_SUCCESS;
}

/* Hands out the first of @total properties; the usual protocol of two calls. */
static VkResult enumerate(uint32_t total, uint32_t *count, bool wants_items)
{
	uint32_t room = *count;

	*count = !wants_items || total < room ? total : room;
	return wants_items && room < total ? VK_INCOMPLETE : VK_SUCCESS;
}

void venus_do_vkEnumerateInstanceExtensionProperties(
	struct venus_dec *d, struct venus_args_vkEnumerateInstanceExtensionProperties *a)
{
	uint32_t room = a->pProperties ? *a->pPropertyCount : 0;
	uint32_t total = 0;

	(void)d;
	if (a->pLayerName) {
		*a->pPropertyCount = 0;
		a->ret = VK_ERROR_LAYER_NOT_PRESENT;
		return;
	}
	/* Only those of the protocol itself; whatever else has instance level is the guest's. */
	for (unsigned i = 0; i < venus_ext_count; i++) {
		const struct venus_ext *x = &venus_exts[i];

		if (x->number != VENUS_EXT_SERIALIZATION && x->number != VENUS_EXT_PROTOCOL)
			continue;
		if (total < room) {
			VkExtensionProperties *p = &a->pProperties[total];

			(void)snprintf(p->extensionName, sizeof(p->extensionName), "%s", x->name);
			p->specVersion = x->spec_version;
		}
		total++;
	}
	a->ret = enumerate(total, a->pPropertyCount, a->pProperties != NULL);
}

void venus_do_vkCreateInstance(struct venus_dec *d, struct venus_args_vkCreateInstance *a)
{
	const VkInstanceCreateInfo *ci = a->pCreateInfo;
	struct venus_ctx *ctx = d->ctx;

	if (ci->enabledLayerCount) {
		a->ret = VK_ERROR_LAYER_NOT_PRESENT;
		return;
	}
	if (ci->enabledExtensionCount) {
		a->ret = VK_ERROR_EXTENSION_NOT_PRESENT;
		return;
	}
	struct venus_obj *o =
		venus_obj_reserve(d, *a->pInstance, VK_OBJECT_TYPE_INSTANCE, sizeof(*o));
	if (!o)
		return;
	mutex_lock(&ctx->inst_lock);
	if (ctx->host.vk)
		a->ret = VK_ERROR_INITIALIZATION_FAILED;
	else
		a->ret = venus_host_open(&ctx->host, ctx->host.gipa, ci->pApplicationInfo);
	mutex_unlock(&ctx->inst_lock);
	if (a->ret == VK_SUCCESS) {
		venus_obj_publish(d, o, venus_handle_of(ctx->host.vk), NULL);
	} else {
		log_guest(GPU, "%s: vkCreateInstance fails with %d", ctx->name, (int)a->ret);
		venus_obj_cancel(d, o);
	}
}

/*
 * The host's instance itself lives as long as the context: other rings may be inside of it, and the
 * guest ends the context soon anyway.
 */
void venus_do_vkDestroyInstance(struct venus_dec *d, struct venus_args_vkDestroyInstance *a)
{
	struct venus_ctx *ctx = d->ctx;
	struct venus_obj *o;

	if (!a->instance || !venus_obj_remove(d, a->instance))
		return;
	while ((o = venus_table_first(ctx->table, VK_OBJECT_TYPE_DEVICE)) != NULL) {
		if (venus_obj_remove(d, o))
			venus_device_finish(ctx, container_of(o, struct venus_device, obj));
	}
	/* Another ring may be naming them. */
	mutex_lock(&ctx->inst_lock);
	for (uint32_t i = 0; i < ctx->host.count; i++) {
		struct venus_physdev *p = ctx->host.physdev[i];

		if (p->has_id && !venus_table_remove(ctx->table, &p->obj))
			log_debug(GPU, "%s: a physical device is gone already", ctx->name);
	}
	mutex_unlock(&ctx->inst_lock);
}

/* Binds the guest's id to a physical device, or sees that it is the one that was bound. */
static bool name_physdev(struct venus_dec *d, struct venus_physdev *p, uint64_t id)
{
	if (p->has_id) {
		if (p->obj.id != id)
			venus_dec_fatal(d, "gives a physical device another id than before");
		return p->obj.id == id;
	}
	if (venus_table_reserve(d->table, id) < 0) {
		venus_dec_fatal(d, "gives a physical device an id that is in use");
		return false;
	}
	p->has_id = true;
	p->obj.id = id;
	p->obj.type = VK_OBJECT_TYPE_PHYSICAL_DEVICE;
	p->obj.handle = venus_handle_of(p->vk);
	list_init(&p->obj.dev_node);
	list_init(&p->obj.pool_node);
	venus_table_publish(d->table, &p->obj);
	return true;
}

void venus_do_vkEnumeratePhysicalDevices(struct venus_dec *d,
					 struct venus_args_vkEnumeratePhysicalDevices *a)
{
	struct venus_ctx *ctx = d->ctx;

	mutex_lock(&ctx->inst_lock);
	a->ret = venus_host_enumerate(&ctx->host);
	if (a->ret == VK_SUCCESS) {
		a->ret = enumerate(ctx->host.count, a->pPhysicalDeviceCount,
				   a->pPhysicalDevices != NULL);
		for (uint32_t i = 0; a->pPhysicalDevices && i < *a->pPhysicalDeviceCount; i++) {
			if (!name_physdev(d, ctx->host.physdev[i], a->pPhysicalDevices[i]))
				break;
		}
	} else {
		*a->pPhysicalDeviceCount = 0;
	}
	mutex_unlock(&ctx->inst_lock);
}

/* The guest's name of a host's physical device; 0 if it has none. */
static uint64_t id_of(const struct venus_host *h, VkPhysicalDevice vk)
{
	for (uint32_t i = 0; i < h->count; i++) {
		if (h->physdev[i]->vk == vk && h->physdev[i]->has_id)
			return h->physdev[i]->obj.id;
	}
	return 0;
}

/* Copies a group, its devices as ids; leaves devices out that guests do not see. */
static bool translate_group(const struct venus_host *h, const VkPhysicalDeviceGroupProperties *from,
			    VkPhysicalDeviceGroupProperties *to)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < from->physicalDeviceCount && i < VK_MAX_DEVICE_GROUP_SIZE; i++) {
		uint64_t id = id_of(h, from->physicalDevices[i]);

		if (id != 0)
			to->physicalDevices[n++] = venus_handle_to(VkPhysicalDevice, id);
	}
	for (uint32_t i = n; i < VK_MAX_DEVICE_GROUP_SIZE; i++)
		to->physicalDevices[i] = VK_NULL_HANDLE;
	to->physicalDeviceCount = n;
	to->subsetAllocation = from->subsetAllocation;
	return n > 0;
}

void venus_do_vkEnumeratePhysicalDeviceGroups(struct venus_dec *d,
					      struct venus_args_vkEnumeratePhysicalDeviceGroups *a)
{
	struct venus_host *h = &d->ctx->host;
	VkPhysicalDeviceGroupProperties *list =
		venus_dec_alloc(d, VENUS_MAX_PHYSDEVS, sizeof(*list));
	VkPhysicalDeviceGroupProperties one;
	uint32_t n = VENUS_MAX_PHYSDEVS;
	uint32_t total = 0;

	if (!list)
		return;
	for (uint32_t i = 0; i < n; i++)
		list[i].sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES;
	a->ret = VK_ERROR_INITIALIZATION_FAILED;
	if (h->vki.EnumeratePhysicalDeviceGroups)
		a->ret = h->vki.EnumeratePhysicalDeviceGroups(h->vk, &n, list);
	if (a->ret < 0) {
		*a->pPhysicalDeviceGroupCount = 0;
		return;
	}
	mutex_lock(&d->ctx->inst_lock);
	for (uint32_t i = 0; i < n; i++) {
		VkPhysicalDeviceGroupProperties *to = &one;

		if (a->pPhysicalDeviceGroupProperties && total < *a->pPhysicalDeviceGroupCount)
			to = &a->pPhysicalDeviceGroupProperties[total];
		total += translate_group(h, &list[i], to);
	}
	mutex_unlock(&d->ctx->inst_lock);
	a->ret = enumerate(total, a->pPhysicalDeviceGroupCount,
			   a->pPhysicalDeviceGroupProperties != NULL);
}
