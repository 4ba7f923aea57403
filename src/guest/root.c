/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying the set-up out: see boot.h.  The user's root is overlaid with RAM, or used as it is,
 * in a folder of a tmpfs that hides a folder of the first root; then it is moved over "/".  The
 * usual mounts and the shares come after that, so that their targets are resolved as the image
 * resolves them: its /tmp, say, may be a link to /var/tmp.
 */
#include "guest/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest/platform.h"

#define PATH_BYTES   512
#define OVERLAY_FULL (UINT64_C(64) * 1024) /* fewer free bytes than this are none */
#define RENDER_NODE  128                   /* DRM numbers its render nodes from here */
#define RENDER_NODES 8

int boot_say(char *why, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(why, BOOT_TEXT_MAX, fmt, ap);
	va_end(ap);
	if (n >= 0 && n < BOOT_TEXT_MAX)
		(void)snprintf(why + n, BOOT_TEXT_MAX - (size_t)n, ": %s", strerror(code));
	return -code;
}

/* A folder that may be there already. */
static int make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/* mkdir -p of everything in front of the last component, and of that too if @is_dir. */
static int make_path(const char *path, bool is_dir)
{
	char part[PATH_BYTES];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		if (path[i] == '\0' && !is_dir)
			break;
		memcpy(part, path, i);
		part[i] = '\0';

		int r = make_dir(part, 0755);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The first folder of the first root that can be hidden by a tmpfs. */
static const char *mount_work(void)
{
	static const char *const places[] = { "/run", "/tmp", "/mnt", "/proc" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		(void)mkdir(places[i], 0755); /* an initramfs may lack it */
		if (mount("tmpfs", places[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") == 0)
			return places[i];
	}
	return NULL;
}

/*
 * Folders that are mounted over anyway: in the overlay they hide the image's own, so that nobody
 * has to look at those.  When the root is a host's "/", its /proc and /sys are not even served.
 */
static void hide_mount_points(const char *ram)
{
	static const char *const names[] = { "proc", "sys", "dev", "run", "tmp" };
	char path[PATH_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%.64s/up/%s", ram, names[i]);
		if (mkdir(path, 0755) == 0)
			(void)setxattr(path, "trusted.overlay.opaque", "y", 1, 0);
	}
}

/* Changes go to a tmpfs of a stated size; the host's folder is only read. */
static int mount_overlay(struct boot *b, const char *work, const char *lower, const char *at,
			 char *why)
{
	char ram[64]; /* below one of mount_work()'s places */
	char opts[2 * PATH_BYTES];
	struct stat st;

	(void)snprintf(ram, sizeof(ram), "%s/ram", work);
	(void)snprintf(opts, sizeof(opts), "mode=0755,size=%lluM",
		       (unsigned long long)b->overlay_mib);
	if (mkdir(ram, 0700) < 0 || mount("tmpfs", ram, "tmpfs", 0, opts) < 0)
		return boot_say(why, errno, "cannot reserve RAM for changes to the root");
	b->overlay = open(ram, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (b->overlay < 0 || mkdirat(b->overlay, "up", 0755) < 0 ||
	    mkdirat(b->overlay, "work", 0700) < 0)
		return boot_say(why, errno, "cannot prepare RAM for changes to the root");

	/* The overlay's own root shows the upper folder's owner and mode, not the lower's. */
	if (stat(lower, &st) < 0 || fchownat(b->overlay, "up", st.st_uid, st.st_gid, 0) < 0 ||
	    fchmodat(b->overlay, "up", st.st_mode & 07777, 0) < 0)
		return boot_say(why, errno, "cannot examine the root file system");

	hide_mount_points(ram);

	/* redirect_dir: without it a folder of the image cannot be renamed. */
	(void)snprintf(opts, sizeof(opts), "lowerdir=%s,upperdir=%s/up,workdir=%s/work,%s", lower,
		       ram, ram, "redirect_dir=on");
	if (mount("overlay", at, "overlay", 0, opts) < 0)
		return boot_say(
			why, errno,
			"cannot overlay the root with RAM (has the guest kernel overlayfs?)");
	return 0;
}

/* The mounts a container expects. */
static int mount_usual(char *why)
{
	/* clang-format off */
	static const struct {
		const char *at;
		const char *type; /* NULL: a folder only */
		unsigned long flags;
		const char *opts;
		mode_t mode;
		bool is_needed;
	} mounts[] = {
		{ "/proc",          "proc",    MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555, true },
		{ "/sys",           "sysfs",   MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555, true },
		{ "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0, false },
		{ "/dev",           "",        0,                     NULL, 0755, true },
		{ "/dev/pts",       "devpts",  MS_NOSUID | MS_NOEXEC,
		  "newinstance,ptmxmode=0666,mode=0620,gid=5", 0755, true },
		{ "/dev/shm",       "tmpfs",   MS_NOSUID | MS_NODEV, "mode=1777", 01777, true },
		{ "/dev/mqueue",    "mqueue",  MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0755, false },
		{ "/run",           "tmpfs",   MS_NOSUID | MS_NODEV, "mode=0755", 0755, true },
		{ "/tmp",           "tmpfs",   MS_NOSUID | MS_NODEV, "mode=1777", 01777, true },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		const char *at = mounts[i].at;
		int r = mounts[i].mode ? make_dir(at, mounts[i].mode) : 0;

		if (r < 0 && mounts[i].is_needed)
			return boot_say(why, -r,
					"the root has no folder '%s' and it cannot be made", at);
		if (*mounts[i].type == '\0')
			r = platform_mount_dev(at);
		else if (mount(mounts[i].type, at, mounts[i].type, mounts[i].flags,
			       mounts[i].opts) < 0)
			r = -errno;
		if (r < 0 && mounts[i].is_needed)
			return boot_say(why, -r, "cannot mount '%s' in the guest", at);
	}
	return 0;
}

static void make_link(const char *to, const char *at)
{
	if (symlink(to, at) < 0)
		return; /* it exists, or the folder cannot be written: a program that needs it will
			   say so */
}

/* Names under /dev that programs expect; existing ones are left alone. */
static void link_dev(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },       { "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
		{ "/proc/kcore", "/dev/core" },
	};

	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		make_link(links[i][0], links[i][1]);
	/* devtmpfs has a node for the kernel's own instance of devpts; ours is another one. */
	if (unlink("/dev/ptmx") == 0 || errno == ENOENT)
		make_link("pts/ptmx", "/dev/ptmx");
}

/* Whoever may compute may use the GPU, as long as nobody in the guest says otherwise. */
static void open_gpu(void)
{
	char path[32];

	for (unsigned n = RENDER_NODE; n < RENDER_NODE + RENDER_NODES; n++) {
		(void)snprintf(path, sizeof(path), "/dev/dri/renderD%u", n);
		(void)chmod(path, 0666); /* most of them do not exist */
	}
}

static int switch_root(const char *root, char *why)
{
	if (chdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return boot_say(why, errno, "cannot switch to the root file system");
	return 0;
}

/* Creates what a bind mount needs underneath. */
static int make_target(const char *target, bool is_dir)
{
	struct stat st;

	if (stat(target, &st) == 0)
		return S_ISDIR(st.st_mode) == is_dir ? 0 : is_dir ? -ENOTDIR : -EISDIR;

	int r = make_path(target, is_dir);

	if (r < 0 || is_dir)
		return r;

	int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int bind_fd(int fd, const char *target, bool is_ro)
{
	char from[64];

	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	if (mount(from, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	/* The host enforces it as well; this makes statvfs() and mount(8) tell the truth. */
	if (is_ro && mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return -errno;
	return 0;
}

static int bind_shares(struct boot *b, char *why)
{
	for (unsigned i = 0; i < b->nshares; i++) {
		struct boot_share *s = &b->shares[i];
		struct stat st;
		int r;

		r = fstat(s->fd, &st) < 0 ? -errno : make_target(s->target, S_ISDIR(st.st_mode));
		if (r == 0)
			r = bind_fd(s->fd, s->target, s->is_ro);
		if (r < 0)
			return boot_say(why, -r, "cannot mount the share '%.256s' in the guest",
					s->target);
		(void)close(s->fd);
		s->fd = -1;
	}
	return 0;
}

/*
 * Puts a text over a file of /etc without touching the image.  An image without the file is left
 * without it if it cannot be made.
 */
static void put_file(const char *target, const char *text)
{
	char path[] = "/run/.pecten-XXXXXX";
	size_t len = strlen(text);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, len) == (ssize_t)len && fchmod(fd, 0644) == 0) {
		char linked[PATH_BYTES];
		ssize_t n = readlink(target, linked, sizeof(linked) - 1);

		/* systemd's images have a link into /run, which is empty here. */
		if (n > 0 && access(target, F_OK) < 0) {
			linked[n] = '\0';

			const char *at = strstr(linked, "run/");

			if (at && at != linked && at[-1] == '/')
				(void)make_target(at - 1, false);
		}
		if (make_target(target, false) == 0)
			(void)mount(path, target, NULL, MS_BIND, NULL);
	}
	(void)unlink(path);
	(void)close(fd);
}

static void put_etc(const struct boot *b)
{
	char text[512];
	const char *name = b->hostname ? b->hostname : "localhost";
	int n = snprintf(text, sizeof(text), "127.0.0.1 localhost\n::1 localhost ip6-localhost\n");

	if (b->has_net && b->hostname)
		(void)snprintf(text + n, sizeof(text) - (size_t)n, "%u.%u.%u.%u %.256s\n",
			       b->addr >> 24, b->addr >> 16 & 255, b->addr >> 8 & 255,
			       b->addr & 255, name);
	else if (b->hostname)
		(void)snprintf(text + n, sizeof(text) - (size_t)n, "127.0.1.1 %.256s\n", name);
	put_file("/etc/hosts", text);
	if (b->hostname) {
		(void)snprintf(text, sizeof(text), "%.256s\n", name);
		put_file("/etc/hostname", text);
	}
	if (b->resolv)
		put_file("/etc/resolv.conf", b->resolv);
}

int boot_do(struct boot *b, char *why)
{
	char lower[PATH_BYTES];
	char root[PATH_BYTES];
	char path[PATH_BYTES];
	int r;

	if (!b->root)
		return boot_say(why, EPROTO, "the host named no root file system");

	const char *work = mount_work();

	if (!work)
		return boot_say(why, errno, "cannot mount a tmpfs in the guest");
	(void)snprintf(root, sizeof(root), "%s/root", work);
	if (mkdir(root, 0755) < 0)
		return boot_say(why, errno, "cannot make a mount point");
	r = platform_share(b->root, work, lower, sizeof(lower));
	if (r < 0)
		return boot_say(why, -r, "cannot reach the root file system");
	if (b->is_rw && mount(lower, root, NULL, MS_BIND | MS_REC, NULL) < 0)
		return boot_say(why, errno, "cannot mount the root file system");
	r = b->is_rw ? 0 : mount_overlay(b, work, lower, root, why);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < b->nshares; i++) {
		struct boot_share *s = &b->shares[i];

		r = platform_share(s->source, work, path, sizeof(path));
		if (r == 0)
			s->fd = open(path, O_PATH | O_CLOEXEC);
		if (r < 0 || s->fd < 0)
			return boot_say(why, r < 0 ? -r : errno,
					"cannot reach the share for '%.256s'", s->target);
	}
	r = switch_root(root, why);
	if (r == 0)
		r = mount_usual(why);
	if (r < 0)
		return r;
	link_dev();
	open_gpu();
	r = bind_shares(b, why);
	if (r < 0)
		return r;
	if (b->hostname && sethostname(b->hostname, strlen(b->hostname)) < 0)
		return boot_say(why, errno, "cannot set the host name '%.64s'", b->hostname);
	put_etc(b);
	return boot_net(b, why);
}

bool boot_overlay_is_full(const struct boot *b)
{
	struct statvfs v;

	return b->overlay >= 0 && fstatvfs(b->overlay, &v) == 0 &&
	       (v.f_bavail * v.f_bsize < OVERLAY_FULL || v.f_favail == 0);
}
