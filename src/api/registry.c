/* SPDX-License-Identifier: Apache-2.0 */
/* Names of running machines: see registry.h. */
#include "api/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "host/fd.h"
#include "host/place.h"

#define INFO_MAX     ((size_t)64 << 10) /* bytes of info.json */
#define MACHINES_MAX 1024
#define BACKLOG      64
#define ATTEMPTS     16
#define RUNTIME_VAR  "XDG_RUNTIME_DIR"

bool reg_name_ok(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t len = strlen(name);

	if (len == 0 || len > REG_NAME_MAX || !strchr(letters, name[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!strchr(letters, name[i]) && !strchr("._-", name[i]))
			return false;
	}
	return true;
}

/* Where the names are; it may not exist yet. */
static int base_path(char *path, size_t len, struct err *e)
{
	const char *run = getenv(RUNTIME_VAR);
	char user[64];
	int n;

	(void)snprintf(user, sizeof(user), "/run/user/%u", (unsigned)geteuid());
	if (run && *run == '/' && place_check(run, RUNTIME_VAR, NULL) == 0)
		n = snprintf(path, len, "%s/pecten", run);
	else if (access(user, W_OK) == 0)
		n = snprintf(path, len, "%s/pecten", user);
	else
		n = snprintf(path, len, "/tmp/pecten-%u", (unsigned)geteuid());
	/* Room for "/NAME/agent" in a socket's address. */
	if (n < 0 || (size_t)n + REG_NAME_MAX + sizeof("//agent") >
			     sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "the path in " RUNTIME_VAR
			       " is too long for sockets; set a shorter one");
	return 0;
}

/* The folder of names, made if need be, and nobody else's. Return: descriptor or -errno */
static int open_base(char *path, size_t len, bool create, struct err *e)
{
	struct stat st;
	int r = base_path(path, len, e);

	if (r < 0)
		return r;
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(e, "cannot make the folder '%s'", path);

	AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) {
		r = -errno;
		return err_set(e, r,
			       "cannot open the folder '%s': %s; set " RUNTIME_VAR
			       " to a folder of your own",
			       path, strerror(-r));
	}
	if (fstat(fd, &st) < 0)
		return err_errno(e, "cannot open the folder '%s'", path);
	/* In /tmp anybody could have made it, and nobody but its owner and root removes it. */
	if (st.st_uid != geteuid())
		return err_set(e, -EPERM,
			       "the folder '%s' belongs to another user; set " RUNTIME_VAR
			       " to a folder of your own",
			       path);
	if ((st.st_mode & 077) != 0)
		return err_set(e, -EPERM,
			       "the folder '%s' must be closed to others; 'chmod 700' it", path);
	return take_fd(&fd);
}

int reg_open(struct err *e)
{
	char path[REG_PATH_MAX];

	return open_base(path, sizeof(path), true, e);
}

/* Takes the lock of a name's folder. Return: descriptor; -EWOULDBLOCK if it runs; -errno */
static int try_lock(int base, const char *name, bool create)
{
	char file[REG_NAME_MAX + 8];

	(void)snprintf(file, sizeof(file), "%s/lock", name);

	AUTO_FD fd =
		openat(base, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);

	if (fd < 0)
		return -errno;
	/* A new one may be held for a moment by somebody who looks whether we run. */
	if (flock(fd, create ? LOCK_EX : LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return take_fd(&fd);
}

/*
 * Keeps a folder, and what is in it, from programs that tidy up /tmp: systemd-tmpfiles leaves alone
 * what it cannot lock (tmpfiles.d(5), "Age").  Return: descriptor or -errno
 */
static int keep_dir(int base, const char *name)
{
	AUTO_FD fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || flock(fd, LOCK_SH) < 0)
		return -errno;
	return take_fd(&fd);
}

static void remove_dir(int base, const char *name)
{
	static const char *const files[] = { "agent", "info.json", "info.tmp", "lock" };
	char file[REG_NAME_MAX + 16];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", name, files[i]);
		(void)unlinkat(base, file, 0);
	}
	(void)unlinkat(base, name, AT_REMOVEDIR);
}

/* Removes what killed processes left behind; the caller holds the folder's lock. */
static void sweep(int base)
{
	int copy = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *ent;

	while (d && (ent = readdir(d))) {
		if (!reg_name_ok(ent->d_name))
			continue;

		int lock = try_lock(base, ent->d_name, false);

		if (lock >= 0 || lock == -ENOENT)
			remove_dir(base, ent->d_name);
		if (lock >= 0)
			(void)close(lock);
	}
	if (d)
		(void)closedir(d);
	else if (copy >= 0)
		(void)close(copy);
}

