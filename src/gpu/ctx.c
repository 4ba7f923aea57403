/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: each a renderer process behind a socket.  See gpu_internal.h and render/ctx_msg.h.
 *
 * What cannot be sent at once waits in the context's queue, submissions in the driver's own
 * memory.  What is known of a renderer is what it has said: an answer that nobody asked for is the
 * end of its context.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "gpu/gpu_internal.h"
#include "host/fd.h"
#include "util/log.h"

#define PIECES_MAX 64 /* of guest memory in one message */
#define HEED_MAX   64 /* messages that one event handles: others want to be served too */

/* A message, or the commands of a request, that the socket had no room for. */
struct gpu_out {
	struct list node;
	struct gpu_req *req; /* SUBMIT_3D: send what is left of it; else NULL */
	struct ctx_msg m;
	int fd; /* owned; -1: none */
};

struct gpu_ctx {
	struct list node; /* gpu's: ctxs or leaving */
	struct gpu *g;
	uint32_t id;
	uint64_t serial;
	char name[CTX_NAME_MAX];
	int sock; /* -1: the context is lost */
	struct loop_fd src;
	struct list out;
	struct list waiting;                 /* requests whose answers come in order */
	struct list timeline[CTX_TIMELINES]; /* requests with fences, in order */
	uint64_t next_id;
	uint64_t sent_id; /* of the last CREATE_BLOB or IMPORT that is on its way */
};

/* What is left of a queue when it is not going to be sent. */
static void out_free(struct gpu_out *o)
{
	list_del(&o->node);
	fd_drop(&o->fd);
	free(o);
}

static void fail(struct gpu *g, struct gpu_req *req, uint32_t type)
{
	list_del(&req->node);
	gpu_answer(g, req, type);
}

