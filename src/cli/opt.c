/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: see opt.h. */
#include "cli/opt.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/ckd.h"

#define HELP_COLUMN 28
#define NS_PER_MS   UINT64_C(1000000)
#define NS_PER_S    UINT64_C(1000000000)

void opt_list_fini(struct opt_list *l)
{
	free(l->v);
	*l = (struct opt_list){ 0 };
}

/* Reads digits; Return: bytes consumed, 0 if there are none, -ERANGE */
static int digits(const char *s, uint64_t *value)
{
	uint64_t v = 0;
	int n = 0;

	for (; s[n] >= '0' && s[n] <= '9'; n++) {
		if (ckd_mul(&v, v, UINT64_C(10)) || ckd_add(&v, v, (uint64_t)(s[n] - '0')))
			return -ERANGE;
	}
	*value = v;
	return n;
}

int opt_parse_u64(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t v;
	int n = digits(text, &v);

	if (n < 0)
		return n;
	if (n == 0 || text[n] != '\0')
		return -EINVAL;
	if (v > max)
		return -ERANGE;
	*value = v;
	return 0;
}

int opt_parse_size(const char *text, uint64_t unit, uint64_t *bytes)
{
	static const char suffixes[] = "KMGTP";
	uint64_t v;
	int n = digits(text, &v);

	if (n < 0)
		return n;
	if (n == 0)
		return -EINVAL;

	const char *rest = text + n;
	if (*rest != '\0') {
		char up = *rest >= 'a' && *rest <= 'z' ? (char)(*rest - 'a' + 'A') : *rest;
		const char *at = strchr(suffixes, up);
		if (!at)
			return -EINVAL;
		unit = UINT64_C(1) << (10 * (at - suffixes + 1));
		rest++;
		/* "4G", "4GiB" and "4GB" are all written and mean the same to their writers. */
		if (strcmp(rest, "iB") == 0 || strcmp(rest, "B") == 0)
			rest += strlen(rest);
		if (*rest != '\0')
			return -EINVAL;
	}
	return ckd_mul(bytes, v, unit) ? -ERANGE : 0;
}

int opt_flag(const struct opt *o, const char *value, void *field, struct err *e)
{
	(void)value;
	(void)e;
	assert(o->size == sizeof(bool));
	*(bool *)field = true;
	return 0;
}

int opt_string(const struct opt *o, const char *value, void *field, struct err *e)
{
	assert(o->size == sizeof(const char *));
	if (*value == '\0')
		return err_set(e, -EINVAL, "it is empty");
	*(const char **)field = value;
	return 0;
}

int opt_strings(const struct opt *o, const char *value, void *field, struct err *e)
{
	struct opt_list *l = field;

	assert(o->size == sizeof(*l));
	if (l->n >= OPT_LIST_MAX)
		return err_set(e, -EINVAL, "it may be given %d times at most", OPT_LIST_MAX);

	const char **v = realloc(l->v, (l->n + 1) * sizeof(*v)); /* l->n is small, see above */
	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	v[l->n++] = value;
	l->v = v;
	return 0;
}

static int read_uint(const char *value, uint64_t max, uint64_t *out, struct err *e)
{
	if (opt_parse_u64(value, max, out) < 0)
		return err_set(e, -EINVAL, "'%s' is not a whole number from 0 to %ju", value,
			       (uintmax_t)max);
	return 0;
}

int opt_u8(const struct opt *o, const char *value, void *field, struct err *e)
{
	uint64_t v = 0;
	int r = read_uint(value, UINT8_MAX, &v, e);

	assert(o->size == sizeof(uint8_t));
	if (r == 0)
		*(uint8_t *)field = (uint8_t)v;
	return r;
}

int opt_u32(const struct opt *o, const char *value, void *field, struct err *e)
{
	uint64_t v = 0;
	int r = read_uint(value, UINT32_MAX, &v, e);

	assert(o->size == sizeof(uint32_t));
	if (r == 0)
		*(uint32_t *)field = (uint32_t)v;
	return r;
}

