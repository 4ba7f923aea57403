/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the KVM backend share. */
#ifndef PECTEN_HYP_KVM_INTERNAL_H
#define PECTEN_HYP_KVM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <linux/kvm.h>

#include "host/thread.h"
#include "hyp/hyp.h"

#define KVM_SLOTS_MAX 16

struct kvm_slot {
	uint64_t gpa;
	uint64_t len; /* 0: free */
};

struct hyp_vm {
	int dev_fd; /* /dev/kvm */
	int vm_fd;
	unsigned cpus;
	size_t run_len; /* bytes of a vCPU's shared page */
	struct mutex lock;
	struct kvm_slot slots[KVM_SLOTS_MAX]; /* lock */
};

struct hyp_vcpu {
	struct hyp_vm *vm;
	int fd;
	unsigned id;
	struct kvm_run *run; /* shared with the kernel */
	size_t run_len;
	pthread_t thread; /* creator */
	unsigned io_at;   /* elements of a string PIO already reported */
	bool io_more;
};

/* Same as ioctl(), but -errno. */
int kvm_call(int fd, unsigned long request, void *arg) MUST_CHECK;
int kvm_call_int(int fd, unsigned long request, uintptr_t arg) MUST_CHECK;

/*
 * One set per architecture.
 */

/* Interrupt controller and what else a VM has besides memory, before the first vCPU. */
int kvm_arch_vm_init(struct hyp_vm *vm, struct err *e) MUST_CHECK;

int kvm_arch_set_boot(struct hyp_vcpu *cpu, const struct hyp_boot *b) MUST_CHECK;

/* Words for a report: where the CPU stands. */
void kvm_arch_describe(struct hyp_vcpu *cpu, char *text, size_t len);

#endif
