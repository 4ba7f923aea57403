/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines for the person who runs the program: one line each on stderr, no newline in the
 * format, no host address, no secret.  Anything a guest can trigger goes through log_guest(),
 * which is limited per site.
 */
#ifndef PECTEN_UTIL_LOG_H
#define PECTEN_UTIL_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "util/compiler.h"

/* libkrun's numbers. */
enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

struct log_site {
	_Atomic uint64_t window; /* second in which the count began */
	_Atomic uint32_t count;
};

#define LOG_GUEST_BURST    10 /* lines a site may write in LOG_GUEST_WINDOW_S seconds */
#define LOG_GUEST_WINDOW_S 30

/**
 * log_set_level() - choose what is written; the default is LOG_WARN
 *
 * Any thread.
 */
void log_set_level(enum log_level level);

/**
 * log_set_name() - name put in front of every line
 * @name:	static string
 *
 * Call before starting threads.
 */
void log_set_name(const char *name);

void log_write(enum log_level level, const char *tag, const char *fmt, ...) PRINTF_FMT(3, 4);
int log_site_take(struct log_site *site);

/* Written by log_set_level() only; read without order, since a late change does no harm. */
extern _Atomic int log_level_now;

#define log_at(level, tag, ...)                                                                    \
	do {                                                                                       \
		if ((int)(level) <= atomic_load_explicit(&log_level_now, memory_order_relaxed))    \
			log_write(level, #tag, __VA_ARGS__);                                       \
	} while (0)

#define log_error(tag, ...) log_at(LOG_ERROR, tag, __VA_ARGS__)
#define log_warn(tag, ...)  log_at(LOG_WARN, tag, __VA_ARGS__)
#define log_info(tag, ...)  log_at(LOG_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...) log_at(LOG_DEBUG, tag, __VA_ARGS__)
#define log_trace(tag, ...) log_at(LOG_TRACE, tag, __VA_ARGS__)

/* Warning about what a guest did: its words from the spec, rate-limited per site. */
#define log_guest(tag, ...)                                                                        \
	do {                                                                                       \
		static struct log_site log_site_;                                                  \
		if (log_site_take(&log_site_))                                                     \
			log_at(LOG_WARN, tag, __VA_ARGS__);                                        \
	} while (0)

#endif
