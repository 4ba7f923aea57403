/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes requests and decodes replies by the generated tables. */
#include "client/vnc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void vnc_buf_fini(struct vnc_buf *b)
{
	free(b->data);
	*b = (struct vnc_buf){ 0 };
}

void vnc_put(struct vnc_buf *b, const void *from, size_t size)
{
	size_t padded = (size + 3) & ~(size_t)3;

	if (b->room - b->size < padded) {
		b->room = (b->size + padded) * 2;
		b->data = realloc(b->data, b->room);
		assert(b->data);
	}
	if (size > 0)
		memcpy(b->data + b->size, from, size);
	memset(b->data + b->size + size, 0, padded - size);
	b->size += padded;
}

void vnc_put32(struct vnc_buf *b, uint32_t v)
{
	vnc_put(b, &v, sizeof(v));
}

void vnc_put64(struct vnc_buf *b, uint64_t v)
{
	vnc_put(b, &v, sizeof(v));
}

static void get(struct vnc_view *v, void *to, size_t size)
{
	size_t padded = (size + 3) & ~(size_t)3;

	if (v->failed || padded > (size_t)(v->end - v->p)) {
		v->failed = true;
		memset(to, 0, size);
		return;
	}
	memcpy(to, v->p, size);
	v->p += padded;
}

static uint32_t get32(struct vnc_view *v)
{
	uint32_t x;

	get(v, &x, sizeof(x));
	return x;
}

static uint64_t get64(struct vnc_view *v)
{
	uint64_t x;

	get(v, &x, sizeof(x));
	return x;
}

const struct vnc_cmd *vnc_cmd_of(int32_t number)
{
	for (unsigned i = 0; i < vnc_cmd_count; i++) {
		if (vnc_cmds[i].number == number)
			return &vnc_cmds[i];
	}
	return NULL;
}

const struct vnc_struct *vnc_struct_of(VkStructureType stype)
{
	for (unsigned i = 0; i < vnc_struct_count; i++) {
		if (vnc_structs[i]->stype == stype)
			return vnc_structs[i];
	}
	return NULL;
}

uint64_t vnc_load(const void *at, size_t size)
{
	uint64_t v = 0;

	memcpy(&v, at, size);
	return v;
}

void vnc_store(void *at, size_t size, uint64_t v)
{
	memcpy(at, &v, size);
}

static void *load_ptr(const void *at)
{
	void *p;

	memcpy(&p, at, sizeof(p));
	return p;
}

static const uint8_t *at(const void *base, size_t offset)
{
	return (const uint8_t *)base + offset;
}

uint64_t vnc_length(const struct vnc_field *f, const struct vnc_field *fields, const void *base)
{
	if (f->len == VNC_LEN_CONST)
		return f->len_field;
	if (f->len == VNC_LEN_NONE)
		return 0;

	const struct vnc_field *l = &fields[f->len_field];
	const void *where = at(base, l->offset);

	if (f->len == VNC_LEN_DEREF || f->len == VNC_LEN_MEMBER) {
		const void *p = load_ptr(where);

		if (!p)
			return 0;
		return f->len == VNC_LEN_DEREF ? vnc_load(p, l->size)
					       : vnc_load(at(p, f->len_offset), 4);
	}

	uint64_t n = vnc_load(where, l->size);

	if (f->len == VNC_LEN_DIV4)
		return n / 4;
	if (f->len == VNC_LEN_ROUND32)
		return (n + 31) / 32;
	return n;
}

/* Second length of an array of arrays: a member of the i-th struct of another array. */
static uint64_t length2(const struct vnc_field *f, const struct vnc_field *fields, const void *base,
			uint64_t i)
{
	const struct vnc_field *infos = &fields[f->len2_field];
	const void *p = load_ptr(at(base, infos->offset));

	return vnc_load(at(p, i * infos->type->size + f->len_offset), 4);
}

const struct vnc_field *vnc_selected(const struct vnc_struct *u, uint32_t tag)
{
	for (unsigned i = 0; i < u->fields_count; i++) {
		for (unsigned j = 0; j < u->fields[i].tags_count; j++) {
			if ((uint32_t)u->fields[i].tags[j] == tag)
				return &u->fields[i];
		}
	}
	return NULL;
}

uint32_t vnc_default_tag(const struct vnc_struct *u)
{
	/* What Mesa sends: the integers of a colour, which carry any bits; else the first. */
	if (u->fields_count == 3 && strcmp(u->name, "VkClearColorValue") == 0)
		return 2;
	return 0;
}

static size_t stride(const struct vnc_field *f)
{
	switch (f->elem) {
	case VNC_SCALAR:
		return f->size;
	case VNC_HANDLE:
		return 8;
	case VNC_STRUCT:
		return f->type->size;
	case VNC_BLOB:
		break;
	}
	return 1;
}

static void put_fields(struct vnc_buf *b, const struct vnc_field *fields, unsigned n,
		       const void *base, bool is_partial);

