/* SPDX-License-Identifier: Apache-2.0 */
/* Renderers on request: see broker.h. */
#include "render/broker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/loop.h"
#include "render/pool.h"
#include "util/log.h"

#define LOAD_S  120 /* of seconds: an overloaded host is slow, not broken */
#define SPIN_US 50  /* a guest that computes sends its next message soon */

int broker_connect(int broker, int *sock)
{
	const struct broker_msg msg = { .magic = BROKER_MAGIC };
	int pair[2];

	/* syscall: socketpair sendmsg fcntl */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;

	AUTO_FD theirs = pair[1];
	AUTO_FD ours = pair[0];
	int r = fd_send(broker, &msg, sizeof(msg), &theirs, 1);
	if (r == 0)
		r = fd_set_nonblock(ours);
	if (r < 0)
		return r;
	*sock = take_fd(&ours);
	return 0;
}

struct broker {
	const struct broker_config *cfg;
	struct loop *loop;
	struct loop_fd src;
	struct pool *pool;
};

static int serve_one(struct broker *b)
{
	struct broker_msg msg;
	AUTO_FD client = -1;
	unsigned nfds = 1;
	struct err e;
	ssize_t n = fd_recv(b->cfg->sock, &msg, sizeof(msg), &client, &nfds);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return -ENODATA;
	if ((size_t)n != sizeof(msg) || msg.magic != BROKER_MAGIC || nfds != 1) {
		log_guest(GPU, "the VM process asked for something other than a renderer");
		return 0;
	}
	if (pool_serve(b->pool, take_fd(&client), &e) < 0)
		log_guest(GPU, "%s", e.text);
	return 0;
}

static void on_request(struct loop_fd *src, unsigned events)
{
	struct broker *b = container_of(src, struct broker, src);

	(void)events;
	if (serve_one(b) < 0)
		loop_stop(b->loop);
}

static int run(struct broker *b, struct err *e)
{
	const struct broker_config *cfg = b->cfg;
	const struct pool_config pool = {
		.spec = { .kind = RENDER_GUEST,
			  .log_level = cfg->log_level,
			  .spin_us = SPIN_US,
			  .max_memory = cfg->memory,
			  .counts_all = cfg->counts_all,
			  .maps_driver_memory = cfg->maps_driver,
			  .cache_max = cfg->cache_bytes },
		.budget = cfg->memory,
		.cache_base = cfg->cache,
		.max_clients = cfg->contexts,
		.load_s = LOAD_S,
		.is_lazy = !cfg->first,
		.first = cfg->first,
		.arg = cfg->arg,
	};
	int r = pool_create(&pool, b->loop, &b->pool, e);

	if (r < 0)
		return r;
	b->src = (struct loop_fd){ .fd = cfg->sock, .fn = on_request };
	r = loop_add(b->loop, &b->src, LOOP_READ);
	if (r < 0)
		return err_set(e, r, "cannot watch the VM process: %s", strerror(-r));
	loop_run(b->loop);
	loop_del(&b->src);
	return 0;
}

int broker_run(const struct broker_config *cfg, struct err *e)
{
	struct broker b = { .cfg = cfg };
	int r = loop_create(&b.loop);

	if (r < 0)
		return err_set(e, r, "no memory for an event loop");
	r = run(&b, e);
	pool_destroy(b.pool);
	loop_destroy(b.loop);
	return r;
}
