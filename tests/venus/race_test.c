/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several rings of one context at work on the same objects, in two manners: as an application with
 * threads does it, which must always work, and as a guest that destroys on one ring what it uses on
 * another, which must end in nothing worse than a fatal context.  Made for ThreadSanitizer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "host/thread.h"
#include "null_icd.h"
#include "trap.h"
#include "venus/core.h"

#define SECOND UINT64_C(1000000000)
#define RINGS  3
#define ROUNDS 40

struct worker {
	struct guest g; /* shares the context, has bytes of its own */
	struct guest_ring ring;
	uint64_t first; /* id */
	uint32_t rnd;
	bool is_hostile;
	bool is_ok;
	pthread_t thread;
};

struct world {
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
	struct worker worker[RINGS];
};

static uint32_t next(struct worker *k)
{
	k->rnd = k->rnd * 1664525U + 1013904223U;
	return k->rnd >> 8;
}

static void put_bind(struct guest *g, uint64_t buffer)
{
	guest_put_cmd(g, 28, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u64(g, buffer);
	guest_put_u64(g, ID_MEM_LOCAL);
	guest_put_u64(g, 0);
}

static void put_wait(struct guest *g, uint64_t fence)
{
	guest_put_cmd(g, 39, 0);
	guest_put_u64(g, ID_DEVICE);
	guest_put_u32(g, 1);
	guest_put_ids(g, 1, &fence);
	guest_put_u32(g, 1);
	guest_put_u64(g, UINT64_MAX);
}

/* One thread of an application: its own objects of a shared device, queue and memory. */
static void put_honest_round(struct worker *k)
{
	struct guest *g = &k->g;
	uint64_t id = k->first;
	const uint64_t cmdbuf = id + 2;
	const uint64_t set = id + 4;

	guest_cmd_cmd_pool(g, ID_DEVICE, id + 1);
	guest_cmd_cmdbufs(g, ID_DEVICE, id + 1, 1, &cmdbuf);
	guest_cmd_desc_pool(g, ID_DEVICE, id + 3);
	guest_cmd_desc_sets(g, ID_DEVICE, id + 3, ID_SET_LAYOUT, 1, &set);
	guest_cmd_fence(g, ID_DEVICE, id + 5);
	for (uint64_t i = 6; i < 30; i++)
		guest_cmd_buffer(g, ID_DEVICE, id + i, 4096);
	put_bind(g, id + 6);
	guest_cmd_memory(g, ID_DEVICE, id + 30, 4096, NULL_TYPE_HOST);
	guest_cmd_submit_one(g, ID_QUEUE, cmdbuf, id + 5);
	put_wait(g, id + 5);
	for (uint64_t i = 6; i < 30; i++)
		guest_cmd_destroy(g, 51, ID_DEVICE, id + i);
	guest_cmd_destroy(g, 22, ID_DEVICE, id + 30);
	guest_cmd_destroy(g, 36, ID_DEVICE, id + 5);
	guest_cmd_destroy(g, 86, ID_DEVICE, id + 1);
	guest_cmd_destroy(g, 75, ID_DEVICE, id + 3);
}

/* All rings use the same few ids, in any order. */
static void put_hostile_round(struct worker *k)
{
	struct guest *g = &k->g;

	for (int i = 0; i < 6; i++) {
		uint64_t id = ID_FREE + next(k) % 3;

		switch (next(k) % 10) {
		case 0:
			guest_cmd_memory(g, ID_DEVICE, id, 4096, NULL_TYPE_HOST);
			break;
		case 1:
			guest_cmd_destroy(g, 22, ID_DEVICE, id);
			break;
		case 2:
			guest_cmd_cmdbufs(g, ID_DEVICE, ID_CMD_POOL, 1, &id);
			break;
		case 3:
			guest_cmd_destroy(g, 86, ID_DEVICE, ID_CMD_POOL);
			break;
		case 4:
			guest_cmd_submit_one(g, ID_QUEUE, ID_CMDBUF, ID_FENCE);
			break;
		case 5:
			guest_cmd_destroy(g, 36, ID_DEVICE, ID_FENCE);
			break;
		case 6:
			guest_cmd_destroy(g, 12, ID_DEVICE, 0);
			g->len -= 8; /* vkDestroyDevice has no object but its first */
			break;
		case 7:
			put_bind(g, ID_BUFFER);
			break;
		case 8:
			guest_cmd_destroy(g, 51, ID_DEVICE, ID_BUFFER);
			break;
		default:
			guest_cmd_buffer(g, ID_DEVICE, id, 64);
			break;
		}
	}
}

static void *work(void *arg)
{
	struct worker *k = arg;

	k->is_ok = true;
	for (int i = 0; i < (k->is_hostile ? 1 : ROUNDS) && k->is_ok; i++) {
		if (k->is_hostile)
			put_hostile_round(k);
		else
			put_honest_round(k);
		/* guest_ring_send() would notify, which is the context thread's right alone. */
		size_t n = k->g.len;
		for (size_t b = 0; b < n; b++)
			k->ring.shm.map[GUEST_RING_BUFFER + ((k->ring.tail + b) &
							     (GUEST_RING_BYTES - 1))] = k->g.out[b];
		k->ring.tail += (uint32_t)n;
		guest_drop(&k->g);
		guest_ring_store(&k->ring, GUEST_RING_TAIL, k->ring.tail);
		k->is_ok = guest_ring_wait(&k->ring, k->is_hostile ? SECOND : GUEST_PATIENCE);
	}
	return NULL;
}

static void start(struct world *w, bool is_hostile, uint32_t seed)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(guest_open(&w->g, NULL), 0);
	assert_int_equal(guest_prologue(&w->g, &w->reply, &w->stream), 0);
	for (uint32_t i = 0; i < RINGS; i++) {
		struct worker *k = &w->worker[i];

		assert_int_equal(guest_ring_open(&w->g, &k->ring, 100 + i, 100 + i), 0);
		k->g.ctx = w->g.ctx;
		k->g.out = malloc(GUEST_OUT_BYTES);
		assert_non_null(k->g.out);
		k->first = ID_FREE + 100 * (i + 1);
		k->rnd = seed * 31 + i;
		k->is_hostile = is_hostile;
	}
	for (uint32_t i = 0; i < RINGS; i++)
		assert_int_equal(thread_start(&w->worker[i].thread, "guest", work, &w->worker[i]),
				 0);
}

