/* SPDX-License-Identifier: Apache-2.0 */
/* One error, one sentence: see err.h. */
#include "util/err.h"

#include <errno.h>
#include <stdarg.h>

/* Not the analyzer's idea of them. */
#undef err_set
#undef err_errno

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

int err_errno(struct err *e, const char *fmt, ...)
{
	int code = errno;
	va_list ap;

	if (!e)
		return -code;
	e->code = -code;
	va_start(ap, fmt);
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->text))
		(void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", strerror(code));
	return -code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char head[ERR_TEXT_MAX];
	char tail[ERR_TEXT_MAX];
	va_list ap;

	if (!e)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	(void)snprintf(tail, sizeof(tail), "%s", e->text);
	(void)snprintf(e->text, sizeof(e->text), "%.*s: %.*s", ERR_TEXT_MAX / 2, head,
		       ERR_TEXT_MAX / 2 - 4, tail);
	return e->code;
}
