/* SPDX-License-Identifier: Apache-2.0 */
/* Loading Linux kernels of x86_64: ELF vmlinux, bzImage, and a raw image with a known address. */
#ifndef PECTEN_VMM_X86_64_KERNEL_H
#define PECTEN_VMM_X86_64_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include <asm/bootparam.h>

#include "util/err.h"

struct gm;

struct kernel {
	uint64_t entry; /* gpa, 64-bit mode */
	uint64_t start; /* gpa of the first byte it occupies */
	uint64_t end;   /* gpa behind the last, uncompressed and with its bss as far as known */
	struct setup_header hdr; /* of boot_params; made up where the image has none */
	struct kernel_initrd {
		uint64_t gpa;
		uint64_t len; /* bytes; 0: none */
	} initrd;
};

/**
 * kernel_load() - put an image into guest memory, whatever of the two formats it has
 * @img:	@len bytes of the file
 *
 * Return: 0; -ENOEXEC if it is neither, or damaged; -ENOMEM if it does not fit into the guest's RAM
 */
int kernel_load(const struct gm *gm, const void *img, size_t len, struct kernel *k,
		struct err *e) MUST_CHECK;

/* The same for an image that is mapped at @gpa as it is, with @entry inside. */
int kernel_load_raw(const struct gm *gm, const void *img, size_t len, uint64_t gpa, uint64_t entry,
		    struct kernel *k, struct err *e) MUST_CHECK;

/**
 * kernel_load_initrd() - put an initramfs as high as the kernel takes it
 *
 * Return: 0, or -ENOMEM if there is no room above the kernel
 */
int kernel_load_initrd(const struct gm *gm, const void *img, size_t len, struct kernel *k,
		       struct err *e) MUST_CHECK;

#endif
