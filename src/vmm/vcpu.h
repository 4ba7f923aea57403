/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of one vCPU. */
#ifndef PECTEN_VMM_VCPU_H
#define PECTEN_VMM_VCPU_H

#include <stdatomic.h>
#include <stdbool.h>

#include "host/thread.h"
#include "hyp/hyp.h"
#include "util/err.h"
#include "vmm/bus.h"
#include "vmm/control.h"

/* What the vCPUs of a machine share; constant but for ->stop and ->gate. */
struct vcpu_env {
	const struct hyp_ops *hyp;
	struct hyp_vm *vm;
	struct hyp_boot boot; /* of vCPU 0 */
	const struct bus *mmio;
	const struct bus *ports;
	void (*end)(void *arg, enum ctl_end how, const char *text);
	void *arg;
	_Atomic bool stop;
	struct mutex lock;
	struct cond cond;
	bool is_open; /* lock: vCPUs may run */
};

struct vcpu {
	struct vcpu_env *env;
	unsigned id;
	pthread_t thread;
	struct hyp_vcpu *cpu; /* env->lock; created and destroyed by the thread */
	bool has_thread;
	bool is_ready; /* env->lock: ->result is valid */
	int result;    /* env->lock */
	struct err err;
};

void vcpu_env_init(struct vcpu_env *env);
void vcpu_env_fini(struct vcpu_env *env);

/**
 * vcpu_start() - start a thread and wait until its vCPU exists
 *
 * It runs nothing before vcpu_open().
 *
 * Return: 0, or -errno with a sentence
 */
int vcpu_start(struct vcpu *v, struct vcpu_env *env, unsigned id, struct err *e) MUST_CHECK;

/* Lets all vCPUs run. */
void vcpu_open(struct vcpu_env *env);

/* Ends and joins @n threads; harmless for those that were never started. */
void vcpu_stop(struct vcpu_env *env, struct vcpu *v, unsigned n);

#endif
