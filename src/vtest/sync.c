/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syncs, fences and waits: see sync.h.
 *
 * Who may touch what, so that reading a sync costs one load:
 *  - values are atomic.  A fence's thread stores them; whoever waits has announced itself first, so
 *    that either the store sees the wait or the wait sees the value (both sequentially consistent);
 *  - the list of waits is under a lock, which a store takes only while the list is not empty;
 *  - references and free lists belong to the connection's thread.  Finished fences and waits come
 *    back to it over two lock-free stacks that it empties now and then.
 */
#include "vtest/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/thread.h"
#include "util/ckd.h"
#include "util/list.h"

#define SYNC_CHUNK     1024U /* syncs allocated at a time; they never move */
#define SYNC_CHUNKS    (VTEST_MAX_SYNCS / SYNC_CHUNK)
#define FENCE_CHUNK    256U
#define FENCE_CHUNKS   (VTEST_MAX_FENCES / FENCE_CHUNK)
#define INLINE_TRIPLES 4U
#define NS_PER_MS      UINT64_C(1000000)

struct sync {
	_Atomic uint64_t value;
	uint32_t refs; /* the id, and each fence and wait that uses it; connection's thread */
	uint32_t next; /* free list: id of the next free one */
	bool is_named; /* a client can use its id */
};

struct triple {
	struct sync *sync;
	uint64_t value;
};

struct fence {
	struct fence *next; /* free list, or stack of retired ones */
	uint32_t index;
	uint32_t count;
	struct triple *triples; /* room, or allocated */
	struct triple room[INLINE_TRIPLES];
};

struct wait {
	struct list node;  /* waits; under the lock */
	struct wait *next; /* stack of finished ones */
	uint64_t deadline_ns;
	int wr; /* write end of the client's pipe; -1 once finished; under the lock */
	bool any;
	uint32_t count;
	struct triple triples[];
};

struct vtest_syncs {
	struct sync *syncs[SYNC_CHUNKS];
	uint32_t syncs_made;
	uint32_t syncs_free; /* id; 0: none */
	struct fence *fences[FENCE_CHUNKS];
	uint32_t fences_made;
	struct fence *fences_free;
	uint32_t triples; /* in use by fences and waits */

	_Atomic(struct fence *) retired; /* pushed by the context's threads */
	_Atomic(struct wait *) finished; /* likewise */

	int ready_fd;     /* always readable */
	int silent_fd[2]; /* never readable; hangs up with us */

	uint64_t patience_ns; /* see vtest_syncs_set_patience() */

	_Atomic uint32_t waits_count; /* entries of waits */
	_Atomic bool is_lost;
	struct mutex lock;
	struct list waits; /* lock */
};

/* Connection's thread.  Return: NULL if there is no sync of that name */
static struct sync *find(struct vtest_syncs *s, uint32_t id)
{
	uint32_t i = id - 1; /* id 0 wraps and is out of range */

	if (i >= s->syncs_made)
		return NULL;
	struct sync *y = &s->syncs[i / SYNC_CHUNK][i % SYNC_CHUNK];
	return y->is_named ? y : NULL;
}

static uint32_t id_of(struct vtest_syncs *s, const struct sync *y)
{
	for (uint32_t c = 0; c < SYNC_CHUNKS && s->syncs[c]; c++) {
		if (y >= s->syncs[c] && y < s->syncs[c] + SYNC_CHUNK)
			return c * SYNC_CHUNK + (uint32_t)(y - s->syncs[c]) + 1;
	}
	return 0;
}

static void put(struct vtest_syncs *s, struct sync *y)
{
	if (--y->refs > 0)
		return;
	y->next = s->syncs_free;
	s->syncs_free = id_of(s, y);
}

static void put_all(struct vtest_syncs *s, const struct triple *t, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		put(s, t[i].sync);
	s->triples -= count;
}

static void fence_free(struct vtest_syncs *s, struct fence *f)
{
	put_all(s, f->triples, f->count);
	if (f->triples != f->room)
		free(f->triples);
	f->triples = f->room;
	f->count = 0;
	f->next = s->fences_free;
	s->fences_free = f;
}

