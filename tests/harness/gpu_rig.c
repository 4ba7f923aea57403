/* SPDX-License-Identifier: Apache-2.0 */
/* Driver and renderers for tests of the GPU: see gpu_rig.h. */
#include "harness/gpu_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"
#include "util/log.h"

const uint8_t capset[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int on_connect(void *arg, int *sock)
{
	struct fixture *x = arg;
	int pair[2];

	if (x->refuse < 0)
		return x->refuse;
	must(x->n_peers < PEERS);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	*sock = pair[0];
	x->peer[x->n_peers++] = pair[1];
	return 0;
}

static void late_map(struct window *w, struct window_req *req)
{
	struct late_window *l = container_of(w, struct late_window, w);

	must(!l->req);
	l->req = req;
	l->is_map = true;
}

static void late_unmap(struct window *w, struct window_req *req)
{
	struct late_window *l = container_of(w, struct late_window, w);

	must(!l->req);
	l->req = req;
	l->is_map = false;
}

static void late_reset(struct window *w)
{
	struct late_window *l = container_of(w, struct late_window, w);

	l->req = NULL;
	l->resets++;
}

static const struct window_ops late_ops = { late_map, late_unmap, late_reset };

void complete(struct fixture *x, int result)
{
	struct window_req *req = x->late.req;

	assert_non_null(req);
	x->late.req = NULL;
	req->done(req, result);
}

static int setup_with(void **state, bool is_late, bool is_trusting)
{
	struct fixture *x = calloc(1, sizeof(*x));

	must(x != NULL);
	log_set_level(LOG_OFF);
	must(loop_create(&x->loop) == 0);
	must(gm_window_init(&x->window, UINT64_C(1) << 36, WINDOW) == 0);
	x->window.w.maps_max = 4;
	x->late.w = (struct window){ .ops = &late_ops, .len = WINDOW, .maps_max = 4 };
	x->cfg = (struct gpu_config){
		.capset_id = CAPSET,
		.capset_size = sizeof(capset),
		.capset = capset,
		.window = is_late ? &x->late.w : &x->window.w,
		.limits = { .memory = MEMORY, .contexts = 4, .resources = 8 },
		.maps_driver_memory = is_trusting,
		.connect = on_connect,
		.arg = x,
	};
	must(gpu_create(&x->cfg, x->loop, &x->g) == 0);
	fd_init(&x->f);
	must(fd_start(&x->f, gpu_dev(x->g), 0) == 0);
	*state = x;
	return 0;
}

int setup(void **state)
{
	return setup_with(state, false, false);
}

int setup_late(void **state)
{
	return setup_with(state, true, false);
}

int setup_trusting(void **state)
{
	return setup_with(state, false, true);
}

int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	gpu_destroy(x->g);
	gm_window_fini(&x->window);
	loop_destroy(x->loop);
	for (unsigned i = 0; i < x->n_peers; i++)
		fd_drop(&x->peer[i]);
	free(x);
	return 0;
}

/* ---- driver ---- */

/* Lets the device see to its sockets. */
void spin(struct fixture *x)
{
	fd_spin(x->loop);
}

uint16_t offer(struct fixture *x, const void *cmd, size_t len, const void *data, size_t data_len,
	       struct answer *a)
{
	struct fd_buf bufs[4];
	unsigned n = 0;

	bufs[n++] = FD_RDN((void *)(uintptr_t)cmd, len);
	if (data_len)
		bufs[n++] = FD_RDN((void *)(uintptr_t)data, data_len);
	bufs[n++] = FD_WRN(a, offsetof(struct answer, id));
	memset(a, 0, sizeof(*a));
	a->id = fd_offer(&x->f, CONTROL, bufs, n);
	fd_kick(&x->f, CONTROL);
	return a->id;
}

/* Whether a chain has come back; one look. */
bool came_back(struct fixture *x, const struct answer *a)
{
	uint32_t written;
	uint16_t head;

	if (!fd_used(&x->f, CONTROL, &head, &written))
		return false;
	assert_int_equal(head, a->id);
	assert_true(written >= sizeof(a->h));
	return true;
}

void wait_back(struct fixture *x, const struct answer *a)
{
	uint64_t until = clock_now_ns() + PATIENCE;

	while (!came_back(x, a)) {
		assert_true(clock_now_ns() < until);
		spin(x);
	}
}

/* A command that is answered at once. Return: the answer's type */
uint32_t ask(struct fixture *x, const void *cmd, size_t len, struct answer *a)
{
	(void)offer(x, cmd, len, NULL, 0, a);
	assert_true(came_back(x, a));
	return a->h.type;
}

uint32_t ctx_create(struct fixture *x, uint32_t id, const char *name)
{
	struct virtio_gpu_ctx_create c = { .hdr = HDR(CTX_CREATE, id),
					   .nlen = (uint32_t)strlen(name),
					   .context_init = CAPSET };
	struct answer a;

	memcpy(c.debug_name, name, strlen(name));
	return ask(x, &c, sizeof(c), &a);
}

uint32_t ctx_destroy(struct fixture *x, uint32_t id)
{
	struct virtio_gpu_ctx_destroy c = { .hdr = HDR(CTX_DESTROY, id) };
	struct answer a;

	return ask(x, &c, sizeof(c), &a);
}

