/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of objects that have others below them, and how records come and go.
 */
#ifndef PECTEN_VENUS_DEV_H
#define PECTEN_VENUS_DEV_H

#include "venus/dec.h"
#include "venus/venus_gen.h" /* generated: struct venus_vki, struct venus_vkd */

struct venus_ctx;
struct venus_physdev;

/* A queue that the device was created with; the guest may fetch it once. */
struct venus_queue_slot {
	VkQueue vk;
	uint32_t family;
	uint32_t index;
	VkDeviceQueueCreateFlags flags;
	bool is_taken; /* under dev->lock */
};

/* A VkDevice.  Embeds its functions, so that a command is one load away from its driver. */
struct venus_device {
	struct venus_obj obj;
	struct venus_vkd vk;
	struct mutex lock;     /* objects, the members of pools, makers */
	struct list objects;   /* every record whose dev this is */
	uint32_t makers;       /* records reserved and not yet published or cancelled */
	struct cond no_makers; /* there are none, and obj.gone is set */
	const struct venus_physdev *physdev; /* lives as long as the context */
	uint32_t slots_count;
	struct venus_queue_slot *slots;
};

_Static_assert(offsetof(struct venus_device, obj) == 0, "venus_dec_first() relies on it");

/* The instance's functions, for commands whose first handle is a VkInstance or VkPhysicalDevice. */
const struct venus_vki *venus_dec_vki(const struct venus_dec *d);

/**
 * venus_device_close() - let nothing be made below a device any more, and wait for what is being
 * made
 *
 * Bounded by the driver: a ring that makes something is inside of it.
 */
void venus_device_close(struct venus_device *dev);

/**
 * venus_obj_reserve() - claim an id before the driver is asked to create something
 * @size:	of the record to be, at least sizeof(struct venus_obj)
 *
 * Refuses (and sets d->failed) id 0, an id in use, a device that is being destroyed, a context that
 * holds its limit of objects.  The device stays until the record is published or cancelled.
 *
 * Return: a zeroed record with id, type and dev (d->dev) set that nobody else can find, or NULL
 */
struct venus_obj *venus_obj_reserve(struct venus_dec *d, uint64_t id, VkObjectType type,
				    size_t size);

/**
 * venus_obj_reserve_many() - claim several ids, and find room for the driver's handles
 * @ids:	@n of them; NULL is a breach
 * @made:	out: room for @n handles, zeroed, as long as the command lives
 *
 * All that can fail comes before the claims: each record has to be published or cancelled.
 *
 * Return: @n records, as venus_obj_reserve()'s; NULL (and d->failed), and then none is claimed
 */
struct venus_obj **venus_obj_reserve_many(struct venus_dec *d, const uint64_t *ids, uint32_t n,
					  VkObjectType type, uint64_t **made);

/**
 * venus_obj_publish() - make a reserved record visible under its id
 * @pool:	the pool it was allocated from, or NULL
 *
 * If the guest has destroyed the pool meanwhile, on another ring, @o and the host handle are gone.
 * A device that is being destroyed takes @o, and then along with it.
 */
void venus_obj_publish(struct venus_dec *d, struct venus_obj *o, uint64_t handle,
		       struct venus_obj *pool);

/**
 * venus_obj_weigh() - book bytes of the guest's that the driver keeps as long as the object lives
 * @o:	reserved
 *
 * Return: false above the limit of the context; the caller cancels @o in any case but success
 */
bool venus_obj_weigh(struct venus_dec *d, struct venus_obj *o, uint64_t bytes) MUST_CHECK;

/* Gives a reserved id back: the driver said no. */
void venus_obj_cancel(struct venus_dec *d, struct venus_obj *o);

/**
 * venus_obj_remove() - take a record out of the table and of its lists
 *
 * Of several threads that remove the same record exactly one gets true; it destroys the host
 * handle.  The record itself is freed once no decoder can hold it.
 */
bool venus_obj_remove(struct venus_dec *d, struct venus_obj *o) MUST_CHECK;

/**
 * venus_dec_device_lost() - the driver returned VK_ERROR_DEVICE_LOST to a command without a reply
 *
 * Makes the context fatal: there is no other way to tell the guest (venus.md 3.3).
 */
void venus_dec_device_lost(struct venus_dec *d);

#endif
