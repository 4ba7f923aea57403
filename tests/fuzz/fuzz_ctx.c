/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a front end does with a context.  The input is a list of steps, each a word that says what
 * and words that say how:
 *
 *   0 N, N words         submit these words as commands
 *   1 RES MEM FLAGS ID SIZE  create a blob (ID is that of a VkDeviceMemory, or 0)
 *   2 RES                forget a resource
 *   3 TIMELINE           ask for a fence
 *   4 RES SIZE KIND      import a resource, of a memfd of 64 KiB
 *   5 RING RES N, N words  create a ring in a resource, its description changed by N pairs of words
 *                        (which word of the command, and what to put there)
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "util/bytes.h"

#define MOST_NS    UINT64_C(20000000)
#define STEPS      64
#define MEMFD_SIZE 65536

static void do_submit(struct guest *g, struct rd *r)
{
	uint32_t words = rd_le32(r);

	if (words > rd_left(r) / 4)
		words = (uint32_t)(rd_left(r) / 4);
	const uint8_t *p = rd_take(r, (size_t)words * 4);
	if (!p)
		return;
	guest_put_bytes(g, p, (size_t)words * 4);
	fuzz_stop_after(g, MOST_NS);
	(void)guest_submit(g);
}

static void do_blob(struct guest *g, struct rd *r)
{
	uint32_t res = rd_le32(r);
	uint32_t mem = rd_le32(r);
	uint32_t flags = rd_le32(r);
	uint32_t id = rd_le32(r);
	uint32_t size = rd_le32(r);
	struct venus_blob blob;

	if (venus_ctx_create_blob(g->ctx, res, mem, flags, id, (uint64_t)size << (size & 31),
				  &blob) < 0)
		return;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, blob.fd, (off_t)blob.offset);
	if (p != MAP_FAILED) {
		*(volatile uint8_t *)p = 1;
		(void)munmap(p, 4096);
	}
	(void)close(blob.fd);
}

static int do_import(struct guest *g, struct rd *r)
{
	uint32_t res = rd_le32(r);
	uint32_t size = rd_le32(r);
	uint32_t kind = rd_le32(r) % 3;
	struct venus_blob blob = { .kind = (enum venus_blob_kind)kind,
				   .size = size,
				   .map_info = VENUS_MAP_CACHED };

	blob.fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (blob.fd < 0 || ftruncate(blob.fd, MEMFD_SIZE) < 0)
		abort();
	int ret = venus_ctx_import_resource(g->ctx, res, &blob);
	(void)close(blob.fd);
	return ret;
}

static void do_ring(struct guest *g, struct rd *r)
{
	uint32_t ring = rd_le32(r);
	uint32_t res = rd_le32(r);
	uint32_t n = rd_le32(r);

	guest_cmd_create_ring(g, ring, res);
	for (uint32_t i = 0; i < n && i < 32 && rd_left(r) >= 8; i++) {
		uint32_t where = rd_le32(r) % (uint32_t)(g->len / 4);
		uint32_t what = rd_le32(r);

		memcpy(g->out + (size_t)where * 4, &what, 4);
	}
	fuzz_stop_after(g, MOST_NS);
	(void)guest_submit(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size & ~(size_t)3);
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
	uint64_t fence = 0;

	fuzz_begin(&g, &reply, &stream);
	for (unsigned i = 0; i < STEPS && rd_left(&r) >= 8; i++) {
		switch (rd_le32(&r) % 6) {
		case 0:
			do_submit(&g, &r);
			break;
		case 1:
			do_blob(&g, &r);
			break;
		case 2:
			(void)venus_ctx_unref_resource(g.ctx, rd_le32(&r));
			break;
		case 3:
			if (venus_ctx_fence(g.ctx, rd_le32(&r), fence) == 0)
				fence++;
			break;
		case 4:
			(void)do_import(&g, &r);
			break;
		default:
			do_ring(&g, &r);
			break;
		}
	}
	fuzz_end(&g, &reply, &stream);
	return 0;
}
