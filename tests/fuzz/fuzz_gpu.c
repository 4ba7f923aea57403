/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a driver of virtio-gpu and its renderers, both hostile.  An input is a list of
 * steps: commands of the driver, packets of a renderer, answers to what the device has asked a
 * renderer or the window for, resets.  Numbers are written as one byte that stands for a likely
 * one, so that mutations find ids that exist.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "gpu/gpu_internal.h"
#include "harness/driver.h"
#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"
#include "util/bytes.h"
#include "util/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 21 /* each takes 3 descriptors of the harness's ring of 64 */
#define STEPS_MAX    128
#define PEERS        4
#define PAGE         UINT64_C(4096)
#define MEMORY       (64 * PAGE)
#define WINDOW       (256 * PAGE)

enum step { COMMAND, PACKET, SOUND_ANSWER, WINDOW_DONE, HANG_UP, RESET, STEPS };

struct world {
	struct fake_driver f;
	struct loop *loop;
	struct gpu *g;
	struct window window;
	struct window_req *req;
	int peer[PEERS];
	uint64_t asked[PEERS]; /* id of the last message heard there */
	unsigned n_peers;
	unsigned n_commands;
	struct rd in;
};

static void window_map(struct window *w, struct window_req *req)
{
	struct world *x = container_of(w, struct world, window);

	assert(req->len > 0 && req->off <= WINDOW && req->len <= WINDOW - req->off);
	assert(req->fd >= 0);
	if (!x->req)
		x->req = req; /* later */
	else
		req->done(req, 0);
}

static void window_unmap(struct window *w, struct window_req *req)
{
	window_map(w, req);
}

static void window_reset(struct window *w)
{
	container_of(w, struct world, window)->req = NULL;
}

static const struct window_ops window_ops = { window_map, window_unmap, window_reset };

static int on_connect(void *arg, int *sock)
{
	struct world *x = arg;
	int pair[2];

	if (x->n_peers == PEERS)
		return -EAGAIN;
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	*sock = pair[0];
	x->peer[x->n_peers++] = pair[1];
	return 0;
}

/* A byte that stands for a number. */
static uint64_t number(struct world *x)
{
	uint8_t b = rd_u8(&x->in);

	if (b < 64)
		return b;
	if (b < 128)
		return (b - UINT64_C(64)) * PAGE;
	if (b < 192)
		return (b - UINT64_C(128)) << 4;
	return UINT64_MAX - (b - UINT64_C(192));
}

static void command(struct world *x)
{
	static const uint32_t types[] = {
		VIRTIO_GPU_CMD_CTX_CREATE,
		VIRTIO_GPU_CMD_SUBMIT_3D,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNREF,
		VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
		VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
		VIRTIO_GPU_CMD_CTX_DESTROY,
		VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
		VIRTIO_GPU_CMD_GET_CAPSET_INFO,
		VIRTIO_GPU_CMD_GET_CAPSET,
		VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
	};
	static uint8_t answer[512];
	struct virtio_gpu_ctrl_hdr h = { .type = types[rd_u8(&x->in) % ARRAY_LEN(types)] };
	uint8_t how = rd_u8(&x->in);
	uint32_t body[32];
	unsigned words = how >> 3;

	if (x->n_commands++ == COMMANDS_MAX)
		return;
	h.flags = how & 3;
	h.ctx_id = rd_u8(&x->in) & 3;
	h.ring_idx = rd_u8(&x->in) % 65;
	for (unsigned i = 0; i < words; i++)
		body[i] = (uint32_t)number(x);

	const struct fd_buf bufs[] = { FD_RD(&h), FD_RDN(body, words * 4 + (how & 4 ? 1 : 0)),
				       FD_WRN(answer, how & 4 ? 30 : sizeof(answer)) };
	unsigned n = words ? 3 : 2;

	(void)fd_offer(&x->f, 0, (struct fd_buf[]){ bufs[0], bufs[n - 2 ? n - 2 : 2], bufs[2] }, n);
	fd_kick(&x->f, 0);
}

static unsigned pick(struct world *x)
{
	return rd_u8(&x->in) % PEERS;
}

/* Reads what the device has said, so that its sockets have room. */
static void hear(struct world *x, unsigned peer)
{
	static uint8_t buf[sizeof(struct ctx_msg) + CTX_DATA_MAX];
	struct ctx_msg m;
	ssize_t n;

	if (peer >= x->n_peers || x->peer[peer] < 0)
		return;
	do {
		unsigned nfds = 0;

		n = fd_recv(x->peer[peer], buf, sizeof(buf), NULL, &nfds);
		if (n >= (ssize_t)sizeof(m)) {
			memcpy(&m, buf, sizeof(m));
			assert(m.type >= CTX_MSG_BEGIN && m.type <= CTX_MSG_UNREF);
			if (m.id)
				x->asked[peer] = m.id;
		}
	} while (n > 0);
}

static void send_packet(struct world *x, unsigned peer, const struct ctx_msg *m, size_t len, int fd)
{
	if (peer < x->n_peers && x->peer[peer] >= 0 &&
	    fd_send(x->peer[peer], m, len, &fd, fd >= 0) < 0)
		fd_drop(&x->peer[peer]);
}

