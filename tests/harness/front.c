/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user front end for tests: see front.h. */
#include "harness/front.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/shm.h"
#include "vhost/vhost_internal.h"

struct stopper {
	struct loop_msg m;
	struct loop *loop;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void stop_soon(struct loop_msg *m)
{
	loop_stop(container_of(m, struct stopper, m)->loop);
}

static void spin(struct loop *l)
{
	struct stopper s = { .m = { .fn = stop_soon }, .loop = l };

	loop_post(l, &s.m);
	loop_run(l);
}

void front_spin(struct front *f)
{
	/* A message may make the device do something, and that QEMU's socket readable. */
	for (int n = 0; n < 3; n++) {
		spin(f->v->loop);
		spin(f->loop);
	}
}

static void on_lost(void *arg, const char *why)
{
	struct front *f = arg;

	f->lost++;
	f->is_blamed = why != NULL;
}

void front_init(struct front *f)
{
	*f = (struct front){ .sock = -1 };
	must(loop_create(&f->loop) == 0);
	f->ram.len = FRONT_RAM;
	must(shm_create("ram", f->ram.len, &f->ram.fd) == 0);
	must(shm_map(f->ram.fd, f->ram.len, &f->ram.host) == 0);

	const struct vhost_conf conf = { .ram = f->ram, .lost = on_lost, .arg = f };

	must(vhost_create(&conf, &f->v) == 0);
}

void front_add(struct front *f, struct virtio_dev *dev, struct vhost_window *w)
{
	must(vhost_add(f->v, dev, w, &f->sock) == 0);
	must(fd_set_nonblock(f->sock) == 0);
	must(loop_add(f->v->loop, &f->v->dev[f->v->n - 1].src, LOOP_READ) == 0);
}

void front_fini(struct front *f)
{
	vhost_destroy(f->v);
	fd_drop(&f->sock);
	shm_unmap(f->ram.host, f->ram.len);
	fd_drop(&f->ram.fd);
}

void front_send(struct front *f, uint32_t request, uint32_t flags, const void *data, uint32_t len,
		int fd)
{
	const struct vhost_hdr h = { .request = request, .flags = flags, .size = len };
	uint8_t msg[sizeof(h) + 2048];

	must(len <= sizeof(msg) - sizeof(h));
	memcpy(msg, &h, sizeof(h));
	if (len > 0)
		memcpy(msg + sizeof(h), data, len);
	(void)!fd_send(f->sock, msg, sizeof(h) + len, &fd, fd >= 0);
	front_spin(f);
}

int front_recv(struct front *f, uint32_t *request, void *data, size_t len)
{
	struct vhost_hdr h;

	if (recv(f->sock, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return -1;
	must(h.size <= len && h.flags == (VHOST_VERSION | VHOST_REPLY));
	must(recv(f->sock, data, h.size, 0) == (ssize_t)h.size);
	if (request)
		*request = h.request;
	return (int)h.size;
}

uint64_t front_ask(struct front *f, uint32_t request)
{
	uint64_t v = 0;
	uint32_t from = 0;

	front_send(f, request, VHOST_VERSION, NULL, 0, -1);
	must(front_recv(f, &from, &v, sizeof(v)) == (int)sizeof(v) && from == request);
	return v;
}

void front_add_ram(struct front *f)
{
	const struct vhost_mem_reg reg = { .len = f->ram.len, .uaddr = FRONT_UADDR };

	front_send(f, VHOST_ADD_MEM_REG, VHOST_VERSION, &reg, sizeof(reg), f->ram.fd);
}

void front_queue(struct front *f, uint32_t index, const struct vq_layout *l, int kick, int call)
{
	const struct vhost_vring_state num = { .index = index, .num = l->size };
	const struct vhost_vring_state base = { .index = index, .num = l->next };
	const struct vhost_vring_addr addr = { .index = index,
					       .desc = FRONT_UADDR + l->desc_gpa,
					       .avail = FRONT_UADDR + l->avail_gpa,
					       .used = FRONT_UADDR + l->used_gpa };
	const uint64_t i = index;

	front_send(f, VHOST_SET_VRING_NUM, VHOST_VERSION, &num, sizeof(num), -1);
	front_send(f, VHOST_SET_VRING_BASE, VHOST_VERSION, &base, sizeof(base), -1);
	front_send(f, VHOST_SET_VRING_ADDR, VHOST_VERSION, &addr, sizeof(addr), -1);
	front_send(f, VHOST_SET_VRING_KICK, VHOST_VERSION, &i, sizeof(i), kick);
	front_send(f, VHOST_SET_VRING_CALL, VHOST_VERSION, &i, sizeof(i), call);
}

void front_enable(struct front *f, uint32_t queues, bool on)
{
	for (uint32_t i = 0; i < queues; i++) {
		const struct vhost_vring_state s = { .index = i, .num = on };

		front_send(f, VHOST_SET_VRING_ENABLE, VHOST_VERSION, &s, sizeof(s), -1);
	}
}
