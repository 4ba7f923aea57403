// SPDX-License-Identifier: Apache-2.0
/*
 * passt as a child: see net/passt.h.
 *
 * It refuses to start without a route out of the host, in words that do not help, so that is looked
 * up first.  Other errors (a port in use) it reports within its first moments, for which we wait.
 */
#include "net/passt.h"

#include <errno.h>
#include <fcntl.h>
#include <net/route.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/fd.h"

#define START_MS 150 /* in which a bad port is noticed */
#define ARGS_MAX (32 + 2 * PASST_FORWARDS_MAX)
#define LOG_MAX  1024

/* Whether a routing table of /proc/net has a default route: destination and mask, or prefix, zero.
 */
static bool has_default_route(const char *path, bool is_v6)
{
	FILE *f = fopen(path, "re");
	char line[256];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		char dest[33], dev[64], flags[17], mask[17];

		if (is_v6)
			found = sscanf(line, "%32s %16s %*s %*s %*s %*s %*s %*s %*s %63s", dest,
				       mask, dev) == 3 &&
				strcmp(mask, "00") == 0 && strcmp(dev, "lo") != 0;
		else
			found = sscanf(line, "%63s %32s %*s %16s %*s %*s %*s %16s", dev, dest,
				       flags, mask) == 4 &&
				strcmp(dest, "00000000") == 0 && strcmp(mask, "00000000") == 0 &&
				strtoul(flags, NULL, 16) & RTF_UP;
	}
	(void)fclose(f);
	return found;
}

struct args {
	char *v[ARGS_MAX];
	unsigned n;
	char fd[16], mtu[16], prefix[8];
	char forward[PASST_FORWARDS_MAX][48];
};

static void add(struct args *a, const char *s)
{
	a->v[a->n++] = (char *)(uintptr_t)s;
}

static void add2(struct args *a, const char *option, const char *value)
{
	add(a, option);
	add(a, value);
}

static void make_args(struct args *a, const struct passt_conf *c, int fd)
{
	(void)snprintf(a->fd, sizeof(a->fd), "%d", fd);
	(void)snprintf(a->mtu, sizeof(a->mtu), "%d", PASST_MTU);
	(void)snprintf(a->prefix, sizeof(a->prefix), "%d", PASST_PREFIX);
	add(a, c->program ? c->program : "passt");
	add(a, "-f");
	add(a, "-q");
	add2(a, "--fd", a->fd);
	add2(a, "-a", PASST_GUEST);
	add2(a, "-n", a->prefix);
	add2(a, "-g", PASST_GATEWAY);
	add2(a, "-m", a->mtu);
	add2(a, "--dns-forward", PASST_DNS);
	add2(a, "-u", "none");
	for (unsigned n = 0; n < c->n_forwards; n++) {
		(void)snprintf(a->forward[n], sizeof(a->forward[n]), "127.0.0.1/%u:%u",
			       c->forwards[n].host_port, c->forwards[n].guest_port);
		add2(a, "-t", a->forward[n]);
	}
	if (c->n_forwards == 0)
		add2(a, "-t", "none");
	add(a, NULL);
}

/* In the child: its socket and its log, and nothing else of ours.  Only async-signal-safe calls. */
static void NORETURN become(const struct args *a, int sock, int log, int failed)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (fcntl(sock, F_SETFD, 0) == 0 && dup2(log, 2) >= 0)
		(void)execvp(a->v[0], a->v);
	int err = errno;
	(void)!write(failed, &err, sizeof(err));
	_exit(127);
}

/* What it said, without the line ends. */
static void last_words(struct passt *p, char *text, size_t max)
{
	size_t len = 0;
	ssize_t n;

	while (len < max - 1 && (n = read(p->log_fd, text + len, max - 1 - len)) > 0)
		len += (size_t)n;
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	for (size_t k = 0; k < len; k++)
		if (text[k] == '\n')
			text[k] = ';';
}

int passt_check(struct passt *p, struct err *e)
{
	char text[LOG_MAX];
	int status;

	if (p->pid && waitpid(p->pid, &status, WNOHANG) != p->pid)
		return 0;
	if (!p->pid)
		return err_set(e, -ESRCH, "passt, the guest's network, is not running");
	p->pid = 0;
	last_words(p, text, sizeof(text));
	int code = strstr(text, "in use") || strstr(text, "Failed to bind") ? -EADDRINUSE : -EIO;
	return err_set(e, code, "passt, the guest's network, has ended: %.500s",
		       *text ? text : "it did not say why");
}

int passt_start(struct passt *p, const struct passt_conf *c, int *fd, struct err *e)
{
	AUTO_FREE struct args *args = calloc(1, sizeof(*args));
	int pair[2], log[2], failed[2];

	*p = (struct passt){ .log_fd = -1 };
	if (!args)
		return err_set(e, -ENOMEM, "no memory to start passt");
	if (c->n_forwards > PASST_FORWARDS_MAX)
		return err_set(e, -EINVAL, "more than %d forwarded ports", PASST_FORWARDS_MAX);
	if (!has_default_route("/proc/net/route", false) &&
	    !has_default_route("/proc/net/ipv6_route", true))
		return err_set(e, -ENETUNREACH,
			       "this host has no route to any network, which passt needs; use "
			       "--net none, or give the host a default route");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "cannot make a socket pair");
	AUTO_FD ours = pair[0], theirs = pair[1];
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(e, "cannot make a pipe");
	AUTO_FD log_rd = log[0], log_wr = log[1];
	if (pipe2(failed, O_CLOEXEC) < 0)
		return err_errno(e, "cannot make a pipe");
	AUTO_FD failed_rd = failed[0], failed_wr = failed[1];

	make_args(args, c, theirs);
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(e, "cannot start passt");
	if (pid == 0)
		become(args, theirs, log_wr, failed_wr);
	fd_drop(&failed_wr);
	fd_drop(&log_wr);
	fd_drop(&theirs);
	p->pid = pid;
	p->log_fd = take_fd(&log_rd);

	int err;
	if (fd_read_full(failed_rd, &err, sizeof(err)) == 0) {
		passt_stop(p);
		if (err == ENOENT)
			return err_set(e, -ENOENT,
				       "passt is not installed (Debian: apt-get install passt); "
				       "without it use --net none");
		return err_set(e, -err, "cannot execute passt: %s", strerror(err));
	}
	/* The log's other end closes when it ends. */
	struct pollfd pfd = { .fd = p->log_fd, .events = 0 };
	if (poll(&pfd, 1, START_MS) > 0) {
		siginfo_t info;

		(void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
		int r = passt_check(p, e);
		passt_stop(p);
		return r < 0 ? r : -EIO;
	}
	*fd = take_fd(&ours);
	return 0;
}

void passt_stop(struct passt *p)
{
	if (p->pid > 0) {
		(void)kill(p->pid, SIGTERM);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	p->pid = 0;
	if (p->log_fd > 0)
		fd_drop(&p->log_fd);
}
