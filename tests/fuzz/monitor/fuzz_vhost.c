// SPDX-License-Identifier: Apache-2.0
/*
 * A hostile QEMU: requests on a device's socket, answers on its backend channel, bytes in the RAM
 * that holds rings.  The device is a random number generator with a window, which it maps and
 * unmaps as the input says.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/front.h"
#include "host/fd.h"
#include "util/bytes.h"
#include "util/log.h"
#include "vhost/vhost_internal.h"
#include "vhost/window.h"
#include "virtio/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX  200
#define WISHES     16
#define WINDOW_LEN (UINT64_C(1) << 20)
#define SHMID      1

enum { REQUEST, RAW, RAM, KICK, CHANNEL_ANSWER, CHANNEL_RAW, MAP, UNMAP, RESET, HOWS };
enum { FD_NONE, FD_RAM_ITSELF, FD_EVENT, FD_SOCKET, FD_KINDS };

/* Requests with the payload that belongs to them. */
static const struct {
	uint32_t request;
	uint32_t len;
} known[] = {
	{ VHOST_GET_FEATURES, 0 },
	{ VHOST_SET_FEATURES, 8 },
	{ VHOST_SET_OWNER, 0 },
	{ VHOST_RESET_OWNER, 0 },
	{ VHOST_SET_VRING_NUM, 8 },
	{ VHOST_SET_VRING_ADDR, 40 },
	{ VHOST_SET_VRING_BASE, 8 },
	{ VHOST_GET_VRING_BASE, 8 },
	{ VHOST_SET_VRING_KICK, 8 },
	{ VHOST_SET_VRING_CALL, 8 },
	{ VHOST_SET_VRING_ERR, 8 },
	{ VHOST_GET_PROTOCOL_FEATURES, 0 },
	{ VHOST_SET_PROTOCOL_FEATURES, 8 },
	{ VHOST_GET_QUEUE_NUM, 0 },
	{ VHOST_SET_VRING_ENABLE, 8 },
	{ VHOST_SET_BACKEND_REQ_FD, 0 },
	{ VHOST_GET_CONFIG, 20 },
	{ VHOST_SET_CONFIG, 20 },
	{ VHOST_RESET_DEVICE, 0 },
	{ VHOST_GET_MAX_MEM_SLOTS, 0 },
	{ VHOST_ADD_MEM_REG, 40 },
	{ VHOST_REM_MEM_REG, 40 },
	{ VHOST_GET_SHMEM_CONFIG, 0 },
};

struct wish {
	struct window_req req;
	bool is_busy;   /* asked for, not answered */
	bool is_mapped; /* as far as the device knows */
	bool is_unmap;
};

