/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only mutable globals of the project live here: a level and a name, set at start-up, because
 * a log call must be possible from everywhere without a context in hand.
 */
#include "util/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "util/bytes.h"

_Atomic int log_level_now = LOG_WARN;
static const char *log_name = "pecten";

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
}

void log_set_name(const char *name)
{
	log_name = name;
}

int log_site_take(struct log_site *site)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	uint64_t window = (uint64_t)now.tv_sec / LOG_GUEST_WINDOW_S;

	/* Two threads may both reset the count: at worst a few lines more. */
	if (atomic_exchange_explicit(&site->window, window, memory_order_relaxed) != window)
		atomic_store_explicit(&site->count, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) < LOG_GUEST_BURST;
}

void log_write(enum log_level level, const char *tag, const char *fmt, ...)
{
	static const char *const names[] = { "", "error", "warning", "info", "debug", "trace" };
	char line[1024];
	va_list ap;

	int n = snprintf(line, sizeof(line), "%s[%d]: %s: %s: ", log_name, (int)getpid(),
			 names[level], tag);
	if (n < 0)
		return;
	size_t len = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len += (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	/* A guest's string must not start a line of its own. */
	line[len] = '\0';
	for (size_t i = 0; i < len; i++)
		memset(line + i, '?', control_len(line + i));
	line[len++] = '\n';
	/* One write, so that lines of several threads and processes do not mix. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
