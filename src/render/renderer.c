/* SPDX-License-Identifier: Apache-2.0 */
/* Renderer processes: see renderer.h. */
#include "render/renderer.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/thread.h"

#define ENV_MAX    128
#define REPORT_MAX (16U << 20) /* bytes of a probe's text */
#define NS_PER_MS  UINT64_C(1000000)

/*
 * Of the user's environment a renderer gets what drivers, the Vulkan loader and sanitizers read,
 * and nothing else: variables hold people's passwords.
 */
static const char *const env_prefixes[] = {
	"VK_",
	"MESA_",
	"LVP_",
	"LP_",
	"GALLIUM_",
	"RADV_",
	"ACO_",
	"AMD_",
	"ANV_",
	"INTEL_",
	"NVK_",
	"NIR_",
	"TU_",
	"V3D_",
	"DRI_",
	"LIBGL_",
	"__GL_",
	"__EGL_",
	"__NV_",
	"NVIDIA_",
	"CUDA_",
	"LD_LIBRARY_PATH=",
	"HOME=",
	"LANG=",
	"TZ=",
	"ASAN_OPTIONS=",
	"UBSAN_OPTIONS=",
	"TSAN_OPTIONS=",
	"LSAN_OPTIONS=",
	"LLVM_PROFILE_FILE=",
	"PECTEN_NULL_",
	"GLIBC_TUNABLES=",
};

static bool is_wanted(const char *var)
{
	for (size_t i = 0; i < ARRAY_LEN(env_prefixes); i++) {
		if (strncmp(var, env_prefixes[i], strlen(env_prefixes[i])) == 0)
			return true;
	}
	return false;
}

int renderer_start(const struct renderer_spec *spec, struct renderer *r, struct err *e)
{
	struct render_config cfg = {
		.type = RENDER_CONFIG,
		.magic = RENDER_MAGIC,
		.size = sizeof(cfg),
		.kind = spec->kind,
		.flags = (spec->no_sandbox ? RENDER_NO_SANDBOX : 0) |
			 (spec->maps_driver_memory ? RENDER_MAP_DRIVER : 0) |
			 (spec->has_budget ? RENDER_HAS_BUDGET : 0) |
			 (spec->counts_all ? RENDER_COUNTS_ALL : 0),
		.log_level = spec->log_level,
		.parent = getpid(),
		.spin_us = spec->spin_us,
		.max_memory = spec->max_memory,
		.cache_max = spec->cache_max,
	};
	const char *env[ENV_MAX + 1];
	size_t env_count = 0;
	char path[PROC_PATH_MAX];
	int pair[2];
	int claims[2] = { -1, -1 };

	*r = RENDERER_NONE;
	if (spec->cache_dir) {
		if (strlen(spec->cache_dir) >= sizeof(cfg.cache_dir))
			return err_set(e, -ENAMETOOLONG,
				       "the path of the shader cache is longer than %d bytes",
				       RENDER_PATH_SIZE - 1);
		memcpy(cfg.cache_dir, spec->cache_dir, strlen(spec->cache_dir));
	}
	int code = proc_libexec("pecten-renderer", "vtest", path, sizeof(path), e);
	if (code < 0)
		return code;
	for (char **v = environ; *v && env_count < ENV_MAX; v++) {
		if (is_wanted(*v))
			env[env_count++] = *v;
	}
	env[env_count] = NULL;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "cannot create a socket pair");
	AUTO_FD theirs = pair[1];
	AUTO_FD ours = pair[0];
	if (spec->has_budget && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, claims) < 0)
		return err_errno(e, "cannot create a socket pair");
	AUTO_FD claims_theirs = claims[1];
	AUTO_FD claims_ours = claims[0];
	if (spec->has_budget && fd_set_nonblock(claims_ours) < 0)
		return err_errno(e, "cannot prepare a socket");

	const int fds[] = { theirs, claims_theirs };
	const char *const argv[] = { "pecten-renderer", NULL };
	const struct proc_spec child = { .path = path,
					 .argv = argv,
					 .envp = env,
					 .fds = fds,
					 .nfds = spec->has_budget ? 2 : 1 };
	code = proc_spawn(&child, &r->proc, e);
	if (code < 0)
		return code;
	code = fd_send(ours, &cfg, sizeof(cfg), NULL, 0);
	if (code < 0) {
		proc_kill(&r->proc);
		return err_set(e, code, "the renderer ended at once: %s", strerror(-code));
	}
	r->control = take_fd(&ours);
	r->budget = take_fd(&claims_ours);
	return 0;
}

