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
#include "host/thread.h"
#include "util/ckd.h"

#define AGES        64      /* steps in which a folder's files are sorted by age */
#define FOLDER_WORK 4       /* files that take as long as a folder */
#define DEEP        "deep-" /* names of folders that are removed with all that is in them */
#define REMOVAL_NS  UINT64_C(250000000) /* the rest waits for the next look */

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

/*
 * Opens a folder that the user's own renderers may have closed to us, or turned into a link since
 * we looked.  Return: descriptor or -errno
 */
static int open_folder(int at, const char *name)
{
	char self[32];
	struct stat st;
	AUTO_FD path = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (path < 0 || fstat(path, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IRWXU) != S_IRWXU && st.st_uid == geteuid()) {
		/* A descriptor of O_PATH has no fchmod(). */
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
		(void)chmod(self, (st.st_mode & 07777) | S_IRWXU);
	}
	int fd = openat(path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Bytes and files by age; and, in a second walk, what is too old. */
struct tally {
	time_t now;
	int top;
	uint64_t bytes[AGES]; /* [i]: files last used some 2^(i/2) minutes ago */
	unsigned files[AGES];
	uint64_t total;
	unsigned total_files;
	unsigned work;
	uint64_t until_ns;    /* a removal, which some file systems make slow, gives up then */
	bool has_deep;        /* something is or was below too many folders */
	unsigned remove_from; /* AGES: remove nothing */
	unsigned moved;
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

static void count(struct tally *t, unsigned age, const struct stat *st)
{
	uint64_t bytes = (uint64_t)st->st_blocks * 512;

	t->bytes[age] += bytes;
	t->total += bytes;
}

/*
 * No driver nests that many folders.  What lies below comes to the top, under a name for which it
 * is removed whatever its age, so that no depth takes more than a bounded recursion.
 */
static void move_up(struct tally *t, int folder, const char *name, const struct stat *st)
{
	char to[48];

	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(to, sizeof(to), DEEP "%ju-%u", (uintmax_t)st->st_ino, i);
		if (renameat(folder, name, t->top, to) == 0) {
			t->moved++;
			return;
		}
	}
}

static bool is_enough(const struct tally *t)
{
	return t->work >= CACHE_WORK_MAX || (t->until_ns && clock_now_ns() >= t->until_ns);
}

static void walk(struct tally *t, int fd, int depth, bool is_deep);

/* A folder counts as old: it goes when it is empty. */
static void see_folder(struct tally *t, int folder, const char *name, const struct stat *st,
		       int depth, bool is_deep)
{
	const bool is_removal = t->remove_from < AGES;

	t->work += FOLDER_WORK;
	count(t, AGES - 1, st);
	if (depth == 0 && strncmp(name, DEEP, strlen(DEEP)) == 0)
		is_deep = true;
	if (is_deep || depth == CACHE_DEPTH_MAX)
		t->has_deep = true;
	if (depth < CACHE_DEPTH_MAX)
		walk(t, open_folder(folder, name), depth + 1, is_deep);
	if (is_removal && unlinkat(folder, name, AT_REMOVEDIR) < 0 && depth == CACHE_DEPTH_MAX)
		move_up(t, folder, name, st);
}

static void see_file(struct tally *t, int folder, const char *name, const struct stat *st,
		     bool is_deep)
{
	unsigned age = is_deep ? AGES - 1 : age_of(t, st);

	t->work++;
	if (age >= t->remove_from) {
		(void)unlinkat(folder, name, 0);
	} else {
		count(t, age, st);
		t->files[age]++;
		t->total_files++;
	}
}

/* @fd: taken; -errno for what could not be opened */
static void walk(struct tally *t, int fd, int depth, bool is_deep)
{
	AUTO_DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !d)
		(void)close(fd);
	if (!d)
		return;
	for (struct dirent *e; !is_enough(t) && (e = readdir(d));) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			see_folder(t, fd, e->d_name, &st, depth, is_deep);
		else
			see_file(t, fd, e->d_name, &st, is_deep);
	}
}

/* The youngest age that has to go. */
static unsigned too_old(const struct tally *seen, uint64_t max_bytes)
{
	const bool is_cut = seen->work >= CACHE_WORK_MAX;
	uint64_t bytes = 0;
	unsigned files = 0;

	if (seen->total <= max_bytes && !is_cut && !seen->has_deep)
		return AGES;
	for (unsigned i = 0; i < AGES; i++) {
		bytes += seen->bytes[i];
		files += seen->files[i];
		if (seen->total > max_bytes && bytes > max_bytes / 5 * 4)
			return i;
		/* How much there is beside it nobody knows. */
		if (is_cut && files > seen->total_files / 2)
			return i;
	}
	return AGES - 1;
}

static void shrink(int folder, uint64_t max_bytes)
{
	struct tally seen = { .now = time(NULL), .top = folder, .remove_from = AGES };

	walk(&seen, open_folder(folder, "."), 0, false);

	struct tally removal = { .now = seen.now,
				 .top = folder,
				 .until_ns = clock_now_ns() + REMOVAL_NS,
				 .remove_from = too_old(&seen, max_bytes) };

	while (removal.remove_from < AGES) {
		removal.moved = 0;
		walk(&removal, open_folder(folder, "."), 0, false);
		if (removal.moved == 0 || is_enough(&removal))
			break;
	}
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

	AUTO_FD fd = open_folder(AT_FDCWD, dir);
	if (fd < 0)
		return err_set(e, fd, "cannot open the shader cache '%s': %s", dir, strerror(-fd));
	if (fstat(fd, &st) < 0)
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
