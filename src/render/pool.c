/* SPDX-License-Identifier: Apache-2.0 */
/* The renderer processes of a server: see pool.h. */
#include "render/pool.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/thread.h"
#include "render/budget.h"
#include "render/cache.h"
#include "util/list.h"
#include "util/log.h"

#define NS_PER_MS UINT64_C(1000000)

/* A new client loads its driver first, then we load one for the next. */
#define SPARE_DELAY_MS 300

/* Pause after a spare that did not get ready, doubled with each further one. */
#define SPARE_RETRY_MS UINT64_C(500)

/*
 * How often a client is looked for, and how long its renderer may outlive it.  One that is itself
 * lingers 1 s and waits twice for the driver, VENUS_DESTROY_NS each.
 */
#define CLIENT_LOOK_MS UINT64_C(3000)
#define OUTLIVE_MS     UINT64_C(27000)

/* One user may have the places for clients divided by this, so that others get in. */
#define USER_SHARE 2

/* How often a shader cache is looked through for its size. */
#define CACHE_CHECK_MS UINT64_C(60000)
#define CACHE_USERS    16 /* whose times of it are remembered */

struct member {
	struct list node;
	struct pool *pool;
	struct renderer r;
	struct loop_fd said;   /* control socket */
	struct loop_fd ended;  /* pidfd */
	struct loop_fd claims; /* its memory; of the pool's budget */
	struct budget_account account;
	struct loop_timer load_limit;
	struct pool_client client; /* id 0: a spare */
	int sock;                  /* our copy of the client's socket until RENDER_ENDED, or -1 */
	struct loop_timer look;    /* at it, and when it has hung up, the end */
	bool is_left;
	bool is_taken;
	bool is_second_try; /* the client's first renderer died before it took the client */
	uid_t cache_uid;
	bool is_ready;
	bool is_asked;
	bool was_told; /* why it ended has been logged */
};

/* When a user's shader cache was last looked through for its size. */
struct cache_check {
	uid_t uid;
	uint64_t ns; /* 0: never */
};

struct pool {
	struct pool_config cfg;
	struct loop *loop;
	struct list members;
	unsigned count; /* with a client */
	uint64_t next_id;
	struct member *spare;
	struct loop_timer spare_timer;
	unsigned spare_fails; /* how many in a row ended before they were ready */
	bool was_told_first;  /* cfg.first has been called */
	struct cache_check checked[CACHE_USERS];
	struct budget budget;

	struct loop_timer refresh_timer;
	void (*refreshed)(void *arg); /* NULL: nobody asked */
	void *refreshed_arg;
};

static void member_free(struct member *m)
{
	struct pool *p = m->pool;

	loop_del(&m->said);
	loop_del(&m->ended);
	loop_del(&m->claims);
	loop_timer_del(&m->load_limit);
	loop_timer_del(&m->look);
	fd_drop(&m->sock);
	renderer_end(&m->r);
	budget_close(&m->account); /* its memory went with the process */
	list_del(&m->node);
	if (p->spare == m)
		p->spare = NULL;
	if (m->client.id)
		p->count--;
	free(m);
}

static void free_member(struct member **m)
{
	if (*m)
		member_free(*m);
}

static void tell_first(struct pool *p, int code, const char *text)
{
	if (p->cfg.first && !p->was_told_first)
		p->cfg.first(p->cfg.arg, code, text);
	p->was_told_first = true;
}

static void finish_refresh(struct pool *p)
{
	void (*fn)(void *arg) = p->refreshed;

	if (!fn)
		return;
	list_for_each(it, &p->members)
	{
		if (container_of(it, struct member, node)->is_asked)
			return;
	}
	loop_timer_del(&p->refresh_timer);
	p->refreshed = NULL;
	fn(p->refreshed_arg);
}

static void refresh_late(struct loop_timer *t)
{
	struct pool *p = container_of(t, struct pool, refresh_timer);

	list_for_each(it, &p->members) container_of(it, struct member, node)->is_asked = false;
	finish_refresh(p);
}

static const char *who(const struct member *m, char *text, size_t size)
{
	if (!m->client.id)
		return "a spare renderer";
	(void)snprintf(text, size, "client %ju (process %d%s%s)", (uintmax_t)m->client.id,
		       (int)m->client.pid, m->client.name[0] ? ", " : "", m->client.name);
	return text;
}

