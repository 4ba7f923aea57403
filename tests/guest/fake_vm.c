/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libexec/pecten-vm where there is no KVM: speaks vmm/control.h with the library, and
 * runs the guest's program (with platform_ns.c) as PID 1 of new namespaces instead of a machine.
 * Everything but the machine itself is the real thing: library, protocol, agent, root, overlay.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/agent_msg.h"
#include "vmm/control.h"

struct fake_share {
	char name[CTL_NAME_MAX];
	bool is_ro;
	int fd;
};

struct fake {
	struct fake_share shares[CTL_SHARES_MAX];
	unsigned nshares;
	int stream;
	int listener;
};

/* Too large for a stack; there is one thread. */
static struct ctl_msg msg;
static struct fake fake;

static int fail(int sock, const char *what)
{
	int code = errno;

	msg = (struct ctl_msg){ .type = CTL_FAILED, .u.failed.code = code ? -code : -EIO };
	(void)snprintf(msg.u.failed.text, sizeof(msg.u.failed.text), "%s: %s", what,
		       strerror(code));
	return ctl_send(sock, &msg, NULL, 0) < 0 ? 2 : 1;
}

/* Everything up to CTL_START. Return: 0 or -1 */
static int configure(int sock, struct fake *f)
{
	int fds[CTL_FDS_MAX];

	while (ctl_recv(sock, &msg, fds) == 0) {
		int fd = msg.nfds ? fds[0] : -1;

		switch (msg.type) {
		case CTL_START:
			return 0;
		case CTL_SHARE:
			memcpy(f->shares[f->nshares].name, msg.u.share.name, CTL_NAME_MAX);
			f->shares[f->nshares].is_ro = msg.u.share.is_ro;
			f->shares[f->nshares++].fd = fd;
			break;
		case CTL_VSOCK:
			if (msg.u.vsock.kind == CTL_VSOCK_STREAM)
				f->stream = fd;
			else if (msg.u.vsock.port == AGENT_VSOCK_PORT)
				f->listener = fd;
			break;
		default:
			break;
		}
	}
	return -1;
}

static int bind_shares(const struct fake *f)
{
	char link[64];
	char from[1024];
	char to[128];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0)
		return -1;
	for (unsigned i = 0; i < f->nshares; i++) {
		const struct fake_share *s = &f->shares[i];

		/* By name: the descriptor belongs to a mount of the namespace we have left. */
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", s->fd);

		ssize_t n = readlink(link, from, sizeof(from) - 1);

		if (n < 0)
			return -1;
		from[n] = '\0';
		(void)snprintf(to, sizeof(to), "/mnt/%.63s", s->name);
		if (mkdir(to, 0755) < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0)
			return -1;
		if (s->is_ro && mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
			return -1;
	}
	return 0;
}

/* Never returns: becomes PID 1 of the namespaces it is in. */
static void become_init(const struct fake *f, const char *init)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (bind_shares(f) < 0) {
		perror("fake_vm: shares");
		_exit(1);
	}

	int stream = fcntl(f->stream, F_DUPFD, 10);
	int listener = fcntl(f->listener, F_DUPFD, 10);

	if (dup2(stream, 3) < 0 || dup2(listener, 4) < 0)
		_exit(1);
	if (close_range(5, ~0U, 0) < 0)
		_exit(1);
	/* Its leak check stops the world by ptrace, which PID 1 of a namespace cannot be. */
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	(void)execl(init, "pecten-init", (char *)NULL);
	perror("fake_vm: pecten-init");
	_exit(1);
}

static int serve(int sock, const struct fake *f, const char *init)
{
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
	int done[2];

	if (unshare(flags) < 0)
		return fail(sock, "cannot make namespaces");
	if (pipe2(done, O_CLOEXEC) < 0)
		return fail(sock, "cannot make a pipe");

	pid_t pid = fork();

	if (pid < 0)
		return fail(sock, "cannot fork");
	if (pid == 0)
		become_init(f, init);
	/* The namespace's processes hold no writing end, so this reads its end when PID 1 dies. */
	(void)close(f->stream);
	(void)close(f->listener);
	msg = (struct ctl_msg){ .type = CTL_STARTED };
	if (ctl_send(sock, &msg, NULL, 0) < 0)
		return 1;

	bool is_stopped = false;

	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		int fds[CTL_FDS_MAX];
		int status;

		if (waitpid(pid, &status, WNOHANG) == pid) {
			msg = (struct ctl_msg){ .type = CTL_ENDED };
			msg.u.ended.how = is_stopped ? CTL_END_STOPPED : CTL_END_RESET;
			if (!is_stopped && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
				msg.u.ended.how = CTL_END_PANIC;
				(void)snprintf(msg.u.ended.text, sizeof(msg.u.ended.text),
					       "Attempted to kill init! status %d", status);
			}
			return ctl_send(sock, &msg, NULL, 0) < 0;
		}
		if (poll(&p, 1, 5) > 0) {
			int r = ctl_recv(sock, &msg, fds);

			if (r < 0 || msg.type == CTL_STOP) {
				is_stopped = true;
				(void)kill(pid, SIGKILL);
			}
			if (r < 0) {
				(void)waitpid(pid, NULL, 0);
				return 0;
			}
		}
	}
}

int main(int argc, char **argv)
{
	const char *init = getenv("PECTEN_FAKE_INIT");
	struct fake *f = &fake;

	if (argc == 2 && strcmp(argv[1], "--probe") == 0) {
		(void)puts("these are namespaces, which work");
		return 0;
	}
	f->stream = f->listener = -1;
	if (argc != 2 || configure(3, f) < 0)
		return 1;
	if (!init || f->stream < 0 || f->listener < 0 || f->nshares == 0) {
		errno = EINVAL;
		return fail(3, "the library did not send what it must");
	}
	return serve(3, f, init);
}
