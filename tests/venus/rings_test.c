/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings of guests that do not play by the rules: descriptions that do not fit, head, tail and
 * status overwritten while the ring runs, waits that nothing ends, contexts that end with work
 * unfinished.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "host/thread.h"
#include "null_icd.h"
#include "trap.h"

#define SECOND  UINT64_C(1000000000)
#define RING_ID 77

struct world {
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest_ring ring;
};

static int set_up(void **state)
{
	static struct world world;
	struct world *w = &world;

	memset(w, 0, sizeof(*w));
	null_control(NULL);
	null_forget();
	trap_reset();
	*state = w;
	return guest_open(&w->g, NULL) || guest_prologue(&w->g, &w->reply, &w->stream);
}

static int tear_down(void **state)
{
	struct world *w = *state;
	int r = guest_close(&w->g);

	null_control(NULL);
	guest_shm_drop(&w->ring.shm);
	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	return r || null_alive(VK_OBJECT_TYPE_UNKNOWN);
}

/* A flag for the guest is set a moment after the fact, too. */
static bool wait_status(const struct guest_ring *r, uint32_t flag)
{
	return GUEST_AWAIT(guest_ring_load(r, GUEST_RING_STATUS) & flag);
}

static void open_ring(struct world *w)
{
	assert_int_equal(guest_ring_open(&w->g, &w->ring, RING_ID, RES_RING), 0);
}

/* Its line comes a moment after the fact. */
static bool wait_fatal(struct world *w)
{
	return GUEST_AWAIT(venus_ctx_is_fatal(w->g.ctx) && trap_lines() > 0);
}

/* ---- creation ---- */

/* Words of vkCreateRingMESA, as guest_cmd_create_ring() puts them together. */
enum {
	W_ID = 2,
	W_RES = 10,
	W_OFFSET = 11,
	W_SIZE = 13,
	W_HEAD = 17,
	W_TAIL = 19,
	W_STATUS = 21,
	W_BUFFER = 23,
	W_BUFFER_SIZE = 25,
	W_EXTRA = 27,
	W_EXTRA_SIZE = 29,
};

/* clang-format off */
static const struct bad_ring {
	const char *why;
	unsigned word;
	uint64_t value;
} bad_rings[] = {
	{ "resource that does not exist",      W_RES,         99 },
	{ "resource that is device memory",    W_RES,         RES_MEM },
	{ "window past the resource",          W_OFFSET,      1U << 20 },
	{ "window that wraps",                 W_OFFSET,      UINT64_MAX - 3 },
	{ "window off the word",               W_OFFSET,      2 },
	{ "window of another size",            W_SIZE,        UINT64_MAX },
	{ "window too small",                  W_SIZE,        GUEST_RING_EXTRA },
	{ "head past the window",              W_HEAD,        GUEST_RING_EXTRA + 4 },
	{ "head that wraps",                   W_HEAD,        UINT64_MAX - 3 },
	{ "head off the word",                 W_HEAD,        2 },
	{ "head in the buffer",                W_HEAD,        GUEST_RING_BUFFER + 64 },
	{ "head on the tail",                  W_HEAD,        GUEST_RING_TAIL },
	{ "tail on the status",                W_TAIL,        GUEST_RING_STATUS },
	{ "tail past the window",              W_TAIL,        UINT32_MAX },
	{ "status in the buffer",              W_STATUS,      GUEST_RING_BUFFER },
	{ "status on the extra region",        W_STATUS,      GUEST_RING_EXTRA },
	{ "buffer on the head",                W_BUFFER,      0 },
	{ "buffer past the window",            W_BUFFER,      GUEST_RING_BUFFER + 8 },
	{ "buffer that wraps",                 W_BUFFER,      UINT64_MAX - 191 },
	{ "buffer of no size",                 W_BUFFER_SIZE, 0 },
	{ "buffer of an odd size",             W_BUFFER_SIZE, GUEST_RING_BYTES - 4 },
	{ "buffer larger than the window",     W_BUFFER_SIZE, GUEST_RING_BYTES * 2 },
	{ "buffer of half the address space",  W_BUFFER_SIZE, UINT64_C(1) << 63 },
	{ "extra region past the window",      W_EXTRA,       GUEST_RING_EXTRA + 4 },
	{ "extra region on the buffer",        W_EXTRA,       GUEST_RING_BUFFER },
	{ "extra region that wraps",           W_EXTRA_SIZE,  UINT64_MAX - 3 },
};
/* clang-format on */

