// SPDX-License-Identifier: Apache-2.0
/* Operations on open files. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "fs/fs_internal.h"
#include "util/ckd.h"

#define NSEC      UINT64_C(1000000000)
#define IOV_CHUNK 64
#define COPY_MAX  (64u << 20) /* of one request, so that a worker comes back */

/* What the host's open() may see of the guest's flags; appending is done write by write. */
#define OPEN_KEEP (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME)

static int check_open_flags(const struct fs_call *c, uint32_t flags)
{
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC) && (!c->share || c->share->is_ro))
		return -EROFS;
	return 0;
}

/* One open() of an inode's descriptor.  Return: descriptor, FS_PUNT encoded as -EWOULDBLOCK, -errno
 */
static int open_fd(struct fs_call *c, int fd, uint32_t flags, bool kills_setid)
{
	struct proc_path p = proc_path(fd, NULL);
	int how = (int)(flags & OPEN_KEEP) | O_CLOEXEC | O_NOCTTY;

	/* Somebody's lease makes open() wait unless we say that we do not want to. */
	if (!c->in_pool)
		how |= O_NONBLOCK;
	if (c->share->is_ro)
		how |= O_NOATIME;
	if (kills_setid)
		creds_drop_fsetid(c->fs);
	/* syscall: openat */
	int r = open(p.s, how);
	if (r < 0 && errno == EPERM && how & O_NOATIME)
		r = open(p.s, how & ~O_NOATIME);
	if (r < 0)
		r = -errno;
	if (kills_setid)
		creds_restore_fsetid(c->fs);
	return r;
}

/*
 * Opens an inode's file.  The inode is one that we looked up, so its type is known and cannot
 * change: nothing but regular files is ever opened here, no device and no FIFO.
 */
static int open_inode(struct fs_call *c, struct fs_inode *i, uint32_t flags, uint32_t open_flags,
		      int *out)
{
	bool kills_setid = open_flags & FUSE_OPEN_KILL_SUIDGID && flags & O_TRUNC;
	AUTO_PIN pin = { 0 };

	if (S_ISDIR(i->type))
		return -EISDIR;
	if (!S_ISREG(i->type))
		return -EINVAL;
	int r = inode_pin(c->fs, i, &pin);
	if (r < 0)
		return r;

	AUTO_FD fd = open_fd(c, pin.fd, flags, kills_setid);
	if (fd == -EACCES && owner_unlock(c->fs, pin.fd) == 0)
		fd = open_fd(c, pin.fd, flags, kills_setid);
	if (fd == -EWOULDBLOCK && !c->in_pool)
		return FS_PUNT;
	if (fd < 0)
		return fd;
	if (flags & O_TRUNC)
		xattr_kill_caps(c->fs, pin.fd);
	if (kills_setid) {
		r = owner_kill_setid(c->fs, pin.fd);
		if (r < 0)
			return r;
	}
	*out = take_fd(&fd);
	return 0;
}

/*
 * Whether the guest may keep what it cached of a file when it opened it last: if nothing has
 * changed since, and if that open was late enough after the last change for any later one to have
 * got another time stamp.
 */
