/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of a guest that is measured, the same under every monitor; static.  Its first act is a byte
 * to port MARK, which KVM's tracepoints show.  Then, as the kernel's command line says:
 *
 *	bench=boot			reset the machine
 *	bench=fs benchdir=DIR		measure the virtio-fs with the tag "pecten", below DIR
 *	bench=blk			measure /dev/vda, past the page cache
 *
 * As any other process of a running guest it does the first act only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MARK  0xe9 /* nothing in Linux writes there */
#define CHUNK (1U << 20)
#define MIB   64
#define FILES 300
#define BLOCK 4096U

static char report[2048];
static size_t report_len;

static uint64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void say(const char *what, uint64_t value)
{
	int n = snprintf(report + report_len, sizeof(report) - report_len, "%s %llu\n", what,
			 (unsigned long long)value);

	if (n > 0)
		report_len += (size_t)n;
}

static void mark(uint8_t value)
{
	if (ioperm(MARK, 1, 1) == 0)
		outb(value, MARK);
}

static void load_modules(void)
{
	char path[160] = "/modules/";
	FILE *f = fopen("/modules/list", "re");

	while (f && fgets(path + 9, (int)sizeof(path) - 9, f)) {
		path[strcspn(path, "\n")] = '\0';
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		(void)syscall(SYS_finit_module, fd, "", 0);
		(void)close(fd);
	}
	if (f)
		(void)fclose(f);
}

/* The value of a word KEY=VALUE of the command line, or "". */
static void word(const char *key, char *value, size_t room)
{
	char line[2048] = "";
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, line, sizeof(line) - 1);
	const char *at = n > 0 ? strstr(line, key) : NULL;

	(void)close(fd);
	*value = '\0';
	if (at && at[strlen(key)] == '=') {
		at += strlen(key) + 1;
		(void)snprintf(value, room, "%.*s", (int)strcspn(at, " \n"), at);
	}
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	(void)!write(fd, "3", 1);
	(void)close(fd);
}

/* MIB of data in chunks, written with a final fsync, or read. */
static void stream(const char *path, bool is_write, int flags, const char *what)
{
	void *buf = NULL;
	uint64_t start = now_us();
	int fd = open(path, (is_write ? O_WRONLY : O_RDONLY) | O_CLOEXEC | flags, 0644);

	if (fd < 0 || posix_memalign(&buf, 4096, CHUNK) != 0) {
		say("failed", (uint64_t)errno);
		return;
	}
	memset(buf, 0x5a, CHUNK);
	for (unsigned i = 0; i < MIB; i++) {
		ssize_t n = is_write ? write(fd, buf, CHUNK) : read(fd, buf, CHUNK);

		if (n != (ssize_t)CHUNK)
			say("short", i);
	}
	if (is_write)
		(void)fsync(fd);
	(void)close(fd);
	free(buf);
	say(what, now_us() - start);
}

/* Applies @fn to the path of each file. */
static void each_file(const char *dir, int (*fn)(const char *path), const char *what)
{
	char path[256];
	unsigned failed = 0;
	uint64_t start = now_us();

	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		failed += fn(path) < 0;
	}
	say(what, now_us() - start);
	if (failed)
		say("failed", failed);
}

static int create_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ssize_t n = write(fd, path, 16);

	(void)close(fd);
	return n == 16 ? 0 : -1;
}

static int stat_file(const char *path)
{
	struct stat st;

	return stat(path, &st);
}

static int read_file(const char *path)
{
	char b[16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, b, sizeof(b));

	(void)close(fd);
	return n == 16 ? 0 : -1;
}

static int change_mode(const char *path)
{
	return chmod(path, 0600);
}

static int rename_file(const char *path)
{
	char to[260];

	(void)snprintf(to, sizeof(to), "%s.new", path);
	return rename(path, to);
}

static int unlink_file(const char *path)
{
	char from[260];

	(void)snprintf(from, sizeof(from), "%s.new", path);
	return unlink(from);
}

static void list_folder(const char *path)
{
	unsigned n = 0;
	uint64_t start = now_us();
	DIR *d = opendir(path);

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	say("list_us", now_us() - start);
	if (n < FILES)
		say("failed", n);
}

static void many_files(const char *dir)
{
	each_file(dir, create_file, "create_us");
	drop_caches();
	list_folder(dir);
	drop_caches();
	each_file(dir, stat_file, "stat_us");
	drop_caches();
	each_file(dir, read_file, "open_read_us");
	each_file(dir, change_mode, "chmod_us");
	each_file(dir, rename_file, "rename_us");
	each_file(dir, unlink_file, "unlink_us");
}

static int mount_fs(void)
{
	return mount("pecten", "/mnt", "virtiofs", 0, NULL);
}

static int find_disk(void)
{
	return access("/dev/vda", R_OK);
}

/* Devices appear a little after their modules. */
static void wait_for(int (*is_there)(void))
{
	for (unsigned n = 0; is_there() < 0; n++) {
		if (n == 3000) {
			say("failed", (uint64_t)errno);
			return;
		}
		(void)usleep(10000);
	}
}

static void measure_fs(void)
{
	char dir[128];
	char path[160];

	word("benchdir", dir, sizeof(dir));
	(void)mkdir("/mnt", 0755);
	wait_for(mount_fs);
	(void)snprintf(path, sizeof(path), "%s/big", dir);
	stream(path, true, O_CREAT | O_TRUNC, "write_us");
	drop_caches();
	stream(path, false, 0, "read_us");
	many_files(dir);
	(void)snprintf(path, sizeof(path), "%s/result", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	(void)!write(fd, report, report_len);
	(void)close(fd);
}

/* Single blocks, far from one another, one after the other. */
static void blocks(bool is_write, void *block, const char *what)
{
	int fd = open("/dev/vda", (is_write ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	unsigned failed = 0;
	uint64_t start = now_us();

	for (unsigned i = 0; i < FILES; i++) {
		off_t at = (off_t)(i * 7919U % (MIB * CHUNK / BLOCK)) * BLOCK;
		ssize_t n = is_write ? pwrite(fd, block, BLOCK, at) : pread(fd, block, BLOCK, at);

		failed += n != BLOCK;
	}
	say(what, now_us() - start);
	(void)close(fd);
	if (failed)
		say("failed", failed);
}

static void measure_blk(void)
{
	void *block = NULL;

	if (posix_memalign(&block, BLOCK, BLOCK) != 0)
		return;
	memset(block, 0, BLOCK);
	wait_for(find_disk);
	stream("/dev/vda", true, O_DIRECT, "write_us");
	stream("/dev/vda", false, O_DIRECT, "read_us");
	blocks(true, block, "block_write_us");
	blocks(false, block, "block_read_us");
	memset(block, 0, BLOCK);
	memcpy(block, report, report_len);
	int fd = open("/dev/vda", O_WRONLY | O_DIRECT | O_CLOEXEC);
	(void)!write(fd, block, BLOCK);
	(void)close(fd);
	free(block);
}

int main(void)
{
	char what[32];

	mark(1);
	if (getpid() != 1)
		return 0;
	(void)mkdir("/proc", 0755);
	(void)mount("proc", "/proc", "proc", 0, NULL);
	(void)mount("dev", "/dev", "devtmpfs", 0, NULL);
	word("bench", what, sizeof(what));
	if (strcmp(what, "boot") != 0) {
		load_modules();
		if (strcmp(what, "fs") == 0)
			measure_fs();
		else
			measure_blk();
	}
	sync();
	(void)reboot(RB_AUTOBOOT);
	return 1;
}
