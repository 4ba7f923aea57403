/* SPDX-License-Identifier: Apache-2.0 */
/* pecten gpu serve: accepts clients and gives each a renderer process. */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/gpu.h"
#include "host/fd.h"
#include "host/listen.h"
#include "host/loop.h"
#include "host/place.h"
#include "host/thread.h"
#include "render/cache.h"
#include "render/pool.h"
#include "util/log.h"

#define DEFAULT_CLIENTS 64
#define MAX_CLIENTS     4096
#define CACHE_MAX       (UINT64_C(1) << 30)
#define MIN_MEMORY      (UINT64_C(16) << 20)
#define SPIN_CPUS       8
#define SPIN_US         2500
#define NS_PER_S        UINT64_C(1000000000)
#define LOAD_S          60

struct serve_conf {
	const char *path;
	const char *cache;
	uint32_t max_clients;
	uint32_t log_level;
	uint32_t spin_us;
	uint32_t load_s;
	uint64_t max_memory;
	bool maps_video_memory;
	bool no_sandbox;
};

#define FIELD(f) OPT_FIELD(struct serve_conf, f)

/* clang-format off */
static const struct opt opts[] = {
	{ "vtest",        0, "PATH", "listen on this unix socket",                          opt_string, FIELD(path),        OPT_REQUIRED },
	{ "max-clients",  0, "N",    "clients at a time, default 64",                       opt_u32,    FIELD(max_clients), 0 },
	{ "max-memory",   0, "SIZE", "mapped GPU memory of one client, e.g. 8G",            opt_size,   FIELD(max_memory),  0 },
	{ "shader-cache", 0, "DIR",  "keep compiled shaders here, or 'none'",               opt_string, FIELD(cache),       0 },
	{ "map-video-memory", 0, NULL, "let clients map video memory that only the driver can map: faster with NVIDIA, for clients that you trust with the device", opt_flag, FIELD(maps_video_memory), 0 },
	{ "log-level",    0, "0-5",  "0 off, 1 error, 2 warning (default) ... 5 trace",     opt_u32,    FIELD(log_level),   0 },
	{ "no-sandbox",   0, NULL,   "do not confine renderers: a client can then take over this user's account through a driver bug", opt_flag, FIELD(no_sandbox), OPT_DEBUG },
	{ "spin",         0, "US",   "poll a client's socket so long before sleeping",      opt_u32,    FIELD(spin_us),     OPT_DEBUG },
	{ "load-timeout", 0, "S",    "seconds that the host's drivers may take to load",    opt_u32,    FIELD(load_s),      OPT_DEBUG },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd cmd = {
	.name = "pecten gpu serve",
	.synopsis = "",
	.about = "Shares the host's GPU: programs with stock Mesa reach it through a unix socket.\n"
		 "Each client gets a confined renderer process of its own.  The socket is open to\n"
		 "your user alone; chmod it to admit others.  Ctrl-C or SIGTERM ends the server.",
	.example = "  pecten gpu serve --vtest $HOME/gpu.sock &\n"
		   "  export VN_DEBUG=vtest VTEST_SOCKET_NAME=$HOME/gpu.sock\n"
		   "  export VK_DRIVER_FILES=$(echo /usr/share/vulkan/icd.d/virtio_icd*.json)\n"
		   "  vulkaninfo --summary\n"
		   "\n"
		   "  podman run -v $HOME/gpu.sock:/gpu.sock -e "
		   "VTEST_SOCKET_NAME=/gpu.sock ...",
	.opts = opts,
};

struct server {
	struct serve_conf conf;
	struct loop *loop;
	struct listen_socket clients;
	struct listen_socket info;
	struct loop_fd clients_src;
	struct loop_fd info_src;
	struct loop_fd signal_src;
	struct pool *pool;
	int asker; /* connection on the info socket that waits for an answer */
};

static void on_client(struct loop_fd *src, unsigned events)
{
	struct server *s = container_of(src, struct server, clients_src);
	struct err e;

	(void)events;
	int fd = listen_accept(&s->clients);
	if (fd == -EAGAIN)
		return;
	if (fd < 0)
		(void)err_set(&e, fd, "cannot accept a client: %s", strerror(-fd));
	else if (pool_serve(s->pool, fd, &e) == 0)
		return;
	log_guest(GPU, "%s", e.text);
	if (fd == -EMFILE || fd == -ENFILE)
		(void)usleep(100000); /* the client still waits: do not spin on it */
}

static void add_stats(struct json_object *o, const struct render_stats *st)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "commands", st->commands },
		{ "bytes", st->bytes },
		{ "submits", st->submits },
		{ "replies", st->replies },
		{ "ringWakes", st->ring_wakes },
		{ "ringIdles", st->ring_idles },
		{ "ringSleeps", st->ring_sleeps },
		{ "fences", st->fences },
		{ "fencesFolded", st->fences_folded },
		{ "fencesSpun", st->fences_spun },
		{ "rings", st->rings },
		{ "objects", st->objects },
		{ "resources", st->resources },
		{ "hostMemories", st->host_memories },
		{ "hostBytes", st->host_bytes },
		{ "shmBytes", st->shm_bytes },
	};
	struct json_object *c = json_object_new_object();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		(void)json_object_object_add(c, rows[i].name,
					     json_object_new_uint64(rows[i].value));
	(void)json_object_object_add(o, "counters", c);
}

