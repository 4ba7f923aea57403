/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the input is a file given as --kernel, and as initramfs. */
#include <stdint.h>
#include <sys/mman.h>

#include "mem/gm.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"

#define RAM (20 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct gm gm = { 0 };
	struct kernel k;
	struct hyp_boot b;

	if (ram == MAP_FAILED)
		abort();
	if (gm_add(&gm, 0, ram, RAM) == 0 && kernel_load(&gm, data, size, &k, NULL) == 0) {
		if (k.entry < k.start || k.entry >= k.end || k.end > RAM)
			abort();
		if (kernel_load_initrd(&gm, data, size, &k, NULL) == 0 &&
		    (k.initrd.gpa < k.end || k.initrd.gpa + k.initrd.len > RAM))
			abort();
		(void)!boot_write(&gm, RAM, &k, "quiet", &b, NULL);
	}
	(void)munmap(ram, RAM);
	return 0;
}
