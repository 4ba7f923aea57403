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
};

static int claim(struct budget_account *a, uint64_t bytes)
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
		answer.code = claim(a, c.bytes);
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

int budget_claim(struct budget_client *c, uint64_t bytes)
{
	const struct claim more = { .type = CLAIM_MORE, .bytes = bytes };
	struct answer answer = { .code = -ENOMEM };
	unsigned none = 0;

	mutex_lock(&c->lock);
	int r = fd_send(c->sock, &more, sizeof(more), NULL, 0);
	if (r == 0 &&
	    fd_recv(c->sock, &answer, sizeof(answer), NULL, &none) != (ssize_t)sizeof(answer))
		answer.code = -ENOMEM;
	mutex_unlock(&c->lock);
	return answer.code == 0 ? 0 : -ENOMEM;
}

void budget_return(struct budget_client *c, uint64_t bytes)
{
	const struct claim less = { .type = CLAIM_LESS, .bytes = bytes };

	if (fd_send(c->sock, &less, sizeof(less), NULL, 0) < 0)
		log_debug(GPU, "nobody takes back %ju bytes", (uintmax_t)bytes);
}