/* Keeps idle rings awake, and the context level busy, until the workers are done. */
static void join(struct world *w)
{
	uint64_t fence = 0;

	for (uint32_t i = 0; i < RINGS; i++) {
		while (pthread_tryjoin_np(w->worker[i].thread, NULL) != 0) {
			for (uint32_t k = 0; k < RINGS; k++) {
				guest_put_cmd(&w->g, 190, 0);
				guest_put_u64(&w->g, 100 + k);
				guest_put_u64(&w->g, 0);
			}
			(void)guest_submit(&w->g);
			/* Refused once the timeline's queue is gone, which is fine. */
			if (fence < 1000 && venus_ctx_fence(w->g.ctx, 1, fence) == 0)
				fence++;
			(void)usleep(200);
		}
	}
}

static void finish(struct world *w)
{
	assert_int_equal(guest_close(&w->g), 0);
	for (uint32_t i = 0; i < RINGS; i++) {
		free(w->worker[i].g.out);
		guest_shm_drop(&w->worker[i].ring.shm);
	}
	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
}

static void threads_of_an_application_do_not_meet(void **state)
{
	static struct world w;
	struct venus_counters c;

	(void)state;
	null_control(NULL);
	trap_reset();
	start(&w, false, 0);
	join(&w);
	trap_show();
	for (uint32_t i = 0; i < RINGS; i++)
		assert_true(w.worker[i].is_ok);
	assert_false(venus_ctx_is_fatal(w.g.ctx));
	assert_int_equal(trap_lines(), 0);
	venus_ctx_counters(w.g.ctx, &c);
	assert_int_equal(c.host_memories, 1);
	finish(&w);
}

static void threads_that_fight_end_their_context_at_worst(void **state)
{
	static struct world w;

	(void)state;
	null_control(&(struct null_control){ .is_stale_ok = true, .wait_cap_ns = 1000000 });
	for (uint32_t seed = 0; seed < 60; seed++) {
		trap_reset();
		start(&w, true, seed);
		join(&w);
		assert_true(trap_lines() <= 2); /* the breach; perhaps what the driver said of it */
		finish(&w);
	}
	null_control(NULL);
}

/* Two rings of a context: one makes something of a device that the other ends. */
struct race {
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest_ring maker;
	struct guest_ring ender;
	struct guest g;
};

static void race_open(struct race *l)
{
	null_control(NULL);
	trap_reset();
	assert_int_equal(guest_open(&l->g, NULL), 0);
	assert_int_equal(guest_prologue(&l->g, &l->reply, &l->stream), 0);
	assert_int_equal(guest_ring_open(&l->g, &l->maker, 1, 100), 0);
	assert_int_equal(guest_ring_open(&l->g, &l->ender, 2, 101), 0);
}

static void race_end_device(struct race *l)
{
	guest_cmd_destroy(&l->g, 12, ID_DEVICE, 0);
	l->g.len -= 8; /* vkDestroyDevice has no object but its first */
	guest_ring_send(&l->g, &l->ender);
}

