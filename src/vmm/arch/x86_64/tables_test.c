/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the tables a guest reads: checksums, lengths, what they count.  With a file name as
 * argument the program writes the DSDT there instead, for a disassembler.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem/gm.h"
#include "util/compiler.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/tables.h"

struct fixture {
	uint8_t *ram; /* the first MiB */
	struct gm gm;
};

static const struct x86_device devices[] = { { AT_DEVICES, 5 }, { AT_DEVICES + 0x1000, 6 } };

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	*state = x;
	x->ram = calloc(1, MIB);
	return gm_add(&x->gm, 0, x->ram, MIB);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	free(x->ram);
	free(x);
	return 0;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static const uint8_t *table(const struct fixture *x, uint64_t gpa, const char *signature)
{
	const uint8_t *t = x->ram + gpa;

	assert_true(gpa >= AT_ACPI && gpa < AT_ACPI + ACPI_MAX);
	assert_memory_equal(t, signature, 4);
	assert_int_equal(sum(t, get32(t + 4)), 0);
	return t;
}

static void acpi_tables_are_found_from_the_rsdp(void **state)
{
	struct fixture *x = *state;
	const uint8_t *rsdp = x->ram + AT_ACPI;

	assert_int_equal(acpi_write(&x->gm, 3, devices, ARRAY_LEN(devices)), 0);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	const uint8_t *xsdt = table(x, get64(rsdp + 24), "XSDT");
	const uint8_t *fadt = table(x, get64(xsdt + 36), "FACP");
	const uint8_t *madt = table(x, get64(xsdt + 44), "APIC");
	const uint8_t *dsdt = table(x, get64(fadt + 140), "DSDT");

	assert_int_equal(get32(fadt + 4), 276);
	assert_int_equal(get32(fadt + 112), 1U << 20 | 1U << 10);
	assert_int_equal(get64(fadt + 116 + 4), PORT_ACPI_RESET);
	assert_int_equal(get64(fadt + 244 + 4), PORT_ACPI_SLEEP);
	assert_int_equal(get32(madt + 4), 44 + 3 * 8 + 12);
	assert_int_equal(get32(madt + 36), AT_LAPIC);
	assert_non_null(memmem(dsdt, get32(dsdt + 4), "LNRO0005", 9));
	assert_non_null(memmem(dsdt, get32(dsdt + 4), "V001", 4));
	assert_null(memmem(dsdt, get32(dsdt + 4), "V002", 4));
}

static void tables_too_large_for_their_area_are_refused(void **state)
{
	static struct x86_device many[2000];
	struct fixture *x = *state;

	assert_int_equal(acpi_write(&x->gm, 1, many, ARRAY_LEN(many)), -ENOMEM);
	assert_int_equal(acpi_write(&x->gm, 100000, many, 0), -ENOMEM);
	assert_int_equal(mptable_write(&x->gm, 10000), -ENOMEM);
	struct gm empty = { 0 };
	assert_int_equal(acpi_write(&empty, 1, many, 0), -ENOMEM);
	assert_int_equal(mptable_write(&empty, 1), -ENOMEM);
}

static void mptable_counts_its_entries(void **state)
{
	struct fixture *x = *state;
	const uint8_t *mp = x->ram + AT_MPTABLE;

	assert_int_equal(mptable_write(&x->gm, 4), 0);
	assert_memory_equal(mp, "_MP_", 4);
	assert_int_equal(sum(mp, 16), 0);
	const uint8_t *t = x->ram + get32(mp + 4);
	uint16_t len;
	uint16_t entries;
	memcpy(&len, t + 4, 2);
	memcpy(&entries, t + 34, 2);
	assert_memory_equal(t, "PCMP", 4);
	assert_int_equal(sum(t, len), 0);

	unsigned count = 0;
	size_t at = 44;
	for (; at < len; count++)
		at += t[at] == 0 ? 20 : 8;
	assert_int_equal(at, len);
	assert_int_equal(count, entries);
	assert_int_equal(t[44 + 3], 3); /* the boot CPU, enabled */
	assert_int_equal(t[44 + 20 + 3], 1);
}

static void aml_lengths_and_integers_have_their_encodings(void **state)
{
	uint8_t buf[32];
	struct aml a = { .buf = buf, .cap = sizeof(buf) };

	(void)state;
	uint32_t at = aml_open(&a, AML_DEVICE);
	aml_name(&a, "AB");
	aml_int(&a, 0);
	aml_int(&a, 0xff);
	aml_int(&a, 0x100);
	aml_int(&a, 0x10000);
	aml_close(&a, at);
	/* clang-format off */
	const uint8_t want[] = {
		0x5b, 0x82, 0xc3, 0x01, 0, 0, 'A', 'B', '_', '_',
		0, 0x0a, 0xff, 0x0b, 0, 1, 0x0c, 0, 0, 1, 0,
	};
	/* clang-format on */
	assert_int_equal(a.len, sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
	aml_string(&a, "0123456789abcdef");
	assert_true(a.is_full);
	aml_close(&a, at);
}

static int write_dsdt(const char *path)
{
	struct fixture *x = NULL;
	FILE *f = fopen(path, "wb");

	if (!f || setup((void **)&x) < 0 || acpi_write(&x->gm, 2, devices, ARRAY_LEN(devices)) < 0)
		return 1;
	const uint8_t *xsdt = x->ram + get64(x->ram + AT_ACPI + 24);
	const uint8_t *fadt = x->ram + get64(xsdt + 36);
	const uint8_t *dsdt = x->ram + get64(fadt + 140);
	int r = fwrite(dsdt, get32(dsdt + 4), 1, f) != 1;
	(void)teardown((void **)&x);
	return fclose(f) != 0 || r;
}

int main(int argc, char **argv)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(acpi_tables_are_found_from_the_rsdp),
		T(tables_too_large_for_their_area_are_refused),
		T(mptable_counts_its_entries),
		cmocka_unit_test(aml_lengths_and_integers_have_their_encodings),
	};

	if (argc > 1)
		return write_dsdt(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
