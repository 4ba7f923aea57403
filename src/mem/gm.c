/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory map: see gm.h. */
#include "mem/gm.h"

#include <errno.h>
#include <string.h>

#include "util/ckd.h"

static bool continues(const struct gm_region *a, const struct gm_region *b)
{
	return a->gpa + a->len == b->gpa && a->host + a->len == b->host;
}

/* The caller has merged r[at + 1] into r[at]. */
static void drop_next(struct gm *gm, unsigned at)
{
	gm->n--;
	memmove(&gm->r[at + 1], &gm->r[at + 2], (gm->n - at - 1) * sizeof(gm->r[0]));
}

int gm_add(struct gm *gm, uint64_t gpa, void *host, uint64_t len)
{
	struct gm_region add = { .gpa = gpa, .len = len, .host = host };
	uint64_t end;
	unsigned at = 0;

	if (len == 0 || ckd_add(&end, gpa, len))
		return -EINVAL;
	while (at < gm->n && gm->r[at].gpa < gpa)
		at++;
	if ((at > 0 && gm->r[at - 1].gpa + gm->r[at - 1].len > gpa) ||
	    (at < gm->n && gm->r[at].gpa < end))
		return -EINVAL;

	if (at > 0 && continues(&gm->r[at - 1], &add)) {
		gm->r[at - 1].len += len;
		if (at < gm->n && continues(&gm->r[at - 1], &gm->r[at])) {
			gm->r[at - 1].len += gm->r[at].len;
			drop_next(gm, at - 1);
		}
		return 0;
	}
	if (at < gm->n && continues(&add, &gm->r[at])) {
		gm->r[at].gpa = gpa;
		gm->r[at].host = host;
		gm->r[at].len += len;
		return 0;
	}
	if (gm->n == GM_REGIONS_MAX)
		return -ENOSPC;
	memmove(&gm->r[at + 1], &gm->r[at], (gm->n - at) * sizeof(gm->r[0]));
	gm->r[at] = add;
	gm->n++;
	return 0;
}

void *gm_piece(const struct gm *gm, uint64_t gpa, uint64_t len, uint64_t *got)
{
	uint64_t end;

	if (ckd_add(&end, gpa, len))
		return NULL;
	for (unsigned i = 0; i < gm->n; i++) {
		const struct gm_region *r = &gm->r[i];

		if (gpa < r->gpa || gpa - r->gpa >= r->len)
			continue;
		uint64_t off = gpa - r->gpa;
		uint64_t room = r->len - off;
		*got = len < room ? len : room;
		return r->host + off;
	}
	return NULL;
}

void *gm_range(const struct gm *gm, uint64_t gpa, uint64_t len)
{
	uint64_t got = 0;
	void *p = gm_piece(gm, gpa, len, &got);

	return got == len ? p : NULL;
}
