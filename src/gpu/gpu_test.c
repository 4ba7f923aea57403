/* SPDX-License-Identifier: Apache-2.0 */
/* The device between a driver and renderers that this test plays itself. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu/gpu.h"
#include "gpu/gpu_internal.h"
#include "harness/driver.h"
#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"
#include "util/log.h"

#define CAPSET   4U
#define PAGE     4096U
#define WINDOW   (UINT64_C(1) << 20)
#define MEMORY   (UINT64_C(512) << 10)
#define PEERS    8
#define PATIENCE UINT64_C(5000000000)

enum { CONTROL, CURSOR };

/* A window whose changes are completed by the test. */
struct late_window {
	struct window w;
	struct window_req *req;
	bool is_map;
	unsigned resets;
};

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct gm_window window;
	struct late_window late;
	struct gpu *g;
	struct gpu_config cfg;
	int peer[PEERS]; /* the renderers' ends */
	unsigned n_peers;
	int refuse; /* -errno for connect() */
};

static const uint8_t capset[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

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

static void complete(struct fixture *x, int result)
{
	struct window_req *req = x->late.req;

	assert_non_null(req);
	x->late.req = NULL;
	req->done(req, result);
}

static int setup_with(void **state, bool is_late)
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
		.connect = on_connect,
		.arg = x,
	};
	must(gpu_create(&x->cfg, x->loop, &x->g) == 0);
	fd_init(&x->f);
	must(fd_start(&x->f, gpu_dev(x->g), 0) == 0);
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false);
}

static int setup_late(void **state)
{
	return setup_with(state, true);
}

static int teardown(void **state)
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

struct stopper {
	struct loop_timer t;
	struct loop *loop;
};

static void stop_soon(struct loop_timer *t)
{
	loop_stop(container_of(t, struct stopper, t)->loop);
}

/* Lets the device see to its sockets. */
static void spin(struct fixture *x)
{
	struct stopper s = { .t = { .fn = stop_soon }, .loop = x->loop };

	loop_timer_set(x->loop, &s.t, clock_now_ns() + 1000000);
	loop_run(x->loop);
	loop_timer_del(&s.t);
}

struct answer {
	struct virtio_gpu_ctrl_hdr h;
	uint8_t data[400];
	uint16_t id;
};

static uint16_t offer(struct fixture *x, const void *cmd, size_t len, const void *data,
		      size_t data_len, struct answer *a)
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
static bool came_back(struct fixture *x, const struct answer *a)
{
	uint32_t written;
	uint16_t head;

	if (!fd_used(&x->f, CONTROL, &head, &written))
		return false;
	assert_int_equal(head, a->id);
	assert_true(written >= sizeof(a->h));
	return true;
}

static void wait_back(struct fixture *x, const struct answer *a)
{
	uint64_t until = clock_now_ns() + PATIENCE;

	while (!came_back(x, a)) {
		assert_true(clock_now_ns() < until);
		spin(x);
	}
}

/* A command that is answered at once. Return: the answer's type */
static uint32_t ask(struct fixture *x, const void *cmd, size_t len, struct answer *a)
{
	(void)offer(x, cmd, len, NULL, 0, a);
	assert_true(came_back(x, a));
	return a->h.type;
}

#define HDR(t, ctx)                                                                                \
	{                                                                                          \
		.type = VIRTIO_GPU_CMD_##t, .ctx_id = (ctx)                                        \
	}

static uint32_t ctx_create(struct fixture *x, uint32_t id, const char *name)
{
	struct virtio_gpu_ctx_create c = { .hdr = HDR(CTX_CREATE, id),
					   .nlen = (uint32_t)strlen(name),
					   .context_init = CAPSET };
	struct answer a;

	memcpy(c.debug_name, name, strlen(name));
	return ask(x, &c, sizeof(c), &a);
}

static uint32_t ctx_destroy(struct fixture *x, uint32_t id)
{
	struct virtio_gpu_ctx_destroy c = { .hdr = HDR(CTX_DESTROY, id) };
	struct answer a;

	return ask(x, &c, sizeof(c), &a);
}

static uint32_t ctx_resource(struct fixture *x, uint32_t type, uint32_t ctx, uint32_t res,
			     struct answer *a)
{
	struct virtio_gpu_ctx_resource c = { .hdr = { .type = type, .ctx_id = ctx },
					     .resource_id = res };

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
	return came_back(x, a) ? a->h.type : 0;
}

/* @ring: -1 without a timeline, -2 without a fence */
static void submit(struct fixture *x, uint32_t ctx, int ring, uint64_t fence, const void *data,
		   size_t len, struct answer *a)
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

static void blob_create(struct fixture *x, uint32_t ctx, uint32_t id, uint64_t size,
			struct answer *a)
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

