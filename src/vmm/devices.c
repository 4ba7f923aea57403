/* SPDX-License-Identifier: Apache-2.0 */
/* The device list: see devices.h. */
#include "vmm/devices.h"

#include <errno.h>
#include <string.h>

#include "disk/disk.h"
#include "gpu/gpu.h"
#include "host/loop.h"
#include "host/ram.h"
#include "util/log.h"
#include "vhost/window.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "virtio/virtio_dev.h"
#include "virtio/vsock.h"
#include "vmm/config.h"
#include "vmm/gpu_unit.h"
#include "vmm/klog.h"
#include "vmm/machine.h"
#include "vmm/qemu.h"
#include "vmm/share_unit.h"
#include "vsock/vsock.h"

#define GUEST_CID 3 /* each VM is alone with its host, so all have the same */

/* Pulses the line; by the kernel where it can (irqfd). */
static void irq_by_event(void *arg)
{
	const struct device_slot *s = arg;

	event_signal(&s->irq);
}

static void irq_by_call(void *arg)
{
	const struct device_slot *s = arg;

	(void)s->hyp->vm_set_irq(s->vm, s->line, true);
	(void)s->hyp->vm_set_irq(s->vm, s->line, false);
}

static uint64_t mmio_read(void *arg, uint64_t off, unsigned len)
{
	return virtio_mmio_read(arg, off, len);
}

static void mmio_write(void *arg, uint64_t off, unsigned len, uint64_t value)
{
	virtio_mmio_write(arg, off, len, value);
}