int renderer_give(struct renderer *r, int client)
{
	const struct render_msg msg = { .type = RENDER_CLIENT };

	return fd_send(r->control, &msg, sizeof(msg), &client, 1);
}

int renderer_ask(struct renderer *r)
{
	const struct render_msg msg = { .type = RENDER_GET_STATS };

	/* A renderer that does not read its socket must not hold up its owner. */
	ssize_t n = send(r->control, &msg, sizeof(msg), MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : 0;
}

int renderer_receive(struct renderer *r, struct render_msg *msg, int *fd)
{
	struct pollfd p = { .fd = r->control, .events = POLLIN };
	int got = -1;
	unsigned nfds = 1;

	if (poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	ssize_t n = fd_recv(r->control, msg, sizeof(*msg), &got, &nfds);
	if (nfds && (!fd || n != (ssize_t)sizeof(*msg))) {
		fd_drop(&got);
		nfds = 0;
	}
	if (n == 0 || n == -ECONNRESET)
		return -ENODATA;
	if (n != (ssize_t)sizeof(*msg)) {
		if (nfds)
			fd_drop(&got);
		return n < 0 ? (int)n : -EPROTO;
	}
	msg->text[sizeof(msg->text) - 1] = '\0';
	if (fd)
		*fd = nfds ? got : -1;
	return 0;
}

void renderer_end(struct renderer *r)
{
	proc_kill(&r->proc);
	fd_drop(&r->control);
	fd_drop(&r->budget);
}

static void end_renderer(struct renderer *r)
{
	renderer_end(r);
}

static int read_report(int fd, char **json, struct err *e)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > REPORT_MAX)
		return err_set(e, -EPROTO, "the probe's answer makes no sense");

	size_t len = (size_t)st.st_size;
	AUTO_FREE char *text = calloc(1, len + 1);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for the probe's answer");
	if (pread(fd, text, len, 0) != (ssize_t)len)
		return err_set(e, -EIO, "the probe's answer cannot be read");
	*json = take(&text);
	return 0;
}

static int died(struct renderer *r, struct err *e)
{
	char how[128] = "closed its socket";
	int status;

	if (proc_reap(&r->proc, 1000, &status) == 0)
		proc_describe(status, how, sizeof(how));
	return err_set(e, -EIO,
		       "the renderer process %s while it loaded the host's Vulkan drivers; does "
		       "'vulkaninfo' work on this host?",
		       how);
}

int renderer_probe(const struct renderer_spec *spec, int timeout_ms, char **json, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct renderer_spec probe = *spec;
	CLEANUP(end_renderer) struct renderer r;
	struct render_msg msg;

	probe.kind = RENDER_PROBE;
	int code = renderer_start(&probe, &r, e);
	while (code == 0) {
		uint64_t now = clock_now_ns();
		struct pollfd p = { .fd = r.control, .events = POLLIN };
		AUTO_FD fd = -1;

		if (now >= deadline || poll(&p, 1, (int)((deadline - now) / NS_PER_MS) + 1) == 0)
			return err_set(e, -ETIMEDOUT,
				       "the host's Vulkan drivers did not answer within %d s",
				       timeout_ms / 1000);
		code = renderer_receive(&r, &msg, &fd);
		if (code == -EAGAIN) {
			code = 0;
			continue;
		}
		if (code < 0)
			return died(&r, e);
		if (msg.type == RENDER_FAILED)
			return err_set(e, msg.code < 0 ? msg.code : -EIO, "%s", msg.text);
		if (msg.type == RENDER_REPORT)
			return read_report(fd, json, e);
	}
	return code;
}
