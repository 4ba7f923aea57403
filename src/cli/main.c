/* SPDX-License-Identifier: Apache-2.0 */
/* pecten: the command line.  Each subcommand is a row here and a file of its own beside it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/cmds.h"

static int version(int argc, char *const *argv)
{
	(void)argc;
	(void)argv;
	return puts("pecten " PECTEN_VERSION) < 0 ? CLI_FAILED : CLI_OK;
}

static const struct cli_cmd cmds[] = {
	{ "run", "run a command in a machine of its own", cmd_run },
	{ "exec", "run one more command in a running machine", cmd_exec },
	{ "ps", "list running machines", cmd_ps },
	{ "stop", "end running machines", cmd_stop },
	{ "doctor", "say what this host can do", cmd_doctor },
	{ "gpu", "share the GPU with processes of this host", cmd_gpu },
	{ "version", "print the version", version },
	{ 0 },
};

/* Descriptors 0 to 2 that our caller has closed: what we open must not end up there. */
static void fill_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

int main(int argc, char **argv)
{
	static const char about[] =
		"Runs AI containers in small virtual machines at the speed of the host's GPU.";

	fill_stdio();
	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return version(0, NULL);
	return cli_dispatch("pecten", about, cmds, argc - 1, argv + 1);
}