static void fail_all(struct gpu *g, struct list *reqs)
{
	while (!list_empty(reqs))
		fail(g, container_of(reqs->next, struct gpu_req, node),
		     VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

static void ctx_free(struct gpu_ctx *ctx)
{
	list_del(&ctx->node);
	ctx->g->n_ctxs--;
	free(ctx);
}

/* A renderer that answers no more: whoever waits for it waits no longer. */
static void ctx_close(struct gpu_ctx *ctx)
{
	struct gpu *g = ctx->g;

	loop_del(&ctx->src);
	fd_drop(&ctx->sock);
	gpu_res_forget_ctx(g, ctx->serial);
	while (!list_empty(&ctx->out)) {
		struct gpu_out *o = container_of(ctx->out.next, struct gpu_out, node);
		struct gpu_req *req = o->req;

		out_free(o);
		if (req)
			fail(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	}
	while (!list_empty(&ctx->waiting)) {
		struct gpu_req *req = container_of(ctx->waiting.next, struct gpu_req, node);
		const struct ctx_msg m = { .type = CTX_MSG_BLOB, .code = -ECONNRESET };

		list_del(&req->node);
		if (req->hdr.type != VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB)
			gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		else
			(void)!gpu_res_created(g, req, &m, -1);
	}
	for (unsigned i = 0; i < CTX_TIMELINES; i++)
		fail_all(g, &ctx->timeline[i]);
}

static bool is_leaving(const struct gpu_ctx *ctx)
{
	return ctx->id == 0;
}

/* @why: NULL if it was to be expected */
static void ctx_lost(struct gpu_ctx *ctx, const char *why)
{
	if (!is_leaving(ctx))
		log_guest(GPU, "the context of '%s' is lost: %s", ctx->name,
			  why ? why : "its renderer has ended");
	/* First of all: whoever wakes up because a fence is reached shall see it. */
	gpu_res_mark_rings(ctx->g, ctx->serial);
	ctx_close(ctx);
	if (is_leaving(ctx))
		ctx_free(ctx);
}

/* One packet. Return: 0, -EAGAIN if the socket is full, or -errno */
static int send_packet(struct gpu_ctx *ctx, const struct ctx_msg *m, const struct iovec *data,
		       size_t n, int fd)
{
	struct iovec iov[1 + PIECES_MAX] = { { .iov_base = (void *)(uintptr_t)m,
					       .iov_len = sizeof(*m) } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 1 + n };

	if (n)
		memcpy(iov + 1, data, n * sizeof(*data));
	if (fd >= 0) {
		msg.msg_control = c.buf;
		msg.msg_controllen = sizeof(c.buf);
		struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	for (;;) {
		/* syscall: sendmsg */
		if (sendmsg(ctx->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			return errno == ENOBUFS ? -EAGAIN : -errno;
	}
}

/* Sends what is left of a submission. Return: as send_packet() */
static int send_commands(struct gpu_ctx *ctx, struct gpu_req *req)
{
	const bool is_fenced = req->hdr.flags & VIRTIO_GPU_FLAG_FENCE;
	struct ctx_msg m = { .type = CTX_MSG_SUBMIT, .id = req->id };
	struct iovec pieces[PIECES_MAX];
	int r = 0;

	if (req->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX)
		m.ring_idx = req->hdr.ring_idx;
	do {
		struct cur rest = req->chain.rd;
		struct cur front;
		size_t bytes = 0;

		cur_split(&rest, req->left < CTX_DATA_MAX ? req->left : CTX_DATA_MAX, &front);
		size_t n = cur_iov(&front, pieces, PIECES_MAX, &bytes);
		m.flags = bytes < req->left ? CTX_MSG_MORE : is_fenced ? CTX_MSG_FENCED : 0;
		r = send_packet(ctx, &m, pieces, n, -1);
		if (r < 0)
			return r;
		r = cur_skip(&req->chain.rd, bytes);
		assert(r == 0); /* the pieces were its own */
		req->left -= (uint32_t)bytes;
	} while (m.flags & CTX_MSG_MORE);
	return 0;
}

/* All of a submission is on its way. */
static void commands_sent(struct gpu_ctx *ctx, struct gpu_req *req)
{
	uint32_t ring = req->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX ? req->hdr.ring_idx : 0;

	list_del(&req->node);
	if (req->hdr.flags & VIRTIO_GPU_FLAG_FENCE)
		list_add_tail(&ctx->timeline[ring], &req->node);
	else
		gpu_answer(ctx->g, req, VIRTIO_GPU_RESP_OK_NODATA);
}

/* Return: 0, or -errno that is the end of the context */
static int flush_out(struct gpu_ctx *ctx)
{
	while (!list_empty(&ctx->out)) {
		struct gpu_out *o = container_of(ctx->out.next, struct gpu_out, node);
		struct gpu_req *req = o->req;
		int r = req ? send_commands(ctx, req) : send_packet(ctx, &o->m, NULL, 0, o->fd);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		if (o->m.id)
			ctx->sent_id = o->m.id;
		out_free(o);
		if (req)
			commands_sent(ctx, req);
	}
	return loop_mod(&ctx->src, LOOP_READ);
}

/* Puts something behind what waits for room. */
static int queue_out(struct gpu_ctx *ctx, struct gpu_req *req, const struct ctx_msg *m, int fd)
{
	AUTO_FD copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1; /* syscall: fcntl */

	if (fd >= 0 && copy < 0)
		return -errno;

	struct gpu_out *o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->req = req;
	if (m)
		o->m = *m;
	o->fd = take_fd(&copy);
	list_add_tail(&ctx->out, &o->node);
	return loop_mod(&ctx->src, LOOP_READ | LOOP_WRITE);
}

/* Return: 0 when it is sent or queued; else the context is lost */
static int send_msg(struct gpu_ctx *ctx, const struct ctx_msg *m, int fd)
{
	int r = list_empty(&ctx->out) ? send_packet(ctx, m, NULL, 0, fd) : -EAGAIN;

	if (r == 0 && m->id)
		ctx->sent_id = m->id;
	return r == -EAGAIN ? queue_out(ctx, NULL, m, fd) : r;
}

static bool is_taken(const struct gpu *g, uint32_t id)
{
	list_for_each(it, &g->ctxs)
	{
		if (container_of(it, struct gpu_ctx, node)->id == id)
			return true;
	}
	return false;
}

struct gpu_ctx *gpu_ctx_find(struct gpu *g, uint32_t id)
{
	list_for_each(it, &g->ctxs)
	{
		struct gpu_ctx *ctx = container_of(it, struct gpu_ctx, node);

		if (ctx->id == id)
			return ctx->sock < 0 ? NULL : ctx;
	}
	return NULL;
}

uint64_t gpu_ctx_serial(const struct gpu_ctx *ctx)
{
	return ctx->serial;
}

/* ---- what a renderer says ---- */

/* The request that an answer is for; NULL if it is for none, or for one it cannot know of yet. */
static struct gpu_req *take_waiting(struct gpu_ctx *ctx, uint64_t id, uint32_t type)
{
	if (list_empty(&ctx->waiting))
		return NULL;

	struct gpu_req *req = container_of(ctx->waiting.next, struct gpu_req, node);
	if (req->id != id || id > ctx->sent_id || req->hdr.type != type)
		return NULL;
	list_del(&req->node);
	return req;
}

static int on_blob(struct gpu_ctx *ctx, const struct ctx_msg *m, int *fd)
{
	struct gpu_req *req = take_waiting(ctx, m->id, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB);

	return req ? gpu_res_created(ctx->g, req, m, take_fd(fd)) : -EPROTO;
}

static int on_imported(struct gpu_ctx *ctx, const struct ctx_msg *m)
{
	struct gpu_req *req = take_waiting(ctx, m->id, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE);

	if (!req)
		return -EPROTO;
	if (m->code < 0)
		(void)gpu_res_unshare(ctx->g, req->res_id, ctx->serial);
	gpu_answer(ctx->g, req, m->code < 0 ? gpu_error(m->code) : VIRTIO_GPU_RESP_OK_NODATA);
	return 0;
}

/* Fence ->id of a timeline, and so all before it. */
static int on_retired(struct gpu_ctx *ctx, const struct ctx_msg *m)
{
	if (m->ring_idx >= CTX_TIMELINES)
		return -EPROTO;
	while (!list_empty(&ctx->timeline[m->ring_idx])) {
		struct gpu_req *req =
			container_of(ctx->timeline[m->ring_idx].next, struct gpu_req, node);

		if (req->id > m->id)
			break;
		list_del(&req->node);
		gpu_answer(ctx->g, req,
			   req->id == m->id && m->code < 0 ? gpu_error(m->code)
							   : VIRTIO_GPU_RESP_OK_NODATA);
	}
	return 0;
}

static int heed(struct gpu_ctx *ctx, const struct ctx_msg *m, int *fd)
{
	switch (m->type) {
	case CTX_MSG_BLOB:
		return on_blob(ctx, m, fd);
	case CTX_MSG_IMPORTED:
		return on_imported(ctx, m);
	case CTX_MSG_RETIRED:
		return on_retired(ctx, m);
	case CTX_MSG_RING:
		return gpu_res_ring(ctx->g, ctx->serial, m);
	case CTX_MSG_LOST:
		if (!is_leaving(ctx))
			log_guest(GPU,
				  "the context of '%s' is lost: its commands broke the protocol, "
				  "or the "
				  "GPU was lost",
				  ctx->name);
		return 0;
	default:
		return -EPROTO;
	}
}

/* Return: 0 to go on, -EAGAIN when there is no more, else the end */
static int receive_one(struct gpu_ctx *ctx)
{
	AUTO_FD fd = -1;
	unsigned nfds = 1;
	struct ctx_msg m;
	ssize_t n = fd_recv(ctx->sock, &m, sizeof(m), &fd, &nfds);

	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof(m) ? heed(ctx, &m, &fd) : -EPROTO;
}

static void on_event(struct loop_fd *src, unsigned events)
{
	struct gpu_ctx *ctx = container_of(src, struct gpu_ctx, src);
	struct gpu *g = ctx->g;
	int r = 0;

	/* An answer may run other requests, and one of them find the renderer gone. */
	for (int i = 0; i < HEED_MAX && r == 0 && ctx->sock >= 0; i++)
		r = receive_one(ctx);
	if (r == -EAGAIN || ctx->sock < 0)
		r = 0;
	if (r == 0 && ctx->sock >= 0 && (events & LOOP_WRITE))
		r = flush_out(ctx);
	if (r < 0)
		ctx_lost(ctx, r == -EPROTO ? "its renderer sent nonsense" : NULL);
	gpu_signal(g);
}

/* ---- what the driver asks for ---- */

static int ctx_start(struct gpu_ctx *ctx)
{
	const struct ctx_msg m = { .type = CTX_MSG_BEGIN };
	const struct iovec name = { .iov_base = ctx->name, .iov_len = strlen(ctx->name) };
	struct gpu *g = ctx->g;
	int r = g->cfg.connect(g->cfg.arg, &ctx->sock);

	if (r < 0)
		return r;
	r = send_packet(ctx, &m, &name, 1, -1);
	if (r < 0)
		return r;
	ctx->src = (struct loop_fd){ .fd = ctx->sock, .fn = on_event };
	return loop_add(g->dev.loop, &ctx->src, LOOP_READ);
}

static struct gpu_ctx *ctx_new(struct gpu *g, uint32_t id)
{
	struct gpu_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->g = g;
	ctx->id = id;
	ctx->serial = ++g->serials;
	ctx->sock = -1;
	ctx->next_id = 1;
	list_init(&ctx->out);
	list_init(&ctx->waiting);
	for (unsigned i = 0; i < CTX_TIMELINES; i++)
		list_init(&ctx->timeline[i]);
	list_add_tail(&g->ctxs, &ctx->node);
	g->n_ctxs++;
	return ctx;
}

void gpu_ctx_create(struct gpu *g, struct gpu_req *req)
{
	struct virtio_gpu_ctx_create c;

	if (cur_read(&req->chain.rd, &c.nlen, sizeof(c) - sizeof(c.hdr)) < 0 ||
	    (c.context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK) != g->cfg.capset_id ||
	    c.nlen > sizeof(c.debug_name)) {
		log_guest(GPU, "the driver asked for a context that is not for Vulkan; the guest "
			       "has no OpenGL of its own here");
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		return;
	}
	if (req->hdr.ctx_id == 0 || is_taken(g, req->hdr.ctx_id)) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		return;
	}
	if (g->n_ctxs == g->cfg.limits.contexts) {
		log_guest(GPU, "the guest has %u contexts, which is the limit", g->n_ctxs);
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
		return;
	}

	struct gpu_ctx *ctx = ctx_new(g, req->hdr.ctx_id);
	if (!ctx) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
		return;
	}
	for (uint32_t i = 0; i < c.nlen && i < sizeof(ctx->name) - 1 && c.debug_name[i]; i++)
		ctx->name[i] =
			c.debug_name[i] >= 0x20 && c.debug_name[i] < 0x7f ? c.debug_name[i] : '?';

	int r = ctx_start(ctx);
	if (r < 0) {
		log_guest(GPU, "no renderer for '%s': %s", ctx->name, strerror(-r));
		ctx_close(ctx);
		ctx_free(ctx);
	}
	gpu_answer(g, req, r < 0 ? gpu_error(r) : VIRTIO_GPU_RESP_OK_NODATA);
}

/*
 * The driver's name for the context is free at once.  What has been sent is still carried out, and
 * its fences are reached, while the renderer comes to its end.
 */
void gpu_ctx_destroy(struct gpu *g, struct gpu_req *req)
{
	struct gpu_ctx *ctx = NULL;

	list_for_each(it, &g->ctxs)
	{
		if (container_of(it, struct gpu_ctx, node)->id == req->hdr.ctx_id)
			ctx = container_of(it, struct gpu_ctx, node);
	}
	if (!ctx) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		return;
	}
	ctx->id = 0;
	while (!list_empty(&ctx->out)) {
		struct gpu_out *o = container_of(ctx->out.next, struct gpu_out, node);
		struct gpu_req *unsent = o->req;

		out_free(o);
		if (unsent)
			fail(g, unsent, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	}
	if (ctx->sock < 0) {
		ctx_free(ctx);
	} else {
		list_del(&ctx->node);
		list_add_tail(&g->leaving, &ctx->node);
		gpu_res_forget_ctx(g, ctx->serial);
		/* syscall: shutdown */
		(void)shutdown(ctx->sock, SHUT_WR);
		if (loop_mod(&ctx->src, LOOP_READ) < 0)
			ctx_lost(ctx, NULL);
	}
	gpu_answer(g, req, VIRTIO_GPU_RESP_OK_NODATA);
}

void gpu_ctx_submit(struct gpu *g, struct gpu_req *req)
{
	struct gpu_ctx *ctx = gpu_ctx_find(g, req->hdr.ctx_id);
	struct virtio_gpu_cmd_submit c;

	if (!ctx) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		return;
	}
	if (cur_read(&req->chain.rd, &c.size, sizeof(c) - sizeof(c.hdr)) < 0 ||
	    c.size > cur_left(&req->chain.rd) || c.size > CTX_SUBMIT_MAX ||
	    ((req->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX) &&
	     req->hdr.ring_idx >= CTX_TIMELINES)) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		return;
	}
	req->left = c.size;
	req->id = ctx->next_id++;

	int r = list_empty(&ctx->out) ? send_commands(ctx, req) : -EAGAIN;
	if (r == 0) {
		commands_sent(ctx, req);
		return;
	}
	if (r == -EAGAIN)
		r = queue_out(ctx, req, NULL, -1);
	if (r == 0)
		return;
	gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	ctx_lost(ctx, NULL);
}

void gpu_ctx_create_blob(struct gpu_ctx *ctx, struct gpu_req *req, uint64_t blob_id, uint64_t size,
			 uint32_t flags)
{
	const struct ctx_msg m = {
		.type = CTX_MSG_CREATE_BLOB,
		.id = ctx->next_id++,
		.res_id = req->res_id,
		.blob_flags = flags,
		.blob_id = blob_id,
		.size = size,
	};

	req->id = m.id;
	list_add_tail(&ctx->waiting, &req->node);
	if (send_msg(ctx, &m, -1) < 0)
		ctx_lost(ctx, NULL); /* which answers the request */
}

void gpu_ctx_unref(struct gpu *g, uint64_t serial, uint32_t res_id)
{
	const struct ctx_msg m = { .type = CTX_MSG_UNREF, .res_id = res_id };

	list_for_each(it, &g->ctxs)
	{
		struct gpu_ctx *ctx = container_of(it, struct gpu_ctx, node);

		if (ctx->serial != serial)
			continue;
		if (ctx->sock >= 0 && send_msg(ctx, &m, -1) < 0)
			ctx_lost(ctx, NULL);
		return;
	}
}

static void attach(struct gpu *g, struct gpu_ctx *ctx, struct gpu_req *req)
{
	struct ctx_msg m = { .type = CTX_MSG_IMPORT, .res_id = req->res_id };
	int fd = -1;
	int r = gpu_res_share(g, req, ctx->serial, &m, &fd);

	if (r == -EAGAIN)
		return;
	if (r < 0 || fd < 0) {
		gpu_answer(g, req, r < 0 ? gpu_error(r) : VIRTIO_GPU_RESP_OK_NODATA);
		return;
	}
	m.id = ctx->next_id++;
	req->id = m.id;
	list_add_tail(&ctx->waiting, &req->node);
	if (send_msg(ctx, &m, fd) < 0)
		ctx_lost(ctx, NULL);
}

void gpu_ctx_attach(struct gpu *g, struct gpu_req *req, bool is_attach)
{
	struct gpu_ctx *ctx = gpu_ctx_find(g, req->hdr.ctx_id);

	/* A request that waited for its resource comes here again, its resource known. */
	if (req->res_id == 0 && cur_read(&req->chain.rd, &req->res_id, sizeof(req->res_id)) < 0) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		return;
	}
	if (!ctx) {
		/* Linux detaches from a lost context, too, and would complain of an error. */
		gpu_answer(g, req,
			   is_attach || !is_taken(g, req->hdr.ctx_id)
				   ? VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
				   : VIRTIO_GPU_RESP_OK_NODATA);
		return;
	}
	if (is_attach) {
		attach(g, ctx, req);
		return;
	}
	/* The context that made a resource keeps it until it is unreferenced. */
	if (gpu_res_unshare(g, req->res_id, ctx->serial))
		gpu_ctx_unref(g, ctx->serial, req->res_id);
	gpu_answer(g, req, VIRTIO_GPU_RESP_OK_NODATA);
}

static void reset_list(struct list *ctxs)
{
	list_for_each_safe(it, ctxs)
	{
		struct gpu_ctx *ctx = container_of(it, struct gpu_ctx, node);

		loop_del(&ctx->src);
		fd_drop(&ctx->sock);
		while (!list_empty(&ctx->out))
			out_free(container_of(ctx->out.next, struct gpu_out, node));
		ctx_free(ctx);
	}
}

void gpu_ctx_reset(struct gpu *g)
{
	reset_list(&g->ctxs);
	reset_list(&g->leaving);
}
