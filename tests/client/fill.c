/* SPDX-License-Identifier: Apache-2.0 */
/* Random contents for the tables' structs, and their comparison. */
#include "client/fill.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Bytes after which a command gets no more arrays and chains. */
#define ENOUGH (256U << 10)

enum role {
	FULL,    /* an app's input */
	STORAGE, /* an app's storage for an output */
};

uint64_t vnc_random(struct vnc_fill *f)
{
	/* splitmix64 */
	uint64_t z = f->seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool chance(struct vnc_fill *f, unsigned one_in)
{
	return vnc_random(f) % one_in == 0;
}

void *vnc_fill_alloc(struct vnc_fill *f, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	assert(size <= f->size - f->used);

	void *p = f->mem + f->used;

	f->used += size;
	memset(p, 0, size);
	return p;
}

static void *load_ptr(const void *at)
{
	void *p;

	memcpy(&p, at, sizeof(p));
	return p;
}

static size_t stride(const struct vnc_field *f)
{
	return f->elem == VNC_SCALAR   ? f->size
	       : f->elem == VNC_HANDLE ? 8
	       : f->elem == VNC_STRUCT ? f->type->size
				       : 1;
}

static void random_bytes(struct vnc_fill *f, void *to, size_t size)
{
	uint8_t *p = to;

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)vnc_random(f);
}

static void fill_fields(struct vnc_fill *f, const struct vnc_field *fields, unsigned n, void *base,
			enum role role, bool is_params);

static void fill_chain(struct vnc_fill *f, const struct vnc_struct *t, void *s, enum role role)
{
	VkBaseOutStructure *last = s;
	bool used[1024] = { false };

	if (t->nodes_count == 0 || f->depth > 4 || f->used > ENOUGH)
		return;
	for (unsigned i = 0; i < 4 && chance(f, 2); i++) {
		unsigned k = (unsigned)(vnc_random(f) % t->nodes_count);
		const struct vnc_struct *node = t->nodes[k];

		if (used[k])
			continue;
		used[k] = true;

		VkBaseOutStructure *n = vnc_fill_alloc(f, node->size);

		n->sType = node->stype;
		fill_fields(f, node->fields, node->fields_count, n, role, false);
		last->pNext = n;
		last = n;
	}
}

static void fill_struct(struct vnc_fill *f, const struct vnc_struct *t, void *s, uint32_t tag,
			enum role role)
{
	f->depth++;
	if (t->is_union) {
		const struct vnc_field *m = vnc_selected(t, tag);

		assert(m);
		fill_fields(f, m, 1, s, role, false);
	} else {
		if (t->stype != VK_STRUCTURE_TYPE_MAX_ENUM) {
			((VkBaseOutStructure *)s)->sType = t->stype;
			fill_chain(f, t, s, role);
		}
		fill_fields(f, t->fields, t->fields_count, s, role, false);
	}
	f->depth--;
}

static uint64_t random_length(struct vnc_fill *f)
{
	if (f->used > ENOUGH)
		return 0;
	return f->depth > 3 ? vnc_random(f) % 2 : vnc_random(f) % 4;
}

static void fill_elements(struct vnc_fill *f, const struct vnc_field *d, void *p, uint64_t n,
			  uint32_t tag, enum role role)
{
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *e = (uint8_t *)p + i * stride(d);

		if (d->elem == VNC_STRUCT)
			fill_struct(f, d->type, e, tag, role);
		else if (d->elem == VNC_HANDLE)
			vnc_store(e, 8, f->id(f, d->objtype));
		else if (role == FULL)
			random_bytes(f, e, stride(d));
	}
}

static char *random_string(struct vnc_fill *f)
{
	size_t n = vnc_random(f) % 11;
	char *s = vnc_fill_alloc(f, n + 1);

	for (size_t i = 0; i < n; i++)
		s[i] = (char)('a' + vnc_random(f) % 26);
	return s;
}

