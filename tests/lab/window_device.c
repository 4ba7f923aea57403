/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows a guest the registers of a PCI device through a window, as --map-video-memory does with a
 * GPU's: memory without pages of its own behind it, which KVM treats unlike RAM.
 *
 *	window_device RESOURCE		a file such as /sys/bus/pci/devices/0000:00:1f.2/resource5
 *
 * The guest reads eight bytes of the device, then of a blob that has taken its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/ram.h"
#include "host/shm.h"
#include "hyp/hyp.h"
#include "mem/window.h"
#include "util/compiler.h"

#define RAM        (UINT64_C(2) << 20)
#define PAGE       0x1000U
#define AT_PML4    0x1000U
#define AT_PDPT    0x2000U
#define AT_PD      0x3000U
#define AT_GDT     0x4000U
#define AT_DATA    0x8000U
#define AT_CODE    0x9000U
#define AT_WINDOW  UINT64_C(0x200000) /* behind the RAM */
#define SHOWN      PAGE               /* bytes into the window */
#define PTE_RW     UINT64_C(3)
#define PTE_LARGE  UINT64_C(0x80)
#define GDT_CODE64 UINT64_C(0x00af9b000000ffff)
#define GDT_DATA   UINT64_C(0x00cf93000000ffff)
#define END_PORT   0x80

static const uint8_t code[] = {
	0xbf, 0x00,     0x10, 0x20, 0x00, /* mov edi, AT_WINDOW + SHOWN */
	0x8b, 0x07,                       /* mov eax, [rdi] */
	0x8b, 0x57,     0x04,             /* mov edx, [rdi + 4] */
	0xbb, 0x00,     0x80, 0x00, 0x00, /* mov ebx, AT_DATA */
	0x89, 0x03,                       /* mov [rbx], eax */
	0x89, 0x53,     0x04,             /* mov [rbx + 4], edx */
	0xe6, END_PORT,                   /* out END_PORT, al */
	0xf4,                             /* hlt */
};

struct rig {
	struct hyp_vm *vm;
	struct hyp_vcpu *cpu;
	struct gm_window window;
	void *ram;
};

static int failed(const char *what, int r)
{
	(void)fprintf(stderr, "window_device: %s: %s\n", what, strerror(-r));
	return 1;
}

static void fill(uint8_t *ram)
{
	const uint64_t pml4 = AT_PDPT | PTE_RW;
	const uint64_t pdpt = AT_PD | PTE_RW;
	const uint64_t pd[2] = { PTE_RW | PTE_LARGE, AT_WINDOW | PTE_RW | PTE_LARGE };
	const uint64_t gdt[4] = { 0, 0, GDT_CODE64, GDT_DATA };

	memcpy(ram + AT_PML4, &pml4, sizeof(pml4));
	memcpy(ram + AT_PDPT, &pdpt, sizeof(pdpt));
	memcpy(ram + AT_PD, pd, sizeof(pd));
	memcpy(ram + AT_GDT, gdt, sizeof(gdt));
	memcpy(ram + AT_CODE, code, sizeof(code));
}

/* What the guest reads in the window.  Return: 0, or -errno */
static int look(struct rig *g, uint64_t *seen)
{
	const struct hyp_boot boot = { .is_boot_cpu = true,
				       .entry = AT_CODE,
				       .page_table = AT_PML4,
				       .gdt = AT_GDT,
				       .gdt_len = 32 };
	struct hyp_exit ex = { 0 };
	int r = hyp_kvm.vcpu_set_boot(g->cpu, &boot);

	do {
		r = r < 0 ? r : hyp_kvm.vcpu_run(g->cpu, &ex);
	} while (r == 0 && ex.kind == HYP_EXIT_KICKED);
	if (r == 0 && ex.kind != HYP_EXIT_PIO_WRITE) {
		(void)fprintf(stderr, "the guest ended with %d: %s\n", (int)ex.kind, ex.text);
		return -EIO;
	}
	memcpy(seen, (uint8_t *)g->ram + AT_DATA, sizeof(*seen));
	return r;
}

static int start(struct rig *g)
{
	struct err e = { 0 };
	int r = ram_alloc(RAM, &g->ram);

	if (r < 0)
		return r;
	fill(g->ram);
	r = gm_window_init(&g->window, AT_WINDOW, RAM);
	if (r == 0)
		r = hyp_kvm.vm_create(&(struct hyp_vm_config){ .cpus = 1 }, &g->vm, &e);
	if (r == 0)
		r = hyp_kvm.vm_map(g->vm, 0, g->ram, RAM);
	if (r == 0)
		r = hyp_kvm.vm_map(g->vm, AT_WINDOW, g->window.host, RAM);
	if (r == 0)
		r = hyp_kvm.vcpu_create(g->vm, 0, &g->cpu, &e);
	return r;
}

int main(int argc, char **argv)
{
	const uint64_t mark = UINT64_C(0x1122334455667788);
	struct rig g = { 0 };
	uint64_t want;
	uint64_t seen = 0;
	int blob = -1;

	int fd = open(argc > 1 ? argv[1] : "", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return failed(argc > 1 ? argv[1] : "no file", -errno);
	volatile uint32_t *device = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (device == MAP_FAILED)
		return failed("mmap", -errno);
	want = device[0] | (uint64_t)device[1] << 32;

	int r = start(&g);
	if (r == 0)
		r = gm_window_map(&g.window, SHOWN, fd, 0, PAGE, false);
	if (r == 0)
		r = look(&g, &seen);
	if (r < 0)
		return failed("the device's memory", r);
	printf("device: %#jx, in the guest: %#jx\n", (uintmax_t)want, (uintmax_t)seen);
	if (seen != want)
		return 1;

	r = shm_create("blob", PAGE, &blob);
	if (r == 0 && pwrite(blob, &mark, sizeof(mark), 0) != sizeof(mark))
		r = -errno;
	if (r == 0)
		r = gm_window_unmap(&g.window, SHOWN, PAGE);
	if (r == 0)
		r = gm_window_map(&g.window, SHOWN, blob, 0, PAGE, false);
	if (r == 0)
		r = look(&g, &seen);
	if (r < 0)
		return failed("a blob in its place", r);
	printf("blob: %#jx, in the guest: %#jx\n", (uintmax_t)mark, (uintmax_t)seen);
	return seen != mark;
}
