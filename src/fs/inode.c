// SPDX-License-Identifier: Apache-2.0
/*
 * The inodes that the guest knows.  A guest may know far more of them than we may have descriptors,
 * so an inode is found again when needed: by its name beneath its parent, checked against its
 * identity (device, number, time of birth).  Descriptors that nobody uses are kept in order of use
 * and given up from the oldest.  An inode without a name (unlinked, or never named) cannot be found
 * again; its descriptor has a list and a limit of its own, past which the guest gets ESTALE.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "fs/fs_internal.h"
#include "util/log.h"

#define HASH_FIRST 256

static uint32_t hash_of(const struct fs *fs, uint16_t share, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ dev << 32 ^ dev >> 32 ^ (uint64_t)share << 48) *
		     UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32) & (fs->hash_cap - 1);
}

static int hash_grow(struct fs *fs)
{
	uint32_t cap = fs->hash_cap ? fs->hash_cap * 2 : HASH_FIRST;
	struct fs_inode **v = calloc(cap, sizeof(struct fs_inode *));
	struct fs_inode **old = fs->hash;
	uint32_t old_cap = fs->hash_cap;

	if (!v)
		return -ENOMEM;
	fs->hash = v;
	fs->hash_cap = cap;
	for (uint32_t n = 0; n < old_cap; n++) {
		for (struct fs_inode *i = old[n], *next; i; i = next) {
			uint32_t h = hash_of(fs, i->share, i->dev, i->ino);

			next = i->hash_next;
			i->hash_next = v[h];
			v[h] = i;
		}
	}
	free(old);
	return 0;
}

static void hash_add(struct fs *fs, struct fs_inode *i)
{
	uint32_t h = hash_of(fs, i->share, i->dev, i->ino);

	i->hash_next = fs->hash[h];
	fs->hash[h] = i;
	i->is_hashed = true;
	fs->hashed++;
}

static void hash_del(struct fs *fs, struct fs_inode *i)
{
	struct fs_inode **p = &fs->hash[hash_of(fs, i->share, i->dev, i->ino)];

	while (*p != i)
		p = &(*p)->hash_next;
	*p = i->hash_next;
	i->hash_next = NULL;
	i->is_hashed = false;
	fs->hashed--;
}

static struct fs_inode *hash_find(struct fs *fs, uint16_t share, const struct fs_stat *st)
{
	if (!fs->hash_cap)
		return NULL;

	struct fs_inode *i = fs->hash[hash_of(fs, share, st->host_dev, st->host_ino)];

	for (; i; i = i->hash_next) {
		if (i->ino != st->host_ino || i->dev != st->host_dev || i->share != share)
			continue;
		if (i->btime_ns == st->btime_ns && i->type == (st->host_mode & S_IFMT))
			return i;
		/* The number was reused: what the guest holds is gone from the host. */
		hash_del(fs, i);
		return NULL;
	}
	return NULL;
}

/* Puts an idle descriptor where it belongs; the caller holds the lock and i->pins is 0. */
static void lru_add_locked(struct fs *fs, struct fs_inode *i)
{
	if (i->fd < 0 || i->is_root || i->kind != FS_HOST)
		return;
	i->is_orphan = !i->name;
	if (i->is_orphan)
		fs->orphan_fds++;
	list_add_tail(i->is_orphan ? &fs->orphans : &fs->lru, &i->lru);
}

static void lru_del_locked(struct fs *fs, struct fs_inode *i)
{
	if (list_empty(&i->lru))
		return;
	if (i->is_orphan)
		fs->orphan_fds--;
	list_del(&i->lru);
}

/* Takes one descriptor over the limit out of its inode; -1 if there is none.  The caller closes it.
 */
static int evict_locked(struct fs *fs)
{
	struct list *l = NULL;

	if (fs->orphan_fds > fs->max_orphan_fds)
		l = &fs->orphans;
	else if (fs->inode_fds > fs->max_inode_fds && !list_empty(&fs->lru))
		l = &fs->lru;
	if (!l)
		return -1;

	struct fs_inode *i = container_of(l->next, struct fs_inode, lru);
	lru_del_locked(fs, i);
	fs->inode_fds--;
	return take_fd(&i->fd);
}

static bool is_permanent(const struct fs_inode *i)
{
	return i->kind != FS_HOST || i->is_root;
}