static void race_join(struct race *l)
{
	assert_true(guest_ring_wait(&l->maker, GUEST_PATIENCE));
	assert_true(guest_ring_wait(&l->ender, GUEST_PATIENCE));
}

static void race_close(struct race *l)
{
	assert_int_equal(guest_close(&l->g), 0);
	assert_int_equal(trap_lines(), 0);
	guest_shm_drop(&l->maker.shm);
	guest_shm_drop(&l->ender.shm);
	guest_shm_drop(&l->reply);
	guest_shm_drop(&l->stream);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
}

/* A device waits for what is being made below it, which then goes with it. */
static void a_device_goes_while_a_buffer_is_made(void **state)
{
	struct race l;

	(void)state;
	race_open(&l);
	null_forget();
	null_control(&(struct null_control){ .hang = "vkCreateBuffer" });
	guest_cmd_buffer(&l.g, ID_DEVICE, ID_FREE, 64);
	guest_ring_send(&l.g, &l.maker);
	while (null_calls("vkCreateBuffer") == 0)
		(void)usleep(1000);
	race_end_device(&l);
	(void)usleep(100000);
	assert_int_equal(null_calls("vkDestroyDevice"), 0);
	null_release();
	race_join(&l);
	assert_int_equal(null_calls("vkDestroyDevice"), 1);
	assert_int_equal(null_calls("vkDestroyBuffer"), 2); /* the prologue's, too */
	race_close(&l);
}

/* The same with a queue, which is known by its timeline as well as by its id. */
static void a_device_goes_while_a_queue_is_fetched(void **state)
{
	struct venus_device *dev;
	struct race l;
	bool is_at = false;

	(void)state;
	race_open(&l);
	/* Valid until the ring that destroys it is done, and that will wait. */
	dev = container_of(venus_table_get(l.g.ctx->table, ID_DEVICE), struct venus_device, obj);

	/* The maker stands still between the record and its id. */
	mutex_lock(&l.g.ctx->bind_lock);
	guest_cmd_queue(&l.g, ID_DEVICE, ID_FREE, 1, 2);
	guest_ring_send(&l.g, &l.maker);
	while (!is_at) {
		mutex_lock(&dev->lock);
		is_at = dev->makers == 1;
		mutex_unlock(&dev->lock);
	}
	race_end_device(&l);
	for (is_at = false; !is_at;) {
		mutex_lock(&dev->lock);
		is_at = dev->obj.gone;
		mutex_unlock(&dev->lock);
	}
	mutex_unlock(&l.g.ctx->bind_lock);
	race_join(&l);
	assert_int_equal(venus_ctx_fence(l.g.ctx, 2, 7), -EINVAL);
	race_close(&l);
}

/* Removes so many records of another device that some are freed, and the epoch is raised. */
static void put_removals(struct guest *g)
{
	for (uint32_t i = 0; i < 2 * VENUS_RETIRED_BATCH; i++) {
		guest_cmd_buffer(g, ID_DEVICE2, ID_FREE, 64);
		guest_cmd_destroy(g, 51, ID_DEVICE2, ID_FREE);
	}
}

/* Who finds a command buffer finds its device, even if that has no name any more. */
static void a_device_outlives_those_who_found_its_children(void **state)
{
	static struct venus_reader reader;
	struct venus_table *table;
	struct race l;

	(void)state;
	race_open(&l);
	table = l.g.ctx->table;
	venus_reader_add(table, &reader);
	null_forget();
	null_control(&(struct null_control){ .hang = "vkDeviceWaitIdle" });
	race_end_device(&l);
	while (null_calls("vkDeviceWaitIdle") == 0)
		(void)usleep(1000);
	/* The device is out of the table, and all that begins now has an epoch that says so. */
	put_removals(&l.g);
	assert_int_equal(guest_submit(&l.g), 0);

	venus_busy(table, &reader);
	struct venus_obj *o = venus_table_get(table, ID_CMDBUF);
	assert_non_null(o);
	assert_null(venus_table_get(table, ID_DEVICE));
	null_release();
	race_join(&l);
	put_removals(&l.g);
	assert_int_equal(guest_submit(&l.g), 0);
	/* Under AddressSanitizer a record that was freed tells. */
	assert_int_equal(o->id, ID_CMDBUF);
	assert_int_equal(o->dev->obj.id, ID_DEVICE);
	venus_idle(&reader);
	venus_reader_del(table, &reader);
	race_close(&l);
}