static void blob_map(struct fixture *x, uint32_t id, uint64_t off, struct answer *a)
{
	struct virtio_gpu_resource_map_blob c = { .hdr = HDR(RESOURCE_MAP_BLOB, 0),
						  .resource_id = id,
						  .offset = off };

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
}

static void res_cmd(struct fixture *x, uint32_t type, uint32_t id, struct answer *a)
{
	struct virtio_gpu_resource_unref c = { .hdr = { .type = type }, .resource_id = id };

	(void)offer(x, &c, sizeof(c), NULL, 0, a);
}

static uint32_t ask_res(struct fixture *x, uint32_t type, uint32_t id)
{
	struct answer a;

	res_cmd(x, type, id, &a);
	assert_true(came_back(x, &a));
	return a.h.type;
}

static uint32_t ask_map(struct fixture *x, uint32_t id, uint64_t off)
{
	struct answer a;

	blob_map(x, id, off, &a);
	assert_true(came_back(x, &a));
	return a.h.type;
}

/* ---- renderer ---- */

static size_t hear_fd(struct fixture *x, unsigned peer, struct ctx_msg *m, void *data, size_t room,
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

static size_t hear(struct fixture *x, unsigned peer, struct ctx_msg *m, void *data, size_t room)
{
	return hear_fd(x, peer, m, data, room, NULL);
}

static void say(struct fixture *x, unsigned peer, const struct ctx_msg *m, int fd)
{
	assert_int_equal(fd_send(x->peer[peer], m, sizeof(*m), &fd, fd >= 0), 0);
	spin(x);
}

static void retire(struct fixture *x, unsigned peer, uint32_t ring, uint64_t id)
{
	say(x, peer, &(struct ctx_msg){ .type = CTX_MSG_RETIRED, .ring_idx = ring, .id = id }, -1);
}

/* Context @id with the next renderer, whose first message has been read. */
static unsigned begin(struct fixture *x, uint32_t id)
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
static void answer_blob(struct fixture *x, unsigned peer, uint64_t size, int *keep)
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

static void make_blob(struct fixture *x, unsigned peer, uint32_t ctx, uint32_t id, uint64_t size,
		      int *keep)
{
	struct answer a;

	blob_create(x, ctx, id, size, &a);
	assert_false(came_back(x, &a));
	answer_blob(x, peer, (size + PAGE - 1) / PAGE * PAGE, keep);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
}

/* ---- tests ---- */

static void it_is_a_render_node_with_one_capability_set(void **state)
{
	struct fixture *x = *state;
	struct virtio_gpu_config config;
	struct virtio_gpu_get_capset_info i = { .hdr = HDR(GET_CAPSET_INFO, 0) };
	struct virtio_gpu_get_capset c = { .hdr = HDR(GET_CAPSET, 0), .capset_id = CAPSET };
	struct virtio_gpu_ctrl_hdr d = HDR(GET_DISPLAY_INFO, 0);
	struct virtio_gpu_resp_capset_info info;
	struct answer a;

	(void)virtio_config_read(gpu_dev(x->g), 0, &config, sizeof(config));
	assert_int_equal(config.num_scanouts, 0);
	assert_int_equal(config.num_capsets, 1);
	assert_int_equal(gpu_dev(x->g)->features, 0x19);
	assert_int_equal(gpu_dev(x->g)->shm[GPU_SHM_HOST_VISIBLE].len, WINDOW);

	assert_int_equal(ask(x, &i, sizeof(i), &a), VIRTIO_GPU_RESP_OK_CAPSET_INFO);
	memcpy(&info.capset_id, a.data, sizeof(info) - sizeof(info.hdr));
	assert_int_equal(info.capset_id, CAPSET);
	assert_int_equal(info.capset_max_version, 0);
	assert_int_equal(info.capset_max_size, sizeof(capset));
	i.capset_index = 1;
	assert_int_equal(ask(x, &i, sizeof(i), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_OK_CAPSET);
	assert_memory_equal(a.data, capset, sizeof(capset));
	c.capset_version = 1;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c = (struct virtio_gpu_get_capset){ .hdr = HDR(GET_CAPSET, 0), .capset_id = 1 };
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	/* Places for sixteen screens, all dark. */
	assert_int_equal(ask(x, &d, sizeof(d), &a), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	for (size_t n = 0; n < sizeof(a.data); n++)
		assert_int_equal(a.data[n], 0);
}

static void what_it_does_not_have_is_refused(void **state)
{
	static const uint32_t types[] = {
		VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		VIRTIO_GPU_CMD_SET_SCANOUT,
		VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		VIRTIO_GPU_CMD_GET_EDID,
		VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
		VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
		VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
		VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
		VIRTIO_GPU_CMD_UPDATE_CURSOR,
		0,
		VIRTIO_GPU_RESP_OK_NODATA,
		UINT32_MAX,
	};
	struct fixture *x = *state;
	struct answer a;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct virtio_gpu_ctrl_hdr h = { .type = types[i],
						 .flags = VIRTIO_GPU_FLAG_FENCE,
						 .fence_id = i + 1 };

		assert_int_equal(ask(x, &h, sizeof(h), &a), VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_int_equal(a.h.flags, VIRTIO_GPU_FLAG_FENCE);
		assert_int_equal(a.h.fence_id, i + 1);
	}
}

static void short_chains_go_back(void **state)
{
	static const uint32_t types[] = {
		VIRTIO_GPU_CMD_GET_CAPSET_INFO,
		VIRTIO_GPU_CMD_GET_CAPSET,
		VIRTIO_GPU_CMD_CTX_CREATE,
		VIRTIO_GPU_CMD_SUBMIT_3D,
		VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
		VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNREF,
		VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
	};
	struct fixture *x = *state;
	uint8_t bytes[64] = { 0 };
	uint32_t written;
	uint16_t head;
	struct answer a;

	(void)begin(x, 1);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct virtio_gpu_ctrl_hdr h = { .type = types[i], .ctx_id = 1 };

		assert_int_equal(ask(x, &h, sizeof(h), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	assert_int_equal(ask(x, bytes, 23, &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	/* No room for an answer, or for all of it. */
	struct virtio_gpu_get_capset c = { .hdr = HDR(GET_CAPSET, 0), .capset_id = CAPSET };
	(void)fd_offer(&x->f, CONTROL, (struct fd_buf[]){ FD_RD(&c) }, 1);
	fd_kick(&x->f, CONTROL);
	assert_true(fd_used(&x->f, CONTROL, &head, &written));
	assert_int_equal(written, 0);
	(void)fd_offer(&x->f, CONTROL, (struct fd_buf[]){ FD_RD(&c), FD_WRN(&a, 28) }, 2);
	fd_kick(&x->f, CONTROL);
	assert_true(fd_used(&x->f, CONTROL, &head, &written));
	assert_int_equal(written, 24);
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	/* Cursors that nobody sees. */
	(void)fd_offer(&x->f, CURSOR, (struct fd_buf[]){ FD_RDN(bytes, 56) }, 1);
	fd_kick(&x->f, CURSOR);
	assert_true(fd_used(&x->f, CURSOR, &head, &written));
	assert_int_equal(written, 0);
	assert_false(atomic_load(&gpu_dev(x->g)->needs_reset));
}

static void a_context_is_a_renderer(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 7);
	char byte;

	assert_int_equal(ctx_create(x, 7, "again"), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_create(x, 0, "zero"), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_destroy(x, 8), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_destroy(x, 7), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(recv(x->peer[peer], &byte, 1, 0), 0);
	assert_int_equal(ctx_destroy(x, 7), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	/* Its name is free at once, its process not yet. */
	assert_int_equal(begin(x, 7), peer + 1);
	assert_int_equal(x->g->n_ctxs, 2);
	fd_drop(&x->peer[peer]);
	spin(x);
	assert_int_equal(x->g->n_ctxs, 1);
}

static void other_capability_sets_have_no_contexts(void **state)
{
	struct fixture *x = *state;
	struct virtio_gpu_ctx_create c = { .hdr = HDR(CTX_CREATE, 1), .nlen = 0 };
	struct answer a;

	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c.context_init = 2;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c.context_init = CAPSET;
	c.nlen = 65;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(x->n_peers, 0);
}

static void contexts_are_limited(void **state)
{
	struct fixture *x = *state;

	x->refuse = -EAGAIN;
	assert_int_equal(ctx_create(x, 9, "x"), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	x->refuse = 0;
	for (uint32_t i = 1; i <= 4; i++)
		(void)begin(x, i);
	assert_int_equal(ctx_create(x, 5, "one too many"), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	/* One that is on its way out counts. */
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_create(x, 5, "one too many"), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	fd_drop(&x->peer[0]);
	spin(x);
	(void)begin(x, 5);
}

static void commands_reach_the_renderer_and_fences_come_back(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	const char words[] = "vkDoSomething";
	char got[64];
	struct ctx_msg m[3];
	struct answer a;
	struct answer b;
	struct answer c;

	submit(x, 1, -2, 0, words, sizeof(words), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(a.h.flags, 0);
	assert_int_equal(hear(x, peer, &m[0], got, sizeof(got)), sizeof(words));
	assert_string_equal(got, words);
	assert_int_equal(m[0].type, CTX_MSG_SUBMIT);
	assert_int_equal(m[0].flags, 0);

	submit(x, 1, 3, 100, words, sizeof(words), &a);
	submit(x, 1, 3, 101, NULL, 0, &b);
	submit(x, 1, 4, 102, words, sizeof(words), &c);
	for (int i = 0; i < 3; i++) {
		(void)hear(x, peer, &m[i], got, sizeof(got));
		assert_int_equal(m[i].flags, CTX_MSG_FENCED);
		assert_int_equal(m[i].ring_idx, i < 2 ? 3 : 4);
	}
	/* Timelines do not wait for each other; one fence says that those before it are reached. */
	retire(x, peer, 4, m[2].id);
	assert_true(came_back(x, &c));
	assert_int_equal(c.h.flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	assert_int_equal(c.h.fence_id, 102);
	assert_int_equal(c.h.ring_idx, 4);
	assert_int_equal(c.h.ctx_id, 1);
	retire(x, peer, 3, m[1].id);
	assert_true(came_back(x, &a));
	assert_true(came_back(x, &b));
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_OK_NODATA);

	submit(x, 1, 9, 103, NULL, 0, &a);
	(void)hear(x, peer, &m[0], NULL, 0);
	say(x, peer,
	    &(struct ctx_msg){
		    .type = CTX_MSG_RETIRED, .ring_idx = 9, .id = m[0].id, .code = -EINVAL },
	    -1);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(a.h.fence_id, 103);
}

static void bad_submissions_are_refused(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct virtio_gpu_cmd_submit c = { .hdr = HDR(SUBMIT_3D, 1), .size = 1 };
	struct ctx_msg m;
	struct answer a;

	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c.size = UINT32_MAX;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	submit(x, 1, 64, 1, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(a.h.fence_id, 1);
	submit(x, 2, 0, 2, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, 0);
}

/* The driver takes the later of two for a sign of both. */
static void fences_without_a_timeline_stay_in_order(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	struct virtio_gpu_ctrl_hdr h = { .type = VIRTIO_GPU_CMD_GET_EDID,
					 .flags = VIRTIO_GPU_FLAG_FENCE,
					 .fence_id = 3 };
	struct ctx_msg m[2];
	static struct answer a[3];

	submit(x, 1, -1, 1, NULL, 0, &a[0]);
	submit(x, 2, -1, 2, NULL, 0, &a[1]);
	(void)offer(x, &h, sizeof(h), NULL, 0, &a[2]);
	(void)hear(x, one, &m[0], NULL, 0);
	(void)hear(x, two, &m[1], NULL, 0);
	assert_int_equal(m[1].ring_idx, 0);
	retire(x, two, 0, m[1].id);
	assert_false(came_back(x, &a[0]));
	retire(x, one, 0, m[0].id);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(came_back(x, &a[i]));
		assert_int_equal(a[i].h.fence_id, i + 1);
	}
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

/* Reads a whole submission from a renderer's end. */
static size_t hear_submission(struct fixture *x, unsigned peer, uint8_t *to, size_t room,
			      struct ctx_msg *m)
{
	uint64_t until = clock_now_ns() + PATIENCE;
	size_t sum = 0;

	do {
		assert_true(clock_now_ns() < until);
		sum += hear(x, peer, m, to + sum, room - sum);
		spin(x);
	} while (m->type == 0 || (m->flags & CTX_MSG_MORE));
	return sum;
}

static void long_submissions_arrive_whole(void **state)
{
	enum { LEN = 300000 };
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	uint8_t *sent = calloc(1, LEN);
	uint8_t *got = calloc(1, LEN);
	struct ctx_msg m;
	struct answer a;

	for (size_t i = 0; i < LEN; i++)
		sent[i] = pattern(i);
	submit(x, 1, 1, 1, sent, LEN, &a);
	assert_int_equal(hear_submission(x, peer, got, LEN, &m), LEN);
	assert_memory_equal(sent, got, LEN);
	assert_int_equal(m.flags, CTX_MSG_FENCED);
	retire(x, peer, 1, m.id);
	wait_back(x, &a);
	free(sent);
	free(got);
}

static void a_slow_renderer_holds_up_nobody_else(void **state)
{
	enum { LEN = 60000, COUNT = 12 };
	struct fixture *x = *state;
	unsigned slow = begin(x, 1);
	unsigned quick = begin(x, 2);
	uint8_t *sent = calloc(1, LEN);
	uint8_t *got = calloc(1, LEN);
	static struct answer a[COUNT];
	struct answer b;
	struct ctx_msg m;

	for (unsigned i = 0; i < COUNT; i++) {
		memset(sent, (int)i, LEN);
		submit(x, 1, 1, i, sent, LEN, &a[i]);
	}
	assert_false(came_back(x, &a[0]));

	submit(x, 2, 1, 1, "x", 1, &b);
	assert_int_equal(hear(x, quick, &m, got, LEN), 1);
	retire(x, quick, 1, m.id);
	assert_true(came_back(x, &b));

	for (unsigned i = 0; i < COUNT; i++) {
		memset(sent, (int)i, LEN);
		assert_int_equal(hear_submission(x, slow, got, LEN, &m), LEN);
		assert_memory_equal(sent, got, LEN);
	}
	retire(x, slow, 1, m.id);
	for (unsigned i = 0; i < COUNT; i++)
		wait_back(x, &a[i]);
	free(sent);
	free(got);
}

static void a_context_can_be_destroyed_while_its_renderer_is_stuck(void **state)
{
	enum { LEN = 60000, COUNT = 12 };
	struct fixture *x = *state;
	unsigned slow = begin(x, 1);
	uint8_t *sent = calloc(1, LEN);
	static struct answer a[COUNT];
	struct virtio_gpu_ctx_destroy d = { .hdr = HDR(CTX_DESTROY, 1) };
	struct answer b;
	unsigned back = 0;
	uint32_t written;
	uint16_t head;

	for (unsigned i = 0; i < COUNT; i++)
		submit(x, 1, 1, i, sent, LEN, &a[i]);
	(void)offer(x, &d, sizeof(d), NULL, 0, &b);
	while (fd_used(&x->f, CONTROL, &head, &written))
		back++;
	assert_true(back > 1 && back < COUNT); /* what was not sent, and the answer */
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	fd_drop(&x->peer[slow]);
	spin(x);
	while (fd_used(&x->f, CONTROL, &head, &written))
		back++;
	assert_int_equal(back, COUNT + 1);
	assert_int_equal(x->g->n_ctxs, 0);
	free(sent);
}

static void blobs_are_made_mapped_and_dropped(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct virtio_gpu_resp_map_info info;
	struct ctx_msg m;
	struct answer a;
	void *blob;
	int fd;

	make_blob(x, peer, 1, 10, PAGE + 1, &fd);
	blob_map(x, 10, 4 * PAGE, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_MAP_INFO);
	memcpy(&info.map_info, a.data, sizeof(info) - sizeof(info.hdr));
	assert_int_equal(info.map_info, VIRTIO_GPU_MAP_CACHE_CACHED);
	assert_int_equal(info.padding, 0);
	assert_int_equal(shm_map(fd, (uint64_t)2 * PAGE, &blob), 0);
	((uint8_t *)x->window.host)[5 * PAGE] = 42;
	assert_int_equal(((uint8_t *)blob)[PAGE], 42);

	/* Attaching to the context that made it, as Linux does, changes nothing. */
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 1, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, 0);

	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 10),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 10),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_OK_MAP_INFO);
	/* Unreferenced while mapped: its place is free again. */
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_UNREF);
	assert_int_equal(m.res_id, 10);
	assert_int_equal(x->g->n_maps, 0);
	assert_int_equal(x->g->memory, 0);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10),
			 VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	shm_unmap(blob, (uint64_t)2 * PAGE);
	close(fd);
}

static void a_blob_that_cannot_be_made_is_an_error(void **state)
{
	static const struct {
		int code;
		uint32_t type;
	} cases[] = {
		{ -ENOMEM, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY },
		{ -EINVAL, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER },
		{ -EACCES, VIRTIO_GPU_RESP_ERR_UNSPEC },
		{ INT32_MIN, VIRTIO_GPU_RESP_ERR_UNSPEC },
	};
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;
	struct answer b;
	struct ctx_msg m;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		blob_create(x, 1, 10, PAGE, &a);
		blob_map(x, 10, 0, &b); /* waits for it */
		(void)hear(x, peer, &m, NULL, 0);
		say(x, peer,
		    &(struct ctx_msg){ .type = CTX_MSG_BLOB, .id = m.id, .code = cases[i].code },
		    -1);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, cases[i].type);
		assert_true(came_back(x, &b));
		assert_int_equal(b.h.type, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	}
	assert_int_equal(x->g->memory, 0);
	assert_int_equal(x->g->n_res, 0);
}

/* clang-format off */
static const struct bad_blob {
	const char *why;
	uint32_t type;
	uint32_t ctx, id, mem, flags, entries;
	uint64_t size;
} bad_blobs[] = {
	{ "no such context",    VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,  2, 11, 2, 1, 0, PAGE },
	{ "id 0",               VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, 1, 0,  2, 1, 0, PAGE },
	{ "id in use",          VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, 1, 10, 2, 1, 0, PAGE },
	{ "no kind",            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 0, 1, 0, PAGE },
	{ "guest and host",     VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 3, 1, 0, PAGE },
	{ "unknown kind",       VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 4, 1, 0, PAGE },
	{ "unknown flag",       VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 9, 0, PAGE },
	{ "no bytes",           VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 1, 0, 0 },
	{ "wraps when rounded", VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 1, 0, UINT64_MAX },
	{ "too large",          VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,       1, 11, 2, 1, 0, MEMORY },
	{ "entries",            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 1, 1, PAGE },
	{ "missing entries",    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 1, 1, 9, PAGE },
	{ "entries for ever",   VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 1, 1, UINT32_MAX, PAGE },
};
/* clang-format on */

static void bad_blobs_are_refused(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct ctx_msg m;
	struct answer a;

	make_blob(x, peer, 1, 10, PAGE, NULL);
	for (size_t i = 0; i < ARRAY_LEN(bad_blobs); i++) {
		const struct bad_blob *b = &bad_blobs[i];
		struct virtio_gpu_resource_create_blob c = {
			.hdr = HDR(RESOURCE_CREATE_BLOB, b->ctx),
			.resource_id = b->id,
			.blob_mem = b->mem,
			.blob_flags = b->flags,
			.nr_entries = b->entries,
			.size = b->size,
		};

		print_message("%s\n", b->why);
		assert_int_equal(ask(x, &c, sizeof(c), &a), b->type);
		(void)hear(x, peer, &m, NULL, 0);
		assert_int_equal(m.type, 0);
	}
	assert_int_equal(x->g->n_res, 1);
}

static void bad_places_are_refused(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);

	make_blob(x, peer, 1, 10, (uint64_t)2 * PAGE, NULL);
	make_blob(x, peer, 1, 11, (uint64_t)2 * PAGE, NULL);
	assert_int_equal(ask_map(x, 9, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(ask_map(x, 10, 1), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, WINDOW), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, WINDOW - PAGE), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, UINT64_MAX - PAGE + 1),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, WINDOW - 2 * PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER); /* twice */
	assert_int_equal(ask_map(x, 11, WINDOW - 2 * PAGE), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 11, WINDOW - 3 * PAGE), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 11, WINDOW - 4 * PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_int_equal(x->g->n_maps, 2);
}

static void mappings_memory_and_resources_are_limited(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;

	for (uint32_t i = 0; i < 8; i++)
		make_blob(x, peer, 1, 10 + i, MEMORY / 8, NULL);
	blob_create(x, 1, 20, PAGE, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(ask_map(x, 10 + i, i * (MEMORY / 8)),
				 i < 4 ? VIRTIO_GPU_RESP_OK_MAP_INFO
				       : VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 12), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_map(x, 14, 2 * (MEMORY / 8)), VIRTIO_GPU_RESP_OK_MAP_INFO);
	blob_create(x, 1, 20, MEMORY / 8 + 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	/* Storage of the guest costs us no memory, but it counts. */
	struct virtio_gpu_resource_create_blob c = { .hdr = HDR(RESOURCE_CREATE_BLOB, 0),
						     .resource_id = 30,
						     .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
						     .size = 2 * MEMORY };
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_OK_NODATA);
	c.resource_id = 31;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
}

static void commands_wait_for_their_resource(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	static struct answer a[5];

	/* As Linux sends them: nothing is waited for in between. */
	blob_create(x, 1, 10, PAGE, &a[0]);
	blob_map(x, 10, 0, &a[1]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 10, &a[2]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a[3]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a[4]);
	assert_null(x->late.req);
	answer_blob(x, peer, PAGE, NULL);
	assert_true(came_back(x, &a[0]));
	assert_true(x->late.is_map);
	assert_false(came_back(x, &a[1]));
	complete(x, 0);
	assert_true(came_back(x, &a[1]));
	assert_int_equal(a[1].h.type, VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_false(x->late.is_map);
	complete(x, 0);
	assert_true(came_back(x, &a[2]));
	assert_true(came_back(x, &a[3]));
	assert_int_equal(a[3].h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_true(came_back(x, &a[4]));
	assert_int_equal(a[4].h.type, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void a_window_that_fails_is_an_error(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;

	make_blob(x, peer, 1, 10, PAGE, NULL);
	blob_map(x, 10, 0, &a);
	complete(x, -ENOMEM);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	blob_map(x, 10, 0, &a); /* its place is free */
	complete(x, 0);
	assert_true(came_back(x, &a));
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a);
	complete(x, -EIO);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(x->g->n_maps, 1); /* the guest may still see it: kept */
	assert_int_equal(x->g->n_res, 1);
}

/* How a blob's descriptor can be wrong. */
enum flaw { UNSEALED, SHORT, OFFSET, SMALL, NO_FD, WRONG_KIND, FAKE_DMABUF, MAP_INFO, FLAWS };

static void unsound_blobs_end_their_context(void **state)
{
	struct fixture *x = *state;
	unsigned quick = begin(x, 2);
	struct answer a;

	for (int flaw = 0; flaw < FLAWS; flaw++) {
		struct ctx_msg m;
		int fd = -1;

		if (x->n_peers == PEERS) { /* places for the other half */
			for (unsigned i = 1; i < PEERS; i++)
				fd_drop(&x->peer[i]);
			x->n_peers = 1;
		}
		unsigned peer = begin(x, 1);
		blob_create(x, 1, 10, (uint64_t)2 * PAGE, &a);
		(void)hear(x, peer, &m, NULL, 0);
		m = (struct ctx_msg){ .type = CTX_MSG_BLOB,
				      .id = m.id,
				      .kind = CTX_BLOB_SHM,
				      .size = (uint64_t)2 * PAGE };
		if (flaw == UNSEALED) {
			fd = memfd_create("blob", MFD_CLOEXEC);
			assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
		} else {
			assert_int_equal(shm_create("blob", flaw == SHORT ? PAGE : 2 * PAGE, &fd),
					 0);
		}
		m.offset = flaw == OFFSET ? 1 : 0;
		m.map_info = flaw == MAP_INFO ? 4 : 1;
		if (flaw == SMALL)
			m.size = PAGE;
		if (flaw == WRONG_KIND)
			m.kind = 3;
		if (flaw == FAKE_DMABUF)
			m.kind = CTX_BLOB_DMABUF;
		say(x, peer, &m, flaw == NO_FD ? -1 : fd);
		close(fd);
		print_message("flaw %d\n", flaw);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
		submit(x, 1, -2, 0, "x", 1, &a);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	}
	make_blob(x, quick, 2, 11, PAGE, NULL);
}

static void nonsense_from_a_renderer_ends_its_context(void **state)
{
	static const struct ctx_msg words[] = {
		{ .type = 0 },
		{ .type = CTX_MSG_SUBMIT },
		{ .type = CTX_MSG_BLOB, .id = 1 },
		{ .type = CTX_MSG_IMPORTED, .id = 1 },
		{ .type = CTX_MSG_RETIRED, .ring_idx = 64 },
		{ .type = UINT32_MAX },
	};
	struct fixture *x = *state;
	struct answer a;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		unsigned peer = begin(x, 1);

		say(x, peer, &words[i], -1);
		submit(x, 1, -2, 0, "x", 1, &a);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	}

	unsigned peer = begin(x, 1);
	struct ctx_msg m = { .type = CTX_MSG_RETIRED, .id = UINT64_MAX };
	/* Fences that are not waited for, and descriptors that nobody wants, do no harm. */
	say(x, peer, &m, STDERR_FILENO);
	m = (struct ctx_msg){ .type = CTX_MSG_LOST };
	say(x, peer, &m, -1);
	submit(x, 1, -2, 0, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(send(x->peer[peer], "short", 5, 0), 5);
	spin(x);
	submit(x, 1, -2, 0, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

static void a_dead_renderer_takes_its_own_context_only(void **state)
{
	struct fixture *x = *state;
	unsigned dead = begin(x, 1);
	unsigned alive = begin(x, 2);
	static struct answer a[4];
	struct answer b;
	struct ctx_msg m;

	make_blob(x, dead, 1, 10, PAGE, NULL);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_OK_MAP_INFO);
	submit(x, 1, 5, 50, "x", 1, &a[0]);
	blob_create(x, 1, 11, PAGE, &a[1]);
	blob_map(x, 11, PAGE, &a[2]);
	submit(x, 2, 5, 60, "x", 1, &b);

	fd_drop(&x->peer[dead]);
	spin(x);
	/* Whoever waits is woken; which of them first is nobody's business. */
	unsigned back = 0;
	uint32_t written;
	uint16_t head;
	while (fd_used(&x->f, CONTROL, &head, &written))
		back++;
	assert_int_equal(back, 3);
	assert_int_equal(a[0].h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(a[0].h.fence_id, 50);
	assert_int_equal(a[0].h.flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	assert_int_equal(a[1].h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(a[2].h.type, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);

	/* Memory that it has mapped stays. */
	((uint8_t *)x->window.host)[0] = 1;
	blob_create(x, 1, 12, PAGE, &a[3]);
	assert_true(came_back(x, &a[3]));
	assert_int_equal(a[3].h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);

	(void)hear(x, alive, &m, a[0].data, 1);
	retire(x, alive, 5, m.id);
	assert_true(came_back(x, &b));
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	(void)begin(x, 1);
}

static void storage_of_the_guest_is_lent_and_taken_back(void **state)
{
	struct fixture *x = *state;
	struct virtio_gpu_resource_create_blob c = { .hdr = HDR(RESOURCE_CREATE_BLOB, 0),
						     .resource_id = 5,
						     .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
						     .nr_entries = 2,
						     .size = 6000 };
	struct virtio_gpu_mem_entry e[2] = { { .addr = 0, .length = 4096 },
					     { .addr = 8192, .length = 4096 } };
	struct virtio_gpu_resource_attach_backing b = { .hdr = HDR(RESOURCE_ATTACH_BACKING, 0),
							.resource_id = 5,
							.nr_entries = 2 };
	struct answer a;

	(void)offer(x, &c, sizeof(c), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER); /* it has some */
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 5),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 5),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	e[1].addr = FD_RAM; /* not the guest's */
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	e[1].addr = 8192;
	e[1].length = 100; /* too little */
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	e[1].length = 4096;
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);

	assert_int_equal(ask_map(x, 5, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	(void)begin(x, 1);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 5, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 5), VIRTIO_GPU_RESP_OK_NODATA);
}

static void contexts_share_blobs(void **state)
{
	static const int codes[] = { -EINVAL, 0 };
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	struct ctx_msg m;
	struct answer a;
	int fd = -1;

	make_blob(x, one, 1, 10, PAGE, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
		assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a), 0);
		(void)hear_fd(x, two, &m, NULL, 0, &fd);
		assert_int_equal(m.type, CTX_MSG_IMPORT);
		assert_int_equal(m.res_id, 10);
		assert_int_equal(m.size, PAGE);
		assert_true(fd >= 0);
		fd_drop(&fd);
		say(x, two,
		    &(struct ctx_msg){ .type = CTX_MSG_IMPORTED, .id = m.id, .code = codes[i] },
		    -1);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, codes[i] < 0 ? VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
							: VIRTIO_GPU_RESP_OK_NODATA);
	}
	/* Once is enough. */
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 11, &a),
			 VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 3, 10, &a),
			 VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_UNREF);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, 0);

	/* Who has it when it is dropped is told. */
	(void)ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a);
	(void)hear_fd(x, two, &m, NULL, 0, &fd);
	fd_drop(&fd);
	say(x, two, &(struct ctx_msg){ .type = CTX_MSG_IMPORTED, .id = m.id }, -1);
	assert_true(came_back(x, &a));
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_UNREF);
}

