/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a command line.  The input is its words, each ended by a NUL. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cli/opt.h"

#define WORDS 300 /* more than a repeated option takes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct conf {
	bool flag;
	uint8_t cpus;
	uint32_t count;
	uint32_t mib;
	uint64_t bytes;
	uint64_t ns;
	const char *name;
	struct opt_list list;
};

/* clang-format off */
static const struct opt opts[] = {
	{ "flag",    'f', NULL,  "a flag",        opt_flag,    OPT_FIELD(struct conf, flag),  0 },
	{ "cpus",    'c', "N",   "a small number", opt_u8,     OPT_FIELD(struct conf, cpus),  0 },
	{ "count",    0,  "N",   "a number",      opt_u32,     OPT_FIELD(struct conf, count), OPT_DEBUG },
	{ "memory",  'm', "MIB", "RAM",           opt_mib,     OPT_FIELD(struct conf, mib),   0 },
	{ "size",     0,  "N",   "bytes",         opt_size,    OPT_FIELD(struct conf, bytes), 0 },
	{ "timeout", 't', "S",   "time",          opt_seconds, OPT_FIELD(struct conf, ns),    0 },
	{ "name",    'n', "S",   "text",          opt_string,  OPT_FIELD(struct conf, name),  OPT_REQUIRED },
	{ "env",     'e', "K=V", "texts",         opt_strings, OPT_FIELD(struct conf, list),  OPT_REPEAT },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd cmd = {
	.name = "fuzz", .synopsis = "", .about = "It reads options.", .opts = opts
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS + 1] = { NULL };
	struct conf c = { 0 };
	struct err e = { 0 };
	int used = -1;
	int argc = 0;
	AUTO_FREE char *words = calloc(1, size + 1);

	assert(words);
	memcpy(words, data, size);
	for (char *p = words; argc < WORDS && p < words + size; p += strlen(p) + 1)
		argv[argc++] = p;

	int r = opt_parse(&cmd, argc, argv, &c, &used, &e);
	if (r == 0) {
		assert(used >= 0 && used <= argc);
		assert(c.name && *c.name);
		assert(c.list.n <= OPT_LIST_MAX);
		for (size_t i = 0; i < c.list.n; i++)
			assert(c.list.v[i] >= words && c.list.v[i] <= words + size);
	} else {
		assert(r == OPT_HELP || (r < 0 && *e.text));
	}
	opt_list_fini(&c.list);
	return 0;
}
