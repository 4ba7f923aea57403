/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes by posix_spawn(3) and pidfd_open(2): see proc.h. */
#include "host/proc.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/fd.h"

/* posix_spawn's two objects, released with the scope. */
struct spawn {
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int high[PROC_FDS_MAX]; /* copies above every number that the child uses */
	int err;                /* of proc_stderr() */
};

static void spawn_fini(struct spawn *s)
{
	(void)posix_spawn_file_actions_destroy(&s->actions);
	(void)posix_spawnattr_destroy(&s->attr);
	for (int i = 0; i < PROC_FDS_MAX; i++)
		fd_drop(&s->high[i]);
	fd_drop(&s->err);
}

int proc_stderr(void)
{
	int flags = fcntl(STDERR_FILENO, F_GETFL);

	/* Of a file, a second description would have a position of its own: lines would be lost. */
	if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || !isatty(STDERR_FILENO))
		return -1;
	return open("/proc/self/fd/2", O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

static int spawn_prepare(struct spawn *s, const struct proc_spec *spec)
{
	const short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
	sigset_t none;
	sigset_t all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawnattr_setflags(&s->attr, flags);
	r = r ? r : posix_spawnattr_setsigmask(&s->attr, &none);
	r = r ? r : posix_spawnattr_setsigdefault(&s->attr, &all);
	r = r ? r : posix_spawnattr_setpgroup(&s->attr, 0);
	/* First: it may have the number that the next line takes. */
	if (r == 0 && s->err >= 0)
		r = posix_spawn_file_actions_adddup2(&s->actions, s->err, STDERR_FILENO);
	r = r ? r
	      : posix_spawn_file_actions_addopen(&s->actions, STDIN_FILENO, "/dev/null", O_RDONLY,
						 0);
	r = r ? r : posix_spawn_file_actions_adddup2(&s->actions, STDERR_FILENO, STDOUT_FILENO);

	for (unsigned i = 0; r == 0 && i < spec->nfds; i++) {
		/* Above all targets, so that no dup2() of the child overwrites a later source. */
		s->high[i] = fcntl(spec->fds[i], F_DUPFD_CLOEXEC, PROC_FD_BASE + PROC_FDS_MAX);
		if (s->high[i] < 0)
			return -errno;
		r = posix_spawn_file_actions_adddup2(&s->actions, s->high[i],
						     PROC_FD_BASE + (int)i);
	}
	r = r ? r
	      : posix_spawn_file_actions_addclosefrom_np(&s->actions,
							 PROC_FD_BASE + (int)spec->nfds);
	return -r;
}

int proc_spawn(const struct proc_spec *spec, struct proc *p, struct err *e)
{
	CLEANUP(spawn_fini) struct spawn s;

	for (int i = 0; i < PROC_FDS_MAX; i++)
		s.high[i] = -1;
	s.err = proc_stderr();
	(void)posix_spawn_file_actions_init(&s.actions);
	(void)posix_spawnattr_init(&s.attr);
	if (spec->nfds > PROC_FDS_MAX)
		return err_set(e, -EINVAL, "too many descriptors for '%s'", spec->path);

	int r = spawn_prepare(&s, spec);
	if (r == 0)
		r = -posix_spawn(&p->pid, spec->path, &s.actions, &s.attr,
				 (char *const *)(uintptr_t)spec->argv,
				 spec->envp ? (char *const *)(uintptr_t)spec->envp : environ);
	if (r < 0) {
		*p = PROC_NONE;
		return err_set(e, r, "cannot start '%s': %s", spec->path, strerror(-r));
	}

	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0) {
		r = -errno;
		proc_kill(p);
		return err_set(e, r, "cannot watch '%s': %s", spec->path, strerror(-r));
	}
	return 0;
}

int proc_reap(struct proc *p, int timeout_ms, int *status)
{
	struct pollfd end = { .fd = p->pidfd, .events = POLLIN };
	int st = 0;
	pid_t got;

	if (p->pid <= 0)
		return -EAGAIN;
	if (timeout_ms != 0 && p->pidfd >= 0)
		(void)poll(&end, 1, timeout_ms);
	do {
		got = waitpid(p->pid, &st, WNOHANG);
	} while (got < 0 && errno == EINTR);
	if (got == 0)
		return -EAGAIN;
	/* -ECHILD: somebody ignores SIGCHLD and the kernel has collected it. */
	if (status)
		*status = st;
	p->pid = 0;
	fd_drop(&p->pidfd);
	return 0;
}

void proc_kill(struct proc *p)
{
	if (p->pid <= 0)
		return;
	(void)kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
	}
	p->pid = 0;
	fd_drop(&p->pidfd);
}

void proc_describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		(void)snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

int proc_die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

/* Folder of the program or library that holds this code.  Return: 0 or -ENOENT */
static int own_folder(char *dir, size_t size)
{
	char self[PROC_PATH_MAX];
	Dl_info info;
	AUTO_FREE char *library = NULL;

	/* In the main program dladdr() has only argv[0]; a library has its path. */
	if (dladdr((const void *)(uintptr_t)own_folder, &info) && info.dli_fname &&
	    strstr(info.dli_fname, ".so"))
		library = realpath(info.dli_fname, NULL);
	if (!library) {
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

		if (n <= 0)
			return -ENOENT;
		self[n] = '\0';
	}
	const char *file = library ? library : self;

	const char *slash = strrchr(file, '/');
	size_t len = slash ? (size_t)(slash - file) : 0;
	if (len == 0 || len >= size)
		return -ENOENT;
	memcpy(dir, file, len);
	dir[len] = '\0';
	return 0;
}

/* Return: whether @path holds the path of a program */
static bool try_path(char *path, size_t size, const char *a, const char *b, const char *name)
{
	int n = snprintf(path, size, "%s/%s%s", a, b, name);

	return n > 0 && (size_t)n < size && access(path, X_OK) == 0;
}

int proc_libexec(const char *name, const char *dir, char *path, size_t size, struct err *e)
{
	const char *given = getenv("PECTEN_LIBEXEC");
	char built[64];
	char base[PROC_PATH_MAX] = "";

	if (given && *given) {
		if (try_path(path, size, given, "", name))
			return 0;
		return err_set(e, -ENOENT,
			       "there is no program '%s' in %s (PECTEN_LIBEXEC); unset the "
			       "variable or name the folder that has it",
			       name, given);
	}
	(void)snprintf(built, sizeof(built), "../%s/", dir);
	if (own_folder(base, sizeof(base)) == 0 &&
	    (try_path(path, size, base, "../libexec/pecten/", name) ||
	     try_path(path, size, base, "../../libexec/pecten/", name) ||
	     try_path(path, size, base, "../../../libexec/pecten/", name) ||
	     try_path(path, size, base, built, name)))
		return 0;
	return err_set(e, -ENOENT,
		       "cannot find '%s' near %s; reinstall pecten or set PECTEN_LIBEXEC to the "
		       "folder that has it",
		       name, *base ? base : "this program");
}