static void an_attachment_waits_for_its_blob(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	struct answer a;
	struct answer b;
	struct ctx_msg m;
	int fd = -1;

	blob_create(x, 1, 10, PAGE, &a);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &b), 0);
	answer_blob(x, one, PAGE, NULL);
	assert_true(came_back(x, &a));
	(void)hear_fd(x, two, &m, NULL, 0, &fd);
	assert_int_equal(m.type, CTX_MSG_IMPORT);
	fd_drop(&fd);
	fd_drop(&x->peer[two]);
	spin(x);
	assert_true(came_back(x, &b));
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

static void a_reset_leaves_nothing(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	static struct answer a[6];
	char byte;

	make_blob(x, one, 1, 10, PAGE, NULL);
	blob_map(x, 10, 0, &a[0]); /* never completed */
	blob_create(x, 1, 11, PAGE, &a[1]);
	submit(x, 1, 1, 1, "x", 1, &a[2]);
	submit(x, 2, -1, 1, "x", 1, &a[3]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a[4]);
	(void)ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a[5]);
	assert_int_equal(ctx_destroy(x, 2), VIRTIO_GPU_RESP_OK_NODATA);

	virtio_stop(gpu_dev(x->g));
	assert_int_equal(x->late.resets, 1);
	assert_int_equal(x->g->n_ctxs, 0);
	assert_int_equal(x->g->n_res, 0);
	assert_int_equal(x->g->n_maps, 0);
	assert_int_equal(x->g->memory, 0);
	while (recv(x->peer[one], &byte, 1, 0) > 0)
		;
	assert_int_equal(recv(x->peer[one], &byte, 1, 0), 0);
	while (recv(x->peer[two], &byte, 1, 0) > 0)
		;

	fd_fini(&x->f);
	fd_init(&x->f);
	assert_int_equal(fd_start(&x->f, gpu_dev(x->g), 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		unsigned peer = begin(x, 1 + i);

		make_blob(x, peer, 1 + i, 10 + i, PAGE, NULL);
	}
}

