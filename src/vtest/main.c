/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pecten-renderer: one client's commands on the host's GPU, in a process of their own.
 *
 * Executed by its owner with a control socket as descriptor 3; see render/msg.h for what is said
 * there.  It loads the Vulkan driver, confines itself in three stages (confine.h), and then serves
 * the client until that leaves: a program that speaks vtest, or the virtio-gpu device of a VM that
 * passes on what one context of its guest asks for.  A second thread watches the control socket, so
 * that the owner can ask for counters, and the client's socket, so that a client that dies is
 * noticed while its commands block.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/proc.h"
#include "host/thread.h"
#include "render/budget.h"
#include "render/msg.h"
#include "util/log.h"
#include "venus/ctx.h"
#include "venus/probe.h"
#include "vtest/confine.h"
#include "vtest/guest.h"
#include "vtest/report.h"
#include "vtest/server.h"
#include "vtest/warm.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)

/* How long a client that has closed its socket may keep commands running. */
#define LINGER_NS UINT64_C(1000000000)

/* What a client is spoken with; see vtest/server.h and vtest/guest.h. */
struct front_end {
	int (*create)(const struct served_config *cfg, struct served **out);
	int (*serve)(struct served *s, int fd, struct err *e);
	void (*destroy)(struct served *s);
};

struct renderer {
	struct render_config cfg;
	PFN_vkGetInstanceProcAddr gipa;
	struct venus_probe found; /* before the client came */
	const struct front_end *front;
	struct served *server;
	struct budget_client memory; /* with RENDER_HAS_BUDGET */
	struct venus_budget budget;
	int client;
	pthread_t watcher;
	int done[2]; /* pipe: closed for writing when the client has been served */
};

static const struct front_end front_ends[] = {
	[RENDER_VTEST] = { vtest_server_create, vtest_serve, vtest_server_destroy },
	[RENDER_GUEST] = { guest_create, guest_serve, guest_destroy },
};

static int send_text(uint32_t type, int code, const char *text)
{
	struct render_msg msg = { .type = type, .code = code };

	(void)snprintf(msg.text, sizeof(msg.text), "%s", text);
	return fd_send(RENDER_CONTROL, &msg, sizeof(msg), NULL, 0);
}

/* Tells the owner, who tells the user. */
static NORETURN void fail(const struct err *e)
{
	if (send_text(RENDER_FAILED, e->code, e->text) < 0)
		log_error(RENDERER, "%s", e->text);
	_exit(1);
}

static int receive_config(struct render_config *cfg)
{
	unsigned none = 0;
	ssize_t n = fd_recv(RENDER_CONTROL, cfg, sizeof(*cfg), NULL, &none);

	if (n < 0)
		return (int)n;
	if ((size_t)n != sizeof(*cfg) || cfg->type != RENDER_CONFIG || cfg->magic != RENDER_MAGIC ||
	    cfg->size != sizeof(*cfg) || cfg->kind > RENDER_PROBE ||
	    strnlen(cfg->cache_dir, sizeof(cfg->cache_dir)) == sizeof(cfg->cache_dir))
		return -EPROTO;
	return 0;
}

static int send_stats(struct renderer *r)
{
	struct render_msg msg = { .type = RENDER_STATS };
	struct venus_counters c;

	_Static_assert(sizeof(msg.text) >= SERVED_NAME_SIZE, "a client's name fits");
	(void)served_counters(r->server, &c);
	served_name(r->server, msg.text);
	msg.stats = (struct render_stats){
		.commands = c.commands,
		.bytes = c.bytes,
		.submits = c.submits,
		.replies = c.replies,
		.ring_wakes = c.ring_wakes,
		.ring_idles = c.ring_idles,
		.ring_sleeps = c.ring_sleeps,
		.fences = c.fences,
		.fences_folded = c.fences_folded,
		.fences_spun = c.fences_spun,
		.rings = c.rings,
		.objects = c.objects,
		.resources = c.resources,
		.host_memories = c.host_memories,
		.host_bytes = c.host_bytes,
		.shm_bytes = c.shm_bytes,
	};
	return fd_send(RENDER_CONTROL, &msg, sizeof(msg), NULL, 0);
}

/* Return: 0, or < 0 when the owner is gone */
static int serve_owner(struct renderer *r)
{
	struct render_msg msg;
	unsigned none = 0;
	ssize_t n = fd_recv(RENDER_CONTROL, &msg, sizeof(msg), NULL, &none);

	if (n <= 0)
		return -EPIPE;
	if ((size_t)n == sizeof(msg) && msg.type == RENDER_GET_STATS)
		return send_stats(r);
	return 0;
}

static int end_unrested(void)
{
	return send_text(RENDER_ENDED, -ETIMEDOUT,
			 "the host's Vulkan driver did not come to rest after its client had left");
}

/* For poll(): until @deadline_ns; 0 and UINT64_MAX stand for never. */
static int ms_until(uint64_t deadline_ns)
{
	uint64_t now = deadline_ns ? clock_now_ns() : 0;

	if (deadline_ns == 0 || deadline_ns == UINT64_MAX)
		return -1;
	return deadline_ns > now ? (int)((deadline_ns - now) / NS_PER_MS) + 1 : 0;
}

