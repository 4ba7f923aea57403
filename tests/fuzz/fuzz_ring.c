/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on a ring.  The first word of the input chooses:
 *
 *   0    the rest are commands, sent to a ring of a context that has one object of each kind
 *   1    the rest are pairs of words that are stored into the ring's memory while its thread runs:
 *        where (head, tail, status, or anywhere), and what
 */
#include <string.h>

#include "fuzz.h"

#define RING_ID        7
#define MOST_NS        UINT64_C(20000000)
#define NONSENSE_PAIRS 64

static void send_commands(struct guest *g, struct guest_ring *r, const uint8_t *data, size_t size)
{
	guest_put_bytes(g, data, size & ~(size_t)3);
	guest_ring_send(g, r);
	(void)guest_ring_wait(r, MOST_NS);
}

static void send_nonsense(struct guest *g, struct guest_ring *r, const uint8_t *data, size_t size)
{
	static const uint32_t places[] = { GUEST_RING_HEAD, GUEST_RING_TAIL, GUEST_RING_STATUS };

	for (unsigned i = 0; i < NONSENSE_PAIRS && size >= 8; i++, data += 8, size -= 8) {
		uint32_t where;
		uint32_t what;

		memcpy(&where, data, 4);
		memcpy(&what, data + 4, 4);
		where = where < 3 ? places[where] : where % (GUEST_RING_EXTRA + 4) & ~3U;
		guest_ring_store(r, where, what);
	}
	/* Does it still listen? */
	guest_put_cmd(g, 190, 0);
	guest_put_u64(g, r->id);
	guest_put_u32(g, 0);
	guest_put_u32(g, 0);
	(void)guest_submit(g);
	(void)guest_ring_wait(r, MOST_NS / 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest_ring ring;
	uint32_t kind;

	if (size < 8)
		return -1;
	memcpy(&kind, data, 4);
	data += 4;
	size -= 4;
	fuzz_begin(&g, &reply, &stream);
	if (guest_ring_open(&g, &ring, RING_ID, RES_RING) < 0)
		abort();
	guest_cmd_reply_stream(&g, RES_REPLY, 0, reply.size);
	guest_ring_send(&g, &ring);
	if (!guest_ring_wait(&ring, MOST_NS * 100))
		abort();
	/* What a stream in shared memory may hold: the very same commands. */
	memcpy(stream.map, data, size < stream.size ? size : stream.size);
	if (kind == 1)
		send_nonsense(&g, &ring, data, size);
	else
		send_commands(&g, &ring, data, size);
	guest_shm_drop(&ring.shm);
	fuzz_end(&g, &reply, &stream);
	return 0;
}
