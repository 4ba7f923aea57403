/* SPDX-License-Identifier: Apache-2.0 */
/* Wake-ups by eventfd(2): see event.h. */
#include "host/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int event_open(struct event *ev)
{
	*ev = EVENT_NONE;

	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	ev->rfd = fd;
	ev->wfd = fd;
	return 0;
}

void event_close(struct event *ev)
{
	if (ev->rfd >= 0)
		(void)close(ev->rfd);
	*ev = EVENT_NONE;
}

int event_replace(struct event *ev, int fd)
{
	return dup3(fd, ev->rfd, O_CLOEXEC) < 0 ? -errno : 0;
}

void event_signal(const struct event *ev)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full, hence signalled. */
	ssize_t n = write(ev->wfd, &one, sizeof(one));
	(void)n;
}

bool event_drain(const struct event *ev)
{
	uint64_t count;

	return read(ev->rfd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}
