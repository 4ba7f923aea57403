/* SPDX-License-Identifier: Apache-2.0 */
/* Views by mount namespace and by Landlock, privileges: see sandbox.h. */
#include "host/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/fd.h"
#include "util/log.h"

/* Newer than the headers of Debian 12; the kernel says by its version which of them it knows. */
#define LL_TRUNCATE       (UINT64_C(1) << 14) /* version 3 */
#define LL_IOCTL_DEV      (UINT64_C(1) << 15) /* version 5 */
#define LL_NET_BIND_TCP   UINT64_C(1)         /* version 4 */
#define LL_NET_CONN_TCP   UINT64_C(2)
#define LL_SCOPE_ABSTRACT UINT64_C(1) /* version 6 */
#define LL_SCOPE_SIGNAL   UINT64_C(2)

#define SANDBOX_PATH_SIZE 1024

struct ll_ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

#define LL_READ_ONLY (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LL_CHANGE                                                                                  \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                            \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LL_TRUNCATE)
/* Rights that a rule on something that is not a folder may have. */
#define LL_OF_FILES                                                                                \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                              \
	 LANDLOCK_ACCESS_FS_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV)

static int add_one(struct sandbox_view *v, const char *path, enum sandbox_access access)
{
	if (v->count >= SANDBOX_PATHS_MAX)
		return -ENOMEM;
	if (!v->paths)
		v->paths = calloc(SANDBOX_PATHS_MAX, sizeof(*v->paths));

	char *copy = v->paths ? strdup(path) : NULL;
	if (!copy)
		return -ENOMEM;
	v->paths[v->count++] = (struct sandbox_path){ .path = copy, .access = access };
	return 0;
}

int sandbox_view_add(struct sandbox_view *v, const char *path, enum sandbox_access access)
{
	glob_t found = { 0 };
	int r = 0;

	if (glob(path, GLOB_NOSORT, NULL, &found) != 0)
		return 0; /* globfree() is not needed: nothing was found */
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
		r = add_one(v, found.gl_pathv[i], access);
	}
	globfree(&found);
	return r;
}

void sandbox_view_fini(struct sandbox_view *v)
{
	for (size_t i = 0; i < v->count; i++)
		free(v->paths[i].path);
	free(v->paths);
	*v = (struct sandbox_view){ 0 };
}

int sandbox_privileges(struct err *e)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, "cannot give up privileges");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_errno(e, "cannot forbid core dumps");
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	for (int cap = 0; cap < 64; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* fails past the last one */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

/* Makes the folders above @path, and @path itself as folder or empty file.  Return: 0 or -errno */
static int make_place(int root, const char *path, bool is_dir)
{
	char part[SANDBOX_PATH_SIZE];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - path);

		if (len == 0)
			continue;
		if (len >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, path, len);
		part[len] = '\0';
		if (mkdirat(root, part, 0755) < 0 && errno != EEXIST && errno != EROFS)
			return -errno;
	}
	if (is_dir)
		return mkdirat(root, path, 0755) < 0 && errno != EEXIST && errno != EROFS ? -errno
											  : 0;
	AUTO_FD fd = openat(root, path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
	/* Below a folder that is mounted already the place exists. */
	return fd < 0 && faccessat(root, path, F_OK, 0) < 0 ? -errno : 0;
}

/* Takes a copy of the mount that a path shows, with what it may be used for.  Return: fd or -errno
 */
