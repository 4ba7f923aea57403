/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's set-up as the host describes it: see boot.h; root.c carries it out. */
#include "guest/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest/spec.h"

void boot_init(struct boot *b)
{
	*b = (struct boot){ .overlay = -1 };
}

void boot_fini(struct boot *b)
{
	free(b->root);
	free(b->hostname);
	free(b->resolv);
	for (unsigned i = 0; i < b->nshares; i++) {
		free(b->shares[i].source);
		free(b->shares[i].target);
		if (b->shares[i].fd >= 0)
			(void)close(b->shares[i].fd);
	}
	if (b->overlay >= 0)
		(void)close(b->overlay);
	boot_init(b);
}

static int take_share(struct boot *b, const struct agent_msg *m)
{
	if (b->nshares == AGENT_SHARES_MAX)
		return -E2BIG;
	if (m->str[1][0] != '/')
		return -EPROTO;

	struct boot_share *s = &b->shares[b->nshares];

	*s = (struct boot_share){ .is_ro = m->num[0] & AGENT_SHARE_RO, .fd = -1 };
	b->nshares++; /* from here on boot_fini() frees it */
	if (spec_set(&s->source, m->str[0]) < 0)
		return -ENOMEM;
	return spec_set(&s->target, m->str[1]);
}

int boot_take(struct boot *b, const struct agent_msg *m)
{
	switch (m->type) {
	case AGENT_ROOT:
		b->is_rw = m->num[0] & AGENT_ROOT_RW;
		b->overlay_mib = m->num[1];
		return spec_set(&b->root, m->str[0]);
	case AGENT_SHARE:
		return take_share(b, m);
	case AGENT_HOSTNAME:
		return spec_set(&b->hostname, m->str[0]);
	case AGENT_NET:
		if (m->num[0] > UINT32_MAX || m->num[1] > 32 || m->num[2] > UINT32_MAX ||
		    m->num[3] > 65535)
			return -EPROTO;
		b->has_net = true;
		b->addr = (uint32_t)m->num[0];
		b->prefix = (unsigned)m->num[1];
		b->gateway = (uint32_t)m->num[2];
		b->mtu = (unsigned)m->num[3];
		return m->str[0][0] ? spec_set(&b->resolv, m->str[0]) : 0;
	default:
		return -EPROTO;
	}
}