static bool may_keep_cache(struct fs_call *c, struct fs_inode *i, int fd)
{
	struct timespec now;
	struct fs_stat st;

	if (stat_at(c->fs, fd, "", &st) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return false;

	uint64_t now_ns = (uint64_t)now.tv_sec * NSEC + (uint64_t)now.tv_nsec;
	mutex_lock(&c->fs->lock);
	bool keep = i->open_stamp_ns == st.ctime_ns;
	i->open_stamp_ns = now_ns > st.ctime_ns && now_ns - st.ctime_ns > NSEC ? st.ctime_ns : 0;
	mutex_unlock(&c->fs->lock);
	return keep;
}

/* Makes the handle; the reply is the caller's. */
static int add_file(struct fs_call *c, struct fs_inode *i, int *fd, uint32_t flags,
		    struct fuse_open_out *out)
{
	*out = (struct fuse_open_out){ 0 };
	if (*fd < 0 || may_keep_cache(c, i, *fd))
		out->open_flags = FOPEN_KEEP_CACHE;
	return handle_add(c->fs, i, fd, flags, false, &out->fh);
}

int op_open(struct fs_call *c)
{
	uint32_t flags = c->arg.open.flags;
	struct fuse_open_out out;
	AUTO_FD fd = -1;
	int r = check_open_flags(c, flags);

	if (r < 0)
		return r;
	if (c->inode->kind == FS_SYNTH_DIR)
		return -EISDIR;
	if (c->share)
		r = open_inode(c, c->inode, flags, c->arg.open.open_flags, &fd);
	if (r == 0)
		r = add_file(c, c->inode, &fd, flags, &out);
	return r != 0 ? r : call_reply(c, &out, sizeof(out));
}

/* Entry and handle of a created or opened file; whatever fails, nothing of it stays with the guest.
 */
static int reply_create(struct fs_call *c, struct fs_inode *i, const struct fs_stat *st, int *fd)
{
	struct fuse_open_out out;
	int r = add_file(c, i, fd, c->arg.create.flags, &out);

	if (r == 0) {
		r = call_reply_entry(c, i, st);
		if (r == 0)
			r = call_reply(c, &out, sizeof(out));
		if (r < 0)
			(void)!handle_del(c->fs, out.fh, i, false);
	}
	if (r < 0)
		inode_forget(c->fs, i->nodeid, 1);
	return r;
}

/* Makes the file as the guest's user.  Return: descriptor or -errno */
static int create_fd(struct fs_call *c, int dirfd, const char *name, uint32_t mode)
{
	int flags = (int)(c->arg.create.flags & OPEN_KEEP & ~(uint32_t)O_TRUNC);
	AUTO_CREDS cr;
	int r = creds_take(c, c->arg.create.umask, &cr);

	if (r < 0)
		return r;
	if (c->fs->as_user)
		mode = 0600 | (mode & ~c->arg.create.umask & 0777);
	if (name)
		return name_openat(dirfd, name, flags | O_CREAT | O_EXCL, mode);

	struct proc_path p = proc_path(dirfd, NULL);
	r = open(p.s, flags | O_TMPFILE | O_CLOEXEC | (int)(c->arg.create.flags & O_EXCL), mode);
	return r < 0 ? -errno : r;
}

/* Owner and mode of what was created, where the host could not give them. */
static int record_created(struct fs_call *c, int dirfd, int fd)
{
	uint32_t mode = S_IFREG | (c->arg.create.mode & 07777 & ~(c->arg.create.umask & 0777));
	struct fs_stat st;
	uint32_t gid;

	if (!c->fs->as_user)
		return 0;
	int r = name_inherit(c, dirfd, mode, &gid, &mode);
	if (r == 0)
		r = stat_at(c->fs, fd, "", &st);
	return r < 0 ? r : owner_store(c->fs, fd, &st, c->hdr.uid, gid, mode, 0, 0);
}

/* CREATE of a name that exists: an open, unless it must not exist. */
static int create_existing(struct fs_call *c, int dirfd, const char *name)
{
	AUTO_INODE i = { c->fs, NULL };
	struct fs_stat st;
	AUTO_FD fd = -1;
	int r = name_lookup(c->fs, c->inode, dirfd, name, &st, &i.inode);

	if (r < 0)
		return r;
	/* Not a file: the guest looks again and finds out what it is. */
	r = S_ISREG(st.host_mode)
		    ? open_inode(c, i.inode, c->arg.create.flags, c->arg.create.open_flags, &fd)
		    : -ESTALE;
	if (r == 0)
		r = stat_at(c->fs, fd, "", &st);
	if (r != 0) {
		inode_forget(c->fs, i.inode->nodeid, 1);
		return r;
	}
	return reply_create(c, i.inode, &st, &fd);
}

int op_create(struct fs_call *c)
{
	char name[NAME_MAX + 1];
	AUTO_INODE i = { c->fs, NULL };
	AUTO_PIN dir = { 0 };
	struct fs_stat st;
	int r = check_open_flags(c, c->arg.create.flags);

	if (r == 0)
		r = call_name(c, name);
	if (r == 0)
		r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;

	AUTO_FD fd = create_fd(c, dir.fd, name, c->arg.create.mode);
	if (fd == -EACCES && owner_unlock(c->fs, dir.fd) == 0)
		fd = create_fd(c, dir.fd, name, c->arg.create.mode);
	if (fd == -EEXIST && !(c->arg.create.flags & O_EXCL))
		return create_existing(c, dir.fd, name);
	if (fd < 0)
		return fd;

	r = record_created(c, dir.fd, fd);
	if (r == 0)
		r = stat_at(c->fs, fd, "", &st);
	if (r < 0) {
		/* syscall: unlinkat */
		(void)unlinkat(dir.fd, name, 0);
		return r;
	}
	r = inode_learn(c->fs, c->inode->share, &st, c->inode, name, NULL, &i.inode);
	return r < 0 ? r : reply_create(c, i.inode, &st, &fd);
}

int op_tmpfile(struct fs_call *c)
{
	AUTO_INODE i = { c->fs, NULL };
	AUTO_PIN dir = { 0 };
	struct fs_stat st;

	if (!S_ISDIR(c->inode->type))
		return -ENOTDIR;
	if ((c->arg.create.flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	int r = inode_pin(c->fs, c->inode, &dir);
	if (r < 0)
		return r;

	AUTO_FD fd = create_fd(c, dir.fd, NULL, c->arg.create.mode);
	if (fd == -EACCES && owner_unlock(c->fs, dir.fd) == 0)
		fd = create_fd(c, dir.fd, NULL, c->arg.create.mode);
	if (fd < 0)
		return fd;
	r = record_created(c, dir.fd, fd);
	if (r == 0)
		r = stat_at(c->fs, fd, "", &st);
	if (r < 0)
		return r;

	/* Without a name it could not be opened again, so it keeps a descriptor from the start. */
	struct proc_path p = proc_path(fd, NULL);
	AUTO_FD path_fd = open(p.s, O_PATH | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	r = inode_learn(c->fs, c->inode->share, &st, NULL, NULL, &path_fd, &i.inode);
	return r < 0 ? r : reply_create(c, i.inode, &st, &fd);
}

static int read_synth(struct fs_call *c, uint64_t off, size_t size)
{
	const struct synth *s = c->inode->synth;

	if (off >= s->len)
		return 0;
	size_t n = s->len - (size_t)off;
	return call_reply(c, (const char *)s->data + off, n < size ? n : size);
}

/* Whether a read that came back short did so because the file ends there. */
static bool is_at_end(int fd, uint64_t pos)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_size <= pos;
}

int op_read(struct fs_call *c)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.read.fh, c->inode, false) };
	uint64_t off = c->arg.read.offset;
	size_t size = c->arg.read.size;
	struct iovec iov[IOV_CHUNK];
	int rwf = c->in_pool ? 0 : RWF_NOWAIT;
	struct cur to;

	if (!h.h)
		return -EBADF;
	if (size > FS_MAX_WRITE || !range_fits(off, size, INT64_MAX))
		return -EINVAL;
	if (!c->share)
		return read_synth(c, off, size);

	cur_split(&c->out, size, &to);
	while (cur_left(&to) > 0) {
		size_t want;
		size_t n = cur_iov(&to, iov, IOV_CHUNK, &want);
		/* syscall: preadv2 */
		ssize_t got = preadv2(h.h->fd, iov, (int)n, (off_t)off, rwf);

		if (got < 0 && errno == EOPNOTSUPP && rwf) {
			rwf = 0;
			continue;
		}
		if (got < 0 && errno == EAGAIN && rwf)
			return FS_PUNT;
		if (got < 0)
			return -errno;
		off += (uint64_t)got;
		if ((size_t)got < want && rwf && !is_at_end(h.h->fd, off))
			return FS_PUNT;
		if (cur_skip(&to, (size_t)got) < 0)
			return -EIO;
		c->out_len += (uint32_t)got;
		if ((size_t)got < want)
			break;
	}
	return 0;
}