static void put_chain(struct vnc_buf *b, const VkBaseInStructure *s, bool is_partial)
{
	vnc_put64(b, s != NULL);
	if (!s)
		return;

	const struct vnc_struct *t = vnc_struct_of(s->sType);

	assert(t);
	vnc_put32(b, (uint32_t)s->sType);
	put_chain(b, s->pNext, is_partial);
	put_fields(b, t->fields, t->fields_count, s, is_partial);
}

static void put_field(struct vnc_buf *b, const struct vnc_field *fields, const struct vnc_field *f,
		      const void *base, bool is_partial);

static void put_struct(struct vnc_buf *b, const struct vnc_struct *t, const void *s, uint32_t tag,
		       bool is_partial)
{
	if (t->is_union) {
		const struct vnc_field *f = vnc_selected(t, tag);

		assert(f);
		vnc_put32(b, tag);
		put_field(b, t->fields, f, s, is_partial);
		return;
	}
	if (t->stype != VK_STRUCTURE_TYPE_MAX_ENUM) {
		const VkBaseInStructure *in = s;

		assert(in->sType == t->stype);
		vnc_put32(b, (uint32_t)in->sType);
		put_chain(b, in->pNext, is_partial);
	}
	put_fields(b, t->fields, t->fields_count, s, is_partial);
}

/* @n elements at @p; @is_partial: they are the driver's to fill. */
static void put_elements(struct vnc_buf *b, const struct vnc_field *f, const void *p, uint64_t n,
			 uint32_t tag, bool is_partial)
{
	switch (f->elem) {
	case VNC_BLOB:
	case VNC_SCALAR:
		if (!is_partial)
			vnc_put(b, p, n * stride(f));
		break;
	case VNC_HANDLE:
		vnc_put(b, p, n * 8);
		break;
	case VNC_STRUCT:
		for (uint64_t i = 0; i < n; i++)
			put_struct(b, f->type, at(p, i * f->type->size), tag, is_partial);
		break;
	}
}

static void put_string(struct vnc_buf *b, const char *s)
{
	size_t n = s ? strlen(s) + 1 : 0;

	vnc_put64(b, n);
	vnc_put(b, s, n);
}

static uint32_t tag_of(const struct vnc_field *fields, const struct vnc_field *f, const void *base)
{
	if (f->elem != VNC_STRUCT || !f->type->is_union)
		return 0;
	if (f->selector < 0)
		return vnc_default_tag(f->type);
	return (uint32_t)vnc_load(at(base, fields[f->selector].offset), 4);
}

static void put_field(struct vnc_buf *b, const struct vnc_field *fields, const struct vnc_field *f,
		      const void *base, bool is_partial)
{
	const void *here = at(base, f->offset);
	const void *p = vnc_is_inline(f) ? here : load_ptr(here);
	uint64_t n;

	switch (f->form) {
	case VNC_VALUE:
		if (f->elem != VNC_SCALAR) {
			put_elements(b, f, p, 1, tag_of(fields, f, base), is_partial);
		} else if (!is_partial || f->is_length) {
			uint64_t v = vnc_load(p, f->size);

			vnc_put(b, &v, f->size < 4 ? 4 : f->size);
		}
		break;
	case VNC_FIXED:
		if (is_partial && f->elem == VNC_SCALAR)
			break;
		vnc_put64(b, f->count);
		put_elements(b, f, p, f->count, 0, is_partial);
		break;
	case VNC_STRING:
		put_string(b, p);
		break;
	case VNC_STRINGS:
		n = p ? vnc_length(f, fields, base) : 0;
		vnc_put64(b, n);
		for (uint64_t i = 0; i < n; i++)
			put_string(b, ((const char *const *)p)[i]);
		break;
	case VNC_ARRAY:
		n = p ? vnc_length(f, fields, base) : 0;
		vnc_put64(b, n);
		put_elements(b, f, p, n, 0, is_partial);
		break;
	case VNC_SINGLE:
		vnc_put64(b, p != NULL);
		if (p)
			put_elements(b, f, p, 1, 0, is_partial);
		break;
	case VNC_SINGLES:
		n = p ? vnc_length(f, fields, base) : 0;
		vnc_put64(b, n);
		for (uint64_t i = 0; i < n; i++) {
			vnc_put64(b, 1);
			put_elements(b, f, ((const void *const *)p)[i], 1, 0, is_partial);
		}
		break;
	case VNC_ARRAYS:
		n = p ? vnc_length(f, fields, base) : 0;
		vnc_put64(b, n);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t m = length2(f, fields, base, i);

			vnc_put64(b, m);
			put_elements(b, f, ((const void *const *)p)[i], m, 0, is_partial);
		}
		break;
	case VNC_NEVER:
		vnc_put64(b, 0);
		break;
	}
}

static void put_fields(struct vnc_buf *b, const struct vnc_field *fields, unsigned n,
		       const void *base, bool is_partial)
{
	for (unsigned i = 0; i < n; i++)
		put_field(b, fields, &fields[i], base, is_partial);
}

