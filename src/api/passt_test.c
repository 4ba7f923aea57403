// SPDX-License-Identifier: Apache-2.0
/* passt itself, in a network namespace with a route to nowhere; left out where it is missing. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/launch.h"
#include "api/passt.h"
#include "host/fd.h"

/* Asks for the gateway's Ethernet address and waits for the answer. */
static int arp(int fd)
{
	static const uint8_t ask[4 + 42] = {
		0,    0,    0,    42,                                         /* length */
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0,  0, 1, 8, 6, /* Ethernet */
		0,    1,    8,    0,    6,    4,    0,  1,                    /* ARP request */
		2,    0,    0,    0,    0,    1,    10, 0, 2, 15,             /* from us */
		0,    0,    0,    0,    0,    0,    10, 0, 2, 2,              /* for 10.0.2.2 */
	};
	uint8_t frame[2048];

	if (fd_write_full(fd, ask, sizeof(ask)) < 0)
		return 10;
	for (int n = 0; n < 20; n++) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		uint8_t prefix[4];

		if (poll(&pfd, 1, 120000) != 1) /* only a hang takes that long */
			return 11;
		if (fd_read_full(fd, prefix, sizeof(prefix)) < 0)
			return 12;
		size_t len = (size_t)prefix[2] << 8 | prefix[3];
		if (prefix[0] || prefix[1] || len > sizeof(frame) ||
		    fd_read_full(fd, frame, len) < 0)
			return 13;
		if (len >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2)
			return memcmp(frame + 28, "\xa\0\2\2", 4) == 0 ? 0 : 14;
	}
	return 15;
}

/* In a child with a network of its own.  Return: exit status, 77 to leave it out */
static int in_namespace(void)
{
	const struct passt_port port = { 18080, 80 };
	char path[LAUNCH_PATH_MAX];
	struct err e = { 0 };
	int status = 0;
	pid_t pid = 0;
	int fd;

	if (passt_find(path, sizeof(path)) < 0 || geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return 77;
	if (passt_start(NULL, 0, -1, &fd, &pid, &e) != -ENETUNREACH)
		return 1;
	if (system("ip link set lo up && ip link add pecten0 type veth peer name pecten1 && "
		   "ip addr add 192.0.2.2/24 dev pecten0 && ip link set pecten0 up && "
		   "ip link set pecten1 up && ip route add default via 192.0.2.1") != 0)
		return 77;
	if (passt_start(&port, 1, -1, &fd, &pid, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 2;
	}

	int r = arp(fd);

	if (r)
		return r;

	/* It has answered, so the port is taken. */
	pid_t other = 0;
	int fd2;

	if (passt_start(&port, 1, -1, &fd2, &other, &e) != -EADDRINUSE)
		return 4;

	/* It goes when our end closes, even if nobody stops it. */
	(void)close(fd);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? 0 : 5;
}

static void it_is_the_network_of_one_guest(void **state)
{
	int status;

	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(in_namespace());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		print_message("left out: needs passt, ip and the right to make a network\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_the_network_of_one_guest),
	};

	return cmocka_run_group_tests_name("passt", tests, NULL, NULL);
}
