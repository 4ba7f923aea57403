/* SPDX-License-Identifier: Apache-2.0 */
/* KVM backend, x86_64: what a vCPU says of itself. */
#ifndef PECTEN_HYP_KVM_CPUID_H
#define PECTEN_HYP_KVM_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

struct hyp_vcpu;
struct kvm_cpuid_entry2;

/** kvm_set_cpuid() - Return: 0, -E2BIG if the host says more than we have room for, or -errno */
int kvm_set_cpuid(struct hyp_vcpu *cpu) MUST_CHECK;

/**
 * cpuid_adapt() - turn the host's answers into those of one vCPU
 * @e:		@n leaves; changed in place
 * @id:		of the vCPU, which is also its APIC id
 * @cpus:	in the VM: one package, one thread per core
 * @has_deadline:	the host's KVM has the TSC deadline timer, which it does not say in CPUID
 */
void cpuid_adapt(struct kvm_cpuid_entry2 *e, uint32_t n, unsigned id, unsigned cpus,
		 bool has_deadline);

#endif
