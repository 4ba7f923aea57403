/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QEMU that was taken over: hands pecten-vm descriptors for its queues whose writes never return.
 * The kernel's descriptor is a pipe, on which it says that all of them are in use.
 *
 * It runs in QEMU's confinement, where sanitizers do not start, so it has none of our code.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost/wire.h"

#define RAM       (UINT64_C(64) << 20)     /* bytes */
#define UADDR     UINT64_C(0x7f0000000000) /* where we say that we have it */
#define RING_SIZE 16

/* See vmm/qemu.c and vmm/devices.c. */
enum { FD_RAM = 4, FD_READY, FD_CONSOLE = 8, FD_RNG, FD_BALLOON };

/* Of a queue, in bytes from its place in RAM. */
enum { AVAIL = 0x1000, USED = 0x2000, BUFFER = 0x3000 };

struct queue {
	int sock;
	uint32_t index;
	uint64_t gpa;
	int kick;
	int call;
};

static uint8_t *ram;

static void must(bool ok)
{
	if (!ok)
		_exit(1);
}

static void tell(int sock, uint32_t request, const void *data, uint32_t len, int fd)
{
	struct {
		struct vhost_hdr h;
		uint8_t data[64];
	} m = { .h = { .request = request, .flags = VHOST_VERSION, .size = len } };
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = &m, .iov_len = sizeof(m.h) + len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	must(len <= sizeof(m.data));
	if (len > 0)
		memcpy(m.data, data, len);
	if (fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	must(sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)iov.iov_len);
}

/* The answer comes when all that was said before is done. */
static uint64_t ask(int sock, uint32_t request)
{
	struct {
		struct vhost_hdr h;
		uint32_t value[2];
	} m;
	uint64_t value;

	tell(sock, request, NULL, 0, -1);
	must(recv(sock, &m, sizeof(m), MSG_WAITALL) == (ssize_t)sizeof(m));
	memcpy(&value, m.value, sizeof(value));
	return value;
}

static int full_event(void)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	must(fd >= 0 && write(fd, &most, sizeof(most)) == (ssize_t)sizeof(most));
	return fd;
}

/* Until not even a byte has room. */
static int fill(int fd)
{
	static const uint8_t nothing[4096];

	must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (write(fd, nothing, sizeof(nothing)) > 0) {
	}
	while (write(fd, nothing, 1) > 0) {
	}
	return fd;
}

static int full_pipe(void)
{
	int fds[2];

	must(pipe2(fds, O_CLOEXEC) == 0);
	return fill(fds[1]);
}

static int full_socket(void)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	return fill(fds[1]);
}

static int empty_pipe(void)
{
	int fds[2];

	must(pipe2(fds, O_CLOEXEC) == 0);
	return fds[0];
}

/* pecten-vm has made them non-blocking; the flag is of the file, which is ours, too. */
static void set_blocking(int fd)
{
	must(fcntl(fd, F_SETFL, 0) == 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
}

static void introduce(int sock)
{
	const uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1;
	const struct vhost_mem_reg reg = { .len = RAM, .uaddr = UADDR };

	tell(sock, VHOST_SET_FEATURES, &features, sizeof(features), -1);
	tell(sock, VHOST_ADD_MEM_REG, &reg, sizeof(reg), FD_RAM);
}

static void announce(const struct queue *q)
{
	const struct vhost_vring_state num = { q->index, RING_SIZE };
	const struct vhost_vring_addr addr = { .index = q->index,
					       .desc = UADDR + q->gpa,
					       .avail = UADDR + q->gpa + AVAIL,
					       .used = UADDR + q->gpa + USED };
	const uint64_t index = q->index;

	tell(q->sock, VHOST_SET_VRING_NUM, &num, sizeof(num), -1);
	tell(q->sock, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	tell(q->sock, VHOST_SET_VRING_KICK, &index, sizeof(index), q->kick);
	tell(q->sock, VHOST_SET_VRING_CALL, &index, sizeof(index), q->call);
	(void)ask(q->sock, VHOST_GET_FEATURES);
	set_blocking(q->kick);
	set_blocking(q->call);
}

/* One chain of one buffer, which the device finds when it starts. */
static void offer(const struct queue *q, uint16_t flags)
{
	const struct vring_desc desc = { .addr = q->gpa + BUFFER, .len = 8, .flags = flags };
	const uint16_t avail[3] = { 0, 1, 0 }; /* flags, index, head */

	memcpy(ram + q->gpa, &desc, sizeof(desc));
	memcpy(ram + q->gpa + AVAIL, avail, sizeof(avail));
}

/* Starts the device; of the answer there may be none. */
static void start(int sock, uint32_t queues)
{
	const struct vhost_vring_state on = { queues - 1, 1 };

	tell(sock, VHOST_SET_VRING_ENABLE, &on, sizeof(on), -1);
}

/* What follows on the device's thread, before it looks at anything else, is its signal. */
static void await_used(const struct queue *q)
{
	const volatile uint16_t *used = (const volatile uint16_t *)(ram + q->gpa + USED);

	while (used[1] == 0)
		(void)poll(NULL, 0, 1);
}

int main(void)
{
	const uint64_t page = 0x100000;
	const struct queue in = { FD_CONSOLE, 0, page, empty_pipe(), full_socket() };
	const struct queue out = { FD_CONSOLE, 1, 2 * page, eventfd(0, EFD_CLOEXEC), full_pipe() };
	const struct queue rng = { FD_RNG, 0, 3 * page, eventfd(0, EFD_CLOEXEC), full_event() };
	const struct queue balloon = { FD_BALLOON, 0, 4 * page, full_socket(), full_event() };
	uint32_t queues[3];

	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, FD_RAM, 0);
	must(ram != MAP_FAILED);
	for (int sock = FD_CONSOLE; sock <= FD_BALLOON; sock++) {
		introduce(sock);
		queues[sock - FD_CONSOLE] = (uint32_t)ask(sock, VHOST_GET_QUEUE_NUM);
	}
	announce(&in);
	announce(&out);
	announce(&rng);
	announce(&balloon);
	offer(&out, 0);
	offer(&rng, VRING_DESC_F_WRITE);
	start(FD_RNG, queues[1]);
	await_used(&rng);
	start(FD_CONSOLE, queues[0]);
	await_used(&out);
	start(FD_BALLOON, queues[2]);
	must(write(FD_READY, "", 1) == 1);
	for (;;)
		(void)poll(NULL, 0, -1);
}
