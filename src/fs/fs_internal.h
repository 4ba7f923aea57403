/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the file server share. */
#ifndef PECTEN_FS_FS_INTERNAL_H
#define PECTEN_FS_FS_INTERNAL_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fs/fs.h"
#include "fs/wire.h"
#include "host/fd.h"
#include "host/thread.h"

#define FS_WORKERS         6
#define FS_MAX_SHARES      64
#define FS_MAX_DEVS        255  /* file systems of the host told apart in inode numbers */
#define FS_MAX_DEPTH       4096 /* folders between a share's root and an inode */
#define FS_MAX_LOCK_OWNERS 1024
#define FS_MAX_SYNTH       1024
#define FS_XATTR_MAX       65536 /* the kernel's XATTR_SIZE_MAX and XATTR_LIST_MAX */
#define FS_SCRATCH         (FS_XATTR_MAX + 512)
#define FS_PARK_POLL_NS    UINT64_C(20000000) /* retry of locks that the host holds */

/* Results of an operation besides 0 and -errno. */
#define FS_PUNT 1 /* would block: a worker shall do it */
#define FS_PARK 2 /* a lock is held: try again later */

enum fs_kind { FS_HOST, FS_SYNTH_DIR, FS_SYNTH_FILE };

struct share {
	bool is_ro;
	bool refuses_devices;
	bool is_remote; /* network or FUSE file system: anything may block */
	bool is_file;
};

/* Place and contents of what is attached to the tree when it is built. */
struct synth {
	struct fs_inode *child, *sibling;
	const void *data;
	size_t len;
	uint32_t mode;
	char name[NAME_MAX + 1];
};

/* A descriptor beneath which, or a name under which, an inode can be found again. */
struct fs_inode {
	struct fs_inode *hash_next;
	struct list lru;         /* among those whose descriptor nobody uses; empty otherwise */
	struct fs_inode *parent; /* counted; NULL for roots and when the name is not known */
	char *name;              /* in @parent; NULL together with it */
	uint64_t ino;            /* the host's */
	uint64_t dev;
	uint64_t btime_ns; /* 0 if the file system has none */
	uint64_t nodeid;
	uint64_t nlookup; /* references of the guest */
	uint32_t refs;    /* our own: calls, handles, children, lock owners */
	uint32_t pins;    /* calls that use @fd */
	uint32_t handles;
	int fd; /* O_PATH, or -1 */
	uint16_t share;
	uint16_t type; /* S_IFMT on the host */
	uint8_t kind;
	bool is_hashed;
	bool is_root;           /* of a share: @fd is never given up */
	bool is_orphan;         /* which of the two lists @lru is in */
	struct list owners;     /* struct lock_owner */
	uint64_t open_stamp_ns; /* ctime at the last open, if it was settled then; else 0 */

	struct synth *synth; /* of what the tree itself holds; else NULL */
};

struct fs_handle {
	struct fs_inode *inode; /* counted */
	uint64_t fh;
	uint32_t refs;
	int fd; /* -1 for synthetic ones */
	bool is_dir;
	bool is_sync;
	bool can_write;
	_Atomic bool has_written;
	struct mutex lock; /* all below; a folder's descriptor has one position only */
	int64_t pos;       /* -1: not known */
	uint8_t *dents;    /* entries read and not sent yet; NULL if there are none */
	size_t dents_len;
};

/* A POSIX lock's owner: an open file description of its own, so that OFD locks tell them apart. */
struct lock_owner {
	struct list node;
	uint64_t owner;
	uint64_t fh;  /* through which it locked last */
	uint32_t pid; /* the guest's */
	uint32_t refs;
	int fd;
	bool can_write;
};

/* Slots with generations: a number that the guest kept too long finds nothing. */
struct slots {
	struct slot {
		void *p;
		uint32_t gen;
		uint32_t next_free;
	} * v;
	uint32_t cap;  /* slots allocated */
	uint32_t used; /* slots ever used, slot 0 never is */
	uint32_t live;
	uint32_t max;
	uint32_t first_free; /* 0: none */
};

struct fs {
	struct mutex lock; /* all below but the constants */
	struct slots inodes;
	struct slots handles;
	struct fs_inode **hash;
	uint32_t hash_cap; /* power of two */
	uint32_t hashed;
	struct list lru;     /* reopenable, least recently used first */
	struct list orphans; /* those that could not be found again */
	uint32_t inode_fds;
	uint32_t orphan_fds;
	uint32_t lock_owners;
	uint64_t devs[FS_MAX_DEVS];
	uint32_t dev_count;
	bool is_inited;
	bool has_setxattr_ext;

	/* Constant after fs_start(). */
	struct fs_inode *root;
	struct share shares[FS_MAX_SHARES];
	uint32_t share_count;
	uint32_t synth_count;
	uint32_t max_inode_fds;
	uint32_t max_orphan_fds;
	uint32_t max_lock_owners;
	bool as_user;
	uid_t uid;
	gid_t gid;