static void fill_pointer(struct vnc_fill *f, const struct vnc_field *fields,
			 const struct vnc_field *d, void *base, enum role role)
{
	uint64_t n = 1;
	void *p;

	if (d->len == VNC_LEN_MEMBER) {
		/* Nothing in the struct itself says that this member is a length. */
		uint8_t *owner = load_ptr((uint8_t *)base + fields[d->len_field].offset);

		if (owner && vnc_load(owner + d->len_offset, 4) > 3)
			vnc_store(owner + d->len_offset, 4, random_length(f));
	}
	if (d->form == VNC_ARRAY || d->form == VNC_STRINGS || d->form == VNC_SINGLES ||
	    d->form == VNC_ARRAYS)
		n = vnc_length(d, fields, base);
	if (n == 0 || (d->null_ok && chance(f, 3)))
		return;
	switch (d->form) {
	case VNC_STRING:
		p = random_string(f);
		break;
	case VNC_STRINGS:
		p = vnc_fill_alloc(f, n * sizeof(char *));
		for (uint64_t i = 0; i < n; i++)
			((char **)p)[i] = random_string(f);
		break;
	case VNC_ARRAY:
	case VNC_SINGLE:
		p = vnc_fill_alloc(f, n * stride(d));
		fill_elements(f, d, p, n, 0, role);
		break;
	case VNC_SINGLES:
	case VNC_ARRAYS:
		p = vnc_fill_alloc(f, n * sizeof(void *));
		for (uint64_t i = 0; i < n; i++) {
			uint64_t m = 1;

			if (d->form == VNC_ARRAYS) {
				const struct vnc_field *infos = &fields[d->len2_field];
				const uint8_t *info = load_ptr((uint8_t *)base + infos->offset);

				if (!info)
					return;
				m = vnc_load(info + i * infos->type->size + d->len_offset, 4);
			}
			((void **)p)[i] = vnc_fill_alloc(f, m * stride(d));
			fill_elements(f, d, ((void **)p)[i], m, 0, role);
		}
		break;
	case VNC_VALUE:
	case VNC_FIXED:
	case VNC_NEVER:
		return;
	}
	memcpy((uint8_t *)base + d->offset, &p, sizeof(p));
}

/* Which lengths and selectors must make sense to others. */
static bool fill_special(struct vnc_fill *f, const struct vnc_field *fields, unsigned n, unsigned i,
			 void *base)
{
	const struct vnc_field *d = &fields[i];
	void *at = (uint8_t *)base + d->offset;

	for (unsigned k = 0; k < n; k++) {
		if (fields[k].selector == (int)i) {
			const struct vnc_struct *u = fields[k].type;
			const struct vnc_field *m = &u->fields[vnc_random(f) % u->fields_count];

			vnc_store(at, 4, (uint32_t)m->tags[vnc_random(f) % m->tags_count]);
			return true;
		}
		if (fields[k].len == VNC_LEN_NONE || fields[k].len == VNC_LEN_CONST ||
		    fields[k].len_field != i || fields[k].form == VNC_FIXED)
			continue;
		if (fields[k].len == VNC_LEN_DIV4)
			vnc_store(at, d->size, random_length(f) * 4);
		else if (fields[k].len == VNC_LEN_ROUND32)
			vnc_store(at, d->size, vnc_random(f) % 70);
		else if (fields[k].len == VNC_LEN_FIELD)
			vnc_store(at, d->size, random_length(f));
		else
			continue;
		return true;
	}
	return false;
}

static void fill_fields(struct vnc_fill *f, const struct vnc_field *fields, unsigned n, void *base,
			enum role role, bool is_params)
{
	for (unsigned i = 0; i < n; i++) {
		const struct vnc_field *d = &fields[i];
		void *at = (uint8_t *)base + d->offset;

		if (is_params)
			role = d->dir == VNC_OUT ? STORAGE : FULL;
		if (d->form == VNC_FIXED && d->by_pointer) {
			void *p = vnc_fill_alloc(f, d->count * stride(d));

			memcpy(at, &p, sizeof(p));
			fill_elements(f, d, p, d->count, 0, role);
		} else if (d->form == VNC_FIXED) {
			fill_elements(f, d, at, d->count, 0, role);
			if (d->elem == VNC_SCALAR && d->size == 1 && role == FULL)
				((char *)at)[d->count - 1] = 0;
		} else if (d->form == VNC_VALUE && d->elem == VNC_SCALAR) {
			if (fill_special(f, fields, n, i, base))
				continue;
			if (role == FULL)
				random_bytes(f, at, d->size);
		} else if (d->form == VNC_VALUE) {
			uint32_t tag = 0;

			if (d->elem == VNC_STRUCT && d->type->is_union)
				tag = d->selector < 0 ? vnc_default_tag(d->type)
						      : (uint32_t)vnc_load(
								(uint8_t *)base +
									fields[d->selector].offset,
								4);
			fill_elements(f, d, at, 1, tag, role);
		} else if (d->form == VNC_SINGLE && d->is_length) {
			/* An in/out count. */
			uint8_t *count = vnc_fill_alloc(f, d->size);

			vnc_store(count, d->size, random_length(f));
			memcpy(at, &count, sizeof(count));
		} else {
			fill_pointer(f, fields, d, base, role);
		}
	}
}

