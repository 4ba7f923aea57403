/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor interface: what a machine needs of the host's virtualisation, as a table of
 * functions with one instance per backend, chosen once at start-up.
 *
 * Functions return 0 or -errno.  Any thread may call the vm_ functions and vcpu_kick(); the other
 * vcpu_ functions belong to the thread that called vcpu_create(), because Hypervisor.framework ties
 * a vCPU to its creator.  vcpu_set_boot() comes before the first vcpu_run().
 */
#ifndef PECTEN_HYP_HYP_H
#define PECTEN_HYP_HYP_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct event;
struct hyp_vm;
struct hyp_vcpu;

#define HYP_CPUS_MAX 64
#define HYP_IRQS     24 /* interrupt lines 0 ... 23, edge-triggered */

struct hyp_vm_config {
	unsigned cpus; /* 1 ... HYP_CPUS_MAX */
};

/* How a vCPU begins.  All but the boot CPU wait for it to start them. */
struct hyp_boot {
	bool is_boot_cpu;
	uint64_t entry; /* gpa of the first instruction */
	uint64_t arg; /* gpa of what the kernel is told: x86 boot_params (in RSI), arm64 DTB (X0) */
	/* x86_64 only: 64-bit mode from the first instruction on. */
	uint64_t page_table; /* gpa of the top level of an identity map that covers entry and arg */
	uint64_t gdt;        /* gpa of a table with flat code at 0x10 and data at 0x18 */
	uint16_t gdt_len;    /* bytes */
};

enum hyp_exit_kind {
	HYP_EXIT_MMIO_READ = 1, /* answer in ->data and run again */
	HYP_EXIT_MMIO_WRITE,
	HYP_EXIT_PIO_READ, /* x86 port; likewise */
	HYP_EXIT_PIO_WRITE,
	HYP_EXIT_KICKED,   /* vcpu_kick(), or nothing in particular: run again if you like */
	HYP_EXIT_RESET,    /* the guest reset the machine by architectural means */
	HYP_EXIT_POWEROFF, /* ... or switched it off */
	HYP_EXIT_FAULT,    /* this vCPU cannot go on: see ->text */
};

struct hyp_exit {
	enum hyp_exit_kind kind;
	uint64_t addr;  /* gpa, or x86 port */
	uint64_t data;  /* host byte order, low .len bytes; other bytes zero */
	uint8_t len;    /* bytes: 1, 2, 4 or 8 */
	char text[256]; /* HYP_EXIT_FAULT: what the CPU was doing, for the report */
};

struct hyp_ops {
	const char *name; /* "kvm", "hvf": for logs and --help */

	int (*vm_create)(const struct hyp_vm_config *cfg, struct hyp_vm **vm, struct err *e);
	void (*vm_destroy)(struct hyp_vm *vm); /* after its vCPUs; NULL is fine */

	/* @host outlives the mapping; addresses and length are multiples of the host's page. */
	int (*vm_map)(struct hyp_vm *vm, uint64_t gpa, void *host, uint64_t len);
	int (*vm_unmap)(struct hyp_vm *vm, uint64_t gpa);

	/* Edge-triggered lines are pulsed: set true, then false. */
	int (*vm_set_irq)(struct hyp_vm *vm, uint32_t irq, bool level);

	/*
	 * Optional, else NULL: the kernel pulses @irq when @ev is signalled; or signals @ev
	 * instead of an MMIO exit when the guest writes 32 bits of @value to @gpa.  Without them
	 * the caller does the same in user space.  @ev outlives the VM.
	 */
	int (*vm_bind_irq)(struct hyp_vm *vm, uint32_t irq, const struct event *ev);
	int (*vm_bind_notify)(struct hyp_vm *vm, uint64_t gpa, uint32_t value,
			      const struct event *ev);

	int (*vcpu_create)(struct hyp_vm *vm, unsigned id, struct hyp_vcpu **cpu, struct err *e);
	void (*vcpu_destroy)(struct hyp_vcpu *cpu); /* NULL is fine */
	int (*vcpu_set_boot)(struct hyp_vcpu *cpu, const struct hyp_boot *b);

	/*
	 * Runs until the guest needs something.  @ex is the same struct each time: an answer to the
	 * last exit is taken from it.  A failure is the host's and final.
	 */
	int (*vcpu_run)(struct hyp_vcpu *cpu, struct hyp_exit *ex);

	/* The current or the next vcpu_run() returns HYP_EXIT_KICKED soon. */
	void (*vcpu_kick)(struct hyp_vcpu *cpu);
};

extern const struct hyp_ops hyp_kvm; /* hyp/kvm/, Linux */

#endif
