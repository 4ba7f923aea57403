/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of a vCPU: the host's features as KVM supports them, with a topology of our own.  Bits are
 * from the vendors' manuals (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E).
 */
#include "hyp/kvm/x86_64/cpuid.h"

#include <errno.h>
#include <string.h>

#include "hyp/kvm/kvm_internal.h"

#define CPUID_LEAVES_MAX 256

#define LEAF_FEATURES     0x1U
#define LEAF_CACHE        0x4U
#define LEAF_TOPOLOGY     0xbU
#define LEAF_TOPOLOGY_V2  0x1fU
#define LEAF_AMD_SIZES    0x80000008U
#define LEAF_AMD_TOPOLOGY 0x8000001eU

#define ECX1_DEADLINE   (1U << 24)
#define ECX1_HYPERVISOR (1U << 31)
#define EDX1_HTT        (1U << 28) /* the logical CPU count in EBX is valid */

#define LEVEL_SMT  1U
#define LEVEL_CORE 2U

/* Bits of the APIC id that count CPUs. */
static unsigned id_bits(unsigned cpus)
{
	unsigned bits = 0;

	while ((1U << bits) < cpus)
		bits++;
	return bits;
}

static void adapt_features(struct kvm_cpuid_entry2 *e, unsigned id, unsigned cpus,
			   bool has_deadline)
{
	e->ebx = (e->ebx & 0xffffU) | cpus << 16 | id << 24;
	e->ecx |= ECX1_HYPERVISOR;
	if (has_deadline)
		e->ecx |= ECX1_DEADLINE;
	e->edx = cpus > 1 ? e->edx | EDX1_HTT : e->edx & ~EDX1_HTT;
}

/* Caches of the first two levels belong to one CPU, the others to all. */
static void adapt_cache(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
	uint32_t level = e->eax >> 5 & 7;
	uint32_t sharing = level > 2 ? (1U << id_bits(cpus)) - 1 : 0;
	uint32_t cores = (1U << id_bits(cpus)) - 1;

	if ((e->eax & 0x1f) == 0)
		return; /* no more caches */
	e->eax = (e->eax & 0x3fffU) | sharing << 14 | cores << 26;
}

static void adapt_topology(struct kvm_cpuid_entry2 *e, unsigned id, unsigned cpus)
{
	e->eax = e->index == 0 ? 0 : e->index == 1 ? id_bits(cpus) : 0;
	e->ebx = e->index == 0 ? 1 : e->index == 1 ? cpus : 0;
	e->ecx = e->index | (e->index == 0 ? LEVEL_SMT << 8 : e->index == 1 ? LEVEL_CORE << 8 : 0);
	e->edx = id;
}

void cpuid_adapt(struct kvm_cpuid_entry2 *e, uint32_t n, unsigned id, unsigned cpus,
		 bool has_deadline)
{
	for (uint32_t i = 0; i < n; i++) {
		switch (e[i].function) {
		case LEAF_FEATURES:
			adapt_features(&e[i], id, cpus, has_deadline);
			break;
		case LEAF_CACHE:
			adapt_cache(&e[i], cpus);
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY_V2:
			adapt_topology(&e[i], id, cpus);
			break;
		case LEAF_AMD_SIZES:
			e[i].ecx = (e[i].ecx & ~0xf0ffU) | (cpus - 1) | id_bits(cpus) << 12;
			break;
		case LEAF_AMD_TOPOLOGY:
			e[i].eax = id;
			e[i].ebx = id & 0xffU; /* core, with one thread */
			e[i].ecx = 0;          /* the only node */
			break;
		default:
			break;
		}
	}
}

/* Topology leaves must have two levels, even if the host's KVM reports only the first. */
static uint32_t complete_topology(struct kvm_cpuid_entry2 *e, uint32_t n, uint32_t leaf)
{
	bool has_leaf = false;
	bool has_core = false;

	for (uint32_t i = 0; i < n; i++) {
		has_leaf |= e[i].function == leaf;
		has_core |= e[i].function == leaf && e[i].index == 1;
	}
	if (!has_leaf || has_core || n == CPUID_LEAVES_MAX)
		return n;
	e[n] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = 1,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	};
	return n + 1;
}

int kvm_set_cpuid(struct hyp_vcpu *cpu)
{
	size_t len = sizeof(struct kvm_cpuid2) + CPUID_LEAVES_MAX * sizeof(struct kvm_cpuid_entry2);
	AUTO_FREE struct kvm_cpuid2 *id = calloc(1, len);

	if (!id)
		return -ENOMEM;
	id->nent = CPUID_LEAVES_MAX;
	int r = kvm_call(cpu->vm->dev_fd, KVM_GET_SUPPORTED_CPUID, id);
	if (r < 0)
		return r;

	bool has_deadline =
		kvm_call_int(cpu->vm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	id->nent = complete_topology(id->entries, id->nent, LEAF_TOPOLOGY);
	id->nent = complete_topology(id->entries, id->nent, LEAF_TOPOLOGY_V2);
	cpuid_adapt(id->entries, id->nent, cpu->id, cpu->vm->cpus, has_deadline);
	return kvm_call(cpu->fd, KVM_SET_CPUID2, id);
}