/* Writes all it can.  Return: bytes, or -errno if not even one */
static ssize_t write_out(int fd, struct cur *from, uint64_t off, int rwf)
{
	struct iovec iov[IOV_CHUNK];
	ssize_t sum = 0;

	while (cur_left(from) > 0) {
		size_t want;
		size_t n = cur_iov(from, iov, IOV_CHUNK, &want);
		/* syscall: pwritev2 */
		ssize_t put = pwritev2(fd, iov, (int)n, (off_t)off, rwf);

		if (put < 0)
			return sum ? sum : -errno;
		sum += put;
		off += (uint64_t)put;
		if (cur_skip(from, (size_t)put) < 0)
			return -EIO;
		if ((size_t)put < want)
			break;
	}
	return sum;
}

/* Around each change of contents through a handle: what ends with a file's old contents. */
static void before_change(struct fs_call *c, struct fs_handle *h, bool kills_setid)
{
	if (!h->has_written) {
		h->has_written = true;
		xattr_kill_caps(c->fs, h->fd);
	}
	if (kills_setid)
		creds_drop_fsetid(c->fs);
}

/* Return: 0 or -errno */
static int after_change(struct fs_call *c, const struct fs_handle *h, bool kills_setid)
{
	if (!kills_setid)
		return 0;
	creds_restore_fsetid(c->fs);
	return owner_kill_setid(c->fs, h->fd);
}

