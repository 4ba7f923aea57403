/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the null driver: how they come and go, and how a handle is checked. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "null_internal.h"

/* Entry points of Vulkan have no context parameter, so the driver's state is global. */
struct null_driver null = {
	.lock = MUTEX_INIT,
	.sync = MUTEX_INIT,
	.wake = { PTHREAD_COND_INITIALIZER },
};

void null_complain(struct null_call *c, const char *fmt, ...)
{
	void (*listener)(const char *) =
		atomic_load_explicit(&null.faults.complain, memory_order_relaxed);
	char what[256];
	char sentence[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)snprintf(sentence, sizeof(sentence), "null driver: %s %s", c->name, what);
	c->is_bad = true;
	if (listener) {
		listener(sentence);
		return;
	}
	(void)fprintf(stderr, "%s\n", sentence);
	abort();
}

void null_touch(const void *p, size_t bytes)
{
	const uint8_t *b = p;
	uint8_t copy[256];

	while (bytes) {
		size_t n = bytes < sizeof(copy) ? bytes : sizeof(copy);

		memcpy(copy, b, n);
		/* The compiler must believe that someone looks at the copy. */
		__asm__ volatile("" : : "r"(copy) : "memory");
		b += n;
		bytes -= n;
	}
}

void null_touch_string(const char *s)
{
	null_touch(s, strlen(s) + 1);
}

static struct null_rec *find(uint64_t handle)
{
	uint64_t base = (uintptr_t)null.recs;

	if (!null.recs || handle < base || handle - base >= NULL_RECS * sizeof(struct null_rec) ||
	    (handle - base) % sizeof(struct null_rec) != 0)
		return NULL;
	return (struct null_rec *)(uintptr_t)handle;
}

struct null_rec *null_check(struct null_call *c, uint64_t handle, VkObjectType type,
			    const char *what)
{
	struct null_rec *r = find(handle);
	bool is_stale_ok = atomic_load_explicit(&null.faults.is_stale_ok, memory_order_relaxed);

	if (!handle)
		return NULL;
	if (!r) {
		null_complain(c, "was given a %s that is no handle: %#llx", what,
			      (unsigned long long)handle);
		return NULL;
	}
	/* Acquire: pairs with null_new(), which fills the head in before it sets the state. */
	uint32_t state = atomic_load_explicit(&r->state, memory_order_acquire);
	uint32_t was = atomic_load_explicit(&r->type, memory_order_relaxed);

	if (state != NULL_ALIVE || was != (uint32_t)type ||
	    (r->dev && c->dev && r->dev != c->dev)) {
		if (is_stale_ok && state != NULL_UNUSED) {
			c->is_bad = true;
			return NULL;
		}
		if (state == NULL_UNUSED)
			null_complain(c, "was given a %s that never existed", what);
		else if (was != (uint32_t)type)
			null_complain(c, "was given a %s of type %u in place of %u", what, was,
				      (uint32_t)type);
		else if (state == NULL_DEAD)
			null_complain(c, "was given a %s (type %u) that is destroyed", what, was);
		else
			null_complain(c, "was given a %s (type %u) of another device", what, was);
		return NULL;
	}
	return r;
}

struct null_call null_enter(uint32_t cmd, const void *self, VkObjectType type)
{
	struct null_call c = { .cmd = cmd, .name = null_command_names[cmd] };

	atomic_fetch_add_explicit(&null_counts[cmd], 1, memory_order_relaxed);
	if (atomic_load_explicit(&null.faults.hang, memory_order_relaxed) == cmd + 1)
		null_hang(cmd);
	if (type == VK_OBJECT_TYPE_UNKNOWN)
		return c;
	if (!self) {
		null_complain(&c, "was given no object to work on");
		return c;
	}
	c.self = null_check(&c, (uintptr_t)self, type, "first parameter");
	if (c.self)
		c.dev = type == VK_OBJECT_TYPE_DEVICE ? c.self : c.self->dev;
	return c;
}

