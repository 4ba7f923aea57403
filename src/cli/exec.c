/* SPDX-License-Identifier: Apache-2.0 */
/* pecten exec: a further command in a machine that runs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/attend.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "pecten.h"

#define STATUS_NOT_STARTED 125

struct conf {
	struct opt_list env;
	const char *cwd;
	const char *user;
	bool is_tty;
};

/* clang-format off */
static const struct opt opts[] = {
	{ "env",     'e', "K=V",  "environment variable",                  opt_strings, OPT_FIELD(struct conf, env),    OPT_REPEAT },
	{ "workdir", 'w', "DIR",  "working directory (/)",                 opt_string,  OPT_FIELD(struct conf, cwd),    0 },
	{ "user",    'u', "USER", "user[:group], names or numbers (root)", opt_string,  OPT_FIELD(struct conf, user),   0 },
	{ "tty",     't', NULL,   "give the command a terminal",           opt_flag,    OPT_FIELD(struct conf, is_tty), 0 },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd help = {
	.name = "pecten exec",
	.synopsis = "NAME [--] COMMAND [ARG...]",
	.about = "Runs one more command in a running machine, with stdio, signals and exit status\n"
		 "as 'pecten run' has them.  It ends when the machine ends.",
	.example = "  pecten exec -t web -- bash",
	.opts = opts,
};

static int describe(struct pecten_cmd *cmd, const struct conf *c, struct err *e)
{
	int r = pecten_cmd_set_stdio(cmd, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO);

	for (size_t i = 0; r == 0 && i < c->env.n; i++)
		r = pecten_cmd_set_env(cmd, c->env.v[i]);
	if (r == 0 && c->cwd)
		r = pecten_cmd_set_cwd(cmd, c->cwd);
	if (r == 0 && c->user)
		r = pecten_cmd_set_user(cmd, c->user);
	return r < 0 ? err_set(e, r, "%s", pecten_cmd_error(cmd)) : 0;
}

static int run(const struct conf *c, const char *name, char *const *argv)
{
	struct pecten_vm *vm = NULL;
	struct pecten_cmd *cmd = NULL;
	struct attend a = { 0 };
	struct err e = { 0 };
	char why[ERR_TEXT_MAX];
	int status = STATUS_NOT_STARTED;

	if (pecten_cmd_create((const char *const *)argv, &cmd) < 0) {
		(void)err_set(&e, -ENOMEM, "out of memory");
	} else if (pecten_vm_attach(name, &vm, why, sizeof(why)) < 0) {
		(void)err_set(&e, -ENOENT, "%s", why);
	} else if (describe(cmd, c, &e) == 0) {
		if (attend_begin(&a, vm, cmd, false, c->is_tty) < 0)
			(void)err_set(&e, -EIO, "cannot use the terminal");
		else if (pecten_vm_exec(vm, cmd) < 0)
			(void)err_set(&e, -EIO, "%s", pecten_vm_error(vm));
		else
			status = attend_wait(&a, 0);
	}
	attend_end(&a);
	if (e.code)
		status = cli_fail(&e, STATUS_NOT_STARTED);
	pecten_cmd_destroy(cmd);
	pecten_vm_destroy(vm);
	return status;
}

int cmd_exec(int argc, char *const *argv)
{
	struct conf c = { 0 };
	struct err e = { 0 };
	int used = 0;
	int status = cli_options(&help, argc, argv, &c, -1, &used);

	if (status < 0) {
		int at = used + 1;

		if (at < argc && strcmp(argv[at], "--") == 0)
			at++;
		if (at >= argc) {
			(void)err_set(&e, -EINVAL, "%s is missing; see 'pecten exec --help'",
				      used >= argc ? "the machine's name" : "the command");
			status = cli_fail(&e, CLI_USAGE);
		} else {
			status = run(&c, argv[used], argv + at);
		}
	}
	opt_list_fini(&c.env);
	return status;
}
