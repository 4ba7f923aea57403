/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The renderer processes of one server: one for each client and one started ahead, because loading
 * a driver takes longer than a client should wait.  Belongs to the thread of its event loop.
 */
#ifndef PECTEN_RENDER_POOL_H
#define PECTEN_RENDER_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/loop.h"
#include "render/renderer.h"
#include "util/compiler.h"
#include "util/err.h"

struct pool;

struct pool_config {
	struct renderer_spec spec; /* cache_dir is not used */
	const char *cache_base;    /* NULL: no shader cache; lives as long as the pool */
	uint64_t budget;           /* bytes that all clients may have together; 0: any number */
	unsigned max_clients;
	unsigned load_s; /* how long a renderer may take to load drivers, in seconds */
	bool is_lazy;    /* no spare before the first client has come */
	/* What became of the first renderer: called once, with -errno and a sentence if it did not
	 * get ready; may be NULL. */
	void (*first)(void *arg, int code, const char *text);
	void *arg;
};

struct pool_client {
	uint64_t id; /* counted from 1 */
	pid_t pid;   /* of the client, as the kernel says */
	uid_t uid;
	pid_t renderer;
	uint64_t since_ns; /* on CLOCK_MONOTONIC */
	bool has_stats;
	struct render_stats stats;
	char name[RENDER_NAME_SIZE]; /* printable; what the client calls itself */
};

/** pool_create() - start the spare renderer, unless lazy. Return: 0 or -errno with a sentence */
int pool_create(const struct pool_config *cfg, struct loop *loop, struct pool **out,
		struct err *e) MUST_CHECK;

/* Kills every renderer; NULL is fine. */
void pool_destroy(struct pool *p);

/**
 * pool_serve() - give a client a renderer
 * @client:	its socket, taken in every case
 *
 * A renderer that dies before it has taken the client is replaced, once.
 *
 * Return: 0; -EBUSY above max_clients; or -errno, with a sentence
 */
int pool_serve(struct pool *p, int client, struct err *e) MUST_CHECK;

/** pool_clients() - Return: number of clients now, at most @max of them described in @out */
unsigned pool_clients(struct pool *p, struct pool_client *out, unsigned max);

/** pool_spare() - Return: process id of the spare renderer once it is ready, else 0 */
pid_t pool_spare(const struct pool *p);

/**
 * pool_refresh() - ask all renderers for their counters
 * @fn:		called once, when all have answered or after POOL_REFRESH_MS, with @arg
 *
 * One at a time.
 *
 * Return: 0, or -EBUSY while another is under way
 */
#define POOL_REFRESH_MS 500
int pool_refresh(struct pool *p, void (*fn)(void *arg), void *arg) MUST_CHECK;

#endif