/* Takes an inode that nobody refers to out of all tables, and its parents likewise. */
static void reap_locked(struct fs *fs, struct fs_inode *i, struct fs_inode **dead)
{
	while (i && i->refs == 0 && i->nlookup == 0 && !is_permanent(i)) {
		struct fs_inode *parent = i->parent;

		lru_del_locked(fs, i);
		if (i->is_hashed)
			hash_del(fs, i);
		slots_del(&fs->inodes, i->nodeid);
		if (i->fd >= 0)
			fs->inode_fds--;
		i->hash_next = *dead;
		*dead = i;
		if (parent)
			parent->refs--;
		i = parent;
	}
}

/* Closing may wait for the disk, so it happens without the lock. */
static void bury(struct fs_inode *dead)
{
	while (dead) {
		struct fs_inode *next = dead->hash_next;

		fd_drop(&dead->fd);
		free(dead->name);
		free(dead->synth);
		free(dead);
		dead = next;
	}
}

/**
 * inode_get() - the inode that a guest's number means
 *
 * Return: a counted reference, see inode_put(); NULL if there is none
 */
struct fs_inode *inode_get(struct fs *fs, uint64_t nodeid)
{
	mutex_lock(&fs->lock);
	struct fs_inode *i = slots_get(&fs->inodes, nodeid);
	if (i)
		i->refs++;
	mutex_unlock(&fs->lock);
	return i;
}

void inode_ref(struct fs *fs, struct fs_inode *i)
{
	mutex_lock(&fs->lock);
	i->refs++;
	mutex_unlock(&fs->lock);
}

/* NULL is fine. */
void inode_put(struct fs *fs, struct fs_inode *i)
{
	struct fs_inode *dead = NULL;

	if (!i)
		return;
	mutex_lock(&fs->lock);
	i->refs--;
	reap_locked(fs, i, &dead);
	mutex_unlock(&fs->lock);
	bury(dead);
}

void inode_ref_put(struct inode_ref *r)
{
	inode_put(r->fs, r->inode);
}

void inode_forget(struct fs *fs, uint64_t nodeid, uint64_t nlookup)
{
	struct fs_inode *dead = NULL;

	mutex_lock(&fs->lock);
	struct fs_inode *i = slots_get(&fs->inodes, nodeid);
	if (i && !is_permanent(i)) {
		if (nlookup > i->nlookup)
			log_guest(fs, "driver forgets an inode more often than it looked it up");
		i->nlookup -= nlookup < i->nlookup ? nlookup : i->nlookup;
		reap_locked(fs, i, &dead);
	}
	mutex_unlock(&fs->lock);
	bury(dead);
}

/* Forgets all references of the guest; calls in flight and handles keep theirs. */
void inode_drop_all(struct fs *fs)
{
	struct fs_inode *dead = NULL;

	mutex_lock(&fs->lock);
	for (uint32_t n = 1; n < fs->inodes.used; n++) {
		struct fs_inode *i = fs->inodes.v[n].p;

		if (!i || is_permanent(i))
			continue;
		i->nlookup = 0;
		reap_locked(fs, i, &dead);
	}
	mutex_unlock(&fs->lock);
	bury(dead);
}

/**
 * inode_new() - an inode that stays for good: synthetic, or a share's root
 *
 * Return: the inode, which fs_destroy() frees; NULL without memory or past the limit
 */
struct fs_inode *inode_new(struct fs *fs, uint8_t kind)
{
	AUTO_FREE struct fs_inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->synth = calloc(1, sizeof(*i->synth));
	if (!i->synth)
		return NULL;
	i->fd = -1;
	i->kind = kind;
	i->refs = 1;
	list_init(&i->lru);
	list_init(&i->owners);
	mutex_lock(&fs->lock);
	int r = slots_add(&fs->inodes, i, &i->nodeid);
	mutex_unlock(&fs->lock);
	if (r < 0) {
		free(i->synth);
		return NULL;
	}
	return take(&i);
}

/* Frees what is left when the server ends: no handle, no call, no reference of the guest. */
void inode_free_permanent(struct fs *fs)
{
	for (uint32_t n = 1; n < fs->inodes.used; n++) {
		struct fs_inode *i = fs->inodes.v[n].p;

		if (i) {
			i->hash_next = NULL;
			bury(i);
		}
	}
}

