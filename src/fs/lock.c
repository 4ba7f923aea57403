// SPDX-License-Identifier: Apache-2.0
/*
 * File locks.  All guests' processes are one process of the host, so each owner of POSIX locks gets
 * an open file description of its own and locks through that (open file description locks, see
 * fcntl(2)): they exclude one another, and the host's own processes, as separate processes would.
 * flock() locks belong to handles, which have such descriptions already.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "fs/fs_internal.h"

static struct lock_owner *owner_of(struct list *owners, uint64_t id)
{
	list_for_each(it, owners)
	{
		struct lock_owner *o = container_of(it, struct lock_owner, node);

		if (o->owner == id)
			return o;
	}
	return NULL;
}

static void owner_put(struct fs *fs, struct lock_owner *o)
{
	if (!o)
		return;
	mutex_lock(&fs->lock);
	bool is_last = --o->refs == 0;
	if (is_last)
		fs->lock_owners--;
	mutex_unlock(&fs->lock);
	if (is_last) {
		fd_drop(&o->fd);
		free(o);
	}
}

struct owner_ref {
	struct fs *fs;
	struct lock_owner *o;
};

static void owner_ref_put(struct owner_ref *r)
{
	owner_put(r->fs, r->o);
}
#define AUTO_OWNER CLEANUP(owner_ref_put) struct owner_ref

static struct lock_owner *find_owner(struct fs *fs, struct fs_inode *i, uint64_t id)
{
	mutex_lock(&fs->lock);
	struct lock_owner *o = owner_of(&i->owners, id);
	if (o)
		o->refs++;
	mutex_unlock(&fs->lock);
	return o;
}

/* Finds the owner's description or opens one.  Return: 0, -ENOLCK past the limit, FS_PUNT, -errno
 */
static int get_owner(struct fs_call *c, struct lock_owner **out)
{
	struct fs *fs = c->fs;
	AUTO_PIN pin = { 0 };

	*out = find_owner(fs, c->inode, c->arg.lk.owner);
	if (*out)
		return 0;
	int r = inode_pin(fs, c->inode, &pin);
	if (r < 0)
		return r;

	struct proc_path p = proc_path(pin.fd, NULL);
	int how = O_CLOEXEC | O_NOCTTY | (c->in_pool ? 0 : O_NONBLOCK);
	bool can_write = !c->share->is_ro;
	/* syscall: openat */
	AUTO_FD fd = open(p.s, how | (can_write ? O_RDWR : O_RDONLY));
	if (fd < 0 && can_write && errno != EWOULDBLOCK) {
		can_write = false;
		fd = open(p.s, how | O_RDONLY);
	}
	if (fd < 0)
		return errno == EWOULDBLOCK && !c->in_pool ? FS_PUNT : -errno;

	AUTO_FREE struct lock_owner *fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	mutex_lock(&fs->lock);
	struct lock_owner *o = owner_of(&c->inode->owners, c->arg.lk.owner);
	if (!o && fs->lock_owners < fs->max_lock_owners) {
		o = take(&fresh);
		o->owner = c->arg.lk.owner;
		o->pid = c->arg.lk.lk.pid;
		o->fd = take_fd(&fd);
		o->can_write = can_write;
		o->refs = 1; /* the list's */
		list_add_tail(&c->inode->owners, &o->node);
		fs->lock_owners++;
	}
	if (o)
		o->refs++;
	mutex_unlock(&fs->lock);
	*out = o;
	return o ? 0 : -ENOLCK;
}

/**
 * to_flock() - the host's form of a lock
 *
 * The wire has the last byte, or INT64_MAX for "to the end".
 *
 * Return: 0, or -EINVAL
 */
static int to_flock(const struct fuse_file_lock *lk, struct flock *fl)
{
	if (lk->type != F_RDLCK && lk->type != F_WRLCK && lk->type != F_UNLCK)
		return -EINVAL;
	if (lk->start > INT64_MAX || lk->end > INT64_MAX || lk->end < lk->start)
		return -EINVAL;
	*fl = (struct flock){
		.l_type = (short)lk->type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lk->start,
		.l_len = lk->end == INT64_MAX ? 0 : (off_t)(lk->end - lk->start + 1),
	};
	return 0;
}

/*
 * Who of the guest holds a lock that is in the way: the one who alone does not see it.  The kernel
 * does not tell for this kind of lock.  Return: the guest's process id, 0 if it is the host's lock
 */
static uint32_t holder(struct fs_call *c, const struct flock *wanted)
{
	uint32_t pid = 0;

	mutex_lock(&c->fs->lock);
	list_for_each(it, &c->inode->owners)
	{
		struct lock_owner *o = container_of(it, struct lock_owner, node);
		struct flock fl = *wanted;

		if (o->owner == c->arg.lk.owner)
			continue;
		/* syscall: fcntl */
		if (fcntl(o->fd, F_OFD_GETLK, &fl) == 0 && fl.l_type == F_UNLCK) {
			pid = o->pid;
			break;
		}
	}
	mutex_unlock(&c->fs->lock);
	return pid;
}

