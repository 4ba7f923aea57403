/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/thread.h"
#include "null_icd.h"
#include "util/log.h"

#define WAIT_CAP_NS UINT64_C(1000000)

static struct {
	struct mutex lock;
	struct cond cond;
	pthread_once_t once;
	struct venus_ctx *ctx; /* to be stopped; under the lock */
	uint64_t at_ns;
} stopper = { .lock = MUTEX_INIT, .once = PTHREAD_ONCE_INIT };

static void *stop_late_ones(void *arg)
{
	(void)arg;
	mutex_lock(&stopper.lock);
	for (;;) {
		if (!stopper.ctx) {
			cond_wait(&stopper.cond, &stopper.lock);
		} else if (clock_now_ns() < stopper.at_ns) {
			(void)cond_wait_until(&stopper.cond, &stopper.lock, stopper.at_ns);
		} else {
			venus_ctx_stop(stopper.ctx);
			stopper.ctx = NULL;
		}
	}
	return NULL;
}

static void start(void)
{
	pthread_t t;

	log_set_level(LOG_OFF);
	null_control(
		&(struct null_control){ .wait_cap_ns = WAIT_CAP_NS, .has_few_extensions = true });
	cond_init(&stopper.cond);
	if (thread_start(&t, "stopper", stop_late_ones, NULL) < 0)
		abort();
	(void)pthread_detach(t);
}

void fuzz_begin(struct guest *g, struct guest_shm *reply, struct guest_shm *stream)
{
	(void)pthread_once(&stopper.once, start);
	if (guest_open(g, NULL) < 0 || guest_prologue(g, reply, stream) < 0) {
		(void)fprintf(stderr, "fuzz: the prologue is refused\n");
		abort();
	}
}

void fuzz_stop_after(struct guest *g, uint64_t ns)
{
	mutex_lock(&stopper.lock);
	stopper.ctx = g->ctx;
	stopper.at_ns = clock_now_ns() + ns;
	cond_signal(&stopper.cond);
	mutex_unlock(&stopper.lock);
}

void fuzz_end(struct guest *g, struct guest_shm *reply, struct guest_shm *stream)
{
	mutex_lock(&stopper.lock);
	stopper.ctx = NULL;
	mutex_unlock(&stopper.lock);
	guest_shm_drop(reply);
	guest_shm_drop(stream);
	if (guest_close(g) != 0) {
		(void)fprintf(stderr, "fuzz: the context does not end\n");
		abort();
	}
	if (null_alive(VK_OBJECT_TYPE_UNKNOWN)) {
		(void)fprintf(stderr, "fuzz: the context left %u objects in the driver\n",
			      null_alive(VK_OBJECT_TYPE_UNKNOWN));
		abort();
	}
}