/*
 * Gives @i a name; @name is taken.  A folder is never put beneath itself: the host may have moved
 * folders about so that what we remember of two of them contradicts, and parents must not form a
 * ring.  Then the inode stays nameless until it is looked up again.
 */
static void set_name_locked(struct fs *fs, struct fs_inode *i, struct fs_inode *parent, char *name,
			    struct fs_inode **dead)
{
	struct fs_inode *old = i->parent;
	bool is_idle = !list_empty(&i->lru);

	for (struct fs_inode *p = parent; p && i->type == S_IFDIR; p = p->parent) {
		if (p == i) {
			free(name);
			name = NULL;
			parent = NULL;
			break;
		}
	}
	if (is_idle)
		lru_del_locked(fs, i);
	free(i->name);
	i->name = name;
	i->parent = parent;
	if (parent)
		parent->refs++;
	if (is_idle)
		lru_add_locked(fs, i);
	if (old) {
		old->refs--;
		reap_locked(fs, old, dead);
	}
}

/**
 * inode_learn() - the inode of an object just found, with one more reference of the guest
 * @st:		identity
 * @parent:	where it was found, NULL if it has no name
 * @fd:		O_PATH descriptor, taken if it is needed; NULL or -1 if there is none
 * @out:	a counted reference
 *
 * Return: 0; -ENFILE past the limit; -ENOMEM
 */
int inode_learn(struct fs *fs, uint16_t share, const struct fs_stat *st, struct fs_inode *parent,
		const char *name, int *fd, struct fs_inode **out)
{
	AUTO_FREE struct fs_inode *fresh = NULL;
	AUTO_FREE char *copy = NULL;
	struct fs_inode *dead = NULL;
	int victim = -1;
	int r = 0;

	mutex_lock(&fs->lock);
	struct fs_inode *i = hash_find(fs, share, st);
	if (i && (!parent || (i->parent == parent && strcmp(i->name, name) == 0)))
		goto found;
	mutex_unlock(&fs->lock);

	if (parent) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	}
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->fd = -1;
	fresh->kind = FS_HOST;
	fresh->share = share;
	fresh->type = (uint16_t)(st->host_mode & S_IFMT);
	fresh->ino = st->host_ino;
	fresh->dev = st->host_dev;
	fresh->btime_ns = st->btime_ns;
	list_init(&fresh->lru);
	list_init(&fresh->owners);

	mutex_lock(&fs->lock);
	i = hash_find(fs, share, st);
	if (!i) {
		if (fs->hashed >= fs->hash_cap)
			r = hash_grow(fs);
		if (r == 0)
			r = slots_add(&fs->inodes, fresh, &fresh->nodeid);
		if (r < 0) {
			mutex_unlock(&fs->lock);
			return r;
		}
		i = take(&fresh);
		hash_add(fs, i);
	}
	if (parent && !is_permanent(i))
		set_name_locked(fs, i, parent, take(&copy), &dead);
found:
	if (!is_permanent(i))
		i->nlookup++;
	i->refs++;
	if (fd && *fd >= 0 && i->fd < 0) {
		i->fd = take_fd(fd);
		fs->inode_fds++;
		lru_add_locked(fs, i);
		victim = evict_locked(fs);
	}
	mutex_unlock(&fs->lock);
	bury(dead);
	fd_drop(&victim);
	*out = i;
	return 0;
}

/* The inode of an object, counted, if the guest knows it; else NULL. */
struct fs_inode *inode_find(struct fs *fs, uint16_t share, const struct fs_stat *st)
{
	mutex_lock(&fs->lock);
	struct fs_inode *i = hash_find(fs, share, st);
	if (i)
		i->refs++;
	mutex_unlock(&fs->lock);
	return i;
}

/* @i is now found as @name in @parent; without memory it is not found any more. */
void inode_moved(struct fs *fs, struct fs_inode *i, struct fs_inode *parent, const char *name)
{
	struct fs_inode *dead = NULL;
	char *copy = strdup(name);

	mutex_lock(&fs->lock);
	if (is_permanent(i))
		free(copy);
	else
		set_name_locked(fs, i, copy ? parent : NULL, copy, &dead);
	mutex_unlock(&fs->lock);
	bury(dead);
}

