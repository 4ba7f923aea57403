/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of a test guest without vsock and console: writes what it finds into the share "out" and
 * does what the file "do" in there says: reset, poweroff or panic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static void report(FILE *f)
{
	struct utsname u;
	struct sysinfo s;
	char line[256] = "";

	if (uname(&u) == 0)
		(void)fprintf(f, "release: %s\n", u.release);
	if (sysinfo(&s) == 0)
		(void)fprintf(f, "mib: %llu\n", (unsigned long long)s.totalram * s.mem_unit >> 20);
	(void)fprintf(f, "cpus: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	(void)fprintf(f, "ro: %s\n",
		      open("/ro/x", O_WRONLY | O_CREAT, 0600) < 0 ? strerror(errno) : "written");

	FILE *p = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (p && fgets(line, sizeof(line), p))
		(void)fprintf(f, "clock: %s", line);
	if (p)
		(void)fclose(p);
}

int main(void)
{
	char what[16] = "";

	(void)mount(NULL, "/", NULL, MS_REMOUNT, NULL);
	(void)mount("sys", "/sys", "sysfs", 0, NULL);
	FILE *in = fopen("/out/do", "re");
	FILE *out = fopen("/out/report", "we");
	if (!in || !out || !fgets(what, sizeof(what), in)) {
		perror("tiny_init");
		return 8;
	}
	(void)fprintf(out, "do: %s", what);
	report(out);
	(void)fclose(out);
	(void)fclose(in);
	if (strncmp(what, "poweroff", 8) == 0)
		(void)reboot(RB_POWER_OFF);
	if (strncmp(what, "panic", 5) == 0)
		return 7; /* PID 1 must not end */
	(void)reboot(RB_AUTOBOOT);
	return 1;
}