int opt_size(const struct opt *o, const char *value, void *field, struct err *e)
{
	assert(o->size == sizeof(uint64_t));
	if (opt_parse_size(value, 1, field) < 0)
		return err_set(e, -EINVAL, "'%s' is not a size such as 512M or 4G", value);
	return 0;
}

int opt_mib(const struct opt *o, const char *value, void *field, struct err *e)
{
	uint64_t bytes;

	assert(o->size == sizeof(uint32_t));
	if (opt_parse_size(value, UINT64_C(1) << 20, &bytes) < 0 || bytes >> 20 > UINT32_MAX)
		return err_set(e, -EINVAL, "'%s' is not a size such as 512M or 4G", value);
	if (bytes % (UINT64_C(1) << 20) != 0)
		return err_set(e, -EINVAL, "'%s' is not a whole number of MiB", value);
	*(uint32_t *)field = (uint32_t)(bytes >> 20);
	return 0;
}

int opt_seconds(const struct opt *o, const char *value, void *field, struct err *e)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "", NS_PER_S },       { "s", NS_PER_S },        { "ms", NS_PER_MS },
		{ "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
	};
	uint64_t whole;
	uint64_t part = 0;  /* digits after the point */
	uint64_t scale = 1; /* 10 to the number of those digits */
	const char *s = value;
	int n = digits(s, &whole);

	assert(o->size == sizeof(uint64_t));
	if (n > 0) {
		s += n;
		if (*s == '.') {
			int m = digits(++s, &part);
			s += m > 0 && m <= 9 ? m : 0;
			for (int i = 0; i < m && m <= 9; i++)
				scale *= 10;
			if (m <= 0 || m > 9)
				n = 0;
		}
	}
	for (size_t i = 0; n > 0 && i < ARRAY_LEN(units); i++) {
		uint64_t ns;

		if (strcmp(s, units[i].name) != 0)
			continue;
		if (ckd_mul(&ns, whole, units[i].ns) ||
		    ckd_add(&ns, ns, units[i].ns / scale * part))
			break;
		*(uint64_t *)field = ns;
		return 0;
	}
	return err_set(e, -EINVAL, "'%s' is not a time such as 5, 1.5, 200ms, 2m or 1h", value);
}

/* State of one parse: which rows were given. */
struct parse {
	const struct opt_cmd *cmd;
	uint64_t given;
	char *base; /* configuration */
};

static int bad_value(const struct parse *p, const struct opt *o, struct err *e)
{
	if (e) {
		struct err why = *e;

		(void)err_set(e, why.code, "bad value of --%s: %.*s; see '%s --help'", o->name,
			      ERR_TEXT_MAX / 2, why.text, p->cmd->name);
	}
	return -EINVAL;
}

static int give(struct parse *p, const struct opt *o, const char *value, struct err *e)
{
	uint64_t bit = UINT64_C(1) << (o - p->cmd->opts);

	if ((p->given & bit) && !(o->flags & OPT_REPEAT) && o->arg)
		return err_set(e, -EINVAL, "--%s is given twice", o->name);
	p->given |= bit;
	if (o->read(o, value, p->base + o->off, e) < 0)
		return bad_value(p, o, e);
	return 0;
}

static int unknown(const struct parse *p, const char *arg, int len, struct err *e)
{
	return err_set(e, -EINVAL, "unknown option '%.*s'; see '%s --help'", len, arg,
		       p->cmd->name);
}

