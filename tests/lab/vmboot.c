/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives pecten-vm without the library: boots a kernel and prints how the machine ended.
 *
 *	vmboot PECTEN-VM [-c CPUS] [-m MIB] [-k KERNEL | -l LIBKRUNFW] [-i INITRD] [-a CMDLINE]
 *	       [-s NAME=DIR[:ro]]... [-I INIT] [-d DISK]... [-L LEVEL] [-t STOP-AFTER-MS]
 *
 * stdout: "end: KIND" and, if there is one, the text; stderr: the kernel's console.  Status 0 if
 * the machine ran, 1 if it did not start, 3 if the process died.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "vmm/control.h"

#define HOLD_FD 3 /* where pecten-vm finds its socket */

struct vmboot {
	int sock;
	int stop_after_ms; /* -1: never */
	struct ctl_msg config;
	struct ctl_msg kernel;
	int kernel_fds[2];
	struct ctl_msg m; /* the one being sent or looked at */
};

static void die(const char *what)
{
	(void)fprintf(stderr, "vmboot: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int must_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		die(path);
	return fd;
}

static void must_send(int sock, struct ctl_msg *m, const int *fds, unsigned n)
{
	int r = ctl_send(sock, m, fds, n);

	if (r < 0) {
		errno = -r;
		die("cannot send to pecten-vm");
	}
}

static pid_t start(const char *program, int *sock)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t) "3", NULL };

		if (pair[1] == HOLD_FD ? fcntl(HOLD_FD, F_SETFD, 0) < 0
				       : dup2(pair[1], HOLD_FD) < 0)
			_exit(127);
		(void)execv(program, argv);
		_exit(127);
	}
	(void)close(pair[1]);
	*sock = pair[0];
	return pid;
}

static void set_string(char *to, size_t room, const char *from)
{
	if ((size_t)snprintf(to, room, "%s", from) >= room) {
		errno = ENAMETOOLONG;
		die(from);
	}
}

static void send_share(struct vmboot *v, const char *spec)
{
	char dir[512];
	const char *eq = strchr(spec, '=');
	size_t len;

	if (!eq || eq - spec >= CTL_NAME_MAX)
		die("share");
	v->m = (struct ctl_msg){ .type = CTL_SHARE };
	memcpy(v->m.u.share.name, spec, (size_t)(eq - spec));
	set_string(dir, sizeof(dir), eq + 1);
	len = strlen(dir);
	if (len > 3 && strcmp(dir + len - 3, ":ro") == 0) {
		v->m.u.share.is_ro = 1;
		dir[len - 3] = '\0';
	}
	int fd = must_open(dir, O_PATH | O_DIRECTORY);
	must_send(v->sock, &v->m, &fd, 1);
	(void)close(fd);
}

static void send_file(struct vmboot *v, enum ctl_type type, const char *path, int flags)
{
	int fd = must_open(path, flags);

	v->m = (struct ctl_msg){ .type = type };
	must_send(v->sock, &v->m, &fd, 1);
	(void)close(fd);
}

static void option(struct vmboot *v, int c, const char *arg)
{
	switch (c) {
	case 'c':
		v->config.u.config.cpus = (uint32_t)strtoul(arg, NULL, 0);
		break;
	case 'm':
		v->config.u.config.ram_mib = strtoull(arg, NULL, 0);
		break;
	case 'a':
		set_string(v->config.u.config.cmdline, sizeof(v->config.u.config.cmdline), arg);
		break;
	case 'L':
		v->config.u.config.log_level = (uint32_t)strtoul(arg, NULL, 0);
		break;
	case 't':
		v->stop_after_ms = (int)strtol(arg, NULL, 0);
		break;
	case 'k':
		v->kernel.u.kernel.kind = CTL_KERNEL_FILE;
		v->kernel_fds[0] = must_open(arg, O_RDONLY);
		break;
	case 'i':
		v->kernel.u.kernel.kind = CTL_KERNEL_FILE_INITRD;
		v->kernel_fds[1] = must_open(arg, O_RDONLY);
		break;
	case 'l':
		v->kernel.u.kernel.kind = CTL_KERNEL_KRUNFW;
		set_string(v->kernel.u.kernel.path, sizeof(v->kernel.u.kernel.path), arg);
		break;
	case 's':
		send_share(v, arg);
		break;
	case 'I':
		send_file(v, CTL_INIT, arg, O_RDONLY);
		break;
	case 'd':
		send_file(v, CTL_DISK, arg, O_RDWR);
		break;
	default:
		exit(2);
	}
}

/* Prints what the VM process says; returns the status to exit with. */
static int listen_to(struct vmboot *v)
{
	static const char *const ends[] = { "?", "reset", "poweroff", "panic", "fault", "stopped" };
	struct ctl_msg *m = &v->m;
	int fds[CTL_FDS_MAX];

	for (;;) {
		struct pollfd p = { .fd = v->sock, .events = POLLIN };

		if (poll(&p, 1, v->stop_after_ms) == 0) {
			*m = (struct ctl_msg){ .type = CTL_STOP };
			must_send(v->sock, m, NULL, 0);
			v->stop_after_ms = -1;
			continue;
		}
		int r = ctl_recv(v->sock, m, fds);
		if (r < 0) {
			(void)printf("lost: %s\n", strerror(-r));
			return 3;
		}
		switch (m->type) {
		case CTL_STARTED:
			(void)printf("started\n");
			break;
		case CTL_FAILED:
			(void)printf("failed: %s\n", m->u.failed.text);
			return 1;
		case CTL_ENDED:
			(void)printf("end: %s\n%s\n",
				     ends[m->u.ended.how <= 5 ? m->u.ended.how : 0],
				     m->u.ended.text);
			return 0;
		default:
			return 3;
		}
	}
}

int main(int argc, char **argv)
{
	struct vmboot *v = calloc(1, sizeof(*v));
	int err = 2;
	int c;

	if (argc < 2 || !v)
		return 2;
	pid_t pid = start(argv[1], &v->sock);
	v->stop_after_ms = -1;
	v->config.type = CTL_CONFIG;
	v->config.u.config.cpus = 1;
	v->config.u.config.ram_mib = 256;
	v->config.u.config.log_level = 3;
	v->kernel.type = CTL_KERNEL;
	v->kernel.u.kernel.kind = CTL_KERNEL_KRUNFW;
	set_string(v->config.u.config.name, CTL_NAME_MAX, "vmboot");
	optind = 2;
	while ((c = getopt(argc, argv, "c:m:a:L:t:k:i:l:s:I:d:")) != -1)
		option(v, c, optarg);

	must_send(v->sock, &v->config, NULL, 0);
	must_send(v->sock, &v->kernel, v->kernel_fds, v->kernel.u.kernel.kind - 1);
	v->m = (struct ctl_msg){ .type = CTL_CONSOLE };
	must_send(v->sock, &v->m, &err, 1);
	v->m = (struct ctl_msg){ .type = CTL_START };
	must_send(v->sock, &v->m, NULL, 0);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	int r = listen_to(v);

	int status = 0;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != (r == 1)) {
		(void)printf("pecten-vm: wait status 0x%x\n", (unsigned)status);
		r = 3;
	}
	free(v);
	return r;
}
