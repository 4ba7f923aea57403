/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels in the cache: see cache.h. */
#include "api/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/init_image.h"
#include "host/fd.h"
#include "host/place.h"

#define PATH_BYTES 1024
#define COPY_BYTES 65536
/* Entries of a cpio archive ("newc") are padded to this. */
#define CPIO_ALIGN 4U

/* Opens a part of the guest kernel. */
static int open_part(const char *name, int *fd, struct err *e)
{
	char path[PATH_BYTES];
	int r = place_cache(path, sizeof(path), name, e);

	if (r < 0 && r != -ENOENT)
		return r;
	*fd = r == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (*fd >= 0)
		return 0;
	r = r < 0 ? r : -errno;
	if (r == -ENOENT)
		return err_set(e, r,
			       "there is no guest kernel for QEMU; make one with "
			       "tools/guest-kernel, or give one with --kernel");
	return err_set(e, r,
		       "cannot open the guest kernel for QEMU: %s; make it anew with "
		       "tools/guest-kernel",
		       strerror(-r));
}

static int copy_all(int from, int to)
{
	AUTO_FREE char *buf = malloc(COPY_BYTES);
	ssize_t n = 0;
	int r = buf ? 0 : -ENOMEM;

	while (r == 0 && (n = read(from, buf, COPY_BYTES)) > 0)
		r = fd_write_full(to, buf, (size_t)n);
	return n < 0 ? -errno : r;
}

/* One file at the end of an archive, the archive's end included. */
static int cpio_entry(int to, const char *name, unsigned mode, const void *data, size_t len)
{
	static const char zeros[CPIO_ALIGN] = { 0 };
	char head[256];
	/* inode, mode, owner and group, links, time, size, devices, length of the name, sum */
	int n = snprintf(head, sizeof(head),
			 "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x%s", 1U, mode,
			 0U, 0U, 1U, 0U, len, 0U, 0U, 0U, 0U, strlen(name) + 1, 0U, name);
	size_t used = (size_t)n + 1; /* the name's NUL */

	memset(head + used, 0, CPIO_ALIGN);
	int r = fd_write_full(to, head, (used + CPIO_ALIGN - 1) & ~(size_t)(CPIO_ALIGN - 1));
	if (r == 0)
		r = fd_write_full(to, data, len);
	return r < 0 ? r : fd_write_full(to, zeros, -len % CPIO_ALIGN);
}

/*
 * The kernel unpacks one archive behind the other.  Modules come from the tool's, init from this
 * library, so that both sides of the agent's protocol are of one version.
 */
static int make_initrd(int modules, int *out)
{
	AUTO_FD fd = memfd_create("initramfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : copy_all(modules, fd);

	if (r == 0)
		r = cpio_entry(fd, "init", S_IFREG | 0755, init_image, init_image_size);
	if (r == 0)
		r = cpio_entry(fd, "TRAILER!!!", 0, "", 0);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r < 0)
		return r;
	*out = take_fd(&fd);
	return 0;
}

int cache_kernel(int *kernel, int *initrd, struct err *e)
{
	AUTO_FD image = -1;
	AUTO_FD modules = -1;
	int r = open_part("kernel/vmlinux", &image, e);

	if (r == 0)
		r = open_part("kernel/modules.cpio", &modules, e);
	if (r < 0)
		return r;
	r = make_initrd(modules, initrd);
	if (r < 0)
		return err_set(e, r, "cannot make an initramfs: %s", strerror(-r));
	*kernel = take_fd(&image);
	return 0;
}

int cache_kernel_version(char *text, size_t len, struct err *e)
{
	AUTO_FD version = -1;
	AUTO_FD image = -1;
	int r = open_part("kernel/vmlinux", &image, e);

	if (r == 0)
		r = open_part("kernel/version", &version, e);
	if (r < 0)
		return r;

	ssize_t n = read(version, text, len - 1);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}
