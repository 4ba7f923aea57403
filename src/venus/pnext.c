/* SPDX-License-Identifier: Apache-2.0 */
/* Walks pNext chains of requests and replies. */
#include "venus/pnext.h"

/*
 * Members follow in the opposite order of the sTypes, so each node keeps the way back in front of
 * its struct.  16 bytes, as the struct must stay aligned.
 */
struct link {
	struct link *outer;
	const struct venus_node *node;
};

_Static_assert(sizeof(struct link) % 16 == 0, "the struct behind a link must stay aligned");

static const struct venus_node *find(const struct venus_root *root, int32_t stype)
{
	unsigned lo = 0, hi = root->count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct venus_node *n = &venus_nodes[root->nodes[mid]];

		if ((int32_t)n->stype == stype)
			return n;
		if ((int32_t)n->stype < stype)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void *venus_dec_chain(struct venus_dec *d, const struct venus_root *root, bool is_partial)
{
	uint64_t seen[VENUS_NODES_MAX / 64] = { 0 };
	VkBaseOutStructure *first = NULL, *last = NULL;
	struct link *l = NULL;

	d->chain = 0;
	do {
		int32_t stype = venus_dec_i32(d);
		const struct venus_node *n = find(root, stype);

		if (!venus_dec_chain_node(d))
			return NULL;
		if (unlikely(!n)) {
			venus_dec_fatal(d, "has a struct of sType %d in the chain of %s", stype,
					root->name);
			return NULL;
		}

		size_t i = (size_t)(n - venus_nodes);
		if (unlikely(seen[i / 64] & UINT64_C(1) << i % 64 && !n->may_repeat)) {
			venus_dec_fatal(d, "has two %s in one chain", n->name);
			return NULL;
		}
		seen[i / 64] |= UINT64_C(1) << i % 64;

		struct link *inner = venus_dec_alloc(d, 1, sizeof(*inner) + n->size);
		if (!inner)
			return NULL;
		inner->outer = l;
		inner->node = n;
		l = inner;

		VkBaseOutStructure *s = (void *)(inner + 1);
		s->sType = n->stype;
		if (last)
			last->pNext = s;
		else
			first = s;
		last = s;
	} while (venus_dec_present(d));

	for (; l && !d->failed; l = l->outer)
		(is_partial ? l->node->dec_partial : l->node->dec)(d, l + 1);
	return d->failed ? NULL : first;
}

static const struct venus_node *find_any(VkStructureType stype)
{
	unsigned lo = 0, hi = venus_node_count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (venus_nodes[mid].stype == stype)
			return &venus_nodes[mid];
		if ((int32_t)venus_nodes[mid].stype < (int32_t)stype)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void venus_enc_chain(struct venus_enc *e, const void *next)
{
	const VkBaseInStructure *s[VENUS_CHAIN_MAX];
	unsigned n = 0;

	for (const VkBaseInStructure *p = next; p; p = p->pNext) {
		if (n == VENUS_CHAIN_MAX) {
			e->failed = true;
			return;
		}
		s[n++] = p;
		venus_enc_marker(e, true);
		venus_enc_i32(e, (int32_t)p->sType);
	}
	venus_enc_marker(e, false);
	while (n > 0) {
		const struct venus_node *node = find_any(s[--n]->sType);

		if (!node || !node->enc) {
			e->failed = true;
			return;
		}
		node->enc(e, s[n]);
	}
}
