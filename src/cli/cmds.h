/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: one declaration for each file; main.c has the table. */
#ifndef PECTEN_CLI_CMDS_H
#define PECTEN_CLI_CMDS_H

/* Each gets the arguments after its name and returns the exit status. */
int cmd_doctor(int argc, char *const *argv);
int cmd_exec(int argc, char *const *argv);
int cmd_ps(int argc, char *const *argv);
int cmd_run(int argc, char *const *argv);
int cmd_stop(int argc, char *const *argv);
int cmd_gpu(int argc, char *const *argv);

#endif