void vnc_request(struct vnc_buf *b, const struct vnc_cmd *cmd, const uint64_t *slots,
		 bool wants_reply)
{
	vnc_put32(b, (uint32_t)cmd->number);
	vnc_put32(b, wants_reply);
	for (unsigned i = 0; i < cmd->fields_count; i++) {
		const struct vnc_field *f = &cmd->fields[i];

		put_field(b, cmd->fields, f, slots, f->dir == VNC_OUT);
	}
}

static void get_fields(struct vnc_view *v, const struct vnc_field *fields, unsigned n, void *base);

static void get_chain(struct vnc_view *v, VkBaseOutStructure *s)
{
	if (get64(v) != (s != NULL)) {
		v->failed = true;
		return;
	}
	if (!s)
		return;
	if (get32(v) != (uint32_t)s->sType) {
		v->failed = true;
		return;
	}

	const struct vnc_struct *t = vnc_struct_of(s->sType);

	assert(t);
	get_chain(v, s->pNext);
	get_fields(v, t->fields, t->fields_count, s);
}

static void get_struct(struct vnc_view *v, const struct vnc_struct *t, void *s)
{
	if (t->stype != VK_STRUCTURE_TYPE_MAX_ENUM) {
		VkBaseOutStructure *o = s;

		if (get32(v) != (uint32_t)t->stype) {
			v->failed = true;
			return;
		}
		get_chain(v, o->pNext);
	}
	get_fields(v, t->fields, t->fields_count, s);
}

static void get_elements(struct vnc_view *v, const struct vnc_field *f, void *p, uint64_t n)
{
	if (f->elem != VNC_STRUCT) {
		get(v, p, n * stride(f));
		return;
	}
	for (uint64_t i = 0; i < n && !v->failed; i++)
		get_struct(v, f->type, (uint8_t *)p + i * f->type->size);
}

/* @room: elements that the caller's array holds */
static void get_field(struct vnc_view *v, const struct vnc_field *fields, const struct vnc_field *f,
		      void *base, uint64_t room)
{
	void *here = (uint8_t *)base + f->offset;
	void *p = vnc_is_inline(f) ? here : load_ptr(here);
	uint64_t n, want;

	switch (f->form) {
	case VNC_VALUE:
		if (f->elem == VNC_SCALAR && f->size < 4)
			vnc_store(p, f->size, get32(v));
		else
			get_elements(v, f, p, 1);
		break;
	case VNC_FIXED:
		if (get64(v) != f->count)
			v->failed = true;
		else
			get_elements(v, f, p, f->count);
		break;
	case VNC_ARRAY:
		want = p ? vnc_length(f, fields, base) : 0;
		n = get64(v);
		if (n != want || n > room)
			v->failed = true;
		else if (n > 0)
			get_elements(v, f, p, n);
		break;
	case VNC_SINGLE:
		if (get64(v) != (p != NULL))
			v->failed = true;
		else if (p)
			get_elements(v, f, p, 1);
		break;
	case VNC_STRING:
	case VNC_STRINGS:
	case VNC_SINGLES:
	case VNC_ARRAYS:
	case VNC_NEVER:
		v->failed = true; /* none of these is ever returned */
		break;
	}
}

static void get_fields(struct vnc_view *v, const struct vnc_field *fields, unsigned n, void *base)
{
	uint64_t room[VNC_FIELDS_MAX];

	assert(n <= VNC_FIELDS_MAX);
	for (unsigned i = 0; i < n; i++)
		room[i] = vnc_length(&fields[i], fields, base);
	for (unsigned i = 0; i < n && !v->failed; i++)
		get_field(v, fields, &fields[i], base, room[i]);
}

uint64_t vnc_reply(struct vnc_view *v, const struct vnc_cmd *cmd, const uint64_t *slots)
{
	uint64_t copy[VNC_PARAMS_MAX], room[VNC_PARAMS_MAX];
	uint64_t ret = 0;

	memcpy(copy, slots, cmd->fields_count * sizeof(*slots));
	if ((int32_t)get32(v) != cmd->number)
		v->failed = true;
	if (cmd->ret > 0)
		get(v, &ret, cmd->ret);
	for (unsigned i = 0; i < cmd->fields_count; i++)
		room[i] = vnc_length(&cmd->fields[i], cmd->fields, copy);
	for (unsigned i = 0; i < cmd->fields_count && !v->failed; i++) {
		if (cmd->fields[i].dir != VNC_IN)
			get_field(v, cmd->fields, &cmd->fields[i], copy, room[i]);
	}
	return ret;
}

size_t vnc_reply_size(const struct vnc_cmd *cmd, const uint64_t *slots)
{
	struct vnc_buf b = { 0 };

	vnc_put32(&b, 0);
	vnc_put(&b, &(uint64_t){ 0 }, cmd->ret);
	for (unsigned i = 0; i < cmd->fields_count; i++) {
		if (cmd->fields[i].dir != VNC_IN)
			put_field(&b, cmd->fields, &cmd->fields[i], slots, false);
	}

	size_t size = b.size;

	vnc_buf_fini(&b);
	return size;
}