static void ring_that_does_not_fit_is_refused(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad_rings); i++) {
		const struct bad_ring *b = &bad_rings[i];
		struct guest g;
		struct guest_shm reply;
		struct guest_shm stream;
		struct guest_shm shm;

		print_message("%s\n", b->why);
		trap_reset();
		assert_int_equal(guest_open(&g, NULL), 0);
		assert_int_equal(guest_prologue(&g, &reply, &stream), 0);
		assert_int_equal(guest_shm_new(&g, RES_RING, GUEST_RING_EXTRA + 4, &shm), 0);
		guest_cmd_create_ring(&g, RING_ID, RES_RING);
		memcpy(g.out + (size_t)b->word * 4, &b->value, b->word == W_RES ? 4 : 8);
		assert_int_equal(guest_submit(&g), -EPROTO);
		assert_int_equal(trap_lines(), 1);
		assert_true(
			trap_holds("vkCreateRingMESA has a ring that its resource cannot hold"));
		guest_shm_drop(&shm);
		guest_shm_drop(&reply);
		guest_shm_drop(&stream);
		assert_int_equal(guest_close(&g), 0);
	}
	assert_false(venus_ctx_is_fatal(w->g.ctx));
}

static void ring_that_exists_is_refused(void **state)
{
	struct world *w = *state;

	open_ring(w);
	guest_cmd_create_ring(&w->g, RING_ID, RES_RING);
	assert_int_equal(guest_submit(&w->g), -EPROTO);
	assert_true(trap_holds("names a ring that exists"));
}

static void ring_with_a_head_is_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(guest_shm_new(&w->g, RES_RING, GUEST_RING_EXTRA + 4, &w->ring.shm), 0);
	guest_ring_store(&w->ring, GUEST_RING_HEAD, 4);
	guest_cmd_create_ring(&w->g, RING_ID, RES_RING);
	assert_int_equal(guest_submit(&w->g), -EPROTO);
	assert_true(trap_holds("not zeroed"));
}

static void ring_that_does_not_exist_is_refused(void **state)
{
	static const struct {
		int32_t number;
		unsigned words; /* after the ring's id */
	} cmds[] = { { 189, 0 }, { 190, 2 }, { 191, 3 }, { 251, 2 }, { 253, 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++) {
		struct guest g;

		assert_int_equal(guest_open(&g, NULL), 0);
		trap_reset();
		guest_put_cmd(&g, cmds[i].number, 0);
		guest_put_u64(&g, RING_ID);
		for (unsigned k = 0; k < cmds[i].words; k++)
			guest_put_u32(&g, 0);
		assert_int_equal(guest_submit(&g), -EPROTO);
		assert_int_equal(trap_lines(), 1);
		assert_int_equal(guest_close(&g), 0);
	}
}

static void write_past_the_extra_region_is_refused(void **state)
{
	struct world *w = *state;
	static const uint64_t offsets[] = { 0, 4 };

	open_ring(w);
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		guest_put_cmd(&w->g, 191, 0);
		guest_put_u64(&w->g, RING_ID);
		guest_put_u64(&w->g, offsets[i]);
		guest_put_u32(&w->g, 0x1234);
		assert_int_equal(guest_submit(&w->g), i == 0 ? 0 : -EPROTO);
	}
	assert_int_equal(guest_ring_load(&w->ring, GUEST_RING_EXTRA), 0x1234);
}

