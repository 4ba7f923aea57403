/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's bytes, memory and rings; see guest.h. */
#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/thread.h"
#include "null_icd.h"

#define SHM_TOO_LARGE (UINT64_C(1) << 32)

static void on_retired(void *user, uint32_t ring_idx, uint64_t fence_id)
{
	struct guest *g = user;

	(void)ring_idx;
	atomic_store_explicit(&g->last_retired, fence_id, memory_order_relaxed);
	/* Release: who has counted the fence may look at its number. */
	atomic_fetch_add_explicit(&g->retired, 1, memory_order_release);
}

static void on_fatal(void *user)
{
	struct guest *g = user;

	atomic_fetch_add_explicit(&g->fatals, 1, memory_order_relaxed);
}

static int open_as(struct guest *g, const struct venus_limits *limits, bool is_trusted,
		   const struct venus_probe *probe)
{
	struct venus_ctx_config cfg = { .gipa = null_get_instance_proc_addr,
					.name = "test",
					.maps_driver_memory = is_trusted,
					.probe = probe,
					.fence_retired = on_retired,
					.fatal = on_fatal,
					.user = g };

	memset(g, 0, sizeof(*g));
	if (limits)
		cfg.limits = *limits;
	g->out = malloc(GUEST_OUT_BYTES);
	if (!g->out)
		return -ENOMEM;
	int r = venus_ctx_create(&cfg, &g->ctx);
	if (r < 0) {
		free(g->out);
		g->out = NULL;
	}
	return r;
}

int guest_open(struct guest *g, const struct venus_limits *limits)
{
	return open_as(g, limits, false, NULL);
}

int guest_open_trusted(struct guest *g, const struct venus_limits *limits)
{
	return open_as(g, limits, true, NULL);
}

int guest_open_known(struct guest *g, const struct venus_probe *probe)
{
	return open_as(g, NULL, true, probe);
}

int guest_close(struct guest *g)
{
	int r = venus_ctx_destroy(g->ctx);

	g->ctx = NULL;
	free(g->out);
	g->out = NULL;
	return r;
}

void guest_put_bytes(struct guest *g, const void *bytes, size_t len)
{
	size_t padded = (len + 3) & ~(size_t)3;

	if (padded > GUEST_OUT_BYTES - g->len) {
		g->is_full = true;
		return;
	}
	memcpy(g->out + g->len, bytes, len);
	memset(g->out + g->len + len, 0, padded - len);
	g->len += padded;
}

void guest_put_u32(struct guest *g, uint32_t v)
{
	guest_put_bytes(g, &v, sizeof(v));
}

void guest_put_u64(struct guest *g, uint64_t v)
{
	guest_put_bytes(g, &v, sizeof(v));
}

void guest_put_string(struct guest *g, const char *s)
{
	size_t n = strlen(s) + 1;

	guest_put_u64(g, n);
	guest_put_bytes(g, s, n);
}

void guest_put_cmd(struct guest *g, int32_t number, uint32_t flags)
{
	guest_put_u32(g, (uint32_t)number);
	guest_put_u32(g, flags);
}

void guest_put_struct(struct guest *g, int32_t stype)
{
	guest_put_u64(g, 1);
	guest_put_u32(g, (uint32_t)stype);
	guest_put_u64(g, 0);
}

void guest_put_new(struct guest *g, uint64_t id)
{
	guest_put_u64(g, 0);
	guest_put_u64(g, 1);
	guest_put_u64(g, id);
}

void guest_put_ids(struct guest *g, uint32_t n, const uint64_t *ids)
{
	guest_put_u64(g, n);
	guest_put_bytes(g, ids, n * sizeof(*ids));
}

void guest_drop(struct guest *g)
{
	g->len = 0;
	g->is_full = false;
}

int guest_submit(struct guest *g)
{
	int r = g->is_full ? -E2BIG : venus_ctx_submit(g->ctx, g->out, g->len);

	guest_drop(g);
	return r;
}

