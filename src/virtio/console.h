/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console with several ports (virtio 1.2, 5.3).  Port 0 is the kernel's hvc0, whether the
 * driver knows of ports or not.
 *
 * All queues belong to the loop's thread, which may be shared: nothing here blocks.
 */
#ifndef PECTEN_VIRTIO_CONSOLE_H
#define PECTEN_VIRTIO_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

#define CONSOLE_PORTS_MAX 8
#define CONSOLE_NAME_MAX  63

struct loop;
struct virtio_console;
struct virtio_dev;

struct console_port_conf {
	const char *name; /* shown in /sys/class/virtio-ports; static; NULL for none */
	bool is_console;  /* becomes hvcN, else vportNpM */
	/* What the guest writes; must not block.  NULL: thrown away. */
	void (*output)(void *arg, const void *p, size_t len);
	void *arg;
	int in_fd; /* what the guest reads: borrowed, watched; -1: nothing */
};

/**
 * virtio_console_create() - a console device
 * @ports:	copied; at least one, at most CONSOLE_PORTS_MAX
 * @loop:	borrowed; outlives the device
 *
 * Return: 0, -ENOMEM or the -errno of the host's descriptors
 */
int virtio_console_create(const struct console_port_conf *ports, unsigned n, struct loop *loop,
			  struct virtio_console **out) MUST_CHECK;

/* The loop has no thread any more; NULL is fine. */
void virtio_console_destroy(struct virtio_console *c);

/* Tells the guest the size of a console in characters; the device's thread. */
void virtio_console_resize(struct virtio_console *c, unsigned port, uint16_t cols, uint16_t rows);

struct virtio_dev *virtio_console_dev(struct virtio_console *c);

#endif
