/* SPDX-License-Identifier: Apache-2.0 */
/* Engines: see engine.h.  The result is kept as a file beside the names of machines. */
#include "api/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "api/launch.h"
#include "host/fd.h"

#define KNOWN_FILE ".kvm-works" /* holds the boot's id */
#define BOOT_ID    "/proc/sys/kernel/random/boot_id"
#define ID_BYTES   64

int engine_probe_kvm(char *text, size_t len, struct err *e)
{
	char path[LAUNCH_PATH_MAX];
	const char *argv[] = { path, "--probe", NULL };
	int r = launch_find("pecten-vm", path, e);

	if (r == 0)
		r = launch_ask(argv, text, len, e);
	if (r == -ETIMEDOUT)
		return err_set(
			e, r,
			"KVM of this host did not finish a small probe in 10 s; when the host is "
			"merely overloaded, use --engine kvm");
	if (r == -EIO)
		return err_set(e, r, "the probe of KVM crashed; please report this");
	if (r < 0)
		return r;
	if (r > 0)
		return err_set(e, access("/dev/kvm", R_OK | W_OK) < 0 ? -errno : -ENOTSUP, "%s",
			       text);
	return 0;
}

/* Identifies this boot of the host; empty if it cannot be told. */
static void read_id(int dir, const char *name, char id[ID_BYTES])
{
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd >= 0 ? read(fd, id, ID_BYTES - 1) : 0;

	id[n > 0 ? n : 0] = '\0';
}

int engine_check(int names, struct err *e)
{
	char boot[ID_BYTES];
	char known[ID_BYTES];
	char text[ERR_TEXT_MAX];

	read_id(AT_FDCWD, BOOT_ID, boot);
	read_id(names, KNOWN_FILE, known);
	if (*boot && strcmp(boot, known) == 0)
		return 0;

	int r = engine_probe_kvm(text, sizeof(text), e);

	if (r < 0)
		return r;

	AUTO_FD fd = openat(names, KNOWN_FILE,
			    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* If it cannot be kept, the next start probes again. */
	if (fd >= 0 && write(fd, boot, strlen(boot)) < 0)
		(void)unlinkat(names, KNOWN_FILE, 0);
	return 0;
}
