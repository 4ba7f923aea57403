// SPDX-License-Identifier: Apache-2.0
/* Reading folders. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "fs/fs_internal.h"
#include "util/bytes.h"

#define DENTS_MIN 1024
#define DENTS_MAX 8192 /* also what a handle may keep */

/* One entry on its way out. */
struct entry {
	uint64_t ino;
	uint64_t next; /* offset at which the entry behind it begins */
	uint32_t type; /* DT_ */
	const char *name;
};

int op_opendir(struct fs_call *c)
{
	struct fuse_open_out out = { 0 };
	AUTO_PIN pin = { 0 };
	AUTO_FD fd = -1;
	int r = 0;

	if (c->inode->kind == FS_SYNTH_FILE || (c->share && !S_ISDIR(c->inode->type)))
		return -ENOTDIR;
	if (c->share) {
		r = inode_pin(c->fs, c->inode, &pin);
		if (r < 0)
			return r;

		struct proc_path p = proc_path(pin.fd, NULL);
		const int how = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
		/* syscall: openat */
		fd = open(p.s, how);
		if (fd < 0 && errno == EACCES && owner_unlock(c->fs, pin.fd) == 0)
			fd = open(p.s, how);
		if (fd < 0)
			return -errno;
	}
	r = handle_add(c->fs, c->inode, &fd, O_RDONLY, true, &out.fh);
	return r < 0 ? r : call_reply(c, &out, sizeof(out));
}

int op_releasedir(struct fs_call *c)
{
	return handle_del(c->fs, c->arg.release.fh, c->inode, true);
}

int op_fsyncdir(struct fs_call *c)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.fsync.fh, c->inode, true) };

	if (!h.h)
		return -EBADF;
	if (h.h->fd < 0)
		return 0;
	int r = c->arg.fsync.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h.h->fd)
								: fsync(h.h->fd);
	return r < 0 ? -errno : 0;
}

/* Bytes of an entry on the wire. */
static size_t entry_size(const struct entry *e, bool plus)
{
	return FUSE_DIRENT_ALIGN((plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET) +
				 strlen(e->name));
}

static int put_entry(struct fs_call *c, const struct entry *e, const struct fuse_entry_out *plus)
{
	struct fuse_dirent d = {
		.ino = e->ino,
		.off = e->next,
		.namelen = (uint32_t)strlen(e->name),
		.type = e->type,
	};
	size_t pad = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen) - FUSE_NAME_OFFSET - d.namelen;
	static const char zeros[8];
	int r = plus ? call_reply(c, plus, sizeof(*plus)) : 0;

	if (r == 0)
		r = call_reply(c, &d, FUSE_NAME_OFFSET);
	if (r == 0)
		r = call_reply(c, e->name, d.namelen);
	return r < 0 ? r : call_reply(c, zeros, pad);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* An entry with its attributes; one that cannot be looked up comes without. */
static int put_entry_plus(struct fs_call *c, int dirfd, struct entry *e)
{
	AUTO_INODE i = { c->fs, NULL };
	struct fuse_entry_out o = { 0 };
	struct fs_stat st;

	if (!is_dots(e->name) && name_lookup(c->fs, c->inode, dirfd, e->name, &st, &i.inode) == 0) {
		call_fill_entry(i.inode, &st, &o);
		e->type = st.mode >> 12;
	}
	int r = put_entry(c, e, &o);
	if (r < 0 && i.inode)
		inode_forget(c->fs, i.inode->nodeid, 1);
	return r;
}

