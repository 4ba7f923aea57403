/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network: a static IPv4 address and a default route, by the classic ioctls. */
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/boot.h"

static struct sockaddr ipv4(uint32_t addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };
	struct sockaddr sa;

	memcpy(&sa, &in, sizeof(sa));
	return sa;
}

static int bring_up(int sock, const char *name)
{
	struct ifreq req = { 0 };

	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

/* The network card: the first Ethernet interface in the order of names. */
static int find_card(char name[IFNAMSIZ])
{
	DIR *d = opendir("/sys/class/net");
	const struct dirent *e;

	name[0] = '\0';
	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len >= IFNAMSIZ || strncmp(e->d_name, "e", 1) != 0)
			continue;
		if (!*name || strcmp(e->d_name, name) < 0)
			memcpy(name, e->d_name, len + 1);
	}
	if (d)
		(void)closedir(d);
	return *name ? 0 : -ENODEV;
}

static int set_up_card(const struct boot *b, int sock, const char *name)
{
	uint32_t mask = b->prefix ? UINT32_MAX << (32 - b->prefix) : 0;
	struct ifreq req = { 0 };
	int r;

	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (b->mtu) {
		req.ifr_mtu = (int)b->mtu;
		if (ioctl(sock, SIOCSIFMTU, &req) < 0)
			return -errno;
	}
	req.ifr_addr = ipv4(b->addr);
	if (ioctl(sock, SIOCSIFADDR, &req) < 0)
		return -errno;
	req.ifr_netmask = ipv4(mask);
	if (ioctl(sock, SIOCSIFNETMASK, &req) < 0)
		return -errno;
	r = bring_up(sock, name);
	if (r < 0 || !b->gateway)
		return r;

	struct rtentry route = { .rt_dst = ipv4(0),
				 .rt_genmask = ipv4(0),
				 .rt_gateway = ipv4(b->gateway),
				 .rt_flags = RTF_UP | RTF_GATEWAY };

	return ioctl(sock, SIOCADDRT, &route) < 0 ? -errno : 0;
}

int boot_net(const struct boot *b, char *why)
{
	char name[IFNAMSIZ];
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (sock < 0)
		return b->has_net ? boot_say(why, errno, "the guest kernel has no network") : 0;
	(void)bring_up(sock, "lo"); /* a container works without, if badly */
	if (!b->has_net) {
		(void)close(sock);
		return 0;
	}
	r = find_card(name);
	if (r < 0)
		r = boot_say(why, -r, "the guest found no network card (virtio_net missing?)");
	else if ((r = set_up_card(b, sock, name)) < 0)
		r = boot_say(why, -r, "cannot set up the guest's network card '%s'", name);
	(void)close(sock);
	return r;
}