struct target {
	struct front f;
	struct virtio_rng *rng;
	struct vhost_window *window;
	struct wish wish[WISHES];
	int event;
	int channel[2]; /* QEMU's end, ours to be sent */
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void on_done(struct window_req *req, int result)
{
	struct wish *w = container_of(req, struct wish, req);

	must(w->is_busy);
	w->is_busy = false;
	if (result == 0)
		w->is_mapped = !w->is_unmap;
}

static void drain(int sock)
{
	uint8_t sink[4096];

	while (sock >= 0 && recv(sock, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static int choose_fd(struct target *t, uint8_t kind)
{
	switch (kind % FD_KINDS) {
	case FD_RAM_ITSELF:
		return t->f.ram.fd;
	case FD_EVENT:
		return t->event;
	case FD_SOCKET:
		return t->channel[1];
	default:
		return -1;
	}
}

static void one_request(struct target *t, struct rd *r)
{
	uint8_t payload[64] = { 0 };
	size_t at = rd_u8(r) % ARRAY_LEN(known);
	uint8_t how = rd_u8(r);
	size_t have = known[at].len < rd_left(r) ? known[at].len : rd_left(r);

	rd_copy(r, payload, have);
	front_send(&t->f, known[at].request, VHOST_VERSION | (how & 0x80 ? VHOST_NEED_REPLY : 0),
		   payload, known[at].len, choose_fd(t, how));
}

static void raw(int sock, struct rd *r)
{
	uint8_t bytes[64];
	size_t n = rd_u8(r) % sizeof(bytes);

	n = n < rd_left(r) ? n : rd_left(r);
	rd_copy(r, bytes, n);
	if (sock >= 0)
		(void)!send(sock, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void channel_answer(const struct target *t, struct rd *r)
{
	static const uint32_t requests[] = { VHOST_BACKEND_SHMEM_MAP, VHOST_BACKEND_OBJECT_LOOKUP,
					     VHOST_BACKEND_SHMEM_UNMAP };
	uint8_t how = rd_u8(r);
	const struct {
		struct vhost_hdr h;
		uint32_t status[2];
	} m = { { requests[how % 3], VHOST_VERSION | VHOST_REPLY, 8 }, { how >> 7, 0 } };

	(void)!send(t->channel[0], &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* A device keeps the window's rules: no two requests for one range, no unmapping of nothing. */
static void one_wish(struct target *t, struct rd *r, bool is_unmap)
{
	unsigned i = rd_u8(r) % WISHES;
	struct wish *w = &t->wish[i];
	struct window *win = vhost_window(t->window);

	if (w->is_busy || w->is_mapped != is_unmap)
		return;
	w->is_busy = true;
	w->is_unmap = is_unmap;
	w->req = (struct window_req){
		.off = i * UINT64_C(8192), .len = 4096, .fd = t->f.ram.fd, .done = on_done
	};
	(is_unmap ? win->ops->unmap : win->ops->map)(win, &w->req);
}

static void reset(struct target *t)
{
	struct window *win = vhost_window(t->window);

	win->ops->reset(win);
	for (unsigned i = 0; i < WISHES; i++)
		t->wish[i] = (struct wish){ 0 };
}

static void step(struct target *t, struct rd *r)
{
	const uint64_t one = 1;
	uint32_t off;

	switch (rd_u8(r) % HOWS) {
	case REQUEST:
		one_request(t, r);
		break;
	case RAW:
		raw(t->f.sock, r);
		break;
	case RAM:
		off = rd_le32(r) % (FRONT_RAM - 8);
		rd_copy(r, (uint8_t *)t->f.ram.host + off, 8);
		break;
	case KICK:
		(void)!write(t->event, &one, sizeof(one));
		break;
	case CHANNEL_ANSWER:
		channel_answer(t, r);
		break;
	case CHANNEL_RAW:
		raw(t->channel[0], r);
		break;
	case MAP:
		one_wish(t, r, false);
		break;
	case UNMAP:
		one_wish(t, r, true);
		break;
	default:
		reset(t);
		break;
	}
	front_spin(&t->f);
	drain(t->f.sock);
	drain(t->channel[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct target t = { .event = -1 };
	struct virtio_dev *dev;

	log_set_level(LOG_OFF);
	front_init(&t.f);
	t.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(t.event >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, t.channel) == 0);
	must(vhost_window_create(SHMID, WINDOW_LEN, t.f.loop, &t.window) == 0);
	must(virtio_rng_create(t.f.loop, &t.rng) == 0);
	dev = virtio_rng_dev(t.rng);
	dev->shm[SHMID].len = WINDOW_LEN;
	front_add(&t.f, dev, t.window);
	for (unsigned n = 0; n < STEPS_MAX && rd_left(&r) > 0; n++)
		step(&t, &r);

	front_fini(&t.f);
	for (unsigned i = 0; i < WISHES; i++)
		must(!t.wish[i].is_busy); /* every wish is answered in the end */
	virtio_rng_destroy(t.rng);
	vhost_window_destroy(t.window);
	loop_destroy(t.f.loop);
	(void)close(t.event);
	(void)close(t.channel[0]);
	(void)close(t.channel[1]);
	return 0;
}