/*
 * Only for writing and truncating does the guest's kernel say whether set-id bits are to go; for
 * the rest it relies on us as well (FUSE_HANDLE_KILLPRIV_V2).  All but root lack CAP_FSETID.
 */
static bool is_unprivileged(const struct fs_call *c)
{
	return c->hdr.uid != 0;
}

int op_write(struct fs_call *c)
{
	const struct fuse_write_in *a = &c->arg.write;
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, a->fh, c->inode, false) };
	bool kills_setid = a->write_flags & FUSE_WRITE_KILL_SUIDGID;
	struct cur from;

	if (!h.h || !h.h->can_write)
		return -EBADF;
	if (a->size > FS_MAX_WRITE || a->size > cur_left(&c->in) ||
	    !range_fits(a->offset, a->size, INT64_MAX))
		return -EINVAL;
	if (h.h->is_sync && !c->in_pool)
		return FS_PUNT;

	/*
	 * Pages that were written through a mapping come with an offset and any handle that the
	 * guest's kernel finds, so appending depends on the request, never on the handle.
	 */
	bool appends = a->flags & O_APPEND && !(a->write_flags & FUSE_WRITE_CACHE);
	cur_split(&c->in, a->size, &from);
	before_change(c, h.h, kills_setid);
	ssize_t n = write_out(h.h->fd, &from, a->offset, appends ? RWF_APPEND : 0);
	int r = after_change(c, h.h, kills_setid);
	if (n < 0)
		return (int)n;
	if (r < 0)
		return r;

	struct fuse_write_out out = { .size = (uint32_t)n };
	return call_reply(c, &out, sizeof(out));
}

int op_release(struct fs_call *c)
{
	int r = handle_del(c->fs, c->arg.release.fh, c->inode, false);

	if (r == 0)
		lock_release_handle(c->fs, c->inode, c->arg.release.fh);
	/* Closing may have released a flock(). */
	server_retry_locks(c->fs);
	return r;
}

int op_flush(struct fs_call *c)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.flush.fh, c->inode, false) };

	if (!h.h)
		return -EBADF;
	lock_release_owner(c->fs, c->inode, c->arg.flush.lock_owner);
	if (!c->share || !c->share->is_remote || !h.h->can_write)
		return 0;

	/* Network file systems tell of failed writes at close(). */
	int copy = fcntl(h.h->fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	return close(copy) < 0 ? -errno : 0;
}

