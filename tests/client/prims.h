/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's primitives, small and strict, for tests of generated code alone: one context that
 * knows every id from 1 to VNT_IDS_PER_TYPE of each type, and one device.
 */
#ifndef PECTEN_TESTS_CLIENT_PRIMS_H
#define PECTEN_TESTS_CLIENT_PRIMS_H

#include "venus/dev.h"

#define VNT_IDS_PER_TYPE 4

struct vnt_world {
	struct venus_dec dec;
	struct venus_vki vki;
	struct venus_device dev;
	struct venus_obj *objs;
	struct venus_obj spare; /* what a create command reserves */
	unsigned published;
	unsigned cancelled;
	uint64_t removed; /* id that a destroy command took out, or 0 */
	bool device_lost;
	uint8_t *reply;
	size_t reply_size; /* room */
	size_t replied;    /* bytes written */
	char why[256];     /* first breach */
};

void vnt_world_init(struct vnt_world *w);
void vnt_world_fini(struct vnt_world *w);

/* Starts over: no breach, empty arena, commands to be read from @data. */
void vnt_world_begin(struct vnt_world *w, const void *data, size_t size);

/* Id of the @n-th object of a type; 0 if there are none of that type. */
uint64_t vnt_id(VkObjectType type, unsigned n);

#endif
