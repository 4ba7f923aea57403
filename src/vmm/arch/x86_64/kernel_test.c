/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of kernel images: good ones, and what a damaged or hostile file may claim. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>

#include "host/ram.h"
#include "mem/gm.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"

#define RAM (64 * MIB)

struct fixture {
	uint8_t *ram;
	struct gm gm;
	struct kernel k;
	uint8_t img[0x3000];
	struct err e;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	void *ram = NULL;

	*state = x;
	if (ram_alloc(RAM, &ram) < 0)
		return -1;
	x->ram = ram;
	return gm_add(&x->gm, 0, ram, RAM);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	ram_free(x->ram, RAM);
	free(x);
	return 0;
}

struct elf {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
};

/* One segment of 16 bytes at 16 MiB with 32 in memory, and one that is not loaded. */
static struct elf good_elf(void)
{
	return (struct elf){
		.eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			.e_machine = EM_X86_64,
			.e_entry = AT_KERNEL + 8,
			.e_phoff = offsetof(struct elf, ph),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2 },
		.ph = { { .p_type = PT_LOAD,
			  .p_offset = 0x1000,
			  .p_paddr = AT_KERNEL,
			  .p_filesz = 16,
			  .p_memsz = 32 },
			{ .p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_filesz = UINT64_MAX } },
	};
}

static int load_elf(struct fixture *x, const struct elf *elf)
{
	memcpy(x->img, elf, sizeof(*elf));
	return kernel_load(&x->gm, x->img, sizeof(x->img), &x->k, &x->e);
}

static void elf_segments_go_where_they_say(void **state)
{
	struct fixture *x = *state;
	struct elf elf = good_elf();

	memcpy(x->img + 0x1000, "0123456789abcdef", 16);
	memset(x->ram + AT_KERNEL, 'x', 64);
	assert_int_equal(load_elf(x, &elf), 0);
	assert_memory_equal(x->ram + AT_KERNEL, "0123456789abcdef\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x",
			    33);
	assert_int_equal(x->k.entry, AT_KERNEL + 8);
	assert_int_equal(x->k.start, AT_KERNEL);
	assert_int_equal(x->k.end, AT_KERNEL + 32);
}

/* clang-format off */
#define BAD_ELFS \
	X("not 64-bit",             elf.eh.e_ident[EI_CLASS] = ELFCLASS32, -ENOEXEC) \
	X("not x86",                elf.eh.e_machine = EM_AARCH64, -ENOEXEC) \
	X("crooked headers",        elf.eh.e_phentsize = 8, -ENOEXEC) \
	X("too many segments",      elf.eh.e_phnum = 65, -ENOEXEC) \
	X("headers outside",        elf.eh.e_phoff = 0x2fff, -ENOEXEC) \
	X("headers wrap",           elf.eh.e_phoff = UINT64_MAX, -ENOEXEC) \
	X("segment outside file",   elf.ph[0].p_offset = 0x2ff8, -ENOEXEC) \
	X("segment wraps in file",  elf.ph[0].p_offset = UINT64_MAX - 7, -ENOEXEC) \
	X("more file than memory",  elf.ph[0].p_memsz = 15, -ENOEXEC) \
	X("below 1 MiB",            elf.ph[0].p_paddr = 0x8000, -ENOMEM) \
	X("past RAM",               elf.ph[0].p_paddr = RAM - 31, -ENOMEM) \
	X("wraps in memory",        elf.ph[0].p_paddr = UINT64_MAX - 7, -ENOMEM) \
	X("huge bss",               elf.ph[0].p_memsz = UINT64_MAX, -ENOMEM) \
	X("entry before",           elf.eh.e_entry = AT_KERNEL - 1, -ENOEXEC) \
	X("entry behind",           elf.eh.e_entry = AT_KERNEL + 32, -ENOEXEC) \
	X("nothing to load",        elf.ph[0].p_type = PT_NOTE, -ENOEXEC)
/* clang-format on */

static void damaged_elf_is_refused(void **state)
{
	struct fixture *x = *state;

#define X(why, change, want)                                                                       \
	do {                                                                                       \
		struct elf elf = good_elf();                                                       \
		change;                                                                            \
		print_message("# %s\n", why);                                                      \
		assert_int_equal(load_elf(x, &elf), want);                                         \
		assert_true(strlen(x->e.text) > 10);                                               \
	} while (0);
	BAD_ELFS
#undef X
	assert_int_equal(kernel_load(&x->gm, "\177ELF", 4, &x->k, &x->e), -ENOEXEC);
}

static struct setup_header good_header(void)
{
	return (struct setup_header){
		.setup_sects = 3,
		.boot_flag = 0xaa55,
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.xloadflags = XLF_KERNEL_64,
		.relocatable_kernel = 1,
		.init_size = 0x10000,
		.initrd_addr_max = 0x7fffffff,
		.cmdline_size = 40,
	};
}

static int load_bzimage(struct fixture *x, const struct setup_header *h, size_t len)
{
	memcpy(x->img + 0x1f1, h, sizeof(*h));
	return kernel_load(&x->gm, x->img, len, &x->k, &x->e);
}

static void bzimage_is_entered_at_its_64_bit_entry(void **state)
{
	struct fixture *x = *state;
	struct setup_header h = good_header();

	memcpy(x->img + 4 * 512, "body", 4);
	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), 0);
	assert_memory_equal(x->ram + AT_KERNEL, "body", 4);
	assert_int_equal(x->k.entry, AT_KERNEL + 0x200);
	assert_int_equal(x->k.end, AT_KERNEL + 0x10000);
	h.relocatable_kernel = 0;
	h.pref_address = 0x200000;
	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), 0);
	assert_int_equal(x->k.start, 0x200000);
}

