/* SPDX-License-Identifier: Apache-2.0 */
/* Valid commands made by gen/fuzz_seeds.py; they name what guest_prologue() makes. */
#ifndef PECTEN_FUZZ_SEEDS_H
#define PECTEN_FUZZ_SEEDS_H

#include <stddef.h>
#include <stdint.h>

#define SEED_CTX  1 /* may come on the context level */
#define SEED_RING 2 /* may come on a ring */

struct seed {
	const char *name;
	uint16_t number;
	uint8_t levels;
	const uint8_t *bytes;
	size_t len;
};

extern const struct seed seeds[];
extern const size_t seeds_count;

/* Every sType that may travel. */
extern const uint32_t seed_stypes[];
extern const size_t seed_stypes_count;

#endif
