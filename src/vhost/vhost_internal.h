/* SPDX-License-Identifier: Apache-2.0 */
/* One device's socket and what QEMU has said there. */
#ifndef PECTEN_VHOST_INTERNAL_H
#define PECTEN_VHOST_INTERNAL_H

#include <stdbool.h>

#include "host/loop.h"
#include "host/thread.h"
#include "mem/gm.h"
#include "vhost/vhost.h"
#include "vhost/wire.h"
#include "virtio/virtio_dev.h"

#define VHOST_PAYLOAD_MAX 512 /* bytes of a request; the largest is SET_CONFIG */
#define VHOST_FDS_MAX     2   /* descriptors of a request; none has more than one */
#define VHOST_REGIONS_MAX GM_REGIONS_MAX
#define VHOST_SLOTS       32 /* what we say in GET_MAX_MEM_SLOTS; mappings do not count */

/* A piece of guest RAM. */
struct vhost_region {
	uint64_t gpa;
	uint64_t len;
	uint64_t uaddr; /* where QEMU has it */
	uint64_t off;   /* bytes into the RAM's descriptor */
};

struct vhost_mem {
	struct vhost_region r[VHOST_REGIONS_MAX];
	unsigned n;
};

/**
 * vhost_mem_add() - take note of memory that QEMU has announced
 * @fd:		borrowed
 *
 * What is not part of the RAM, such as a window's mapping, is passed over: no device is ever
 * pointed there.
 *
 * Return: 0; -EPROTO for a region of RAM that is none; -ENOSPC for too many
 */
int vhost_mem_add(struct vhost_mem *m, const struct vhost_ram *ram, const struct vhost_mem_reg *reg,
		  int fd) MUST_CHECK;

/* What is not known is passed over. */
void vhost_mem_remove(struct vhost_mem *m, const struct vhost_mem_reg *reg);

/** vhost_mem_gpa() - Return: whether QEMU's address @uaddr is RAM; @gpa then says where */
bool vhost_mem_gpa(const struct vhost_mem *m, uint64_t uaddr, uint64_t *gpa);

/** vhost_mem_map() - Return: 0, or -EPROTO if regions overlap */
int vhost_mem_map(const struct vhost_mem *m, const struct vhost_ram *ram, struct gm *gm) MUST_CHECK;

/* A ring as far as QEMU has described it. */
struct vhost_queue {
	struct vhost_vring_addr addr;
	uint32_t size;
	uint16_t base;
	bool has_addr;
	bool has_kick;
	int call; /* vhost_dev.lock; QEMU's eventfd; -1: none */
};

struct vhost_dev {
	struct vhost *v;
	struct virtio_dev *dev;
	struct virtio_transport transport;
	struct vhost_window *window; /* NULL: none */
	struct loop_fd src;          /* ->fd is the socket; owned */
	uint64_t features;           /* the driver's */
	uint64_t protocol;           /* protocol features in use */
	struct vhost_mem mem;
	struct gm gm; /* of the device while it runs */
	struct vhost_queue q[VIRTIO_QUEUES_MAX];
	bool is_running;

	struct mutex lock;
	int backend; /* lock; channel on which we may ask QEMU; -1: none */

	/* The message that is being received. */
	struct vhost_hdr hdr;
	uint8_t payload[VHOST_PAYLOAD_MAX];
	size_t got; /* bytes of both */
	int fds[VHOST_FDS_MAX];
	unsigned n_fds;
};

struct vhost {
	struct vhost_conf conf;
	struct loop *loop;
	struct vhost_dev dev[VHOST_DEVICES_MAX];
	unsigned n;
};

/**
 * vhost_handle() - act on the message in ->hdr, ->payload and ->fds
 *
 * Return: 0; -EPROTO if it breaks the protocol; or -errno of the socket
 */
int vhost_handle(struct vhost_dev *d) MUST_CHECK;

/* Resets the device as its driver would; harmless if it does not run. */
void vhost_dev_stop(struct vhost_dev *d);

void vhost_dev_init(struct vhost_dev *d, struct vhost *v, struct virtio_dev *dev);

#endif
