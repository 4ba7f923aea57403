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
	uint32_t bytes;           /* of the guest's that the driver keeps, see venus_obj_weigh() */
	uint64_t handle;          /* the host's Vulkan handle, pointer or number */
	struct venus_device *dev; /* owner; NULL for instances, physical devices and devices */
	struct venus_obj *pool;   /* command or descriptor pool it was allocated from, or NULL */
	struct list dev_node;     /* in dev->objects, under dev->lock */
	struct list pool_node;    /* in the pool's members, under dev->lock */
	bool gone;                /* of devices and pools: takes no more members; under dev->lock */
	uint64_t retired_at;      /* freed when every reader has seen this epoch */
	struct venus_obj *retired_next;
};

#define VENUS_CHUNK_BITS 10 /* 1,024 ids a chunk */
#define VENUS_CHUNK_IDS  (1U << VENUS_CHUNK_BITS)
#define VENUS_CHUNKS     65536 /* so ids below 64 Mi are dense */

/*
 * Chunks of a table that take memory, 8 KiB each; those that wait for a reader included.  A guest
 * that has an object left in each is not out of line.
 */
#define VENUS_MAX_CHUNKS (VENUS_CHUNKS + 1024U)

/* Removed records, or chunks, kept before anyone tries to free them. */
#define VENUS_RETIRED_BATCH 64

struct venus_chunk {
	_Atomic(struct venus_obj *) slot[VENUS_CHUNK_IDS];
	uint64_t taken[VENUS_CHUNK_IDS / 64]; /* ids reserved or published; under the lock */
	uint32_t used;                        /* bits set in it */
	uint64_t retired_at;
	struct venus_chunk *retired_next;
};

/* A thread that decodes.  On a cache line of its own: it is written after every command. */
struct venus_reader {
	_Alignas(64) _Atomic uint64_t epoch; /* 0 while the thread holds no record */
	struct list node;                    /* in table->readers, under table->lock */
};

struct venus_table {
	/* Written under the lock with release order, read by decoders with acquire order. */
	_Atomic(struct venus_chunk *) chunk[VENUS_CHUNKS];
	_Atomic uint64_t epoch; /* raised under the lock before something is freed */
	struct mutex lock;
	/* All below: under the lock. */
	struct list readers;
	struct venus_sparse *sparse; /* ids past the chunks */
	uint32_t count;              /* records, the removed ones that are not freed yet included */
	uint32_t limit;
	uint32_t chunk_end; /* chunks from here on were never used */
	uint32_t spare;     /* an empty chunk that is kept, or VENUS_CHUNKS */
	struct venus_obj *retired;
	struct venus_obj **retired_tail;
	struct venus_chunk *retired_chunks;
	uint32_t retired_count;
	uint32_t chunks_max;     /* VENUS_MAX_CHUNKS, but in tests */
	uint32_t chunks;         /* in the array */
	uint32_t chunks_retired; /* taken out of it and not freed yet */
	void (*free_obj)(struct venus_obj *o);
};

/**
 * venus_table_init() - start an empty table
 * @limit:	records it may hold
 * @free_obj:	frees a removed record; called by whoever removes another one, under no lock
 *
 * The table is large and mostly untouched: allocate it with calloc().
 *
 * Return: 0 or -ENOMEM; undo with venus_table_fini(), when no reader is left
 */
int venus_table_init(struct venus_table *t, uint32_t limit,
		     void (*free_obj)(struct venus_obj *o)) MUST_CHECK;

/* Frees all records, also those still in the table.  NULL and zeroed are fine. */
void venus_table_fini(struct venus_table *t);

/* A thread that will decode, and its end. */
void venus_reader_add(struct venus_table *t, struct venus_reader *r);
void venus_reader_del(struct venus_table *t, struct venus_reader *r);

/* From here on the thread may hold records. */
static inline void venus_busy(struct venus_table *t, struct venus_reader *r)
{
	/*
	 * The fence orders the store before every look-up: either whoever frees sees us busy, or we
	 * see what was removed before.  Release: our earlier use of records comes first.
	 */
	atomic_store_explicit(&r->epoch, atomic_load_explicit(&t->epoch, memory_order_acquire),
			      memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
}

/* Between two commands: the thread holds no record, and goes on. */
static inline void venus_quiesce(struct venus_table *t, struct venus_reader *r)
{
	/*
	 * Release: our reads of records come first.  Acquire: having seen an epoch we see all
	 * removals before it; so no fence is needed, unlike in venus_busy().
	 */
	atomic_store_explicit(&r->epoch, atomic_load_explicit(&t->epoch, memory_order_acquire),
			      memory_order_release);
}

/* The thread holds no record and will look none up before venus_busy(). */
static inline void venus_idle(struct venus_reader *r)
{
	atomic_store_explicit(&r->epoch, 0, memory_order_release);
}

/**
 * venus_table_reserve() - claim an id for a record that nobody can find yet
 *
 * Return: 0; -EEXIST if the id is 0 or in use; -ENOMEM above the limit of records or of chunks
 */
int venus_table_reserve(struct venus_table *t, uint64_t id) MUST_CHECK;

/* Makes a reserved id's record visible.  Cannot fail. */
void venus_table_publish(struct venus_table *t, struct venus_obj *o);

/* Gives a reserved id back.  The caller is a busy reader. */
void venus_table_cancel(struct venus_table *t, uint64_t id);

/**
 * venus_table_remove() - take a record out, and free it when no reader can hold it
 *
 * The caller is a busy reader, so @o stays valid until it quiesces.
 *
 * Return: true for exactly one of several callers
 */
bool venus_table_remove(struct venus_table *t, struct venus_obj *o) MUST_CHECK;

/**
 * venus_table_renew() - let a removed record count as removed only now
 *
 * For a parent whose children were removed after it: they point to it, so whoever finds one of them
 * needs it as well.  The caller has been a busy reader ever since it removed @o.
 */
void venus_table_renew(struct venus_table *t, struct venus_obj *o);

/**
 * venus_table_first() - any record of a type, for clean-up when no reader is left
 *
 * Return: NULL if there is none
 */
struct venus_obj *venus_table_first(struct venus_table *t, VkObjectType type);

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