/* ---- running ---- */

static void ring_executes_and_answers(void **state)
{
	struct world *w = *state;
	uint32_t reply[4];

	open_ring(w);
	guest_cmd_reply_stream(&w->g, RES_REPLY, 64, 64);
	guest_put_cmd(&w->g, 137, GUEST_REPLY);
	guest_put_u64(&w->g, 1);
	guest_cmd_buffer(&w->g, ID_DEVICE, ID_FREE, 64);
	guest_ring_send(&w->g, &w->ring);
	assert_true(guest_ring_wait(&w->ring, GUEST_PATIENCE));
	memcpy(reply, w->reply.map + 64, sizeof(reply));
	assert_int_equal(reply[0], 137);
	assert_int_equal(reply[1], 0);
	assert_int_equal(reply[2], 1);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_BUFFER), 3);
}

/* More than the buffer holds, in pieces that straddle its end. */
static void ring_wraps_around(void **state)
{
	struct world *w = *state;

	open_ring(w);
	null_forget();
	for (int i = 0; i < 1500; i++) {
		guest_cmd_buffer(&w->g, ID_DEVICE, ID_FREE, 64);
		guest_cmd_destroy(&w->g, 51, ID_DEVICE, ID_FREE);
		guest_ring_send(&w->g, &w->ring);
		assert_true(guest_ring_wait(&w->ring, GUEST_PATIENCE));
	}
	assert_true(w->ring.tail > 2 * GUEST_RING_BYTES);
	assert_int_equal(null_calls("vkCreateBuffer"), 1500);
	assert_int_equal(null_calls("vkDestroyBuffer"), 1500);
}

static void tail_too_far_ahead_is_fatal(void **state)
{
	static const uint32_t tails[] = { GUEST_RING_BYTES + 4, 0x80000000, 0xfffffffc };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		struct world w = { 0 };

		assert_int_equal(guest_open(&w.g, NULL), 0);
		trap_reset();
		open_ring(&w);
		guest_ring_store(&w.ring, GUEST_RING_TAIL, tails[i]);
		assert_true(wait_fatal(&w));
		assert_true(wait_status(&w.ring, GUEST_STATUS_FATAL));
		assert_int_equal(guest_ring_load(&w.ring, GUEST_RING_HEAD), 0);
		assert_int_equal(trap_lines(), 1);
		assert_int_equal(guest_close(&w.g), 0);
		guest_shm_drop(&w.ring.shm);
	}
}

static void tail_off_the_word_is_fatal(void **state)
{
	struct world *w = *state;

	open_ring(w);
	guest_ring_store(&w->ring, GUEST_RING_TAIL, 6);
	assert_true(wait_fatal(w));
}

static void head_and_status_of_the_guest_are_not_believed(void **state)
{
	struct world *w = *state;

	open_ring(w);
	guest_ring_store(&w->ring, GUEST_RING_HEAD, 0x12345678);
	guest_ring_store(&w->ring, GUEST_RING_STATUS, 0xffffffff);
	guest_cmd_buffer(&w->g, ID_DEVICE, ID_FREE, 64);
	uint32_t n = (uint32_t)w->g.len;
	guest_ring_send(&w->g, &w->ring);
	/* Sets FATAL itself, so guest_ring_wait() is no use here. */
	assert_true(GUEST_AWAIT(guest_ring_load(&w->ring, GUEST_RING_HEAD) == n));
	assert_false(venus_ctx_is_fatal(w->g.ctx));
	assert_int_equal(null_alive(VK_OBJECT_TYPE_BUFFER), 3);
}

