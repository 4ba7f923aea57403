/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine: memory, devices, vCPU threads, and its end.  One for each process.
 *
 * The main thread creates it, runs its loop and destroys it; each vCPU has a thread; devices have
 * the threads they asked for.
 */
#ifndef PECTEN_VMM_VM_H
#define PECTEN_VMM_VM_H

#include "util/err.h"
#include "vmm/control.h"

struct loop;
struct vm;
struct vm_config;

/**
 * vm_create() - open what the machine needs and put it together; no thread is started
 * @c:		borrowed; descriptors that devices keep are taken from it
 * @main_loop:	borrowed; outlives the VM
 *
 * Return: 0, or -errno with a sentence for the user
 */
int vm_create(struct vm_config *c, struct loop *main_loop, struct vm **out,
	      struct err *e) MUST_CHECK;

/* Joins all threads, for which a QEMU can make it wait (vhost.h); NULL is fine. */
void vm_destroy(struct vm *vm);

/**
 * vm_prepare() - start device and vCPU threads; no guest instruction runs
 *
 * vm_go() - let the vCPUs run
 */
int vm_prepare(struct vm *vm, struct err *e) MUST_CHECK;
void vm_go(struct vm *vm);

/**
 * vm_end() - the machine is to stop, for a reason; the first reason counts
 * @text:	copied; may be NULL
 *
 * Any thread; makes the main loop stop.
 */
void vm_end(struct vm *vm, enum ctl_end how, const char *text);

/* After the main loop has stopped: ends the vCPUs and says why the machine ended. */
void vm_finish(struct vm *vm, struct ctl_ended *ended);

#endif
