/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user on the wire, as QEMU 11 speaks it (docs/interop/vhost-user of QEMU): requests of the
 * front end (QEMU) on a device's socket, ours on its backend channel.  All little-endian here.
 */
#ifndef PECTEN_VHOST_WIRE_H
#define PECTEN_VHOST_WIRE_H

#include <stdint.h>

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_RESET_DEVICE = 34,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG = 37,
	VHOST_REM_MEM_REG = 38,
	VHOST_GET_SHMEM_CONFIG = 44,
};

enum vhost_backend_request {
	VHOST_BACKEND_CONFIG_CHANGE = 2,
	VHOST_BACKEND_OBJECT_LOOKUP = 8,
	VHOST_BACKEND_SHMEM_MAP = 9,
	VHOST_BACKEND_SHMEM_UNMAP = 10,
};

#define VHOST_VERSION      1U
#define VHOST_VERSION_MASK 3U
#define VHOST_REPLY        4U
#define VHOST_NEED_REPLY   8U

#define VHOST_F_PROTOCOL_FEATURES 30 /* among the virtio feature bits */

/* Protocol features. */
#define VHOST_PF_MQ              0
#define VHOST_PF_REPLY_ACK       3
#define VHOST_PF_BACKEND_REQ     5
#define VHOST_PF_CONFIG          9
#define VHOST_PF_BACKEND_SEND_FD 10
#define VHOST_PF_RESET_DEVICE    13
#define VHOST_PF_MEM_SLOTS       15
#define VHOST_PF_SHMEM           22 /* 20 in the patches; this is what QEMU 11 has */

struct vhost_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* bytes that follow */
};

struct vhost_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc; /* addresses in QEMU, as are the next two; see struct vhost_mem_reg */
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

/* SET_VRING_KICK, _CALL, _ERR: index, and whether no descriptor comes along. */
#define VHOST_VRING_INDEX 0xffU
#define VHOST_VRING_NOFD  0x100U

struct vhost_mem_reg {
	uint64_t pad;
	uint64_t gpa;
	uint64_t len;    /* bytes */
	uint64_t uaddr;  /* address in QEMU */
	uint64_t fd_off; /* bytes into the descriptor that comes along */
};

#define VHOST_CONFIG_MAX 256 /* bytes of config space in one message */

struct vhost_config {
	uint32_t off;
	uint32_t len;
	uint32_t flags;
};

#define VHOST_SHMEM_REGIONS 256

struct vhost_shmem_config {
	uint32_t n; /* entries that are not zero; the index is the region's id */
	uint32_t pad;
	uint64_t len[VHOST_SHMEM_REGIONS]; /* bytes */
};

struct vhost_shmem_map {
	uint8_t shmid;
	uint8_t pad[7];
	uint64_t fd_off;
	uint64_t shm_off;
	uint64_t len;
	uint64_t flags;
};

#define VHOST_MAP_RW 1U

_Static_assert(sizeof(struct vhost_hdr) == 12, "wire format");
_Static_assert(sizeof(struct vhost_vring_addr) == 40, "wire format");
_Static_assert(sizeof(struct vhost_mem_reg) == 40, "wire format");
_Static_assert(sizeof(struct vhost_config) == 12, "wire format");
_Static_assert(sizeof(struct vhost_shmem_config) == 2056, "wire format");
_Static_assert(sizeof(struct vhost_shmem_map) == 40, "wire format");

#endif
