// SPDX-License-Identifier: Apache-2.0
#include "harness/attempt.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int attempt_all(const struct attempt *a, size_t n)
{
	int wrong = 0;

	for (size_t i = 0; i < n; i++) {
		int r = a[i].fn();

		if ((r == 0) == a[i].allowed)
			continue;
		wrong++;
		(void)printf("# not so: %s (%s)\n", a[i].what, r < 0 ? strerror(-r) : "done");
	}
	(void)fflush(stdout);
	return wrong;
}

int attempt_fd(int fd)
{
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

int attempt_socket(void)
{
	return attempt_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void *thread(void *arg)
{
	return arg;
}

int attempt_thread(void)
{
	pthread_t t;
	int r = pthread_create(&t, NULL, thread, NULL);

	return r ? -r : -pthread_join(t, NULL);
}

int attempt_null_device(void)
{
	return attempt_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
}
