/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's side of Venus, for tests that speak it without Mesa.
 *
 * Where the renderer's code is generated function by function, this side is an interpreter of
 * generated tables.  The two share no code but the description of Vulkan's structs, so that a
 * mistake in one does not hide in the other.
 *
 * A command's parameters are an array of 8-byte slots in C's order, allocators included: scalars in
 * the low bytes, pointers, and object ids where Vulkan has handles.  vnc_calls.h (generated) wraps
 * each command in a function of the right type.
 */
#ifndef PECTEN_TESTS_CLIENT_VNC_H
#define PECTEN_TESTS_CLIENT_VNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vulkan/vulkan_core.h>

#define VNC_PARAMS_MAX 16
#define VNC_FIELDS_MAX 160 /* of one struct */

enum vnc_form {
	VNC_VALUE,
	VNC_FIXED,
	VNC_STRING,
	VNC_STRINGS,
	VNC_ARRAY,
	VNC_SINGLE,
	VNC_SINGLES,
	VNC_ARRAYS,
	VNC_NEVER,
};

enum vnc_elem {
	VNC_SCALAR,
	VNC_HANDLE,
	VNC_STRUCT,
	VNC_BLOB,
};

enum vnc_dir {
	VNC_IN,
	VNC_OUT,
	VNC_INOUT,
};

/* How an array's length follows from another field. */
enum vnc_len {
	VNC_LEN_NONE,
	VNC_LEN_FIELD,   /* its value */
	VNC_LEN_DEREF,   /* what it points to */
	VNC_LEN_MEMBER,  /* a member of the struct that it points to */
	VNC_LEN_DIV4,    /* a quarter of it */
	VNC_LEN_ROUND32, /* bits, in words */
	VNC_LEN_CONST,
};

struct vnc_struct;

/* Member or parameter, in the order of the wire. */
struct vnc_field {
	const char *name;
	enum vnc_form form;
	enum vnc_elem elem;
	enum vnc_dir dir; /* of parameters */
	bool null_ok;
	bool is_length;
	bool by_pointer; /* a parameter that is a fixed array: its slot points to it */
	uint8_t size;    /* of a scalar in memory */
	uint16_t offset; /* in its struct, or of its slot */
	uint32_t count;  /* of a fixed array */
	enum vnc_len len;
	uint16_t len_field;  /* index; or the value of VNC_LEN_CONST */
	uint16_t len_offset; /* VNC_LEN_MEMBER: where in the struct */
	uint16_t len2_field; /* arrays of arrays: pInfos; len_offset is in its elements */
	int16_t selector;    /* index of the field that selects a union's member, or -1 */
	VkObjectType objtype;
	const struct vnc_struct *type;
	const int32_t *tags; /* in a union: what selects it */
	uint16_t tags_count;
};

struct vnc_struct {
	const char *name;
	size_t size;
	VkStructureType stype; /* VK_STRUCTURE_TYPE_MAX_ENUM if it has none */
	bool is_union;
	uint16_t fields_count;
	const struct vnc_field *fields;
	uint16_t nodes_count;
	const struct vnc_struct *const *nodes; /* that may be chained to it */
};

struct vnc_cmd {
	const char *name;
	int32_t number;
	uint8_t ret; /* bytes of the result on the wire; 0: none */
	uint16_t fields_count;
	const struct vnc_field *fields;
};

extern const struct vnc_cmd vnc_cmds[];
extern const unsigned vnc_cmd_count;
extern const struct vnc_struct *const vnc_structs[];
extern const unsigned vnc_struct_count;

/* Bytes to send.  Grows; free with vnc_buf_fini(). */
struct vnc_buf {
	uint8_t *data;
	size_t size;
	size_t room;
};

void vnc_buf_fini(struct vnc_buf *b);
void vnc_put(struct vnc_buf *b, const void *from, size_t size);
void vnc_put32(struct vnc_buf *b, uint32_t v);
void vnc_put64(struct vnc_buf *b, uint64_t v);

/* Bytes received. */
struct vnc_view {
	const uint8_t *p;
	const uint8_t *end;
	bool failed;
};

const struct vnc_cmd *vnc_cmd_of(int32_t number);
const struct vnc_struct *vnc_struct_of(VkStructureType stype);

/* Elements that an array should have by its length field; @base: struct or slots. */
uint64_t vnc_length(const struct vnc_field *f, const struct vnc_field *fields, const void *base);

/* Field of a union that @tag selects, or NULL; unions without a selector have one that we send. */
const struct vnc_field *vnc_selected(const struct vnc_struct *u, uint32_t tag);
uint32_t vnc_default_tag(const struct vnc_struct *u);

/* Whether a field is in its struct, not pointed to. */
static inline bool vnc_is_inline(const struct vnc_field *f)
{
	return f->form == VNC_VALUE || (f->form == VNC_FIXED && !f->by_pointer);
}

/* A scalar of 1, 2, 4 or 8 bytes in memory. */
uint64_t vnc_load(const void *at, size_t size);
void vnc_store(void *at, size_t size, uint64_t v);

/**
 * vnc_request() - append a command to a buffer
 * @slots:	parameters; outs point to storage of the caller, chains and lengths filled in
 */
void vnc_request(struct vnc_buf *b, const struct vnc_cmd *cmd, const uint64_t *slots,
		 bool wants_reply);

/**
 * vnc_reply() - read the reply to a command into what its out parameters point to
 *
 * Anything but the very structs that were asked for sets v->failed.
 *
 * Return: the command's result; 0 if it has none
 */
uint64_t vnc_reply(struct vnc_view *v, const struct vnc_cmd *cmd, const uint64_t *slots);

/* Bytes that the reply takes if every array comes back as long as it was asked for. */
size_t vnc_reply_size(const struct vnc_cmd *cmd, const uint64_t *slots);

#endif
