/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's file system device: see share_unit.h. */
#include "vmm/share_unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "virtio/fs.h"
#include "vmm/config.h"

#define TAG      "pecten"
#define INIT_MAX (16 << 20) /* bytes of pecten-init */

struct share_unit {
	struct fs *fs;
	struct virtio_fs *dev;
	void *init; /* mapping */
	size_t init_len;
};

static int add_init(struct share_unit *u, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "cannot examine the guest's init");
	if (st.st_size <= 0 || st.st_size > INIT_MAX)
		return err_set(e, -EINVAL, "the guest's init is empty or too large");
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_errno(e, "cannot read the guest's init");
	u->init = p;
	u->init_len = (size_t)st.st_size;
	return fs_add_file(u->fs, "init", u->init, u->init_len, 0555, e);
}

static int add_share(struct share_unit *u, const struct vm_share *s, struct err *e)
{
	const struct fs_share share = {
		.at = s->c.name,
		.host_path = s->c.name,
		.fd = s->fd,
		.is_ro = s->c.is_ro,
		.refuses_devices = !s->c.takes_devices,
	};

	return fs_add_share(u->fs, &share, e);
}

static int fill_tree(struct share_unit *u, const struct vm_config *c, struct err *e)
{
	static const char *const folders[] = { "dev", "proc", "sys", "run", "tmp", "mnt" };
	int r = c->init_fd >= 0 ? add_init(u, c->init_fd, e) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(folders); i++)
		r = fs_add_dir(u->fs, folders[i], 0755, e);
	for (unsigned i = 0; r == 0 && i < c->n_shares; i++)
		r = add_share(u, &c->shares[i], e);
	return r;
}

int share_unit_create(const struct vm_config *c, struct loop *loop, struct share_unit **out,
		      struct err *e)
{
	const struct fs_config cfg = { .identity = c->c.maps_owners ? FS_ID_USER : FS_ID_AUTO };
	struct share_unit *u = calloc(1, sizeof(*u));

	if (!u)
		return err_set(e, -ENOMEM, "no memory for a file server");

	int r = fs_create(&cfg, &u->fs, e);
	if (r == 0)
		r = fill_tree(u, c, e);
	if (r == 0) {
		r = virtio_fs_create(TAG, u->fs, loop, &u->dev);
		if (r < 0)
			(void)err_set(e, r, "cannot make a file system device: %s", strerror(-r));
	}
	if (r < 0) {
		share_unit_destroy(u);
		return r;
	}
	*out = u;
	return 0;
}

void share_unit_destroy(void *unit)
{
	struct share_unit *u = unit;

	if (!u)
		return;
	virtio_fs_destroy(u->dev);
	fs_destroy(u->fs);
	if (u->init)
		(void)munmap(u->init, u->init_len);
	free(u);
}

int share_unit_start(void *unit, struct err *e)
{
	struct share_unit *u = unit;

	return fs_start(u->fs, e);
}

struct virtio_dev *share_unit_dev(const struct share_unit *u)
{
	return virtio_fs_dev(u->dev);
}