static void damaged_bzimage_is_refused(void **state)
{
	struct fixture *x = *state;
	struct setup_header h = good_header();

	assert_int_equal(load_bzimage(x, &h, 4 * 512 + 0x200), -ENOEXEC);
	assert_int_equal(load_bzimage(x, &h, 0x210), -ENOEXEC);
	assert_int_equal(load_bzimage(x, &h, 0x201), -ENOEXEC);
	assert_int_equal(load_bzimage(x, &h, 0), -ENOEXEC);
	h.xloadflags = 0;
	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), -ENOEXEC);
	h = good_header();
	h.version = 0x20b;
	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), -ENOEXEC);
	h = good_header();
	h.init_size = UINT32_MAX;
	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), -ENOMEM);
	h = good_header();
	h.relocatable_kernel = 0;
	h.pref_address = UINT64_MAX - 0xfff;
	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), -ENOMEM);
}

static void raw_image_lies_at_its_address(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(kernel_load_raw(&x->gm, "kern", 4, AT_KERNEL, AT_KERNEL + 2, &x->k, &x->e),
			 0);
	assert_memory_equal(x->ram + AT_KERNEL, "kern", 4);
	assert_int_equal(kernel_load_raw(&x->gm, "kern", 4, AT_KERNEL, AT_KERNEL + 4, &x->k, &x->e),
			 -ENOEXEC);
	assert_int_equal(kernel_load_raw(&x->gm, "kern", 4, RAM - 3, RAM - 3, &x->k, &x->e),
			 -ENOMEM);
	assert_int_equal(
		kernel_load_raw(&x->gm, "kern", 4, UINT64_MAX - 2, UINT64_MAX - 1, &x->k, &x->e),
		-ENOEXEC);
}

static void initramfs_goes_high_below_the_limit(void **state)
{
	struct fixture *x = *state;
	struct setup_header h = good_header();

	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), 0);
	assert_int_equal(kernel_load_initrd(&x->gm, "cpio", 4, &x->k, &x->e), 0);
	assert_int_equal(x->k.initrd.gpa, RAM - 4096);
	assert_memory_equal(x->ram + RAM - 4096, "cpio", 4);

	x->k.hdr.initrd_addr_max = (uint32_t)(AT_KERNEL + 0x11fff);
	assert_int_equal(kernel_load_initrd(&x->gm, "cpio", 4, &x->k, &x->e), 0);
	assert_int_equal(x->k.initrd.gpa, AT_KERNEL + 0x11000);
	x->k.hdr.initrd_addr_max = (uint32_t)(AT_KERNEL + 0x10002);
	assert_int_equal(kernel_load_initrd(&x->gm, "cpio", 4, &x->k, &x->e), -ENOMEM);
	x->k.hdr.initrd_addr_max = (uint32_t)(AT_KERNEL + 0x10003);
	assert_int_equal(kernel_load_initrd(&x->gm, "cpio", 4, &x->k, &x->e), 0);
	assert_int_equal(x->k.initrd.gpa, AT_KERNEL + 0x10000);
	x->k.hdr.initrd_addr_max = 0;
	assert_int_equal(kernel_load_initrd(&x->gm, "cpio", 4, &x->k, &x->e), -ENOMEM);
	assert_int_equal(kernel_load_initrd(&x->gm, "", 0, &x->k, &x->e), -ENOMEM);
}

static void kernel_is_told_of_its_memory_and_command_line(void **state)
{
	struct fixture *x = *state;
	struct setup_header h = good_header();
	struct boot_params bp;
	struct hyp_boot b;

	assert_int_equal(load_bzimage(x, &h, sizeof(x->img)), 0);
	assert_int_equal(boot_write(&x->gm, 4 * GIB, &x->k, "hello", &b, &x->e), 0);
	assert_true(b.is_boot_cpu);
	assert_int_equal(b.entry, x->k.entry);
	memcpy(&bp, x->ram + b.arg, sizeof(bp));
	assert_string_equal((char *)x->ram + bp.hdr.cmd_line_ptr, "hello");
	assert_int_equal(bp.e820_entries, 4);
	assert_int_equal(bp.e820_table[2].addr + bp.e820_table[2].size, LOW_RAM_END);
	assert_int_equal(bp.e820_table[3].addr, AT_HIGH_RAM);
	assert_int_equal(bp.e820_table[3].size, GIB);

	assert_int_equal(boot_write(&x->gm, RAM, &x->k, "hello", &b, &x->e), 0);
	memcpy(&bp, x->ram + b.arg, sizeof(bp));
	assert_int_equal(bp.e820_entries, 3);
	assert_int_equal(bp.e820_table[2].addr + bp.e820_table[2].size, RAM);

	assert_int_equal(boot_write(&x->gm, RAM, &x->k, "0123456789012345678901234567890123456789",
				    &b, &x->e),
			 0);
	assert_int_equal(boot_write(&x->gm, RAM, &x->k, "01234567890123456789012345678901234567890",
				    &b, &x->e),
			 -E2BIG);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(elf_segments_go_where_they_say),
		T(damaged_elf_is_refused),
		T(bzimage_is_entered_at_its_64_bit_entry),
		T(damaged_bzimage_is_refused),
		T(raw_image_lies_at_its_address),
		T(initramfs_goes_high_below_the_limit),
		T(kernel_is_told_of_its_memory_and_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
