/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A renderer process, seen from its owner: started, given a client, asked, ended.
 * One thread, which must live as long as its renderers: the kernel ends them with it.
 */
#ifndef PECTEN_RENDER_RENDERER_H
#define PECTEN_RENDER_RENDERER_H

#include <stdbool.h>
#include <stdint.h>

#include "host/proc.h"
#include "render/msg.h"
#include "util/compiler.h"
#include "util/err.h"

struct renderer_spec {
	enum render_kind kind;
	bool no_sandbox;
	bool maps_driver_memory; /* see venus/ctx.h */
	uint32_t log_level;
	uint32_t spin_us;
	uint64_t max_memory;   /* bytes of host-visible memory; 0: default */
	bool has_budget;       /* see render/budget.h */
	bool counts_all;       /* of it: also memory that no guest can map */
	uint64_t cache_max;    /* bytes */
	const char *cache_dir; /* exists; NULL for none */
};

struct renderer {
	struct proc proc;
	int control; /* becomes readable when renderer_receive() has something */
	int budget;  /* for budget_serve(); -1: none */
};

#define RENDERER_NONE ((struct renderer){ .proc = PROC_NONE, .control = -1, .budget = -1 })

/**
 * renderer_start() - execute pecten-renderer
 * @spec:	borrowed
 * @r:		on success, for renderer_end()
 *
 * Does not wait for it to load drivers: it will say RENDER_READY, or RENDER_FAILED with a sentence.
 *
 * Return: 0 or -errno with a sentence
 */
int renderer_start(const struct renderer_spec *spec, struct renderer *r, struct err *e) MUST_CHECK;

/**
 * renderer_give() - hand a client over; may be called before RENDER_READY has come
 * @client:	socket, borrowed
 *
 * Return: 0 or -errno; -EPIPE if the renderer has ended
 */
int renderer_give(struct renderer *r, int client) MUST_CHECK;

/** renderer_ask() - request RENDER_STATS. Return: 0 or -errno; never blocks */
int renderer_ask(struct renderer *r) MUST_CHECK;

/**
 * renderer_receive() - next message, without waiting
 * @msg:	on success; text is terminated, nothing else is checked
 * @fd:		receives the descriptor of RENDER_REPORT, which the caller owns; may be NULL
 *
 * Return: 0; -EAGAIN if there is none now; -ENODATA if the renderer has closed; -EPROTO
 */
int renderer_receive(struct renderer *r, struct render_msg *msg, int *fd) MUST_CHECK;

/* Kills and collects it; one that is RENDERER_NONE is fine. */
void renderer_end(struct renderer *r);

/**
 * renderer_probe() - have a child process describe the host's drivers
 * @timeout_ms:	for the whole probe
 * @json:	on success, text that the caller frees
 *
 * A driver that crashes or hangs costs the child only.
 *
 * Return: 0, or -errno with a sentence
 */
int renderer_probe(const struct renderer_spec *spec, int timeout_ms, char **json,
		   struct err *e) MUST_CHECK;

#endif
