/* SPDX-License-Identifier: Apache-2.0 */
/* KVM backend, x86_64: interrupt controllers, CPUID, MSRs, registers at boot. */
#include <errno.h>
#include <string.h>

#include "hyp/kvm/kvm_internal.h"
#include "hyp/kvm/x86_64/cpuid.h"

/* Three pages that Intel needs for real mode, below the BIOS area and outside RAM. */
#define TSS_ADDR          0xfffbd000U
#define IDENTITY_MAP_ADDR UINT64_C(0xfffbc000)

#define CR0_PE UINT64_C(0x1)
#define CR0_MP UINT64_C(0x2)
#define CR0_ET UINT64_C(0x10)
#define CR0_NE UINT64_C(0x20)
#define CR0_WP UINT64_C(0x10000)
#define CR0_PG UINT64_C(0x80000000)

#define CR4_PAE UINT64_C(0x20)

#define EFER_LME UINT64_C(0x100)
#define EFER_LMA UINT64_C(0x400)

#define MSR_MISC_ENABLE   0x1a0
#define MSR_MTRR_DEF_TYPE 0x2ff

#define APIC_LVT_LINT0   0x350
#define APIC_LVT_LINT1   0x360
#define APIC_MODE_NMI    0x400U
#define APIC_MODE_EXTINT 0x700U

static const struct {
	unsigned cap;
	const char *what;
} needed[] = {
	{ KVM_CAP_IRQCHIP, "interrupt controllers" },
	{ KVM_CAP_USER_MEMORY, "memory slots" },
	{ KVM_CAP_IRQFD, "irqfd" },
	{ KVM_CAP_IOEVENTFD, "ioeventfd" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
	{ KVM_CAP_EXT_CPUID, "CPUID" },
	{ KVM_CAP_MP_STATE, "several vCPUs" },
};

int kvm_arch_vm_init(struct hyp_vm *vm, struct err *e)
{
	uint64_t identity = IDENTITY_MAP_ADDR;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (kvm_call_int(vm->dev_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(e, -ENOTSUP, "KVM of this host offers no %s",
				       needed[i].what);
	}
	r = kvm_call(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r == 0)
		r = kvm_call_int(vm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDR);
	if (r == 0)
		r = kvm_call_int(vm->vm_fd, KVM_CREATE_IRQCHIP, 0);
	if (r < 0)
		return err_set(e, r, "KVM cannot create interrupt controllers: %s", strerror(-r));
	return 0;
}

static struct kvm_segment flat_segment(uint16_t selector, bool is_code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = is_code ? 11 : 3, /* execute/read or read/write, accessed */
		.present = 1,
		.db = !is_code,
		.s = 1,
		.l = is_code,
		.g = 1,
	};
}

/* The state that the 64-bit boot protocol asks for (Linux Documentation/arch/x86/boot.rst). */
static int set_boot_registers(struct hyp_vcpu *cpu, const struct hyp_boot *b)
{
	struct kvm_regs regs = { .rip = b->entry, .rsi = b->arg, .rflags = 2 };
	struct kvm_sregs sregs;
	int r = kvm_call(cpu->fd, KVM_GET_SREGS, &sregs);

	if (r < 0)
		return r;
	sregs.cs = flat_segment(0x10, true);
	sregs.ds = flat_segment(0x18, false);
	sregs.es = sregs.ds;
	sregs.fs = sregs.ds;
	sregs.gs = sregs.ds;
	sregs.ss = sregs.ds;
	sregs.gdt.base = b->gdt;
	sregs.gdt.limit = (uint16_t)(b->gdt_len - 1);
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs.cr3 = b->page_table;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	r = kvm_call(cpu->fd, KVM_SET_SREGS, &sregs);
	return r < 0 ? r : kvm_call(cpu->fd, KVM_SET_REGS, &regs);
}

static int set_msrs(struct hyp_vcpu *cpu)
{
	static const struct kvm_msr_entry entries[] = {
		{ .index = MSR_MISC_ENABLE, .data = 1 },             /* fast strings */
		{ .index = MSR_MTRR_DEF_TYPE, .data = 1 << 11 | 6 }, /* on, write-back */
	};
	AUTO_FREE struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(entries));

	if (!msrs)
		return -ENOMEM;
	msrs->nmsrs = ARRAY_LEN(entries);
	memcpy(msrs->entries, entries, sizeof(entries));

	/* The number that were set; a host that lacks one leaves the reset value. */
	int r = kvm_call(cpu->fd, KVM_SET_MSRS, msrs);
	return r < 0 ? r : 0;
}

/* As a BIOS leaves it: LINT0 external interrupts, LINT1 NMI. */
static int set_lapic(struct hyp_vcpu *cpu)
{
	struct kvm_lapic_state lapic;
	uint32_t lint0 = APIC_MODE_EXTINT;
	uint32_t lint1 = APIC_MODE_NMI;
	int r = kvm_call(cpu->fd, KVM_GET_LAPIC, &lapic);

	if (r < 0)
		return r;
	memcpy(lapic.regs + APIC_LVT_LINT0, &lint0, sizeof(lint0));
	memcpy(lapic.regs + APIC_LVT_LINT1, &lint1, sizeof(lint1));
	return kvm_call(cpu->fd, KVM_SET_LAPIC, &lapic);
}

int kvm_arch_set_boot(struct hyp_vcpu *cpu, const struct hyp_boot *b)
{
	int r = kvm_set_cpuid(cpu);

	if (r == 0)
		r = set_msrs(cpu);
	if (r == 0)
		r = set_lapic(cpu);
	if (r == 0 && b->is_boot_cpu)
		r = set_boot_registers(cpu, b);
	return r;
}

void kvm_arch_describe(struct hyp_vcpu *cpu, char *text, size_t len)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (kvm_call(cpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_call(cpu->fd, KVM_GET_SREGS, &sregs) < 0) {
		(void)snprintf(text, len, "its registers cannot be read");
		return;
	}
	(void)snprintf(text, len, "rip 0x%llx rsp 0x%llx cr2 0x%llx cr3 0x%llx rflags 0x%llx",
		       regs.rip, regs.rsp, sregs.cr2, sregs.cr3, regs.rflags);
}
