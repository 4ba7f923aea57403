/* SPDX-License-Identifier: Apache-2.0 */
/* KVM backend: functions behind struct hyp_ops that live in vcpu.c; see hyp.h. */
#ifndef PECTEN_HYP_KVM_VCPU_H
#define PECTEN_HYP_KVM_VCPU_H

#include "hyp/hyp.h"

int kvm_vcpu_create(struct hyp_vm *vm, unsigned id, struct hyp_vcpu **out, struct err *e);
void kvm_vcpu_destroy(struct hyp_vcpu *cpu);
int kvm_vcpu_run(struct hyp_vcpu *cpu, struct hyp_exit *ex);
void kvm_vcpu_kick(struct hyp_vcpu *cpu);

#endif
