/* SPDX-License-Identifier: Apache-2.0 */
/* KVM backend: the VM and its memory, interrupts and notifications. */
#include "hyp/kvm/kvm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "host/event.h"
#include "host/fd.h"
#include "hyp/kvm/vcpu.h"
#include "util/ckd.h"

int kvm_call(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

int kvm_call_int(int fd, unsigned long request, uintptr_t arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static int kvm_open(struct err *e)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;

	int r = -errno;
	if (r == -ENOENT)
		return err_set(e, r,
			       "this host has no /dev/kvm; enable virtualization in its firmware "
			       "and load the module kvm-intel or kvm-amd");
	if (r == -EACCES || r == -EPERM)
		return err_set(e, r,
			       "no permission to use /dev/kvm; add your user to the group that "
			       "owns it (usually: usermod -aG kvm USER), then log in again");
	return err_set(e, r, "cannot open /dev/kvm: %s", strerror(-r));
}

static void kvm_vm_destroy(struct hyp_vm *vm)
{
	if (!vm)
		return;
	fd_drop(&vm->vm_fd);
	fd_drop(&vm->dev_fd);
	mutex_fini(&vm->lock);
	free(vm);
}

static int kvm_vm_init(struct hyp_vm *vm, const struct hyp_vm_config *cfg, struct err *e)
{
	int r = kvm_call_int(vm->dev_fd, KVM_GET_API_VERSION, 0);

	if (r != KVM_API_VERSION)
		return err_set(e, -ENOTSUP, "KVM of this host speaks version %d, we speak %d", r,
			       KVM_API_VERSION);
	r = kvm_call_int(vm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (int)sizeof(struct kvm_run))
		return err_set(e, -ENOTSUP, "KVM of this host does not say how to share vCPUs");
	vm->run_len = (size_t)r;
	r = kvm_call_int(vm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (r > 0 && cfg->cpus > (unsigned)r)
		return err_set(e, -EINVAL,
			       "KVM of this host has at most %d vCPUs, %u were asked for", r,
			       cfg->cpus);
	do {
		r = kvm_call_int(vm->dev_fd, KVM_CREATE_VM, 0);
	} while (r == -EINTR);
	if (r < 0)
		return err_set(e, r, "KVM cannot create a virtual machine: %s", strerror(-r));
	vm->vm_fd = r;
	return kvm_arch_vm_init(vm, e);
}

static int kvm_vm_create(const struct hyp_vm_config *cfg, struct hyp_vm **out, struct err *e)
{
	struct hyp_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return err_set(e, -ENOMEM, "no memory for a virtual machine");
	mutex_init(&vm->lock);
	vm->cpus = cfg->cpus;
	vm->vm_fd = -1;
	vm->dev_fd = kvm_open(e);

	int r = vm->dev_fd < 0 ? vm->dev_fd : kvm_vm_init(vm, cfg, e);
	if (r < 0) {
		kvm_vm_destroy(vm);
		return r;
	}
	*out = vm;
	return 0;
}

static int kvm_set_slot(struct hyp_vm *vm, uint32_t slot, uint64_t gpa, void *host, uint64_t len)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)host,
	};

	return kvm_call(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int kvm_vm_map(struct hyp_vm *vm, uint64_t gpa, void *host, uint64_t len)
{
	int r = -ENOSPC;

	mutex_lock(&vm->lock);
	for (uint32_t i = 0; i < KVM_SLOTS_MAX; i++) {
		if (vm->slots[i].len)
			continue;
		r = kvm_set_slot(vm, i, gpa, host, len);
		if (r == 0)
			vm->slots[i] = (struct kvm_slot){ .gpa = gpa, .len = len };
		break;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static int kvm_vm_unmap(struct hyp_vm *vm, uint64_t gpa)
{
	int r = -ENOENT;

	mutex_lock(&vm->lock);
	for (uint32_t i = 0; i < KVM_SLOTS_MAX; i++) {
		if (!vm->slots[i].len || vm->slots[i].gpa != gpa)
			continue;
		r = kvm_set_slot(vm, i, gpa, NULL, 0);
		if (r == 0)
			vm->slots[i].len = 0;
		break;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static int kvm_vm_set_irq(struct hyp_vm *vm, uint32_t irq, bool level)
{
	struct kvm_irq_level line = { .irq = irq, .level = level };

	return kvm_call(vm->vm_fd, KVM_IRQ_LINE, &line);
}

static int kvm_vm_bind_irq(struct hyp_vm *vm, uint32_t irq, const struct event *ev)
{
	struct kvm_irqfd bind = { .fd = (uint32_t)ev->rfd, .gsi = irq };

	return kvm_call(vm->vm_fd, KVM_IRQFD, &bind);
}

static int kvm_vm_bind_notify(struct hyp_vm *vm, uint64_t gpa, uint32_t value,
			      const struct event *ev)
{
	struct kvm_ioeventfd bind = {
		.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = ev->wfd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	return kvm_call(vm->vm_fd, KVM_IOEVENTFD, &bind);
}

const struct hyp_ops hyp_kvm = {
	.name = "kvm",
	.vm_create = kvm_vm_create,
	.vm_destroy = kvm_vm_destroy,
	.vm_map = kvm_vm_map,
	.vm_unmap = kvm_vm_unmap,
	.vm_set_irq = kvm_vm_set_irq,
	.vm_bind_irq = kvm_vm_bind_irq,
	.vm_bind_notify = kvm_vm_bind_notify,
	.vcpu_create = kvm_vcpu_create,
	.vcpu_destroy = kvm_vcpu_destroy,
	.vcpu_set_boot = kvm_arch_set_boot,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
};
