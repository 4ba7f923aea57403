/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the object table: names, limits, and records that outlive their removal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "venus/obj.h"

#define SPARSE_ID ((uint64_t)VENUS_CHUNKS << VENUS_CHUNK_BITS)
#define ALIVE     UINT64_C(0x5ca110b)

static _Atomic uint32_t freed;

static void count_free(struct venus_obj *o)
{
	o->handle = 0;
	atomic_fetch_add(&freed, 1);
	free(o);
}

struct fixture {
	struct venus_table *t;
	struct venus_reader r;
};

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);

	assert_non_null(f);
	f->t = calloc(1, sizeof(*f->t));
	assert_non_null(f->t);
	assert_int_equal(venus_table_init(f->t, 100000, count_free), 0);
	venus_reader_add(f->t, &f->r);
	atomic_store(&freed, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	venus_reader_del(f->t, &f->r);
	venus_table_fini(f->t);
	free(f->t);
	free(f);
	return 0;
}

static struct venus_obj *add(struct venus_table *t, uint64_t id)
{
	struct venus_obj *o = calloc(1, sizeof(*o));

	if (!o || venus_table_reserve(t, id) < 0) {
		free(o);
		return NULL;
	}
	o->id = id;
	o->type = VK_OBJECT_TYPE_BUFFER;
	o->handle = ALIVE;
	venus_table_publish(t, o);
	return o;
}

static void an_id_names_one_object(void **state)
{
	struct fixture *f = *state;
	const uint64_t ids[] = { 1,         VENUS_CHUNK_IDS - 1, VENUS_CHUNK_IDS, SPARSE_ID - 1,
				 SPARSE_ID, SPARSE_ID + 1,       UINT64_MAX };

	assert_int_equal(venus_table_reserve(f->t, 0), -EEXIST);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		print_message("id %llu\n", (unsigned long long)ids[i]);
		assert_null(venus_table_get(f->t, ids[i]));
		assert_int_equal(venus_table_reserve(f->t, ids[i]), 0);
		assert_null(venus_table_get(f->t, ids[i]));
		assert_int_equal(venus_table_reserve(f->t, ids[i]), -EEXIST);
		venus_table_cancel(f->t, ids[i]);
		struct venus_obj *o = add(f->t, ids[i]);
		assert_ptr_equal(venus_table_get(f->t, ids[i]), o);
		assert_null(add(f->t, ids[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct venus_obj *o = venus_table_get(f->t, ids[i]);

		venus_busy(f->t, &f->r);
		assert_true(venus_table_remove(f->t, o));
		assert_false(venus_table_remove(f->t, o));
		venus_idle(&f->r);
		assert_null(venus_table_get(f->t, ids[i]));
		assert_non_null(add(f->t, ids[i]));
	}
	assert_int_equal(f->t->count, 2 * ARRAY_LEN(ids)); /* the removed ones still count */
}

static void the_limit_holds_until_records_are_freed(void **state)
{
	struct fixture *f = *state;

	f->t->limit = 2 * VENUS_RETIRED_BATCH;
	for (uint64_t id = 1; id <= f->t->limit; id++)
		assert_non_null(add(f->t, id));
	assert_int_equal(venus_table_reserve(f->t, f->t->limit + 1), -ENOMEM);

	venus_busy(f->t, &f->r);
	for (uint64_t id = 1; id <= VENUS_RETIRED_BATCH; id++)
		assert_true(venus_table_remove(f->t, venus_table_get(f->t, id)));
	assert_int_equal(freed, 0); /* we were busy all the time */
	assert_int_equal(venus_table_reserve(f->t, 1), -ENOMEM);
	venus_quiesce(f->t, &f->r);
	for (uint64_t id = 1; id <= VENUS_RETIRED_BATCH; id++) {
		struct venus_obj *o = venus_table_get(f->t, VENUS_RETIRED_BATCH + id);

		assert_true(venus_table_remove(f->t, o));
	}
	venus_idle(&f->r);
	assert_in_range(freed, VENUS_RETIRED_BATCH, 2 * VENUS_RETIRED_BATCH);
	assert_int_equal(venus_table_reserve(f->t, 1), 0);
	venus_table_cancel(f->t, 1);
}

static void sparse_ids_by_the_thousand(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 5000; i++)
		assert_non_null(add(f->t, SPARSE_ID + i * 977));
	for (uint64_t i = 0; i < 5000; i++) {
		struct venus_obj *o = venus_table_get(f->t, SPARSE_ID + i * 977);

		assert_non_null(o);
		assert_int_equal(o->id, SPARSE_ID + i * 977);
		if (i % 2) {
			venus_busy(f->t, &f->r);
			assert_true(venus_table_remove(f->t, o));
			venus_idle(&f->r);
		}
	}
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(venus_table_get(f->t, SPARSE_ID + i * 977) == NULL, i % 2);
}

static void empty_chunks_are_freed(void **state)
{
	struct fixture *f = *state;
	unsigned chunks = 0;

	/* One object lives at a time, its ids grow for ever: memory must not. */
	for (uint64_t id = 1; id < 200 * VENUS_CHUNK_IDS; id += 100) {
		struct venus_obj *o = add(f->t, id);

		assert_non_null(o);
		venus_busy(f->t, &f->r);
		assert_true(venus_table_remove(f->t, o));
		venus_idle(&f->r);
	}
	for (uint32_t i = 0; i < VENUS_CHUNKS; i++)
		chunks += atomic_load(&f->t->chunk[i]) != NULL;
	assert_in_range(chunks, 1, 2);
}

static unsigned retired_chunks(const struct venus_table *t)
{
	unsigned n = 0;

	for (const struct venus_chunk *c = t->retired_chunks; c; c = c->retired_next)
		n++;
	return n;
}

/* A driver that fails makes nothing to remove, and yet each id has emptied a chunk. */
static void chunks_of_cancelled_ids_are_freed(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 1; i < 5000; i++) {
		venus_busy(f->t, &f->r);
		assert_int_equal(venus_table_reserve(f->t, i * VENUS_CHUNK_IDS), 0);
		venus_table_cancel(f->t, i * VENUS_CHUNK_IDS);
		venus_idle(&f->r);
		assert_in_range(retired_chunks(f->t), 0, 2 * VENUS_RETIRED_BATCH);
	}
	assert_int_equal(f->t->chunks_retired, retired_chunks(f->t));
	assert_in_range(f->t->chunks, 1, 2);
}

