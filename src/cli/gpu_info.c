/* SPDX-License-Identifier: Apache-2.0 */
/* pecten gpu info: the host's drivers for people or programs, and a server's clients. */
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/gpu.h"
#include "host/fd.h"
#include "render/renderer.h"
#include "util/log.h"

#define ANSWER_MAX (4U << 20)
#define TIMEOUT_S  5

struct info_conf {
	bool json;
	bool maps_video_memory;
	bool no_sandbox;
	const char *socket;
};

#define FIELD(f) OPT_FIELD(struct info_conf, f)

/* clang-format off */
static const struct opt opts[] = {
	{ "json",       0, NULL,   "print JSON for programs",                              opt_flag,   FIELD(json),       0 },
	{ "socket",     0, "PATH", "clients and counters of the server on this socket",    opt_string, FIELD(socket),     0 },
	{ "map-video-memory", 0, NULL, "say what serving with this option would offer", opt_flag, FIELD(maps_video_memory), 0 },
	{ "no-sandbox", 0, NULL,   "do not confine the process that asks the drivers",     opt_flag,   FIELD(no_sandbox), OPT_DEBUG },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd cmd = {
	.name = "pecten gpu info",
	.synopsis = "",
	.about = "Shows the host's Vulkan devices, how guests get to map each kind of memory, and\n"
		 "the extensions that guests are offered.  With --socket, what a running server's\n"
		 "clients do.",
	.example = "  pecten gpu info\n"
		   "  pecten gpu info --json | jq -r '.devices[].name'\n"
		   "  pecten gpu info --socket $HOME/gpu.sock",
	.opts = opts,
};

static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	(void)json_object_object_get_ex(o, key, &v);
	return v;
}

static uint64_t number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(member(o, key));
}

static size_t length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* "a, b, c" */
static void join(struct json_object *array, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < length(array) && at < size; i++) {
		const char *s = json_object_get_string(json_object_array_get_idx(array, i));
		int n = snprintf(text + at, size - at, "%s%s", i ? ", " : "", s ? s : "");

		at += n > 0 ? (size_t)n : 0;
	}
}

static void show_device(struct json_object *d, size_t index)
{
	struct json_object *heaps = member(d, "heaps");
	struct json_object *types = member(d, "memoryTypes");
	struct json_object *extensions = member(d, "extensions");
	char flags[128];

	(void)printf("GPU %zu: %s\n", index, gpu_text(d, "name"));
	(void)printf("  driver      %s %s\n", gpu_text(d, "driver"), gpu_text(d, "driverInfo"));
	(void)printf("  type        %s\n", gpu_text(d, "type"));
	(void)printf("  Vulkan      %s, guests see %s\n", gpu_text(d, "hostApi"),
		     gpu_text(d, "guestApi"));
	for (size_t i = 0; i < length(heaps); i++)
		(void)printf("  heap %-6zu %" PRIu64 " MiB%s\n", i,
			     number(json_object_array_get_idx(heaps, i), "bytes") >> 20,
			     json_object_get_boolean(
				     member(json_object_array_get_idx(heaps, i), "deviceLocal"))
				     ? ", device-local"
				     : "");
	for (size_t i = 0; i < length(types); i++) {
		struct json_object *t = json_object_array_get_idx(types, i);

		join(member(t, "hostFlags"), flags, sizeof(flags));
		(void)printf("  memory %-4zu heap %" PRIu64 ", %s\n", i, number(t, "heap"),
			     flags[0] ? flags : "no flags");
		(void)printf("              guests map it by: %s%s%s\n", gpu_text(t, "strategy"),
			     *gpu_text(t, "why") ? "; " : "", gpu_text(t, "why"));
	}
	(void)printf("  extensions  %zu offered to guests (--json lists them)\n",
		     length(extensions));
}

static int show_host(const struct info_conf *c, struct err *e)
{
	const struct renderer_spec spec = { .kind = RENDER_PROBE,
					    .no_sandbox = c->no_sandbox,
					    .maps_driver_memory = c->maps_video_memory,
					    .log_level = LOG_WARN };
	AUTO_JSON *probe = NULL;

	int r = gpu_probe(&spec, &probe, e);
	if (r < 0)
		return r;
	if (c->json) {
		(void)puts(json_object_to_json_string_ext(probe, JSON_C_TO_STRING_PRETTY));
		return 0;
	}

	struct json_object *devices = member(probe, "devices");
	for (size_t i = 0; i < length(devices); i++)
		show_device(json_object_array_get_idx(devices, i), i);
	return 0;
}

static int ask_server(const char *path, struct json_object **out, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = TIMEOUT_S };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s" GPU_INFO_SUFFIX, path);

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return err_set(e, -ENAMETOOLONG, "the socket path is too long");
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "cannot create a socket");
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(
			e, "no 'pecten gpu serve' of yours answers on '%s'; is it running?", path);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));

	AUTO_FREE char *text = calloc(1, ANSWER_MAX + 1);
	size_t len = 0;
	while (text && len < ANSWER_MAX) {
		ssize_t got = recv(fd, text + len, ANSWER_MAX - len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(e, "the server on '%s' does not answer", path);
		if (got == 0)
			break;
		len += (size_t)got;
	}
	*out = text ? json_tokener_parse(text) : NULL;
	if (!*out)
		return err_set(e, -EBUSY, "the server on '%s' is busy; ask again", path);
	return 0;
}

static int show_server(const struct info_conf *c, struct err *e)
{
	AUTO_JSON *o = NULL;

	int r = ask_server(c->socket, &o, e);
	if (r < 0)
		return r;
	if (c->json) {
		(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
		return 0;
	}

	struct json_object *clients = member(o, "clients");
	(void)printf("%zu of %" PRIu64 " clients\n", length(clients), number(o, "maxClients"));
	for (size_t i = 0; i < length(clients); i++) {
		struct json_object *l = json_object_array_get_idx(clients, i);
		struct json_object *n = member(l, "counters");

		(void)printf("%" PRIu64 ": %s (process %" PRIu64 ", renderer %" PRIu64 ", %" PRIu64
			     " s)\n",
			     number(l, "id"), gpu_text(l, "name"), number(l, "pid"),
			     number(l, "renderer"), number(l, "seconds"));
		if (n)
			(void)printf("   %" PRIu64 " commands, %" PRIu64 " submits, %" PRIu64
				     " objects, %" PRIu64 " MiB mapped, %" PRIu64 " rings\n",
				     number(n, "commands"), number(n, "submits"),
				     number(n, "objects"), number(n, "hostBytes") >> 20,
				     number(n, "rings"));
	}
	return 0;
}

int gpu_info(int argc, char *const *argv)
{
	struct info_conf c = { 0 };
	struct err e = { 0 };

	int status = cli_options(&cmd, argc, argv, &c, 0, NULL);
	if (status >= 0)
		return status;
	int r = c.socket ? show_server(&c, &e) : show_host(&c, &e);
	return r < 0 ? cli_fail(&e, CLI_FAILED) : CLI_OK;
}
