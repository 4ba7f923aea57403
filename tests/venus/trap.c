/* SPDX-License-Identifier: Apache-2.0 */
#include "trap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host/thread.h"
#include "util/log.h"

#define LINES 16

static struct {
	struct mutex lock;
	unsigned count;
	char line[LINES][512];
} trap = { .lock = MUTEX_INIT };

/* Names that the linker makes of --wrap=log_write and --wrap=log_site_take. */
void __wrap_log_write(enum log_level level, const char *tag, const char *fmt, ...) PRINTF_FMT(3, 4);
int __wrap_log_site_take(struct log_site *site);

void __wrap_log_write(enum log_level level, const char *tag, const char *fmt, ...)
{
	va_list ap;

	(void)level;
	mutex_lock(&trap.lock);
	char *to = trap.line[trap.count++ % LINES];
	int n = snprintf(to, sizeof(trap.line[0]), "%s: ", tag);

	va_start(ap, fmt);
	(void)vsnprintf(to + n, sizeof(trap.line[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	mutex_unlock(&trap.lock);
}

int __wrap_log_site_take(struct log_site *site)
{
	(void)site;
	return 1;
}

void trap_reset(void)
{
	mutex_lock(&trap.lock);
	trap.count = 0;
	memset(trap.line, 0, sizeof(trap.line));
	mutex_unlock(&trap.lock);
}

unsigned trap_lines(void)
{
	mutex_lock(&trap.lock);
	unsigned n = trap.count;
	mutex_unlock(&trap.lock);
	return n;
}

bool trap_holds(const char *part)
{
	bool holds = false;

	mutex_lock(&trap.lock);
	for (unsigned i = 0; i < LINES && i < trap.count; i++)
		holds |= strstr(trap.line[i], part) != NULL;
	mutex_unlock(&trap.lock);
	return holds;
}

void trap_show(void)
{
	mutex_lock(&trap.lock);
	for (unsigned i = 0; i < LINES && i < trap.count; i++)
		(void)fprintf(stderr, "# caught: %s\n", trap.line[i]);
	mutex_unlock(&trap.lock);
}
