/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands of pecten share: the table's row, exit statuses, how an error is shown.
 * A subcommand is a function that gets the arguments after its own name and returns the exit
 * status; src/cli/main.c lists them.
 */
#ifndef PECTEN_CLI_CLI_H
#define PECTEN_CLI_CLI_H

#include "cli/opt.h"
#include "util/err.h"

/* Exit statuses; `run` and `exec` also use the workload's own and 125 to 127. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli_cmd {
	const char *name;  /* as typed; NULL ends the table */
	const char *about; /* one line for --help */
	int (*run)(int argc, char *const *argv);
};

/**
 * cli_dispatch() - run the subcommand that argv[0] names
 * @prog:	what comes before it on the command line: "pecten", "pecten gpu"
 * @about:	paragraphs for --help
 * @cmds:	table, ended by a NULL name
 *
 * "--help" and "help" list the table.
 *
 * Return: exit status
 */
int cli_dispatch(const char *prog, const char *about, const struct cli_cmd *cmds, int argc,
		 char *const *argv);

/* Prints "pecten: <sentence>" to stderr. Return: @status */
int cli_fail(const struct err *e, int status);

/**
 * cli_options() - parse options, serve --help and tell mistakes
 * @operands:	how many may follow the options: exactly this many; -1 for any number
 * @used:	where the operands start; may be NULL if @operands is 0
 *
 * Return: -1 to go on, else the exit status: the command is done
 */
int cli_options(const struct opt_cmd *cmd, int argc, char *const *argv, void *conf, int operands,
		int *used) MUST_CHECK;

#endif