/* Frees what the context's threads have finished; the connection's thread. */
static void reap(struct vtest_syncs *s)
{
	/* Acquire: the pusher's last use of the record comes before its release. */
	struct fence *f = atomic_load_explicit(&s->retired, memory_order_relaxed);
	if (f)
		f = atomic_exchange_explicit(&s->retired, NULL, memory_order_acquire);
	while (f) {
		struct fence *next = f->next;

		fence_free(s, f);
		f = next;
	}

	struct wait *w = atomic_load_explicit(&s->finished, memory_order_relaxed);
	if (w)
		w = atomic_exchange_explicit(&s->finished, NULL, memory_order_acquire);
	while (w) {
		struct wait *next = w->next;

		put_all(s, w->triples, w->count);
		free(w);
		w = next;
	}
}

static bool is_satisfied(bool any, const struct triple *t, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		/* Sequentially consistent: pairs with set_value(), see the top of the file. */
		bool hit = atomic_load(&t[i].sync->value) >= t[i].value;

		if (hit == any)
			return any;
	}
	return !any || count == 0;
}

/* Ends a wait: @wake makes the client's end readable, else it only hangs up. */
static void wait_end_locked(struct vtest_syncs *s, struct wait *w, bool wake) REQUIRES(&s->lock)
{
	const char byte = 1;

	/* If that fails the client has closed its end: nobody is waiting. */
	ssize_t n = wake ? write(w->wr, &byte, 1) : 0;
	(void)n;
	fd_drop(&w->wr);
	list_del(&w->node);
	atomic_fetch_sub(&s->waits_count, 1);

	struct wait *head = atomic_load_explicit(&s->finished, memory_order_relaxed);
	do {
		w->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&s->finished, &head, w, memory_order_release, memory_order_relaxed));
}

static void wake_waits(struct vtest_syncs *s)
{
	if (atomic_load(&s->waits_count) == 0)
		return;
	mutex_lock(&s->lock);
	list_for_each_safe(it, &s->waits)
	{
		struct wait *w = container_of(it, struct wait, node);

		if (is_satisfied(w->any, w->triples, w->count))
			wait_end_locked(s, w, true);
	}
	mutex_unlock(&s->lock);
}

static void expire_waits(struct vtest_syncs *s)
{
	uint64_t now = clock_now_ns();

	mutex_lock(&s->lock);
	list_for_each_safe(it, &s->waits)
	{
		struct wait *w = container_of(it, struct wait, node);

		if (now >= w->deadline_ns)
			wait_end_locked(s, w, false);
	}
	mutex_unlock(&s->lock);
}