/* A ring that stays in one command keeps chunks alive, but not more and more of them. */
#define FEW_CHUNKS 1000U

static void chunks_that_a_reader_holds_are_limited(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 0;
	uint32_t n = 0;
	int r;

	f->t->chunks_max = FEW_CHUNKS;
	venus_busy(f->t, &f->r);
	do {
		id = (id + VENUS_CHUNK_IDS) % SPARSE_ID;
		r = venus_table_reserve(f->t, id ? id : 1);
		if (r == 0)
			venus_table_cancel(f->t, id ? id : 1);
	} while (r == 0 && n++ < 2 * FEW_CHUNKS);
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(f->t->chunks + f->t->chunks_retired, FEW_CHUNKS);
	venus_idle(&f->r);
}

#define RACE_IDS    64
#define RACE_ROUNDS 20000

struct racer {
	struct venus_reader r;
	struct venus_table *t;
	pthread_t thread;
	unsigned seed;
	uint64_t found;
	uint64_t removed;
	uint64_t bad;
};

static void *race_main(void *arg)
{
	struct racer *me = arg;

	for (unsigned i = 0; i < RACE_ROUNDS; i++) {
		me->seed = me->seed * 1103515245 + 12345;
		uint64_t id = 1 + (me->seed >> 16) % RACE_IDS;

		if (i % 16 == 0)
			venus_busy(me->t, &me->r);
		struct venus_obj *o = venus_table_get(me->t, id);
		if (!o) {
			(void)add(me->t, id);
		} else {
			me->found++;
			me->bad += o->handle != ALIVE || o->id != id;
			if (i % 3 == 0)
				me->removed += venus_table_remove(me->t, o);
			me->bad += o->handle != ALIVE; /* removed, but not before we are done */
		}
		venus_quiesce(me->t, &me->r);
		if (i % 16 == 15)
			venus_idle(&me->r);
	}
	venus_idle(&me->r);
	return NULL;
}

static void removed_records_outlive_their_readers(void **state)
{
	struct fixture *f = *state;
	struct racer *racers = aligned_alloc(64, 4 * sizeof(*racers));

	assert_non_null(racers);
	for (unsigned i = 0; i < 4; i++) {
		racers[i] = (struct racer){ .t = f->t, .seed = i };
		venus_reader_add(f->t, &racers[i].r);
		assert_int_equal(thread_start(&racers[i].thread, "racer", race_main, &racers[i]),
				 0);
	}
	uint64_t removed = 0;
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(racers[i].thread, NULL);
		assert_int_equal(racers[i].bad, 0);
		removed += racers[i].removed;
		venus_reader_del(f->t, &racers[i].r);
	}
	assert_true(removed > 0);
	assert_true(freed > 0);
	assert_true(freed <= removed);
	free(racers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_id_names_one_object, setup, teardown),
		cmocka_unit_test_setup_teardown(the_limit_holds_until_records_are_freed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(sparse_ids_by_the_thousand, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_chunks_are_freed, setup, teardown),
		cmocka_unit_test_setup_teardown(chunks_of_cancelled_ids_are_freed, setup, teardown),
		cmocka_unit_test_setup_teardown(chunks_that_a_reader_holds_are_limited, setup,
						teardown),
		cmocka_unit_test_setup_teardown(removed_records_outlive_their_readers, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
