/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few legacy ports a kernel touches, each answering just well enough that nothing waits:
 *
 *  0x60, 0x64	keyboard controller: none, but a reset line.  The status says "output full" for ever
 *		(so that a probe gives up after 16 reads) and "input empty" (so that a reboot by
 *		keyboard controller does not wait).
 *  0x70, 0x71	CMOS clock: no update in progress, all else zero; a driver finds no valid time.
 *  0x3f8	8250 that only transmits, for text before there is a virtio console.
 *  0x600 ...	ACPI sleep control and status, and the reset register.
 */
#ifndef PECTEN_VMM_X86_64_BOARD_H
#define PECTEN_VMM_X86_64_BOARD_H

#include "vmm/machine.h"

struct board {
	struct machine_events events;
	struct klog *klog;
};

/** board_init() - add the ports to a bus; Return: 0 or what bus_add() says */
int board_init(struct board *b, const struct machine_events *events, struct klog *klog,
	       struct bus *ports) MUST_CHECK;

#endif