void vnc_fill_params(struct vnc_fill *f, const struct vnc_cmd *cmd, uint64_t *slots)
{
	memset(slots, 0, VNC_PARAMS_MAX * sizeof(*slots));
	f->depth = 0;
	fill_fields(f, cmd->fields, cmd->fields_count, slots, FULL, true);
}

void vnc_fill_struct(struct vnc_fill *f, const struct vnc_struct *t, void *s)
{
	f->depth = 0;
	fill_struct(f, t, s, 0, FULL);
}

static void outs_of_fields(struct vnc_fill *f, const struct vnc_field *fields, unsigned n,
			   void *base);

static void outs_of_struct(struct vnc_fill *f, const struct vnc_struct *t, void *s)
{
	if (t->stype != VK_STRUCTURE_TYPE_MAX_ENUM) {
		for (VkBaseOutStructure *o = ((VkBaseOutStructure *)s)->pNext; o; o = o->pNext) {
			const struct vnc_struct *node = vnc_struct_of(o->sType);

			outs_of_fields(f, node->fields, node->fields_count, o);
		}
	}
	outs_of_fields(f, t->fields, t->fields_count, s);
}

static void outs_of_elements(struct vnc_fill *f, const struct vnc_field *d, void *p, uint64_t n)
{
	if (d->elem != VNC_STRUCT) {
		random_bytes(f, p, n * stride(d));
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		outs_of_struct(f, d->type, (uint8_t *)p + i * d->type->size);
}

static void outs_of_fields(struct vnc_fill *f, const struct vnc_field *fields, unsigned n,
			   void *base)
{
	for (unsigned i = 0; i < n; i++) {
		const struct vnc_field *d = &fields[i];
		uint8_t *at = (uint8_t *)base + d->offset;

		if (d->form == VNC_FIXED)
			outs_of_elements(f, d, at, d->count);
		else if (d->form == VNC_VALUE && !d->is_length)
			outs_of_elements(f, d, at, 1);
		else if (d->form == VNC_VALUE && vnc_load(at, d->size) > 0)
			vnc_store(at, d->size, vnc_load(at, d->size) - vnc_random(f) % 2);
		else if (d->form == VNC_ARRAY && load_ptr(at))
			outs_of_elements(f, d, load_ptr(at), vnc_length(d, fields, base));
	}
}

void vnc_fill_outs(struct vnc_fill *f, const struct vnc_cmd *cmd, const uint64_t *slots)
{
	for (unsigned i = 0; i < cmd->fields_count; i++) {
		const struct vnc_field *d = &cmd->fields[i];
		void *p = (void *)(uintptr_t)slots[i];

		if (d->dir == VNC_IN || !p)
			continue;
		if (d->is_length) {
			uint64_t n = vnc_load(p, d->size);

			vnc_store(p, d->size, n - (n > 0 ? vnc_random(f) % 2 : 0));
		} else if (d->form == VNC_ARRAY) {
			outs_of_elements(f, d, p, vnc_length(d, cmd->fields, slots));
		} else {
			outs_of_elements(f, d, p, 1);
		}
	}
}

static bool same_fields(struct vnc_same *c, const struct vnc_field *fields, unsigned n,
			const void *a, const void *b);

static bool differ(struct vnc_same *c, const char *name)
{
	char tail[sizeof(c->where)];

	memcpy(tail, c->where, sizeof(tail));
	snprintf(c->where, sizeof(c->where), "%s%s%.200s", name, tail[0] ? "." : "", tail);
	return false;
}

bool vnc_same_struct(struct vnc_same *c, const struct vnc_struct *t, const void *a, const void *b)
{
	if (t->stype != VK_STRUCTURE_TYPE_MAX_ENUM) {
		const VkBaseInStructure *p = a, *q = b;

		for (; p && q; p = p->pNext, q = q->pNext) {
			if (p->sType != q->sType)
				return differ(c, "sType");

			const struct vnc_struct *node = vnc_struct_of(p->sType);

			if (!same_fields(c, node->fields, node->fields_count, p, q))
				return differ(c, node->name);
		}
		return p == q || differ(c, "pNext");
	}
	return same_fields(c, t->fields, t->fields_count, a, b) || differ(c, t->name);
}

static bool same_elements(struct vnc_same *c, const struct vnc_field *d, const void *a,
			  const void *b, uint64_t n, uint32_t tag)
{
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *p = (const uint8_t *)a + i * stride(d);
		const uint8_t *q = (const uint8_t *)b + i * stride(d);

		if (d->elem == VNC_HANDLE) {
			uint64_t id = vnc_load(p, 8);

			if (vnc_load(q, 8) != (c->is_host ? vnc_host(id) : id))
				return false;
		} else if (d->elem == VNC_STRUCT && d->type->is_union) {
			const struct vnc_field *m = vnc_selected(d->type, tag);

			if (!same_fields(c, m, 1, p, q))
				return false;
		} else if (d->elem == VNC_STRUCT) {
			if (!vnc_same_struct(c, d->type, p, q))
				return false;
		} else if (memcmp(p, q, stride(d)) != 0) {
			return false;
		}
	}
	return true;
}

