/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables of a hardware-reduced machine (ACPI 6.4): RSDP (5.2.5), XSDT (5.2.8), FADT (5.2.9),
 * MADT (5.2.12) and a DSDT with one LNRO0005 for each virtio device: see tables.h.
 */
#include <errno.h>
#include <string.h>

#include "mem/gm.h"
#include "util/bytes.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/tables.h"

#define HEADER_LEN 36
#define RSDP_LEN   36
#define FADT_LEN   276
#define MADT_FLAGS 0 /* no 8259 to mask */

#define FADT_RESET_REG   (1U << 10)
#define FADT_HW_REDUCED  (1U << 20)
#define FADT_NO_VGA      (1U << 2)
#define FADT_NO_CMOS_RTC (1U << 5)

/* Offsets in the FADT. */
#define FADT_BOOT_ARCH     109
#define FADT_FLAGS         112
#define FADT_RESET         116
#define FADT_RESET_VALUE   128
#define FADT_MINOR         131
#define FADT_X_DSDT        140
#define FADT_SLEEP_CONTROL 244
#define FADT_SLEEP_STATUS  256

#define GAS_IO 1

/* Resource descriptors (6.4). */
#define RES_MEMORY32_FIXED 0x86
#define RES_INTERRUPT      0x89
#define RES_END            0x79
#define INT_CONSUMER_EDGE  0x03 /* consumer, edge-triggered, active high, exclusive */

/* The area being filled; tables follow each other. */
struct area {
	uint8_t *base;
	uint32_t len;
	uint32_t at;
};

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return (uint8_t)-s;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Not strings: these fields have no NUL. */
static const uint8_t rsdp_signature[8] = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' };
static const uint8_t oem[14] = { 'P', 'E', 'C', 'T', 'E', 'N', 'M',
				 'I', 'C', 'R', 'O', 'V', 'M', ' ' };
static const uint8_t creator[4] = { 'P', 'C', 'T', 'N' };

/* Completes the table of @len bytes at the area's end; returns its gpa. */
static uint64_t finish(struct area *a, const char *signature, uint8_t revision, uint32_t len)
{
	uint8_t *t = a->base + a->at;
	uint64_t gpa = AT_ACPI + a->at;

	memcpy(t, signature, 4);
	put32(t + 4, len);
	t[8] = revision;
	memcpy(t + 10, oem, sizeof(oem));
	put32(t + 24, 1);
	memcpy(t + 28, creator, sizeof(creator));
	put32(t + 32, 1);
	t[9] = checksum(t, len);
	a->at += (len + 15) & ~15U;
	return gpa;
}

static uint32_t area_left(const struct area *a)
{
	return a->len - a->at;
}

static void device_resources(struct aml *a, const struct x86_device *d)
{
	const uint8_t memory[] = { RES_MEMORY32_FIXED, 9, 0, 1 /* writable */ };
	const uint8_t interrupt[] = { RES_INTERRUPT, 6, 0, INT_CONSUMER_EDGE, 1 };
	const uint8_t end[] = { RES_END, 0 };
	const uint32_t bytes = sizeof(memory) + 8 + sizeof(interrupt) + 4 + sizeof(end);

	aml_u8(a, AML_NAME);
	aml_name(a, "_CRS");
	uint32_t buffer = aml_open(a, AML_BUFFER);
	aml_int(a, bytes);
	aml_bytes(a, memory, sizeof(memory));
	aml_u32(a, (uint32_t)d->gpa);
	aml_u32(a, 0x1000);
	aml_bytes(a, interrupt, sizeof(interrupt));
	aml_u32(a, d->irq);
	aml_bytes(a, end, sizeof(end));
	aml_close(a, buffer);
}

static void put_device(struct aml *a, const struct x86_device *d, unsigned i)
{
	char name[5];

	(void)snprintf(name, sizeof(name), "V%03u", i % 1000);
	uint32_t dev = aml_open(a, AML_DEVICE);
	aml_name(a, name);
	aml_u8(a, AML_NAME);
	aml_name(a, "_HID");
	aml_string(a, "LNRO0005");
	aml_u8(a, AML_NAME);
	aml_name(a, "_UID");
	aml_int(a, i);
	aml_u8(a, AML_NAME);
	aml_name(a, "_CCA"); /* DMA is coherent */
	aml_int(a, 1);
	device_resources(a, d);
	aml_close(a, dev);
}