static int listen_at(const char *path, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(e, "cannot make a socket");
	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s", path) >= (int)sizeof(at.sun_path))
		return err_set(e, -ENAMETOOLONG, "the path '%s' is too long for a socket", path);
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(e, "cannot listen at '%s'", path);
	return take_fd(&fd);
}

/* A short name that is free: pecten-PID, and further ones for further machines of a process. */
static void make_name(int base, char *name, size_t len)
{
	struct stat st;

	for (unsigned n = 0; n < MACHINES_MAX; n++) {
		if (n == 0)
			(void)snprintf(name, len, "vm-%u", (unsigned)getpid());
		else
			(void)snprintf(name, len, "vm-%u-%u", (unsigned)getpid(), n);
		if (fstatat(base, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return;
	}
}

/*
 * The folder of names, locked: sweeping and claiming are one step for others.  Nobody removes it
 * then; one that was removed before, because it was old and empty, is made anew.
 */
static int lock_base(char *path, size_t len, struct err *e)
{
	struct stat st;

	for (int i = 0; i < ATTEMPTS; i++) {
		AUTO_FD base = open_base(path, len, true, e);

		if (base < 0)
			return base;
		if (flock(base, LOCK_EX) < 0 || fstat(base, &st) < 0)
			return err_errno(e, "cannot lock '%s'", path);
		if (st.st_nlink > 0)
			return take_fd(&base);
	}
	return err_set(e, -ENOENT, "the folder '%s' is removed again and again", path);
}

int reg_claim(const char *name, struct reg_entry *entry, struct err *e)
{
	char path[REG_PATH_MAX];

	*entry = (struct reg_entry){ .lock = -1, .dir_lock = -1, .listener = -1 };

	AUTO_FD base = lock_base(path, sizeof(path), e);

	if (base < 0)
		return base;
	sweep(base);
	if (*name)
		(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	else
		make_name(base, entry->name, sizeof(entry->name));
	if (mkdirat(base, entry->name, 0700) < 0) {
		if (errno == EEXIST)
			return err_set(e, -EBUSY,
				       "a machine named '%s' is running; choose another --name or "
				       "'pecten stop %s'",
				       entry->name, entry->name);
		return err_errno(e, "cannot make a folder in '%s'", path);
	}
	entry->dir_lock = keep_dir(base, entry->name);
	entry->lock = entry->dir_lock < 0 ? entry->dir_lock : try_lock(base, entry->name, true);
	if (entry->lock < 0) {
		int r = entry->lock;

		remove_dir(base, entry->name);
		fd_drop(&entry->dir_lock);
		return err_set(e, r, "cannot lock '%s/%s'", path, entry->name);
	}
	(void)snprintf(entry->dir, sizeof(entry->dir), "%.*s/%s", REG_PATH_MAX - REG_NAME_MAX - 2,
		       path, entry->name);

	char agent[REG_PATH_MAX + 8];

	(void)snprintf(agent, sizeof(agent), "%s/agent", entry->dir);
	entry->listener = listen_at(agent, e);
	if (entry->listener < 0) {
		int r = entry->listener;

		reg_release(entry);
		return r;
	}
	return 0;
}

void reg_release(struct reg_entry *entry)
{
	char path[REG_PATH_MAX];

	fd_drop(&entry->listener);
	if (entry->lock < 0)
		return;

	AUTO_FD base = open_base(path, sizeof(path), false, NULL);

	if (base >= 0)
		remove_dir(base, entry->name);
	fd_drop(&entry->dir_lock);
	fd_drop(&entry->lock);
}

int reg_publish(const struct reg_entry *entry, const struct pecten_info *info, pid_t vm_pid,
		struct err *e)
{
	char tmp[REG_PATH_MAX + 16];
	char path[REG_PATH_MAX + 16];
	json_object *o = json_object_new_object();
	int r = 0;

	if (!o)
		return err_set(e, -ENOMEM, "out of memory");
	json_object_object_add(o, "name", json_object_new_string(info->name));
	json_object_object_add(o, "root", json_object_new_string(info->root));
	json_object_object_add(o, "command", json_object_new_string(info->command));
	json_object_object_add(o, "pid", json_object_new_int(info->pid));
	json_object_object_add(o, "vm_pid", json_object_new_int((int)vm_pid));
	json_object_object_add(o, "started", json_object_new_int64(info->started));
	json_object_object_add(o, "memory_mib", json_object_new_int64((int64_t)info->ram_mib));
	json_object_object_add(o, "cpus", json_object_new_int((int)info->cpus));

	(void)snprintf(tmp, sizeof(tmp), "%s/info.tmp", entry->dir);
	(void)snprintf(path, sizeof(path), "%s/info.json", entry->dir);
	if (json_object_to_file(tmp, o) < 0 || rename(tmp, path) < 0)
		r = err_errno(e, "cannot write '%s'", path);
	(void)json_object_put(o);
	return r;
}

/* The parsed info.json of a name, or NULL. */
static json_object *read_info(int base, const char *name)
{
	char file[REG_NAME_MAX + 16];

	(void)snprintf(file, sizeof(file), "%s/info.json", name);

	AUTO_FD fd = openat(base, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	char *text = fd >= 0 ? malloc(INFO_MAX) : NULL;
	ssize_t n = text ? read(fd, text, INFO_MAX - 1) : 0;
	json_object *o = NULL;

	if (n > 0) {
		text[n] = '\0';
		o = json_tokener_parse(text);
	}
	free(text);

	if (o && !json_object_is_type(o, json_type_object)) {
		(void)json_object_put(o);
		o = NULL;
	}
	return o;
}

static const char *get_str(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static int64_t get_int(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

/* A machine runs if its lock is held. */
static bool is_running(int base, const char *name)
{
	int lock = try_lock(base, name, false);

	if (lock >= 0)
		(void)close(lock);
	return lock == -EWOULDBLOCK;
}

int reg_is_running(const char *name, struct err *e)
{
	char path[REG_PATH_MAX];

	if (!reg_name_ok(name))
		return 0;
	if (base_path(path, sizeof(path), e) < 0)
		return e ? e->code : -ENAMETOOLONG;
	if (access(path, F_OK) < 0)
		return 0;

	AUTO_FD base = open_base(path, sizeof(path), false, e);

	return base < 0 ? base : is_running(base, name);
}

int reg_connect(const char *name, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char path[REG_PATH_MAX];
	int r = reg_is_running(name, e);

	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, -ENOENT,
			       "no machine named '%s' is running; 'pecten ps' lists those that are",
			       name);
	r = base_path(path, sizeof(path), e);
	if (r < 0)
		return r;

	/* A machine that takes no connections, be it the guest's doing, must not make us wait. */
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(e, "cannot make a socket");
	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s/agent", path, name) >=
	    (int)sizeof(at.sun_path))
		return err_set(e, -ENAMETOOLONG, "the machine's name is too long");
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return errno == EAGAIN
			       ? err_set(e, -EAGAIN, "the machine '%s' does not answer", name)
			       : err_errno(e, "cannot reach the machine '%s'", name);
	r = fcntl(fd, F_SETFL, 0) < 0 ? -errno : 0;
	return r < 0 ? err_set(e, r, "cannot reach the machine '%s'", name) : take_fd(&fd);
}

pid_t reg_vm_pid(const char *name)
{
	char path[REG_PATH_MAX];
	AUTO_FD base = open_base(path, sizeof(path), false, NULL);
	json_object *o = base >= 0 && reg_name_ok(name) ? read_info(base, name) : NULL;
	pid_t pid = o ? (pid_t)get_int(o, "vm_pid") : 0;

	if (o)
		(void)json_object_put(o);
	return pid > 1 ? pid : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int show(int base, const char *name, int (*fn)(void *, const struct pecten_info *),
		void *arg)
{
	json_object *o = is_running(base, name) ? read_info(base, name) : NULL;

	if (!o)
		return 0;

	const struct pecten_info info = {
		.name = name,
		.root = get_str(o, "root"),
		.command = get_str(o, "command"),
		.pid = (int)get_int(o, "pid"),
		.started = get_int(o, "started"),
		.ram_mib = (uint64_t)get_int(o, "memory_mib"),
		.cpus = (unsigned)get_int(o, "cpus"),
	};
	int r = fn(arg, &info);

	(void)json_object_put(o);
	return r;
}

int reg_list(int (*fn)(void *arg, const struct pecten_info *info), void *arg)
{
	char path[REG_PATH_MAX];
	char **names = NULL;
	size_t n = 0;
	int r = base_path(path, sizeof(path), NULL);

	if (r < 0)
		return r;
	if (access(path, F_OK) < 0)
		return 0;

	AUTO_FD base = open_base(path, sizeof(path), false, NULL);

	if (base < 0)
		return base;

	DIR *d = opendir(path);
	const struct dirent *ent;

	names = calloc(MACHINES_MAX, sizeof(*names));
	while (d && names && n < MACHINES_MAX && (ent = readdir(d))) {
		if (!reg_name_ok(ent->d_name))
			continue;
		names[n] = strdup(ent->d_name);
		n += names[n] != NULL;
	}
	if (d)
		(void)closedir(d);
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = show(base, names[i], fn, arg);
		free(names[i]);
	}
	free(names);
	return r;
}
