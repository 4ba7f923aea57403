/* SPDX-License-Identifier: Apache-2.0 */
/* Finding QEMU: see qemu.h. */
#include "api/qemu.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "host/place.h"

#define PROGRAM "qemu-system-x86_64"
#define VERSION "version " /* what stands before the number in what QEMU says of itself */

/* Asks for the version; one that does not answer has major 0. */
static void ask_version(struct qemu_program *q)
{
	char loader[LAUNCH_PATH_MAX + 32];
	char libs[LAUNCH_PATH_MAX + 32];
	char text[256] = "";
	const char *direct[] = { q->program, "--version", NULL };
	const char *private[] = { loader, "--library-path", libs, q->program, "--version", NULL };

	(void)snprintf(loader, sizeof(loader), "%s/lib64/ld-linux-x86-64.so.2", q->root);
	(void)snprintf(libs, sizeof(libs), "%s/usr/lib/x86_64-linux-gnu", q->root);
	q->major = 0;
	if (launch_ask(*q->root ? private : direct, text, sizeof(text), NULL) != 0)
		return;

	const char *v = strstr(text, VERSION);
	char *end;

	if (!v)
		return;
	q->major = (unsigned)strtoul(v + strlen(VERSION), &end, 10);
	q->minor = *end == '.' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
}

static bool in_path(struct qemu_program *q)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");

		if (len > 0 && *path == '/' &&
		    snprintf(q->program, sizeof(q->program), "%.*s/%s", (int)len, path, PROGRAM) <
			    (int)sizeof(q->program) &&
		    access(q->program, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* Return: 1 if one is there, 0 if not, -EPERM and the like with a sentence */
static int in_cache(struct qemu_program *q, struct err *e)
{
	char at[LAUNCH_PATH_MAX];
	int r = place_cache(at, sizeof(at), "qemu", e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;

	/* The folder is replaced as a whole by a newer one: what we name has to be this one. */
	AUTO_FREE char *root = realpath(at, NULL);

	return root && snprintf(q->root, sizeof(q->root), "%s", root) < (int)sizeof(q->root) &&
	       snprintf(q->program, sizeof(q->program), "%s/usr/bin/" PROGRAM, root) <
		       (int)sizeof(q->program) &&
	       access(q->program, X_OK) == 0;
}

int qemu_find(struct qemu_program *q, struct err *e)
{
	const char *given = getenv("PECTEN_QEMU");
	char old[LAUNCH_PATH_MAX + 64] = "";

	*q = (struct qemu_program){ 0 };
	if (given && *given) {
		(void)snprintf(q->program, sizeof(q->program), "%s", given);
		ask_version(q);
		if (q->major >= QEMU_MAJOR)
			return 0;
		if (q->major == 0)
			return err_set(e, -ENOENT,
				       "PECTEN_QEMU names '%s', which is no QEMU that runs here; "
				       "unset the variable",
				       given);
		return err_set(e, -ENOENT,
			       "PECTEN_QEMU names '%s', which is QEMU %u.%u; unset the variable, "
			       "or name a QEMU of version %d or newer",
			       given, q->major, q->minor, QEMU_MAJOR);
	}
	if (in_path(q)) {
		ask_version(q);
		if (q->major >= QEMU_MAJOR)
			return 0;
		if (q->major > 0)
			(void)snprintf(old, sizeof(old), " (%s is version %u.%u)", q->program,
				       q->major, q->minor);
	}
	*q = (struct qemu_program){ 0 };

	int r = in_cache(q, e);

	if (r < 0)
		return r;
	if (r > 0) {
		ask_version(q);
		if (q->major >= QEMU_MAJOR)
			return 0;
	}
	return err_set(e, -ENOENT,
		       "there is no QEMU of version %d or newer%s; get one into a private folder "
		       "with tools/get-qemu",
		       QEMU_MAJOR, old);
}
