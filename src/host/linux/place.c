/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that the environment names, walked by descriptors: see place.h. */
#include "host/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fd.h"

#define PATH_BYTES 1024
#define LINKS_MAX  16
#define CACHE_VAR  "XDG_CACHE_HOME"

struct walk {
	int at;         /* folder that has been reached */
	uid_t owner;    /* of "/", who could exchange everything: root, if it has a number here */
	bool is_shared; /* others may make something in that folder */
	char rest[PATH_BYTES]; /* the way from there */
	int links;
	const char *variable;
	struct err *err;
};

/* Says what is wrong with a folder or link. */
static int refuse(const struct walk *w, int fd, const char *what)
{
	char self[32];
	char path[512];
	ssize_t n;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return err_set(w->err, -EPERM, "'%s' %s; set %s to a folder of your own", path, what,
		       w->variable);
}

static int enter(struct walk *w, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() && st.st_uid != 0 && st.st_uid != w->owner)
		return refuse(w, fd, "belongs to another user");
	if (S_ISLNK(st.st_mode)) {
		char target[PATH_BYTES];
		char way[PATH_BYTES];
		ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

		if (n < 0)
			return -errno;
		target[n] = '\0';
		if (++w->links > LINKS_MAX)
			return -ELOOP;
		if (snprintf(way, sizeof(way), "%s/%s", target, w->rest) >= (int)sizeof(way))
			return -ENAMETOOLONG;
		memcpy(w->rest, way, sizeof(way));
		if (*target != '/')
			return 0;

		int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (root < 0)
			return -errno;
		fd_drop(&w->at);
		w->at = root;
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	/* Where each user has a group, it usually has the user's number. */
	w->is_shared = st.st_mode & S_IWOTH ||
		       (st.st_mode & S_IWGRP && st.st_gid != geteuid() && st.st_gid != 0);
	if (w->is_shared && !(st.st_mode & S_ISVTX))
		return refuse(w, fd, "can be written to by others");

	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	fd_drop(&w->at);
	w->at = copy;
	return 0;
}

/* Return: 1 at the end of the way, or of what exists of it; 0 after a step; or -errno */
static int step(struct walk *w)
{
	char name[PATH_BYTES];
	size_t skip = strspn(w->rest, "/");
	size_t len = strcspn(w->rest + skip, "/");

	if (len == 0)
		return 1;
	memcpy(name, w->rest + skip, len);
	name[len] = '\0';
	memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);

	AUTO_FD fd = openat(w->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 1 : -errno;
	return enter(w, fd);
}

int place_check(const char *path, const char *variable, struct err *e)
{
	AUTO_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct walk w = { .at = -1, .variable = variable, .err = e };
	struct err own = { 0 };
	struct stat st = { 0 };
	int r = root < 0 || fstat(root, &st) < 0 ? -errno : 0;

	if (!e)
		w.err = &own;
	w.err->code = 0;
	if (r == 0) {
		w.owner = st.st_uid;
		r = enter(&w, root);
	}
	if (r == 0 && snprintf(w.rest, sizeof(w.rest), "%s", path) >= (int)sizeof(w.rest))
		r = -ENAMETOOLONG;
	while (r == 0)
		r = step(&w);
	/* What comes next somebody else could make before us. */
	if (r == 1)
		r = w.is_shared ? refuse(&w, w.at, "can be written to by others") : 0;
	fd_drop(&w.at);
	if (r < 0 && w.err->code == 0)
		return err_set(w.err, r, "cannot use '%s': %s; set %s to a folder of your own",
			       path, strerror(-r), variable);
	return r;
}

int place_cache(char *path, size_t size, const char *name, struct err *e)
{
	const char *cache = getenv(CACHE_VAR);
	const char *home = getenv("HOME");
	int n;

	/* The specification of these variables says that relative paths are to be ignored. */
	if (cache && *cache == '/')
		n = snprintf(path, size, "%s/pecten", cache);
	else if (home && *home == '/')
		n = snprintf(path, size, "%s/.cache/pecten", home);
	else
		return err_set(e, -ENOENT, "there is no home for a cache; set HOME");
	if (n < 0 || (size_t)n + 1 + strlen(name) >= size)
		return err_set(e, -ENAMETOOLONG,
			       "the path of the cache is too long; set " CACHE_VAR
			       " to a shorter one");

	int r = place_check(path, CACHE_VAR, e);

	if (r == 0)
		(void)snprintf(path + n, size - (size_t)n, "/%s", name);
	return r;
}
