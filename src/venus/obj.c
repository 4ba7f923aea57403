/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object table: see obj.h.  Writers take the lock; readers announce themselves by an epoch, and
 * what is removed is freed once every busy reader has announced a later one.
 */
#include "venus/obj.h"

#include <errno.h>
#include <stdlib.h>

#define DENSE_END ((uint64_t)VENUS_CHUNKS << VENUS_CHUNK_BITS)

/* Ids past the dense range, which a guest reaches after 64 Mi objects or by picking odd numbers. */
struct sparse_node {
	uint64_t id;
	struct venus_obj *obj; /* NULL while reserved */
	struct sparse_node *next;
};

struct venus_sparse {
	struct sparse_node **bucket;
	uint32_t mask;
	uint32_t used;
};

#define SPARSE_START 64U

static uint32_t sparse_hash(uint64_t id)
{
	return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static struct sparse_node **sparse_find(const struct venus_sparse *s, uint64_t id)
{
	struct sparse_node **at = &s->bucket[sparse_hash(id) & s->mask];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/* Doubles the buckets; staying as it is merely makes chains longer. */
static void sparse_grow(struct venus_sparse *s)
{
	uint32_t mask = s->mask * 2 + 1;
	struct sparse_node **bucket = calloc((size_t)mask + 1, sizeof(struct sparse_node *));

	if (!bucket)
		return;
	for (uint32_t i = 0; i <= s->mask; i++) {
		struct sparse_node *n = s->bucket[i];

		while (n) {
			struct sparse_node *next = n->next;
			struct sparse_node **at = &bucket[sparse_hash(n->id) & mask];

			n->next = *at;
			*at = n;
			n = next;
		}
	}
	free(s->bucket);
	s->bucket = bucket;
	s->mask = mask;
}

static int sparse_reserve(struct venus_sparse *s, uint64_t id)
{
	struct sparse_node **at = sparse_find(s, id);

	if (*at)
		return -EEXIST;
	struct sparse_node *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->id = id;
	*at = n;
	if (++s->used > s->mask)
		sparse_grow(s);
	return 0;
}

static void sparse_drop(struct venus_sparse *s, uint64_t id)
{
	struct sparse_node **at = sparse_find(s, id);
	struct sparse_node *n = *at;

	if (!n)
		return;
	*at = n->next;
	free(n);
	s->used--;
}

int venus_table_init(struct venus_table *t, uint32_t limit, void (*free_obj)(struct venus_obj *o))
{
	struct venus_sparse *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->bucket = calloc(SPARSE_START, sizeof(struct sparse_node *));
	if (!s->bucket) {
		free(s);
		return -ENOMEM;
	}
	s->mask = SPARSE_START - 1;
	t->sparse = s;
	t->chunks_max = VENUS_MAX_CHUNKS;
	mutex_init(&t->lock);
	list_init(&t->readers);
	t->limit = limit;
	t->spare = VENUS_CHUNKS;
	t->retired_tail = &t->retired;
	t->free_obj = free_obj;
	atomic_init(&t->epoch, 1);
	return 0;
}

/* Frees the records and chunks on the two lists. */
static void free_lists(struct venus_table *t, struct venus_obj *o, struct venus_chunk *c)
{
	while (o) {
		struct venus_obj *next = o->retired_next;

		t->free_obj(o);
		o = next;
	}
	while (c) {
		struct venus_chunk *next = c->retired_next;

		free(c);
		c = next;
	}
}

void venus_table_fini(struct venus_table *t)
{
	if (!t || !t->sparse)
		return;
	for (uint32_t i = 0; i < t->chunk_end; i++) {
		struct venus_chunk *c = atomic_load_explicit(&t->chunk[i], memory_order_relaxed);

		for (uint32_t n = 0; c && n < VENUS_CHUNK_IDS; n++) {
			struct venus_obj *o =
				atomic_load_explicit(&c->slot[n], memory_order_relaxed);
			if (o)
				t->free_obj(o);
		}
		free(c);
	}
	for (uint32_t i = 0; i <= t->sparse->mask; i++) {
		while (t->sparse->bucket[i]) {
			struct sparse_node *n = t->sparse->bucket[i];

			t->sparse->bucket[i] = n->next;
			if (n->obj)
				t->free_obj(n->obj);
			free(n);
		}
	}
	free_lists(t, t->retired, t->retired_chunks);
	free(t->sparse->bucket);
	free(t->sparse);
	t->sparse = NULL;
	mutex_fini(&t->lock);
}

void venus_reader_add(struct venus_table *t, struct venus_reader *r)
{
	atomic_init(&r->epoch, 0);
	mutex_lock(&t->lock);
	list_add_tail(&t->readers, &r->node);
	mutex_unlock(&t->lock);
}

void venus_reader_del(struct venus_table *t, struct venus_reader *r)
{
	mutex_lock(&t->lock);
	list_del(&r->node);
	mutex_unlock(&t->lock);
}

struct venus_obj *venus_table_get_sparse(struct venus_table *t, uint64_t id)
{
	mutex_lock(&t->lock);
	struct sparse_node *n = *sparse_find(t->sparse, id);
	struct venus_obj *o = n ? n->obj : NULL;
	mutex_unlock(&t->lock);
	return o;
}

static struct venus_chunk *chunk_of(struct venus_table *t, uint64_t id)
{
	/* Under the lock, where all stores are. */
	return atomic_load_explicit(&t->chunk[id >> VENUS_CHUNK_BITS], memory_order_relaxed);
}

static int dense_reserve(struct venus_table *t, uint64_t id)
{
	struct venus_chunk *c = chunk_of(t, id);
	uint32_t at = (uint32_t)(id >> VENUS_CHUNK_BITS);
	uint32_t n = id & (VENUS_CHUNK_IDS - 1);

	if (!c) {
		if (t->chunks + t->chunks_retired >= t->chunks_max)
			return -ENOMEM;
		c = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		t->chunks++;
		/* Release: readers must see the chunk zeroed. */
		atomic_store_explicit(&t->chunk[at], c, memory_order_release);
		if (at >= t->chunk_end)
			t->chunk_end = at + 1;
	}
	if (c->taken[n / 64] >> (n % 64) & 1)
		return -EEXIST;
	c->taken[n / 64] |= UINT64_C(1) << (n % 64);
	c->used++;
	return 0;
}

/*
 * Forgets an id; an empty chunk goes, but one is kept so that a lone object does not thrash.
 *
 * Return: whether so many have gone that reclaim() is worth its while
 */
static bool dense_release(struct venus_table *t, uint64_t id)
{
	struct venus_chunk *c = chunk_of(t, id);
	uint32_t at = (uint32_t)(id >> VENUS_CHUNK_BITS);
	uint32_t n = id & (VENUS_CHUNK_IDS - 1);

	c->taken[n / 64] &= ~(UINT64_C(1) << (n % 64));
	if (--c->used > 0 || t->spare == at)
		return false;

	bool is_time = false;
	struct venus_chunk *old =
		t->spare < VENUS_CHUNKS
			? atomic_load_explicit(&t->chunk[t->spare], memory_order_relaxed)
			: NULL;
	if (old && old->used == 0) {
		atomic_store_explicit(&t->chunk[t->spare], NULL, memory_order_relaxed);
		old->retired_at = atomic_load_explicit(&t->epoch, memory_order_relaxed) + 1;
		old->retired_next = t->retired_chunks;
		t->retired_chunks = old;
		t->chunks--;
		/* Not at every one past the batch: a reader that is stuck keeps them all. */
		is_time = ++t->chunks_retired % VENUS_RETIRED_BATCH == 0;
	}
	t->spare = at;
	return is_time;
}

int venus_table_reserve(struct venus_table *t, uint64_t id)
{
	int r;

	if (id == 0)
		return -EEXIST;
	mutex_lock(&t->lock);
	if (t->count >= t->limit)
		r = -ENOMEM;
	else if (id < DENSE_END)
		r = dense_reserve(t, id);
	else
		r = sparse_reserve(t->sparse, id);
	if (r == 0)
		t->count++;
	mutex_unlock(&t->lock);
	return r;
}

void venus_table_publish(struct venus_table *t, struct venus_obj *o)
{
	mutex_lock(&t->lock);
	if (o->id < DENSE_END) {
		struct venus_chunk *c = chunk_of(t, o->id);

		/* Release: pairs with venus_table_get(); the record is filled in. */
		atomic_store_explicit(&c->slot[o->id & (VENUS_CHUNK_IDS - 1)], o,
				      memory_order_release);
	} else {
		(*sparse_find(t->sparse, o->id))->obj = o;
	}
	mutex_unlock(&t->lock);
}

/* Takes off the retired lists what no reader can hold any more. */
static struct venus_obj *reclaim(struct venus_table *t, struct venus_chunk **chunks)
	REQUIRES(&t->lock)
{
	uint64_t seen = atomic_load_explicit(&t->epoch, memory_order_relaxed) + 1;

	/* Release: whoever reads this epoch sees the removals before it. */
	atomic_store_explicit(&t->epoch, seen, memory_order_release);
	/* Pairs with the fence in venus_busy(). */
	atomic_thread_fence(memory_order_seq_cst);
	list_for_each(it, &t->readers)
	{
		struct venus_reader *r = container_of(it, struct venus_reader, node);
		/* Acquire: the reader's use of records comes before our free(). */
		uint64_t e = atomic_load_explicit(&r->epoch, memory_order_acquire);

		if (e != 0 && e < seen)
			seen = e;
	}

	struct venus_obj *head = t->retired;
	struct venus_obj **end = &head;
	while (*end && (*end)->retired_at <= seen) {
		end = &(*end)->retired_next;
		t->retired_count--;
		t->count--;
	}
	t->retired = *end;
	if (!t->retired)
		t->retired_tail = &t->retired;
	*end = NULL;

	/* Newest first, so from some point on all are old enough. */
	struct venus_chunk **c = &t->retired_chunks;
	while (*c && (*c)->retired_at > seen)
		c = &(*c)->retired_next;
	*chunks = *c;
	*c = NULL;
	for (const struct venus_chunk *x = *chunks; x; x = x->retired_next)
		t->chunks_retired--;
	return head;
}

void venus_table_cancel(struct venus_table *t, uint64_t id)
{
	struct venus_obj *freed = NULL;
	struct venus_chunk *chunks = NULL;
	bool is_time = false;

	mutex_lock(&t->lock);
	if (id < DENSE_END)
		is_time = dense_release(t, id);
	else
		sparse_drop(t->sparse, id);
	t->count--;
	/* Ids far apart empty a chunk each, and nothing need ever be removed. */
	if (is_time)
		freed = reclaim(t, &chunks);
	mutex_unlock(&t->lock);
	free_lists(t, freed, chunks);
}

bool venus_table_remove(struct venus_table *t, struct venus_obj *o)
{
	struct venus_obj *freed = NULL;
	struct venus_chunk *chunks = NULL;
	bool is_ours;
	bool is_time = false;

	mutex_lock(&t->lock);
	if (o->id < DENSE_END) {
		struct venus_chunk *c = chunk_of(t, o->id);
		_Atomic(struct venus_obj *) *slot =
			c ? &c->slot[o->id & (VENUS_CHUNK_IDS - 1)] : NULL;

		is_ours = slot && atomic_load_explicit(slot, memory_order_relaxed) == o;
		if (is_ours) {
			atomic_store_explicit(slot, NULL, memory_order_relaxed);
			is_time = dense_release(t, o->id);
		}
	} else {
		struct sparse_node *n = *sparse_find(t->sparse, o->id);

		is_ours = n && n->obj == o;
		if (is_ours)
			sparse_drop(t->sparse, o->id);
	}
	if (is_ours) {
		o->retired_at = atomic_load_explicit(&t->epoch, memory_order_relaxed) + 1;
		o->retired_next = NULL;
		*t->retired_tail = o;
		t->retired_tail = &o->retired_next;
		if (++t->retired_count % VENUS_RETIRED_BATCH == 0 || is_time)
			freed = reclaim(t, &chunks);
	}
	mutex_unlock(&t->lock);
	free_lists(t, freed, chunks);
	return is_ours;
}

void venus_table_renew(struct venus_table *t, struct venus_obj *o)
{
	mutex_lock(&t->lock);
	/* Those behind it in the list may be older now and wait for it, which does no harm. */
	o->retired_at = atomic_load_explicit(&t->epoch, memory_order_relaxed) + 1;
	mutex_unlock(&t->lock);
}

struct venus_obj *venus_table_first(struct venus_table *t, VkObjectType type)
{
	struct venus_obj *found = NULL;

	mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->chunk_end && !found; i++) {
		struct venus_chunk *c = atomic_load_explicit(&t->chunk[i], memory_order_relaxed);

		for (uint32_t n = 0; c && n < VENUS_CHUNK_IDS && !found; n++) {
			struct venus_obj *o =
				atomic_load_explicit(&c->slot[n], memory_order_relaxed);
			if (o && o->type == type)
				found = o;
		}
	}
	for (uint32_t i = 0; i <= t->sparse->mask && !found; i++) {
		for (struct sparse_node *n = t->sparse->bucket[i]; n && !found; n = n->next) {
			if (n->obj && n->obj->type == type)
				found = n->obj;
		}
	}
	mutex_unlock(&t->lock);
	return found;
}