	struct mutex pool_lock; /* all below; never taken together with lock */
	struct cond pool_wake;
	struct cond pool_idle;
	struct list queue;
	struct list parked;
	struct list active; /* what workers carry out */
	uint32_t running;
	uint64_t next_poll_ns;
	bool retry; /* some lock was released */
	bool cancelling;
	bool stopping;
	unsigned workers_up;
	int start_err;
	pthread_t workers[FS_WORKERS];
	unsigned worker_count;
};

struct fs_thread {
	struct fs *fs;
	mode_t umask;
	uint8_t scratch[FS_SCRATCH];
};

/* One request while it is carried out. */
struct fs_call {
	struct fs *fs;
	struct fs_thread *t;
	struct fs_req *req;
	struct fuse_in_header hdr;
	struct cur in;  /* behind the fixed arguments, without extensions */
	struct cur ext; /* extensions */
	struct cur out; /* behind the reply's header */
	uint32_t out_len;
	bool in_pool;
	struct fs_inode *inode;    /* hdr.nodeid, counted; NULL if the operation takes none */
	const struct share *share; /* its share; NULL for synthetic ones */
	union fs_arg arg;
};

/* What a guest sees of an object, and what the host has. */
struct fs_stat {
	uint64_t ino; /* as the guest sees it */
	uint64_t size, blocks;
	struct statx_timestamp atime, mtime, ctime, btime;
	uint32_t mask; /* STATX_BTIME or 0 */
	uint32_t mode, nlink, uid, gid, blksize, rdev_major, rdev_minor;
	uint64_t attributes, attributes_mask;
	uint64_t host_ino, host_dev, btime_ns, ctime_ns;
	uint32_t host_mode, host_uid, host_gid;
	bool has_owner_record;
};

/* slots.c */
void slots_fini(struct slots *s);
int slots_add(struct slots *s, void *p, uint64_t *id) MUST_CHECK;
void *slots_get(const struct slots *s, uint64_t id);
void slots_del(struct slots *s, uint64_t id);

/* inode.c */
struct fs_inode *inode_get(struct fs *fs, uint64_t nodeid);
void inode_ref(struct fs *fs, struct fs_inode *i);
void inode_put(struct fs *fs, struct fs_inode *i);
void inode_forget(struct fs *fs, uint64_t nodeid, uint64_t nlookup);
int inode_learn(struct fs *fs, uint16_t share, const struct fs_stat *st, struct fs_inode *parent,
		const char *name, int *fd, struct fs_inode **out) MUST_CHECK;
struct fs_inode *inode_find(struct fs *fs, uint16_t share, const struct fs_stat *st);
void inode_moved(struct fs *fs, struct fs_inode *i, struct fs_inode *parent, const char *name);
void inode_unnamed(struct fs *fs, struct fs_inode *i, struct fs_inode *parent, const char *name);
struct fs_inode *inode_new(struct fs *fs, uint8_t kind) MUST_CHECK;
void inode_drop_all(struct fs *fs);
void inode_free_permanent(struct fs *fs);
uint64_t inode_guest_ino(struct fs *fs, uint64_t dev, uint64_t ino);

/* An inode's O_PATH descriptor, kept open until the end of the scope. */
struct pin {
	struct fs *fs;
	struct fs_inode *inode;
	int fd;
};
int inode_pin(struct fs *fs, struct fs_inode *i, struct pin *pin) MUST_CHECK;
void inode_unpin(struct pin *pin);
#define AUTO_PIN CLEANUP(inode_unpin) struct pin

/* A counted inode; put at the end of the scope. */
struct inode_ref {
	struct fs *fs;
	struct fs_inode *inode;
};
void inode_ref_put(struct inode_ref *r);
#define AUTO_INODE CLEANUP(inode_ref_put) UNUSED struct inode_ref

/* handle.c */
int handle_add(struct fs *fs, struct fs_inode *i, int *fd, uint32_t flags, bool is_dir,
	       uint64_t *fh) MUST_CHECK;
struct fs_handle *handle_get(struct fs *fs, uint64_t fh, const struct fs_inode *i, bool is_dir);
void handle_put(struct fs *fs, struct fs_handle *h);
int handle_del(struct fs *fs, uint64_t fh, const struct fs_inode *i, bool is_dir) MUST_CHECK;
void handle_drop_all(struct fs *fs);

struct handle_ref {
	struct fs *fs;
	struct fs_handle *h;
};
void handle_ref_put(struct handle_ref *r);
#define AUTO_HANDLE CLEANUP(handle_ref_put) struct handle_ref

/* stat.c: one object's attributes; @name "" means the descriptor's own object */
int stat_at(struct fs *fs, int dirfd, const char *name, struct fs_stat *st) MUST_CHECK;
void stat_synth(const struct fs_inode *i, struct fs_stat *st);
void stat_to_attr(const struct fs_stat *st, struct fuse_attr *a);
void stat_to_statx(const struct fs_stat *st, struct wire_statx *sx);
bool stat_is_forbidden_mount(int dirfd, const char *name);

