/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syncs of the vtest protocol: 64-bit values that a client writes, reads and waits for, and that
 * fences of the context move (venus.md 9.1 and 10).
 *
 * Threads: the connection's thread owns the table and everything in it but the values.  Threads of
 * the context retire fences: they store values and wake waits, and hand what they finished back to
 * the connection's thread, which alone frees.  Reading a value takes no lock and wakes nobody.
 */
#ifndef PECTEN_VTEST_SYNC_H
#define PECTEN_VTEST_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "util/bytes.h"
#include "util/compiler.h"

struct vtest_syncs;

#define VTEST_MAX_SYNCS       65536U  /* alive, and those that fences and waits still refer to */
#define VTEST_MAX_WAITS       1024U   /* not yet satisfied nor expired */
#define VTEST_MAX_FENCES      65536U  /* not yet retired */
#define VTEST_MAX_BATCH_SYNCS 4096U   /* of one fence or one wait */
#define VTEST_MAX_TRIPLES     262144U /* of all fences and waits together */

/* Bytes of a (sync id, value) triple on the wire. */
#define VTEST_TRIPLE_SIZE 12U

/** vtest_syncs_create() - Return: 0, -ENOMEM, or the -errno of pipe2() */
int vtest_syncs_create(struct vtest_syncs **out) MUST_CHECK;

/* No thread retires fences any more; NULL is fine.  Waits see a hang-up: the device is lost. */
void vtest_syncs_destroy(struct vtest_syncs *s);

/**
 * vtest_sync_create() - a new sync
 * @id:		on success its name, never 0
 *
 * Return: 0, or -ENOMEM above VTEST_MAX_SYNCS
 */
int vtest_sync_create(struct vtest_syncs *s, uint64_t value, uint32_t *id) MUST_CHECK;

/* vtest_sync_unref() and the next two - Return: 0, or -ENOENT if there is no such sync */
int vtest_sync_unref(struct vtest_syncs *s, uint32_t id) MUST_CHECK;
int vtest_sync_read(struct vtest_syncs *s, uint32_t id, uint64_t *value) MUST_CHECK;

/* Stores a value, be it lower than before, and wakes who waits for it. */
int vtest_sync_write(struct vtest_syncs *s, uint32_t id, uint64_t value) MUST_CHECK;

/**
 * vtest_fence_prepare() - remember what a fence will do when it retires
 * @triples:	@count of (u32 id, u64 value)
 * @fence_id:	name to give to the context
 *
 * Return: 0; -ENOENT for an unknown sync, -EINVAL above VTEST_MAX_BATCH_SYNCS, -ENOMEM above a
 *	   limit
 */
int vtest_fence_prepare(struct vtest_syncs *s, struct rd *triples, uint32_t count,
			uint64_t *fence_id) MUST_CHECK;

/* The context refused the fence: forget it. */
void vtest_fence_cancel(struct vtest_syncs *s, uint64_t fence_id);

/* Any thread, once for each fence: sets its syncs and wakes waits.  Does not block. */
void vtest_fence_retire(struct vtest_syncs *s, uint64_t fence_id);

/**
 * vtest_syncs_set_patience() - how long vtest_sync_wait() may look on before it makes a pipe
 * @ns:	nanoseconds; 0, the initial value, where CPUs are few.  The connection does nothing else
 *	meanwhile.
 */
void vtest_syncs_set_patience(struct vtest_syncs *s, uint64_t ns);

/**
 * vtest_sync_wait() - a descriptor that becomes readable when syncs have reached values
 * @any:	one of them is enough; else all
 * @timeout_ms:	after this the descriptor may stay silent; UINT32_MAX: never give up
 * @triples:	@count of (u32 id, u64 value)
 * @fd:		to send to the client
 * @is_shared:	true: @fd stays with the table; false: close it after sending
 *
 * Returns at once.  The descriptor reports a hang-up, without being readable, if this process ends
 * or the context is lost; Mesa reads that as a lost device.
 *
 * Return: 0; -ENOENT for an unknown sync, -EINVAL above VTEST_MAX_BATCH_SYNCS, -ENOMEM above a
 *	   limit, or the -errno of pipe2()
 */
int vtest_sync_wait(struct vtest_syncs *s, bool any, uint32_t timeout_ms, struct rd *triples,
		    uint32_t count, int *fd, bool *is_shared) MUST_CHECK;

/* Any thread: every wait, also those to come, reports a hang-up: the context is lost. */
void vtest_syncs_lose(struct vtest_syncs *s);

#endif
