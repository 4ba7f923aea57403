/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine "qemu": QEMU emulates CPUs, interrupt controllers and a PCI bus; RAM is ours, shared
 * with it, and all devices are served by this process over vhost-user.
 *
 * QEMU is our child and ends with us.  It inherits sockets, RAM and kernel as descriptors, and is
 * confined before it is executed (qemu_stage.c): it can read its own files and nothing else.
 */
#ifndef PECTEN_VMM_QEMU_H
#define PECTEN_VMM_QEMU_H

#include <stdint.h>

#include "util/err.h"
#include "vmm/control.h"

struct gm;
struct loop;
struct qemu;
struct vhost_window;
struct virtio_dev;
struct vm_config;

/**
 * qemu_create() - RAM and the back end for devices
 * @c:		borrowed until qemu_launch() has returned
 * @main_loop:	borrowed; outlives the engine
 * @end:	the machine has ended; any thread, perhaps more than once
 *
 * Return: 0, or -errno with a sentence
 */
int qemu_create(const struct vm_config *c, struct loop *main_loop,
		void (*end)(void *arg, enum ctl_end how, const char *text), void *arg,
		struct qemu **out, struct err *e) MUST_CHECK;

/* Takes the devices away from QEMU, which then ends, at the latest with this process.  NULL is
 * fine. */
void qemu_destroy(struct qemu *q);

/**
 * qemu_add() - plug a device in
 * @dev:	borrowed; outlives the engine
 * @w:		its window, or NULL
 *
 * Return: 0, or -errno; -ENOSPC if there are too many
 */
int qemu_add(struct qemu *q, struct virtio_dev *dev, struct vhost_window *w) MUST_CHECK;

/**
 * qemu_launch() - execute QEMU, which will wait for qemu_start()
 * @cmdline:	of the guest's kernel
 *
 * Return: 0, or -errno with a sentence
 */
int qemu_launch(struct qemu *q, const char *cmdline, struct err *e) MUST_CHECK;

/** qemu_start() - serve the devices; their threads run; Return: 0, or -errno with a sentence */
int qemu_start(struct qemu *q, struct err *e) MUST_CHECK;

/** qemu_map() - enter the part of RAM below the PCI hole into a map; Return: 0 or -errno */
int qemu_map(const struct qemu *q, struct gm *gm) MUST_CHECK;

/**
 * qemu_stage() - `pecten-vm --qemu PARENT ACCESS:PATH... -- PROGRAM ARG...`
 *
 * Confines this process and executes QEMU in it.  Descriptor 3 becomes stdout and stderr.
 *
 * Return: exit status, on failure only; the reason is on stderr
 */
int qemu_stage(int argc, char **argv);

#endif
