/* SPDX-License-Identifier: Apache-2.0 */
/* A window filled by QEMU: see window.h. */
#include "vhost/window.h"

#include <errno.h>
#include <string.h>

#include "host/fd.h"
#include "host/loop.h"
#include "host/ram.h"
#include "host/shm.h"
#include "util/ckd.h"
#include "util/log.h"
#include "vhost/vhost_internal.h"

/*
 * Requests that are queued or under way: one for each mapping that may exist, one more for each to
 * undo it, and as many again that a reset has left behind.
 */
#define OPS_MAX (4 * VHOST_WINDOW_MAPS)
#define SENT_MAX                                                                                   \
	16 /* what the channel's buffer surely takes, both messages of a mapping counted           \
	    */
#define REPLY_LEN (sizeof(struct vhost_hdr) + sizeof(uint64_t))

struct op {
	struct window_req *req; /* NULL: nobody waits any more */
	uint64_t off;
	uint64_t len;
	bool is_map;
	unsigned waits; /* for so many answers */
	int result;
};

struct vhost_window {
	struct window w;
	uint8_t shmid;
	struct loop *loop;
	struct vhost_dev *d;
	struct loop_fd src; /* ->fd is the channel; -1: none */
	unsigned live;      /* mappings there are when QEMU has done all that is asked for */

	struct op ops[OPS_MAX]; /* ring */
	unsigned head;          /* oldest */
	unsigned n_sent;
	unsigned n; /* sent ones included */

	uint8_t in[REPLY_LEN];
	size_t got;
};

static struct op *op_at(struct vhost_window *w, unsigned i)
{
	return &w->ops[(w->head + i) % OPS_MAX];
}

static void op_finish(struct vhost_window *w, struct window_req *req, bool is_map, int result)
{
	if (!req)
		return;
	if (result < 0)
		w->live = is_map ? w->live - 1 : w->live + 1;
	req->done(req, result);
}

/* Sends on the channel, which config changes use as well. */
static int channel_send(struct vhost_window *w, uint32_t request, const void *data, uint32_t len,
			int fd)
{
	struct vhost_hdr h = { .request = request,
			       .flags = VHOST_VERSION | VHOST_NEED_REPLY,
			       .size = len };
	uint8_t msg[sizeof(h) + sizeof(struct vhost_shmem_map)];

	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), data, len);
	mutex_lock(&w->d->lock);
	int r = fd_send(w->src.fd, msg, sizeof(h) + len, &fd, fd >= 0);
	mutex_unlock(&w->d->lock);
	return r;
}

static int op_send(struct vhost_window *w, struct op *o)
{
	static const uint8_t unknown[16] = "pecten-no-object";
	struct vhost_shmem_map m = { .shmid = w->shmid, .shm_off = o->off, .len = o->len };
	int r;

	o->waits = o->is_map ? 2 : 1;
	if (!o->is_map)
		return channel_send(w, VHOST_BACKEND_SHMEM_UNMAP, &m, sizeof(m), -1);
	m.fd_off = o->req->fd_off;
	m.flags = o->req->is_ro ? 0 : VHOST_MAP_RW;
	r = channel_send(w, VHOST_BACKEND_SHMEM_MAP, &m, sizeof(m), o->req->fd);
	return r < 0 ? r
		     : channel_send(w, VHOST_BACKEND_OBJECT_LOOKUP, unknown, sizeof(unknown), -1);
}

/* Nothing more can be asked: all that is queued or under way fails. */
static void fail_all(struct vhost_window *w)
{
	loop_del(&w->src);
	w->src.fd = -1;
	w->got = 0;
	while (w->n > 0) {
		struct op o = *op_at(w, 0);

		w->head = (w->head + 1) % OPS_MAX;
		w->n--;
		w->n_sent -= w->n_sent > 0;
		op_finish(w, o.req, o.is_map, -EIO);
	}
}

static void pump(struct vhost_window *w)
{
	while (w->src.fd >= 0 && w->n_sent < w->n && w->n_sent < SENT_MAX) {
		int r = op_send(w, op_at(w, w->n_sent));

		w->n_sent++;
		if (r < 0) {
			log_error(VHOST, "QEMU takes no more requests: %s", strerror(-r));
			fail_all(w);
			return;
		}
	}
}

static void enqueue(struct vhost_window *w, struct window_req *req, bool is_map, uint64_t off,
		    uint64_t len)
{
	*op_at(w, w->n++) = (struct op){ .req = req, .off = off, .len = len, .is_map = is_map };
	pump(w);
}

static bool is_page_range(const struct vhost_window *w, const struct window_req *req)
{
	uint64_t page = shm_page_size();

	return req->len > 0 && req->off % page == 0 && req->len % page == 0 &&
	       range_fits(req->off, req->len, w->w.len);
}

