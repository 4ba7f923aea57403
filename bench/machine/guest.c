/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of a guest that is measured, the same under every monitor; static.  Its first act is a byte
 * to port MARK, which KVM's tracepoints show.  Then, as the kernel's command line says:
 *
 *	bench=boot			reset the machine
 *	bench=fs benchdir=DIR		measure the virtio-fs with the tag "pecten", below DIR
 *	bench=blk			measure /dev/vda
 *
 * As a program of a running guest, with an argument, it does the first act only.
 */
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
#define FILES 500

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

static void many_files(const char *dir)
{
	char path[256];
	struct stat st;
	uint64_t start = now_us();

	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		(void)!write(fd, path, 16);
		(void)close(fd);
	}
	say("create_us", now_us() - start);
	drop_caches();
	start = now_us();
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		if (stat(path, &st) < 0)
			say("failed", (uint64_t)errno);
	}
	say("stat_us", now_us() - start);
	drop_caches();
	start = now_us();
	for (unsigned i = 0; i < FILES; i++) {
		char b[16];

		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		(void)!read(fd, b, sizeof(b));
		(void)close(fd);
	}
	say("read_us", now_us() - start);
	start = now_us();
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		(void)unlink(path);
	}
	say("unlink_us", now_us() - start);
}

static void measure_fs(void)
{
	char dir[128];
	char path[160];

	word("benchdir", dir, sizeof(dir));
	(void)mkdir("/mnt", 0755);
	if (mount("pecten", "/mnt", "virtiofs", 0, NULL) < 0)
		say("failed", (uint64_t)errno);
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

static void measure_blk(void)
{
	void *block = NULL;

	stream("/dev/vda", true, O_DIRECT, "write_us");
	stream("/dev/vda", false, O_DIRECT, "read_us");
	int fd = open("/dev/vda", O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (posix_memalign(&block, 4096, 4096) == 0) {
		memset(block, 0, 4096);
		memcpy(block, report, report_len);
		(void)!write(fd, block, 4096);
	}
	(void)close(fd);
	free(block);
}

int main(int argc, char **argv)
{
	char what[32];

	(void)argv;
	mark(1);
	if (argc > 1)
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
