/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One budget of memory for several renderers.  Their owner keeps the books; each renderer has a
 * socket of its own to it (SOCK_SEQPACKET), over which it claims memory before it allocates, and
 * returns what it has freed.  So the books survive whatever happens to a renderer: one that dies
 * returns all, and one that its client has taken over can claim what is left, but neither spend
 * what others have nor return more than its own.
 *
 * A question and its answer cost more than a small allocation does.  So as long as there is plenty,
 * a renderer gets a little more than it asks for, and asks again when that is used up.  What lies
 * idle this way is at most BUDGET_SPARE_PART of the limit for each renderer.
 */
#ifndef PECTEN_RENDER_BUDGET_H
#define PECTEN_RENDER_BUDGET_H

#include <stdint.h>

#include "host/thread.h"
#include "util/compiler.h"

/*
 * The owner's side: one thread.
 */

/* What a renderer may have in advance: so much, and no more than this part of the limit. */
#define BUDGET_SPARE_MAX  (UINT64_C(4) << 20) /* bytes */
#define BUDGET_SPARE_PART 1024

struct budget {
	uint64_t limit;   /* bytes */
	uint64_t claimed; /* bytes, of all accounts */
};

struct budget_account {
	struct budget *budget;
	uint64_t claimed; /* bytes */
};

/**
 * budget_serve() - answer what a renderer has said
 * @a:		its account
 * @sock:	non-blocking, borrowed
 *
 * Return: 0; -EAGAIN if it has said nothing; -ENODATA if it has hung up; -EPROTO if it has said
 *	   what no sound renderer says, or does not read its answers: the socket is of no use then
 */
int budget_serve(struct budget_account *a, int sock) MUST_CHECK;

/* The renderer is gone: all that it has claimed is there for others. */
void budget_close(struct budget_account *a);

/*
 * The renderer's side: any thread.
 */

struct budget_client {
	struct mutex lock; /* around a claim and its answer */
	int sock;          /* blocking, borrowed */
	/* Under lock, zero at first: */
	uint64_t spare; /* bytes that are claimed and not used */
	uint64_t keep;  /* bytes that may be: what the owner has last given in advance */
};

/**
 * budget_claim() - take of what is there in advance, or ask for memory and wait for the answer
 *
 * Return: 0, or -ENOMEM if there is not as much, or nobody who answers
 */
int budget_claim(struct budget_client *c, uint64_t bytes) MUST_CHECK;

/* Gives back as much, or part, of what was claimed; does not wait for an answer. */
void budget_return(struct budget_client *c, uint64_t bytes);

#endif