static void window_map(struct window *win, struct window_req *req)
{
	struct vhost_window *w = container_of(win, struct vhost_window, w);
	int r = 0;

	if (w->src.fd < 0)
		r = -ENOTSUP;
	else if (!is_page_range(w, req) || req->fd_off % shm_page_size() != 0)
		r = -EINVAL;
	else
		r = ram_window_check(req->fd); /* QEMU maps what it is given */
	if (r == 0 && (w->live >= VHOST_WINDOW_MAPS || w->n >= OPS_MAX - VHOST_WINDOW_MAPS))
		r = -ENOMEM;
	if (r < 0) {
		req->done(req, r);
		return;
	}
	w->live++;
	enqueue(w, req, true, req->off, req->len);
}

static void window_unmap(struct window *win, struct window_req *req)
{
	struct vhost_window *w = container_of(win, struct vhost_window, w);

	if (w->src.fd < 0 || !is_page_range(w, req) || w->n == OPS_MAX) {
		req->done(req, w->src.fd < 0 ? -ENOTSUP : -EINVAL);
	} else {
		w->live--; /* QEMU undoes it before it does what is asked for later */
		enqueue(w, req, false, req->off, req->len);
	}
}

/*
 * QEMU drops all mappings when the driver resets the device, which is about to happen.  A mapping
 * that it makes after that, because our request is still on its way, has to be undone before
 * another one can take its place.  Undoing what is not there does no harm.
 */
static void window_reset(struct window *win)
{
	struct vhost_window *w = container_of(win, struct vhost_window, w);

	w->n = w->n_sent;
	w->live = 0;
	for (unsigned i = 0; i < w->n_sent; i++) {
		struct op *o = op_at(w, i);

		o->req = NULL;
		if (o->is_map)
			*op_at(w, w->n++) = (struct op){ .off = o->off, .len = o->len };
	}
	pump(w);
}

static const struct window_ops window_ops = {
	.map = window_map,
	.unmap = window_unmap,
	.reset = window_reset,
};

/* One answer, to the oldest request that waits for one.  Return: 0, or -EPROTO */
static int take_answer(struct vhost_window *w)
{
	struct vhost_hdr h;
	uint64_t status;

	memcpy(&h, w->in, sizeof(h));
	memcpy(&status, w->in + sizeof(h), sizeof(status));
	if (h.size != sizeof(status) || !(h.flags & VHOST_REPLY) || w->n_sent == 0)
		return -EPROTO;

	struct op *o = op_at(w, 0);
	bool is_first = o->is_map && o->waits == 2;
	uint32_t want = !o->is_map ? VHOST_BACKEND_SHMEM_UNMAP
			: is_first ? VHOST_BACKEND_SHMEM_MAP
				   : VHOST_BACKEND_OBJECT_LOOKUP;
	if (h.request != want)
		return -EPROTO;
	if ((is_first || !o->is_map) && status != 0)
		o->result = -EIO;
	if (--o->waits > 0)
		return 0;

	struct op done = *o;
	w->head = (w->head + 1) % OPS_MAX;
	w->n--;
	w->n_sent--;
	op_finish(w, done.req, done.is_map, done.result);
	pump(w);
	return 0;
}

static void on_channel(struct loop_fd *src, unsigned events)
{
	struct vhost_window *w = container_of(src, struct vhost_window, src);
	unsigned none = 0;
	ssize_t r = fd_recv(src->fd, w->in + w->got, REPLY_LEN - w->got, NULL, &none);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r > 0) {
		w->got += (size_t)r;
		if (w->got < REPLY_LEN)
			return;
		w->got = 0;
		r = take_answer(w);
	} else if (r == 0) {
		r = -ENODATA;
	}
	if (r < 0) {
		if (r == -EPROTO)
			log_error(VHOST, "QEMU gives an answer that nobody waits for");
		fail_all(w);
	}
}

int vhost_window_create(uint8_t shmid, uint64_t len, struct loop *loop, struct vhost_window **out)
{
	struct vhost_window *w;

	if (!is_pow2(len) || len < shm_page_size())
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct vhost_window){
		.w = { .ops = &window_ops, .len = len, .maps_max = VHOST_WINDOW_MAPS },
		.shmid = shmid,
		.loop = loop,
		.src = { .fd = -1 },
	};
	*out = w;
	return 0;
}

void vhost_window_destroy(struct vhost_window *w)
{
	free(w);
}

struct window *vhost_window(struct vhost_window *w)
{
	return &w->w;
}

struct attach {
	struct vhost_window *w;
	struct vhost_dev *d;
	int fd;
	int result;
};

static void attach_here(void *arg)
{
	struct attach *a = arg;

	a->w->d = a->d;
	a->w->src = (struct loop_fd){ .fd = a->fd, .fn = on_channel };
	a->result = loop_add(a->w->loop, &a->w->src, LOOP_READ);
	if (a->result < 0)
		a->w->src.fd = -1;
}

int vhost_window_attach(struct vhost_window *w, struct vhost_dev *d, int fd)
{
	struct attach a = { .w = w, .d = d, .fd = fd };

	loop_call(w->loop, attach_here, &a);
	return a.result;
}

static void detach_here(void *arg)
{
	struct vhost_window *w = arg;

	if (w->src.fd >= 0)
		fail_all(w);
}

void vhost_window_detach(struct vhost_window *w)
{
	loop_call(w->loop, detach_here, w);
}
