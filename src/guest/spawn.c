/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a command: see spawn.h.  The child does everything that concerns the process itself
 * between fork() and execve(), and tells a failure through a pipe that execve() closes.
 */
#include "guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/user.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define TTY_GID      5 /* Debian's and everybody's group tty */

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum stage { STAGE_STDIO, STAGE_LIMIT, STAGE_CWD, STAGE_USER, STAGE_EXEC };

/* Both ends of a command's stdio while it is being started. */
struct stdio {
	int ours[AGENT_STREAMS];
	int theirs[AGENT_STREAMS];
	int report[2];
};

static void drop(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void stdio_fini(struct stdio *io)
{
	for (int i = 0; i < AGENT_STREAMS; i++) {
		drop(&io->ours[i]);
		drop(&io->theirs[i]);
	}
	drop(&io->report[0]);
	drop(&io->report[1]);
}

static int fail(struct spawn_error *e, int code, const char *what)
{
	e->code = code;
	(void)snprintf(e->text, sizeof(e->text), "%s: %s", what, strerror(code));
	return -code;
}

static int set_nonblock(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int open_pipes(struct stdio *io, const struct cmd_spec *s, const struct user *u)
{
	for (int i = 0; i < AGENT_STREAMS; i++) {
		int p[2];

		if (i == AGENT_STDIN && (s->flags & AGENT_CMD_NO_STDIN)) {
			io->theirs[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
			if (io->theirs[i] < 0)
				return -errno;
			continue;
		}
		if (pipe2(p, O_CLOEXEC) < 0)
			return -errno;
		io->ours[i] = p[i == AGENT_STDIN];
		io->theirs[i] = p[i != AGENT_STDIN];
		/* One inode for both ends; /dev/stderr is opened by its owner only. */
		if (fchown(p[0], u->uid, u->gid) < 0 || set_nonblock(io->ours[i]) < 0)
			return -errno;
	}
	return 0;
}

static int open_terminal(struct stdio *io, const struct cmd_spec *s, const struct user *u)
{
	int unlock = 0;
	struct winsize size = { .ws_row = s->rows, .ws_col = s->cols };

	io->ours[AGENT_STDIN] = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (io->ours[AGENT_STDIN] < 0 || ioctl(io->ours[AGENT_STDIN], TIOCSPTLCK, &unlock) < 0)
		return -errno;
	io->ours[AGENT_STDOUT] = fcntl(io->ours[AGENT_STDIN], F_DUPFD_CLOEXEC, 3);

	int slave = ioctl(io->ours[AGENT_STDIN], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	io->theirs[AGENT_STDIN] = slave;
	if (io->ours[AGENT_STDOUT] < 0 || slave < 0)
		return -errno;
	if (ioctl(slave, TIOCSWINSZ, &size) < 0 || fchmod(slave, 0620) < 0)
		return -errno;
	/* In a user namespace without the group the terminal stays with the user's own. */
	if (fchown(slave, u->uid, TTY_GID) < 0 && fchown(slave, u->uid, u->gid) < 0)
		return -errno;
	return 0;
}

/* Default environment, the person's on top, and what a shell expects. */
static int make_env(const struct cmd_spec *s, const struct strs *base, const struct user *u,
		    struct strs *env)
{
	char home[USER_HOME_MAX + 8];
	int r = 0;

	for (size_t i = 0; r == 0 && i < base->n; i++)
		r = strs_set_env(env, base->v[i]);
	for (size_t i = 0; r == 0 && i < s->env.n; i++)
		r = strs_set_env(env, s->env.v[i]);
	if (r == 0 && !strs_env(env, "PATH"))
		r = strs_add(env, "PATH=" DEFAULT_PATH);
	if (r == 0 && !strs_env(env, "HOME")) {
		(void)snprintf(home, sizeof(home), "HOME=%s", u->home);
		r = strs_add(env, home);
	}
	if (r == 0 && (s->flags & AGENT_CMD_TTY) && !strs_env(env, "TERM"))
		r = strs_add(env, "TERM=xterm");
	return r;
}

static NORETURN void child_fail(int report, enum stage stage)
{
	struct spawn_report r = { .stage = (int32_t)stage, .code = errno };
	ssize_t n = write(report, &r, sizeof(r)); /* if even this fails, the status 125 tells */

	(void)n;
	_exit(125);
}

static int take_stdio(struct stdio *io, bool is_tty)
{
	/* Above 2 first, because dup2() onto a descriptor we still need would close it. */
	for (int i = 0; i < AGENT_STREAMS; i++) {
		if (io->theirs[i] >= 0 && io->theirs[i] < AGENT_STREAMS) {
			io->theirs[i] = fcntl(io->theirs[i], F_DUPFD_CLOEXEC, AGENT_STREAMS);
			if (io->theirs[i] < 0)
				return -1;
		}
	}
	for (int i = 0; i < AGENT_STREAMS; i++) {
		if (dup2(io->theirs[is_tty ? AGENT_STDIN : i], i) < 0)
			return -1;
	}
	return is_tty ? ioctl(0, TIOCSCTTY, 0) : 0;
}

/* As execvp(), but with the command's own PATH and without the detour through a shell. */
static void exec_by_path(const struct cmd_spec *s, const struct strs *env)
{
	const char *name = s->argv.v[0];
	const char *path = strs_env(env, "PATH");
	int code = ENOENT;
	char full[3072];

	if (strchr(name, '/')) {
		(void)execve(name, s->argv.v, env->v);
		return;
	}
	if (*name == '\0')
		path = NULL;
	while (path && *path) {
		size_t n = strcspn(path, ":");

		if (snprintf(full, sizeof(full), "%.*s/%s", (int)n, n ? path : ".", name) <
		    (int)sizeof(full)) {
			(void)execve(full, s->argv.v, env->v);
			if (errno == EACCES)
				code = EACCES; /* a later folder may still have it */
			else if (errno != ENOENT && errno != ENOTDIR)
				return;
		}
		path += n + (path[n] == ':');
	}
	errno = code;
}

static NORETURN void child(struct stdio *io, const struct cmd_spec *s, const struct user *u,
			   const struct strs *env)
{
	bool is_tty = s->flags & AGENT_CMD_TTY;
	int report = io->report[1];
	sigset_t none;

	(void)setsid();
	for (int i = 1; i < _NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);

	if (report < AGENT_STREAMS)
		report = fcntl(report, F_DUPFD_CLOEXEC, AGENT_STREAMS);
	if (take_stdio(io, is_tty) < 0)
		child_fail(report, STAGE_STDIO);
	for (unsigned i = 0; i < s->nrlimits; i++) {
		struct rlimit l = { .rlim_cur = s->rlimits[i].soft,
				    .rlim_max = s->rlimits[i].hard };

		if (setrlimit((unsigned)s->rlimits[i].resource, &l) < 0)
			child_fail(report, STAGE_LIMIT);
	}
	(void)umask(022);
	if (chdir(s->cwd && *s->cwd ? s->cwd : "/") < 0)
		child_fail(report, STAGE_CWD);

	/* Without CAP_SYS_BOOT the workload cannot end the VM behind the agent's back. */
	if (!(s->flags & AGENT_CMD_REBOOT))
		(void)prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0);
	/* In a user namespace that maps one user, groups cannot be set, nor need they be. */
	if (setgroups(u->ngroups, u->groups) < 0 && (u->ngroups > 0 || u->uid != 0))
		child_fail(report, STAGE_USER);
	if (setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		child_fail(report, STAGE_USER);
	exec_by_path(s, env);
	child_fail(report, STAGE_EXEC);
}

int spawn(const struct cmd_spec *s, const struct strs *base, struct spawned *out,
	  struct spawn_error *e)
{
	struct stdio io = { .ours = { -1, -1, -1 },
			    .theirs = { -1, -1, -1 },
			    .report = { -1, -1 } };
	struct strs env = { 0 };
	struct user u;
	int r = user_find("/etc", s->user ? s->user : "", &u);

	if (r < 0) {
		e->code = -r;
		(void)snprintf(e->text, sizeof(e->text), "%s '%.128s': %s",
			       r == -ENOENT ? "no such user or group" : "bad user", s->user,
			       r == -ENOENT ? "name one of the image's /etc/passwd, or use numbers"
					    : "write USER or USER:GROUP");
		return r;
	}
	r = make_env(s, base, &u, &env);
	if (r < 0) {
		strs_fini(&env);
		return fail(e, -r, "cannot make the environment");
	}
	r = s->flags & AGENT_CMD_TTY ? open_terminal(&io, s, &u) : open_pipes(&io, s, &u);
	if (r == 0 && pipe2(io.report, O_CLOEXEC) < 0)
		r = -errno;
	if (r < 0) {
		stdio_fini(&io);
		strs_fini(&env);
		return fail(e, -r,
			    s->flags & AGENT_CMD_TTY ? "cannot open a terminal in the guest"
						     : "cannot make pipes in the guest");
	}

	pid_t pid = fork();

	if (pid == 0)
		child(&io, s, &u, &env);
	strs_fini(&env);
	if (pid < 0) {
		r = fail(e, errno, "cannot start a process in the guest");
		stdio_fini(&io);
		return r;
	}
	out->pid = pid;
	for (int i = 0; i < AGENT_STREAMS; i++) {
		out->fd[i] = io.ours[i];
		io.ours[i] = -1;
	}
	out->report = io.report[0];
	io.report[0] = -1;
	stdio_fini(&io);
	return 0;
}

void spawn_explain(const struct cmd_spec *s, const struct spawn_report *r, struct spawn_error *e)
{
	const char *why = strerror(r->code);

	e->code = r->code;
	e->is_exec = r->stage == STAGE_EXEC;
	switch (r->stage) {
	case STAGE_STDIO:
		(void)snprintf(e->text, sizeof(e->text), "cannot set up stdio in the guest: %s",
			       why);
		break;
	case STAGE_LIMIT:
		(void)snprintf(e->text, sizeof(e->text), "cannot set a resource limit: %s", why);
		break;
	case STAGE_CWD:
		(void)snprintf(e->text, sizeof(e->text),
			       "cannot enter the working directory '%.256s' in the guest: %s",
			       s->cwd ? s->cwd : "/", why);
		break;
	case STAGE_USER:
		(void)snprintf(e->text, sizeof(e->text), "cannot become user '%.128s': %s",
			       s->user ? s->user : "root", why);
		break;
	default:
		(void)snprintf(e->text, sizeof(e->text), "cannot execute '%.256s' in the guest: %s",
			       s->argv.v[0], r->code == ENOENT ? "no such command" : why);
		break;
	}
}

void spawn_signal(pid_t pid, int signo)
{
	if (pid > 0)
		(void)kill(pid, signo);
}

void spawn_hang_up(pid_t pid)
{
	if (pid > 0)
		(void)kill(-pid, SIGHUP); /* a command leads a session, hence a process group */
}

void spawn_kill_all(void)
{
	if (getpid() == 1)
		(void)kill(-1, SIGKILL);
}
