// SPDX-License-Identifier: Apache-2.0
/* Open files and folders of the guest.  A handle is found by its number and its inode together. */
#include <errno.h>
#include <fcntl.h>

#include "fs/fs_internal.h"

/**
 * handle_add() - a handle for an open descriptor
 * @i:		borrowed; the handle counts a reference of its own
 * @fd:		taken on success; -1 for synthetic files
 * @flags:	open flags
 *
 * Return: 0; -ENFILE past the limit; -ENOMEM
 */
int handle_add(struct fs *fs, struct fs_inode *i, int *fd, uint32_t flags, bool is_dir,
	       uint64_t *fh)
{
	AUTO_FREE struct fs_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	mutex_init(&h->lock);
	h->inode = i;
	h->refs = 1;
	h->is_dir = is_dir;
	h->is_sync = flags & (O_SYNC | O_DSYNC);
	h->can_write = (flags & O_ACCMODE) != O_RDONLY;
	h->fd = *fd;

	mutex_lock(&fs->lock);
	int r = slots_add(&fs->handles, h, &h->fh);
	if (r == 0) {
		i->refs++;
		i->handles++;
	}
	mutex_unlock(&fs->lock);
	if (r < 0)
		return r;
	*fd = -1;
	*fh = h->fh;
	(void)take(&h);
	return 0;
}

/**
 * handle_get() - the handle that a guest's number means
 * @i:		the inode that the request names; a handle of another one is none
 *
 * Return: counted, see handle_put(); NULL if there is none
 */
struct fs_handle *handle_get(struct fs *fs, uint64_t fh, const struct fs_inode *i, bool is_dir)
{
	mutex_lock(&fs->lock);
	struct fs_handle *h = slots_get(&fs->handles, fh);
	if (h && h->inode == i && h->is_dir == is_dir)
		h->refs++;
	else
		h = NULL;
	mutex_unlock(&fs->lock);
	return h;
}

/* NULL is fine. */
void handle_put(struct fs *fs, struct fs_handle *h)
{
	if (!h)
		return;
	mutex_lock(&fs->lock);
	bool is_last = --h->refs == 0;
	bool is_last_of_inode = is_last && --h->inode->handles == 0;
	mutex_unlock(&fs->lock);
	if (!is_last)
		return;
	if (is_last_of_inode)
		lock_release_all(fs, h->inode);
	fd_drop(&h->fd);
	inode_put(fs, h->inode);
	mutex_fini(&h->lock);
	free(h->dents);
	free(h);
}

void handle_ref_put(struct handle_ref *r)
{
	handle_put(r->fs, r->h);
}

/* Return: 0, or -EBADF if the guest has no such handle */
int handle_del(struct fs *fs, uint64_t fh, const struct fs_inode *i, bool is_dir)
{
	mutex_lock(&fs->lock);
	struct fs_handle *h = slots_get(&fs->handles, fh);
	if (h && h->inode == i && h->is_dir == is_dir)
		slots_del(&fs->handles, fh);
	else
		h = NULL;
	mutex_unlock(&fs->lock);
	handle_put(fs, h);
	return h ? 0 : -EBADF;
}

void handle_drop_all(struct fs *fs)
{
	for (uint32_t n = 1;; n++) {
		mutex_lock(&fs->lock);
		bool is_end = n >= fs->handles.used;
		struct fs_handle *h = is_end ? NULL : fs->handles.v[n].p;
		if (h)
			slots_del(&fs->handles, h->fh);
		mutex_unlock(&fs->lock);
		if (is_end)
			return;
		handle_put(fs, h);
	}
}