static void breach_on_a_ring_stops_all_rings_of_the_context(void **state)
{
	struct world *w = *state;
	struct guest_ring second;

	open_ring(w);
	assert_int_equal(guest_ring_open(&w->g, &second, RING_ID + 1, RES_FREE), 0);
	trap_reset();
	guest_cmd_buffer(&w->g, ID_DEVICE, ID_BUFFER, 64);
	guest_ring_send(&w->g, &w->ring);
	assert_false(guest_ring_wait(&w->ring, GUEST_PATIENCE));
	assert_true(wait_fatal(w));
	assert_true(wait_status(&second, GUEST_STATUS_FATAL));
	assert_int_equal(trap_lines(), 1);
	assert_true(trap_holds("vkCreateBuffer creates object 11, which exists"));
	guest_shm_drop(&second.shm);
}

static void context_command_on_a_ring_is_fatal(void **state)
{
	struct world *w = *state;

	open_ring(w);
	guest_put_cmd(&w->g, 189, 0);
	guest_put_u64(&w->g, RING_ID);
	guest_ring_send(&w->g, &w->ring);
	assert_true(wait_fatal(w));
	assert_true(trap_holds("vkDestroyRingMESA came on the wrong level"));
}

static void idle_ring_is_woken(void **state)
{
	struct world *w = *state;

	open_ring(w);
	assert_true(wait_status(&w->ring, GUEST_STATUS_IDLE));
	guest_cmd_buffer(&w->g, ID_DEVICE, ID_FREE, 64);
	guest_ring_send(&w->g, &w->ring);
	assert_true(guest_ring_wait(&w->ring, GUEST_PATIENCE));
}

static void resource_of_a_ring_may_go_first(void **state)
{
	struct world *w = *state;

	open_ring(w);
	(void)venus_ctx_unref_resource(w->g.ctx, RES_RING);
	(void)venus_ctx_unref_resource(w->g.ctx, RES_REPLY);
	guest_put_cmd(&w->g, 137, GUEST_REPLY);
	guest_put_u64(&w->g, 1);
	(void)guest_submit(&w->g);
	guest_cmd_buffer(&w->g, ID_DEVICE, ID_FREE, 64);
	guest_ring_send(&w->g, &w->ring);
	(void)guest_ring_wait(&w->ring, SECOND / 10);
}

/* ---- waits ---- */

static void put_wait_ring(struct guest *g, uint64_t ring, uint64_t seqno)
{
	guest_put_cmd(g, 253, 0);
	guest_put_u64(g, ring);
	guest_put_u64(g, seqno);
}

static void wait_that_the_ring_cannot_fulfil_is_fatal(void **state)
{
	struct world *w = *state;

	open_ring(w);
	put_wait_ring(&w->g, RING_ID, GUEST_RING_BYTES * 2);
	assert_int_equal(guest_submit(&w->g), -EPROTO);
	assert_true(trap_holds("vkWaitRingSeqnoMESA"));
}

static void *stop_soon(void *arg)
{
	struct world *w = arg;

	(void)usleep(50000);
	venus_ctx_stop(w->g.ctx);
	return NULL;
}

static void put_wait_virtqueue(struct guest *g, uint64_t seqno)
{
	guest_put_cmd(g, 252, 0);
	guest_put_u64(g, seqno);
}

static void deadlock_of_two_waits_ends_with_the_context(void **state)
{
	struct world *w = *state;
	pthread_t t;

	open_ring(w);
	put_wait_virtqueue(&w->g, 1); /* the ring waits for the context level ... */
	guest_ring_send(&w->g, &w->ring);
	uint32_t seqno = w->ring.tail;

	assert_int_equal(thread_start(&t, "stop", stop_soon, w), 0);
	put_wait_ring(&w->g, RING_ID, seqno); /* ... which waits for the ring */
	(void)guest_submit(&w->g);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(guest_submit(&w->g), -EPROTO);
}

static void ring_goes_on_when_its_virtqueue_seqno_comes(void **state)
{
	struct world *w = *state;

	open_ring(w);
	put_wait_virtqueue(&w->g, 3);
	guest_ring_send(&w->g, &w->ring);
	assert_false(guest_ring_wait(&w->ring, SECOND / 50));
	guest_put_cmd(&w->g, 251, 0);
	guest_put_u64(&w->g, RING_ID);
	guest_put_u64(&w->g, 3);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_true(guest_ring_wait(&w->ring, GUEST_PATIENCE));
}

