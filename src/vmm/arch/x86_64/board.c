/* SPDX-License-Identifier: Apache-2.0 */
/* Legacy ports of an x86_64 machine: see board.h. */
#include "vmm/arch/x86_64/board.h"

#include "util/compiler.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/klog.h"

#define KBD_STATUS_IDLE 0xfd /* all but bit 1, "input buffer full" */
#define KBD_RESET       0xfe

#define UART_THR       0
#define UART_LSR       5
#define UART_LSR_EMPTY 0x60 /* transmitter and its holding register */
#define UART_LEN       8

#define SLEEP_ENABLE   0x20
#define SLEEP_TYPE(v)  ((v) >> 2 & 7)
#define ACPI_PORTS_LEN 8
#define ACPI_RESET_AT  (PORT_ACPI_RESET - PORT_ACPI_SLEEP)

static uint64_t kbd_data_read(void *arg, uint64_t off, unsigned len)
{
	(void)arg;
	(void)off;
	(void)len;
	return UINT64_MAX;
}

static uint64_t kbd_status_read(void *arg, uint64_t off, unsigned len)
{
	(void)arg;
	(void)off;
	(void)len;
	return KBD_STATUS_IDLE;
}

static void ignore_write(void *arg, uint64_t off, unsigned len, uint64_t value)
{
	(void)arg;
	(void)off;
	(void)len;
	(void)value;
}

static void kbd_command_write(void *arg, uint64_t off, unsigned len, uint64_t value)
{
	struct board *b = arg;

	(void)off;
	(void)len;
	if ((value & 0xff) == KBD_RESET)
		b->events.reset(b->events.arg);
}

static uint64_t zero_read(void *arg, uint64_t off, unsigned len)
{
	(void)arg;
	(void)off;
	(void)len;
	return 0;
}

static uint64_t uart_read(void *arg, uint64_t off, unsigned len)
{
	(void)arg;
	(void)len;
	return off == UART_LSR ? UART_LSR_EMPTY : 0;
}

static void uart_write(void *arg, uint64_t off, unsigned len, uint64_t value)
{
	struct board *b = arg;
	char c = (char)value;

	if (off == UART_THR && len == 1)
		klog_put(b->klog, &c, 1);
}

static void acpi_write_port(void *arg, uint64_t off, unsigned len, uint64_t value)
{
	struct board *b = arg;

	(void)len;
	if (off == 0 && (value & SLEEP_ENABLE) && SLEEP_TYPE(value) == ACPI_S5_TYPE)
		b->events.poweroff(b->events.arg);
	else if (off == ACPI_RESET_AT && (value & 0xff) == ACPI_RESET_VALUE)
		b->events.reset(b->events.arg);
}

int board_init(struct board *b, const struct machine_events *events, struct klog *klog,
	       struct bus *ports)
{
	const struct bus_device devs[] = {
		{ PORT_KBD_DATA, 1, kbd_data_read, ignore_write, b },
		{ PORT_KBD_STATUS, 1, kbd_status_read, kbd_command_write, b },
		{ PORT_CMOS_INDEX, 2, zero_read, ignore_write, b },
		{ PORT_SERIAL, UART_LEN, uart_read, uart_write, b },
		{ PORT_ACPI_SLEEP, ACPI_PORTS_LEN, zero_read, acpi_write_port, b },
	};

	b->events = *events;
	b->klog = klog;
	for (size_t i = 0; i < ARRAY_LEN(devs); i++) {
		int r = bus_add(ports, &devs[i]);
		if (r < 0)
			return r;
	}
	return 0;
}
