/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of option tables. */
#include "cli/opt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct conf {
	bool verbose;
	bool quick;
	uint8_t cpus;
	uint32_t ram_mib;
	uint64_t limit;
	uint64_t timeout_ns;
	const char *name;
	struct opt_list env;
};

/* clang-format off */
static const struct opt opts[] = {
	{ "verbose", 'v', NULL,   "say more",     opt_flag,    OPT_FIELD(struct conf, verbose),    0 },
	{ "quick",   'q', NULL,   "hurry",        opt_flag,    OPT_FIELD(struct conf, quick),      0 },
	{ "cpus",    'c', "N",    "CPUs",         opt_u8,      OPT_FIELD(struct conf, cpus),       OPT_REQUIRED },
	{ "memory",  'm', "SIZE", "RAM",          opt_mib,     OPT_FIELD(struct conf, ram_mib),    0 },
	{ "limit",    0,  "SIZE", "bytes",        opt_size,    OPT_FIELD(struct conf, limit),      0 },
	{ "timeout", 't', "TIME", "end after it", opt_seconds, OPT_FIELD(struct conf, timeout_ns), 0 },
	{ "name",    'n', "NAME", "its name",     opt_string,  OPT_FIELD(struct conf, name),       0 },
	{ "env",     'e', "K=V",  "variable",     opt_strings, OPT_FIELD(struct conf, env),        OPT_REPEAT },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd cmd = { "prog run", "ROOT [--] CMD", "Runs it.", "  prog run /", opts };

#define ARGS(...)                                                                                  \
	(const char *[])                                                                           \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static int parse(const char **args, struct conf *c, int *used, struct err *e)
{
	int n = 0;

	*c = (struct conf){ 0 };
	*e = (struct err){ 0 };
	while (args[n])
		n++;
	return opt_parse(&cmd, n, (char *const *)(uintptr_t)args, c, used, e);
}

static void every_way_of_writing_a_value_is_read(void **state)
{
	struct conf c;
	struct err e;
	int used;

	(void)state;
	assert_int_equal(parse(ARGS("--cpus", "3", "-vqm4G", "--limit=1K", "-e", "A=1", "--env",
				    "B=2", "-t", "1.5", "root", "-x"),
			       &c, &used, &e),
			 0);
	assert_int_equal(used, 10);
	assert_true(c.verbose && c.quick);
	assert_int_equal(c.cpus, 3);
	assert_int_equal(c.ram_mib, 4096);
	assert_int_equal(c.limit, 1024);
	assert_int_equal(c.timeout_ns, 1500000000);
	assert_int_equal(c.env.n, 2);
	assert_string_equal(c.env.v[1], "B=2");
	opt_list_fini(&c.env);

	assert_int_equal(parse(ARGS("-c1", "--", "-v"), &c, &used, &e), 0);
	assert_int_equal(used, 2);
	assert_false(c.verbose);
	assert_int_equal(parse(ARGS("-c1", "-"), &c, &used, &e), 0);
	assert_int_equal(used, 1);
}

static void help_wins_over_what_is_missing(void **state)
{
	struct conf c;
	struct err e;
	int used;

	(void)state;
	assert_int_equal(parse(ARGS("--help"), &c, &used, &e), OPT_HELP);
	assert_int_equal(parse(ARGS("-vh"), &c, &used, &e), OPT_HELP);
}

static void mistakes_are_told_in_a_sentence(void **state)
{
	/* clang-format off */
	static const struct {
		const char *args[4];
		const char *says;
	} cases[] = {
		{ { "-v" },                        "--cpus N is missing" },
		{ { "--bogus" },                   "unknown option '--bogus'" },
		{ { "--bogus=1" },                 "unknown option '--bogus'" },
		{ { "-vz" },                       "unknown option '-z'" },
		{ { "--cpus" },                    "--cpus needs a value" },
		{ { "-c" },                        "--cpus needs a value" },
		{ { "--cpus", "256" },             "'256' is not a whole number from 0 to 255" },
		{ { "--cpus", "-1" },              "'-1' is not" },
		{ { "--cpus", " 1" },              "' 1' is not" },
		{ { "--cpus", "" },                "'' is not" },
		{ { "--cpus", "1", "--cpus=2" },   "--cpus is given twice" },
		{ { "--verbose=1" },               "--verbose takes no value" },
		{ { "--name=", "-c1" },            "bad value of --name: it is empty" },
		{ { "--memory=4097K" },            "not a whole number of MiB" },
		{ { "--memory=4X" },               "not a size" },
		{ { "--limit=99999999999999T" },   "not a size" },
		{ { "--limit=99999999999999999999" }, "not a size" },
		{ { "--timeout=1x" },              "not a time" },
		{ { "--timeout=1." },              "not a time" },
		{ { "--timeout=99999999999999h" }, "not a time" },
	};
	/* clang-format on */
	struct conf c;
	struct err e;
	int used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].args[0]);
		assert_int_equal(parse((const char **)(uintptr_t)cases[i].args, &c, &used, &e),
				 -EINVAL);
		assert_non_null(strstr(e.text, cases[i].says));
		opt_list_fini(&c.env);
	}
}

static void times_and_sizes_have_units(void **state)
{
	struct conf c;
	struct err e;
	int used;
	uint64_t v;

	(void)state;
	assert_int_equal(parse(ARGS("-c1", "-t200ms", "-m", "512"), &c, &used, &e), 0);
	assert_int_equal(c.timeout_ns, 200000000);
	assert_int_equal(c.ram_mib, 512);
	assert_int_equal(parse(ARGS("-c1", "-t2m"), &c, &used, &e), 0);
	assert_int_equal(c.timeout_ns, 120 * UINT64_C(1000000000));
	assert_int_equal(opt_parse_size("4GiB", 1, &v), 0);
	assert_int_equal(v, UINT64_C(4) << 30);
	assert_int_equal(opt_parse_size("2m", 1, &v), 0);
	assert_int_equal(v, 2 << 20);
}

static void help_shows_options_and_example(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	opt_help(&cmd, f);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "usage: prog run [options] ROOT [--] CMD\n"));
	assert_non_null(strstr(text, "  -m, --memory SIZE"));
	assert_non_null(strstr(text, "example:\n  prog run /\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_of_writing_a_value_is_read),
		cmocka_unit_test(help_wins_over_what_is_missing),
		cmocka_unit_test(mistakes_are_told_in_a_sentence),
		cmocka_unit_test(times_and_sizes_have_units),
		cmocka_unit_test(help_shows_options_and_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
