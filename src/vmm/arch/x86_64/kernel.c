/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images: see kernel.h.  The file is the user's, but so may be anything: every offset and
 * size is checked against the file and against guest memory.
 */
#include "vmm/arch/x86_64/kernel.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "mem/gm.h"
#include "util/bytes.h"
#include "util/ckd.h"
#include "vmm/arch/x86_64/layout.h"

#define BOOT_FLAG    0xaa55
#define HDR_MAGIC    0x53726448U /* "HdrS" */
#define HDR_AT       0x1f1
#define HDR_VERSION  0x020c /* the first with a 64-bit entry */
#define ENTRY_64     0x200  /* from the start of the loaded part */
#define SECTOR       512
#define LOADER_OTHER 0xff
#define INITRD_MAX   UINT64_C(0x37ffffff)
#define SEGMENTS_MAX 64

static struct setup_header plain_header(void)
{
	return (struct setup_header){
		.boot_flag = BOOT_FLAG,
		.header = HDR_MAGIC,
		.version = 0x020f,
		.initrd_addr_max = INITRD_MAX,
		.kernel_alignment = 0x200000,
		.loadflags = LOADED_HIGH,
	};
}

static int no_room(struct err *e, const char *what)
{
	return err_set(e, -ENOMEM,
		       "%s does not fit into the guest's memory; give it more (--memory)", what);
}

/* Copies @len of @mem_len bytes to @gpa and zeroes the rest. */
static int put(const struct gm *gm, uint64_t gpa, const void *from, uint64_t len, uint64_t mem_len,
	       struct err *e)
{
	uint8_t *to = gpa >= HIGH_RAM ? gm_range(gm, gpa, mem_len) : NULL;

	if (!to)
		return no_room(e, "the kernel");
	memcpy(to, from, len);
	memset(to + len, 0, mem_len - len);
	return 0;
}

static int load_segment(const struct gm *gm, const uint8_t *img, size_t len, const Elf64_Phdr *ph,
			struct kernel *k, struct err *e)
{
	if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
		return 0;
	if (!range_fits(ph->p_offset, ph->p_filesz, len) || ph->p_filesz > ph->p_memsz)
		return err_set(e, -ENOEXEC, "the kernel's ELF file is cut short or damaged");

	int r = put(gm, ph->p_paddr, img + ph->p_offset, ph->p_filesz, ph->p_memsz, e);
	if (r < 0)
		return r;
	if (ph->p_paddr < k->start)
		k->start = ph->p_paddr;
	if (ph->p_paddr + ph->p_memsz > k->end)
		k->end = ph->p_paddr + ph->p_memsz;
	return 0;
}

static int load_elf(const struct gm *gm, const uint8_t *img, size_t len, struct kernel *k,
		    struct err *e)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (len < sizeof(eh))
		return err_set(e, -ENOEXEC, "the kernel's ELF file is cut short or damaged");
	memcpy(&eh, img, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64 ||
	    eh.e_phentsize != sizeof(ph) || eh.e_phnum > SEGMENTS_MAX ||
	    !range_fits(eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(ph), len))
		return err_set(e, -ENOEXEC, "the kernel is not an ELF file for x86_64");

	*k = (struct kernel){ .entry = eh.e_entry, .start = UINT64_MAX, .hdr = plain_header() };
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		memcpy(&ph, img + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		int r = load_segment(gm, img, len, &ph, k, e);
		if (r < 0)
			return r;
	}
	if (k->entry < k->start || k->entry >= k->end)
		return err_set(e, -ENOEXEC, "the kernel's entry point lies outside of it");
	return 0;
}

static int load_bzimage(const struct gm *gm, const uint8_t *img, size_t len, struct kernel *k,
			struct err *e)
{
	struct setup_header hdr;

	if (len < HDR_AT + sizeof(hdr))
		return err_set(e, -ENOEXEC, "the kernel's bzImage is cut short");
	memcpy(&hdr, img + HDR_AT, sizeof(hdr));
	if (hdr.version < HDR_VERSION || !(hdr.xloadflags & XLF_KERNEL_64) ||
	    !(hdr.loadflags & LOADED_HIGH))
		return err_set(e, -ENOEXEC, "the kernel is a bzImage, but not for 64-bit machines");

	uint64_t setup = ((uint64_t)(hdr.setup_sects ? hdr.setup_sects : 4) + 1) * SECTOR;
	if (setup + ENTRY_64 >= len)
		return err_set(e, -ENOEXEC, "the kernel's bzImage is cut short");

	uint64_t at = hdr.relocatable_kernel ? AT_KERNEL : hdr.pref_address;
	uint64_t body = len - setup;
	uint64_t room = hdr.init_size > body ? hdr.init_size : body;
	int r = put(gm, at, img + setup, body, room, e);
	if (r < 0)
		return r;
	*k = (struct kernel){ .entry = at + ENTRY_64, .start = at, .end = at + room, .hdr = hdr };
	return 0;
}

int kernel_load(const struct gm *gm, const void *img, size_t len, struct kernel *k, struct err *e)
{
	struct rd r = rd_init(img, len);
	uint32_t magic = rd_le32(&r);
	uint16_t boot_flag;
	uint32_t hdr_magic;

	if (rd_ok(&r) && memcmp(&magic, ELFMAG, SELFMAG) == 0)
		return load_elf(gm, img, len, k, e);
	r = rd_init(img, len);
	(void)rd_take(&r, 0x1fe);
	boot_flag = rd_le16(&r);
	(void)rd_take(&r, 2);
	hdr_magic = rd_le32(&r);
	if (rd_ok(&r) && boot_flag == BOOT_FLAG && hdr_magic == HDR_MAGIC)
		return load_bzimage(gm, img, len, k, e);
	return err_set(e, -ENOEXEC,
		       "the kernel is neither an ELF vmlinux nor a bzImage; give another file");
}

int kernel_load_raw(const struct gm *gm, const void *img, size_t len, uint64_t gpa, uint64_t entry,
		    struct kernel *k, struct err *e)
{
	uint64_t end;

	if (len == 0 || ckd_add(&end, gpa, len) || entry < gpa || entry >= end)
		return err_set(e, -ENOEXEC, "the kernel's entry point lies outside of it");
	*k = (struct kernel){ .entry = entry, .start = gpa, .end = end, .hdr = plain_header() };
	return put(gm, gpa, img, len, len, e);
}

int kernel_load_initrd(const struct gm *gm, const void *img, size_t len, struct kernel *k,
		       struct err *e)
{
	uint64_t limit = (uint64_t)k->hdr.initrd_addr_max + 1;
	uint64_t got = 0;

	/* The largest piece of RAM from the kernel's end on, at most to the kernel's limit. */
	if (len == 0 || k->end >= limit || !gm_piece(gm, k->end, limit - k->end, &got) || got < len)
		return no_room(e, "the initramfs");

	uint64_t at = (k->end + got - len) & ~UINT64_C(0xfff);
	uint8_t *to = at >= k->end ? gm_range(gm, at, len) : NULL;
	if (!to)
		return no_room(e, "the initramfs");
	memcpy(to, img, len);
	k->initrd = (struct kernel_initrd){ .gpa = at, .len = len };
	return 0;
}