/* Watches owner and client until the client has been served. */
static void *watch(void *arg)
{
	struct renderer *r = arg;
	struct pollfd fds[3] = {
		{ .fd = r->done[0], .events = POLLIN },
		{ .fd = RENDER_CONTROL, .events = POLLIN },
		{ .fd = r->client, .events = POLLRDHUP },
	};
	uint64_t stop_ns = 0;    /* when to stop the context; 0: no reason yet */
	uint64_t give_up_ns = 0; /* when to end the process; 0: the context was not stopped yet */

	for (;;) {
		int n = poll(fds, ARRAY_LEN(fds), ms_until(give_up_ns ? give_up_ns : stop_ns));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || fds[0].revents)
			return NULL;
		if (fds[1].revents && serve_owner(r) < 0) {
			fds[1].fd = -1;
			stop_ns = 1; /* at once */
		}
		if (fds[2].revents) {
			fds[2].fd = -1;
			if (stop_ns == 0)
				stop_ns = clock_now_ns() + LINGER_NS;
		}
		uint64_t now = clock_now_ns();
		if (stop_ns && !give_up_ns && now >= stop_ns) {
			/* The client left long ago, and its last commands still block. */
			served_stop(r->server);
			give_up_ns = now + VENUS_DESTROY_NS;
		}
		/*
		 * Whoever ends the context gives up by itself.  A command inside of the driver does
		 * not, and would keep this process and its memory for ever.
		 */
		if (give_up_ns && now >= give_up_ns) {
			if (served_is_inside(r->server)) {
				(void)end_unrested();
				_exit(1);
			}
			give_up_ns = UINT64_MAX;
		}
	}
}

/* Return: 0 with the client's socket, -ENODATA if the owner has no client for us */
static int receive_client(int *client)
{
	struct render_msg msg;

	for (;;) {
		unsigned nfds = 1;
		ssize_t n = fd_recv(RENDER_CONTROL, &msg, sizeof(msg), client, &nfds);

		if (n <= 0)
			return -ENODATA;
		if ((size_t)n == sizeof(msg) && msg.type == RENDER_CLIENT && nfds == 1)
			return 0;
		if (nfds)
			fd_drop(client);
	}
}

static int claim(void *arg, uint64_t bytes)
{
	return budget_claim(arg, bytes);
}

static void give_back(void *arg, uint64_t bytes)
{
	budget_return(arg, bytes);
}

static int serve(struct renderer *r)
{
	struct err e;

	r->memory.sock = RENDER_BUDGET;
	mutex_init(&r->memory.lock);
	r->budget = (struct venus_budget){
		.claim = claim,
		.give_back = give_back,
		.arg = &r->memory,
		.counts_all = r->cfg.flags & RENDER_COUNTS_ALL,
	};

	const struct served_config cfg = {
		.gipa = r->gipa,
		.limits = { .host_bytes = r->cfg.max_memory },
		.budget = r->cfg.flags & RENDER_HAS_BUDGET ? &r->budget : NULL,
		.maps_driver_memory = r->cfg.flags & RENDER_MAP_DRIVER,
		.probe = &r->found,
		.spin_ns = r->cfg.spin_us * NS_PER_US,
	};

	r->front = &front_ends[r->cfg.kind];
	int code = r->front->create(&cfg, &r->server);
	if (code == 0 && pipe2(r->done, O_CLOEXEC) < 0)
		code = -errno;
	if (code == 0)
		code = thread_start(&r->watcher, "watch", watch, r);
	if (code < 0) {
		(void)err_set(&e, code, "no resources for a client: %s", strerror(-code));
		fail(&e);
	}

	code = r->front->serve(r->server, r->client, &e);
	int sent = code == -ETIMEDOUT ? end_unrested()
				      : send_text(RENDER_ENDED, code, code < 0 ? e.text : "");
	if (sent < 0)
		log_debug(RENDERER, "the owner is gone");
	if (code == -ETIMEDOUT)
		_exit(1);
	fd_drop(&r->done[1]);
	(void)pthread_join(r->watcher, NULL);
	fd_drop(&r->done[0]);
	r->front->destroy(r->server);
	return code;
}

int main(void)
{
	struct renderer r = { .client = -1, .done = { -1, -1 } };
	struct err e;

	log_set_name("pecten-renderer");
	if (receive_config(&r.cfg) < 0) {
		(void)fprintf(stderr, "pecten-renderer: this program is started by 'pecten gpu "
				      "serve', not by hand\n");
		return 2;
	}
	log_set_level((enum log_level)(r.cfg.log_level <= LOG_TRACE ? r.cfg.log_level : LOG_TRACE));

	const bool confined = !(r.cfg.flags & RENDER_NO_SANDBOX);
	if (sandbox_early(&r.cfg, &e) < 0)
		fail(&e);
	if (venus_loader_open(&r.gipa, &e) < 0)
		fail(&e);
	if (confined && sandbox_opened(&r.cfg, &e) < 0)
		fail(&e);
	if (r.cfg.kind == RENDER_PROBE) {
		if (report_send(r.gipa, r.cfg.flags & RENDER_MAP_DRIVER, RENDER_CONTROL, &e) < 0)
			fail(&e);
		_exit(0);
	}
	uint64_t start_ns = clock_now_ns();
	if (warm_up(r.gipa, r.cfg.flags & RENDER_MAP_DRIVER, &r.found, &e) < 0)
		fail(&e);
	log_debug(RENDERER, "the host's drivers loaded in %ju ms",
		  (uintmax_t)((clock_now_ns() - start_ns) / NS_PER_MS));
	if (confined && sandbox_running(&e) < 0)
		fail(&e);
	if (send_text(RENDER_READY, 0, "") < 0)
		_exit(0);
	if (receive_client(&r.client) < 0)
		_exit(0); /* a spare that was not needed */
	if (send_text(RENDER_TAKEN, 0, "") < 0)
		_exit(0);

	int code = serve(&r);

	/* Not exit(): handlers of drivers and their libraries may race their own threads. */
	_exit(code < 0 ? 1 : 0);
}
