/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as QEMU announces it: see vhost_internal.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "util/ckd.h"
#include "vhost/vhost_internal.h"

static bool is_same_file(int a, int b)
{
	struct stat st[2];

	return fstat(a, &st[0]) == 0 && fstat(b, &st[1]) == 0 && st[0].st_dev == st[1].st_dev &&
	       st[0].st_ino == st[1].st_ino;
}

void vhost_mem_remove(struct vhost_mem *m, const struct vhost_mem_reg *reg)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->r[i];

		if (r->gpa != reg->gpa || r->len != reg->len || r->uaddr != reg->uaddr)
			continue;
		m->n--;
		memmove(&m->r[i], &m->r[i + 1], (m->n - i) * sizeof(m->r[0]));
		return;
	}
}

int vhost_mem_add(struct vhost_mem *m, const struct vhost_ram *ram, const struct vhost_mem_reg *reg,
		  int fd)
{
	uint64_t end;

	if (!is_same_file(fd, ram->fd))
		return 0;
	if (reg->len == 0 || ckd_add(&end, reg->gpa, reg->len) ||
	    ckd_add(&end, reg->uaddr, reg->len) || !range_fits(reg->fd_off, reg->len, ram->len))
		return -EPROTO;
	/* QEMU may repeat itself when the driver starts anew. */
	vhost_mem_remove(m, reg);
	if (m->n == VHOST_REGIONS_MAX)
		return -ENOSPC;
	m->r[m->n++] = (struct vhost_region){
		.gpa = reg->gpa, .len = reg->len, .uaddr = reg->uaddr, .off = reg->fd_off
	};
	return 0;
}

bool vhost_mem_gpa(const struct vhost_mem *m, uint64_t uaddr, uint64_t *gpa)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->r[i];

		if (uaddr < r->uaddr || uaddr - r->uaddr >= r->len)
			continue;
		*gpa = r->gpa + (uaddr - r->uaddr);
		return true;
	}
	return false;
}

int vhost_mem_map(const struct vhost_mem *m, const struct vhost_ram *ram, struct gm *gm)
{
	*gm = (struct gm){ 0 };
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->r[i];

		if (gm_add(gm, r->gpa, (uint8_t *)ram->host + r->off, r->len) < 0)
			return -EPROTO;
	}
	return 0;
}
