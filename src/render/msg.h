/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a renderer process and its owner: fixed-size structs, each one packet of a
 * SOCK_SEQPACKET pair, some with descriptors.  Both ends are of one build, but a renderer that has
 * been taken over by its client may send anything: the owner checks every field it uses.
 *
 *	owner -> renderer	RENDER_CONFIG	once, first
 *	renderer -> owner	RENDER_READY	driver loaded, confinement on (or RENDER_FAILED)
 *	owner -> renderer	RENDER_CLIENT	with the client's socket; at most once
 *	renderer -> owner	RENDER_TAKEN	has it; nothing has been read from it yet
 *	owner -> renderer	RENDER_GET_STATS, answered by RENDER_STATS
 *	renderer -> owner	RENDER_ENDED	with a sentence if the client was at fault
 *
 * A probe sends RENDER_REPORT with a descriptor instead of RENDER_READY.
 */
#ifndef PECTEN_RENDER_MSG_H
#define PECTEN_RENDER_MSG_H

#include <stdint.h>

#define RENDER_MAGIC   0x70656374U /* with sizeof(struct render_config): both ends fit together */
#define RENDER_CONTROL 3           /* number of the control socket in the renderer */
#define RENDER_BUDGET  4           /* with RENDER_HAS_BUDGET: of the socket for budget.h */

#define RENDER_PATH_SIZE 1024
#define RENDER_TEXT_SIZE 768
#define RENDER_NAME_SIZE 64

enum render_type {
	RENDER_CONFIG = 1,
	RENDER_READY,
	RENDER_FAILED,
	RENDER_CLIENT,
	RENDER_GET_STATS,
	RENDER_STATS,
	RENDER_ENDED,
	RENDER_REPORT,
	RENDER_TAKEN,
};

enum render_kind {
	RENDER_VTEST, /* speak vtest with a client */
	RENDER_GUEST, /* serve a context of a VM: see render/ctx_msg.h */
	RENDER_PROBE, /* describe the host's drivers, then end */
};

#define RENDER_NO_SANDBOX 1U /* named debugging option: confine nothing */
#define RENDER_MAP_DRIVER 2U /* see maps_driver_memory in venus/ctx.h */
#define RENDER_HAS_BUDGET 4U /* memory is claimed before it is allocated */
#define RENDER_COUNTS_ALL 8U /* also that which no guest can map */

struct render_config {
	uint32_t type;
	uint32_t magic;
	uint32_t size; /* sizeof(struct render_config) */
	uint32_t kind;
	uint32_t flags;
	uint32_t log_level;
	int32_t parent;                   /* pid of the owner */
	uint32_t spin_us;                 /* how long to poll a client's socket before sleeping */
	uint64_t max_memory;              /* bytes of host-visible memory; 0: default */
	uint64_t cache_max;               /* bytes of shader cache */
	char cache_dir[RENDER_PATH_SIZE]; /* "" for none */
};

struct render_stats {
	uint64_t commands;
	uint64_t bytes;
	uint64_t submits;
	uint64_t replies;
	uint64_t ring_wakes;
	uint64_t ring_idles;
	uint64_t ring_sleeps;
	uint64_t fences;
	uint64_t fences_folded;
	uint64_t fences_spun;
	uint64_t rings;
	uint64_t objects;
	uint64_t resources;
	uint64_t host_memories;
	uint64_t host_bytes;
	uint64_t shm_bytes;
};

/* Every message but the configuration. */
struct render_msg {
	uint32_t type;
	int32_t code; /* RENDER_FAILED, RENDER_ENDED: -errno, 0 for a client that left in order */
	char text[RENDER_TEXT_SIZE]; /* a sentence; client's name in RENDER_STATS */
	struct render_stats stats;   /* RENDER_STATS */
};

#endif