/* Both take what they free off the same lists. */
static void a_device_goes_while_its_command_buffers_are_freed(void **state)
{
	enum { COUNT = 1000 };
	static uint64_t ids[COUNT];
	struct race l;

	(void)state;
	for (uint32_t i = 0; i < COUNT; i++)
		ids[i] = ID_FREE + i;
	for (uint32_t round = 0; round < 20; round++) {
		race_open(&l);
		null_control(&(struct null_control){ .is_stale_ok = true });
		guest_cmd_cmdbufs(&l.g, ID_DEVICE, ID_CMD_POOL, COUNT, ids);
		assert_int_equal(guest_submit(&l.g), 0);
		guest_put_cmd(&l.g, 89, 0); /* vkFreeCommandBuffers */
		guest_put_u64(&l.g, ID_DEVICE);
		guest_put_u64(&l.g, ID_CMD_POOL);
		guest_put_u32(&l.g, COUNT);
		guest_put_ids(&l.g, COUNT, ids);
		guest_ring_send(&l.g, &l.maker);
		race_end_device(&l);
		(void)guest_ring_wait(&l.maker, 60 * SECOND);
		(void)guest_ring_wait(&l.ender, 60 * SECOND);
		assert_int_equal(guest_close(&l.g), 0);
		assert_true(trap_lines() <= 1); /* one of them may have come too late */
		guest_shm_drop(&l.maker.shm);
		guest_shm_drop(&l.ender.shm);
		guest_shm_drop(&l.reply);
		guest_shm_drop(&l.stream);
	}
	null_control(NULL);
}

/* An instance waits for who finds its physical devices, which then lose their names with it. */
static void an_instance_goes_while_it_is_enumerated(void **state)
{
	struct venus_table *table;
	struct race l = { 0 };
	bool is_gone = false;

	(void)state;
	null_control(NULL);
	trap_reset();
	assert_int_equal(guest_open(&l.g, NULL), 0);
	table = l.g.ctx->table;
	guest_cmd_instance(&l.g, ID_INSTANCE);
	assert_int_equal(guest_submit(&l.g), 0);
	assert_int_equal(guest_ring_open(&l.g, &l.maker, 1, 100), 0);
	assert_int_equal(guest_ring_open(&l.g, &l.ender, 2, 101), 0);
	null_forget();
	null_control(&(struct null_control){ .hang = "vkEnumeratePhysicalDevices" });
	guest_cmd_physdevs(&l.g, ID_INSTANCE, ID_PHYS0, 2);
	guest_ring_send(&l.g, &l.maker);
	while (null_calls("vkEnumeratePhysicalDevices") == 0)
		(void)usleep(1000);
	guest_put_cmd(&l.g, 1, 0); /* vkDestroyInstance */
	guest_put_u64(&l.g, ID_INSTANCE);
	guest_put_u64(&l.g, 0);
	guest_ring_send(&l.g, &l.ender);
	while (!is_gone) {
		venus_busy(table, &l.g.ctx->dec.reader);
		is_gone = !venus_table_get(table, ID_INSTANCE);
		venus_idle(&l.g.ctx->dec.reader);
	}
	(void)usleep(100000);
	null_release();
	race_join(&l);
	venus_busy(table, &l.g.ctx->dec.reader);
	assert_null(venus_table_get(table, ID_PHYS0));
	assert_null(venus_table_get(table, ID_PHYS1));
	venus_idle(&l.g.ctx->dec.reader);
	race_close(&l);
}

/* What found its queue before the device went must not get to the driver with it. */
static void nothing_is_submitted_to_a_device_that_is_gone(void **state)
{
	static struct venus_dec d; /* of a third ring, which stands behind its decoded command */
	struct venus_args_vkQueueSubmit args = { 0 };
	struct race l;

	(void)state;
	race_open(&l);
	venus_dec_init(&d, l.g.ctx, NULL);
	venus_busy(d.table, &d.reader);
	args.queue = venus_table_get(d.table, ID_QUEUE);
	assert_non_null(args.queue);
	race_end_device(&l);
	race_join(&l);

	d.dev = args.queue->dev;
	null_forget();
	venus_do_vkQueueSubmit(&d, &args);
	assert_true(d.failed);
	assert_int_equal(null_calls("vkQueueSubmit"), 0);
	assert_int_equal(trap_lines(), 1);
	venus_idle(&d.reader);
	venus_dec_fini(&d);
	trap_reset();
	race_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_of_an_application_do_not_meet),
		cmocka_unit_test(threads_that_fight_end_their_context_at_worst),
		cmocka_unit_test(a_device_goes_while_a_buffer_is_made),
		cmocka_unit_test(a_device_goes_while_a_queue_is_fetched),
		cmocka_unit_test(a_device_outlives_those_who_found_its_children),
		cmocka_unit_test(a_device_goes_while_its_command_buffers_are_freed),
		cmocka_unit_test(an_instance_goes_while_it_is_enumerated),
		cmocka_unit_test(nothing_is_submitted_to_a_device_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
