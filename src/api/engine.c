/* SPDX-License-Identifier: Apache-2.0 */
/* Engines: see engine.h.  A success is kept as a file beside the names of machines. */
#include "api/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/launch.h"
#include "host/fd.h"

#define KNOWN_FILE ".kvm-works" /* holds what identify() says */
#define BOOT_ID    "/proc/sys/kernel/random/boot_id"
#define ID_BYTES   192

int engine_probe_kvm(const char *program, char *text, size_t len, struct err *e)
{
	const char *argv[] = { program, "--probe", NULL };
	int r = launch_ask(argv, text, len, e);

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

static void read_text(int dir, const char *name, char text[ID_BYTES])
{
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd >= 0 ? read(fd, text, ID_BYTES - 1) : 0;

	text[n > 0 ? n : 0] = '\0';
}

/*
 * What a result holds for: this boot of the host, and the very pecten-vm that has tried.
 * Return: false if that cannot be told
 */
static bool identify(const char *program, char id[ID_BYTES])
{
	char boot[ID_BYTES];
	struct stat st;

	read_text(AT_FDCWD, BOOT_ID, boot);
	boot[strcspn(boot, "\n")] = '\0';
	if (*boot == '\0' || stat(program, &st) < 0)
		return false;
	return snprintf(id, ID_BYTES, "%s %ju:%ju %jd.%09ld\n", boot, (uintmax_t)st.st_dev,
			(uintmax_t)st.st_ino, (intmax_t)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec) < ID_BYTES;
}

int engine_check(const char *program, int names, struct err *e)
{
	char id[ID_BYTES];
	char known[ID_BYTES];
	char text[ERR_TEXT_MAX];
	bool is_told = identify(program, id);

	read_text(names, KNOWN_FILE, known);
	if (is_told && strcmp(id, known) == 0)
		return 0;

	int r = engine_probe_kvm(program, text, sizeof(text), e);

	if (r < 0 || !is_told)
		return r;

	AUTO_FD fd = openat(names, KNOWN_FILE,
			    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* If it cannot be kept, the next start probes again. */
	if (fd >= 0 && write(fd, id, strlen(id)) < 0)
		(void)unlinkat(names, KNOWN_FILE, 0);
	return 0;
}