/* "/proc/self/fd/N" or "/proc/self/fd/N/NAME" */
struct proc_path {
	char s[32 + NAME_MAX + 1];
};
struct proc_path proc_path(int fd, const char *name);

/* owner.c: owners and modes that an ordinary user cannot give to files */
#define OWNER_XATTR        "user.pecten.owner"
#define OWNER_XATTR_PREFIX "user.pecten."
struct owner {
	uint32_t uid, gid, mode; /* mode with type */
	uint32_t rdev_major, rdev_minor;
	uint32_t host_mode; /* permission bits that the host had when this was written */
};
int owner_parse(const char *s, size_t len, struct owner *o) MUST_CHECK;
size_t owner_format(const struct owner *o, char *s, size_t max);
void owner_apply(struct fs *fs, int dirfd, const char *name, struct fs_stat *st);
int owner_store(struct fs *fs, int fd, const struct fs_stat *st, uint32_t uid, uint32_t gid,
		uint32_t mode, uint32_t major, uint32_t minor) MUST_CHECK;
int owner_kill_setid(struct fs *fs, int fd) MUST_CHECK;
int owner_unlock(struct fs *fs, int fd) MUST_CHECK;

/* xattr.c: capabilities of a file that we keep ourselves end with its contents or its owner */
void xattr_kill_caps(struct fs *fs, int fd);

/* cred.c */
struct creds {
	struct fs_thread *t;
	bool is_switched;
};
int creds_take(struct fs_call *c, uint32_t umask, struct creds *cr) MUST_CHECK;
void creds_restore(struct creds *cr);
#define AUTO_CREDS CLEANUP(creds_restore) struct creds
bool creds_can_be_anyone(void);
/* Around a write by a process that the guest says lacks CAP_FSETID. */
void creds_drop_fsetid(struct fs *fs);
void creds_restore_fsetid(struct fs *fs);

/* call.c: arguments and replies */
int call_name(struct fs_call *c, char name[NAME_MAX + 1]) MUST_CHECK;
int call_string(struct fs_call *c, char *s, size_t max) MUST_CHECK;
int call_reply(struct fs_call *c, const void *p, size_t len) MUST_CHECK;
int call_reply_entry(struct fs_call *c, struct fs_inode *i, const struct fs_stat *st) MUST_CHECK;
void call_fill_entry(const struct fs_inode *i, const struct fs_stat *st, struct fuse_entry_out *o);
int call_reply_attr(struct fs_call *c, const struct fs_stat *st) MUST_CHECK;

/* server.c */
void server_retry_locks(struct fs *fs);

/* lock.c */
void lock_release_owner(struct fs *fs, struct fs_inode *i, uint64_t owner);
void lock_release_handle(struct fs *fs, struct fs_inode *i, uint64_t fh);
void lock_release_all(struct fs *fs, struct fs_inode *i);

/* Operations: 0, -errno, FS_PUNT or FS_PARK. */
int op_lookup(struct fs_call *c);
int op_getattr(struct fs_call *c);
int op_statx(struct fs_call *c);
int op_setattr(struct fs_call *c);
int op_readlink(struct fs_call *c);
int op_symlink(struct fs_call *c);
int op_mknod(struct fs_call *c);
int op_mkdir(struct fs_call *c);
int op_unlink(struct fs_call *c);
int op_rmdir(struct fs_call *c);
int op_rename(struct fs_call *c);
int op_rename2(struct fs_call *c);
int op_link(struct fs_call *c);
int op_open(struct fs_call *c);
int op_create(struct fs_call *c);
int op_tmpfile(struct fs_call *c);
int op_read(struct fs_call *c);
int op_write(struct fs_call *c);
int op_statfs(struct fs_call *c);
int op_release(struct fs_call *c);
int op_flush(struct fs_call *c);
int op_fsync(struct fs_call *c);
int op_setxattr(struct fs_call *c);
int op_getxattr(struct fs_call *c);
int op_listxattr(struct fs_call *c);
int op_removexattr(struct fs_call *c);
int op_opendir(struct fs_call *c);
int op_readdir(struct fs_call *c);
int op_readdirplus(struct fs_call *c);
int op_releasedir(struct fs_call *c);
int op_fsyncdir(struct fs_call *c);
int op_getlk(struct fs_call *c);
int op_setlk(struct fs_call *c);
int op_setlkw(struct fs_call *c);
int op_fallocate(struct fs_call *c);
int op_lseek(struct fs_call *c);
int op_copy_file_range(struct fs_call *c);
int op_syncfs(struct fs_call *c);

/* What creating by name shares between name.c and file.c. */
int name_created(struct fs_call *c, int dirfd, const char *name, struct fs_stat *st,
		 struct fs_inode **out) MUST_CHECK;
int name_lookup(struct fs *fs, struct fs_inode *dir, int dirfd, const char *name,
		struct fs_stat *st, struct fs_inode **out) MUST_CHECK;
int name_openat(int dirfd, const char *name, int flags, mode_t mode);
int name_inherit(struct fs_call *c, int dirfd, uint32_t mode, uint32_t *gid,
		 uint32_t *out_mode) MUST_CHECK;

#endif
