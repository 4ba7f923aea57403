/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine: see vm.h. */
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>

#include "host/loop.h"
#include "mem/gm.h"
#include "util/log.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/image.h"
#include "vmm/klog.h"
#include "vmm/machine.h"
#include "vmm/qemu.h"
#include "vmm/vcpu.h"

#define MIB (UINT64_C(1) << 20)

struct vm {
	struct loop *loop;
	struct qemu *qemu; /* NULL: the engine is a hypervisor, and then the next two are valid */
	const struct hyp_ops *hyp;
	struct hyp_vm *hvm;
	struct gm gm;
	struct bus mmio;
	struct bus ports;
	struct klog klog;
	int console_fd;
	struct machine *machine;
	struct devices devices;
	struct vcpu_env env;
	struct vcpu cpus[HYP_CPUS_MAX];
	unsigned n_cpus;

	struct mutex lock;
	bool has_ended;         /* lock */
	struct ctl_ended ended; /* lock until has_ended, then constant */
};

void vm_end(struct vm *vm, enum ctl_end how, const char *text)
{
	mutex_lock(&vm->lock);
	if (!vm->has_ended) {
		vm->has_ended = true;
		vm->ended.how = how;
		(void)snprintf(vm->ended.text, sizeof(vm->ended.text), "%s", text ? text : "");
	}
	mutex_unlock(&vm->lock);
	/* Relaxed: the vCPUs are kicked later, and the one that calls looks next. */
	atomic_store_explicit(&vm->env.stop, true, memory_order_relaxed);
	loop_stop(vm->loop);
}

static void on_reset(void *arg)
{
	vm_end(arg, CTL_END_RESET, NULL);
}

static void on_poweroff(void *arg)
{
	vm_end(arg, CTL_END_POWEROFF, NULL);
}

static void on_vcpu_end(void *arg, enum ctl_end how, const char *text)
{
	vm_end(arg, how, text);
}

/* Our words come first, so that the user's can change them. */
#define BOOT_WORDS       "quiet "
#define SHARE_ROOT_WORDS "root=pecten rootfstype=virtiofs ro init=/init "

static int vm_boot(struct vm *vm, const struct vm_config *c, struct err *e)
{
	struct machine_kernel k;
	struct image image;
	char cmdline[sizeof(c->c.cmdline) + sizeof(BOOT_WORDS SHARE_ROOT_WORDS)];
	bool has_share_root = c->init_fd >= 0 && c->initrd_fd < 0;
	int r = image_open(c, &image, &k, e);

	if (r < 0)
		return r;
	(void)snprintf(cmdline, sizeof(cmdline), "%s%s%s", BOOT_WORDS,
		       has_share_root ? SHARE_ROOT_WORDS : "", c->c.cmdline);
	k.cmdline = cmdline;
	r = machine_boot(vm->machine, &k, &vm->env.boot, e);
	image_close(&image);
	return r;
}

/*
 * What QEMU needs behind the user's words.  QEMU does not see when we write to a page of code, only
 * when the guest does: pages have to be cleared by the guest before they are used anew.  And its
 * clocks stand still at times, which must make the guest neither distrust them nor cry for help.
 */
#define QEMU_WORDS                                                                                 \
	"quiet console=hvc0 panic=-1 mitigations=off nokaslr no_timer_check rodata=off audit=0 "   \
	"lsm= cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1 "
#define QEMU_LAST_WORDS " tsc=reliable init_on_alloc=1"

static int vm_assemble_qemu(struct vm *vm, struct vm_config *c, struct err *e)
{
	char cmdline[sizeof(c->c.cmdline) + sizeof(QEMU_WORDS SHARE_ROOT_WORDS QEMU_LAST_WORDS)];
	bool has_share_root = c->init_fd >= 0 && c->initrd_fd < 0;
	int r = qemu_create(c, vm->loop, on_vcpu_end, vm, &vm->qemu, e);

	if (r < 0)
		return r;
	r = qemu_map(vm->qemu, &vm->gm);
	if (r < 0)
		return err_set(e, r, "cannot map the guest's memory: %s", strerror(-r));

	const struct devices_env env = { .qemu = vm->qemu,
					 .main_loop = vm->loop,
					 .klog = &vm->klog };
	r = devices_create(&vm->devices, &env, c, e);
	if (r < 0)
		return r;
	(void)snprintf(cmdline, sizeof(cmdline), "%s%s%s%s", QEMU_WORDS,
		       has_share_root ? SHARE_ROOT_WORDS : "", c->c.cmdline, QEMU_LAST_WORDS);
	return qemu_launch(vm->qemu, cmdline, e);
}

