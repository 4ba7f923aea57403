/* SPDX-License-Identifier: Apache-2.0 */
/* pecten ps and pecten stop: the machines that run. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "cli/cli.h"
#include "cli/cmds.h"
#include "pecten.h"
#include "util/bytes.h"

#define NS_PER_MS UINT64_C(1000000)
#define GRACE_NS  UINT64_C(10000000000)

struct ps_conf {
	bool is_json;
};

/* clang-format off */
static const struct opt ps_opts[] = {
	{ "json", 0, NULL, "for programs", opt_flag, OPT_FIELD(struct ps_conf, is_json), 0 },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd ps_help = {
	.name = "pecten ps",
	.synopsis = "",
	.about = "Lists your running machines.",
	.example = "  pecten ps --json",
	.opts = ps_opts,
};

static int add_json(void *arg, const struct pecten_info *i)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(i->name));
	json_object_object_add(o, "pid", json_object_new_int(i->pid));
	json_object_object_add(o, "started", json_object_new_int64(i->started));
	json_object_object_add(o, "cpus", json_object_new_int((int)i->cpus));
	json_object_object_add(o, "memory_mib", json_object_new_int64((int64_t)i->ram_mib));
	json_object_object_add(o, "root", json_object_new_string(i->root));
	json_object_object_add(o, "command", json_object_new_string(i->command));
	return json_object_array_add(arg, o);
}

/* Control characters in somebody's command must not reach the terminal. */
static void put_text(const char *text)
{
	while (*text) {
		size_t n = control_len(text);

		(void)putchar(n ? '?' : *text);
		text += n ? n : 1;
	}
}

static int put_row(void *arg, const struct pecten_info *i)
{
	long long up = (long long)time(NULL) - (long long)i->started;
	char age[32];

	if (*(bool *)arg)
		(void)printf("%-20s %-8s %-8s %-5s %-8s %s\n", "NAME", "PID", "UP", "CPUS",
			     "MEMORY", "COMMAND");
	*(bool *)arg = false;
	(void)snprintf(age, sizeof(age), "%lldm%02llds", up / 60, up % 60);
	(void)printf("%-20s %-8d %-8s %-5u %-8ju ", i->name, i->pid, age, i->cpus,
		     (uintmax_t)i->ram_mib);
	put_text(i->command);
	(void)putchar('\n');
	return 0;
}

int cmd_ps(int argc, char *const *argv)
{
	struct ps_conf c = { 0 };
	struct err e = { 0 };
	bool is_first = true;
	int status = cli_options(&ps_help, argc, argv, &c, 0, NULL);
	int r;

	if (status >= 0)
		return status;
	if (c.is_json) {
		json_object *list = json_object_new_array();

		r = pecten_list(add_json, list);
		if (r == 0)
			(void)puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
		(void)json_object_put(list);
	} else {
		r = pecten_list(put_row, &is_first);
	}
	if (r == 0)
		return CLI_OK;
	(void)err_set(&e, r, "cannot list the machines: %s", strerror(-r));
	return cli_fail(&e, CLI_FAILED);
}

struct stop_conf {
	uint64_t grace_ns;
};

/* clang-format off */
static const struct opt stop_opts[] = {
	{ "time", 't', "TIME", "between SIGTERM to the workload and the end (10)", opt_seconds, OPT_FIELD(struct stop_conf, grace_ns), 0 },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd stop_help = {
	.name = "pecten stop",
	.synopsis = "NAME...",
	.about = "Ends machines: their workload gets SIGTERM, and a while later everything ends.",
	.example = "  pecten stop -t 0 web",
	.opts = stop_opts,
};

static int stop(const char *name, unsigned grace_ms)
{
	struct pecten_vm *vm;
	struct err e = { 0 };
	char why[ERR_TEXT_MAX];
	int r = pecten_vm_attach(name, &vm, why, sizeof(why));

	if (r < 0) {
		(void)err_set(&e, r, "%s", why);
		return cli_fail(&e, CLI_FAILED);
	}
	r = pecten_vm_stop(vm, grace_ms);
	if (r < 0) {
		(void)err_set(&e, r, "%s", pecten_vm_error(vm));
		(void)cli_fail(&e, CLI_FAILED);
	}
	pecten_vm_destroy(vm);
	return r < 0 ? CLI_FAILED : CLI_OK;
}

int cmd_stop(int argc, char *const *argv)
{
	struct stop_conf c = { .grace_ns = GRACE_NS };
	struct err e = { 0 };
	int used = 0;
	int status = cli_options(&stop_help, argc, argv, &c, -1, &used);

	if (status >= 0)
		return status;
	if (used == argc) {
		(void)err_set(&e, -EINVAL, "the machine's name is missing; 'pecten ps' lists them");
		return cli_fail(&e, CLI_USAGE);
	}

	uint64_t ms = c.grace_ns / NS_PER_MS;

	status = CLI_OK;
	for (int i = used; i < argc; i++) {
		if (stop(argv[i], ms < INT32_MAX ? (unsigned)ms : INT32_MAX) != CLI_OK)
			status = CLI_FAILED;
	}
	return status;
}
