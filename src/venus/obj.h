/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest names objects: a create command carries the id that the new object shall have.  One
 * table per context maps every id to a record.  Ids come from a counter in the guest, so they are
 * dense: the table is an array of chunks, read without a lock; ids beyond it go to a hash table.
 *
 * Records are shared by all rings of a context.  A record that is removed from the table stays
 * readable until every thread that decodes has passed a quiescent point (venus_quiesce()), so a
 * hostile guest that destroys on one ring what it uses on another meets a stale Vulkan handle in
 * its own renderer process at worst, never a freed record.
 */
#ifndef PECTEN_VENUS_OBJ_H
#define PECTEN_VENUS_OBJ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vulkan/vulkan_core.h>

#include "host/thread.h"
#include "util/compiler.h"
#include "util/list.h"

struct venus_device;

/* Common head of every record; larger records (device, queue, memory, pool ...) embed it first. */
struct venus_obj {
	uint64_t id;
	VkObjectType type;
	uint64_t handle;          /* the host's Vulkan handle, pointer or number */
	struct venus_device *dev; /* owner; NULL for instances, physical devices and devices */
	struct venus_obj *pool;   /* command or descriptor pool it was allocated from, or NULL */
	struct list dev_node;     /* in dev->objects, under dev->lock */
	struct list pool_node;    /* in the pool's members, under dev->lock */
};

#define VENUS_CHUNK_BITS 10   /* 1,024 ids a chunk */
#define VENUS_CHUNKS     4096 /* so ids below 4 Mi are dense */

struct venus_chunk {
	_Atomic(struct venus_obj *) slot[1U << VENUS_CHUNK_BITS];
};

struct venus_table {
	/* Written under the lock with release order, read by decoders with acquire order. */
	_Atomic(struct venus_chunk *) chunk[VENUS_CHUNKS];
	struct mutex lock;
	struct venus_sparse *sparse; /* ids past the chunks; under the lock */
	uint32_t count;              /* live objects; under the lock */
	uint32_t limit;
};

struct venus_obj *venus_table_get_sparse(struct venus_table *t, uint64_t id);

/**
 * venus_table_get() - look an id up
 *
 * Any thread that is between venus_busy() and venus_quiesce().
 *
 * Return: the record, valid until the caller's next quiescent point; NULL if there is none
 */
static inline struct venus_obj *venus_table_get(struct venus_table *t, uint64_t id)
{
	if (likely(id < (uint64_t)VENUS_CHUNKS << VENUS_CHUNK_BITS)) {
		struct venus_chunk *c = atomic_load_explicit(&t->chunk[id >> VENUS_CHUNK_BITS],
							     memory_order_acquire);

		if (unlikely(!c))
			return NULL;
		/* Acquire: pairs with the release store that published the filled-in record. */
		return atomic_load_explicit(&c->slot[id & ((1U << VENUS_CHUNK_BITS) - 1)],
					    memory_order_acquire);
	}
	return venus_table_get_sparse(t, id);
}

#endif
