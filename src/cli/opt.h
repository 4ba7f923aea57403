/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines from tables: one row for each option says its names, what it means, how its value
 *is read and where the value goes.  Parsing and --help both come from the table.
 *
 *	static const struct opt opts[] = {
 *		{ "cpus", 'c', "N", "number of CPUs", opt_u32, OPT_FIELD(struct conf, cpus), 0 },
 *		{ 0 },
 *	};
 */
#ifndef PECTEN_CLI_OPT_H
#define PECTEN_CLI_OPT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "util/compiler.h"
#include "util/err.h"

enum opt_flags {
	OPT_REQUIRED = 1, /* leaving it out is an error */
	OPT_REPEAT = 2,   /* may be given several times; others only once */
	OPT_DEBUG = 4,    /* listed under "for debugging" */
};

#define OPT_MAX      64  /* options of one command */
#define OPT_LIST_MAX 256 /* values of one repeated option */

struct opt;

/**
 * opt_fn - read one value
 * @o:		the option's row
 * @value:	text from the command line; NULL for a flag.  It lives as long as argv does
 * @field:	where to store it: o->size bytes
 *
 * Return: 0, or -EINVAL with a sentence that need not name the option
 */
typedef int opt_fn(const struct opt *o, const char *value, void *field, struct err *e);

struct opt {
	const char *name; /* without "--"; NULL ends the table */
	char letter;      /* 0: none */
	const char *arg;  /* what the value is called in --help; NULL: a flag */
	const char *help;
	opt_fn *read;
	size_t off; /* of the field in the configuration */
	size_t size;
	unsigned flags;
};

#define OPT_FIELD(type, f) offsetof(type, f), sizeof(((type *)0)->f)

/* Values of a repeated option, borrowed from argv. */
struct opt_list {
	const char **v;
	size_t n;
};

/* NULL is not fine, a zeroed list is. */
void opt_list_fini(struct opt_list *l);

opt_fn opt_flag;    /* bool: true when given */
opt_fn opt_string;  /* const char *; not empty */
opt_fn opt_strings; /* struct opt_list */
opt_fn opt_u8;      /* uint8_t */
opt_fn opt_u32;     /* uint32_t */
opt_fn opt_size;    /* uint64_t bytes: "65536", "64K", "512M", "4G", "1T" */
opt_fn opt_mib;     /* uint32_t MiB: "512", or as opt_size with a suffix */
opt_fn opt_seconds; /* uint64_t ns: "5", "1.5", "90s", "200ms", "2m", "1h" */

/* One command of a program. */
struct opt_cmd {
	const char *name; /* as typed: "pecten gpu serve" */
	const char *
		synopsis; /* what follows the options, e.g. "ROOTFS [--] COMMAND [ARG...]"; or "" */
	const char *about;   /* paragraphs for --help, each line at most 78 columns */
	const char *example; /* lines shown under "example:"; or NULL */
	const struct opt *opts;
};

enum { OPT_HELP = 1 };

/**
 * opt_parse() - read options up to the first operand, or past "--"
 * @cmd:	table and names
 * @argc, @argv: arguments without the command itself
 * @conf:	configuration, filled with defaults by the caller
 * @used:	how many arguments were options; the operands follow
 *
 * Accepts "--name VALUE", "--name=VALUE", "-n VALUE", "-nVALUE" and "-ab" for flags.
 *
 * Return: 0; OPT_HELP if -h or --help was among them; -EINVAL with a sentence
 */
int opt_parse(const struct opt_cmd *cmd, int argc, char *const *argv, void *conf, int *used,
	      struct err *e) MUST_CHECK;

/* Prints what --help prints. */
void opt_help(const struct opt_cmd *cmd, FILE *to);

/**
 * opt_parse_size() - a number of bytes with an optional suffix K, M, G, T (powers of 1024)
 * @unit:	bytes that a number without suffix counts in
 *
 * Return: 0, or -EINVAL if it is not such a number, -ERANGE if it does not fit
 */
int opt_parse_size(const char *text, uint64_t unit, uint64_t *bytes) MUST_CHECK;

/**
 * opt_parse_u64() - decimal digits only, the whole text
 *
 * Return: 0, -EINVAL or -ERANGE
 */
int opt_parse_u64(const char *text, uint64_t max, uint64_t *value) MUST_CHECK;

#endif