static int bind_notify(const struct devices_env *env, const struct device_slot *s, uint64_t gpa)
{
	for (unsigned i = 0; env->hyp->vm_bind_notify && i < s->dev->n_vqs; i++) {
		int r = env->hyp->vm_bind_notify(env->vm, gpa + VIRTIO_MMIO_NOTIFY, i,
						 virtio_mmio_kick(s->mmio, i));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Gives the device of a slot its place in the machine. */
static int slot_plug(struct device_slot *s, const struct devices_env *env)
{
	if (env->qemu)
		return qemu_add(env->qemu, s->dev, s->window);

	void (*irq)(void *arg) = env->hyp->vm_bind_irq ? irq_by_event : irq_by_call;
	uint64_t gpa;
	int r = machine_add_device(env->machine, &gpa, &s->line);

	if (r == 0)
		r = event_open(&s->irq);
	if (r == 0)
		r = virtio_mmio_create(s->dev, env->gm, irq, s, &s->mmio);
	if (r == 0 && env->hyp->vm_bind_irq)
		r = env->hyp->vm_bind_irq(env->vm, s->line, &s->irq);
	if (r == 0)
		r = bind_notify(env, s, gpa);
	if (r < 0)
		return r;
	return bus_add(env->mmio, &(struct bus_device){ .base = gpa,
							.len = VIRTIO_MMIO_LEN,
							.read = mmio_read,
							.write = mmio_write,
							.arg = s->mmio });
}

/* A slot with a loop of its own for a device yet to be made. */
static int slot_new(struct devices *d, const struct devices_env *env, bool has_thread,
		    struct device_slot **out)
{
	if (d->n == DEVICES_SLOTS)
		return -ENOSPC;

	struct device_slot *s = &d->slot[d->n];
	*s = (struct device_slot){
		.irq = EVENT_NONE, .loop = env->main_loop, .vm = env->vm, .hyp = env->hyp
	};
	int r = has_thread ? loop_create(&s->loop) : 0;
	if (r < 0)
		return r;
	d->n++;
	*out = s;
	return 0;
}

/*
 * For a device that never blocks: on the main thread.  But QEMU can make any device block, see
 * vhost.h, and the main thread has to hear that the machine shall end.
 */
static int slot_new_small(struct devices *d, const struct devices_env *env,
			  struct device_slot **out)
{
	return slot_new(d, env, env->qemu != NULL, out);
}

/* Completes a slot: @obj, whose device is @dev, belongs to it. */
static int slot_finish(struct device_slot *s, const struct devices_env *env, void *obj,
		       void (*destroy)(void *obj), struct virtio_dev *dev, struct err *e)
{
	s->obj = obj;
	s->destroy = destroy;
	s->dev = dev;

	int r = slot_plug(s, env);
	if (r == -ENOSPC)
		return err_set(e, r,
			       "the machine has no room for that many devices; use fewer disks");
	return r < 0 ? err_set(e, r, "cannot add device %s to the machine: %s", s->dev->name,
			       strerror(-r))
		     : 0;
}

static int cannot_make(struct err *e, int r, const char *what)
{
	return err_set(e, r, "cannot make a %s device: %s", what, strerror(-r));
}

static int add_fs(struct devices *d, const struct devices_env *env, struct vm_config *c,
		  struct err *e)
{
	struct device_slot *s;
	struct share_unit *u;
	int r = slot_new(d, env, true, &s);

	if (r < 0)
		return cannot_make(e, r, "file system");
	r = share_unit_create(c, s->loop, &u, e);
	if (r < 0)
		return r;
	s->start = share_unit_start;
	return slot_finish(s, env, u, share_unit_destroy, share_unit_dev(u), e);
}

static void destroy_console(void *obj)
{
	virtio_console_destroy(obj);
}

static void console_output(void *arg, const void *p, size_t len)
{
	klog_put(arg, p, len);
}

static int add_console(struct devices *d, const struct devices_env *env, struct err *e)
{
	const struct console_port_conf port = {
		.is_console = true, .output = console_output, .arg = env->klog, .in_fd = -1
	};
	struct virtio_console *c;
	struct device_slot *s;
	int r = slot_new_small(d, env, &s);

	if (r == 0)
		r = virtio_console_create(&port, 1, s->loop, &c);
	if (r < 0)
		return cannot_make(e, r, "console");
	return slot_finish(s, env, c, destroy_console, virtio_console_dev(c), e);
}

static void destroy_vsock(void *obj)
{
	virtio_vsock_destroy(obj);
}

static int add_port(struct vsock *v, struct vm_port *p)
{
	switch (p->c.kind) {
	case CTL_VSOCK_LISTEN:
		return vsock_add_listener(v, p->c.port, take_fd(&p->fd));
	case CTL_VSOCK_CONNECT:
		return vsock_add_path(v, p->c.port, p->c.path);
	default:
		return vsock_add_stream(v, p->c.port, take_fd(&p->fd));
	}
}

static int add_vsock(struct devices *d, const struct devices_env *env, struct vm_config *c,
		     struct err *e)
{
	struct virtio_vsock *v;
	struct device_slot *s;
	int r = slot_new(d, env, true, &s);

	if (r == 0)
		r = virtio_vsock_create(GUEST_CID, s->loop, &v);
	if (r < 0)
		return cannot_make(e, r, "vsock");
	for (unsigned i = 0; r == 0 && i < c->n_ports; i++)
		r = add_port(virtio_vsock_ports(v), &c->ports[i]);
	if (r < 0) {
		virtio_vsock_destroy(v);
		return cannot_make(e, r, "vsock");
	}
	return slot_finish(s, env, v, destroy_vsock, virtio_vsock_dev(v), e);
}

static void destroy_blk(void *obj)
{
	virtio_blk_destroy(obj);
}

static int add_blk(struct devices *d, const struct devices_env *env, struct vm_disk *in,
		   struct err *e)
{
	char serial[sizeof(in->c.serial) + 1];
	struct virtio_blk *b;
	struct disk *disk;
	struct device_slot *s;
	int r = slot_new(d, env, true, &s);

	if (r < 0)
		return cannot_make(e, r, "disk");
	(void)snprintf(serial, sizeof(serial), "%.*s", (int)sizeof(in->c.serial), in->c.serial);
	r = disk_open_fd(take_fd(&in->fd), serial, in->c.is_ro, &disk, e);
	if (r < 0)
		return r;
	r = virtio_blk_create(disk, serial, s->loop, &b);
	if (r < 0) {
		disk_close(disk);
		return cannot_make(e, r, "disk");
	}
	return slot_finish(s, env, b, destroy_blk, virtio_blk_dev(b), e);
}

static void destroy_rng(void *obj)
{
	virtio_rng_destroy(obj);
}

static int add_rng(struct devices *d, const struct devices_env *env, struct err *e)
{
	struct virtio_rng *rng;
	struct device_slot *s;
	int r = slot_new_small(d, env, &s);

	if (r == 0)
		r = virtio_rng_create(s->loop, &rng);
	if (r < 0)
		return cannot_make(e, r, "random number");
	return slot_finish(s, env, rng, destroy_rng, virtio_rng_dev(rng), e);
}

static void destroy_balloon(void *obj)
{
	virtio_balloon_destroy(obj);
}

/* On its own thread: giving back a lot of memory takes long. */
static int add_balloon(struct devices *d, const struct devices_env *env, struct err *e)
{
	struct virtio_balloon *b;
	struct device_slot *s;
	int r = slot_new(d, env, true, &s);

	if (r == 0)
		r = virtio_balloon_create(env->qemu ? ram_discard_shared : ram_discard, s->loop,
					  &b);
	if (r < 0)
		return cannot_make(e, r, "balloon");
	return slot_finish(s, env, b, destroy_balloon, virtio_balloon_dev(b), e);
}

static void destroy_net(void *obj)
{
	virtio_net_destroy(obj);
}

static int add_net(struct devices *d, const struct devices_env *env, struct vm_config *c,
		   struct err *e)
{
	struct virtio_net *n;
	struct device_slot *s;
	int r = slot_new(d, env, true, &s);

	if (r == 0)
		r = virtio_net_create(take_fd(&c->net_fd), c->net.mac, c->net.mtu, s->loop, &n);
	if (r < 0)
		return cannot_make(e, r, "network");
	return slot_finish(s, env, n, destroy_net, virtio_net_dev(n), e);
}

/* One memslot covers all of the window; blobs come and go in it without the hypervisor. */
static int open_window(struct devices *d, const struct devices_env *env, uint64_t len)
{
	struct gm_window *w = &d->gpu_window;
	int r = gm_window_init(w, machine_add_window(env->machine, len), len);

	if (r < 0)
		return r;
	r = env->hyp->vm_map(env->vm, w->gpa, w->host, len);
	if (r < 0)
		return r;
	d->hyp = env->hyp;
	d->vm = env->vm;
	return 0;
}

/* QEMU chooses where the window lies. */
static int add_gpu_to_qemu(struct device_slot *s, const struct devices_env *env,
			   struct vm_config *c, struct err *e)
{
	struct gpu_unit *u;
	int r = vhost_window_create(GPU_SHM_HOST_VISIBLE, gpu_unit_window(c), s->loop, &s->window);

	if (r < 0)
		return cannot_make(e, r, "GPU");
	r = gpu_unit_create(c, vhost_window(s->window), s->loop, &u, e);
	return r < 0 ? r : slot_finish(s, env, u, gpu_unit_destroy, gpu_unit_dev(u), e);
}

static int add_gpu(struct devices *d, const struct devices_env *env, struct vm_config *c,
		   struct err *e)
{
	struct gpu_unit *u;
	struct device_slot *s;
	int r = slot_new(d, env, true, &s);

	if (r == 0 && env->qemu)
		return add_gpu_to_qemu(s, env, c, e);
	if (r == 0)
		r = open_window(d, env, gpu_unit_window(c));
	if (r < 0)
		return cannot_make(e, r, "GPU");
	r = gpu_unit_create(c, &d->gpu_window.w, s->loop, &u, e);
	if (r < 0)
		return r;
	gpu_unit_dev(u)->shm[GPU_SHM_HOST_VISIBLE].gpa = d->gpu_window.gpa;
	return slot_finish(s, env, u, gpu_unit_destroy, gpu_unit_dev(u), e);
}

int devices_create(struct devices *d, const struct devices_env *env, struct vm_config *c,
		   struct err *e)
{
	int r = 0;

	d->main_loop = env->main_loop;
	if (c->init_fd >= 0 || c->n_shares > 0)
		r = add_fs(d, env, c, e);
	if (r == 0)
		r = add_console(d, env, e);
	if (r == 0 && c->n_ports > 0)
		r = add_vsock(d, env, c, e);
	if (r == 0)
		r = add_rng(d, env, e);
	if (r == 0)
		r = add_balloon(d, env, e);
	if (r == 0 && c->net_fd >= 0)
		r = add_net(d, env, c, e);
	if (r == 0 && c->gpu_fd >= 0)
		r = add_gpu(d, env, c, e);
	for (unsigned i = 0; r == 0 && i < c->n_disks; i++)
		r = add_blk(d, env, &c->disks[i], e);
	return r;
}

int devices_start(struct devices *d, struct err *e)
{
	for (unsigned i = 0; i < d->n; i++) {
		struct device_slot *s = &d->slot[i];
		int r = s->start ? s->start(s->obj, e) : 0;

		if (r < 0)
			return r;
		r = s->loop == d->main_loop ? 0 : loop_thread_start(s->loop, s->dev->name);
		if (r < 0)
			return err_set(e, r, "cannot start a thread for device %s: %s",
				       s->dev->name, strerror(-r));
	}
	return 0;
}

void devices_destroy(struct devices *d)
{
	for (unsigned i = 0; i < d->n; i++) {
		struct device_slot *s = &d->slot[i];

		virtio_mmio_destroy(s->mmio);
		if (s->loop != d->main_loop)
			loop_thread_stop(s->loop);
		if (s->obj)
			s->destroy(s->obj);
		vhost_window_destroy(s->window);
		if (s->loop != d->main_loop)
			loop_destroy(s->loop);
		event_close(&s->irq);
	}
	d->n = 0;
	if (d->vm && d->hyp->vm_unmap(d->vm, d->gpu_window.gpa) < 0)
		log_error(VMM, "the GPU's window could not be taken from the machine");
	d->vm = NULL;
	gm_window_fini(&d->gpu_window);
}
