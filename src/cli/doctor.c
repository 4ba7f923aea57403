/* SPDX-License-Identifier: Apache-2.0 */
/* pecten doctor: what this host can do, and what to mend. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "cli/cli.h"
#include "cli/cmds.h"
#include "pecten.h"

struct conf {
	bool is_json;
};

/* clang-format off */
static const struct opt opts[] = {
	{ "json", 0, NULL, "for programs", opt_flag, OPT_FIELD(struct conf, is_json), 0 },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd help = {
	.name = "pecten doctor",
	.synopsis = "",
	.about = "Says what this host can do for machines, and what to do about what is missing.\n"
		 "The exit status is 0 if machines can run.",
	.example = "  pecten doctor",
	.opts = opts,
};

static const char *const states[] = {
	[PECTEN_OK] = "ok", [PECTEN_DEGRADED] = "degraded", [PECTEN_MISSING] = "missing"
};

struct report {
	json_object *list; /* NULL: for people */
	bool can_run;
};

static int show(void *arg, const struct pecten_check *c)
{
	struct report *r = arg;

	/* A network can be done without; an engine and a kernel cannot. */
	if (c->state == PECTEN_MISSING && strcmp(c->id, "net") != 0)
		r->can_run = false;
	if (!r->list) {
		(void)printf("%-18s %-9s %s\n", c->what, states[c->state], c->text);
		if (*c->remedy)
			(void)printf("%-18s %-9s -> %s\n", "", "", c->remedy);
		return fflush(stdout) == 0 ? 0 : -errno;
	}

	json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(c->id));
	json_object_object_add(o, "what", json_object_new_string(c->what));
	json_object_object_add(o, "state", json_object_new_string(states[c->state]));
	json_object_object_add(o, "text", json_object_new_string(c->text));
	json_object_object_add(o, "remedy", json_object_new_string(c->remedy));
	return json_object_array_add(r->list, o);
}

int cmd_doctor(int argc, char *const *argv)
{
	struct conf c = { 0 };
	struct report report = { .can_run = true };
	struct err e = { 0 };
	int status = cli_options(&help, argc, argv, &c, 0, NULL);

	if (status >= 0)
		return status;
	report.list = c.is_json ? json_object_new_array() : NULL;

	int r = pecten_doctor(show, &report);

	if (r == 0 && report.list)
		(void)puts(json_object_to_json_string_ext(report.list, JSON_C_TO_STRING_PRETTY));
	if (report.list)
		(void)json_object_put(report.list);
	if (r < 0) {
		(void)err_set(&e, r, "cannot examine this host: %s", strerror(-r));
		return cli_fail(&e, CLI_FAILED);
	}
	return report.can_run ? CLI_OK : CLI_FAILED;
}