static int list_synth(struct fs_call *c, size_t room, bool plus)
{
	uint64_t pos = 0;

	for (struct fs_inode *i = c->inode->synth->child; i; i = i->synth->sibling) {
		struct fuse_entry_out o;
		struct fs_stat st;

		if (pos++ < c->arg.read.offset)
			continue;
		if (i->kind != FS_HOST)
			stat_synth(i, &st);
		else if (stat_at(c->fs, i->fd, "", &st) < 0)
			continue;

		struct entry e = { st.ino, pos, st.mode >> 12, i->synth->name };
		size_t size = entry_size(&e, plus);
		if (size > room)
			return 0;
		room -= size;
		call_fill_entry(i, &st, &o);
		int r = put_entry(c, &e, plus ? &o : NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Sends the entries of one getdents64() result.
 * @pos:	out: offset behind the last one sent
 * Return: 1 when the room is full, and then @r begins with the first entry that was not sent; 0
 *when all were; or -errno
 */
static int send_dents(struct fs_call *c, int dirfd, struct rd *r, size_t *room, bool plus,
		      int64_t *pos)
{
	uint64_t ino_base = inode_guest_ino(c->fs, c->inode->dev, 0);

	while (rd_left(r) > 0) {
		/* struct linux_dirent64: ino, off, reclen, type, name */
		const uint8_t *start = r->p;
		struct entry e = { .ino = rd_le64(r) ^ ino_base, .next = rd_le64(r) };
		uint16_t reclen = rd_le16(r);
		uint8_t type = rd_u8(r);
		size_t head = (size_t)(r->p - start);

		if (!rd_ok(r) || reclen < head || !rd_take(r, reclen - head))
			return -EIO;
		e.name = (const char *)start + head;
		/* A device that we keep as a regular file must not look like one. */
		e.type = c->fs->as_user && type == DT_REG ? DT_UNKNOWN : type;
		if (c->inode->is_root && strcmp(e.name, "..") == 0)
			e.ino = c->inode->ino ^ ino_base;

		size_t size = entry_size(&e, plus);
		if (size > *room) {
			r->p = start;
			return 1;
		}
		int res = plus ? put_entry_plus(c, dirfd, &e) : put_entry(c, &e, NULL);
		if (res < 0)
			return res;
		*room -= size;
		*pos = (int64_t)e.next;
	}
	return 0;
}

static void drop_rest(struct fs_handle *h)
{
	free(h->dents);
	h->dents = NULL;
	h->dents_len = 0;
}

/*
 * Keeps entries that have been read and did not fit.  Reading them again would need lseek(), after
 * which some file systems (tmpfs before Linux 6.6) skip entries if others were removed meanwhile.
 */
static void keep_rest(struct fs_handle *h, const struct rd *r)
{
	size_t len = rd_left(r);

	if (h->dents) {
		memmove(h->dents, r->p, len);
	} else {
		h->dents = malloc(len);
		if (!h->dents) {
			h->pos = -1;
			return;
		}
		memcpy(h->dents, r->p, len);
	}
	h->dents_len = len;
}

static int list_host(struct fs_call *c, struct fs_handle *h, size_t room, bool plus)
{
	size_t ask = plus ? room / 4 : room;
	int64_t pos = (int64_t)c->arg.read.offset;
	int r = 0;

	ask = ask < DENTS_MIN ? DENTS_MIN : ask > DENTS_MAX ? DENTS_MAX : ask;
	/* syscall: lseek, getdents64 */
	if (h->pos != pos) {
		drop_rest(h);
		h->pos = -1;
		if (lseek(h->fd, pos, SEEK_SET) < 0)
			return -errno;
		h->pos = pos;
	}
	while (r == 0) {
		struct rd dents;

		if (h->dents) {
			dents = rd_init(h->dents, h->dents_len);
		} else {
			long n = syscall(SYS_getdents64, h->fd, c->t->scratch, ask);

			if (n < 0)
				r = -errno;
			if (n <= 0)
				break;
			dents = rd_init(c->t->scratch, (size_t)n);
		}
		r = send_dents(c, h->fd, &dents, &room, plus, &h->pos);
		if (r > 0) {
			keep_rest(h, &dents);
		} else {
			drop_rest(h);
			if (r < 0)
				h->pos = -1;
		}
	}
	return r < 0 && c->out_len == 0 ? r : 0;
}

static int list(struct fs_call *c, bool plus)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.read.fh, c->inode, true) };
	size_t room = c->arg.read.size;

	if (!h.h)
		return -EBADF;
	if (room > FS_MAX_WRITE || c->arg.read.offset > INT64_MAX)
		return -EINVAL;
	if (room > cur_left(&c->out))
		room = cur_left(&c->out);
	if (!c->share)
		return list_synth(c, room, plus);

	mutex_lock(&h.h->lock);
	int r = list_host(c, h.h, room, plus);
	mutex_unlock(&h.h->lock);
	return r;
}

int op_readdir(struct fs_call *c)
{
	return list(c, false);
}

int op_readdirplus(struct fs_call *c)
{
	return list(c, true);
}
