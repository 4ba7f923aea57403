/* SPDX-License-Identifier: Apache-2.0 */
/* Boot parameters of a Linux kernel entered in 64-bit mode: see boot.h. */
#include "vmm/arch/x86_64/boot.h"

#include <errno.h>
#include <string.h>

#include "mem/gm.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"

#define E820_RAM      1
#define E820_RESERVED 2

#define LOADER_OTHER 0xff

#define PTE_RW    UINT64_C(3)
#define PTE_LARGE UINT64_C(0x80)
#define PTES      512

#define GDT_CODE64 UINT64_C(0x00af9b000000ffff)
#define GDT_DATA   UINT64_C(0x00cf93000000ffff)

static void write_page_tables(uint8_t *low)
{
	const uint64_t pml4 = AT_PDPT | PTE_RW;

	memset(low + AT_PML4, 0, 4096);
	memset(low + AT_PDPT, 0, 4096);
	memcpy(low + AT_PML4, &pml4, sizeof(pml4));
	for (uint64_t g = 0; g < 4; g++) {
		const uint64_t pdpt = (AT_PD + g * 4096) | PTE_RW;

		memcpy(low + AT_PDPT + g * 8, &pdpt, sizeof(pdpt));
		for (uint64_t i = 0; i < PTES; i++) {
			const uint64_t pd = g * GIB + i * 2 * MIB + (PTE_RW | PTE_LARGE);

			memcpy(low + AT_PD + g * 4096 + i * 8, &pd, sizeof(pd));
		}
	}
}

static void e820_add(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry){ .addr = start,
									       .size = end - start,
									       .type = type };
}

static void write_e820(struct boot_params *bp, uint64_t ram)
{
	e820_add(bp, 0, BASE_RAM_END, E820_RAM);
	e820_add(bp, BASE_RAM_END, HIGH_RAM, E820_RESERVED); /* tables are in here */
	e820_add(bp, HIGH_RAM, ram < LOW_RAM_END ? ram : LOW_RAM_END, E820_RAM);
	if (ram > LOW_RAM_END)
		e820_add(bp, AT_HIGH_RAM, AT_HIGH_RAM + (ram - LOW_RAM_END), E820_RAM);
}

int boot_write(const struct gm *gm, uint64_t ram, const struct kernel *k, const char *cmdline,
	       struct hyp_boot *b, struct err *e)
{
	uint8_t *low = gm_range(gm, 0, BASE_RAM_END);
	const uint64_t gdt[] = { 0, 0, GDT_CODE64, GDT_DATA };
	size_t max = k->hdr.cmdline_size ? k->hdr.cmdline_size : CMDLINE_MAX - 1;
	size_t len = strlen(cmdline);

	if (!low)
		return err_set(e, -ENOMEM, "the guest needs at least 64 MiB of memory");
	if (len > max || len >= CMDLINE_MAX)
		return err_set(e, -E2BIG,
			       "the kernel's command line has %zu bytes, this kernel takes %zu; "
			       "attach fewer devices or pass fewer arguments",
			       len, max < CMDLINE_MAX ? max : (size_t)CMDLINE_MAX - 1);

	struct boot_params *bp = (void *)(low + AT_ZERO_PAGE); /* nobody else runs yet */
	memset(bp, 0, sizeof(*bp));
	bp->hdr = k->hdr;
	bp->hdr.type_of_loader = LOADER_OTHER;
	bp->hdr.vid_mode = 0xffff;
	bp->hdr.cmd_line_ptr = (uint32_t)AT_CMDLINE;
	bp->hdr.ramdisk_image = (uint32_t)k->initrd.gpa;
	bp->hdr.ramdisk_size = (uint32_t)k->initrd.len;
	bp->acpi_rsdp_addr = AT_ACPI;
	write_e820(bp, ram);

	memcpy(low + AT_CMDLINE, cmdline, len + 1);
	memcpy(low + AT_GDT, gdt, sizeof(gdt));
	write_page_tables(low);
	*b = (struct hyp_boot){
		.is_boot_cpu = true,
		.entry = k->entry,
		.arg = AT_ZERO_PAGE,
		.page_table = AT_PML4,
		.gdt = AT_GDT,
		.gdt_len = sizeof(gdt),
	};
	return 0;
}