int vtest_syncs_create(struct vtest_syncs **out)
{
	const char byte = 1;
	int ready[2];
	struct vtest_syncs *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->ready_fd = -1;
	s->silent_fd[0] = -1;
	s->silent_fd[1] = -1;
	list_init(&s->waits);
	mutex_init(&s->lock);

	int r = 0;
	if (pipe2(s->silent_fd, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0) {
		r = -errno;
	} else {
		s->ready_fd = ready[0];
		if (write(ready[1], &byte, 1) != 1)
			r = -EIO;
		(void)close(ready[1]);
	}
	if (r < 0) {
		vtest_syncs_destroy(s);
		return r;
	}
	*out = s;
	return 0;
}

void vtest_syncs_destroy(struct vtest_syncs *s)
{
	if (!s)
		return;
	vtest_syncs_lose(s);
	reap(s);
	for (uint32_t i = 0; i < FENCE_CHUNKS && s->fences[i]; i++) {
		for (uint32_t k = 0; k < FENCE_CHUNK; k++) {
			struct fence *f = &s->fences[i][k];

			if (f->triples != f->room)
				free(f->triples);
		}
		free(s->fences[i]);
	}
	for (uint32_t i = 0; i < SYNC_CHUNKS; i++)
		free(s->syncs[i]);
	fd_drop(&s->ready_fd);
	fd_drop(&s->silent_fd[0]);
	fd_drop(&s->silent_fd[1]);
	mutex_fini(&s->lock);
	free(s);
}

int vtest_sync_create(struct vtest_syncs *s, uint64_t value, uint32_t *id)
{
	uint32_t i;

	if (!s->syncs_free)
		reap(s);
	if (s->syncs_free) {
		i = s->syncs_free - 1;
		s->syncs_free = s->syncs[i / SYNC_CHUNK][i % SYNC_CHUNK].next;
	} else {
		i = s->syncs_made;
		if (i >= VTEST_MAX_SYNCS)
			return -ENOMEM;
		struct sync **chunk = &s->syncs[i / SYNC_CHUNK];
		if (!*chunk)
			*chunk = calloc(SYNC_CHUNK, sizeof(**chunk));
		if (!*chunk)
			return -ENOMEM;
		s->syncs_made++;
	}

	struct sync *y = &s->syncs[i / SYNC_CHUNK][i % SYNC_CHUNK];
	y->refs = 1;
	y->is_named = true;
	atomic_store_explicit(&y->value, value,
			      memory_order_relaxed); /* nobody else knows it yet */
	*id = i + 1;
	return 0;
}

int vtest_sync_unref(struct vtest_syncs *s, uint32_t id)
{
	struct sync *y = find(s, id);

	if (!y)
		return -ENOENT;
	y->is_named = false;
	put(s, y);
	return 0;
}

int vtest_sync_read(struct vtest_syncs *s, uint32_t id, uint64_t *value)
{
	struct sync *y = find(s, id);

	if (!y)
		return -ENOENT;
	/* Acquire: what the fence's thread did before it stored the value is visible to us. */
	*value = atomic_load_explicit(&y->value, memory_order_acquire);
	return 0;
}

int vtest_sync_write(struct vtest_syncs *s, uint32_t id, uint64_t value)
{
	struct sync *y = find(s, id);

	if (!y)
		return -ENOENT;
	atomic_store(&y->value, value);
	wake_waits(s);
	return 0;
}

/*
 * Reads triples and takes a reference on each sync.
 * Return: 0; -ENOENT or -ENOMEM (too many) with none taken
 */
static int read_triples(struct vtest_syncs *s, struct rd *rd, struct triple *t, uint32_t count)
{
	if (count > VTEST_MAX_TRIPLES - s->triples)
		return -ENOMEM;
	s->triples += count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t id = rd_le32(rd);

		t[i].value = rd_le64(rd);
		t[i].sync = find(s, id);
		if (!t[i].sync || !rd_ok(rd)) {
			put_all(s, t, i);
			s->triples -= count - i;
			return -ENOENT;
		}
		t[i].sync->refs++;
	}
	return 0;
}

/* Return: NULL at the limit */
static struct fence *fence_get(struct vtest_syncs *s)
{
	reap(s);
	if (!s->fences_free) {
		uint32_t c = s->fences_made / FENCE_CHUNK;

		if (s->fences_made >= VTEST_MAX_FENCES)
			return NULL;
		s->fences[c] = calloc(FENCE_CHUNK, sizeof(*s->fences[c]));
		if (!s->fences[c])
			return NULL;
		for (uint32_t k = FENCE_CHUNK; k-- > 0;) {
			struct fence *f = &s->fences[c][k];

			f->index = c * FENCE_CHUNK + k;
			f->triples = f->room;
			f->next = s->fences_free;
			s->fences_free = f;
		}
		s->fences_made += FENCE_CHUNK;
	}
	struct fence *f = s->fences_free;
	s->fences_free = f->next;
	return f;
}

int vtest_fence_prepare(struct vtest_syncs *s, struct rd *triples, uint32_t count,
			uint64_t *fence_id)
{
	if (count > VTEST_MAX_BATCH_SYNCS)
		return -EINVAL;

	struct fence *f = fence_get(s);
	if (!f)
		return -ENOMEM;

	int r = 0;
	if (count > INLINE_TRIPLES) {
		struct triple *t = calloc(count, sizeof(*t));

		if (t)
			f->triples = t;
		else
			r = -ENOMEM;
	}
	if (r == 0)
		r = read_triples(s, triples, f->triples, count);
	if (r == 0) {
		f->count = count;
		*fence_id = f->index;
	} else {
		fence_free(s, f);
	}
	return r;
}

static struct fence *fence_of(struct vtest_syncs *s, uint64_t fence_id)
{
	return &s->fences[fence_id / FENCE_CHUNK][fence_id % FENCE_CHUNK];
}

void vtest_fence_cancel(struct vtest_syncs *s, uint64_t fence_id)
{
	fence_free(s, fence_of(s, fence_id));
}