static uint64_t put_dsdt(struct area *area, const struct x86_device *devs, unsigned n)
{
	struct aml a = { .buf = area->base + area->at, .cap = area_left(area), .len = HEADER_LEN };

	aml_u8(&a, AML_NAME);
	aml_name(&a, "_S5_");
	uint32_t s5 = aml_open(&a, AML_PACKAGE);
	aml_u8(&a, 1); /* elements */
	aml_int(&a, ACPI_S5_TYPE);
	aml_close(&a, s5);

	uint32_t scope = aml_open(&a, AML_SCOPE);
	aml_name(&a, "_SB_");
	for (unsigned i = 0; i < n; i++)
		put_device(&a, &devs[i], i);
	aml_close(&a, scope);
	return a.is_full ? 0 : finish(area, "DSDT", 2, a.len);
}

static void put_register(uint8_t *p, uint16_t port)
{
	const uint8_t head[] = { GAS_IO, 8 /* bits */, 0, 1 /* byte access */ };

	memcpy(p, head, sizeof(head));
	put64(p + 4, port);
}

static uint64_t put_fadt(struct area *a, uint64_t dsdt)
{
	uint8_t *t = a->base + a->at;

	t[FADT_BOOT_ARCH] = FADT_NO_VGA | FADT_NO_CMOS_RTC;
	put32(t + FADT_FLAGS, FADT_RESET_REG | FADT_HW_REDUCED);
	put_register(t + FADT_RESET, PORT_ACPI_RESET);
	t[FADT_RESET_VALUE] = ACPI_RESET_VALUE;
	t[FADT_MINOR] = 4;
	put64(t + FADT_X_DSDT, dsdt);
	put_register(t + FADT_SLEEP_CONTROL, PORT_ACPI_SLEEP);
	put_register(t + FADT_SLEEP_STATUS, PORT_ACPI_SLEEP + 1);
	return finish(a, "FACP", 6, FADT_LEN);
}

static uint64_t put_madt(struct area *a, unsigned cpus)
{
	uint8_t *t = a->base + a->at;
	struct wr w = wr_init(t + HEADER_LEN, area_left(a) - HEADER_LEN);

	wr_le32(&w, (uint32_t)AT_LAPIC);
	wr_le32(&w, MADT_FLAGS);
	for (unsigned i = 0; i < cpus; i++) {
		const uint8_t lapic[] = { 0, 8, (uint8_t)i, (uint8_t)i };

		wr_copy(&w, lapic, sizeof(lapic));
		wr_le32(&w, 1); /* enabled */
	}
	const uint8_t ioapic[] = { 1, 12, (uint8_t)cpus, 0 };
	wr_copy(&w, ioapic, sizeof(ioapic));
	wr_le32(&w, (uint32_t)AT_IOAPIC);
	wr_le32(&w, 0); /* first interrupt */
	return w.failed ? 0 : finish(a, "APIC", 5, (uint32_t)(w.p - t));
}

int acpi_write(const struct gm *gm, unsigned cpus, const struct x86_device *devs, unsigned n_devs)
{
	struct area a = { .base = gm_range(gm, AT_ACPI, ACPI_MAX), .len = ACPI_MAX };

	if (!a.base)
		return -ENOMEM;
	memset(a.base, 0, a.len);
	a.at = (RSDP_LEN + 15) & ~15U;

	uint64_t dsdt = put_dsdt(&a, devs, n_devs);
	if (!dsdt || area_left(&a) < FADT_LEN + HEADER_LEN)
		return -ENOMEM;
	uint64_t fadt = put_fadt(&a, dsdt);
	uint64_t madt = put_madt(&a, cpus);
	if (!madt || area_left(&a) < HEADER_LEN + 16)
		return -ENOMEM;
	put64(a.base + a.at + HEADER_LEN, fadt);
	put64(a.base + a.at + HEADER_LEN + 8, madt);
	uint64_t xsdt = finish(&a, "XSDT", 1, HEADER_LEN + 16);

	uint8_t *rsdp = a.base;
	memcpy(rsdp, rsdp_signature, sizeof(rsdp_signature));
	memcpy(rsdp + 9, oem, 6); /* the same, without the table's name */
	rsdp[15] = 2;             /* ACPI 2.0 and later */
	put32(rsdp + 20, RSDP_LEN);
	put64(rsdp + 24, xsdt);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, RSDP_LEN);
	return 0;
}