static int open_place(const struct sandbox_path *p)
{
	AUTO_FD fd =
		open_tree(AT_FDCWD, p->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };

	if (fd < 0)
		return -errno;
	if (p->access != SANDBOX_WRITE)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (p->access != SANDBOX_DEVICE)
		attr.attr_set |= MOUNT_ATTR_NODEV;
	if (p->access != SANDBOX_READ &&
	    p->access != SANDBOX_EXEC) /* drivers and what they link are read and mapped */
		attr.attr_set |= MOUNT_ATTR_NOEXEC;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int new_tmpfs(void)
{
	AUTO_FD fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "1M", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;

	int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	return fd < 0 ? -errno : fd;
}

static int fill_root(int root, const struct sandbox_view *v)
{
	for (size_t i = 0; i < v->count; i++) {
		const char *rel = v->paths[i].path + 1;
		int place = v->paths[i].place;
		struct stat st;

		if (place < 0 || fstat(place, &st) < 0)
			continue; /* vanished since it was listed */
		int r = make_place(root, rel, S_ISDIR(st.st_mode));
		if (r < 0)
			return r;
		if (move_mount(place, "", root, rel, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return -errno;
	}
	return 0;
}

int sandbox_enter_root(struct sandbox_view *v)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	int r;

	if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
		return -errno;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;

	AUTO_FD root = new_tmpfs();
	if (root < 0)
		return root;
	for (size_t i = 0; i < v->count; i++)
		v->paths[i].place = open_place(&v->paths[i]);
	r = move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
	if (r == 0)
		r = fill_root(root, v);
	for (size_t i = 0; i < v->count; i++)
		fd_drop(&v->paths[i].place);
	if (r < 0)
		return r;
	if (mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0)
		return -errno;
	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int landlock_add(int rules, const struct sandbox_path *p, uint64_t handled)
{
	struct landlock_path_beneath_attr attr = { .allowed_access = LL_READ_ONLY };
	struct stat st;

	AUTO_FD fd = open(p->path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* vanished since it was listed */

	if (p->access == SANDBOX_WRITE)
		attr.allowed_access |= LL_CHANGE;
	if (p->access == SANDBOX_EXEC)
		attr.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
	if (p->access == SANDBOX_DEVICE)
		attr.allowed_access |= LANDLOCK_ACCESS_FS_WRITE_FILE | LL_IOCTL_DEV;
	if (!S_ISDIR(st.st_mode))
		attr.allowed_access &= LL_OF_FILES;
	attr.allowed_access &= handled;
	attr.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
		return -errno;
	return 0;
}

/* Return: 0; -ENOSYS or -EOPNOTSUPP where the kernel has no Landlock; -errno */
static int enter_landlock(const struct sandbox_view *v)
{
	struct ll_ruleset set = { .fs = (UINT64_C(1) << 13) - 1 };
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (version < 1)
		return version < 0 ? -errno : -EOPNOTSUPP;
	if (version >= 2)
		set.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		set.fs |= LL_TRUNCATE;
	if (version >= 4)
		set.net = LL_NET_BIND_TCP | LL_NET_CONN_TCP;
	if (version >= 5)
		set.fs |= LL_IOCTL_DEV;
	if (version >= 6)
		set.scoped = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL;

	/* The kernel takes a longer struct than it knows as long as the rest is zero. */
	AUTO_FD rules = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof(set), 0);
	if (rules < 0)
		return -errno;
	for (size_t i = 0; i < v->count; i++) {
		int r = landlock_add(rules, &v->paths[i], set.fs);

		if (r < 0)
			return r;
	}
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

int sandbox_enter_view(struct sandbox_view *v, struct err *e)
{
	int mounts = sandbox_enter_root(v);

	if (mounts < 0 && mounts != -EPERM && mounts != -EINVAL && mounts != -ENOSYS)
		return err_set(e, mounts, "cannot set up a mount namespace: %s", strerror(-mounts));

	int caps = drop_capabilities();
	if (caps < 0)
		return err_set(e, caps, "cannot drop capabilities: %s", strerror(-caps));

	int landlock = enter_landlock(v);
	if (landlock == 0 || mounts == 0) {
		log_debug(SANDBOX, "mount namespace: %s, Landlock: %s",
			  mounts < 0 ? strerror(-mounts) : "yes",
			  landlock < 0 ? strerror(-landlock) : "yes");
		return 0;
	}
	return err_set(e, -EOPNOTSUPP,
		       "this system offers neither Landlock (%s) nor mount namespaces (%s) to "
		       "confine a renderer; run as root, enable Landlock in the kernel, or give "
		       "--no-sandbox if you trust every client",
		       strerror(-landlock), strerror(-mounts));
}
