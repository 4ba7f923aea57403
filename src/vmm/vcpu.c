/* SPDX-License-Identifier: Apache-2.0 */
/* vCPU threads: see vcpu.h. */
#include "vmm/vcpu.h"

#include <errno.h>
#include <string.h>

void vcpu_env_init(struct vcpu_env *env)
{
	mutex_init(&env->lock);
	cond_init(&env->cond);
}

void vcpu_env_fini(struct vcpu_env *env)
{
	cond_fini(&env->cond);
	mutex_fini(&env->lock);
}

/* Relaxed: a vCPU that misses it is kicked and looks again. */
static bool should_stop(struct vcpu_env *env)
{
	return atomic_load_explicit(&env->stop, memory_order_relaxed);
}

static bool vcpu_handle(struct vcpu_env *env, struct hyp_exit *ex)
{
	switch (ex->kind) {
	case HYP_EXIT_MMIO_READ:
		ex->data = bus_read(env->mmio, ex->addr, ex->len);
		return true;
	case HYP_EXIT_MMIO_WRITE:
		bus_write(env->mmio, ex->addr, ex->len, ex->data);
		return true;
	case HYP_EXIT_PIO_READ:
		ex->data = bus_read(env->ports, ex->addr, ex->len);
		return true;
	case HYP_EXIT_PIO_WRITE:
		bus_write(env->ports, ex->addr, ex->len, ex->data);
		return true;
	case HYP_EXIT_RESET:
		env->end(env->arg, CTL_END_RESET, NULL);
		return false;
	case HYP_EXIT_POWEROFF:
		env->end(env->arg, CTL_END_POWEROFF, NULL);
		return false;
	case HYP_EXIT_FAULT:
		env->end(env->arg, CTL_END_FAULT, ex->text);
		return false;
	case HYP_EXIT_KICKED:
	default:
		return true;
	}
}

static void vcpu_loop(struct vcpu *v)
{
	struct vcpu_env *env = v->env;
	struct hyp_exit ex = { 0 };

	while (!should_stop(env)) {
		int r = env->hyp->vcpu_run(v->cpu, &ex);

		if (r < 0) {
			env->end(env->arg, CTL_END_FAULT, "the hypervisor fails to run a vCPU");
			return;
		}
		if (!vcpu_handle(env, &ex))
			return;
	}
}

static int vcpu_setup(struct vcpu *v)
{
	struct vcpu_env *env = v->env;
	const struct hyp_boot waiting = { .is_boot_cpu = false };
	struct hyp_vcpu *cpu = NULL;
	int r = env->hyp->vcpu_create(env->vm, v->id, &cpu, &v->err);

	if (r < 0)
		return r;
	mutex_lock(&env->lock);
	v->cpu = cpu;
	mutex_unlock(&env->lock);
	r = env->hyp->vcpu_set_boot(cpu, v->id == 0 ? &env->boot : &waiting);
	return r < 0 ? err_set(&v->err, r, "cannot set up vCPU %u: %s", v->id, strerror(-r)) : 0;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vcpu_env *env = v->env;
	int r = vcpu_setup(v);

	mutex_lock(&env->lock);
	v->result = r;
	v->is_ready = true;
	cond_broadcast(&env->cond);
	while (!env->is_open)
		cond_wait(&env->cond, &env->lock);
	mutex_unlock(&env->lock);
	if (r == 0)
		vcpu_loop(v);

	/* From here on vcpu_stop() does not kick it. */
	mutex_lock(&env->lock);
	struct hyp_vcpu *cpu = take(&v->cpu);
	mutex_unlock(&env->lock);
	env->hyp->vcpu_destroy(cpu);
	return NULL;
}

int vcpu_start(struct vcpu *v, struct vcpu_env *env, unsigned id, struct err *e)
{
	char name[16];

	v->env = env;
	v->id = id;
	(void)snprintf(name, sizeof(name), "vcpu %u", id);
	int r = thread_start(&v->thread, name, vcpu_thread, v);
	if (r < 0)
		return err_set(e, r, "cannot start a thread for vCPU %u: %s", id, strerror(-r));
	v->has_thread = true;
	mutex_lock(&env->lock);
	while (!v->is_ready)
		cond_wait(&env->cond, &env->lock);
	r = v->result;
	mutex_unlock(&env->lock);
	if (r < 0 && e)
		*e = v->err;
	return r;
}

void vcpu_open(struct vcpu_env *env)
{
	mutex_lock(&env->lock);
	env->is_open = true;
	cond_broadcast(&env->cond);
	mutex_unlock(&env->lock);
}

void vcpu_stop(struct vcpu_env *env, struct vcpu *v, unsigned n)
{
	atomic_store_explicit(&env->stop, true, memory_order_relaxed);
	vcpu_open(env);
	mutex_lock(&env->lock);
	for (unsigned i = 0; i < n; i++) {
		if (v[i].cpu)
			env->hyp->vcpu_kick(v[i].cpu);
	}
	mutex_unlock(&env->lock);
	for (unsigned i = 0; i < n; i++) {
		if (!v[i].has_thread)
			continue;
		(void)pthread_join(v[i].thread, NULL);
		v[i].has_thread = false;
	}
}