int guest_shm_new(struct guest *g, uint32_t res, uint64_t size, struct guest_shm *shm)
{
	struct venus_blob blob;
	int r = venus_ctx_create_blob(g->ctx, res, VENUS_BLOB_MEM_HOST3D, VENUS_BLOB_MAPPABLE, 0,
				      size, &blob);

	shm->map = NULL;
	if (r < 0)
		return r;
	void *p = blob.size < SHM_TOO_LARGE ? mmap(NULL, blob.size, PROT_READ | PROT_WRITE,
						   MAP_SHARED, blob.fd, (off_t)blob.offset)
					    : MAP_FAILED;
	r = p == MAP_FAILED ? -ENOMEM : 0;
	(void)close(blob.fd);
	if (r == 0) {
		shm->map = p;
		shm->size = blob.size;
	}
	return r;
}

void guest_shm_drop(struct guest_shm *shm)
{
	if (shm->map)
		(void)munmap(shm->map, shm->size);
	shm->map = NULL;
}

void guest_cmd_create_ring(struct guest *g, uint64_t id, uint32_t res)
{
	guest_put_cmd(g, 188, 0);
	guest_put_u64(g, id);
	guest_put_struct(g, 1000384000);
	guest_put_u32(g, 0);
	guest_put_u32(g, res);
	guest_put_u64(g, 0);
	guest_put_u64(g, GUEST_RING_EXTRA + 4);
	guest_put_u64(g, 1000000);
	guest_put_u64(g, GUEST_RING_HEAD);
	guest_put_u64(g, GUEST_RING_TAIL);
	guest_put_u64(g, GUEST_RING_STATUS);
	guest_put_u64(g, GUEST_RING_BUFFER);
	guest_put_u64(g, GUEST_RING_BYTES);
	guest_put_u64(g, GUEST_RING_EXTRA);
	guest_put_u64(g, 4);
}

int guest_ring_open(struct guest *g, struct guest_ring *r, uint64_t id, uint32_t res)
{
	int ret = guest_shm_new(g, res, GUEST_RING_EXTRA + 4, &r->shm);

	if (ret < 0)
		return ret;
	r->id = id;
	r->tail = 0;
	guest_cmd_create_ring(g, id, res);
	return guest_submit(g);
}

static _Atomic uint32_t *word(const struct guest_ring *r, uint32_t offset)
{
	return (_Atomic uint32_t *)(void *)(r->shm.map + offset);
}

uint32_t guest_ring_load(const struct guest_ring *r, uint32_t offset)
{
	/* Acquire: the ring's thread stores the head after its effects. */
	return atomic_load_explicit(word(r, offset), memory_order_acquire);
}

void guest_ring_store(const struct guest_ring *r, uint32_t offset, uint32_t v)
{
	atomic_store_explicit(word(r, offset), v, memory_order_seq_cst);
}

/* A guest that never throttles its notifications. */
static void notify(struct guest *g, const struct guest_ring *r)
{
	if (!(atomic_load_explicit(word(r, GUEST_RING_STATUS), memory_order_seq_cst) &
	      GUEST_STATUS_IDLE))
		return;
	guest_put_cmd(g, 190, 0);
	guest_put_u64(g, r->id);
	guest_put_u32(g, r->tail);
	guest_put_u32(g, 0);
	(void)guest_submit(g);
}

void guest_ring_send(struct guest *g, struct guest_ring *r)
{
	size_t n = g->len < GUEST_RING_BYTES ? g->len : GUEST_RING_BYTES;

	for (size_t i = 0; i < n; i++)
		r->shm.map[GUEST_RING_BUFFER + ((r->tail + i) & (GUEST_RING_BYTES - 1))] =
			g->out[i];
	r->tail += (uint32_t)n;
	guest_drop(g);
	guest_ring_store(r, GUEST_RING_TAIL, r->tail);
	notify(g, r);
}

bool guest_ring_wait(const struct guest_ring *r, uint64_t timeout_ns)
{
	uint64_t until = clock_now_ns() + timeout_ns;
	bool is_late = false;

	while (guest_ring_load(r, GUEST_RING_HEAD) != r->tail) {
		if (is_late || (guest_ring_load(r, GUEST_RING_STATUS) & GUEST_STATUS_FATAL))
			return false;
		is_late = clock_now_ns() > until;
		(void)usleep(20);
	}
	return true;
}