static struct null_rec *take_rec_locked(void)
{
	if (!null.recs) {
		void *p = mmap(NULL, NULL_RECS * sizeof(struct null_rec), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return NULL;
		null.recs = p;
	}
	if (null.used < NULL_RECS)
		return &null.recs[null.used++];
	if (!null.dead)
		return NULL;
	struct null_rec *r = &null.recs[null.dead_first];
	null.dead_first = r->next_dead;
	null.dead--;
	return r;
}

/* Whether this creation is the one that was chosen to fail. */
static bool is_out_of_memory(void)
{
	uint32_t left = atomic_load_explicit(&null.faults.oom_left, memory_order_relaxed);

	while (left) {
		if (atomic_compare_exchange_weak_explicit(&null.faults.oom_left, &left, left - 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return left == 1;
	}
	return false;
}

struct null_rec *null_new(VkObjectType type, struct null_rec *dev, struct null_rec *pool)
{
	struct null_rec *r = NULL;

	mutex_lock(&null.lock);
	if (!is_out_of_memory())
		r = take_rec_locked();
	if (r) {
		memset(&r->u, 0, sizeof(r->u));
		r->loader = 0x01cdc0de; /* the loader insists on ICD_LOADER_MAGIC */
		r->dev = dev;
		r->pool = pool;
		r->first = NULL;
		r->prev = NULL;
		r->next = pool ? pool->first : NULL;
		if (r->next)
			r->next->prev = r;
		if (pool)
			pool->first = r;
		atomic_store_explicit(&r->members, 0, memory_order_relaxed);
		if (dev)
			atomic_fetch_add_explicit(&dev->members, 1, memory_order_relaxed);
		atomic_store_explicit(&r->type, (uint32_t)type, memory_order_relaxed);
		/* Release: null_check() must see the head filled in. */
		atomic_store_explicit(&r->state, NULL_ALIVE, memory_order_release);
	}
	mutex_unlock(&null.lock);
	return r;
}

static void end_one_locked(struct null_rec *r)
{
	uint32_t index = (uint32_t)(r - null.recs);
	uint32_t type = atomic_load_explicit(&r->type, memory_order_relaxed);

	if (type == VK_OBJECT_TYPE_DEVICE_MEMORY)
		null_memory_fini(r);
	else if (type == VK_OBJECT_TYPE_COMMAND_BUFFER)
		null_cmdbuf_fini(r);
	if (r->prev)
		r->prev->next = r->next;
	else if (r->pool)
		r->pool->first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	if (r->dev)
		atomic_fetch_sub_explicit(&r->dev->members, 1, memory_order_relaxed);
	atomic_store_explicit(&r->state, NULL_DEAD, memory_order_release);

	if (null.dead++)
		null.recs[null.dead_last].next_dead = index;
	else
		null.dead_first = index;
	null.dead_last = index;
}

void null_end(struct null_rec *r)
{
	if (!r)
		return;
	mutex_lock(&null.lock);
	/* Two threads may destroy one object in tests that race; the second finds it dead. */
	if (atomic_load_explicit(&r->state, memory_order_relaxed) == NULL_ALIVE) {
		while (r->first)
			end_one_locked(r->first);
		end_one_locked(r);
	}
	mutex_unlock(&null.lock);
}

void null_end_owned(const struct null_rec *dev)
{
	mutex_lock(&null.lock);
	for (uint32_t i = 0; i < null.used; i++) {
		struct null_rec *r = &null.recs[i];

		if (atomic_load_explicit(&r->state, memory_order_relaxed) == NULL_ALIVE &&
		    r->dev == dev) {
			while (r->first)
				end_one_locked(r->first);
			end_one_locked(r);
		}
	}
	mutex_unlock(&null.lock);
}

uint32_t null_alive(VkObjectType type)
{
	uint32_t n = 0;

	mutex_lock(&null.lock);
	for (uint32_t i = 0; i < null.used; i++) {
		struct null_rec *r = &null.recs[i];

		if (atomic_load_explicit(&r->state, memory_order_relaxed) == NULL_ALIVE &&
		    (type == VK_OBJECT_TYPE_UNKNOWN ||
		     atomic_load_explicit(&r->type, memory_order_relaxed) == (uint32_t)type))
			n++;
	}
	mutex_unlock(&null.lock);
	return n;
}
