/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes up valid contents for any command or struct, and compares what came out at the other end.
 */
#ifndef PECTEN_TESTS_CLIENT_FILL_H
#define PECTEN_TESTS_CLIENT_FILL_H

#include "client/vnc.h"

/* Host handle of an id in tests: never equal to it, and different for every id. */
static inline uint64_t vnc_host(uint64_t id)
{
	return id ? id + UINT64_C(0x7e57000000000) : 0;
}

struct vnc_fill {
	uint64_t seed;
	uint8_t *mem; /* arena of the caller */
	size_t size;
	size_t used;
	/* An id of that type which the table of the test knows. */
	uint64_t (*id)(struct vnc_fill *f, VkObjectType type);
	unsigned depth;
};

uint64_t vnc_random(struct vnc_fill *f);
void *vnc_fill_alloc(struct vnc_fill *f, size_t size);

/* Parameters for a command as an app would pass them: outs get storage and chains only. */
void vnc_fill_params(struct vnc_fill *f, const struct vnc_cmd *cmd, uint64_t *slots);

/* A struct that stands alone, chain included. */
void vnc_fill_struct(struct vnc_fill *f, const struct vnc_struct *t, void *s);

/* Fills outs as a driver would: keeps chains, returns at most as much as was asked for. */
void vnc_fill_outs(struct vnc_fill *f, const struct vnc_cmd *cmd, const uint64_t *slots);

struct vnc_same {
	bool is_host;    /* handles of the second one are the host's of the first one's ids */
	char where[256]; /* names of the members that differ */
};

/* Whether in (in/out) parameters arrived. */
bool vnc_same_ins(struct vnc_same *c, const struct vnc_cmd *cmd, const uint64_t *a,
		  const uint64_t *b);

/* Whether out (in/out) parameters came back. */
bool vnc_same_outs(struct vnc_same *c, const struct vnc_cmd *cmd, const uint64_t *a,
		   const uint64_t *b);

/* Whether two structs are the same, chains included. */
bool vnc_same_struct(struct vnc_same *c, const struct vnc_struct *t, const void *a, const void *b);

#endif