void vtest_fence_retire(struct vtest_syncs *s, uint64_t fence_id)
{
	struct fence *f = fence_of(s, fence_id);

	for (uint32_t i = 0; i < f->count; i++)
		atomic_store(&f->triples[i].sync->value, f->triples[i].value);
	wake_waits(s);

	/* Release: the connection's thread may reuse the record as soon as it finds it here. */
	struct fence *head = atomic_load_explicit(&s->retired, memory_order_relaxed);
	do {
		f->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&s->retired, &head, f, memory_order_release,
							memory_order_relaxed));
}

/* Looks on for a moment: cheaper than a pipe, and than waking a client that sleeps on it. */
static bool is_soon_satisfied(struct vtest_syncs *s, bool any, const struct triple *t,
			      uint32_t count)
{
	if (s->patience_ns == 0)
		return false;
	uint64_t until = clock_now_ns() + s->patience_ns;
	do {
		if (is_satisfied(any, t, count))
			return true;
	} while (clock_now_ns() < until &&
		 !atomic_load_explicit(&s->is_lost, memory_order_relaxed));
	return false;
}

/*
 * Answers a wait at once, or lists it.
 * Return: LISTED if @w belongs to the list; 0 if it was not needed; or -errno
 */
enum { LISTED = 1 };
static int wait_begin(struct vtest_syncs *s, struct wait *w, uint32_t timeout_ms,
		      struct rd *triples, int *fd)
{
	int pipe_fd[2] = { -1, -1 };
	int r = read_triples(s, triples, w->triples, w->count);

	if (r < 0)
		return r;
	*fd = is_satisfied(w->any, w->triples, w->count) ? s->ready_fd : s->silent_fd[0];
	if (*fd == s->ready_fd || timeout_ms == 0) {
		put_all(s, w->triples, w->count);
		return 0;
	}

	if (is_soon_satisfied(s, w->any, w->triples, w->count)) {
		*fd = s->ready_fd;
		put_all(s, w->triples, w->count);
		return 0;
	}

	w->deadline_ns = UINT64_MAX;
	if (timeout_ms != UINT32_MAX)
		w->deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	if (atomic_load(&s->waits_count) >= VTEST_MAX_WAITS / 2)
		expire_waits(s);
	if (atomic_load(&s->waits_count) >= VTEST_MAX_WAITS)
		r = -ENOMEM;
	else if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		r = -errno;
	if (r < 0) {
		put_all(s, w->triples, w->count);
		return r;
	}
	*fd = pipe_fd[0];
	w->wr = pipe_fd[1];

	mutex_lock(&s->lock);
	list_add_tail(&s->waits, &w->node);
	atomic_fetch_add(&s->waits_count, 1);
	/* A fence may have retired before it could see the wait: look again. */
	if (atomic_load(&s->is_lost))
		wait_end_locked(s, w, false);
	else if (is_satisfied(w->any, w->triples, w->count))
		wait_end_locked(s, w, true);
	mutex_unlock(&s->lock);
	return LISTED;
}

int vtest_sync_wait(struct vtest_syncs *s, bool any, uint32_t timeout_ms, struct rd *triples,
		    uint32_t count, int *fd, bool *is_shared)
{
	if (count > VTEST_MAX_BATCH_SYNCS)
		return -EINVAL;
	reap(s);

	struct wait *w = malloc(sizeof(*w) + count * sizeof(w->triples[0]));
	if (!w)
		return -ENOMEM;
	*w = (struct wait){ .wr = -1, .any = any, .count = count };

	int r = wait_begin(s, w, timeout_ms, triples, fd);
	*is_shared = r != LISTED;
	if (r != LISTED)
		free(w);
	return r == LISTED ? 0 : r;
}

void vtest_syncs_set_patience(struct vtest_syncs *s, uint64_t ns)
{
	s->patience_ns = ns;
}

void vtest_syncs_lose(struct vtest_syncs *s)
{
	mutex_lock(&s->lock);
	atomic_store(&s->is_lost, true);
	list_for_each_safe(it, &s->waits)
		wait_end_locked(s, container_of(it, struct wait, node), false);
	mutex_unlock(&s->lock);
}
