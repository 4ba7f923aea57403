/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that a user caused or must mend: a code and one sentence in a fixed buffer, so that
 * reporting an error cannot itself fail.  The sentence names the cause and, where there is one,
 * the remedy.  Nobody logs *and* returns.
 */
#ifndef PECTEN_UTIL_ERR_H
#define PECTEN_UTIL_ERR_H

#include "util/compiler.h"

#define ERR_TEXT_MAX 768

struct err {
	int code; /* 0 or -errno */
	char text[ERR_TEXT_MAX];
};

/**
 * err_set() - fill in an error
 * @e:		error, or NULL when the caller wants the code only
 * @code:	negative errno
 *
 * Return: @code
 */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_FMT(3, 4);

/**
 * err_errno() - fill in an error from errno, appending its text
 *
 * Return: -errno
 */
int err_errno(struct err *e, const char *fmt, ...) PRINTF_FMT(2, 3);

#ifdef __clang_analyzer__
/* It sees calls only and would follow paths on which an error is none. */
static inline int err_is_negative_(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}
#define err_set(...)   err_is_negative_(err_set(__VA_ARGS__))
#define err_errno(...) err_is_negative_(err_errno(__VA_ARGS__))
#endif

/**
 * err_prefix() - put context in front of a sentence: "context: sentence"
 *
 * Return: the error's code, or 0 when @e is NULL
 */
int err_prefix(struct err *e, const char *fmt, ...) PRINTF_FMT(2, 3);

#endif