static void keep_name(struct member *m, const char *text)
{
	size_t i = 0;

	/* From a process that its client may have taken over. */
	for (; i + 1 < sizeof(m->client.name) && text[i]; i++)
		m->client.name[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
	m->client.name[i] = '\0';
}

/* Why a renderer ends is told once, however often it says so. Return: 0 or -EPROTO */
static int heed(struct member *m, const struct render_msg *msg)
{
	struct pool *p = m->pool;
	char text[160];

	switch (msg->type) {
	case RENDER_READY:
		m->is_ready = true;
		p->spare_fails = 0;
		loop_timer_del(&m->load_limit);
		tell_first(p, 0, "");
		break;
	case RENDER_TAKEN:
		m->is_taken = true;
		break;
	case RENDER_FAILED:
		if (m->was_told)
			break;
		log_error(GPU, "%s: %s", who(m, text, sizeof(text)), msg->text);
		tell_first(p, msg->code < 0 ? msg->code : -EIO, msg->text);
		m->was_told = true;
		break;
	case RENDER_ENDED:
		fd_drop(&m->sock); /* the client sees the end when the renderer closes its own */
		if (m->was_told)
			break;
		if (msg->code == -ECONNRESET) /* killed: nothing that anybody has to mend */
			log_info(GPU, "%s: %s", who(m, text, sizeof(text)), msg->text);
		else if (msg->code < 0)
			log_warn(GPU, "%s: %s", who(m, text, sizeof(text)), msg->text);
		m->was_told = true;
		break;
	case RENDER_STATS:
		m->client.stats = msg->stats;
		m->client.has_stats = true;
		keep_name(m, msg->text);
		m->is_asked = false;
		finish_refresh(p);
		break;
	default:
		return -EPROTO;
	}
	return 0;
}

/* Messages that one wake-up handles: a renderer must not keep its owner busy. */
#define HEED_MAX 16

static void on_claim(struct loop_fd *src, unsigned events)
{
	struct member *m = container_of(src, struct member, claims);
	int r = 0;

	(void)events;
	for (int i = 0; i < HEED_MAX && r == 0; i++)
		r = budget_serve(&m->account, src->fd);
	if (r < 0 && r != -EAGAIN) {
		/* What it has claimed stays claimed until it ends. */
		loop_del(src);
		fd_drop(&m->r.budget);
	}
}

static void start_spare_later(struct pool *p, uint64_t delay_ms)
{
	/* A driver that does not load is tried again, ever more seldom. */
	if (p->spare_fails)
		delay_ms += SPARE_RETRY_MS << (p->spare_fails < 8 ? p->spare_fails - 1 : 7);
	if (!p->spare)
		loop_timer_set(p->loop, &p->spare_timer, clock_now_ns() + delay_ms * NS_PER_MS);
}

static int serve_with(struct pool *p, const struct pool_client *client, int fd, bool is_second_try,
		      struct err *e);

/* A renderer is gone: its client, if it never got that, deserves another. */
static void member_gone(struct member *m)
{
	struct pool *p = m->pool;
	struct pool_client client = m->client;
	AUTO_FD sock = take_fd(&m->sock);
	bool is_lost = sock >= 0 && !m->is_taken && !m->was_told && !m->is_second_try;
	struct err e;

	if (!m->is_ready) {
		p->spare_fails++;
		tell_first(p, -EIO,
			   "the renderer process ended while it loaded the host's Vulkan drivers; "
			   "does 'vulkaninfo' work on this host?");
	}
	member_free(m);
	finish_refresh(p);
	if (is_lost && serve_with(p, &client, take_fd(&sock), true, &e) < 0)
		log_error(GPU, "%s", e.text);
	start_spare_later(p, 0);
}

static void on_said(struct loop_fd *src, unsigned events)
{
	struct member *m = container_of(src, struct member, said);
	struct render_msg msg;
	char text[160];
	int r = 0;

	(void)events;
	for (int i = 0; i < HEED_MAX && r == 0; i++) {
		r = renderer_receive(&m->r, &msg, NULL);
		if (r == 0)
			r = heed(m, &msg);
	}
	if (r == -EPROTO) {
		/* Its client has taken it over. */
		if (!m->was_told)
			log_error(GPU, "the renderer of %s sent nonsense",
				  who(m, text, sizeof(text)));
		m->was_told = true;
		member_gone(m);
	} else if (r < 0 && r != -EAGAIN) {
		loop_del(src); /* its end follows */
	}
}

/* A renderer that its client has taken over would run on, for itself. */
static void look_at_client(struct loop_timer *t)
{
	struct member *m = container_of(t, struct member, look);
	struct pollfd p = { .fd = m->sock, .events = POLLRDHUP };
	uint64_t ms = CLIENT_LOOK_MS;
	char text[160];

	if (m->is_left) {
		log_warn(GPU, "the renderer of %s did not end after its client, and is killed",
			 who(m, text, sizeof(text)));
		m->was_told = true;
		member_gone(m);
		return;
	}
	/* While it loads it has another limit.  RENDER_ENDED is its word only. */
	if (m->is_ready && (p.fd < 0 || poll(&p, 1, 0) > 0)) {
		m->is_left = true;
		ms = OUTLIVE_MS;
	}
	loop_timer_set(m->pool->loop, t, clock_now_ns() + ms * NS_PER_MS);
}

static void loads_too_long(struct loop_timer *t)
{
	struct member *m = container_of(t, struct member, load_limit);
	char text[160];

	log_error(GPU,
		  "%s: the host's Vulkan drivers did not load within %u s; does 'vulkaninfo' work "
		  "on this host?",
		  who(m, text, sizeof(text)), m->pool->cfg.load_s);
	m->was_told = true;
	tell_first(m->pool, -ETIMEDOUT,
		   "the host's Vulkan drivers do not load in time; does 'vulkaninfo' work on this "
		   "host?");
	member_gone(m);
}

static void on_ended(struct loop_fd *src, unsigned events)
{
	struct member *m = container_of(src, struct member, ended);
	struct render_msg msg;
	char how[128] = "ended";
	char text[160];
	int status;

	(void)events;
	for (int i = 0; i < HEED_MAX && renderer_receive(&m->r, &msg, NULL) == 0; i++)
		(void)!heed(m, &msg);
	loop_del(&m->ended);
	if (proc_reap(&m->r.proc, 0, &status) == 0)
		proc_describe(status, how, sizeof(how));
	if (!m->was_told)
		log_error(GPU, "the renderer of %s %s", who(m, text, sizeof(text)), how);
	else
		log_debug(GPU, "the renderer of %s %s", who(m, text, sizeof(text)), how);
	member_gone(m);
}

/* Whether it is time to look through a user's cache; the time is noted. */
static bool is_check_due(struct pool *p, uid_t uid, uint64_t now)
{
	struct cache_check *c = &p->checked[0];

	for (size_t i = 0; i < CACHE_USERS; i++) {
		if (p->checked[i].ns && p->checked[i].uid == uid) {
			c = &p->checked[i];
			break;
		}
		if (p->checked[i].ns < c->ns)
			c = &p->checked[i]; /* the oldest, to be replaced */
	}
	if (c->ns && c->uid == uid && now - c->ns <= CACHE_CHECK_MS * NS_PER_MS)
		return false;
	*c = (struct cache_check){ .uid = uid, .ns = now };
	return true;
}

static int cache_dir(struct pool *p, uid_t uid, char *dir, size_t size, struct err *e)
{
	uint64_t max = is_check_due(p, uid, clock_now_ns()) ? p->cfg.spec.cache_max : UINT64_MAX;

	return cache_prepare(p->cfg.cache_base, uid, max, dir, size, e);
}

static int member_start(struct pool *p, uid_t uid, struct member **out, struct err *e)
{
	struct renderer_spec spec = p->cfg.spec;
	char dir[RENDER_PATH_SIZE];
	int r;

	if (p->cfg.cache_base) {
		r = cache_dir(p, uid, dir, sizeof(dir), e);
		if (r < 0)
			return r;
		spec.cache_dir = dir;
	}
	CLEANUP(free_member) struct member *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, -ENOMEM, "no memory for a renderer");
	m->pool = p;
	m->cache_uid = uid;
	m->sock = -1;
	m->look.fn = look_at_client;
	m->load_limit.fn = loads_too_long;
	m->r = RENDERER_NONE;
	m->account.budget = &p->budget;
	list_init(&m->node);

	r = renderer_start(&spec, &m->r, e);
	if (r < 0)
		return r;
	list_add_tail(&p->members, &m->node);
	m->said.fd = m->r.control;
	m->said.fn = on_said;
	m->ended.fd = m->r.proc.pidfd;
	m->ended.fn = on_ended;
	r = loop_add(p->loop, &m->said, LOOP_READ);
	if (r == 0)
		r = loop_add(p->loop, &m->ended, LOOP_READ);
	m->claims.fd = m->r.budget;
	m->claims.fn = on_claim;
	if (r == 0 && m->r.budget >= 0)
		r = loop_add(p->loop, &m->claims, LOOP_READ);
	if (r < 0)
		return err_set(e, r, "cannot watch a renderer: %s", strerror(-r));
	loop_timer_set(p->loop, &m->load_limit,
		       clock_now_ns() + p->cfg.load_s * UINT64_C(1000) * NS_PER_MS);
	*out = take(&m);
	return 0;
}

