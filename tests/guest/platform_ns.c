/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces of a host in place of a virtual machine: see guest/platform.h.  fake_vm.c starts this
 * as PID 1 of its namespaces, with the agent's stream and listening socket as descriptors 3 and 4
 * and the shares bound below SHARES.
 */
#include "guest/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARES "/mnt"

/* The host's devtmpfs is one for all namespaces, so it must not be touched: what is needed of it.
 */
static struct {
	const char *name;
	int fd;
} nodes[] = { { "null", 0 },   { "zero", 0 },    { "full", 0 },
	      { "random", 0 }, { "urandom", 0 }, { "tty", 0 } };

int platform_start(char *why, size_t len)
{
	char from[64];

	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		(void)snprintf(from, sizeof(from), "/dev/%s", nodes[i].name);
		nodes[i].fd = open(from, O_PATH | O_CLOEXEC);
		if (nodes[i].fd < 0) {
			int code = errno;

			(void)snprintf(why, len, "no %s: %s", from, strerror(code));
			return -code;
		}
	}
	return 0;
}

int platform_connect(char *why, size_t len)
{
	(void)why;
	(void)len;
	return fcntl(3, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 3;
}

int platform_listen(void)
{
	if (fcntl(4, F_SETFD, FD_CLOEXEC) < 0 || fcntl(4, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 4;
}

int platform_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int platform_share(const char *source, const char *work, char *path, size_t len)
{
	(void)work;
	return snprintf(path, len, SHARES "/%s", source) >= (int)len ? -ENAMETOOLONG : 0;
}

int platform_mount_dev(const char *at)
{
	char from[64];
	char to[256];

	if (mount("tmpfs", at, "tmpfs", MS_NOSUID, "mode=0755") < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", nodes[i].fd);
		(void)snprintf(to, sizeof(to), "%s/%s", at, nodes[i].name);

		int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

		if (fd < 0)
			return -errno;
		(void)close(fd);
		if (mount(from, to, NULL, MS_BIND, NULL) < 0)
			return -errno;
		(void)close(nodes[i].fd);
	}
	return 0;
}

void platform_set_clock(uint64_t ns)
{
	(void)ns; /* the host's own */
}

void platform_sync(void)
{
}

void platform_end(void)
{
	_exit(0);
}
