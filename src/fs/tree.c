// SPDX-License-Identifier: Apache-2.0
/* The synthetic part of the tree, and the shares attached to it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "fs/fs_internal.h"

static struct fs_inode *child_of(struct fs_inode *dir, const char *name)
{
	for (struct fs_inode *i = dir->synth->child; i; i = i->synth->sibling)
		if (strcmp(i->synth->name, name) == 0)
			return i;
	return NULL;
}

static int add_child(struct fs *fs, struct fs_inode *dir, const char *name, uint8_t kind,
		     struct fs_inode **out, struct err *e)
{
	if (fs->synth_count >= FS_MAX_SYNTH)
		return err_set(e, -ENOMEM, "more than %d entries in the guest's file tree",
			       FS_MAX_SYNTH);

	struct fs_inode *i = inode_new(fs, kind);
	if (!i)
		return err_set(e, -ENOMEM, "no memory for the guest's file tree");
	memcpy(i->synth->name, name, strlen(name) + 1);

	struct fs_inode **last = &dir->synth->child;
	while (*last)
		last = &(*last)->synth->sibling;
	*last = i;
	fs->synth_count++;
	*out = i;
	return 0;
}

/* Finds or makes the folder that @at lies in, and puts its last component into @name. */
static int walk(struct fs *fs, const char *at, struct fs_inode **dir, char name[NAME_MAX + 1],
		struct err *e)
{
	struct fs_inode *d = fs->root;

	for (;;) {
		size_t n = strcspn(at, "/");

		if (n == 0 || n > NAME_MAX || (n == 1 && at[0] == '.') ||
		    (n == 2 && at[0] == '.' && at[1] == '.'))
			return err_set(e, -EINVAL, "bad place '%s' in the guest's file tree", at);
		memcpy(name, at, n);
		name[n] = '\0';
		if (at[n] == '\0')
			break;
		at += n + 1;

		struct fs_inode *next = child_of(d, name);
		int r = next ? 0 : add_child(fs, d, name, FS_SYNTH_DIR, &next, e);
		if (r < 0)
			return r;
		if (next->kind != FS_SYNTH_DIR)
			return err_set(e, -EEXIST, "'%s' in the guest's file tree is no folder",
				       name);
		if (!next->synth->mode)
			next->synth->mode = 0755;
		d = next;
	}
	*dir = d;
	return 0;
}

static int add_at(struct fs *fs, const char *at, uint8_t kind, struct fs_inode **out, struct err *e)
{
	char name[NAME_MAX + 1];
	struct fs_inode *dir = NULL;
	int r = walk(fs, at, &dir, name, e);

	if (r < 0)
		return r;
	if (child_of(dir, name))
		return err_set(e, -EEXIST, "'%s' is in the guest's file tree already", at);
	return add_child(fs, dir, name, kind, out, e);
}

int fs_add_dir(struct fs *fs, const char *at, uint32_t mode, struct err *e)
{
	struct fs_inode *i;
	int r = add_at(fs, at, FS_SYNTH_DIR, &i, e);

	if (r == 0)
		i->synth->mode = mode & 07777;
	return r;
}

int fs_add_file(struct fs *fs, const char *at, const void *data, size_t len, uint32_t mode,
		struct err *e)
{
	struct fs_inode *i;
	int r = add_at(fs, at, FS_SYNTH_FILE, &i, e);

	if (r < 0)
		return r;
	i->synth->mode = mode & 07777;
	i->synth->data = data;
	i->synth->len = len;
	return 0;
}

/* Whether requests may hang on something other than a disk of this host. */
static bool is_remote(int fd)
{
	static const uint32_t magics[] = {
		NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  SMB2_SUPER_MAGIC,   CIFS_SUPER_MAGIC,
		FUSE_SUPER_MAGIC, V9FS_MAGIC,       CEPH_SUPER_MAGIC,   AFS_SUPER_MAGIC,
		AFS_FS_MAGIC,     CODA_SUPER_MAGIC, AUTOFS_SUPER_MAGIC,
	};
	struct statfs sf;

	if (fstatfs(fd, &sf) < 0)
		return true;
	for (size_t n = 0; n < ARRAY_LEN(magics); n++)
		if ((uint32_t)sf.f_type == magics[n])
			return true;
	return false;
}

int fs_add_share(struct fs *fs, const struct fs_share *share, struct err *e)
{
	if (fs->share_count >= FS_MAX_SHARES)
		return err_set(e, -ENOMEM, "more than %d shares; put several into one folder",
			       FS_MAX_SHARES);

	/* The user's own path may contain links; only what the guest names may not. */
	AUTO_FD fd = share->fd >= 0 ? fcntl(share->fd, F_DUPFD_CLOEXEC, 0)
				    : open(share->host_path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "cannot share '%s'", share->host_path);

	struct fs_stat st;
	int r = stat_at(fs, fd, "", &st);
	if (r < 0)
		return err_set(e, r, "cannot examine '%s': %s", share->host_path, strerror(-r));
	if (!S_ISDIR(st.host_mode) && !S_ISREG(st.host_mode))
		return err_set(e, -EOPNOTSUPP,
			       "cannot share '%s': it is neither a folder nor a regular file",
			       share->host_path);
	if (stat_is_forbidden_mount(fd, ""))
		return err_set(e, -EOPNOTSUPP,
			       "cannot share '%s': files there act on the host's kernel",
			       share->host_path);

	struct fs_inode *i;
	r = add_at(fs, share->at, FS_HOST, &i, e);
	if (r < 0)
		return r;
	i->share = (uint16_t)fs->share_count++;
	fs->shares[i->share] = (struct share){
		.is_ro = share->is_ro,
		.refuses_devices = share->refuses_devices,
		.is_remote = is_remote(fd),
		.is_file = S_ISREG(st.host_mode),
	};
	i->is_root = true;
	i->type = (uint16_t)(st.host_mode & S_IFMT);
	i->ino = st.host_ino;
	i->dev = st.host_dev;
	i->btime_ns = st.btime_ns;
	i->fd = take_fd(&fd);
	return 0;
}
