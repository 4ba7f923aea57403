/* SPDX-License-Identifier: Apache-2.0 */
/* Helper programs: see launch.h. */
#include "api/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/proc.h"
#include "host/thread.h"

#define HELPER_FD 3
#define NS_PER_MS UINT64_C(1000000)
#define STEP_MS   5
#define ASK_MS    10000 /* a helper answers at once, unless the host is overloaded */

static int try_path(char *path, const char *dir, const char *sub, const char *name)
{
	if (snprintf(path, LAUNCH_PATH_MAX, "%s%s/%s", dir, sub, name) >= LAUNCH_PATH_MAX)
		return -ENAMETOOLONG;
	return access(path, X_OK) < 0 ? -errno : 0;
}

int launch_find(const char *name, char *path, struct err *e)
{
	static const char *const subs[] = { "", "/../libexec/pecten", "/../vmm" };
	const char *given = getenv("PECTEN_LIBEXEC");
	char dir[LAUNCH_PATH_MAX / 2];

	if (given) {
		if (try_path(path, given, "", name) == 0)
			return 0;
		return err_set(e, -ENOENT, "PECTEN_LIBEXEC names '%s', but there is no %s", given,
			       name);
	}

	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);

	if (n > 0) {
		dir[n] = '\0';
		*strrchr(dir, '/') = '\0';
		for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
			if (try_path(path, dir, subs[i], name) == 0)
				return 0;
		}
	}
	if (try_path(path, PECTEN_LIBEXECDIR, "", name) == 0)
		return 0;
	return err_set(
		e, -ENOENT,
		"the program %s is not installed (looked in '%s'); set PECTEN_LIBEXEC to its "
		"folder",
		name, PECTEN_LIBEXECDIR);
}

int launch(const char *const *argv, const struct launch_io *io, pid_t *pid, struct err *e)
{
	posix_spawn_file_actions_t acts;
	posix_spawnattr_t attr;
	sigset_t none;
	sigset_t all;
	int r;

	AUTO_FD own_err = io->err < 0 ? proc_stderr() : -1;
	const int err_fd = io->err < 0 ? own_err : io->err;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&acts) != 0)
		return err_set(e, -ENOMEM, "out of memory");
	if (posix_spawnattr_init(&attr) != 0) {
		(void)posix_spawn_file_actions_destroy(&acts);
		return err_set(e, -ENOMEM, "out of memory");
	}
	/* First: it may have one of the numbers that are filled next. */
	r = err_fd >= 0 ? posix_spawn_file_actions_adddup2(&acts, err_fd, 2) : 0;
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&acts, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0 && io->out < 0)
		r = posix_spawn_file_actions_addopen(&acts, 1, "/dev/null", O_WRONLY, 0);
	else if (r == 0)
		r = posix_spawn_file_actions_adddup2(&acts, io->out, 1);
	/* Even where both numbers are the same this clears close-on-exec. */
	if (r == 0 && io->fd >= 0)
		r = posix_spawn_file_actions_adddup2(&acts, io->fd, HELPER_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&acts, io->fd >= 0 ? HELPER_FD + 1
										: HELPER_FD);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attr, &all);
	/* Ctrl-C on the caller's terminal is for the workload, not for its machine. */
	if (r == 0)
		r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							    POSIX_SPAWN_SETSID);
	if (r == 0) {
		char *const *args = (char *const *)(uintptr_t)argv;

		r = posix_spawn(pid, argv[0], &acts, &attr, args, environ);
	}
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&acts);
	if (r != 0)
		return err_set(e, -r, "cannot start '%s': %s", argv[0], strerror(r));
	return 0;
}

int launch_end(pid_t *pid, unsigned timeout_ms)
{
	uint64_t until = clock_now_ns() + timeout_ms * NS_PER_MS;
	bool is_killed = false;
	int status = 0;

	if (*pid <= 0)
		return 0;
	for (;;) {
		pid_t done = waitpid(*pid, &status, is_killed ? 0 : WNOHANG);

		if (done == *pid || (done < 0 && errno != EINTR))
			break;
		if (done == 0 && clock_now_ns() >= until) {
			(void)kill(*pid, SIGKILL);
			is_killed = true;
		} else if (done == 0) {
			(void)poll(NULL, 0, STEP_MS);
		}
	}
	*pid = 0;
	return status;
}

int launch_ask(const char *const *argv, char *text, size_t len, struct err *e)
{
	int out[2];
	pid_t pid = 0;
	size_t n = 0;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(e, "cannot make a pipe");

	AUTO_FD from = out[0];
	AUTO_FD to = out[1];
	const struct launch_io io = { .fd = -1, .out = to, .err = -1 };
	int r = launch(argv, &io, &pid, e);

	fd_drop(&to);
	if (r < 0)
		return r;
	while (n + 1 < len) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		ssize_t got = poll(&p, 1, ASK_MS) > 0 ? read(from, text + n, len - 1 - n) : 0;

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';

	int status = launch_end(&pid, n > 0 ? ASK_MS : STEP_MS);

	if (n == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return err_set(e, -ETIMEDOUT, "%s does not answer", argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}
