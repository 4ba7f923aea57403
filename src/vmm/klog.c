/* SPDX-License-Identifier: Apache-2.0 */
/* The guest kernel's console: see klog.h. */
#include "vmm/klog.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "mem/gm.h"

static const char panic_mark[] = "Kernel panic - not syncing: ";

void klog_init(struct klog *k, int fd)
{
	*k = (struct klog){ .fd = fd };
	mutex_init(&k->lock);
}

void klog_fini(struct klog *k)
{
	mutex_fini(&k->lock);
}

/* Printable ASCII only: this ends on the user's terminal, and the guest chose it. */
static char clean(char c)
{
	return c >= ' ' && c <= '~' ? c : '?';
}

static void klog_line(struct klog *k) REQUIRES(&k->lock)
{
	const char *from = k->line;
	size_t len = k->line_len;

	k->line_len = 0;
	if (k->panic_len == 0) {
		const char *at = memmem(k->line, len, panic_mark, sizeof(panic_mark) - 1);

		if (!at)
			return;
		len -= (size_t)(at - from);
		from = at;
	}
	if (len + 2 > KLOG_PANIC_MAX - k->panic_len)
		return;
	for (size_t i = 0; i < len; i++)
		k->panic[k->panic_len++] = clean(from[i]);
	k->panic[k->panic_len++] = '\n';
	k->panic[k->panic_len] = '\0';
}

/* The file is the user's own and may block: only what it takes at once is written. */
static void klog_forward(int fd, const char *p, size_t len)
{
	while (fd >= 0 && len > 0) {
		struct pollfd ready = { .fd = fd, .events = POLLOUT };
		ssize_t n;

		if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
			return;
		/* A pipe that is ready takes PIPE_BUF bytes without waiting. */
		n = write(fd, p, len < PIPE_BUF ? len : PIPE_BUF);
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

void klog_put(struct klog *k, const void *p, size_t len)
{
	const char *c = p;

	mutex_lock(&k->lock);
	k->has_output = k->has_output || len > 0;
	for (size_t i = 0; i < len; i++) {
		if (c[i] == '\n')
			klog_line(k);
		else if (c[i] != '\r' && k->line_len < KLOG_LINE_MAX)
			k->line[k->line_len++] = c[i];
	}
	mutex_unlock(&k->lock);

	klog_forward(k->fd, c, len);
}

bool klog_panic(struct klog *k, char *text, size_t len)
{
	mutex_lock(&k->lock);
	if (k->line_len > 0)
		klog_line(k);
	bool has = k->panic_len > 0;
	(void)snprintf(text, len, "%.*s", (int)(has ? k->panic_len - 1 : 0), k->panic);
	mutex_unlock(&k->lock);
	return has;
}

bool klog_has_output(struct klog *k)
{
	mutex_lock(&k->lock);
	bool has = k->has_output;
	mutex_unlock(&k->lock);
	return has;
}

bool klog_find_panic(const struct gm *gm, uint64_t start, uint64_t len, char *text, size_t max)
{
	const size_t mark = sizeof(panic_mark) - 1;
	uint64_t got = 0;
	const char *p = len ? gm_piece(gm, start, len, &got) : NULL;
	const char *end = p ? p + got : NULL;

	while (p && (p = memmem(p, (size_t)(end - p), panic_mark, mark)) != NULL) {
		const char *rest = p + mark;
		size_t n = 0;

		if (rest < end && *rest != '%') { /* else it is the format in the kernel's text */
			while (rest + n < end && rest[n] >= ' ' && rest[n] <= '~' &&
			       n + mark < KLOG_LINE_MAX)
				n++;
			(void)snprintf(text, max, "%.*s", (int)(n + mark), p);
			return true;
		}
		p = rest;
	}
	return false;
}
