/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device, without its transport: queues, config bytes, feature bits, shared-memory
 * regions.  virtio/mmio.c puts it on our own bus, vhost/ offers it to an outside CPU engine.
 *
 * Threads.  Everything a device does happens on the thread of dev->loop, which its creator chose:
 * the operations below and the descriptors, timers and messages the device adds to that loop.  A
 * device that can block gets a loop of its own, or hands the blocking part to worker threads that
 * loop_post() their results back.  Transports call the virtio_ functions marked "any thread" from
 * vCPU threads and wait for the device's thread; so that thread never waits for a vCPU.
 */
#ifndef PECTEN_VIRTIO_VIRTIO_DEV_H
#define PECTEN_VIRTIO_VIRTIO_DEV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/loop.h"
#include "host/thread.h"
#include "virtio/vq.h"

#define VIRTIO_QUEUES_MAX 32
#define VIRTIO_CONFIG_MAX 256 /* bytes of device-specific config space */
#define VIRTIO_SHM_MAX    4   /* shared-memory regions; their ids are 0 ... 3 */

#define VIRTIO_BIT(n) (UINT64_C(1) << (n))

struct virtio_dev;

/* All run on the device's thread. */
struct virtio_ops {
	/*
	 * The driver is ready: dev->driver_features is final, the queues are started.  May be NULL.
	 * Return: 0, or -errno, which makes the driver start over.
	 */
	int (*start)(struct virtio_dev *dev);

	/* The driver has made chains available on a queue, or perhaps not. */
	void (*on_notify)(struct virtio_dev *dev, struct vq *vq);

	/*
	 * Back to the state before start(): requests in flight are finished or cancelled, and on
	 * return no chain is touched any more.  Called only after start() had success.
	 */
	void (*reset)(struct virtio_dev *dev);

	/* The driver has written config space; NULL if nothing in it is writable. */
	void (*config_write)(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len);
};

/* How a transport hears from the device; any thread. */
struct virtio_transport {
	void (*signal)(struct virtio_transport *t, struct vq *vq);
	void (*config_changed)(struct virtio_transport *t); /* also: see dev->needs_reset */
};

struct virtio_shm {
	uint64_t gpa;
	uint64_t len; /* bytes; 0: there is no such region */
};

struct virtio_dev {
	const struct virtio_ops *ops;
	const char *name;  /* static, for logs */
	uint32_t type;     /* VIRTIO_ID_ */
	uint64_t features; /* offered: the device's own bits; the core adds the ring's */
	struct loop *loop; /* borrowed */
	struct vq vqs[VIRTIO_QUEUES_MAX];
	unsigned n_vqs;
	struct virtio_shm shm[VIRTIO_SHM_MAX]; /* set before the VM starts */
	struct virtio_transport *transport;    /* set once, before the VM starts */

	uint64_t driver_features; /* device's thread; meaningful while running */
	bool is_running;          /* device's thread */
	_Atomic bool needs_reset; /* DEVICE_NEEDS_RESET; set by the device, cleared by reset */

	struct mutex lock;
	uint8_t config[VIRTIO_CONFIG_MAX]; /* lock */
	uint32_t config_len;               /* bytes in use; constant */
	uint32_t generation;               /* lock */
};

/* What virtio_dev_init() wants to know. */
struct virtio_desc {
	const struct virtio_ops *ops;
	const char *name;
	uint32_t type;
	uint64_t features;
	const struct vq_conf *queues; /* copied */
	unsigned n_queues;            /* at most VIRTIO_QUEUES_MAX */
	const void *config;           /* initial bytes, copied; NULL for zeros */
	uint32_t config_len;          /* at most VIRTIO_CONFIG_MAX */
};

/**
 * virtio_dev_init() - make a device of the struct that embeds it
 * @loop:	borrowed; outlives the device
 *
 * Return: 0, or -errno of the host's descriptors; then nothing is held
 */
int virtio_dev_init(struct virtio_dev *dev, const struct virtio_desc *d,
		    struct loop *loop) MUST_CHECK;

/* Stops the device if it runs.  The transport does not call any more; a zeroed device is fine. */
void virtio_dev_fini(struct virtio_dev *dev);

/*
 * For devices.
 */

/**
 * virtio_needs_reset() - the driver broke the protocol and must start over (2.1.2)
 * @why:	-EPROTO and the like, for the log
 *
 * From here on no notification is delivered until the driver resets the device.
 */
void virtio_needs_reset(struct virtio_dev *dev, int why);

/* Changes config bytes and tells the driver; the device's thread. */
void virtio_config_update(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len);

static inline bool virtio_has(const struct virtio_dev *dev, unsigned feature)
{
	return dev->driver_features & VIRTIO_BIT(feature);
}

/*
 * For transports; any thread.
 */

/* The device's feature bits with those of the core: VERSION_1, INDIRECT_DESC, EVENT_IDX. */
uint64_t virtio_features(const struct virtio_dev *dev);

/* Whether the driver may have exactly these features. */
bool virtio_features_ok(const struct virtio_dev *dev, uint64_t driver_features);

/**
 * virtio_start() - the driver is ready (DRIVER_OK)
 * @gm:		borrowed until virtio_stop()
 * @layouts:	for each queue; size 0 where the driver did not enable it
 *
 * Return: 0, or -EPROTO, -ENOMEM or what the device said; then it needs a reset
 */
int virtio_start(struct virtio_dev *dev, const struct gm *gm, uint64_t driver_features,
		 const struct vq_layout *layouts) MUST_CHECK;

/**
 * virtio_set_kick() - have a queue's notifications come through a descriptor of somebody else
 * @fd:		eventfd, non-blocking; borrowed: it is duplicated
 *
 * The device is stopped.
 *
 * Return: 0 or -errno
 */
int virtio_set_kick(struct virtio_dev *dev, unsigned queue, int fd) MUST_CHECK;

/* Resets the device; on return it does not touch guest memory any more.  Harmless if stopped. */
void virtio_stop(struct virtio_dev *dev);

/* Bytes past the end read as zero; returns the generation they belong to. */
uint32_t virtio_config_read(struct virtio_dev *dev, uint32_t off, void *data, uint32_t len);

/* Ignored where nothing is writable or the range is outside. */
void virtio_config_write(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len);

#endif
