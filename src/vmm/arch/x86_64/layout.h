/* SPDX-License-Identifier: Apache-2.0 */
/* Guest-physical addresses of an x86_64 machine. */
#ifndef PECTEN_VMM_X86_64_LAYOUT_H
#define PECTEN_VMM_X86_64_LAYOUT_H

#include <stdint.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* First MiB: what the boot protocol needs, then the places where a kernel searches for tables. */
#define AT_GDT       UINT64_C(0x500)
#define AT_ZERO_PAGE UINT64_C(0x7000)
#define AT_PML4      UINT64_C(0x9000)
#define AT_PDPT      UINT64_C(0xa000)
#define AT_PD        UINT64_C(0xb000) /* four pages: 4 GiB in pieces of 2 MiB */
#define AT_CMDLINE   UINT64_C(0x20000)
#define CMDLINE_MAX  4096 /* bytes with the NUL; COMMAND_LINE_SIZE of Linux is 2048 or more */
#define BASE_RAM_END UINT64_C(0xa0000)
#define AT_ACPI      UINT64_C(0xe0000) /* RSDP first */
#define ACPI_MAX     UINT64_C(0x10000)
#define AT_MPTABLE   UINT64_C(0xf0000)
#define MPTABLE_MAX  UINT64_C(0x4000)
#define HIGH_RAM     MIB /* e820: RAM again from here on */

#define AT_KERNEL (16 * MIB) /* where a relocatable kernel is put */

/* Below 4 GiB: RAM, then devices. */
#define LOW_RAM_END (3 * GIB)
#define AT_DEVICES  UINT64_C(0xd0000000) /* one page for each virtio device */
#define AT_IOAPIC   UINT64_C(0xfec00000)
#define AT_LAPIC    UINT64_C(0xfee00000)
#define AT_HIGH_RAM (4 * GIB)

#define FIRST_DEVICE_IRQ 5
#define DEVICES_MAX      19 /* lines 5 ... 23 of the IOAPIC */

#define WINDOW_ALIGN GIB /* shared-memory windows lie above all RAM, aligned to this */

/* I/O ports. */
#define PORT_SERIAL      0x3f8
#define PORT_KBD_DATA    0x60
#define PORT_KBD_STATUS  0x64
#define PORT_CMOS_INDEX  0x70
#define PORT_CMOS_DATA   0x71
#define PORT_ACPI_SLEEP  0x600 /* sleep control and, one up, status */
#define PORT_ACPI_RESET  0x604
#define ACPI_RESET_VALUE 0x52
#define ACPI_S5_TYPE     5

#endif
