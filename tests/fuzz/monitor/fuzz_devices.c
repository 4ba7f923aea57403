// SPDX-License-Identifier: Apache-2.0
/*
 * Chains of a hostile driver for each small device.  The first byte of the input chooses the
 * device; then follow chains: the queue, and buffers with their direction, length and bytes.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_vsock.h>

#include "disk/disk.h"
#include "harness/driver.h"
#include "host/shm.h"
#include "util/bytes.h"
#include "util/log.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"
#include "vsock/vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLK, CONSOLE, VSOCK, NET, BALLOON, RNG, DEVICES };

#define DISK_LEN   (64 << 10)
#define CHAINS_MAX 64
#define BUF_MAX    1024

static int on_discard(void *at, uint64_t len)
{
	fd_must((uintptr_t)at % shm_page_size() == 0 && len % shm_page_size() == 0);
	memset(at, 0, len);
	return 0;
}

static int socket_pair(int *peer)
{
	int pair[2];

	fd_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	*peer = pair[1];
	return pair[0];
}

struct target {
	struct loop *loop;
	struct virtio_dev *dev;
	void *obj;
	void (*destroy)(void *obj);
	uint64_t features;
	int peer;
};

#define DESTROY(kind)                                                                              \
	static void destroy_##kind(void *obj)                                                      \
	{                                                                                          \
		virtio_##kind##_destroy(obj);                                                      \
	}
DESTROY(blk)
DESTROY(console)
DESTROY(vsock)
DESTROY(net)
DESTROY(balloon)
DESTROY(rng)

static struct virtio_dev *make_blk(struct target *t)
{
	struct virtio_blk *b;
	struct disk *d;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	fd_must(fd >= 0 && ftruncate(fd, DISK_LEN) == 0);
	fd_must(disk_open_fd(fd, "fuzz", false, &d, NULL) == 0);
	fd_must(virtio_blk_create(d, "serial", t->loop, &b) == 0);
	t->obj = b;
	t->destroy = destroy_blk;
	return virtio_blk_dev(b);
}

static struct virtio_dev *make_console(struct target *t)
{
	int fd = socket_pair(&t->peer);
	const struct console_port_conf ports[] = {
		{ .is_console = true, .in_fd = -1 },
		{ .name = "port", .in_fd = t->peer },
	};
	struct virtio_console *c;

	fd_must(virtio_console_create(ports, 2, t->loop, &c) == 0);
	fd_must(write(fd, "typed", 5) == 5);
	close(fd);
	t->obj = c;
	t->destroy = destroy_console;
	return virtio_console_dev(c);
}

static struct virtio_dev *make_vsock(struct target *t)
{
	struct virtio_vsock *v;
	int fd = socket_pair(&t->peer);

	fd_must(virtio_vsock_create(3, t->loop, &v) == 0);
	fd_must(vsock_add_stream(virtio_vsock_ports(v), 1, fd) == 0);
	fd_must(write(t->peer, "to the guest", 12) == 12);
	t->obj = v;
	t->destroy = destroy_vsock;
	return virtio_vsock_dev(v);
}

static struct virtio_dev *make_net(struct target *t, const uint8_t *from_host, size_t len)
{
	static const uint8_t mac[6] = { 2 };
	struct virtio_net *n;

	fd_must(virtio_net_create(socket_pair(&t->peer), mac, 1500, t->loop, &n) == 0);
	(void)!write(t->peer, from_host, len);
	t->obj = n;
	t->destroy = destroy_net;
	return virtio_net_dev(n);
}

static struct virtio_dev *make_balloon(struct target *t)
{
	struct virtio_balloon *b;

	fd_must(virtio_balloon_create(on_discard, t->loop, &b) == 0);
	t->obj = b;
	t->destroy = destroy_balloon;
	return virtio_balloon_dev(b);
}

static struct virtio_dev *make_rng(struct target *t)
{
	struct virtio_rng *r;

	fd_must(virtio_rng_create(t->loop, &r) == 0);
	t->obj = r;
	t->destroy = destroy_rng;
	return virtio_rng_dev(r);
}

static struct virtio_dev *make(struct target *t, unsigned kind, const struct rd *r)
{
	switch (kind) {
	case BLK:
		return make_blk(t);
	case CONSOLE:
		return make_console(t);
	case VSOCK:
		return make_vsock(t);
	case NET:
		return make_net(t, r->p, rd_left(r));
	case BALLOON:
		return make_balloon(t);
	default:
		return make_rng(t);
	}
}

/* One chain of the input, offered and served. */
static void one_chain(struct fake_driver *f, struct rd *r)
{
	static uint8_t bytes[8][BUF_MAX];
	struct fd_buf bufs[8];
	uint8_t how = rd_u8(r);
	unsigned queue = how % (f->dev->n_vqs < FD_QUEUES ? f->dev->n_vqs : FD_QUEUES);
	unsigned n = 1 + (how >> 4) % 7, n_rd = rd_u8(r) % 8;
	uint32_t written;
	uint16_t head;

	for (unsigned k = 0; k < n; k++) {
		size_t len = rd_u8(r);

		len = len < 128 ? len : (len - 127) * 8;
		len = len < BUF_MAX ? len : BUF_MAX;
		if (k < n_rd) {
			size_t have = len < rd_left(r) ? len : rd_left(r);

			memset(bytes[k], 0, len);
			rd_copy(r, bytes[k], have);
			bufs[k] = FD_RDN(bytes[k], len);
		} else {
			bufs[k] = FD_WRN(bytes[k], len);
		}
	}
	(void)fd_offer(f, queue, bufs, n);
	fd_kick(f, queue);
	while (fd_used(f, queue, &head, &written))
		fd_must(written <= 8 * BUF_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct target t = { .peer = -1 };
	static struct fake_driver f; /* its RAM is kept: it is what costs time */
	unsigned kind = rd_u8(&r) % DEVICES;

	log_set_level(LOG_OFF);
	fd_must(loop_create(&t.loop) == 0);
	t.dev = make(&t, kind, &r);
	if (!f.ram)
		fd_init(&f);
	memset(f.ram, 0, f.heap);
	f.heap = 0x1000;
	fd_must(fd_start(&f, t.dev, virtio_features(t.dev) & rd_le64(&r) & ~(UINT64_C(3) << 28)) ==
		0);
	for (unsigned n = 0; n < CHAINS_MAX && rd_left(&r) > 0; n++) {
		one_chain(&f, &r);
		if (n % 4 == 3) {
			uint8_t sink[4096];

			fd_spin(t.loop);
			while (t.peer >= 0 && read(t.peer, sink, sizeof(sink)) > 0)
				;
		}
		if (t.dev->needs_reset) {
			uint8_t config[8];

			virtio_stop(t.dev);
			rd_copy(&r, config, sizeof(config));
			virtio_config_write(t.dev, config[0], config + 4, config[1] % 5);
			f.heap = 0x1000;
			fd_must(fd_start(&f, t.dev, 0) == 0);
		}
	}
	fd_spin(t.loop);
	virtio_stop(t.dev);
	f.dev = NULL;
	t.destroy(t.obj);
	fd_spin(t.loop);
	loop_destroy(t.loop);
	if (t.peer >= 0)
		close(t.peer);
	return 0;
}
