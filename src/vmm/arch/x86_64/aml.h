/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI machine language, as far as a table of virtio devices needs it (ACPI 6.4, chapter 20).
 * A writer that runs out of room drops bytes and remembers.
 */
#ifndef PECTEN_VMM_X86_64_AML_H
#define PECTEN_VMM_X86_64_AML_H

#include <stdbool.h>
#include <stdint.h>

struct aml {
	uint8_t *buf;
	uint32_t cap;
	uint32_t len; /* bytes written */
	bool is_full;
};

void aml_bytes(struct aml *a, const void *p, uint32_t len);
void aml_u8(struct aml *a, uint8_t v);
void aml_u32(struct aml *a, uint32_t v);

/* A name of one segment: up to four characters, padded with '_'. */
void aml_name(struct aml *a, const char *name);

/* An integer constant in its shortest form. */
void aml_int(struct aml *a, uint32_t v);
void aml_string(struct aml *a, const char *s);

/*
 * Things with a length, opened and closed like brackets: aml_open() returns what aml_close() needs.
 * @op is one or two bytes, 0x5bXX for the extended ones.
 */
uint32_t aml_open(struct aml *a, uint16_t op);
void aml_close(struct aml *a, uint32_t at);

#define AML_NAME    0x08
#define AML_SCOPE   0x10
#define AML_BUFFER  0x11
#define AML_PACKAGE 0x12
#define AML_DEVICE  0x5b82

#endif
