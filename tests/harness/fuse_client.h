/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest kernel's half of FUSE, in this process: builds requests byte by byte, well-formed or
 * not, and waits for the answers.  A file server under test links it with its own objects.
 */
#ifndef PECTEN_TESTS_HARNESS_FUSE_CLIENT_H
#define PECTEN_TESTS_HARNESS_FUSE_CLIENT_H

#include "fs/fs.h"
#include "host/thread.h"

#define FC_MAX (2u << 20) /* bytes of one request or reply */

struct fuse_client {
	struct fs *fs;
	struct fs_thread *t;
	uint64_t unique;
	uint32_t uid, gid;
	size_t piece; /* cut requests and replies into pieces of so many bytes; 0: whole */
};

/* One request that may take its time. */
struct fc_req {
	struct fs_req req;
	struct mutex lock;
	struct cond wake;
	bool is_done;
	uint8_t *in, *out;
	struct iovec *iov_in, *iov_out;
	size_t in_len;
};

/* What follows the header: pieces, one behind the other. */
struct fc_arg {
	const void *p;
	size_t len;
};
#define FC_ARG(x)                                                                                  \
	{                                                                                          \
		&(x), sizeof(x)                                                                    \
	}
#define FC_STR(s)                                                                                  \
	{                                                                                          \
		(s), strlen(s) + 1                                                                 \
	}

void fc_init(struct fuse_client *c, struct fs *fs);
void fc_fini(struct fuse_client *c);

/* Begins a request without waiting for its end; fc_wait() frees it. */
struct fc_req *fc_send(struct fuse_client *c, uint32_t opcode, uint64_t nodeid,
		       const struct fc_arg *args, unsigned n, size_t out_room);
bool fc_is_done(struct fc_req *r);

/**
 * fc_wait() - the answer
 * @out:	receives at most @len bytes behind the header; the rest is zeroed
 * @got:	out: bytes behind the header; may be NULL
 *
 * Return: the error in the header; -EPROTO if there was no reply where one must be
 */
int fc_wait(struct fc_req *r, void *out, size_t len, size_t *got);

/* Both together, with room for @len bytes of reply. */
int fc_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const struct fc_arg *args,
	    unsigned n, void *out, size_t len);

/* Common ones. */
int fc_start(struct fuse_client *c);
int fc_lookup(struct fuse_client *c, uint64_t parent, const char *name, struct fuse_entry_out *e);
int fc_open(struct fuse_client *c, uint64_t nodeid, uint32_t flags, uint64_t *fh);
int fc_create(struct fuse_client *c, uint64_t parent, const char *name, uint32_t flags,
	      uint32_t mode, struct fuse_entry_out *e, uint64_t *fh);
int fc_mkdir(struct fuse_client *c, uint64_t parent, const char *name, uint32_t mode,
	     struct fuse_entry_out *e);
int fc_release(struct fuse_client *c, uint64_t nodeid, uint64_t fh);
int fc_write(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, const void *p,
	     size_t len);
int fc_read(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, void *p, size_t len,
	    size_t *got);
void fc_forget(struct fuse_client *c, uint64_t nodeid, uint64_t nlookup);

#endif
