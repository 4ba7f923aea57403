/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a machine that differs per architecture: memory layout, board devices, tables, boot.
 * One implementation below arch/ is built in.
 */
#ifndef PECTEN_VMM_MACHINE_H
#define PECTEN_VMM_MACHINE_H

#include "hyp/hyp.h"
#include "util/err.h"
#include "vmm/bus.h"

struct gm;
struct klog;
struct machine;

/* What the board's registers make the machine do; any vCPU thread. */
struct machine_events {
	void (*reset)(void *arg);
	void (*poweroff)(void *arg);
	void *arg;
};

/* A kernel in this process's memory. */
struct machine_kernel {
	const void *img;
	size_t len;
	/* Zero unless the image is raw: where it goes and where it starts. */
	uint64_t raw_gpa;
	uint64_t raw_entry;
	const void *initrd;
	size_t initrd_len;
	const char *cmdline; /* the user's part */
};

/**
 * machine_create() - RAM and board of a machine
 * @gm:		filled with its RAM
 * @ports:	x86: I/O ports; board devices are added
 * @klog:	where a debug port's output goes
 */
int machine_create(const struct hyp_ops *hyp, struct hyp_vm *vm, uint64_t ram, unsigned cpus,
		   const struct machine_events *events, struct klog *klog, struct gm *gm,
		   struct bus *ports, struct machine **out, struct err *e) MUST_CHECK;

/* After the VM; NULL is fine. */
void machine_destroy(struct machine *m);

/**
 * machine_add_device() - the place of one more virtio device
 * @gpa, @irq:	out: its register page and interrupt line
 *
 * Return: 0, or -ENOSPC
 */
int machine_add_device(struct machine *m, uint64_t *gpa, uint32_t *irq) MUST_CHECK;

/* gpa for a shared-memory window of @len bytes, above all RAM; each call yields another range. */
uint64_t machine_add_window(struct machine *m, uint64_t len);

/**
 * machine_boot() - load the kernel and tell it of the devices added so far
 *
 * Return: 0, or -errno with a sentence
 */
int machine_boot(struct machine *m, const struct machine_kernel *k, struct hyp_boot *b,
		 struct err *e) MUST_CHECK;

/* Where the kernel's log is likely to lie, for klog_find_panic(). */
void machine_log_range(const struct machine *m, uint64_t *gpa, uint64_t *len);

#define MACHINE_CMDLINE_MAX 3072 /* bytes of a command line: the user's and our words */

#endif
