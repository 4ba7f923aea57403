// SPDX-License-Identifier: Apache-2.0
/*
 * Does several hundred operations of POSIX and Linux file systems in the current, empty folder and
 * writes what came of each, without times, numbers of inodes and descriptors.  Two runs in
 * different folders give the same text if the file systems behave alike; tests/fs/posix.sh compares
 * a share with the folder behind it.  Needs root, because owners are part of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "util/compiler.h"

#define KEEP (uid_t) - 1 /* chown() leaves it */

#define NAME255                                                                                    \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"    \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"    \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static bool has_devices = true, has_direct = true;
static int many = 3000; /* files in one folder */

static void say_at(int line, const char *what, long long r)
{
	int e = errno;

	if (r < 0)
		printf("%d %s: %s\n", line, what, strerrorname_np(e));
	else
		printf("%d %s: %lld\n", line, what, r);
	fflush(stdout);
}

/* The result is a number that must agree. */
#define SAY(expr) say_at(__LINE__, #expr, (long long)(expr))

/* The result is a descriptor, which is closed. */
static void open_at(int line, const char *what, int fd)
{
	say_at(line, what, fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
}
#define OPEN(expr) open_at(__LINE__, #expr, (expr))

static void show_at(int line, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		say_at(line, path, -1);
		return;
	}
	printf("%d %s: mode %o nlink %lu owner %u:%u", line, path, st.st_mode,
	       (unsigned long)st.st_nlink, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		printf(" size %lld", (long long)st.st_size);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		printf(" device %u:%u", major(st.st_rdev), minor(st.st_rdev));
	printf("\n");
}
#define SHOW(path) show_at(__LINE__, path)

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static void cat_at(int line, const char *path)
{
	char buf[256];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	if (n < 0)
		say_at(line, path, -1);
	else
		printf("%d %s contains '%.*s'\n", line, path, (int)n, buf);
	if (fd >= 0)
		close(fd);
}
#define CAT(path) cat_at(__LINE__, path)

/* Runs @fn as another user in a child; its output comes in order. */
static void as(uid_t uid, gid_t gid, void (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (syscall(SYS_setgroups, 0, NULL) < 0 ||
		    syscall(SYS_setresgid, gid, gid, gid) < 0 ||
		    syscall(SYS_setresuid, uid, uid, uid) < 0)
			_exit(1);
		fn();
		fflush(stdout);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	if (status != 0)
		printf("child failed: %d\n", status);
}

static void opening(void)
{
	OPEN(open("none", O_RDONLY));
	OPEN(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
	SHOW("f");
	OPEN(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
	OPEN(open("f", O_RDWR | O_CREAT, 0600));
	SHOW("f");
	SAY(put("f", "hello world"));
	CAT("f");
	OPEN(open("f", O_WRONLY | O_TRUNC));
	SHOW("f");
	OPEN(open("f", O_RDONLY | O_DIRECTORY));
	OPEN(open("f/", O_RDONLY));
	OPEN(open("f/x", O_RDONLY));
	SAY(mkdir("d", 0755));
	OPEN(open("d", O_RDONLY));
	OPEN(open("d", O_WRONLY));
	OPEN(open("d", O_RDWR | O_CREAT, 0644));
	OPEN(open("d/", O_RDONLY | O_DIRECTORY));
	OPEN(open("", O_RDONLY));
	OPEN(open(NAME255, O_RDWR | O_CREAT, 0644));
	OPEN(open(NAME255 "x", O_RDWR | O_CREAT, 0644));
	SAY(unlink(NAME255));
	OPEN(open("new/", O_RDWR | O_CREAT, 0644));
	OPEN(open("d/../f", O_RDONLY));
	OPEN(open("\xc3\xa4\n\x01 x", O_RDWR | O_CREAT, 0644));
	SAY(unlink("\xc3\xa4\n\x01 x"));

	SAY(symlink("f", "l"));
	SAY(symlink("nowhere", "dangling"));
	SAY(symlink("loop", "loop"));
	OPEN(open("l", O_RDONLY));
	OPEN(open("l", O_RDONLY | O_NOFOLLOW));
	OPEN(open("l", O_PATH | O_NOFOLLOW));
	OPEN(open("l", O_RDWR | O_CREAT | O_EXCL, 0644));
	OPEN(open("dangling", O_RDONLY));
	OPEN(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
	OPEN(open("dangling", O_RDWR | O_CREAT, 0644));
	SHOW("nowhere");
	OPEN(open("loop", O_RDONLY));
	SAY(unlink("nowhere"));
	SAY(unlink("loop"));
	SAY(unlink("dangling"));
	SAY(unlink("l"));

	int fd = open("f", O_RDONLY);
	SAY(write(fd, "x", 1));
	SAY(ftruncate(fd, 0));
	SAY(fcntl(fd, F_GETFL) & O_ACCMODE);
	close(fd);
	fd = open("f", O_WRONLY);
	char c;
	SAY(read(fd, &c, 1));
	close(fd);
	SAY(rmdir("d"));
	SAY(unlink("f"));
}

static void tmpfiles(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0612);

	say_at(__LINE__, "O_TMPFILE", fd < 0 ? -1 : 0);
	SAY(write(fd, "temporary", 9));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	SAY(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	SHOW("named");
	CAT("named");
	close(fd);
	SAY(unlink("named"));
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	SAY(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	close(fd);
	OPEN(open(".", O_TMPFILE | O_RDONLY, 0600));
}

static void folders(void)
{
	SAY(mkdir("d", 0700));
	SAY(mkdir("d", 0700));
	SAY(mkdir("d/e/f", 0700));
	SAY(mkdir("d/e", 0751));
	SHOW("d");
	SHOW("d/e");
	SAY(rmdir("d"));
	SAY(rmdir("d/."));
	SAY(rmdir("d/.."));
	SAY(unlink("d"));
	SAY(put("f", "x"));
	SAY(rmdir("f"));
	SAY(mkdir("f", 0700));
	SAY(mkdir("f/g", 0700));
	SAY(rmdir("d/e"));
	SHOW("d");
	SAY(rmdir("d"));
	SAY(rmdir("d"));
	SAY(unlink("f"));
	SAY(unlink("f"));
	SAY(mkdir("suid", 07777));
	SHOW("suid");
	SAY(rmdir("suid"));
	SAY(mkdir("slash/", 0755));
	SAY(rmdir("slash/"));

	/* A folder that is gone but open. */
	SAY(mkdir("gone", 0755));
	int fd = open("gone", O_RDONLY | O_DIRECTORY);
	SAY(rmdir("gone"));
	OPEN(openat(fd, "x", O_RDWR | O_CREAT, 0644));
	SAY(mkdirat(fd, "x", 0755));
	struct stat st;
	SAY(fstat(fd, &st));
	printf("nlink %lu\n", (unsigned long)st.st_nlink);
	close(fd);

	/* Deep. */
	int depth = 0;
	int at = open(".", O_RDONLY | O_DIRECTORY);
	for (; depth < 300; depth++) {
		if (mkdirat(at, "deep", 0755) < 0)
			break;
		int next = openat(at, "deep", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	SAY(depth);
	OPEN(openat(at, "bottom", O_RDWR | O_CREAT, 0644));
	SAY(unlinkat(at, "bottom", 0));
	while (depth-- > 0) {
		int up = openat(at, "..", O_RDONLY | O_DIRECTORY);
		if (up < 0 || unlinkat(up, "deep", AT_REMOVEDIR) < 0)
			break;
		close(at);
		at = up;
	}
	SAY(depth);
	close(at);
}

static int count_entries(const char *path, bool removes)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (removes)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	return n;
}

static void listing(void)
{
	char name[64];

	SAY(mkdir("many", 0755));
	for (int i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "many/file-with-a-longer-name-%d", i);
		int fd = open(name, O_CREAT | O_WRONLY, 0644);
		if (fd < 0)
			SAY(fd);
		close(fd);
	}
	SAY(count_entries("many", false));

	DIR *d = opendir("many");
	for (int i = 0; i < many / 2; i++)
		(void)readdir(d);
	long at = telldir(d);
	struct dirent *e = readdir(d);
	char kept[256];
	snprintf(kept, sizeof(kept), "%s", e->d_name);
	for (int i = 0; i < many / 3; i++)
		(void)readdir(d);
	seekdir(d, at);
	e = readdir(d);
	SAY(strcmp(kept, e->d_name));
	rewinddir(d);
	int n = 0, dots = 0, files = 0;
	while ((e = readdir(d))) {
		n++;
		dots += strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
		struct stat st;
		/* A listing and stat() agree about the number. */
		if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
			files += st.st_ino == e->d_ino;
	}
	SAY(n);
	SAY(dots);
	SAY(files);
	closedir(d);
	SAY(count_entries("many", true));
	SAY(count_entries("many", false));
	SAY(rmdir("many"));
}

static void renaming(void)
{
	SAY(put("a", "A"));
	SAY(put("b", "B"));
	SAY(mkdir("d", 0755));
	SAY(mkdir("e", 0755));
	SAY(put("e/x", "X"));
	SAY(rename("a", "c"));
	SHOW("a");
	CAT("c");
	SAY(rename("c", "b"));
	CAT("b");
	SAY(rename("none", "b"));
	SAY(rename("b", "d"));
	SAY(rename("d", "b"));
	SAY(rename("d", "e"));
	SAY(rename("e", "d"));
	CAT("d/x");
	SAY(mkdir("d/sub", 0755));
	SAY(rename("d", "d/sub/in"));
	SAY(rename("d/sub", "d"));
	SAY(rename("d/.", "y"));
	SAY(rename("d", "y/"));
	SAY(rename("y", "d"));
	SAY(rename("b", "y/"));
	SAY(link("b", "b2"));
	SAY(rename("b", "b2"));
	SHOW("b");
	SHOW("b2");
	SAY(unlink("b2"));
	SAY(put("other", "O"));
	SAY(renameat2(AT_FDCWD, "b", AT_FDCWD, "other", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "b", AT_FDCWD, "fresh", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "fresh", AT_FDCWD, "other", RENAME_EXCHANGE));
	CAT("fresh");
	CAT("other");
	SAY(renameat2(AT_FDCWD, "fresh", AT_FDCWD, "d", RENAME_EXCHANGE));
	CAT("d");
	CAT("fresh/x");
	SAY(renameat2(AT_FDCWD, "d", AT_FDCWD, "none", RENAME_EXCHANGE));
	SAY(renameat2(AT_FDCWD, "d", AT_FDCWD, "q", RENAME_EXCHANGE | RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "d", AT_FDCWD, "q", 64));

	/* Open files keep what they are. */
	int fd = open("other", O_RDONLY);
	SAY(rename("d", "other"));
	char buf[8] = { 0 };
	SAY(read(fd, buf, sizeof(buf)));
	printf("'%s'\n", buf);
	struct stat st;
	SAY(fstat(fd, &st));
	SAY(st.st_nlink);
	close(fd);
	SAY(rmdir("fresh/sub"));
	SAY(unlink("fresh/x"));
	SAY(rmdir("fresh"));
	SAY(unlink("other"));
}

static void links(void)
{
	static char buf[5000];

	SAY(put("f", "F"));
	SAY(link("f", "g"));
	SHOW("f");
	SAY(link("f", "g"));
	SAY(link("none", "h"));
	SAY(mkdir("d", 0755));
	SAY(link("d", "dd"));
	SAY(link("f", "d/f"));
	SHOW("g");
	SAY(unlink("f"));
	SHOW("g");
	CAT("d/f");
	SAY(put("g", "changed"));
	CAT("d/f");
	SAY(symlink("target", "s"));
	SAY(symlink("target", "s"));
	SAY(symlink("", "empty"));
	SHOW("s");
	SAY(readlink("s", buf, sizeof(buf)));
	SAY(readlink("s", buf, 3));
	SAY(readlink("g", buf, sizeof(buf)));
	SAY(readlink("none", buf, sizeof(buf)));
	SAY(link("s", "s2"));
	SHOW("s2");
	SAY(unlink("s2"));
	memset(buf, 'p', sizeof(buf));
	buf[4095] = '\0';
	SAY(symlink(buf, "long"));
	SAY(readlink("long", buf, sizeof(buf)));
	memset(buf, 'p', sizeof(buf));
	buf[4096] = '\0';
	SAY(symlink(buf, "longer"));
	SAY(symlink("../../../../../../../../../../../../etc/passwd", "out"));
	SAY(readlink("out", buf, sizeof(buf)));
	SAY(unlink("out"));
	SAY(unlink("long"));
	SAY(unlink("s"));
	SAY(unlink("d/f"));
	SAY(rmdir("d"));
	SAY(unlink("g"));
}

static void nodes(void)
{
	SAY(mknod("fifo", S_IFIFO | 0622, 0));
	SHOW("fifo");
	SAY(mknod("fifo", S_IFIFO | 0622, 0));
	SAY(mknod("reg", S_IFREG | 0604, 0));
	SHOW("reg");
	if (has_devices) {
		SAY(mknod("chr", S_IFCHR | 0600, makedev(1, 3)));
		SHOW("chr");
		SAY(mknod("blk", S_IFBLK | 0600, makedev(259, 70000)));
		SHOW("blk");
		SAY(put("chr", "to nowhere"));
		SAY(unlink("chr"));
		SAY(unlink("blk"));
	}
	SAY(mknod("dir", S_IFDIR | 0600, 0));

	int fd = open("fifo", O_RDWR);
	SAY(write(fd, "through", 7));
	char buf[16];
	SAY(read(fd, buf, sizeof(buf)));
	close(fd);
	OPEN(open("fifo", O_WRONLY | O_NONBLOCK));

	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	SAY(bind(s, (void *)&sun, sizeof(sun)));
	SAY(listen(s, 1));
	SAY(connect(c, (void *)&sun, sizeof(sun)));
	SAY(chmod("sock", 0666));
	SHOW("sock");
	OPEN(open("sock", O_RDONLY));
	close(s);
	close(c);
	SAY(unlink("sock"));
	SAY(unlink("fifo"));
	SAY(unlink("reg"));
}

static void user_part(void)
{
	umask(027);
	SAY(put("mine", "x"));
	SHOW("mine");
	OPEN(open("made", O_RDWR | O_CREAT, 0666));
	SHOW("made");
	SAY(mkdir("mydir", 0777));
	SHOW("mydir");
	SAY(symlink("x", "mylink"));
	SAY(mknod("myfifo", S_IFIFO | 0666, 0));
	SHOW("myfifo");
	SAY(mknod("mychr", S_IFCHR | 0666, makedev(1, 3)));
	SAY(chown("mine", 0, KEEP));
	SAY(chown("mine", KEEP, 50));
	SAY(chown("mine", 1000, 1000));
	SAY(chmod("roots", 0777));
	SAY(chmod("mine", 06755));
	SHOW("mine");
	OPEN(open("roots", O_RDONLY));
	OPEN(open("roots", O_RDWR));
	SAY(access("roots", R_OK));
	SAY(access("roots", W_OK));
	SAY(unlink("rootdir/x"));
	SAY(rename("rootdir/x", "y"));
	OPEN(open("rootdir/new", O_RDWR | O_CREAT, 0644));
	SAY(unlink("sticky/x"));
	SAY(rename("sticky/x", "sticky/y"));
	OPEN(open("sticky/own", O_RDWR | O_CREAT, 0644));
	SAY(unlink("sticky/own"));
	SAY(utimensat(AT_FDCWD, "roots", NULL, 0));
	SAY(truncate("roots", 0));
	SAY(mkdir("setgid/sub", 0755));
	SHOW("setgid/sub");
	OPEN(open("setgid/file", O_RDWR | O_CREAT, 02755));
	SHOW("setgid/file");

	/* Writing to a set-id file. */
	int fd = open("ids", O_WRONLY);
	SAY(write(fd, "x", 1));
	close(fd);
	SHOW("ids");
	SAY(truncate("ids2", 1));
	SHOW("ids2");
	OPEN(open("ids3", O_WRONLY | O_TRUNC));
	SHOW("ids3");
	fd = open("ids4", O_RDWR);
	SAY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096));
	close(fd);
	SHOW("ids4");
	fd = open("ids5", O_RDWR);
	SAY(copy_file_range(open("ids4", O_RDONLY), NULL, fd, NULL, 1, 0));
	close(fd);
	SHOW("ids5");
}

static void owners(void)
{
	SAY(chmod(".", 0777));
	SAY(put("roots", "r"));
	SAY(chmod("roots", 0600));
	SAY(mkdir("rootdir", 0755));
	SAY(put("rootdir/x", "x"));
	SAY(mkdir("sticky", 0755));
	SAY(chmod("sticky", 01777));
	SAY(put("sticky/x", "x"));
	SAY(mkdir("setgid", 0755));
	SAY(chown("setgid", 0, 50));
	SAY(chmod("setgid", 02777));
	static const char *const ids[] = { "ids", "ids2", "ids3", "ids4", "ids5" };
	for (size_t n = 0; n < ARRAY_LEN(ids); n++) {
		put(ids[n], "abc");
		SAY(chmod(ids[n], 06777));
		SHOW(ids[n]);
	}
	as(1000, 1000, user_part);
	SHOW("setgid");
	SHOW("mine");

	SAY(put("c", "c"));
	SAY(chown("c", 33, 44));
	SHOW("c");
	SAY(chmod("c", 06711));
	SHOW("c");
	SAY(chown("c", 34, KEEP));
	SHOW("c");
	SAY(chmod("c", 02644));
	SAY(chown("c", KEEP, 45));
	SHOW("c");
	SAY(chown("c", KEEP, KEEP));
	SHOW("c");
	SAY(chmod("c", 0));
	CAT("c");
	SAY(put("c", "again"));
	SAY(chmod("none", 0));
	SAY(mkdir("cd", 0755));
	SAY(chmod("cd", 06777));
	SAY(chown("cd", 7, 8));
	SHOW("cd");
	SAY(chmod("cd", 0));
	SHOW("cd");
	SAY(put("cd/in", "x"));
	CAT("cd/in");
	SAY(unlink("cd/in"));
	SAY(rmdir("cd"));
	SAY(access("c", X_OK));
	SAY(access("c", R_OK));
	SAY(access("none", F_OK));
	SAY(faccessat(AT_FDCWD, "rootdir", X_OK | W_OK, 0));

	/* Root keeps set-id bits when it writes, but not capabilities. */
	SAY(put("rootids", "x"));
	SAY(chmod("rootids", 06755));
	int fd = open("rootids", O_WRONLY | O_APPEND);
	SAY(write(fd, "y", 1));
	close(fd);
	fd = open("rootids", O_RDWR);
	SAY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096));
	SAY(copy_file_range(open("ids4", O_RDONLY), NULL, fd, NULL, 1, 0));
	close(fd);
	SHOW("rootids");
}

static void sizes(void)
{
	struct stat st;
	char buf[64];

	SAY(put("f", "0123456789"));
	SAY(truncate("f", 5));
	CAT("f");
	SAY(truncate("f", 8));
	SHOW("f");
	SAY(truncate("f", -1));
	SAY(truncate("none", 0));
	SAY(truncate(".", 0));

	int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0644);
	SAY(pwrite(fd, "end", 3, (off_t)5 << 30));
	SAY(fstat(fd, &st));
	SAY(st.st_size);
	SAY(st.st_blocks < 1000);
	SAY(pread(fd, buf, 10, ((off_t)5 << 30) - 2));
	SAY(pread(fd, buf, 10, (off_t)6 << 30));
	SAY(lseek(fd, 0, SEEK_DATA) >= (off_t)4 << 30);
	SAY(lseek(fd, 0, SEEK_HOLE));
	SAY(lseek(fd, (off_t)7 << 30, SEEK_DATA));
	SAY(lseek(fd, 0, SEEK_END));
	SAY(lseek(fd, -1, SEEK_SET));
	SAY(fallocate(fd, 0, 0, 65536));
	SAY(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)8 << 30, 65536));
	SAY(fstat(fd, &st));
	SAY(st.st_size);
	SAY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
	SAY(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 4096, 8192));
	SAY(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096));
	SAY(fallocate(fd, 0, -1, 10));
	SAY(fallocate(fd, 0, 0, 0));
	SAY(ftruncate(fd, 100));
	SAY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	SAY(fsync(fd));
	SAY(fdatasync(fd));
	SAY(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	close(fd);

	fd = open("app", O_RDWR | O_CREAT | O_APPEND, 0644);
	SAY(write(fd, "one", 3));
	SAY(pwrite(fd, "two", 3, 0));
	SAY(lseek(fd, 0, SEEK_CUR));
	close(fd);
	CAT("app");
	fd = open("app", O_RDWR);
	SAY(fcntl(fd, F_SETFL, O_APPEND));
	SAY(write(fd, "three", 5));
	SAY(fcntl(fd, F_SETFL, 0));
	SAY(pwrite(fd, "ONE", 3, 0));
	close(fd);
	CAT("app");
	fd = open("sync", O_RDWR | O_CREAT | O_SYNC, 0644);
	SAY(write(fd, "synchronous", 11));
	close(fd);
	CAT("sync");

	int in = open("app", O_RDONLY), out = open("copy", O_RDWR | O_CREAT, 0644);
	off_t off = 3;
	SAY(copy_file_range(in, &off, out, NULL, 100, 0));
	SAY(off);
	SAY(copy_file_range(in, NULL, in, NULL, 1, 0));
	SAY(sendfile(out, in, NULL, 3));
	close(in);
	close(out);
	CAT("copy");
	struct iovec iov[2] = { { buf, 2 }, { buf + 10, 20 } };
	fd = open("copy", O_RDONLY);
	SAY(readv(fd, iov, 2));
	SAY(readahead(fd, 0, 100));
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };
	SAY(poll(&pfd, 1, 0));
	SAY(pfd.revents);
	close(fd);

	/* Larger than any single request. */
	enum { BIG = 5 << 20 };
	char *big = malloc(BIG), *back = malloc(BIG);
	if (!big || !back)
		abort();
	for (int i = 0; i < BIG; i++)
		big[i] = (char)(i * 7 + i / 1000);
	fd = open("large", O_RDWR | O_CREAT, 0644);
	SAY(write(fd, big, BIG));
	SAY(pread(fd, back, BIG, 0));
	SAY(memcmp(big, back, BIG));
	SAY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	SAY(pread(fd, back, BIG, 1));
	SAY(memcmp(big + 1, back, BIG - 1));
	close(fd);
	fd = open("large", O_RDWR | (has_direct ? O_DIRECT : 0));
	void *aligned;
	if (posix_memalign(&aligned, 4096, 65536) == 0) {
		SAY(pread(fd, aligned, 65536, 4096));
		SAY(memcmp(aligned, big + 4096, 65536));
		SAY(pwrite(fd, aligned, 65536, 0));
		free(aligned);
	}
	close(fd);
	free(big);
	free(back);
}