uint32_t ctx_resource(struct fixture *x, uint32_t type, uint32_t ctx, uint32_t res,
		      struct answer *a)
{
	struct virtio_gpu_ctx_resource c = { .hdr = { .type = type, .ctx_id = ctx },
					     .resource_id = res };

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
	return came_back(x, a) ? a->h.type : 0;
}

/* @ring: -1 without a timeline, -2 without a fence */
void submit(struct fixture *x, uint32_t ctx, int ring, uint64_t fence, const void *data, size_t len,
	    struct answer *a)
{
	struct virtio_gpu_cmd_submit c = { .hdr = HDR(SUBMIT_3D, ctx), .size = (uint32_t)len };

	if (ring > -2)
		c.hdr.flags |= VIRTIO_GPU_FLAG_FENCE;
	if (ring >= 0) {
		c.hdr.flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
		c.hdr.ring_idx = (uint8_t)ring;
	}
	c.hdr.fence_id = fence;
	(void)offer(x, &c, sizeof(c), data, len, a);
}

void blob_create(struct fixture *x, uint32_t ctx, uint32_t id, uint64_t size, struct answer *a)
{
	struct virtio_gpu_resource_create_blob c = {
		.hdr = HDR(RESOURCE_CREATE_BLOB, ctx),
		.resource_id = id,
		.blob_mem = VIRTIO_GPU_BLOB_MEM_HOST3D,
		.blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE,
		.blob_id = 77,
		.size = size,
	};

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
}

void blob_map(struct fixture *x, uint32_t id, uint64_t off, struct answer *a)
{
	struct virtio_gpu_resource_map_blob c = { .hdr = HDR(RESOURCE_MAP_BLOB, 0),
						  .resource_id = id,
						  .offset = off };

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
}

void res_cmd(struct fixture *x, uint32_t type, uint32_t id, struct answer *a)
{
	struct virtio_gpu_resource_unref c = { .hdr = { .type = type }, .resource_id = id };

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
}

uint32_t ask_res(struct fixture *x, uint32_t type, uint32_t id)
{
	struct answer a;

	res_cmd(x, type, id, &a);
	assert_true(came_back(x, &a));
	return a.h.type;
}

uint32_t ask_map(struct fixture *x, uint32_t id, uint64_t off)
{
	struct answer a;

	blob_map(x, id, off, &a);
	assert_true(came_back(x, &a));
	return a.h.type;
}

/* ---- renderer ---- */

size_t hear_fd(struct fixture *x, unsigned peer, struct ctx_msg *m, void *data, size_t room,
	       int *fd)
{
	static uint8_t buf[sizeof(*m) + CTX_DATA_MAX];
	unsigned nfds = fd ? 1 : 0;
	ssize_t n = fd_recv(x->peer[peer], buf, sizeof(buf), fd, &nfds);

	if (n == -EAGAIN) {
		memset(m, 0, sizeof(*m));
		return 0;
	}
	assert_true(n >= (ssize_t)sizeof(*m));
	memcpy(m, buf, sizeof(*m));
	assert_true((size_t)n - sizeof(*m) <= room);
	if (data)
		memcpy(data, buf + sizeof(*m), (size_t)n - sizeof(*m));
	return (size_t)n - sizeof(*m);
}

size_t hear(struct fixture *x, unsigned peer, struct ctx_msg *m, void *data, size_t room)
{
	return hear_fd(x, peer, m, data, room, NULL);
}

void say(struct fixture *x, unsigned peer, const struct ctx_msg *m, int fd)
{
	assert_int_equal(fd_send(x->peer[peer], m, sizeof(*m), &fd, fd >= 0), 0);
	spin(x);
}

void retire(struct fixture *x, unsigned peer, uint32_t ring, uint64_t id)
{
	say(x, peer, &(struct ctx_msg){ .type = CTX_MSG_RETIRED, .ring_idx = ring, .id = id }, -1);
}

/* Context @id with the next renderer, whose first message has been read. */
unsigned begin(struct fixture *x, uint32_t id)
{
	char name[CTX_NAME_MAX] = "";
	struct ctx_msg m;
	unsigned peer = x->n_peers;

	assert_int_equal(ctx_create(x, id, "vulkaninfo"), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(hear(x, peer, &m, name, sizeof(name)), strlen("vulkaninfo"));
	assert_int_equal(m.type, CTX_MSG_BEGIN);
	assert_string_equal(name, "vulkaninfo");
	return peer;
}

/* Answers a CREATE_BLOB that has been sent to a renderer. */
void answer_blob(struct fixture *x, unsigned peer, uint64_t size, int *keep)
{
	struct ctx_msg m;
	int fd = -1;

	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_CREATE_BLOB);
	assert_int_equal(shm_create("blob", size, &fd), 0);
	say(x, peer,
	    &(struct ctx_msg){ .type = CTX_MSG_BLOB,
			       .id = m.id,
			       .kind = CTX_BLOB_SHM,
			       .map_info = VIRTIO_GPU_MAP_CACHE_CACHED,
			       .size = size },
	    fd);
	if (keep)
		*keep = fd;
	else
		close(fd);
}

void make_blob(struct fixture *x, unsigned peer, uint32_t ctx, uint32_t id, uint64_t size,
	       int *keep)
{
	struct answer a;

	blob_create(x, ctx, id, size, &a);
	assert_false(came_back(x, &a));
	answer_blob(x, peer, (size + PAGE - 1) / PAGE * PAGE, keep);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
}
