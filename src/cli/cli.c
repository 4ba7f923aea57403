/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share: see cli.h. */
#include "cli/cli.h"

#include <errno.h>

int cli_fail(const struct err *e, int status)
{
	(void)fprintf(stderr, "pecten: %s\n", e->text);
	return status;
}

static void list(const char *prog, const char *about, const struct cli_cmd *cmds, FILE *to)
{
	(void)fprintf(to, "usage: %s COMMAND [options]\n\n%s\n\ncommands:\n", prog, about);
	for (const struct cli_cmd *c = cmds; c->name; c++)
		(void)fprintf(to, "  %-12s%s\n", c->name, c->about);
	(void)fprintf(to, "\n'%s COMMAND --help' explains a command and shows an example.\n", prog);
}

int cli_dispatch(const char *prog, const char *about, const struct cli_cmd *cmds, int argc,
		 char *const *argv)
{
	struct err e;

	if (argc < 1) {
		list(prog, about, cmds, stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
	    strcmp(argv[0], "help") == 0) {
		list(prog, about, cmds, stdout);
		return CLI_OK;
	}
	for (const struct cli_cmd *c = cmds; c->name; c++) {
		if (strcmp(c->name, argv[0]) == 0)
			return c->run(argc - 1, argv + 1);
	}
	(void)err_set(&e, -EINVAL, "there is no command '%.100s'; '%s --help' lists them", argv[0],
		      prog);
	return cli_fail(&e, CLI_USAGE);
}

int cli_options(const struct opt_cmd *cmd, int argc, char *const *argv, void *conf, int operands,
		int *used)
{
	struct err e;
	int n = 0;
	int r = opt_parse(cmd, argc, argv, conf, &n, &e);

	if (r == OPT_HELP) {
		opt_help(cmd, stdout);
		return CLI_OK;
	}
	if (r < 0)
		return cli_fail(&e, CLI_USAGE);
	if (operands >= 0 && argc - n > operands) {
		(void)err_set(&e, -EINVAL, "unexpected argument '%.100s'; see '%s --help'",
			      argv[n + operands], cmd->name);
		return cli_fail(&e, CLI_USAGE);
	}
	if (operands >= 0 && argc - n < operands) {
		(void)err_set(&e, -EINVAL, "missing argument; usage: %s %s", cmd->name,
			      cmd->synopsis);
		return cli_fail(&e, CLI_USAGE);
	}
	if (used)
		*used = n;
	return -1;
}
