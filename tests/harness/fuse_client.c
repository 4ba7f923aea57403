// SPDX-License-Identifier: Apache-2.0
/* See fuse_client.h.  Running out of memory ends the test program. */
#include <errno.h>
#include <sys/stat.h>

#include "fuse_client.h"

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void fc_init(struct fuse_client *c, struct fs *fs)
{
	*c = (struct fuse_client){ .fs = fs };
	if (fs_thread_create(fs, &c->t) < 0)
		abort();
}

void fc_fini(struct fuse_client *c)
{
	fs_thread_destroy(c->t);
	c->t = NULL;
}

static struct cur cut(uint8_t *p, size_t len, size_t piece, struct iovec **iov)
{
	size_t n = piece ? (len + piece - 1) / piece : 1;

	*iov = must(calloc(n ? n : 1, sizeof(**iov)));
	for (size_t k = 0, at = 0; k < n; k++) {
		size_t l = piece && len - at > piece ? piece : len - at;

		(*iov)[k] = (struct iovec){ p + at, l };
		at += l;
	}
	return cur_init(*iov, n);
}

static void on_done(struct fs_req *req)
{
	struct fc_req *r = container_of(req, struct fc_req, req);

	mutex_lock(&r->lock);
	r->is_done = true;
	cond_broadcast(&r->wake);
	mutex_unlock(&r->lock);
}

struct fc_req *fc_send(struct fuse_client *c, uint32_t opcode, uint64_t nodeid,
		       const struct fc_arg *args, unsigned n, size_t out_room)
{
	struct fc_req *r = must(calloc(1, sizeof(*r)));
	struct fuse_in_header h = {
		.opcode = opcode,
		.unique = c->unique += 2,
		.nodeid = nodeid,
		.uid = c->uid,
		.gid = c->gid,
	};
	size_t len = sizeof(h);

	mutex_init(&r->lock);
	cond_init(&r->wake);
	for (unsigned k = 0; k < n; k++)
		len += args[k].len;
	r->in = must(malloc(len));
	r->in_len = len;
	h.len = (uint32_t)len;
	memcpy(r->in, &h, sizeof(h));
	len = sizeof(h);
	for (unsigned k = 0; k < n; k++) {
		if (args[k].len)
			memcpy(r->in + len, args[k].p, args[k].len);
		len += args[k].len;
	}
	r->out = must(malloc(out_room ? out_room : 1));
	memset(r->out, 0xa5, out_room);
	r->req.rd = cut(r->in, len, c->piece, &r->iov_in);
	r->req.wr = cut(r->out, out_room, c->piece, &r->iov_out);
	r->req.done = on_done;
	fs_submit(c->t, &r->req);
	return r;
}

bool fc_is_done(struct fc_req *r)
{
	mutex_lock(&r->lock);
	bool is_done = r->is_done;
	mutex_unlock(&r->lock);
	return is_done;
}

int fc_wait(struct fc_req *r, void *out, size_t len, size_t *got)
{
	struct fuse_out_header h = { 0 };

	mutex_lock(&r->lock);
	while (!r->is_done)
		cond_wait(&r->wake, &r->lock);
	mutex_unlock(&r->lock);

	int err = r->req.err;
	size_t body = 0;
	if (len)
		memset(out, 0, len);
	if (err == 0 && r->req.written >= sizeof(h)) {
		memcpy(&h, r->out, sizeof(h));
		body = h.len - sizeof(h);
		if (h.len != r->req.written || h.unique != r->req.unique || h.error > 0)
			abort();
		if (len)
			memcpy(out, r->out + sizeof(h), body < len ? body : len);
		err = h.error;
	} else if (err == 0) {
		err = -EPROTO;
	}
	if (got)
		*got = body;
	free(r->in);
	free(r->out);
	free(r->iov_in);
	free(r->iov_out);
	mutex_fini(&r->lock);
	cond_fini(&r->wake);
	free(r);
	return err;
}

int fc_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const struct fc_arg *args,
	    unsigned n, void *out, size_t len)
{
	return fc_wait(fc_send(c, opcode, nodeid, args, n, sizeof(struct fuse_out_header) + len),
		       out, len, NULL);
}

int fc_start(struct fuse_client *c)
{
	struct fuse_init_in in = {
		.major = 7,
		.minor = 38,
		.max_readahead = 65536,
		.flags = INT32_MAX,
		.flags2 = UINT32_MAX,
	};
	struct fuse_init_out out;

	return fc_call(c, FUSE_INIT, 0, (struct fc_arg[]){ FC_ARG(in) }, 1, &out, sizeof(out));
}

int fc_lookup(struct fuse_client *c, uint64_t parent, const char *name, struct fuse_entry_out *e)
{
	int r = fc_call(c, FUSE_LOOKUP, parent, (struct fc_arg[]){ FC_STR(name) }, 1, e,
			sizeof(*e));

	return r == 0 && e->nodeid == 0 ? -ENOENT : r;
}

int fc_open(struct fuse_client *c, uint64_t nodeid, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	int r = fc_call(c, FUSE_OPEN, nodeid, (struct fc_arg[]){ FC_ARG(in) }, 1, &out,
			sizeof(out));

	*fh = out.fh;
	return r;
}

int fc_create(struct fuse_client *c, uint64_t parent, const char *name, uint32_t flags,
	      uint32_t mode, struct fuse_entry_out *e, uint64_t *fh)
{
	struct fuse_create_in in = { .flags = flags, .mode = S_IFREG | mode };
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out;
	int r = fc_call(c, FUSE_CREATE, parent, (struct fc_arg[]){ FC_ARG(in), FC_STR(name) }, 2,
			&out, sizeof(out));

	*e = out.e;
	*fh = out.o.fh;
	return r;
}

int fc_mkdir(struct fuse_client *c, uint64_t parent, const char *name, uint32_t mode,
	     struct fuse_entry_out *e)
{
	struct fuse_mkdir_in in = { .mode = mode };

	return fc_call(c, FUSE_MKDIR, parent, (struct fc_arg[]){ FC_ARG(in), FC_STR(name) }, 2, e,
		       sizeof(*e));
}

int fc_release(struct fuse_client *c, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = { .fh = fh };

	return fc_call(c, FUSE_RELEASE, nodeid, (struct fc_arg[]){ FC_ARG(in) }, 1, NULL, 0);
}

int fc_write(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, const void *p,
	     size_t len)
{
	struct fuse_write_in in = { .fh = fh, .offset = off, .size = (uint32_t)len };
	struct fuse_write_out out;
	int r = fc_call(c, FUSE_WRITE, nodeid, (struct fc_arg[]){ FC_ARG(in), { p, len } }, 2, &out,
			sizeof(out));

	return r < 0 ? r : (int)out.size;
}

int fc_read(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, void *p, size_t len,
	    size_t *got)
{
	struct fuse_read_in in = { .fh = fh, .offset = off, .size = (uint32_t)len };

	return fc_wait(fc_send(c, FUSE_READ, nodeid, (struct fc_arg[]){ FC_ARG(in) }, 1,
			       sizeof(struct fuse_out_header) + len),
		       p, len, got);
}

void fc_forget(struct fuse_client *c, uint64_t nodeid, uint64_t nlookup)
{
	struct fuse_forget_in in = { .nlookup = nlookup };

	(void)fc_wait(fc_send(c, FUSE_FORGET, nodeid, (struct fc_arg[]){ FC_ARG(in) }, 1, 0), NULL,
		      0, NULL);
}