static int make_fd(uint8_t kind)
{
	int fd = -1;

	switch (kind % 5) {
	case 0:
		return -1;
	case 1:
		assert(shm_create("blob", (uint64_t)(kind / 5) * PAGE + PAGE, &fd) == 0);
		return fd;
	case 2:
		return memfd_create("blob", MFD_CLOEXEC);
	case 3:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	default:
		return dup(STDERR_FILENO);
	}
}

static void packet(struct world *x)
{
	unsigned peer = pick(x);
	uint8_t how = rd_u8(&x->in);
	AUTO_FD fd = make_fd(rd_u8(&x->in));
	struct ctx_msg m = { .type = CTX_MSG_BLOB + how % 5 };

	hear(x, peer);
	m.id = how & 0x80 && peer < x->n_peers ? x->asked[peer] : number(x);
	m.ring_idx = (uint32_t)number(x);
	m.code = (int32_t)number(x);
	m.kind = (uint32_t)number(x);
	m.map_info = (uint32_t)number(x);
	m.offset = number(x);
	m.size = number(x);
	send_packet(x, peer, &m, how & 0x40 ? sizeof(m) - 1 : sizeof(m), fd);
}

/* What a sound renderer would say to the last message. */
static void sound_answer(struct world *x)
{
	unsigned peer = pick(x);
	uint8_t how = rd_u8(&x->in);
	AUTO_FD fd = -1;
	struct ctx_msg m = { .map_info = 1, .kind = CTX_BLOB_SHM, .ring_idx = how >> 2 };

	hear(x, peer);
	if (peer >= x->n_peers)
		return;
	m.id = x->asked[peer];
	m.type = how % 3 == 0 ? CTX_MSG_BLOB : how % 3 == 1 ? CTX_MSG_RETIRED : CTX_MSG_IMPORTED;
	if (m.type == CTX_MSG_BLOB) {
		assert(shm_create("blob", 64 * PAGE, &fd) == 0);
		m.size = 64 * PAGE;
	}
	send_packet(x, peer, &m, sizeof(m), fd);
}

static void window_done(struct world *x)
{
	struct window_req *req = x->req;

	x->req = NULL;
	if (req)
		req->done(req, rd_u8(&x->in) % 4 ? 0 : -EIO);
}

static void hang_up(struct world *x)
{
	unsigned peer = pick(x);

	if (peer < x->n_peers)
		fd_drop(&x->peer[peer]);
}

struct stopper {
	struct loop_timer t;
	struct loop *loop;
};

static void stop_now(struct loop_timer *t)
{
	loop_stop(container_of(t, struct stopper, t)->loop);
}

/* The device sees to its sockets once. */
static void spin(struct world *x)
{
	struct stopper s = { .t = { .fn = stop_now }, .loop = x->loop };

	loop_timer_set(x->loop, &s.t, clock_now_ns());
	loop_run(x->loop);
}

static void check(const struct world *x)
{
	assert(x->g->memory <= MEMORY && x->g->n_maps <= x->window.maps_max);
	assert(x->g->n_ctxs <= x->g->cfg.limits.contexts);
	assert(x->g->n_res <= x->g->cfg.limits.resources);
	for (uint32_t i = 1; i < x->g->n_maps; i++)
		assert(x->g->maps[i - 1].off + x->g->maps[i - 1].len <= x->g->maps[i].off);
}

static void run(struct world *x)
{
	for (unsigned i = 0; i < STEPS_MAX && rd_left(&x->in) > 0; i++) {
		switch ((enum step)(rd_u8(&x->in) % STEPS)) {
		case COMMAND:
			command(x);
			break;
		case PACKET:
			packet(x);
			break;
		case SOUND_ANSWER:
			sound_answer(x);
			break;
		case WINDOW_DONE:
			window_done(x);
			break;
		case HANG_UP:
			hang_up(x);
			break;
		case RESET:
		case STEPS:
		default:
			virtio_stop(gpu_dev(x->g));
			assert(x->g->n_ctxs == 0 && x->g->n_res == 0 && x->g->memory == 0);
			return;
		}
		spin(x);
		check(x);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t capset[8];
	struct world *x = calloc(1, sizeof(*x));

	assert(x);
	x->in = rd_init(data, size);
	x->window = (struct window){ .ops = &window_ops, .len = WINDOW, .maps_max = 6 };

	const struct gpu_config cfg = {
		.capset_id = 4,
		.capset_size = sizeof(capset),
		.capset = capset,
		.window = &x->window,
		.limits = { .memory = MEMORY, .contexts = 3, .resources = 8 },
		.maps_driver_memory = true,
		.connect = on_connect,
		.arg = x,
	};

	log_set_level(LOG_OFF);
	assert(loop_create(&x->loop) == 0);
	assert(gpu_create(&cfg, x->loop, &x->g) == 0);
	fd_init(&x->f);
	assert(fd_start(&x->f, gpu_dev(x->g), 0) == 0);
	run(x);
	fd_fini(&x->f);
	gpu_destroy(x->g);
	loop_destroy(x->loop);
	for (unsigned i = 0; i < x->n_peers; i++)
		fd_drop(&x->peer[i]);
	free(x);
	return 0;
}
