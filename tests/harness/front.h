/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's half of vhost-user, in this process: one back end with one device.  Neither of their loops
 * has a thread, so all that they do happens inside front_spin().
 */
#ifndef PECTEN_TESTS_HARNESS_FRONT_H
#define PECTEN_TESTS_HARNESS_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/loop.h"
#include "vhost/vhost.h"
#include "vhost/wire.h"
#include "virtio/virtio_dev.h"

#define FRONT_RAM   (UINT64_C(1) << 20)      /* bytes of RAM */
#define FRONT_UADDR UINT64_C(0x7f0000000000) /* where QEMU has it */

struct front {
	struct vhost *v;
	struct loop *loop; /* the device's */
	int sock;          /* QEMU's end; -1: closed */
	struct vhost_ram ram;
	unsigned lost; /* calls */
	bool is_blamed;
};

/* A back end that serves @dev, whose loop is front->loop: make that first. */
void front_init(struct front *f);
void front_add(struct front *f, struct virtio_dev *dev, struct vhost_window *w);
void front_fini(struct front *f);

/* Handles what both loops have to do. */
void front_spin(struct front *f);

/* Sends and spins; @fd is borrowed, -1: none. */
void front_send(struct front *f, uint32_t request, uint32_t flags, const void *data, uint32_t len,
		int fd);

/* Fetches an answer. Return: bytes of its payload, or -1 if there is none */
int front_recv(struct front *f, uint32_t *request, void *data, size_t len);

/* Sends a request with an 8-byte answer and returns that; aborts if there is none. */
uint64_t front_ask(struct front *f, uint32_t request);

/* Announces all RAM at gpa 0. */
void front_add_ram(struct front *f);

/* Announces a queue as QEMU does when the driver is ready. @kick, @call: borrowed eventfds. */
void front_queue(struct front *f, uint32_t index, const struct vq_layout *l, int kick, int call);
void front_enable(struct front *f, uint32_t queues, bool on);

#endif
