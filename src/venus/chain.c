/* SPDX-License-Identifier: Apache-2.0 */
/* Walking and changing pNext chains of decoded structs. */
#include "venus/core.h"

void *venus_chain_find(const void *root, VkStructureType type)
{
	VkBaseOutStructure *n = ((const VkBaseOutStructure *)root)->pNext;

	while (n && n->sType != type)
		n = n->pNext;
	return n;
}

void venus_chain_drop(void *root, VkStructureType type)
{
	VkBaseOutStructure *n = root;

	while (n->pNext) {
		if (n->pNext->sType == type)
			n->pNext = n->pNext->pNext;
		else
			n = n->pNext;
	}
}

void venus_chain_push(void *root, void *node)
{
	VkBaseOutStructure *n = node;
	VkBaseOutStructure *r = root;

	n->pNext = r->pNext;
	r->pNext = n;
}
