/* SPDX-License-Identifier: Apache-2.0 */
/* An x86_64 machine: RAM with a hole below 4 GiB, devices in the hole, tables, boot; machine.h. */
#include "vmm/machine.h"

#include <errno.h>
#include <string.h>

#include "host/ram.h"
#include "mem/gm.h"
#include "util/ckd.h"
#include "vmm/arch/x86_64/board.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/tables.h"

#define RAM_MIN        (64 * MIB)
#define LOG_SEARCH_MAX GIB /* a second of searching */

struct machine {
	const struct hyp_ops *hyp;
	struct hyp_vm *vm;
	struct gm *gm;
	uint64_t ram;
	unsigned cpus;
	void *host; /* all of RAM in one piece */
	uint64_t next_window;
	struct board board;
	struct x86_device devs[DEVICES_MAX];
	unsigned n_devs;
	struct kernel kernel;
};

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	ram_free(m->host, m->ram);
	free(m);
}

static int map_ram(struct machine *m, uint64_t gpa, uint64_t off, uint64_t len)
{
	uint8_t *host = (uint8_t *)m->host + off;
	int r = gm_add(m->gm, gpa, host, len);

	return r < 0 ? r : m->hyp->vm_map(m->vm, gpa, host, len);
}

static int create_ram(struct machine *m, struct err *e)
{
	uint64_t low = m->ram < LOW_RAM_END ? m->ram : LOW_RAM_END;
	int r = ram_alloc(m->ram, &m->host);

	if (r < 0)
		return err_set(e, r,
			       "the host has no %llu MiB of memory for the guest; use less "
			       "(--memory)",
			       (unsigned long long)(m->ram / MIB));
	r = map_ram(m, 0, 0, low);
	if (r == 0 && m->ram > low)
		r = map_ram(m, AT_HIGH_RAM, low, m->ram - low);
	if (r < 0)
		return err_set(e, r, "the hypervisor refuses %llu MiB of guest memory: %s",
			       (unsigned long long)(m->ram / MIB), strerror(-r));
	m->next_window = m->ram > low ? AT_HIGH_RAM + (m->ram - low) : AT_HIGH_RAM;
	return 0;
}

int machine_create(const struct hyp_ops *hyp, struct hyp_vm *vm, uint64_t ram, unsigned cpus,
		   const struct machine_events *events, struct klog *klog, struct gm *gm,
		   struct bus *ports, struct machine **out, struct err *e)
{
	if (ram < RAM_MIN || ram % (2 * MIB) != 0)
		return err_set(e, -EINVAL,
			       "a guest needs at least 64 MiB of memory, in steps of 2 MiB");

	struct machine *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, -ENOMEM, "no memory for a machine");
	*m = (struct machine){ .hyp = hyp, .vm = vm, .gm = gm, .ram = ram, .cpus = cpus };

	int r = create_ram(m, e);
	if (r == 0) {
		r = board_init(&m->board, events, klog, ports);
		if (r < 0)
			(void)err_set(e, r, "cannot set up the board: %s", strerror(-r));
	}
	if (r < 0) {
		machine_destroy(m);
		return r;
	}
	*out = m;
	return 0;
}

int machine_add_device(struct machine *m, uint64_t *gpa, uint32_t *irq)
{
	if (m->n_devs == DEVICES_MAX)
		return -ENOSPC;

	struct x86_device *d = &m->devs[m->n_devs];
	d->gpa = AT_DEVICES + m->n_devs * UINT64_C(0x1000);
	d->irq = FIRST_DEVICE_IRQ + m->n_devs;
	m->n_devs++;
	*gpa = d->gpa;
	*irq = d->irq;
	return 0;
}

uint64_t machine_add_window(struct machine *m, uint64_t len)
{
	uint64_t at = (m->next_window + WINDOW_ALIGN - 1) & ~(WINDOW_ALIGN - 1);

	m->next_window = at + len;
	return at;
}

/* A string that grows in a fixed buffer and remembers when it was cut. */
struct line {
	char text[MACHINE_CMDLINE_MAX];
	size_t len;
	bool is_cut;
};

static void line_add(struct line *l, const char *words)
{
	size_t len = strlen(words);

	if (len >= sizeof(l->text) - l->len) {
		l->is_cut = true;
		return;
	}
	memcpy(l->text + l->len, words, len + 1);
	l->len += len;
}

/*
 * reboot=k: our port 0x64 resets at once, and a triple fault then always means a crash.
 * panic=-1: a panic ends the VM instead of hanging it.
 */
#define OWN_WORDS "console=hvc0 reboot=k panic=-1 no_timer_check"

static int write_cmdline(const struct machine *m, const char *user, struct line *l, struct err *e)
{
	line_add(l, OWN_WORDS);
	for (unsigned i = 0; i < m->n_devs; i++) {
		char words[64];

		(void)snprintf(words, sizeof(words), " virtio_mmio.device=4K@0x%llx:%u",
			       (unsigned long long)m->devs[i].gpa, m->devs[i].irq);
		line_add(l, words);
	}
	line_add(l, " ");
	line_add(l, user);
	return l->is_cut ? err_set(e, -E2BIG, "the kernel's command line is too long") : 0;
}

static int load(struct machine *m, const struct machine_kernel *k, struct err *e)
{
	int r = k->raw_entry ? kernel_load_raw(m->gm, k->img, k->len, k->raw_gpa, k->raw_entry,
					       &m->kernel, e)
			     : kernel_load(m->gm, k->img, k->len, &m->kernel, e);

	if (r == 0 && k->initrd_len > 0)
		r = kernel_load_initrd(m->gm, k->initrd, k->initrd_len, &m->kernel, e);
	return r;
}

int machine_boot(struct machine *m, const struct machine_kernel *k, struct hyp_boot *b,
		 struct err *e)
{
	struct line l = { 0 };
	int r = write_cmdline(m, k->cmdline, &l, e);

	if (r == 0)
		r = load(m, k, e);
	if (r < 0)
		return r;
	r = mptable_write(m->gm, m->cpus);
	if (r == 0)
		r = acpi_write(m->gm, m->cpus, m->devs, m->n_devs);
	if (r < 0)
		return err_set(e, r, "the machine has too many vCPUs or devices to describe");
	return boot_write(m->gm, m->ram, &m->kernel, l.text, b, e);
}

void machine_log_range(const struct machine *m, uint64_t *gpa, uint64_t *len)
{
	uint64_t low = m->ram < LOW_RAM_END ? m->ram : LOW_RAM_END;

	/* With several CPUs Linux moves its log out of its bss, towards the end of RAM. */
	*gpa = 0;
	*len = low < LOG_SEARCH_MAX ? low : LOG_SEARCH_MAX;
}
