/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One budget of memory for several renderers.  Their owner keeps the books; each renderer has a
 * socket of its own to it (SOCK_SEQPACKET), over which it claims memory before it allocates, and
 * returns what it has freed.  So the books survive whatever happens to a renderer: one that dies
 * returns all, and one that its client has taken over can claim what is left, but neither spend
 * what others have nor return more than its own.
 */
#ifndef PECTEN_RENDER_BUDGET_H
#define PECTEN_RENDER_BUDGET_H

#include <stdint.h>

#include "host/thread.h"
#include "util/compiler.h"

/*
 * The owner's side: one thread.
 */

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
};

/**
 * budget_claim() - ask for memory, and wait for the answer
 *
 * Return: 0, or -ENOMEM if there is not as much, or nobody who answers
 */
int budget_claim(struct budget_client *c, uint64_t bytes) MUST_CHECK;

/* Gives back as much, or part, of what was claimed; does not wait. */
void budget_return(struct budget_client *c, uint64_t bytes);

#endif
