/* SPDX-License-Identifier: Apache-2.0 */
/* A socket and its context: see served.h. */
#include "vtest/served.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

void served_init(struct served *s, const struct served_config *cfg, int stop_how)
{
	s->cfg = *cfg;
	s->stop_how = stop_how;
	atomic_init(&s->fd, -1);
	mutex_init(&s->lock);
}

void served_fini(struct served *s)
{
	mutex_fini(&s->lock);
}

bool served_begin(struct served *s, int fd, struct err *e)
{
	s->e = e ? e : &s->unheard;
	s->e->text[0] = '\0';
	atomic_store(&s->fd, fd);
	mutex_lock(&s->lock);
	bool is_stopped = s->is_stopped;
	mutex_unlock(&s->lock);
	return !is_stopped;
}

void served_set_name(struct served *s, const uint8_t *bytes, size_t len)
{
	if (len > sizeof(s->name) - 1)
		len = sizeof(s->name) - 1;
	mutex_lock(&s->lock);
	for (size_t i = 0; i < len; i++)
		s->name[i] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
	s->name[len] = '\0';
	mutex_unlock(&s->lock);
}

int served_open(struct served *s, void (*fence)(void *user, uint32_t ring_idx, uint64_t fence_id),
		void (*fatal)(void *user),
		void (*ring_placed)(void *user, uint32_t res_id, uint64_t off), void *user)
{
	const struct venus_ctx_config cfg = {
		.gipa = s->cfg.gipa,
		.name = s->name, /* written by this very thread */
		.limits = s->cfg.limits,
		.budget = s->cfg.budget,
		.maps_driver_memory = s->cfg.maps_driver_memory,
		.probe = s->cfg.probe,
		.fence_retired = fence,
		.fatal = fatal,
		.ring_placed = ring_placed,
		.user = user,
	};
	struct venus_ctx *ctx;
	int r = venus_ctx_create(&cfg, &ctx);

	if (r < 0)
		return err_set(s->e, r, "no context could be created: %s", strerror(-r));
	mutex_lock(&s->lock);
	s->ctx = ctx;
	bool is_stopped = s->is_stopped;
	mutex_unlock(&s->lock);
	if (is_stopped)
		venus_ctx_stop(ctx);
	return 0;
}

int served_end(struct served *s)
{
	s->e = NULL;
	mutex_lock(&s->lock);
	struct venus_ctx *ctx = s->ctx;
	s->ctx = NULL;
	mutex_unlock(&s->lock);

	int r = venus_ctx_destroy(ctx);
	atomic_store(&s->fd, -1);
	return r;
}

void served_stop(struct served *s)
{
	mutex_lock(&s->lock);
	s->is_stopped = true;
	if (s->ctx)
		venus_ctx_stop(s->ctx); /* callbacks may run in here: they take no lock of ours */
	mutex_unlock(&s->lock);

	/* Who began to serve before that has stored its socket; who begins later sees is_stopped.
	 */
	int fd = atomic_load(&s->fd);
	if (fd >= 0)
		(void)shutdown(fd, s->stop_how);
}

bool served_is_inside(struct served *s)
{
	mutex_lock(&s->lock);
	bool is_inside = s->ctx != NULL;
	mutex_unlock(&s->lock);
	return is_inside;
}

bool served_counters(struct served *s, struct venus_counters *out)
{
	mutex_lock(&s->lock);
	bool has_ctx = s->ctx != NULL;
	if (has_ctx)
		venus_ctx_counters(s->ctx, out);
	else
		*out = (struct venus_counters){ 0 };
	mutex_unlock(&s->lock);
	return has_ctx;
}

void served_name(struct served *s, char name[SERVED_NAME_SIZE])
{
	mutex_lock(&s->lock);
	memcpy(name, s->name, SERVED_NAME_SIZE);
	mutex_unlock(&s->lock);
}
