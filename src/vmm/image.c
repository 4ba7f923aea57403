/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels from files and from libkrunfw: see image.h. */
#include "vmm/image.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm/config.h"

#define KRUNFW   "libkrunfw.so.5"
#define FILE_MAX (UINT64_C(1) << 30) /* bytes of a kernel or an initramfs */

/* libkrunfw's interface: the bundled kernel with its load address and entry point. */
typedef char *krunfw_get_kernel_fn(size_t *load_addr, size_t *entry_addr, size_t *size);

static int map_file(int fd, const char *what, void **map, size_t *len, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "cannot examine the %s", what);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > FILE_MAX)
		return err_set(e, -ENOEXEC, "the %s is not a file, or empty, or larger than 1 GiB",
			       what);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		return err_errno(e, "cannot read the %s", what);
	*map = p;
	*len = (size_t)st.st_size;
	return 0;
}

static int open_krunfw(const char *path, struct image *im, struct machine_kernel *k, struct err *e)
{
	size_t load = 0;
	size_t entry = 0;
	size_t size = 0;
	krunfw_get_kernel_fn *get;

	im->krunfw = dlopen(*path ? path : KRUNFW, RTLD_NOW | RTLD_LOCAL);
	if (!im->krunfw)
		return err_set(e, -ENOENT,
			       "no guest kernel: %s is not installed (%s); install libkrunfw or "
			       "give a kernel with --kernel",
			       KRUNFW, dlerror());
	*(void **)&get = dlsym(im->krunfw, "krunfw_get_kernel");
	const char *img = get ? get(&load, &entry, &size) : NULL;
	if (!img || size == 0 || entry == 0)
		return err_set(e, -ENOEXEC, "%s holds no kernel for this machine",
			       *path ? path : KRUNFW);
	k->img = img;
	k->len = size;
	k->raw_gpa = load;
	k->raw_entry = entry;
	return 0;
}

int image_open(const struct vm_config *c, struct image *im, struct machine_kernel *k, struct err *e)
{
	int r;

	*im = (struct image){ 0 };
	*k = (struct machine_kernel){ 0 };
	if (c->kernel.kind == CTL_KERNEL_KRUNFW)
		return open_krunfw(c->kernel.path, im, k, e);
	r = map_file(c->kernel_fd, "kernel", &im->kernel_map, &im->kernel_len, e);
	if (r == 0 && c->initrd_fd >= 0)
		r = map_file(c->initrd_fd, "initramfs", &im->initrd_map, &im->initrd_len, e);
	if (r < 0) {
		image_close(im);
		return r;
	}
	k->img = im->kernel_map;
	k->len = im->kernel_len;
	k->initrd = im->initrd_map;
	k->initrd_len = im->initrd_len;
	return 0;
}

void image_close(struct image *im)
{
	if (im->kernel_map)
		(void)munmap(im->kernel_map, im->kernel_len);
	if (im->initrd_map)
		(void)munmap(im->initrd_map, im->initrd_len);
	if (im->krunfw)
		(void)dlclose(im->krunfw);
	*im = (struct image){ 0 };
}