static int want_value(const struct opt *o, struct err *e)
{
	return err_set(e, -EINVAL, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
}

/* Return: arguments consumed, or -EINVAL */
static int parse_long(struct parse *p, int argc, char *const *argv, struct err *e)
{
	const char *name = argv[0] + 2;
	const char *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	int r;

	for (const struct opt *o = p->cmd->opts; o->name; o++) {
		if (strlen(o->name) != len || memcmp(o->name, name, len) != 0)
			continue;
		if (!o->arg) {
			if (eq)
				return err_set(e, -EINVAL, "--%s takes no value", o->name);
			r = give(p, o, NULL, e);
			return r < 0 ? r : 1;
		}
		if (!eq && argc < 2)
			return want_value(o, e);
		r = give(p, o, eq ? eq + 1 : argv[1], e);
		return r < 0 ? r : 2 - !!eq;
	}
	return unknown(p, argv[0], (int)len + 2, e);
}

/* Return: arguments consumed, or -EINVAL */
static int parse_letters(struct parse *p, int argc, char *const *argv, bool *help, struct err *e)
{
	for (const char *s = argv[0] + 1; *s; s++) {
		const struct opt *o = p->cmd->opts;
		int r;

		while (o->name && o->letter != *s)
			o++;
		if (!o->name && *s == 'h') {
			*help = true;
			return 1;
		}
		if (!o->name) {
			char text[3] = { '-', *s, '\0' };

			return unknown(p, text, 2, e);
		}
		if (!o->arg) {
			r = give(p, o, NULL, e);
			if (r < 0)
				return r;
			continue;
		}
		if (s[1] == '\0' && argc < 2)
			return want_value(o, e);
		r = give(p, o, s[1] ? s + 1 : argv[1], e);
		if (r < 0)
			return r;
		return s[1] ? 1 : 2;
	}
	return 1;
}

int opt_parse(const struct opt_cmd *cmd, int argc, char *const *argv, void *conf, int *used,
	      struct err *e)
{
	struct parse p = { .cmd = cmd, .base = conf };
	int at = 0;
	int rows = 0;

	while (cmd->opts[rows].name)
		rows++;
	assert(rows <= OPT_MAX);

	while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
		bool help = strcmp(argv[at], "--help") == 0;
		int n = 1;

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (!help && argv[at][1] == '-')
			n = parse_long(&p, argc - at, argv + at, e);
		else if (!help)
			n = parse_letters(&p, argc - at, argv + at, &help, e);
		if (help)
			return OPT_HELP;
		if (n < 0)
			return n;
		at += n;
	}
	for (int i = 0; i < rows; i++) {
		const struct opt *o = &cmd->opts[i];

		if ((o->flags & OPT_REQUIRED) && !(p.given & (UINT64_C(1) << i)))
			return err_set(e, -EINVAL, "--%s %s is missing; see '%s --help'", o->name,
				       o->arg ? o->arg : "", cmd->name);
	}
	*used = at;
	return 0;
}

static void help_row(const char *name, char letter, const char *arg, const char *help, FILE *to)
{
	int n;

	if (letter)
		n = fprintf(to, "  -%c, --%s", letter, name);
	else
		n = fprintf(to, "      --%s", name);
	if (arg)
		n += fprintf(to, " %s", arg);
	if (n >= HELP_COLUMN)
		n = fprintf(to, "\n") - 1;
	(void)fprintf(to, "%*s%s\n", HELP_COLUMN - n, "", help);
}

void opt_help(const struct opt_cmd *cmd, FILE *to)
{
	bool has_debug = false;

	(void)fprintf(to, "usage: %s [options]%s%s\n\n%s\n\noptions:\n", cmd->name,
		      *cmd->synopsis ? " " : "", cmd->synopsis, cmd->about);
	for (const struct opt *o = cmd->opts; o->name; o++) {
		if (o->flags & OPT_DEBUG)
			has_debug = true;
		else
			help_row(o->name, o->letter, o->arg, o->help, to);
	}
	help_row("help", 'h', NULL, "show this text", to);
	if (has_debug)
		(void)fprintf(to, "\nfor debugging:\n");
	for (const struct opt *o = cmd->opts; o->name; o++) {
		if (o->flags & OPT_DEBUG)
			help_row(o->name, o->letter, o->arg, o->help, to);
	}
	if (cmd->example)
		(void)fprintf(to, "\nexample:\n%s\n", cmd->example);
}
