/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of what a vCPU says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/kvm.h>

#include "hyp/kvm/x86_64/cpuid.h"

static void cpu_knows_its_place_among_five(void **state)
{
	struct kvm_cpuid_entry2 e[] = {
		{ .function = 1, .ebx = 0xff400800, .ecx = 1, .edx = 2 },
		{ .function = 4, .eax = 0xffffc121 },             /* L1 */
		{ .function = 4, .eax = 0xffffc163, .index = 3 }, /* L3 */
		{ .function = 4, .eax = 0, .index = 4 },
		{ .function = 0xb, .ebx = 99 },
		{ .function = 0xb, .index = 1, .ebx = 99 },
		{ .function = 0x80000008, .eax = 0x3030, .ecx = 0x70ff },
		{ .function = 0x8000001e, .eax = 77, .ebx = 0x1ff, .ecx = 0x203 },
		{ .function = 0x40000000, .eax = 5 },
	};

	(void)state;
	cpuid_adapt(e, sizeof(e) / sizeof(e[0]), 4, 5, true);
	assert_int_equal(e[0].ebx, 0x04050800);
	assert_int_equal(e[0].ecx, 1U | 1U << 24 | 1U << 31);
	assert_int_equal(e[0].edx, 2U | 1U << 28);
	assert_int_equal(e[1].eax, 7U << 26 | 0x121);
	assert_int_equal(e[2].eax, 7U << 26 | 7U << 14 | 0x163);
	assert_int_equal(e[3].eax, 0);
	assert_int_equal(e[4].eax, 0);
	assert_int_equal(e[4].ebx, 1);
	assert_int_equal(e[4].ecx, 1 << 8);
	assert_int_equal(e[4].edx, 4);
	assert_int_equal(e[5].eax, 3);
	assert_int_equal(e[5].ebx, 5);
	assert_int_equal(e[5].ecx, 2 << 8 | 1);
	assert_int_equal(e[6].ecx, 3 << 12 | 4);
	assert_int_equal(e[6].eax, 0x3030);
	assert_int_equal(e[7].eax, 4);
	assert_int_equal(e[7].ebx, 4);
	assert_int_equal(e[7].ecx, 0);
	assert_int_equal(e[8].eax, 5);
}

static void single_cpu_has_no_siblings(void **state)
{
	struct kvm_cpuid_entry2 e[] = {
		{ .function = 1, .edx = 1U << 28 },
		{ .function = 0xb, .index = 1 },
		{ .function = 0x80000008, .ecx = 0x7007 },
	};

	(void)state;
	cpuid_adapt(e, 3, 0, 1, false);
	assert_int_equal(e[0].ebx, 0x00010000);
	assert_int_equal(e[0].ecx, 1U << 31);
	assert_int_equal(e[0].edx, 0);
	assert_int_equal(e[1].eax, 0);
	assert_int_equal(e[1].ebx, 1);
	assert_int_equal(e[2].ecx, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_knows_its_place_among_five),
		cmocka_unit_test(single_cpu_has_no_siblings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