int main(void)
{
#define T(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_LATE(name) cmocka_unit_test_setup_teardown(name, setup_late, teardown)
	const struct CMUnitTest tests[] = {
		T(it_is_a_render_node_with_one_capability_set),
		T(what_it_does_not_have_is_refused),
		T(short_chains_go_back),
		T(a_context_is_a_renderer),
		T(other_capability_sets_have_no_contexts),
		T(contexts_are_limited),
		T(commands_reach_the_renderer_and_fences_come_back),
		T(bad_submissions_are_refused),
		T(fences_without_a_timeline_stay_in_order),
		T(long_submissions_arrive_whole),
		T(a_slow_renderer_holds_up_nobody_else),
		T(a_context_can_be_destroyed_while_its_renderer_is_stuck),
		T(blobs_are_made_mapped_and_dropped),
		T(a_blob_that_cannot_be_made_is_an_error),
		T(bad_blobs_are_refused),
		T(bad_places_are_refused),
		T(mappings_memory_and_resources_are_limited),
		T_LATE(commands_wait_for_their_resource),
		T_LATE(a_window_that_fails_is_an_error),
		T(unsound_blobs_end_their_context),
		T(nonsense_from_a_renderer_ends_its_context),
		T(a_dead_renderer_takes_its_own_context_only),
		T(storage_of_the_guest_is_lent_and_taken_back),
		T(contexts_share_blobs),
		T(an_attachment_waits_for_its_blob),
		T_LATE(a_reset_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