static struct json_object *describe(const struct pool_client *c)
{
	struct json_object *o = json_object_new_object();
	uint64_t age_s = (clock_now_ns() - c->since_ns) / NS_PER_S;

	(void)json_object_object_add(o, "id", json_object_new_uint64(c->id));
	(void)json_object_object_add(o, "name", json_object_new_string(c->name));
	(void)json_object_object_add(o, "pid", json_object_new_int((int)c->pid));
	(void)json_object_object_add(o, "uid", json_object_new_uint64(c->uid));
	(void)json_object_object_add(o, "renderer", json_object_new_int((int)c->renderer));
	(void)json_object_object_add(o, "seconds", json_object_new_uint64(age_s));
	if (c->has_stats)
		add_stats(o, &c->stats);
	return o;
}

static void answer_info(void *arg)
{
	struct server *s = arg;
	AUTO_JSON *root = json_object_new_object();
	struct json_object *list = json_object_new_array();
	unsigned room = s->conf.max_clients;
	AUTO_FREE struct pool_client *clients = calloc(room, sizeof(*clients));
	size_t len;

	unsigned n = clients ? pool_clients(s->pool, clients, room) : 0;
	for (unsigned i = 0; i < n && i < room; i++)
		(void)json_object_array_add(list, describe(&clients[i]));
	(void)json_object_object_add(root, "server", json_object_new_int((int)getpid()));
	(void)json_object_object_add(root, "maxClients",
				     json_object_new_uint64(s->conf.max_clients));
	(void)json_object_object_add(root, "spare", json_object_new_int((int)pool_spare(s->pool)));
	(void)json_object_object_add(root, "clients", list);

	const char *text = json_object_to_json_string_length(root, JSON_C_TO_STRING_PLAIN, &len);
	/* Who asks and does not read gets less: we never wait for them. */
	if (text && send(s->asker, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug(GPU, "nobody reads the answer on the info socket");
	fd_drop(&s->asker);
}

static void on_info(struct loop_fd *src, unsigned events)
{
	struct server *s = container_of(src, struct server, info_src);
	const int room = 4 << 20;

	(void)events;
	AUTO_FD fd = listen_accept(&s->info);
	if (fd < 0)
		return;
	if (s->asker >= 0)
		return; /* one at a time; they find an empty answer and may ask again */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	s->asker = take_fd(&fd);
	if (pool_refresh(s->pool, answer_info, s) < 0)
		fd_drop(&s->asker);
}

static void on_signal(struct loop_fd *src, unsigned events)
{
	struct server *s = container_of(src, struct server, signal_src);
	struct signalfd_siginfo info;

	(void)events;
	if (read(src->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		log_info(GPU, "ending on signal %u", info.ssi_signo);
	loop_stop(s->loop);
}

/* Return: 0 or -errno with a sentence */
static int watch_signals(struct server *s, struct err *e)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_src.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->signal_src.fn = on_signal;
	if (s->signal_src.fd < 0)
		return err_errno(e, "cannot watch for signals");
	return loop_add(s->loop, &s->signal_src, LOOP_READ);
}

static int open_sockets(struct server *s, struct err *e)
{
	char path[LISTEN_PATH_MAX + sizeof(GPU_INFO_SUFFIX)];

	int r = listen_open(s->conf.path, 0600, &s->clients, e);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s" GPU_INFO_SUFFIX, s->conf.path);
	r = listen_open(path, 0600, &s->info, e);
	if (r < 0)
		return r;
	s->clients_src.fd = s->clients.fd;
	s->clients_src.fn = on_client;
	s->info_src.fd = s->info.fd;
	s->info_src.fn = on_info;
	r = loop_add(s->loop, &s->clients_src, LOOP_READ);
	return r < 0 ? r : loop_add(s->loop, &s->info_src, LOOP_READ);
}

static void announce(const struct server *s, const char *device)
{
	(void)printf("pecten: serving '%s' on %s\n", device, s->conf.path);
	(void)fflush(stdout);
}

static int run(struct server *s, struct err *e)
{
	char cache[RENDER_PATH_SIZE];
	const char *device;
	struct pool_config cfg = {
		.spec = { .kind = RENDER_VTEST,
			  .no_sandbox = s->conf.no_sandbox,
			  .maps_driver_memory = s->conf.maps_video_memory,
			  .log_level = s->conf.log_level,
			  .spin_us = s->conf.spin_us,
			  .max_memory = s->conf.max_memory,
			  .cache_max = CACHE_MAX },
		.max_clients = s->conf.max_clients,
		.load_s = s->conf.load_s,
		.cache_base = s->conf.cache,
	};

	if (!cfg.cache_base) {
		int found = place_cache(cache, sizeof(cache), "shaders", e);

		if (found == 0)
			cfg.cache_base = cache;
		else if (found != -ENOENT)
			log_warn(GPU, "compiled shaders are not kept: %s", e->text);
	}
	if (cfg.cache_base && strcmp(cfg.cache_base, "none") == 0)
		cfg.cache_base = NULL;

	int r = loop_create(&s->loop);
	if (r < 0)
		return err_set(e, r, "cannot create an event loop: %s", strerror(-r));
	if ((r = watch_signals(s, e)) < 0 || (r = open_sockets(s, e)) < 0)
		return r;

	AUTO_JSON *probe = NULL;
	if ((r = gpu_probe(&cfg.spec, &probe, e)) < 0 || (r = gpu_usable(probe, &device, e)) < 0)
		return r;
	if ((r = pool_create(&cfg, s->loop, &s->pool, e)) < 0)
		return r;
	announce(s, device);
	loop_run(s->loop);
	return 0;
}

static void finish(struct server *s)
{
	loop_del(&s->clients_src);
	loop_del(&s->info_src);
	loop_del(&s->signal_src);
	listen_close(&s->info);
	listen_close(&s->clients);
	pool_destroy(s->pool);
	fd_drop(&s->asker);
	fd_drop(&s->signal_src.fd);
	loop_destroy(s->loop);
}

static int check(const struct serve_conf *c, struct err *e)
{
	if (c->max_clients < 1 || c->max_clients > MAX_CLIENTS)
		return err_set(e, -EINVAL, "--max-clients is a number from 1 to %d", MAX_CLIENTS);
	if (c->max_memory && c->max_memory < MIN_MEMORY)
		return err_set(e, -EINVAL, "--max-memory below 16M leaves no room for any client");
	if (c->load_s < 1)
		return err_set(e, -EINVAL, "--load-timeout is at least 1");
	if (c->log_level > LOG_TRACE)
		return err_set(e, -EINVAL, "--log-level is a number from 0 to 5");
	return 0;
}

/*
 * A client that polls a fence asks again within microseconds of our answer, and one that computes
 * token after token within a millisecond or two; waking up for each message costs more than looking
 * for it.  With few CPUs that would take one from the client.
 */
static uint32_t default_spin_us(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) >= SPIN_CPUS ? SPIN_US : 0;
}

int gpu_serve(int argc, char *const *argv)
{
	struct server s = {
		.conf = { .max_clients = DEFAULT_CLIENTS,
			  .log_level = LOG_WARN,
			  .load_s = LOAD_S,
			  .spin_us = default_spin_us() },
		.clients = { .fd = -1, .lock = -1 },
		.info = { .fd = -1, .lock = -1 },
		.signal_src = { .fd = -1 },
		.asker = -1,
	};
	struct err e = { 0 };

	int status = cli_options(&cmd, argc, argv, &s.conf, 0, NULL);
	if (status >= 0)
		return status;
	if (check(&s.conf, &e) < 0)
		return cli_fail(&e, CLI_USAGE);
	log_set_level((enum log_level)s.conf.log_level);
	int r = run(&s, &e);
	finish(&s);
	return r < 0 ? cli_fail(&e, CLI_FAILED) : CLI_OK;
}
