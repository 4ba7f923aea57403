/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a machine's GPU: see gpu.h. */
#include "api/gpu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/launch.h"
#include "host/fd.h"
#include "host/place.h"
#include "host/thread.h"

#define READY_MS  60000 /* a driver that takes longer is not going to */
#define NS_PER_MS UINT64_C(1000000)
#define MIB       (UINT64_C(1) << 20)
#define MIN_BYTES (256 * MIB)

static bool has_manifest(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	bool found = false;

	while (d && !found && (entry = readdir(d)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		found = dot && strcmp(dot, ".json") == 0;
	}
	if (d)
		(void)closedir(d);
	return found;
}

bool gpu_is_likely(void)
{
	static const char *const variables[] = { "VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES",
						 "VK_ICD_FILENAMES" };
	static const char *const dirs[] = { "/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d",
					    "/usr/local/share/vulkan/icd.d",
					    "/usr/local/etc/vulkan/icd.d" };
	const char *home = getenv("HOME");
	char path[512];

	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = getenv(variables[i]);

		if (value && *value)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (has_manifest(dirs[i]))
			return true;
	}
	return home &&
	       snprintf(path, sizeof(path), "%s/.local/share/vulkan/icd.d", home) <
		       (int)sizeof(path) &&
	       has_manifest(path);
}

uint64_t gpu_default_memory(void)
{
	uint64_t half = (uint64_t)sysconf(_SC_PHYS_PAGES) / 2 * (uint64_t)sysconf(_SC_PAGESIZE);

	return half < MIN_BYTES ? MIN_BYTES : half / MIB * MIB;
}

/* What the broker says of its first renderer: an empty line is good news. */
static int wait_ready(int from, struct err *e)
{
	uint64_t until = clock_now_ns() + READY_MS * NS_PER_MS;
	char text[ERR_TEXT_MAX];
	size_t n = 0;

	for (;;) {
		uint64_t now = clock_now_ns();
		struct pollfd p = { .fd = from, .events = POLLIN };
		int left_ms = now < until ? (int)((until - now) / NS_PER_MS) + 1 : 0;
		int r = poll(&p, 1, left_ms);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set(e, -ETIMEDOUT,
				       "the host's Vulkan drivers did not load within %d s; use "
				       "--gpu off",
				       READY_MS / 1000);

		ssize_t got = read(from, text + n, sizeof(text) - 1 - n);
		n += got > 0 ? (size_t)got : 0;
		text[n] = '\0';
		if (got <= 0 || strchr(text, '\n') || n == sizeof(text) - 1)
			break;
	}
	if (n == 0)
		return err_set(e, -EIO, "the process that starts renderers ended at once");
	text[strcspn(text, "\n")] = '\0';
	return *text ? err_set(e, -ENODEV, "the guest cannot have a GPU: %s", text) : 0;
}

/*
 * A machine that has a name of its own keeps its compiled shaders; strangers share none, and where
 * a stranger could change them, none are kept.
 */
static void cache_path(const struct gpu_spec *spec, char *path, size_t size)
{
	char name[128];

	*path = '\0';
	if (!spec->name)
		return;
	(void)snprintf(name, sizeof(name), "vm/%s", spec->name);
	if (place_cache(path, size, name, NULL) < 0)
		*path = '\0';
}

int gpu_start(const struct gpu_spec *spec, int *sock, pid_t *pid, struct err *e)
{
	char path[LAUNCH_PATH_MAX];
	char cache[LAUNCH_PATH_MAX];
	char memory[24];
	char level[8];
	char contexts[8];
	int pair[2];
	int out[2] = { -1, -1 };
	int r = launch_find("pecten-vm", path, e);

	if (r < 0)
		return r;
	(void)snprintf(memory, sizeof(memory), "%" PRIu64, spec->memory);
	(void)snprintf(contexts, sizeof(contexts), "%d", GPU_CONTEXTS);
	(void)snprintf(level, sizeof(level), "%u", spec->log_level);
	cache_path(spec, cache, sizeof(cache));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "cannot make a socket pair");

	AUTO_FD ours = pair[0];
	AUTO_FD theirs = pair[1];
	if (spec->must_work && pipe2(out, O_CLOEXEC) < 0)
		return err_errno(e, "cannot make a pipe");

	AUTO_FD from = out[0];
	AUTO_FD to = out[1];
	const char *const argv[] = {
		path,
		"--renderers",
		memory,
		contexts,
		level,
		spec->must_work ? "eager" : "lazy",
		cache,
		spec->counts_all ? "all" : "mappable",
		spec->maps_driver ? "driver" : "own",
		NULL,
	};
	const struct launch_io io = { .fd = theirs, .out = to, .err = -1 };
	r = launch(argv, &io, pid, e);
	fd_drop(&to);
	if (r == 0 && spec->must_work)
		r = wait_ready(from, e);
	if (r < 0)
		return r;
	*sock = take_fd(&ours);
	return 0;
}
