/* SPDX-License-Identifier: Apache-2.0 */
/* Event loop over epoll(7): see loop.h. */
#include "host/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/event.h"
#include "host/fd.h"
#include "host/thread.h"

#define LOOP_BATCH 32
#define NS_PER_MS  UINT64_C(1000000)

struct loop {
	int epfd;
	struct event wake;
	struct loop_fd wake_src;

	/* The loop's thread only. */
	struct list timers;
	struct epoll_event batch[LOOP_BATCH];
	int batch_len;
	int batch_at;

	struct mutex lock;
	struct list posted;   /* lock */
	bool has_thread;      /* lock */
	bool is_lent;         /* lock; without a thread: to the one that runs a loop_call() now */
	pthread_t owner;      /* lock; meaningful with has_thread or is_lent */
	struct cond returned; /* by who had it lent */
	_Atomic bool stop;
	bool is_own_thread; /* started by loop_thread_start() */
	pthread_t thread;
};

static uint32_t epoll_bits(unsigned events)
{
	return (events & LOOP_READ ? EPOLLIN : 0U) | (events & LOOP_WRITE ? EPOLLOUT : 0U);
}

int loop_add(struct loop *l, struct loop_fd *src, unsigned events)
{
	struct epoll_event ev = { .events = epoll_bits(events), .data.ptr = src };

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, src->fd, &ev) < 0)
		return -errno;
	src->loop = l;
	return 0;
}

int loop_mod(struct loop_fd *src, unsigned events)
{
	struct epoll_event ev = { .events = epoll_bits(events), .data.ptr = src };

	return epoll_ctl(src->loop->epfd, EPOLL_CTL_MOD, src->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop_fd *src)
{
	struct loop *l = src->loop;

	if (!l)
		return;
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	src->loop = NULL;
	for (int i = l->batch_at; i < l->batch_len; i++) {
		if (l->batch[i].data.ptr == src)
			l->batch[i].data.ptr = NULL;
	}
}

void loop_timer_del(struct loop_timer *t)
{
	if (!t->loop)
		return;
	list_del(&t->node);
	t->loop = NULL;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t deadline_ns)
{
	struct list *before = &l->timers;

	loop_timer_del(t);
	list_for_each(it, &l->timers)
	{
		if (container_of(it, struct loop_timer, node)->deadline_ns > deadline_ns) {
			before = it;
			break;
		}
	}
	t->deadline_ns = deadline_ns;
	t->loop = l;
	list_add_tail(before, &t->node);
}

/* Milliseconds until the first timer, rounded up so that it is not asked for twice; -1 for none. */
static int loop_patience(const struct loop *l)
{
	if (list_empty(&l->timers))
		return -1;

	uint64_t deadline = container_of(l->timers.next, struct loop_timer, node)->deadline_ns;
	uint64_t now = clock_now_ns();
	if (deadline <= now)
		return 0;

	uint64_t ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > 1000000 ? 1000000 : (int)ms;
}

static void loop_run_timers(struct loop *l)
{
	uint64_t now = clock_now_ns();

	while (!list_empty(&l->timers)) {
		struct loop_timer *t = container_of(l->timers.next, struct loop_timer, node);

		if (t->deadline_ns > now)
			return;
		loop_timer_del(t);
		t->fn(t);
	}
}

/* Runs what has been posted up to now: what comes meanwhile must not keep others waiting. */
static void loop_run_posted(struct loop *l)
{
	struct list now;

	list_init(&now);
	mutex_lock(&l->lock);
	while (!list_empty(&l->posted)) {
		struct list *it = l->posted.next;

		list_del(it);
		list_add_tail(&now, it);
	}
	mutex_unlock(&l->lock);
	while (!list_empty(&now)) {
		struct loop_msg *m = container_of(now.next, struct loop_msg, node);

		list_del(&m->node);
		m->fn(m);
	}
}

static void loop_on_wake(struct loop_fd *src, unsigned events)
{
	struct loop *l = container_of(src, struct loop, wake_src);

	(void)events;
	(void)event_drain(&l->wake);
	loop_run_posted(l);
}

void loop_post(struct loop *l, struct loop_msg *m)
{
	mutex_lock(&l->lock);
	list_add_tail(&l->posted, &m->node);
	mutex_unlock(&l->lock);
	event_signal(&l->wake);
}

struct loop_call {
	struct loop_msg msg;
	void (*fn)(void *arg);
	void *arg;
	struct mutex lock;
	struct cond cond;
	bool is_done; /* lock */
};

static void loop_call_run(struct loop_msg *m)
{
	struct loop_call *c = container_of(m, struct loop_call, msg);

	c->fn(c->arg);
	mutex_lock(&c->lock);
	c->is_done = true;
	cond_signal(&c->cond);
	mutex_unlock(&c->lock);
}

/* Whether the calling thread is the one on which things of the loop happen at the moment. */
static bool is_owner(const struct loop *l) REQUIRES(&l->lock)
{
	return (l->has_thread || l->is_lent) && pthread_equal(l->owner, pthread_self());
}

/* Until nobody else has the loop lent; then it has a thread, or may be lent. */
static void await_turn(struct loop *l) REQUIRES(&l->lock)
{
	while (l->is_lent && !is_owner(l))
		cond_wait(&l->returned, &l->lock);
}

static void give_back(struct loop *l)
{
	mutex_lock(&l->lock);
	l->is_lent = false;
	cond_broadcast(&l->returned);
	mutex_unlock(&l->lock);
}

void loop_call(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_call c = { .msg.fn = loop_call_run, .fn = fn, .arg = arg };

	mutex_lock(&l->lock);
	await_turn(l);
	bool is_ours = is_owner(l);
	bool borrows = !is_ours && !l->has_thread;
	if (borrows) {
		l->is_lent = true;
		l->owner = pthread_self();
	} else if (!is_ours) {
		mutex_init(&c.lock);
		cond_init(&c.cond);
		list_add_tail(&l->posted, &c.msg.node);
	}
	mutex_unlock(&l->lock);
	if (is_ours || borrows) {
		fn(arg);
		if (borrows)
			give_back(l);
		return;
	}
	event_signal(&l->wake);
	mutex_lock(&c.lock);
	while (!c.is_done)
		cond_wait(&c.cond, &c.lock);
	mutex_unlock(&c.lock);
	cond_fini(&c.cond);
	mutex_fini(&c.lock);
}

void loop_bind(struct loop *l)
{
	mutex_lock(&l->lock);
	await_turn(l);
	l->has_thread = true;
	l->owner = pthread_self();
	mutex_unlock(&l->lock);
}

/* Runs what has been posted; once there is nothing, callers run things themselves. */
static void loop_unbind(struct loop *l)
{
	for (;;) {
		mutex_lock(&l->lock);
		bool is_last = list_empty(&l->posted);
		if (is_last)
			l->has_thread = false;
		mutex_unlock(&l->lock);
		if (is_last)
			return;
		loop_run_posted(l);
	}
}

void loop_run(struct loop *l)
{
	loop_bind(l);
	/* Relaxed: the wake-up that follows the store orders it. */
	while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
		int n = epoll_wait(l->epfd, l->batch, LOOP_BATCH, loop_patience(l));

		l->batch_len = n > 0 ? n : 0;
		for (l->batch_at = 0; l->batch_at < l->batch_len;) {
			struct epoll_event *ev = &l->batch[l->batch_at++];
			struct loop_fd *src = ev->data.ptr;

			if (!src)
				continue;
			unsigned got = (ev->events & (EPOLLIN | EPOLLHUP) ? LOOP_READ : 0U) |
				       (ev->events & EPOLLOUT ? LOOP_WRITE : 0U) |
				       (ev->events & (EPOLLHUP | EPOLLERR) ? LOOP_HUP : 0U);
			src->fn(src, got);
		}
		l->batch_len = 0;
		loop_run_timers(l);
	}
	atomic_store_explicit(&l->stop, false, memory_order_relaxed);
	loop_unbind(l);
}

void loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->stop, true, memory_order_relaxed);
	event_signal(&l->wake);
}

static void *loop_thread(void *arg)
{
	loop_run(arg);
	return NULL;
}

int loop_thread_start(struct loop *l, const char *name)
{
	mutex_lock(&l->lock);
	await_turn(l);
	int r = thread_start(&l->thread, name, loop_thread, l);
	if (r == 0) {
		l->has_thread = true;
		l->owner = l->thread;
		l->is_own_thread = true;
	}
	mutex_unlock(&l->lock);
	return r;
}

void loop_thread_stop(struct loop *l)
{
	if (!l->is_own_thread)
		return;
	loop_stop(l);
	(void)pthread_join(l->thread, NULL);
	l->is_own_thread = false;
}

int loop_create(struct loop **out)
{
	AUTO_FREE struct loop *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;

	int r = event_open(&l->wake);
	if (r < 0)
		return r;
	list_init(&l->timers);
	list_init(&l->posted);
	mutex_init(&l->lock);
	cond_init(&l->returned);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_src = (struct loop_fd){ .fd = l->wake.rfd, .fn = loop_on_wake };
	r = l->epfd < 0 ? -errno : loop_add(l, &l->wake_src, LOOP_READ);
	if (r < 0) {
		loop_destroy(take(&l));
		return r;
	}
	*out = take(&l);
	return 0;
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	loop_thread_stop(l);
	fd_drop(&l->epfd);
	event_close(&l->wake);
	cond_fini(&l->returned);
	mutex_fini(&l->lock);
	free(l);
}