/* @name in @parent does not lead to @i any more. */
void inode_unnamed(struct fs *fs, struct fs_inode *i, struct fs_inode *parent, const char *name)
{
	struct fs_inode *dead = NULL;

	mutex_lock(&fs->lock);
	if (!is_permanent(i) && i->parent == parent && strcmp(i->name, name) == 0)
		set_name_locked(fs, i, NULL, NULL, &dead);
	mutex_unlock(&fs->lock);
	bury(dead);
}

static int open_beneath(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	/* syscall: openat2 */
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/*
 * Opens the topmost of @i's ancestors, or @i, that has no descriptor while its parent has one.
 * Return: 0 after one more step; 1 if @i itself has a descriptor, which is then pinned; -ESTALE.
 */
static int pin_step(struct fs *fs, struct fs_inode *i)
{
	char name[NAME_MAX + 1];
	struct fs_inode *t = i;
	unsigned depth = 0;

	mutex_lock(&fs->lock);
	if (i->fd >= 0) {
		lru_del_locked(fs, i);
		i->pins++;
		mutex_unlock(&fs->lock);
		return 1;
	}
	while (t->parent && t->parent->fd < 0 && depth++ < FS_MAX_DEPTH)
		t = t->parent;
	if (!t->parent || depth > FS_MAX_DEPTH) {
		mutex_unlock(&fs->lock);
		return -ESTALE;
	}
	struct fs_inode *p = t->parent;
	memcpy(name, t->name, strlen(t->name) + 1);
	t->refs++;
	p->refs++;
	lru_del_locked(fs, p);
	p->pins++;
	mutex_unlock(&fs->lock);

	AUTO_INODE hold = { fs, t };
	AUTO_INODE hold_dir = { fs, p };
	AUTO_PIN dir = { fs, p, p->fd };

	AUTO_FD fd = open_beneath(dir.fd, name);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;

	struct fs_stat st;
	int r = stat_at(fs, fd, "", &st);
	if (r < 0)
		return r;
	if (st.host_ino != t->ino || st.host_dev != t->dev || st.btime_ns != t->btime_ns)
		return -ESTALE;

	mutex_lock(&fs->lock);
	int victim = -1;
	if (t->fd < 0) {
		t->fd = take_fd(&fd);
		fs->inode_fds++;
		victim = evict_locked(fs);
		lru_add_locked(fs, t);
	}
	mutex_unlock(&fs->lock);
	fd_drop(&victim);
	return 0;
}

/**
 * inode_pin() - an inode's O_PATH descriptor
 * @i:		a host's inode to which the caller has a reference
 * @pin:	released by inode_unpin() before the reference is
 *
 * Return: 0; -ESTALE if it cannot be found again; -EMFILE; or the -errno of openat2()
 */
int inode_pin(struct fs *fs, struct fs_inode *i, struct pin *pin)
{
	*pin = (struct pin){ .fd = -1 };
	/* Others may evict what this opens, so the number of steps is not just the depth. */
	for (unsigned n = 0; n < 2 * FS_MAX_DEPTH; n++) {
		int r = pin_step(fs, i);

		if (r < 0)
			return r;
		if (r > 0) {
			*pin = (struct pin){ fs, i, i->fd };
			return 0;
		}
	}
	return -ESTALE;
}

/* A pin that holds nothing is fine. */
void inode_unpin(struct pin *pin)
{
	if (!pin->inode)
		return;

	struct fs *fs = pin->fs;
	mutex_lock(&fs->lock);
	int victim = -1;
	if (--pin->inode->pins == 0)
		lru_add_locked(fs, pin->inode);
	victim = evict_locked(fs);
	mutex_unlock(&fs->lock);
	fd_drop(&victim);
	pin->inode = NULL;
}

/**
 * inode_guest_ino() - an inode number that differs between the host's file systems
 *
 * All shares are one file system to the guest, so the high bits tell theirs apart; the first file
 * system met, usually the root's, keeps its numbers.
 */
uint64_t inode_guest_ino(struct fs *fs, uint64_t dev, uint64_t ino)
{
	uint64_t n = 0;

	mutex_lock(&fs->lock);
	while (n < fs->dev_count && fs->devs[n] != dev)
		n++;
	if (n == fs->dev_count && fs->dev_count < FS_MAX_DEVS)
		fs->devs[fs->dev_count++] = dev;
	mutex_unlock(&fs->lock);
	return ino ^ n << 48;
}
