/* SPDX-License-Identifier: Apache-2.0 */
/* Claims and answers: see budget.h. */
#include "render/budget.h"

#include <errno.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "util/log.h"

enum claim_type { CLAIM_MORE = 1, CLAIM_LESS };

struct claim {
	uint32_t type;
	uint32_t pad;
	uint64_t bytes;
};

struct answer {
	int32_t code; /* 0 or -errno */
	uint32_t pad;
	uint64_t spare; /* bytes given beside those asked for */
};

/* While less than half is claimed there is plenty; then it is not to be missed by others. */
static uint64_t in_advance(const struct budget *b)
{
	const uint64_t part = b->limit / BUDGET_SPARE_PART;

	if (b->claimed > b->limit / 2)
		return 0;
	return part < BUDGET_SPARE_MAX ? part : BUDGET_SPARE_MAX;
}

static int claim(struct budget_account *a, uint64_t bytes, uint64_t *spare)
{
	struct budget *b = a->budget;

	if (bytes > b->limit - b->claimed) {
		log_guest(GPU,
			  "a program asks for %ju bytes of GPU memory, and all together have %ju "
			  "of the %ju allowed (--gpu-memory)",
			  (uintmax_t)bytes, (uintmax_t)b->claimed, (uintmax_t)b->limit);
		return -ENOMEM;
	}
	a->claimed += bytes;
	b->claimed += bytes;
	*spare = in_advance(b);
	a->claimed += *spare;
	b->claimed += *spare;
	return 0;
}

int budget_serve(struct budget_account *a, int sock)
{
	struct answer answer = { 0 };
	unsigned none = 0;
	struct claim c;
	ssize_t n = fd_recv(sock, &c, sizeof(c), NULL, &none);

	if (n == 0 || n == -ECONNRESET)
		return -ENODATA;
	if (n < 0)
		return (int)n;
	if ((size_t)n != sizeof(c))
		return -EPROTO;
	switch (c.type) {
	case CLAIM_MORE:
		answer.code = claim(a, c.bytes, &answer.spare);
		return send(sock, &answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT) ==
				       (ssize_t)sizeof(answer)
			       ? 0
			       : -EPROTO;
	case CLAIM_LESS:
		if (c.bytes > a->claimed)
			return -EPROTO;
		a->claimed -= c.bytes;
		a->budget->claimed -= c.bytes;
		return 0;
	default:
		return -EPROTO;
	}
}

void budget_close(struct budget_account *a)
{
	if (a->budget)
		a->budget->claimed -= a->claimed;
	a->claimed = 0;
}

/* Asks for @bytes.  Return: 0 or -ENOMEM */
static int ask(struct budget_client *c, uint64_t bytes) REQUIRES(&c->lock)
{
	const struct claim more = { .type = CLAIM_MORE, .bytes = bytes };
	struct answer answer = { .code = -ENOMEM };
	unsigned none = 0;

	if (fd_send(c->sock, &more, sizeof(more), NULL, 0) < 0 ||
	    fd_recv(c->sock, &answer, sizeof(answer), NULL, &none) != (ssize_t)sizeof(answer) ||
	    answer.code != 0)
		return -ENOMEM;
	c->keep = answer.spare;
	c->spare += bytes + answer.spare;
	return 0;
}

int budget_claim(struct budget_client *c, uint64_t bytes)
{
	int r = 0;

	mutex_lock(&c->lock);
	if (bytes > c->spare)
		r = ask(c, bytes - c->spare);
	if (r == 0)
		c->spare -= bytes;
	mutex_unlock(&c->lock);
	return r;
}

void budget_return(struct budget_client *c, uint64_t bytes)
{
	struct claim less = { .type = CLAIM_LESS };

	mutex_lock(&c->lock);
	c->spare += bytes;
	if (c->spare > c->keep) {
		less.bytes = c->spare - c->keep;
		c->spare = c->keep;
	}
	if (less.bytes && fd_send(c->sock, &less, sizeof(less), NULL, 0) < 0)
		log_debug(GPU, "nobody takes back %ju bytes", (uintmax_t)less.bytes);
	mutex_unlock(&c->lock);
}