static bool same_field(struct vnc_same *c, const struct vnc_field *fields,
		       const struct vnc_field *d, const void *a, const void *b)
{
	const uint8_t *at = (const uint8_t *)a + d->offset;
	const uint8_t *bt = (const uint8_t *)b + d->offset;
	uint64_t n;

	if (d->form == VNC_NEVER)
		return load_ptr(bt) == NULL;
	if (vnc_is_inline(d)) {
		uint32_t tag = 0;

		if (d->elem == VNC_STRUCT && d->type->is_union)
			tag = d->selector < 0
				      ? vnc_default_tag(d->type)
				      : (uint32_t)vnc_load(
						(const uint8_t *)a + fields[d->selector].offset, 4);
		return same_elements(c, d, at, bt, d->form == VNC_FIXED ? d->count : 1, tag);
	}

	const void *p = load_ptr(at), *q = load_ptr(bt);

	if (!p || !q)
		return p == q;
	switch (d->form) {
	case VNC_STRING:
		return strcmp(p, q) == 0;
	case VNC_STRINGS:
		n = vnc_length(d, fields, a);
		for (uint64_t i = 0; i < n; i++) {
			if (strcmp(((const char *const *)p)[i], ((const char *const *)q)[i]) != 0)
				return false;
		}
		return true;
	case VNC_FIXED:
		return same_elements(c, d, p, q, d->count, 0);
	case VNC_ARRAY:
		n = vnc_length(d, fields, a);
		return n == vnc_length(d, fields, b) && same_elements(c, d, p, q, n, 0);
	case VNC_SINGLE:
		return same_elements(c, d, p, q, 1, 0);
	case VNC_SINGLES:
	case VNC_ARRAYS:
		n = vnc_length(d, fields, a);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t m = 1;

			if (d->form == VNC_ARRAYS) {
				const struct vnc_field *infos = &fields[d->len2_field];
				const uint8_t *info = load_ptr((const uint8_t *)a + infos->offset);

				m = vnc_load(info + i * infos->type->size + d->len_offset, 4);
			}
			if (m > 0 && !same_elements(c, d, ((const void *const *)p)[i],
						    ((const void *const *)q)[i], m, 0))
				return false;
		}
		return true;
	case VNC_VALUE:
	case VNC_NEVER:
		break;
	}
	return false;
}

static bool same_fields(struct vnc_same *c, const struct vnc_field *fields, unsigned n,
			const void *a, const void *b)
{
	for (unsigned i = 0; i < n; i++) {
		if (!same_field(c, fields, &fields[i], a, b))
			return differ(c, fields[i].name);
	}
	return true;
}

bool vnc_same_ins(struct vnc_same *c, const struct vnc_cmd *cmd, const uint64_t *a,
		  const uint64_t *b)
{
	for (unsigned i = 0; i < cmd->fields_count; i++) {
		if (cmd->fields[i].dir != VNC_OUT &&
		    !same_field(c, cmd->fields, &cmd->fields[i], a, b))
			return differ(c, cmd->fields[i].name);
	}
	return true;
}

bool vnc_same_outs(struct vnc_same *c, const struct vnc_cmd *cmd, const uint64_t *a,
		   const uint64_t *b)
{
	for (unsigned i = 0; i < cmd->fields_count; i++) {
		if (cmd->fields[i].dir != VNC_IN &&
		    !same_field(c, cmd->fields, &cmd->fields[i], a, b))
			return differ(c, cmd->fields[i].name);
	}
	return true;
}
