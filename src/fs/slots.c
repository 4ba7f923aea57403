// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers for objects that a guest refers to: slot in the low half, generation in the high half.
 * Slot 0 is never given out, so that neither is 0.
 */
#include <errno.h>

#include "fs/fs_internal.h"

#define SLOTS_FIRST 64

void slots_fini(struct slots *s)
{
	free(s->v);
	*s = (struct slots){ .max = s->max };
}

static int slots_grow(struct slots *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : SLOTS_FIRST;
	struct slot *v = realloc(s->v, (size_t)cap * sizeof(*v));

	if (!v)
		return -ENOMEM;
	memset(v + s->cap, 0, (size_t)(cap - s->cap) * sizeof(*v));
	s->v = v;
	s->cap = cap;
	return 0;
}

/**
 * slots_add() - give @p a number
 *
 * Return: 0; -ENFILE at the limit; -ENOMEM
 */
int slots_add(struct slots *s, void *p, uint64_t *id)
{
	uint32_t n = s->first_free;

	if (s->live >= s->max)
		return -ENFILE;
	if (n) {
		s->first_free = s->v[n].next_free;
	} else {
		n = s->used ? s->used : 1;
		if (n >= s->cap) {
			int r = slots_grow(s);
			if (r < 0)
				return r;
		}
		s->used = n + 1;
	}
	s->v[n].p = p;
	s->live++;
	*id = (uint64_t)s->v[n].gen << 32 | n;
	return 0;
}

void *slots_get(const struct slots *s, uint64_t id)
{
	uint32_t n = (uint32_t)id;

	if (n == 0 || n >= s->used || s->v[n].gen != id >> 32)
		return NULL;
	return s->v[n].p;
}

void slots_del(struct slots *s, uint64_t id)
{
	uint32_t n = (uint32_t)id;

	s->v[n].p = NULL;
	s->v[n].gen++;
	s->v[n].next_free = s->first_free;
	s->first_free = n;
	s->live--;
}