static void put_wait_fence(struct guest *g, uint64_t fence)
{
	guest_put_cmd(g, 39, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &fence);
	guest_put_u32(g, 1);
	guest_put_u64(g, UINT64_MAX);
}

/* A ring that waits for ever for a fence nobody signals can be destroyed with its context. */
static void context_ends_while_a_ring_waits(void **state)
{
	struct world *w = *state;

	open_ring(w);
	put_wait_fence(&w->g, ID_FENCE);
	guest_ring_send(&w->g, &w->ring);
	assert_false(guest_ring_wait(&w->ring, SECOND / 20));
}

static void ring_that_waits_can_be_destroyed(void **state)
{
	struct world *w = *state;

	open_ring(w);
	put_wait_fence(&w->g, ID_FENCE);
	guest_ring_send(&w->g, &w->ring);
	assert_false(guest_ring_wait(&w->ring, SECOND / 50));
	guest_put_cmd(&w->g, 189, 0);
	guest_put_u64(&w->g, RING_ID);
	assert_int_equal(guest_submit(&w->g), 0);
	guest_shm_drop(&w->ring.shm);
	assert_int_equal(venus_ctx_unref_resource(w->g.ctx, RES_RING), 0);
	assert_int_equal(guest_ring_open(&w->g, &w->ring, RING_ID, RES_RING), 0);
}

/* ---- ends ---- */

static void context_ends_with_work_unfinished(void **state)
{
	struct world *w = *state;

	null_control(&(struct null_control){ .work_ns = SECOND / 5 });
	guest_cmd_submit_one(&w->g, ID_QUEUE, ID_CMDBUF, ID_FENCE);
	assert_int_equal(guest_submit(&w->g), 0);
	for (uint64_t i = 1; i <= 10; i++)
		assert_int_equal(venus_ctx_fence(w->g.ctx, 1, i), 0);
	assert_int_equal(venus_ctx_destroy(w->g.ctx), 0); /* else it had been given up */
	w->g.ctx = NULL;
	assert_int_equal(atomic_load(&w->g.retired), 10);
	assert_int_equal(atomic_load(&w->g.last_retired), 10);
}

static void fences_of_a_queue_retire_in_order(void **state)
{
	struct world *w = *state;

	null_control(&(struct null_control){ .work_ns = SECOND / 50 });
	for (uint64_t i = 1; i <= 20; i++) {
		guest_cmd_submit_one(&w->g, ID_QUEUE, ID_CMDBUF, 0);
		assert_int_equal(guest_submit(&w->g), 0);
		assert_int_equal(venus_ctx_fence(w->g.ctx, 1, i), 0);
	}
	(void)GUEST_AWAIT(atomic_load(&w->g.retired) >= 20);
	assert_int_equal(atomic_load(&w->g.retired), 20);
	assert_int_equal(atomic_load(&w->g.last_retired), 20);
	assert_false(venus_ctx_is_fatal(w->g.ctx));
}

static void lost_device_is_fatal_and_retires_fences(void **state)
{
	struct world *w = *state;

	null_control(&(struct null_control){ .lose_after = 1 });
	guest_cmd_submit_one(&w->g, ID_QUEUE, ID_CMDBUF, 0);
	guest_cmd_submit_one(&w->g, ID_QUEUE, ID_CMDBUF, 0);
	(void)guest_submit(&w->g);
	assert_true(wait_fatal(w));
	assert_int_equal(venus_ctx_fence(w->g.ctx, 1, 9), 0);
	assert_true(GUEST_AWAIT(atomic_load(&w->g.retired) > 0));
	assert_int_equal(atomic_load(&w->g.last_retired), 9);
}

