/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine as pecten-init sees it: see platform.h.
 *
 * The kernel has mounted either the host's virtiofs share "pecten" as root, where this program is
 * /init, or an initramfs made by tools/mkinitramfs, with modules to load and their order in
 * /modules/list.
 */
#include "guest/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/vm_sockets.h>

#include "util/agent_msg.h"

#define SHARE_TAG    "pecten"
#define CONNECT_MS   10000 /* virtio devices of modules appear a little after the modules */
#define CONNECT_STEP 10
#define NS_PER_S     INT64_C(1000000000)
#define CLOCK_SLACK  INT64_C(50000000) /* ns */

static int load_module(const char *name)
{
	char path[256];

	if (snprintf(path, sizeof(path), "/modules/%s", name) >= (int)sizeof(path))
		return -ENAMETOOLONG;

	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;

	long r = syscall(SYS_finit_module, fd, "", 0);
	int code = errno;

	(void)close(fd);
	return r < 0 && code != EEXIST ? -code : 0;
}

static int load_modules(char *why, size_t len)
{
	char line[128];
	FILE *f = fopen("/modules/list", "re");
	int r = 0;

	while (f && r == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line == '\0')
			continue;
		r = load_module(line);
		if (r < 0)
			(void)snprintf(why, len, "cannot load the kernel module '%s': %s", line,
				       strerror(-r));
	}
	if (f)
		(void)fclose(f);
	return r;
}

int platform_start(char *why, size_t len)
{
	/* A root mounted "ro" would make every share of the same device read-only. */
	(void)mount(NULL, "/", NULL, MS_REMOUNT, NULL);
	return load_modules(why, len);
}

int platform_connect(char *why, size_t len)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_HOST,
				  .svm_port = AGENT_VSOCK_PORT };
	const struct timespec step = { .tv_nsec = CONNECT_STEP * 1000000L };
	int code = 0;

	for (int waited = 0; waited < CONNECT_MS; waited += CONNECT_STEP) {
		int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
			return fd;
		code = errno;
		if (fd >= 0)
			(void)close(fd);
		(void)nanosleep(&step, NULL);
	}
	(void)snprintf(why, len, "cannot reach the host over vsock: %s", strerror(code));
	return -code;
}

int platform_listen(void)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = AGENT_VSOCK_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, AGENT_PEERS_MAX) < 0) {
		int code = errno;

		(void)close(fd);
		return -code;
	}
	return fd;
}

int platform_accept(int listener)
{
	struct sockaddr_vm from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	/* The kernel's loopback has a number of its own, whichever the process called. */
	if (from.svm_family != AF_VSOCK || from.svm_cid != VMADDR_CID_HOST) {
		(void)close(fd);
		return -EACCES;
	}
	return fd;
}

/* Whether "/" is the host's share itself rather than an initramfs. */
static int root_is_share(void)
{
	struct statfs s;

	return statfs("/", &s) == 0 && s.f_type == FUSE_SUPER_MAGIC;
}

int platform_share(const char *source, const char *work, char *path, size_t len)
{
	char at[256] = "";

	if (!root_is_share()) {
		(void)snprintf(at, sizeof(at), "%s/share", work);
		if (mkdir(at, 0755) == 0) {
			if (mount(SHARE_TAG, at, "virtiofs", 0, NULL) < 0)
				return -errno;
		} else if (errno != EEXIST) {
			return -errno;
		}
	}
	return snprintf(path, len, "%s/%s", at, source) >= (int)len ? -ENAMETOOLONG : 0;
}

int platform_mount_dev(const char *at)
{
	return mount("devtmpfs", at, "devtmpfs", MS_NOSUID, "mode=0755") < 0 ? -errno : 0;
}

void platform_set_clock(uint64_t ns)
{
	struct timespec now;
	struct timespec to = { .tv_sec = (time_t)(ns / (uint64_t)NS_PER_S),
			       .tv_nsec = (long)(ns % (uint64_t)NS_PER_S) };

	if (ns > INT64_MAX || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;

	int64_t off = (int64_t)ns - ((int64_t)now.tv_sec * NS_PER_S + now.tv_nsec);

	if (off > CLOCK_SLACK || off < -CLOCK_SLACK)
		(void)clock_settime(CLOCK_REALTIME, &to);
}

void platform_sync(void)
{
	sync();
}

void platform_end(void)
{
	(void)reboot(RB_AUTOBOOT);
	for (;;)
		(void)pause(); /* only a kernel without reboot comes here */
}