static void mapping(void)
{
	int fd = open("map", O_RDWR | O_CREAT, 0644);
	SAY(ftruncate(fd, 10000));
	char *p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SAY(p == MAP_FAILED);
	memcpy(p + 5000, "mapped", 6);
	SAY(msync(p, 10000, MS_SYNC));
	char buf[8] = { 0 };
	SAY(pread(fd, buf, 6, 5000));
	printf("'%s'\n", buf);
	SAY(pwrite(fd, "written", 7, 100));
	SAY(memcmp(p + 100, "written", 7));
	munmap(p, 10000);
	close(fd);

	/* Pages dirtied through a mapping, with an appending descriptor around. */
	fd = open("map", O_RDWR | O_APPEND);
	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p[0] = 'M';
	munmap(p, 10000);
	SAY(fsync(fd));
	close(fd);
	struct stat st;
	SAY(stat("map", &st));
	SAY(st.st_size);
	fd = open("map", O_RDONLY);
	SAY(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	SAY(p[0]);
	p[0] = 'P';
	munmap(p, 4096);
	close(fd);
	fd = open("map", O_RDONLY);
	SAY(pread(fd, buf, 1, 0));
	SAY(buf[0]);
	close(fd);
}

static void times(void)
{
	struct timespec t[2] = { { 1000000000, 123456789 }, { 2000000000, 987654321 } };
	struct stat st;

	SAY(put("t", "t"));
	SAY(utimensat(AT_FDCWD, "t", t, 0));
	SAY(stat("t", &st));
	SAY(st.st_atim.tv_sec);
	SAY(st.st_atim.tv_nsec);
	SAY(st.st_mtim.tv_sec);
	SAY(st.st_mtim.tv_nsec);
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_sec = -5;
	t[1].tv_nsec = 5;
	SAY(utimensat(AT_FDCWD, "t", t, 0));
	SAY(stat("t", &st));
	SAY(st.st_atim.tv_sec);
	SAY(st.st_mtim.tv_sec);
	t[1].tv_nsec = UTIME_NOW;
	SAY(utimensat(AT_FDCWD, "t", t, 0));
	SAY(stat("t", &st));
	SAY(st.st_atim.tv_sec);
	SAY(st.st_mtim.tv_sec > 1600000000);
	t[1].tv_nsec = 1000000000;
	SAY(utimensat(AT_FDCWD, "t", t, 0));
	SAY(symlink("t", "tl"));
	t[0] = t[1] = (struct timespec){ 77, 0 };
	SAY(utimensat(AT_FDCWD, "tl", t, AT_SYMLINK_NOFOLLOW));
	SAY(lstat("tl", &st));
	SAY(st.st_mtim.tv_sec);
	SAY(stat("t", &st));
	SAY(st.st_mtim.tv_sec > 1600000000);

	/* Writing and renaming move the right ones. */
	t[0] = t[1] = (struct timespec){ 88, 0 };
	SAY(utimensat(AT_FDCWD, "t", t, 0));
	int fd = open("t", O_WRONLY);
	SAY(write(fd, "u", 1));
	SAY(fstat(fd, &st));
	SAY(st.st_mtim.tv_sec > 1600000000);
	close(fd);
	struct statx sx;
	SAY(statx(AT_FDCWD, "t", 0, STATX_BASIC_STATS | STATX_BTIME, &sx));
	SAY(!!(sx.stx_mask & STATX_BTIME));
	SAY(sx.stx_btime.tv_sec > 1600000000);
}

static void xattrs(void)
{
	static char buf[70000];
	struct statvfs sv;

	SAY(put("x", "x"));
	SAY(mkdir("xd", 0755));
	SAY(symlink("x", "xl"));
	SAY(setxattr("x", "user.a", "value", 5, 0));
	SAY(getxattr("x", "user.a", NULL, 0));
	SAY(getxattr("x", "user.a", buf, sizeof(buf)));
	SAY(getxattr("x", "user.a", buf, 3));
	SAY(getxattr("x", "user.b", buf, 3));
	SAY(setxattr("x", "user.a", "v", 1, XATTR_CREATE));
	SAY(setxattr("x", "user.b", "v", 1, XATTR_REPLACE));
	SAY(setxattr("x", "user.b", "", 0, 0));
	SAY(getxattr("x", "user.b", buf, sizeof(buf)));
	SAY(setxattr("x", "user.a", "longer value", 12, XATTR_REPLACE));
	ssize_t n = listxattr("x", buf, sizeof(buf));
	int found = 0;
	for (char *p = buf; n > 0 && p < buf + n; p += strlen(p) + 1)
		found += strncmp(p, "user.", 5) == 0 ? 1 : 100;
	SAY(found);
	SAY(removexattr("x", "user.b"));
	SAY(removexattr("x", "user.b"));
	SAY(setxattr("xd", "user.d", "dir", 3, 0));
	SAY(getxattr("xd", "user.d", buf, sizeof(buf)));
	SAY(lsetxattr("xl", "user.l", "link", 4, 0));
	SAY(lgetxattr("xl", "user.l", buf, sizeof(buf)));
	SAY(getxattr("xl", "user.a", buf, sizeof(buf)));
	SAY(setxattr("x", "unknown.a", "value", 5, 0));
	SAY(setxattr("x", "user.", "value", 5, 0));
	SAY(setxattr("x", "user.a" NAME255, "value", 5, 0));
	memset(buf, 'z', sizeof(buf));
	SAY(setxattr("x", "user.big", buf, 2000, 0));
	SAY(setxattr("x", "user.big", buf, 65537, 0));
	/* These a share keeps among the user's, which old tmpfs has not. */
	if (has_direct) {
		SAY(setxattr("x", "trusted.t", "tv", 2, 0));
		SAY(getxattr("x", "trusted.t", buf, sizeof(buf)));
		SAY(removexattr("x", "trusted.t"));
	}

	/* cap_net_raw+ep, version 2 */
	static const char cap[20] = { 1, 0, 0, 2, 0, 0x20 };
	SAY(setxattr("x", "security.capability", cap, sizeof(cap), 0));
	SAY(getxattr("x", "security.capability", buf, sizeof(buf)));
	int fd = open("x", O_WRONLY);
	SAY(write(fd, "y", 1));
	close(fd);
	SAY(getxattr("x", "security.capability", buf, sizeof(buf)));
	SAY(setxattr("x", "security.capability", cap, sizeof(cap), 0));
	SAY(chown("x", 5, 5));
	SAY(getxattr("x", "security.capability", buf, sizeof(buf)));
	SAY(setxattr("x", "security.capability", cap, sizeof(cap), 0));
	SAY(truncate("x", 0));
	SAY(getxattr("x", "security.capability", buf, sizeof(buf)));
	SAY(statvfs(".", &sv));
	SAY(sv.f_namemax);
}

/* What a child sees of the parent's locks. */
static short probe(const char *path, short type, off_t start, off_t len, pid_t *pid)
{
	int fds[2];
	struct flock fl = { .l_type = type, .l_start = start, .l_len = len };

	if (pipe(fds) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		int fd = open(path, O_RDWR);
		if (fcntl(fd, F_GETLK, &fl) < 0)
			fl.l_type = -1;
		if (write(fds[1], &fl, sizeof(fl)) < 0)
			_exit(1);
		_exit(0);
	}
	if (read(fds[0], &fl, sizeof(fl)) != sizeof(fl))
		fl.l_type = -2;
	waitpid(child, NULL, 0);
	close(fds[0]);
	close(fds[1]);
	if (pid)
		*pid = fl.l_pid;
	return fl.l_type;
}

static void lock_waiter(const char *path, int out)
{
	struct flock fl = { .l_type = F_WRLCK };
	int fd = open(path, O_RDWR);

	if (write(out, "w", 1) != 1)
		_exit(1);
	int r = fcntl(fd, F_SETLKW, &fl);
	if (write(out, r == 0 ? "g" : "e", 1) != 1)
		_exit(1);
	_exit(0);
}

static void locks(void)
{
	SAY(put("lock", "0123456789"));
	int fd = open("lock", O_RDWR);
	struct flock fl = { .l_type = F_WRLCK, .l_start = 2, .l_len = 3 };
	pid_t pid;

	SAY(fcntl(fd, F_SETLK, &fl));
	SAY(probe("lock", F_RDLCK, 0, 2, NULL));
	SAY(probe("lock", F_RDLCK, 0, 3, &pid));
	SAY(pid == getpid());
	SAY(probe("lock", F_WRLCK, 5, 0, NULL));
	fl.l_type = F_RDLCK;
	SAY(fcntl(fd, F_SETLK, &fl));
	SAY(probe("lock", F_RDLCK, 0, 0, NULL));
	SAY(probe("lock", F_WRLCK, 0, 0, NULL));
	/* POSIX: closing any descriptor of the file loses all of the process's locks. */
	close(open("lock", O_RDONLY));
	SAY(probe("lock", F_WRLCK, 0, 0, NULL));

	/* Waiting. */
	fl = (struct flock){ .l_type = F_WRLCK };
	SAY(fcntl(fd, F_SETLK, &fl));
	int fds[2];
	char c = 0;
	if (pipe(fds) < 0)
		return;
	pid_t child = fork();
	if (child == 0)
		lock_waiter("lock", fds[1]);
	SAY(read(fds[0], &c, 1));
	struct pollfd pfd = { .fd = fds[0], .events = POLLIN };
	SAY(poll(&pfd, 1, 200));
	fl.l_type = F_UNLCK;
	SAY(fcntl(fd, F_SETLK, &fl));
	SAY(read(fds[0], &c, 1));
	SAY(c);
	waitpid(child, NULL, 0);
	close(fds[0]);
	close(fds[1]);

	/* flock() belongs to the open file. */
	int fd2 = open("lock", O_RDWR);
	SAY(flock(fd, LOCK_EX));
	SAY(flock(fd2, LOCK_EX | LOCK_NB));
	SAY(flock(fd2, LOCK_SH | LOCK_NB));
	SAY(flock(fd, LOCK_SH));
	SAY(flock(fd2, LOCK_SH | LOCK_NB));
	SAY(flock(fd2, LOCK_EX | LOCK_NB));
	close(fd);
	/* Linux tells a FUSE server of the last close in the background. */
	for (int i = 0; i < 3000 && flock(fd2, LOCK_EX | LOCK_NB) < 0; i++)
		usleep(10000);
	SAY(flock(fd2, LOCK_EX | LOCK_NB));
	close(fd2);

	fd = open("lock", O_RDONLY);
	fl = (struct flock){ .l_type = F_WRLCK };
	SAY(fcntl(fd, F_SETLK, &fl));
	fl.l_type = F_RDLCK;
	SAY(fcntl(fd, F_SETLK, &fl));
	close(fd);

	/* Open file description locks. */
	fd = open("lock", O_RDWR);
	fd2 = open("lock", O_RDWR);
	fl = (struct flock){ .l_type = F_WRLCK };
	SAY(fcntl(fd, F_OFD_SETLK, &fl));
	SAY(fcntl(fd2, F_OFD_SETLK, &fl));
	close(fd);
	for (int i = 0; i < 3000; i++) { /* as above */
		struct flock held = { .l_type = F_WRLCK };

		if (fcntl(fd2, F_OFD_GETLK, &held) < 0 || held.l_type == F_UNLCK)
			break;
		usleep(10000);
	}
	SAY(fcntl(fd2, F_OFD_SETLK, &fl));
	close(fd2);
}

static void unlinked(void)
{
	char buf[16] = { 0 };
	struct stat st;

	int fd = open("u", O_RDWR | O_CREAT, 0644);
	SAY(write(fd, "before", 6));
	SAY(unlink("u"));
	SAY(write(fd, "after", 5));
	SAY(pread(fd, buf, sizeof(buf), 0));
	SAY(fstat(fd, &st));
	SAY(st.st_nlink);
	SAY(st.st_size);
	SAY(fchmod(fd, 0600));
	SAY(fchown(fd, 3, 4));
	SAY(ftruncate(fd, 2));
	SAY(fsetxattr(fd, "user.late", "x", 1, 0));
	SAY(fstat(fd, &st));
	SAY(st.st_mode);
	SAY(st.st_uid);
	SAY(st.st_size);
	OPEN(open("u", O_RDONLY));
	OPEN(open("u", O_RDWR | O_CREAT | O_EXCL, 0644));
	close(fd);
	SAY(unlink("u"));

	/* By descriptor without any access. */
	SAY(put("p", "path"));
	fd = open("p", O_PATH);
	SAY(unlink("p"));
	SAY(fstatat(fd, "", &st, AT_EMPTY_PATH));
	SAY(st.st_nlink);
	close(fd);
}

static void executing(void)
{
	SAY(put("script", "#!/bin/sh\nexit 3\n"));
	SAY(system("./script 2>/dev/null") >> 8);
	SAY(chmod("script", 0755));
	SAY(system("./script") >> 8);
	SAY(system("cp /bin/sleep exe && chmod 755 exe") >> 8);
	int fds[2];
	char c;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		execl("./exe", "exe", "1000", NULL);
		_exit(127);
	}
	close(fds[1]);
	SAY(read(fds[0], &c, 1)); /* the end, when it is being executed */
	close(fds[0]);
	OPEN(open("exe", O_WRONLY));
	SAY(unlink("exe"));
	SAY(kill(pid, 9));
	int status;
	waitpid(pid, &status, 0);
	SAY(WTERMSIG(status));
	char cwd[512];
	SAY(mkdir("cwd", 0755));
	SAY(chdir("cwd"));
	char *slash = getcwd(cwd, sizeof(cwd)) ? strrchr(cwd, '/') : NULL;
	printf("%s\n", slash);
	SAY(rename("../cwd", "../moved"));
	slash = getcwd(cwd, sizeof(cwd)) ? strrchr(cwd, '/') : NULL;
	printf("%s\n", slash);
	SAY(rmdir("../moved"));
	SAY(getcwd(cwd, sizeof(cwd)) ? 0 : -1);
	OPEN(open("x", O_CREAT | O_RDWR, 0644));
	SAY(chdir(".."));
}

int main(int argc, char **argv)
{
	/* -D: no device nodes, which volumes refuse; -d: what old tmpfs lacks; -s: small */
	for (int n = 1; n < argc; n++) {
		has_devices = has_devices && strcmp(argv[n], "-D") != 0;
		has_direct = has_direct && strcmp(argv[n], "-d") != 0;
		many = strcmp(argv[n], "-s") == 0 ? 150 : many;
	}
	umask(022);
	opening();
	tmpfiles();
	folders();
	listing();
	renaming();
	links();
	nodes();
	owners();
	sizes();
	mapping();
	times();
	xattrs();
	locks();
	unlinked();
	executing();
	return 0;
}