/* The queue's thread must not be left with a fence of a device that is gone. */
static void device_goes_with_fences_outstanding(void **state)
{
	struct world *w = *state;

	null_control(&(struct null_control){ .work_ns = SECOND / 10 });
	guest_cmd_submit_one(&w->g, ID_QUEUE, ID_CMDBUF, 0);
	assert_int_equal(guest_submit(&w->g), 0);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(venus_ctx_fence(w->g.ctx, 1, i), 0);
	guest_put_cmd(&w->g, 12, 0);
	guest_put_u64(&w->g, ID_DEVICE);
	guest_put_u64(&w->g, 0);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(atomic_load(&w->g.last_retired), 5);
	assert_int_equal(venus_ctx_fence(w->g.ctx, 1, 6), -EINVAL);
	/* The timeline is free again. */
	guest_cmd_device(&w->g, ID_PHYS0, ID_FREE, 2);
	guest_cmd_queue(&w->g, ID_FREE, ID_FREE + 1, 0, 1);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(venus_ctx_fence(w->g.ctx, 1, 7), 0);
}

static void memory_outlives_its_object_as_a_resource(void **state)
{
	struct world *w = *state;

	guest_cmd_destroy(&w->g, 51, ID_DEVICE, ID_BUFFER);
	guest_cmd_destroy(&w->g, 22, ID_DEVICE, ID_MEM_HOST);
	assert_int_equal(guest_submit(&w->g), 0);
	assert_int_equal(venus_ctx_unref_resource(w->g.ctx, RES_MEM), 0);
}

/* More than the table keeps before it frees what was removed. */
static void context_ends_with_many_objects(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 0; i < 500; i++) {
		guest_cmd_buffer(&w->g, ID_DEVICE, ID_FREE + 2 * i, 64);
		guest_cmd_memory(&w->g, ID_DEVICE, ID_FREE + 2 * i + 1, 4096, NULL_TYPE_LOCAL);
		assert_int_equal(guest_submit(&w->g), 0);
	}
}

/* The driver runs out of memory at each creation of the prologue in turn. */
static void every_creation_may_fail(void **state)
{
	(void)state;
	for (uint32_t n = 1; n < 60; n++) {
		struct guest g;
		struct guest_shm reply;
		struct guest_shm stream;

		null_control(&(struct null_control){ .oom_at = n });
		assert_int_equal(guest_open(&g, NULL), 0);
		(void)guest_prologue(&g, &reply, &stream);
		guest_shm_drop(&reply);
		guest_shm_drop(&stream);
		assert_int_equal(guest_close(&g), 0);
	}
	null_control(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ring_that_does_not_fit_is_refused),
		T(ring_that_exists_is_refused),
		T(ring_with_a_head_is_refused),
		cmocka_unit_test(ring_that_does_not_exist_is_refused),
		T(write_past_the_extra_region_is_refused),
		T(ring_executes_and_answers),
		T(ring_wraps_around),
		cmocka_unit_test(tail_too_far_ahead_is_fatal),
		T(tail_off_the_word_is_fatal),
		T(head_and_status_of_the_guest_are_not_believed),
		T(breach_on_a_ring_stops_all_rings_of_the_context),
		T(context_command_on_a_ring_is_fatal),
		T(idle_ring_is_woken),
		T(resource_of_a_ring_may_go_first),
		T(wait_that_the_ring_cannot_fulfil_is_fatal),
		T(deadlock_of_two_waits_ends_with_the_context),
		T(ring_goes_on_when_its_virtqueue_seqno_comes),
		T(context_ends_while_a_ring_waits),
		T(ring_that_waits_can_be_destroyed),
		T(context_ends_with_work_unfinished),
		T(fences_of_a_queue_retire_in_order),
		T(lost_device_is_fatal_and_retires_fences),
		T(device_goes_with_fences_outstanding),
		T(memory_outlives_its_object_as_a_resource),
		T(context_ends_with_many_objects),
		cmocka_unit_test(every_creation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
