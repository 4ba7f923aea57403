/* SPDX-License-Identifier: Apache-2.0 */
/* MP configuration table (Intel MultiProcessor Specification 1.4, chapter 4): see tables.h. */
#include "vmm/arch/x86_64/tables.h"

#include <errno.h>
#include <string.h>

#include "hyp/hyp.h"
#include "mem/gm.h"
#include "util/bytes.h"
#include "vmm/arch/x86_64/layout.h"

#define MP_FLOATING_LEN 16
#define MP_HEADER_LEN   44
#define MP_REVISION     4 /* 1.4 */
#define APIC_VERSION    0x14

enum mp_entry { MP_CPU, MP_BUS, MP_IOAPIC, MP_INT, MP_LINT };

#define CPU_ENABLED 1
#define CPU_BOOT    2

enum mp_int { MP_INT_VECTORED, MP_INT_NMI, MP_INT_SMI, MP_INT_EXT };

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static void put_cpus(struct wr *w, unsigned cpus)
{
	const uint32_t cpu_signature[4] = { 0x600, 0x201, 0, 0 }; /* family 6, FPU and APIC */

	for (unsigned i = 0; i < cpus; i++) {
		const uint8_t head[] = { MP_CPU, (uint8_t)i, APIC_VERSION,
					 i == 0 ? CPU_ENABLED | CPU_BOOT : CPU_ENABLED };

		wr_copy(w, head, sizeof(head));
		wr_copy(w, cpu_signature, sizeof(cpu_signature));
	}
}

/* IRQ n of the (ISA: edge, active high) bus is line n of the IOAPIC. */
static void put_interrupts(struct wr *w, uint8_t ioapic)
{
	for (uint8_t i = 0; i < HYP_IRQS; i++) {
		const uint8_t line[] = { MP_INT, MP_INT_VECTORED, 0, 0, 0, i, ioapic, i };

		wr_copy(w, line, sizeof(line));
	}

	const uint8_t ext[] = { MP_LINT, MP_INT_EXT, 0, 0, 0, 0, 0, 0 };
	const uint8_t nmi[] = { MP_LINT, MP_INT_NMI, 0, 0, 0, 0, 0xff, 1 };
	wr_copy(w, ext, sizeof(ext));
	wr_copy(w, nmi, sizeof(nmi));
}

/* Not strings: these fields have no NUL. */
static const uint8_t floating[4] = { '_', 'M', 'P', '_' };
static const uint8_t signature[4] = { 'P', 'C', 'M', 'P' };
static const uint8_t product[20] = { 'P', 'E', 'C', 'T', 'E', 'N', ' ', ' ', 'M', 'I',
				     'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' ' };

int mptable_write(const struct gm *gm, unsigned cpus)
{
	uint8_t *base = gm_range(gm, AT_MPTABLE, MPTABLE_MAX);
	uint8_t ioapic = (uint8_t)cpus; /* ids of APICs are unique */

	if (!base)
		return -ENOMEM;

	uint8_t *table = base + MP_FLOATING_LEN;
	struct wr w = wr_init(table, MPTABLE_MAX - MP_FLOATING_LEN);
	const uint8_t zeros[MP_HEADER_LEN] = { 0 };
	const uint8_t bus[] = { MP_BUS, 0, 'I', 'S', 'A', ' ', ' ', ' ' };
	const uint8_t io[] = { MP_IOAPIC, ioapic, APIC_VERSION, 1 };

	wr_copy(&w, zeros, sizeof(zeros));
	put_cpus(&w, cpus);
	wr_copy(&w, bus, sizeof(bus));
	wr_copy(&w, io, sizeof(io));
	wr_le32(&w, (uint32_t)AT_IOAPIC);
	put_interrupts(&w, ioapic);
	if (w.failed)
		return -ENOMEM;

	uint16_t len = (uint16_t)(w.p - table);
	uint16_t entries = (uint16_t)(cpus + 2 + HYP_IRQS + 2);
	uint32_t lapic = (uint32_t)AT_LAPIC;
	memcpy(table, signature, sizeof(signature));
	memcpy(table + 4, &len, sizeof(len));
	table[6] = MP_REVISION;
	memcpy(table + 8, product, sizeof(product));
	memcpy(table + 34, &entries, sizeof(entries));
	memcpy(table + 36, &lapic, sizeof(lapic));
	table[7] = (uint8_t)-sum(table, len);

	uint32_t at = (uint32_t)AT_MPTABLE + MP_FLOATING_LEN;
	memset(base, 0, MP_FLOATING_LEN);
	memcpy(base, floating, sizeof(floating));
	memcpy(base + 4, &at, sizeof(at));
	base[8] = 1; /* in units of 16 bytes */
	base[9] = MP_REVISION;
	base[10] = (uint8_t)-sum(base, MP_FLOATING_LEN);
	return 0;
}
