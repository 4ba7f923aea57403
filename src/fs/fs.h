/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File server: folders of the host offered to a guest in the FUSE protocol (<linux/fuse.h>, 7.31
 * and later).  Bytes in, bytes out: nothing here knows how requests travel.
 *
 * One server shows one tree.  Its root and a few folders and files are synthetic; shares are
 * folders (or single files) of the host, attached to it.  A share cannot be left: the guest only
 * ever gives names of one component, and each is resolved beneath a descriptor that was reached the
 * same way.
 *
 * What a guest may see late: attributes, names and contents that change on the host are seen within
 * FS_TTL_MS.  Nothing is written behind: a write has reached the host's page cache when it is
 * answered.
 */
#ifndef PECTEN_FS_FS_H
#define PECTEN_FS_FS_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/cur.h"
#include "util/err.h"
#include "util/list.h"

#define FS_MAX_WRITE  (1u << 20) /* bytes of data in one READ or WRITE, announced to the guest */
#define FS_TTL_MS     1000       /* how long a guest may trust names and attributes */
#define FS_MAX_INODES (1u << 20) /* inodes a guest may hold, unless configured */

struct fs;
struct fs_thread;

enum fs_identity {
	FS_ID_AUTO, /* as root if we can act as any user, else as user */
	FS_ID_ROOT, /* owners are the host's; objects are created as the guest's user */
	FS_ID_USER, /* our own user appears as 0; other owners and modes live in an xattr */
};

struct fs_config {
	enum fs_identity identity;
	uint32_t max_inodes; /* 0: FS_MAX_INODES */
	uint32_t max_fds;    /* descriptors held for the guest; 0: from RLIMIT_NOFILE */
};

struct fs_share {
	const char *at;        /* place in the tree, "root" or "shares/0"; parents are made */
	const char *host_path; /* folder or file */
	int fd;                /* the same, open (O_PATH will do), borrowed; or -1 for host_path */
	bool is_ro;
	bool refuses_devices; /* mknod() of device nodes fails */
};

/**
 * fs_create() - a server with an empty tree
 * @out:	the caller owns it, see fs_destroy()
 * @e:		sentence for the user; may be NULL
 *
 * Return: 0; -ENOSYS without openat2(); -ENOENT without /proc; -ENOMEM; -EPERM if FS_ID_ROOT is
 *	   asked of a process that may not change owners
 */
int fs_create(const struct fs_config *cfg, struct fs **out, struct err *e) MUST_CHECK;

/* Stops the workers and frees everything; no request is in flight.  NULL is fine. */
void fs_destroy(struct fs *fs);

/**
 * fs_add_dir(), fs_add_file(), fs_add_share() - build the tree, before fs_start()
 * @at:		place, components separated by single slashes, none of them "." or ".."
 * @data:	contents, borrowed as long as the server lives
 * @mode:	permission bits; owner is 0:0
 *
 * Return: 0; -EEXIST if something else is there; -EINVAL for a bad place; -ENOMEM; for a share also
 *	   the -errno of open(), or -EOPNOTSUPP for what cannot be shared (a folder of /proc, a
 *device)
 */
int fs_add_dir(struct fs *fs, const char *at, uint32_t mode, struct err *e) MUST_CHECK;
int fs_add_file(struct fs *fs, const char *at, const void *data, size_t len, uint32_t mode,
		struct err *e) MUST_CHECK;
int fs_add_share(struct fs *fs, const struct fs_share *share, struct err *e) MUST_CHECK;

/**
 * fs_start() - start the workers that carry slow requests
 *
 * Call on a confined thread: the workers inherit its confinement.
 *
 * Return: 0, or the -errno of starting a thread
 */
int fs_start(struct fs *fs, struct err *e) MUST_CHECK;

/**
 * fs_thread_create() - prepare the calling thread for serving
 *
 * The thread gets a umask and file system identity of its own; it must not share them with code
 * that creates files otherwise.
 *
 * Return: 0; -ENOMEM; or the -errno of unshare(CLONE_FS)
 */
int fs_thread_create(struct fs *fs, struct fs_thread **out) MUST_CHECK;

/* On the thread that created it, or after that thread has ended.  NULL is fine. */
void fs_thread_destroy(struct fs_thread *t);

enum fs_req_state { FS_REQ_NEW, FS_REQ_QUEUED, FS_REQ_RUNNING, FS_REQ_PARKED };

/*
 * One request and the room for its reply.  The caller fills in the first part and keeps the object
 * and the memory behind the cursors until done() is called; done() is called exactly once, on any
 * thread, perhaps before fs_submit() returns.
 */
struct fs_req {
	struct cur rd; /* device-readable: fuse_in_header and what follows */
	struct cur wr; /* device-writable: room for fuse_out_header and what follows */
	void (*done)(struct fs_req *req);

	/* For done(). */
	int err;          /* 0; -EPROTO: no request, or no room for any reply */
	uint32_t written; /* bytes of reply; 0 for requests without reply */

	/* The server's own. */
	struct list node;
	enum fs_req_state state;
	bool is_interrupted;
	uint32_t opcode;
	uint64_t unique;
};

/**
 * fs_submit() - carry out a request
 * @t:		the calling thread's
 *
 * Requests that may take long go to a worker; the others are carried out at once.
 */
void fs_submit(struct fs_thread *t, struct fs_req *req);

/**
 * fs_reset() - forget the guest: cancel waiting requests, wait for running ones, close its files
 *
 * Afterwards the next request must be FUSE_INIT.  No fs_submit() runs at the same time.
 */
void fs_reset(struct fs *fs);

/* Figures for tests and `--json`. */
struct fs_stats {
	uint32_t inodes;
	uint32_t handles;
	uint32_t fds; /* held by inodes, handles and lock owners */
	uint32_t parked;
};

void fs_get_stats(struct fs *fs, struct fs_stats *out);

#endif
