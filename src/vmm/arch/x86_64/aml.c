/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI machine language: see aml.h. */
#include "vmm/arch/x86_64/aml.h"

#include <string.h>

#define AML_BYTE   0x0a
#define AML_WORD   0x0b
#define AML_DWORD  0x0c
#define AML_STRING 0x0d
#define AML_EXT    0x5b

#define PKG_LENGTH 4 /* bytes of the longest form, which we always use */

void aml_bytes(struct aml *a, const void *p, uint32_t len)
{
	if (len > a->cap - a->len) {
		a->is_full = true;
		return;
	}
	memcpy(a->buf + a->len, p, len);
	a->len += len;
}

void aml_u8(struct aml *a, uint8_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

void aml_u32(struct aml *a, uint32_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

void aml_name(struct aml *a, const char *name)
{
	char seg[4] = { '_', '_', '_', '_' };

	memcpy(seg, name, strnlen(name, sizeof(seg)));
	aml_bytes(a, seg, sizeof(seg));
}

void aml_int(struct aml *a, uint32_t v)
{
	if (v < 2) {
		aml_u8(a, (uint8_t)v); /* ZeroOp, OneOp */
	} else if (v <= 0xff) {
		aml_u8(a, AML_BYTE);
		aml_u8(a, (uint8_t)v);
	} else if (v <= 0xffff) {
		aml_u8(a, AML_WORD);
		aml_bytes(a, &v, 2);
	} else {
		aml_u8(a, AML_DWORD);
		aml_u32(a, v);
	}
}

void aml_string(struct aml *a, const char *s)
{
	aml_u8(a, AML_STRING);
	aml_bytes(a, s, (uint32_t)strlen(s) + 1);
}

uint32_t aml_open(struct aml *a, uint16_t op)
{
	const uint8_t room[PKG_LENGTH] = { 0 };

	if (op >> 8)
		aml_u8(a, AML_EXT);
	aml_u8(a, (uint8_t)op);
	uint32_t at = a->len;
	aml_bytes(a, room, sizeof(room));
	return at;
}

/* 20.2.4: the length counts itself; low nibble first, then whole bytes; how many more in bits 7:6.
 */
void aml_close(struct aml *a, uint32_t at)
{
	if (a->is_full)
		return;

	uint32_t len = a->len - at;
	a->buf[at] = (uint8_t)((PKG_LENGTH - 1) << 6 | (len & 0xf));
	for (unsigned i = 1; i < PKG_LENGTH; i++)
		a->buf[at + i] = (uint8_t)(len >> (4 + 8 * (i - 1)));
}