int op_fsync(struct fs_call *c)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.fsync.fh, c->inode, false) };

	if (!h.h)
		return -EBADF;
	if (h.h->fd < 0)
		return 0;
	/* syscall: fsync, fdatasync */
	int r = c->arg.fsync.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h.h->fd)
								: fsync(h.h->fd);
	return r < 0 ? -errno : 0;
}

/* The guest asks for its whole mount: every file system behind a share that it may have changed. */
int op_syncfs(struct fs_call *c)
{
	int result = 0;

	for (uint32_t n = 1; n <= c->fs->synth_count + 1; n++) {
		struct fs_inode *i = inode_get(c->fs, n);
		AUTO_INODE ref = { c->fs, i };

		if (!i || !i->is_root || c->fs->shares[i->share].is_ro)
			continue;
		struct proc_path p = proc_path(i->fd, NULL);
		AUTO_FD fd = open(p.s, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		/* syscall: syncfs */
		if (fd < 0 || syncfs(fd) < 0)
			result = -errno;
	}
	return result;
}

int op_fallocate(struct fs_call *c)
{
	const struct fuse_fallocate_in *a = &c->arg.fallocate;
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, a->fh, c->inode, false) };
	const uint32_t known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |
			       FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE |
			       FALLOC_FL_UNSHARE_RANGE;

	if (!h.h || !h.h->can_write)
		return -EBADF;
	if (a->mode & ~known)
		return -EOPNOTSUPP;
	if (!range_fits(a->offset, a->length, INT64_MAX))
		return -EFBIG;
	before_change(c, h.h, is_unprivileged(c));
	/* syscall: fallocate */
	int r = fallocate(h.h->fd, (int)a->mode, (off_t)a->offset, (off_t)a->length);
	r = r < 0 ? -errno : 0;
	int r2 = after_change(c, h.h, is_unprivileged(c));
	return r < 0 ? r : r2;
}

int op_lseek(struct fs_call *c)
{
	const struct fuse_lseek_in *a = &c->arg.lseek;
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, a->fh, c->inode, false) };

	if (!h.h)
		return -EBADF;
	/* The others the guest's kernel works out itself; they would move our position. */
	if (a->whence != SEEK_DATA && a->whence != SEEK_HOLE)
		return -EINVAL;
	if (a->offset > INT64_MAX)
		return -EINVAL;
	/* syscall: lseek */
	off_t at = lseek(h.h->fd, (off_t)a->offset, (int)a->whence);
	if (at < 0)
		return -errno;

	struct fuse_lseek_out out = { .offset = (uint64_t)at };
	return call_reply(c, &out, sizeof(out));
}

int op_copy_file_range(struct fs_call *c)
{
	const struct fuse_copy_file_range_in *a = &c->arg.copy;
	AUTO_INODE to = { c->fs, inode_get(c->fs, a->nodeid_out) };

	if (!to.inode)
		return -ESTALE;
	AUTO_HANDLE in = { c->fs, handle_get(c->fs, a->fh_in, c->inode, false) };
	AUTO_HANDLE out = { c->fs, handle_get(c->fs, a->fh_out, to.inode, false) };
	if (!in.h || !out.h || !out.h->can_write)
		return -EBADF;
	if (a->flags != 0 || a->off_in > INT64_MAX || a->off_out > INT64_MAX)
		return -EINVAL;

	off_t off_in = (off_t)a->off_in, off_out = (off_t)a->off_out;
	size_t len = a->len < COPY_MAX ? (size_t)a->len : COPY_MAX;
	before_change(c, out.h, is_unprivileged(c));
	/* syscall: copy_file_range */
	ssize_t n = copy_file_range(in.h->fd, &off_in, out.h->fd, &off_out, len, 0);
	if (n < 0)
		n = -errno;
	int r = after_change(c, out.h, is_unprivileged(c));
	if (n < 0)
		return (int)n;
	if (r < 0)
		return r;

	struct fuse_write_out reply = { .size = (uint32_t)n };
	return call_reply(c, &reply, sizeof(reply));
}
