/* SPDX-License-Identifier: Apache-2.0 */
/* The capability set (venus.md 6): what a guest's driver learns before it sends anything. */
#include <string.h>

#include "util/bytes.h"
#include "venus/core.h"

/* Offsets in bytes. */
enum {
	WIRE_FORMAT_VERSION = 0,
	VK_XML_VERSION = 4,
	SERIALIZATION_SPEC_VERSION = 8,
	PROTOCOL_SPEC_VERSION = 12,
	SUPPORTS_BLOB_ID_0 = 16,
	EXTENSION_MASK = 20,
	ALLOW_VK_WAIT_SYNCS = 148,
	SUPPORTS_MULTIPLE_TIMELINES = 152,
	USE_GUEST_VRAM = 156,
};

#define XML_VERSION VK_MAKE_API_VERSION(0, 1, 4, 343)
#define MASK_WORDS  32U

static void put_le32(uint8_t *p, uint32_t v)
{
	struct wr w = wr_init(p, 4);

	wr_le32(&w, v);
}

void venus_capset_fill(uint8_t out[VENUS_CAPSET_SIZE])
{
	uint32_t mask[MASK_WORDS] = { 1 }; /* bit 0 of word 0: the mask is valid */

	memset(out, 0, VENUS_CAPSET_SIZE);
	for (unsigned i = 0; i < venus_ext_count; i++) {
		uint32_t n = venus_exts[i].number;

		if (n / 32 < MASK_WORDS)
			mask[n / 32] |= UINT32_C(1) << (n % 32);
		if (n == VENUS_EXT_SERIALIZATION)
			put_le32(out + SERIALIZATION_SPEC_VERSION, venus_exts[i].spec_version);
		else if (n == VENUS_EXT_PROTOCOL)
			put_le32(out + PROTOCOL_SPEC_VERSION, venus_exts[i].spec_version);
	}
	put_le32(out + WIRE_FORMAT_VERSION, 1);
	put_le32(out + VK_XML_VERSION, XML_VERSION);
	put_le32(out + SUPPORTS_BLOB_ID_0, 1);
	for (unsigned i = 0; i < MASK_WORDS; i++)
		put_le32(out + EXTENSION_MASK + (size_t)4 * i, mask[i]);
	put_le32(out + ALLOW_VK_WAIT_SYNCS, 1);
	put_le32(out + SUPPORTS_MULTIPLE_TIMELINES, 1);
	put_le32(out + USE_GUEST_VRAM, 0);
}