static void start_spare(struct loop_timer *t)
{
	struct pool *p = container_of(t, struct pool, spare_timer);
	struct err e;

	if (p->spare || p->count >= p->cfg.max_clients)
		return;
	if (member_start(p, geteuid(), &p->spare, &e) < 0) {
		log_error(GPU, "%s", e.text);
		p->spare_fails++;
		start_spare_later(p, 0);
	}
}

int pool_create(const struct pool_config *cfg, struct loop *loop, struct pool **out, struct err *e)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, -ENOMEM, "no memory for renderers");
	p->cfg = *cfg;
	p->cfg.spec.has_budget = cfg->budget > 0;
	p->budget.limit = cfg->budget;
	p->loop = loop;
	p->spare_timer.fn = start_spare;
	p->refresh_timer.fn = refresh_late;
	list_init(&p->members);

	int r = cfg->is_lazy ? 0 : member_start(p, geteuid(), &p->spare, e);
	if (r < 0) {
		pool_destroy(p);
		return r;
	}
	*out = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	loop_timer_del(&p->spare_timer);
	loop_timer_del(&p->refresh_timer);
	list_for_each_safe(it, &p->members) member_free(container_of(it, struct member, node));
	free(p);
}

/* Gives a client a renderer; @fd is taken in every case. */
static int serve_with(struct pool *p, const struct pool_client *client, int fd, bool is_second_try,
		      struct err *e)
{
	AUTO_FD sock = fd;
	struct member *m = p->spare && p->spare->cache_uid == client->uid ? p->spare : NULL;
	int r;

