/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of a machine's virtio devices: makes each of them, gives it a thread if it wants one, a
 * page on the bus and an interrupt line.
 */
#ifndef PECTEN_VMM_DEVICES_H
#define PECTEN_VMM_DEVICES_H

#include "host/event.h"
#include "hyp/hyp.h"
#include "mem/window.h"
#include "util/err.h"
#include "vmm/bus.h"

struct gm;
struct klog;
struct loop;
struct machine;
struct qemu;
struct vhost_window;
struct virtio_dev;
struct virtio_mmio;
struct vm_config;

#define DEVICES_SLOTS 24

struct device_slot {
	struct virtio_dev *dev;
	void *obj; /* what destroy() takes; owned */
	void (*destroy)(void *obj);
	int (*start)(void *obj, struct err *e); /* own threads, confined by now; may be NULL */
	struct loop *loop;                      /* owned unless it is the main loop */
	struct virtio_mmio *mmio;
	struct vhost_window *window; /* owned; behind a shared-memory region; QEMU only */
	struct event irq;
	struct hyp_vm *vm;
	const struct hyp_ops *hyp;
	uint32_t line;
};

struct devices {
	struct device_slot slot[DEVICES_SLOTS];
	unsigned n;
	struct loop *main_loop;
	struct gm_window gpu_window; /* mapped while ->vm is set */
	struct hyp_vm *vm;
	const struct hyp_ops *hyp;
};

/* Where devices are put. */
struct devices_env {
	struct qemu *qemu; /* not NULL: the engine, and then the next five are NULL */
	const struct hyp_ops *hyp;
	struct hyp_vm *vm;
	struct machine *machine;
	const struct gm *gm;
	struct bus *mmio;
	struct loop *main_loop;
	struct klog *klog;
};

/**
 * devices_create() - all devices that the configuration asks for, in a fixed order
 * @c:		descriptors that a device keeps are taken from it
 *
 * Return: 0, or -errno with a sentence; devices_destroy() in either case
 */
int devices_create(struct devices *d, const struct devices_env *env, struct vm_config *c,
		   struct err *e) MUST_CHECK;

/** devices_start() - start the threads of those that have one; Return: 0 or -errno */
int devices_start(struct devices *d, struct err *e) MUST_CHECK;

/* No vCPU runs any more. */
void devices_destroy(struct devices *d);

#endif
