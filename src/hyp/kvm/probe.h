/* SPDX-License-Identifier: Apache-2.0 */
/* Whether KVM of this host runs guests, rather than merely having a /dev/kvm. */
#ifndef PECTEN_HYP_KVM_PROBE_H
#define PECTEN_HYP_KVM_PROBE_H

#include "util/err.h"

struct kvm_probe {
	double speed;  /* of guest instructions against native ones: 1.0 is equal; 0 if it never ran
			*/
	unsigned runs; /* that came to their end, of three */
};

/**
 * kvm_probe() - run a tiny 64-bit guest and compare it with the same loop outside
 * @p:	what was measured
 * @e:	if KVM is not usable: why, in a sentence
 *
 * Some hosts are guests themselves whose KVM emulates each instruction: thousands of times too
 * slow, and stuck at the first instruction it does not know.  Takes at most 150 ms.  Uses a
 * real-time signal, see hyp_ops.vcpu_kick: call it in a process of ours.
 *
 * Return: 0 if KVM is usable; else -errno
 */
int kvm_probe(struct kvm_probe *p, struct err *e) MUST_CHECK;

#endif