	if (m && renderer_give(&m->r, sock) == 0) {
		p->spare = NULL;
	} else {
		/* No spare, one with another user's shader cache, or one that has just died. */
		m = NULL;
		r = member_start(p, client->uid, &m, e);
		if (!m)
			return r;
		r = renderer_give(&m->r, sock);
		if (r < 0) {
			member_free(m);
			return err_set(e, r, "a renderer ended at once: %s", strerror(-r));
		}
	}
	m->client = *client;
	m->client.renderer = m->r.proc.pid;
	m->sock = take_fd(&sock);
	loop_timer_set(p->loop, &m->look, clock_now_ns() + CLIENT_LOOK_MS * NS_PER_MS);
	m->is_second_try = is_second_try;
	p->count++;
	start_spare_later(p, SPARE_DELAY_MS);
	return 0;
}

/* Whether a user other than the server's own has all the places that one may take. */
static bool has_share(struct pool *p, uid_t uid)
{
	unsigned n = 0;

	if (uid == geteuid() || p->cfg.max_clients == 1)
		return false;
	list_for_each(it, &p->members)
	{
		const struct member *m = container_of(it, struct member, node);

		n += m->client.id && m->client.uid == uid;
	}
	return n >= (p->cfg.max_clients + USER_SHARE - 1) / USER_SHARE;
}

int pool_serve(struct pool *p, int client, struct err *e)
{
	AUTO_FD fd = client;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (p->count >= p->cfg.max_clients)
		return err_set(e, -EBUSY,
			       "a client was refused: %u are being served, which is the limit "
			       "(--max-clients)",
			       p->count);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return err_errno(e, "cannot tell who the client is");
	if (has_share(p, peer.uid))
		return err_set(e, -EBUSY,
			       "a client was refused: user %u has half of the %u places, which is "
			       "the limit for one user (--max-clients)",
			       (unsigned)peer.uid, p->cfg.max_clients);

	const struct pool_client who = {
		.id = ++p->next_id, .pid = peer.pid, .uid = peer.uid, .since_ns = clock_now_ns()
	};
	return serve_with(p, &who, take_fd(&fd), false, e);
}

unsigned pool_clients(struct pool *p, struct pool_client *out, unsigned max)
{
	unsigned n = 0;

	list_for_each(it, &p->members)
	{
		const struct member *m = container_of(it, struct member, node);

		if (m->client.id && n++ < max)
			out[n - 1] = m->client;
	}
	return n;
}

pid_t pool_spare(const struct pool *p)
{
	return p->spare && p->spare->is_ready ? p->spare->r.proc.pid : 0;
}

int pool_refresh(struct pool *p, void (*fn)(void *arg), void *arg)
{
	if (p->refreshed)
		return -EBUSY;
	p->refreshed = fn;
	p->refreshed_arg = arg;
	list_for_each(it, &p->members)
	{
		struct member *m = container_of(it, struct member, node);

		/* Before it is ready it does not look at its socket. */
		m->is_asked = m->client.id && m->is_ready && renderer_ask(&m->r) == 0;
	}
	loop_timer_set(p->loop, &p->refresh_timer, clock_now_ns() + POOL_REFRESH_MS * NS_PER_MS);
	finish_refresh(p);
	return 0;
}