int op_getlk(struct fs_call *c)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.lk.fh, c->inode, false) };
	AUTO_OWNER ref = { c->fs, NULL };
	struct fuse_lk_out out = { .lk = { .type = F_UNLCK } };
	struct flock fl;

	if (!h.h)
		return -EBADF;
	int r = to_flock(&c->arg.lk.lk, &fl);
	if (r < 0)
		return r;

	/* Without an owner of ours any description of the file will do. */
	struct flock wanted = fl;
	ref.o = find_owner(c->fs, c->inode, c->arg.lk.owner);
	if (fcntl(ref.o ? ref.o->fd : h.h->fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	if (fl.l_type != F_UNLCK) {
		out.lk.type = (uint32_t)fl.l_type;
		out.lk.start = (uint64_t)fl.l_start;
		out.lk.end = fl.l_len ? (uint64_t)(fl.l_start + fl.l_len - 1) : INT64_MAX;
		out.lk.pid = fl.l_pid > 0 ? 0 : holder(c, &wanted);
	}
	return call_reply(c, &out, sizeof(out));
}

static int set_flock(struct fs_call *c, struct fs_handle *h, bool waits)
{
	int how = LOCK_UN;

	if (c->arg.lk.lk.type != F_UNLCK)
		how = c->arg.lk.lk.type == F_RDLCK ? LOCK_SH : LOCK_EX;
	/* syscall: flock */
	if (flock(h->fd, how | LOCK_NB) == 0) {
		if (how == LOCK_UN || how == LOCK_SH)
			server_retry_locks(c->fs);
		return 0;
	}
	return errno == EWOULDBLOCK && waits ? FS_PARK : -errno;
}

static int set_lock(struct fs_call *c, bool waits)
{
	AUTO_HANDLE h = { c->fs, handle_get(c->fs, c->arg.lk.fh, c->inode, false) };
	AUTO_OWNER ref = { c->fs, NULL };
	struct flock fl;

	if (!h.h)
		return -EBADF;
	int r = to_flock(&c->arg.lk.lk, &fl);
	if (r < 0)
		return r;
	if (c->arg.lk.lk_flags & FUSE_LK_FLOCK)
		return set_flock(c, h.h, waits);

	if (fl.l_type == F_UNLCK) {
		ref.o = find_owner(c->fs, c->inode, c->arg.lk.owner);
		if (!ref.o)
			return 0;
	} else {
		r = get_owner(c, &ref.o);
		if (r != 0)
			return r;
	}
	mutex_lock(&c->fs->lock);
	ref.o->fh = c->arg.lk.fh;
	mutex_unlock(&c->fs->lock);
	if (fcntl(ref.o->fd, F_OFD_SETLK, &fl) == 0) {
		/* Also a read lock may have replaced a write lock. */
		if (fl.l_type != F_WRLCK)
			server_retry_locks(c->fs);
		return 0;
	}
	return (errno == EAGAIN || errno == EACCES) && waits ? FS_PARK : -errno;
}

int op_setlk(struct fs_call *c)
{
	return set_lock(c, false);
}

int op_setlkw(struct fs_call *c)
{
	return set_lock(c, true);
}

/* Whose descriptions to close, and with them their locks: all of them where neither is given. */
struct which {
	const uint64_t *owner;
	const uint64_t *fh;
};

static void release(struct fs *fs, struct fs_inode *i, struct which w)
{
	struct list gone;
	bool is_all = !w.owner && !w.fh;
	bool has_any = false;

	list_init(&gone);
	mutex_lock(&fs->lock);
	/* By now somebody may have opened the file anew. */
	if (!is_all || i->handles == 0) {
		list_for_each_safe(it, &i->owners)
		{
			struct lock_owner *o = container_of(it, struct lock_owner, node);

			if ((w.owner && o->owner != *w.owner) || (w.fh && o->fh != *w.fh))
				continue;
			list_del(it);
			list_add_tail(&gone, it);
			has_any = true;
		}
	}
	mutex_unlock(&fs->lock);
	list_for_each_safe(it, &gone)
	{
		list_del(it);
		owner_put(fs, container_of(it, struct lock_owner, node));
	}
	if (has_any)
		server_retry_locks(fs);
}

/* A process of the guest has closed the file, and so lost all its locks on it (POSIX). */
void lock_release_owner(struct fs *fs, struct fs_inode *i, uint64_t owner)
{
	release(fs, i, (struct which){ .owner = &owner });
}

/*
 * An open file of the guest is gone.  Processes that locked through it have closed it, which
 * released their locks; what is left are locks of the open file itself (F_OFD_SETLK), of whose end
 * the protocol does not tell otherwise.
 */
void lock_release_handle(struct fs *fs, struct fs_inode *i, uint64_t fh)
{
	release(fs, i, (struct which){ .fh = &fh });
}

/* Nobody has the file open any more. */
void lock_release_all(struct fs *fs, struct fs_inode *i)
{
	release(fs, i, (struct which){ 0 });
}
