/* SPDX-License-Identifier: Apache-2.0 */
/* passt as the guest's network: see passt.h. */
#include "api/passt.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/launch.h"
#include "host/fd.h"

#define LINE_BYTES 512

int passt_find(char *path, size_t len)
{
	static const char *const places[] = { "/usr/bin", "/usr/local/bin", "/bin" };
	const char *dirs = getenv("PATH");

	while (dirs && *dirs) {
		size_t n = strcspn(dirs, ":");

		if (n > 0 && *dirs == '/' &&
		    snprintf(path, len, "%.*s/passt", (int)n, dirs) < (int)len &&
		    access(path, X_OK) == 0)
			return 0;
		dirs += n + (dirs[n] == ':');
	}
	/* A PATH without the usual places must not hide what is installed. */
	for (size_t i = 0; !getenv("PATH") && i < ARRAY_LEN(places); i++) {
		if (snprintf(path, len, "%s/passt", places[i]) < (int)len &&
		    access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* A default route of either IP version, as /proc/net shows them. */
int passt_has_route(void)
{
	static const char *const tables[] = { "/proc/net/route", "/proc/net/ipv6_route" };
	char line[LINE_BYTES];
	int found = 0;

	for (size_t i = 0; i < ARRAY_LEN(tables) && !found; i++) {
		FILE *f = fopen(tables[i], "re");

		while (f && !found && fgets(line, sizeof(line), f)) {
			char dest[40] = "";
			char prefix[4] = "";
			char card[16] = "";

			if (i == 0)
				found = sscanf(line, "%*s %8s", dest) == 1 &&
					strcmp(dest, "00000000") == 0;
			else
				found = sscanf(line, "%32s %2s %*s %*s %*s %*s %*s %*s %*s %15s",
					       dest, prefix, card) == 3 &&
					strspn(dest, "0") == 32 && strcmp(prefix, "00") == 0 &&
					strcmp(card, "lo") != 0;
		}
		if (f)
			(void)fclose(f);
	}
	return found;
}

void passt_resolv(char *text, size_t len)
{
	char line[LINE_BYTES];
	FILE *f = fopen("/etc/resolv.conf", "re");

	(void)snprintf(text, len, "nameserver " PASST_DNS "\n");
	while (f && fgets(line, sizeof(line), f)) {
		size_t n = strlen(text);

		if (strncmp(line, "search ", 7) == 0 && strchr(line, '\n'))
			(void)snprintf(text + n, len - n, "%s", line);
	}
	if (f)
		(void)fclose(f);
}

/* passt would only log that it could not bind. */
static int check_port(uint16_t port, struct err *e)
{
	const int on = 1;
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(e, "cannot make a socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
		if (errno == EADDRINUSE)
			return err_set(e, -EADDRINUSE,
				       "port %u of the host is in use; forward another one", port);
		return err_errno(e, "port %u of the host cannot be used", port);
	}
	return 0;
}

int passt_start(const struct passt_port *ports, unsigned nports, int log, int *sock, pid_t *pid,
		struct err *e)
{
	char path[LAUNCH_PATH_MAX];
	char mtu[16];
	char specs[PASST_PORTS_MAX][32];
	const char *argv[24 + 2 * PASST_PORTS_MAX];
	unsigned n = 0;
	int pair[2];

	if (passt_find(path, sizeof(path)) < 0)
		return err_set(e, -ENOENT,
			       "the network needs passt, which is not installed; install the "
			       "package 'passt' or use --net none");
	if (!passt_has_route())
		return err_set(e, -ENETUNREACH,
			       "this host has no default route, so there is no network to give to "
			       "the guest; connect it or use --net none");
	(void)snprintf(mtu, sizeof(mtu), "%d", PASST_MTU);

	const char *const fixed[] = {
		path,        "--foreground", "--quiet",       "--stderr",  "--fd",
		"3",         "--address",    "10.0.2.15",     "--netmask", "24",
		"--gateway", "10.0.2.2",     "--dns-forward", PASST_DNS,   "--mtu",
		mtu,         "--udp-ports",  "none",          "--no-dhcp", "--no-dhcpv6",
		"--no-ra",   "--no-ndp",
	};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		argv[n++] = fixed[i];
	if (nports == 0) {
		argv[n++] = "--tcp-ports";
		argv[n++] = "none";
	}
	for (unsigned i = 0; i < nports; i++) {
		int r = check_port(ports[i].host, e);

		if (r < 0)
			return r;
		(void)snprintf(specs[i], sizeof(specs[i]), "127.0.0.1/%u:%u", ports[i].host,
			       ports[i].guest);
		argv[n++] = "--tcp-ports";
		argv[n++] = specs[i];
	}
	argv[n] = NULL;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "cannot make a socket pair");

	AUTO_FD ours = pair[0];
	AUTO_FD theirs = pair[1];
	const struct launch_io io = { .fd = theirs, .out = -1, .err = log };
	int r = launch(argv, &io, pid, e);

	if (r == 0)
		*sock = take_fd(&ours);
	return r;
}
