/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pNext chains.  They travel nested: the sTypes of all nodes first, outermost in front, then the
 * nodes' members, innermost first.  Generated tables say which nodes a root may have; the walk
 * itself is here, once, and takes no recursion however long the chain is.
 */
#ifndef PECTEN_VENUS_PNEXT_H
#define PECTEN_VENUS_PNEXT_H

#include "venus/dec.h"
#include "venus/enc.h"

/* A struct that may be part of a chain, and its members' functions, NULL where never needed. */
struct venus_node {
	VkStructureType stype;
	uint32_t size;
	bool may_repeat; /* Vulkan allows several of it in one chain */
	const char *name;
	void (*dec)(struct venus_dec *d, void *to);
	void (*dec_partial)(struct venus_dec *d, void *to);
	void (*enc)(struct venus_enc *e, const void *from);
};

/* All nodes by ascending sType (generated). */
extern const struct venus_node venus_nodes[];
extern const unsigned venus_node_count;

#define VENUS_NODES_MAX 1024 /* upper bound of venus_node_count */

/* A struct that a chain hangs on, and the nodes it may have: ascending indices of venus_nodes. */
struct venus_root {
	const char *name;
	const uint16_t *nodes;
	uint16_t count;
};

/**
 * venus_dec_chain() - the rest of a chain of which the first marker said that a node follows
 * @is_partial:	the root is an out parameter: only what the driver needs to know is sent
 *
 * Refuses nodes that the root does not allow, nodes that come twice, and chains that are longer
 * than VENUS_CHAIN_MAX.
 *
 * Return: the first node, in the arena; NULL with d->failed
 */
void *venus_dec_chain(struct venus_dec *d, const struct venus_root *root, bool is_partial);

/* The marker in front of a chain, and the chain. */
static inline void *venus_dec_next(struct venus_dec *d, const struct venus_root *root,
				   bool is_partial)
{
	return venus_dec_present(d) ? venus_dec_chain(d, root, is_partial) : NULL;
}

/* A pointer that can only be NULL: an allocator, an address, the chain of a struct without any. */
static inline void venus_dec_null(struct venus_dec *d)
{
	if (unlikely(venus_dec_present(d)))
		venus_dec_fatal(d, "has a pointer where only NULL can be sent");
}

/**
 * venus_enc_chain() - a whole chain with its markers, for a reply
 * @next:	first node or NULL; nodes as venus_dec_chain() made them
 *
 * Sets e->failed for a node that cannot be returned.
 */
void venus_enc_chain(struct venus_enc *e, const void *next);

#endif
