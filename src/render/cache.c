/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shader cache folders: see cache.h.  A renderer may write what it likes below its folder, so
 * nothing in there is followed: no symbolic link, no name but through a descriptor.
 */
#include "render/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/fd.h"
#include "util/ckd.h"

#define AGES         64 /* steps in which a folder's files are sorted by age */
#define FILES_MAX    1000000U
#define SECS_PER_DAY 86400

int cache_default(char *dir, size_t size)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	int n;

	if (cache && *cache == '/')
		n = snprintf(dir, size, "%s/pecten/shaders", cache);
	else if (home && *home == '/')
		n = snprintf(dir, size, "%s/.cache/pecten/shaders", home);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENOENT : 0;
}

static int make_folders(const char *path)
{
	char part[1024];

	for (const char *p = path + 1; *p; p++) {
		size_t len = (size_t)(p - path) + 1;

		if (p[1] != '/' && p[1] != '\0')
			continue;
		if (len >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, path, len);
		part[len] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static void close_folder(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}
#define AUTO_DIR CLEANUP(close_folder) DIR

/* Bytes by age; and, in a second walk, what is too old. */
struct tally {
	time_t now;
	uint64_t bytes[AGES]; /* [i]: files last used some 2^(i/2) minutes ago */
	uint64_t total;
	unsigned files;
	unsigned remove_from; /* AGES: remove nothing */
};

static unsigned age_of(const struct tally *t, const struct stat *st)
{
	time_t used = st->st_atime > st->st_mtime ? st->st_atime : st->st_mtime;
	uint64_t minutes = used < t->now ? (uint64_t)(t->now - used) / 60 : 0;
	unsigned age = 0;

	/* Half steps of powers of two: 1, 1.5, 2, 3, 4, 6 ... minutes. */
	while (age + 2 < AGES && minutes >= 2) {
		minutes /= 2;
		age += 2;
	}
	return age;
}

static void walk(struct tally *t, int folder, int depth)
{
	AUTO_DIR *d = NULL;
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy >= 0 && !(d = fdopendir(copy)))
		(void)close(copy);
	if (!d)
		return;
	for (struct dirent *e; t->files < FILES_MAX && (e = readdir(d));) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			AUTO_FD sub = openat(folder, e->d_name,
					     O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
			if (sub >= 0 && depth < CACHE_DEPTH_MAX)
				walk(t, sub, depth + 1);
			continue;
		}
		unsigned age = age_of(t, &st);
		uint64_t bytes = (uint64_t)st.st_blocks * 512;

		t->files++;
		if (age >= t->remove_from) {
			(void)unlinkat(folder, e->d_name, 0);
		} else {
			t->bytes[age] += bytes;
			t->total += bytes;
		}
	}
}

static void shrink(int folder, uint64_t max_bytes)
{
	struct tally seen = { .now = time(NULL), .remove_from = AGES };
	struct tally removal = { .now = seen.now, .remove_from = AGES };
	uint64_t keep = 0;

	walk(&seen, folder, 0);
	if (seen.total <= max_bytes && seen.files < FILES_MAX)
		return;
	for (unsigned i = 0; i < AGES && removal.remove_from == AGES; i++) {
		keep += seen.bytes[i];
		if (keep > max_bytes / 5 * 4)
			removal.remove_from = i;
	}
	walk(&removal, folder, 0);
}

int cache_prepare(const char *base, uid_t uid, uint64_t max_bytes, char *dir, size_t size,
		  struct err *e)
{
	struct stat st;
	int n = snprintf(dir, size, "%s/uid-%u", base, (unsigned)uid);

	if (base[0] != '/')
		return err_set(e, -EINVAL, "the shader cache '%s' is not an absolute path", base);
	if (n < 0 || (size_t)n >= size)
		return err_set(e, -ENAMETOOLONG, "the path of the shader cache is too long");

	int r = make_folders(dir);
	if (r < 0)
		return err_set(e, r,
			       "cannot create the shader cache '%s': %s; name another folder with "
			       "--shader-cache, or 'none'",
			       dir, strerror(-r));

	AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, "cannot open the shader cache '%s'", dir);
	/* Somebody else's folder could feed our drivers with code. */
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(e, -EPERM,
			       "the shader cache '%s' belongs to another user or others may write "
			       "to it; name another folder with --shader-cache",
			       dir);
	if (max_bytes != UINT64_MAX)
		shrink(fd, max_bytes);
	return 0;
}
