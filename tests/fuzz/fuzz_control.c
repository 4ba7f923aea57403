/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a library that sends anything to its VM process before CTL_START, and what is made
 * of it.  The input is a list of messages: a type byte, a byte with the number of descriptors in
 * its low bits and, in its high ones, damage to the header, a length byte, and that many times
 * LEN_UNIT bytes of the message's body; the rest of it is zero.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"
#include "vmm/config.h"

#define MESSAGES      12 /* fit into a socket's buffer, so that one thread can do both sides */
#define LEN_UNIT      8
#define BAD_MAGIC     0x10
#define BAD_COUNT     0x20
#define CUT_SHORT     0x40
#define WITH_NO_START 0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sends one message of the input.  Return: bytes of the input used, 0 at its end */
static size_t send_one(int sock, const uint8_t *data, size_t size, bool *starts)
{
	struct ctl_msg m = { .magic = CTL_MAGIC };
	int fds[CTL_FDS_MAX];
	unsigned nfds;
	size_t len;

	if (size < 3)
		return 0;
	m.type = data[0];
	nfds = data[1] & 7 ? (data[1] & 7) % (CTL_FDS_MAX + 1) : 0;
	len = (size_t)data[2] * LEN_UNIT;
	if (len > size - 3)
		len = size - 3;
	if (len > sizeof(m.u))
		len = sizeof(m.u);
	memcpy(&m.u, data + 3, len);
	m.nfds = nfds + !!(data[1] & BAD_COUNT);
	if (data[1] & BAD_MAGIC)
		m.magic ^= 1;
	if (data[1] & WITH_NO_START)
		*starts = false;
	for (unsigned i = 0; i < nfds; i++) {
		fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		assert(fds[i] >= 0);
	}
	int r = fd_send(sock, &m, data[1] & CUT_SHORT ? sizeof(m) / 2 : sizeof(m), fds, nfds);
	assert(r == 0);
	for (unsigned i = 0; i < nfds; i++)
		(void)close(fds[i]);
	return 3 + len;
}

/* What the rest of the VM process takes for granted. */
static void check(const struct vm_config *c)
{
	assert(c->c.cpus >= 1 && c->c.cpus <= CTL_CPUS_MAX && c->c.ram_mib > 0);
	assert(c->n_shares <= CTL_SHARES_MAX && c->n_disks <= CTL_DISKS_MAX &&
	       c->n_ports <= CTL_PORTS_MAX);
	assert(ctl_str_ok(c->c.name) && ctl_str_ok(c->c.cmdline) && ctl_str_ok(c->kernel.path));
	for (unsigned i = 0; i < c->n_shares; i++) {
		assert(c->shares[i].fd >= 0 && ctl_str_ok(c->shares[i].c.name));
		assert(!strchr(c->shares[i].c.name, '/'));
	}
	for (unsigned i = 0; i < c->n_disks; i++)
		assert(c->disks[i].fd >= 0);
	for (unsigned i = 0; i < c->n_ports; i++) {
		assert(ctl_str_ok(c->ports[i].c.path));
		assert((c->ports[i].fd >= 0) == (c->ports[i].c.kind != CTL_VSOCK_CONNECT));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int room = MESSAGES * 2 * (int)sizeof(struct ctl_msg);
	struct vm_config *c = NULL;
	struct err e = { 0 };
	bool starts = true;
	int pair[2];
	int spare[2];

	log_set_level(LOG_OFF);
	int made = pipe2(spare, O_CLOEXEC); /* the lowest free numbers, to compare with */
	assert(made == 0);
	(void)close(spare[0]);
	(void)close(spare[1]);
	made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	assert(made == 0);
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (unsigned i = 0; i < MESSAGES; i++) {
		size_t used = send_one(pair[0], data, size, &starts);

		if (used == 0)
			break;
		data += used;
		size -= used;
	}

	struct ctl_msg start = { .type = CTL_START };
	int r = starts ? ctl_send(pair[0], &start, NULL, 0) : 0;
	assert(r == 0);
	(void)close(pair[0]);
	r = config_create(pair[1], &c, &e);
	assert(r == 0 ? c != NULL : !c && *e.text);
	if (r == 0)
		check(c);
	config_destroy(c);
	(void)close(pair[1]);

	/* Every descriptor that came has been closed: the lowest numbers are free again. */
	int again[2];
	made = pipe2(again, O_CLOEXEC);
	assert(made == 0 && again[0] == spare[0] && again[1] == spare[1]);
	(void)close(again[0]);
	(void)close(again[1]);
	return 0;
}