static int vm_assemble(struct vm *vm, struct vm_config *c, struct err *e)
{
	const struct hyp_vm_config cfg = { .cpus = c->c.cpus };
	const struct machine_events events = { .reset = on_reset,
					       .poweroff = on_poweroff,
					       .arg = vm };
	int r = vm->hyp->vm_create(&cfg, &vm->hvm, e);

	if (r == 0)
		r = machine_create(vm->hyp, vm->hvm, c->c.ram_mib * MIB, c->c.cpus, &events,
				   &vm->klog, &vm->gm, &vm->ports, &vm->machine, e);
	if (r < 0)
		return r;

	const struct devices_env env = {
		.hyp = vm->hyp,
		.vm = vm->hvm,
		.machine = vm->machine,
		.gm = &vm->gm,
		.mmio = &vm->mmio,
		.main_loop = vm->loop,
		.klog = &vm->klog,
	};
	r = devices_create(&vm->devices, &env, c, e);
	return r < 0 ? r : vm_boot(vm, c, e);
}

int vm_create(struct vm_config *c, struct loop *main_loop, struct vm **out, struct err *e)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return err_set(e, -ENOMEM, "no memory for a virtual machine");
	vm->loop = main_loop;
	vm->hyp = &hyp_kvm;
	vm->n_cpus = *c->qemu.program ? 0 : c->c.cpus;
	vm->console_fd = take_fd(&c->console_fd);
	mutex_init(&vm->lock);
	klog_init(&vm->klog, vm->console_fd);
	vcpu_env_init(&vm->env);
	vm->env.hyp = vm->hyp;
	vm->env.mmio = &vm->mmio;
	vm->env.ports = &vm->ports;
	vm->env.end = on_vcpu_end;
	vm->env.arg = vm;

	int r = *c->qemu.program ? vm_assemble_qemu(vm, c, e) : vm_assemble(vm, c, e);
	if (r < 0) {
		vm_destroy(vm);
		return r;
	}
	vm->env.vm = vm->hvm;
	*out = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	vcpu_stop(&vm->env, vm->cpus, vm->n_cpus);
	qemu_destroy(vm->qemu);
	devices_destroy(&vm->devices);
	vm->hyp->vm_destroy(vm->hvm);
	machine_destroy(vm->machine);
	vcpu_env_fini(&vm->env);
	klog_fini(&vm->klog);
	fd_drop(&vm->console_fd);
	mutex_fini(&vm->lock);
	free(vm);
}

int vm_prepare(struct vm *vm, struct err *e)
{
	int r = devices_start(&vm->devices, e);

	if (r == 0 && vm->qemu)
		r = qemu_start(vm->qemu, e);
	for (unsigned i = 0; i < vm->n_cpus && r == 0; i++)
		r = vcpu_start(&vm->cpus[i], &vm->env, i, e);
	return r;
}

void vm_go(struct vm *vm)
{
	vcpu_open(&vm->env);
}

/* A reset or a fault may be what a panic looks like from outside. */
static void find_panic(struct vm *vm)
{
	char text[sizeof(vm->ended.text)]; /* a fault has a text of its own */
	uint64_t gpa = 0;
	uint64_t len = 0;

	if (vm->ended.how != CTL_END_RESET && vm->ended.how != CTL_END_FAULT)
		return;
	if (klog_panic(&vm->klog, text, sizeof(text))) {
		memcpy(vm->ended.text, text, sizeof(text));
		vm->ended.how = CTL_END_PANIC;
		return;
	}
	if (klog_has_output(&vm->klog))
		return;
	if (vm->qemu)
		len = vm->gm.r[0].len;
	else
		machine_log_range(vm->machine, &gpa, &len);
	if (klog_find_panic(&vm->gm, gpa, len, vm->ended.text, sizeof(vm->ended.text)))
		vm->ended.how = CTL_END_PANIC;
}

void vm_finish(struct vm *vm, struct ctl_ended *ended)
{
	vcpu_stop(&vm->env, vm->cpus, vm->n_cpus);
	mutex_lock(&vm->lock);
	vm->has_ended = true;
	mutex_unlock(&vm->lock);
	find_panic(vm);
	*ended = vm->ended;
	log_info(VMM, "the machine ended (%u)%s%s", ended->how, *ended->text ? ": " : "",
		 ended->text);
}
