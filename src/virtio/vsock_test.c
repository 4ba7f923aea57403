// SPDX-License-Identifier: Apache-2.0
/* The switchboard through its device: a driver by hand on one side, unix sockets on the other. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_vsock.h>

#include <cmocka.h>

#include "harness/driver.h"
#include "host/fd.h"
#include "virtio/vsock.h"
#include "vsock/vsock.h"

enum { RX, TX };

#define CID        3
#define GUEST      1000u /* port of the guest's listener */
#define HOST       2000u /* port behind a path */
#define STREAM     2001u /* port behind a connected socket */
#define PKT_MAX    4096
#define RX_AT_ONCE 16

struct pkt {
	struct virtio_vsock_hdr h;
	uint8_t data[PKT_MAX];
};

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct virtio_vsock *d;
	char dir[64];
	struct sockaddr_un listen_addr, path_addr;
	int path_fd;                 /* we listen here for the guest's connections */
	int stream;                  /* our end of the connected socket */
	struct pkt room[RX_AT_ONCE]; /* where buffers on offer come back to, in turn */
	unsigned offered, fetched;
	struct pkt rx[RX_AT_ONCE]; /* what the last fetch() brought */
	uint32_t fwd_cnt;          /* the guest's, in its next packet */
};

static int listen_at(struct sockaddr_un *a, const char *dir, const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(a->sun_path, sizeof(a->sun_path), "%s/%s", dir, name);
	fd_must(fd >= 0 && bind(fd, (void *)a, sizeof(*a)) == 0 && listen(fd, 8) == 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int pair[2];

	fd_must(x != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	(void)snprintf(x->dir, sizeof(x->dir), "/tmp/pecten-vsock-XXXXXX");
	fd_must(mkdtemp(x->dir) != NULL);
	fd_must(loop_create(&x->loop) == 0);
	fd_must(virtio_vsock_create(CID, x->loop, &x->d) == 0);
	struct vsock *v = virtio_vsock_ports(x->d);
	fd_must(vsock_add_listener(v, GUEST, listen_at(&x->listen_addr, x->dir, "in")) == 0);
	x->path_fd = listen_at(&x->path_addr, x->dir, "out");
	fd_must(vsock_add_path(v, HOST, x->path_addr.sun_path) == 0);
	fd_must(vsock_add_stream(v, STREAM, pair[0]) == 0);
	x->stream = pair[1];
	fd_init(&x->f);
	fd_must(fd_start(&x->f, virtio_vsock_dev(x->d), 0) == 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	virtio_vsock_destroy(x->d);
	loop_destroy(x->loop);
	(void)unlink(x->listen_addr.sun_path);
	(void)unlink(x->path_addr.sun_path);
	(void)rmdir(x->dir);
	close(x->path_fd);
	close(x->stream);
	free(x);
	return 0;
}

static void offer(struct fixture *x, unsigned n)
{
	while (n-- > 0) {
		struct pkt *p = &x->room[x->offered++ % RX_AT_ONCE];

		(void)fd_offer(&x->f, RX,
			       (struct fd_buf[]){ FD_WR(&p->h), FD_WRN(p->data, PKT_MAX) }, 2);
	}
	fd_kick(&x->f, RX);
	fd_spin(x->loop);
}

static unsigned fetch(struct fixture *x)
{
	uint32_t written;
	uint16_t head;
	unsigned n = 0;

	memset(x->rx, 0, sizeof(x->rx));
	while (fd_used(&x->f, RX, &head, &written)) {
		x->rx[n] = x->room[x->fetched++ % RX_AT_ONCE];
		assert_int_equal(written, sizeof(struct virtio_vsock_hdr) + x->rx[n].h.len);
		n++;
	}
	return n;
}

static void say(struct fixture *x, uint32_t guest_port, uint32_t host_port, uint16_t op,
		uint32_t flags, const void *data, uint32_t len)
{
	struct virtio_vsock_hdr h = {
		.src_cid = CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = guest_port,
		.dst_port = host_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = 10000,
		.fwd_cnt = x->fwd_cnt,
	};
	uint32_t written;
	uint16_t head;

	(void)fd_offer(&x->f, TX,
		       (struct fd_buf[]){ FD_RDN(&h, 10),
					  FD_RDN((uint8_t *)&h + 10, sizeof(h) - 10),
					  FD_RDN((void *)(uintptr_t)data, len) },
		       len ? 3 : 2);
	fd_kick(&x->f, TX);
	assert_true(fd_used(&x->f, TX, &head, &written));
	fd_spin(x->loop);
}

/* One packet that the device must have sent. */
static void hears(struct fixture *x, uint16_t op)
{
	assert_int_equal(fetch(x), 1);
	assert_int_equal(x->rx[0].h.op, op);
	assert_int_equal(x->rx[0].h.src_cid, VSOCK_HOST_CID);
	assert_int_equal(x->rx[0].h.dst_cid, CID);
	assert_int_equal(x->rx[0].h.buf_alloc, VSOCK_BUF);
}

static int guest_connects(struct fixture *x)
{
	offer(x, 1);
	say(x, 5000, HOST, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	hears(x, VIRTIO_VSOCK_OP_RESPONSE);
	int fd = accept(x->path_fd, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(fd_set_nonblock(fd), 0);
	return fd;
}

static void a_guest_reaches_a_socket_of_the_host(void **state)
{
	struct fixture *x = *state;
	char buf[32] = { 0 };
	int fd = guest_connects(x);

	say(x, 5000, HOST, VIRTIO_VSOCK_OP_RW, 0, "to host", 7);
	assert_int_equal(read(fd, buf, sizeof(buf)), 7);
	assert_memory_equal(buf, "to host", 7);
	assert_int_equal(write(fd, "to guest", 8), 8);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(x->rx[0].h.len, 8);
	assert_int_equal(x->rx[0].h.fwd_cnt, 7);
	assert_memory_equal(x->rx[0].data, "to guest", 8);

	/* Half closed: the host has said all, and still hears. */
	(void)shutdown(fd, SHUT_WR);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(x->rx[0].h.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	say(x, 5000, HOST, VIRTIO_VSOCK_OP_RW, 0, "still", 5);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	say(x, 5000, HOST, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(read(fd, buf, sizeof(buf)), 0);
	assert_int_equal(vsock_conns(virtio_vsock_ports(x->d)), 0);
	close(fd);
}

static int host_connects(struct fixture *x)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (void *)&x->listen_addr, sizeof(x->listen_addr)), 0);
	assert_int_equal(fd_set_nonblock(fd), 0);
	return fd;
}

static void the_host_reaches_a_port_of_the_guest(void **state)
{
	struct fixture *x = *state;
	char buf[32];
	int fd = host_connects(x);

	assert_int_equal(write(fd, "early", 5), 5);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(x->rx[0].h.dst_port, GUEST);
	uint32_t port = x->rx[0].h.src_port;
	offer(x, 1);
	assert_int_equal(fetch(x), 0); /* nothing before the guest has agreed */
	say(x, GUEST, port, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	hears(x, VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(x->rx[0].data, "early", 5);

	/* Another one, which the guest refuses. */
	int fd2 = host_connects(x);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_not_equal(x->rx[0].h.src_port, port);
	say(x, GUEST, x->rx[0].h.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	assert_int_equal(read(fd2, buf, sizeof(buf)), 0);
	close(fd2);

	/* Closed by the host: the guest hears of the end, and its next word is in vain. */
	close(fd);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_SHUTDOWN);
	offer(x, 1);
	say(x, GUEST, port, VIRTIO_VSOCK_OP_RW, 0, "x", 1);
	hears(x, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(vsock_conns(virtio_vsock_ports(x->d)), 0);
}

static void a_connected_socket_is_handed_out_once(void **state)
{
	struct fixture *x = *state;
	char buf[8];

	offer(x, 2);
	say(x, 6000, STREAM, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	hears(x, VIRTIO_VSOCK_OP_RESPONSE);
	say(x, 6000, STREAM, VIRTIO_VSOCK_OP_RW, 0, "hi", 2);
	assert_int_equal(read(x->stream, buf, sizeof(buf)), 2);
	say(x, 6001, STREAM, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	assert_int_equal(fetch(x), 1);
	assert_int_equal(x->rx[0].h.op, VIRTIO_VSOCK_OP_RST);
}

static void credit_is_kept_both_ways(void **state)
{
	static uint8_t block[PKT_MAX];
	struct fixture *x = *state;
	int fd = guest_connects(x);
	uint32_t sent = 0;

	/* The guest has room for 10000 bytes, and gets no more. */
	memset(block, 'h', sizeof(block));
	for (int n = 0; n < 5; n++)
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	offer(x, 8);
	unsigned n = fetch(x), got = 0;
	for (unsigned k = 0; k < n; k++)
		got += x->rx[k].h.len;
	assert_int_equal(got, 10000);
	x->fwd_cnt = 6000;
	say(x, 5000, HOST, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	n = fetch(x);
	assert_true(n > 0);

	/* What the host does not read is kept, but no more than we said we would. */
	bool is_refused = false;
	offer(x, 2);
	for (; sent < (1u << 20) && !is_refused; sent += 1024) {
		say(x, 5000, HOST, VIRTIO_VSOCK_OP_RW, 0, block, 1024);
		n = fetch(x);
		is_refused = n && x->rx[0].h.op == VIRTIO_VSOCK_OP_RST;
		if (n)
			offer(x, 1);
	}
	print_message("%u bytes until refused\n", sent);
	assert_true(is_refused);
	assert_true(sent > VSOCK_BUF);
	close(fd);
}

static void bytes_wait_for_a_slow_host_and_keep_their_order(void **state)
{
	struct fixture *x = *state;
	static uint8_t block[2048];
	static uint8_t buf[4096];
	uint32_t sent = 0, got = 0;
	int fd = guest_connects(x);

	/* All that we have credit for, then the end, before the host reads the first byte. */
	uint32_t taken = 0;
	offer(x, 8);
	while (sent - taken + sizeof(block) <= VSOCK_BUF) {
		for (unsigned k = 0; k < sizeof(block); k++)
			block[k] = (uint8_t)((sent + k) % 251);
		say(x, 5000, HOST, VIRTIO_VSOCK_OP_RW, 0, block, sizeof(block));
		sent += (uint32_t)sizeof(block);
		unsigned n = fetch(x);
		if (n)
			taken = x->rx[n - 1].h.fwd_cnt;
		offer(x, n);
	}
	print_message("%u bytes on their way\n", sent);
	assert_true(sent > VSOCK_BUF);
	say(x, 5000, HOST, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0);
	for (int tries = 0; tries < 1000; tries++) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n == 0)
			break;
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			fd_spin(x->loop);
			continue;
		}
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal(buf[k], (got + (uint32_t)k) % 251);
		got += (uint32_t)n;
	}
	assert_int_equal(got, sent);
	assert_int_equal(vsock_conns(virtio_vsock_ports(x->d)), 0);
	close(fd);
}

static void packets_that_make_no_sense_are_refused(void **state)
{
	struct fixture *x = *state;
	struct virtio_vsock_hdr h = {
		.src_cid = 99, .dst_cid = VSOCK_HOST_CID, .op = 1, .type = 1
	};
	uint32_t written;
	uint16_t head;

	for (uint16_t op = 0; op < 10; op++) {
		offer(x, 1);
		say(x, 7000, 9999, op, 0, NULL, 0);
		if (op == VIRTIO_VSOCK_OP_RST) {
			assert_int_equal(fetch(x), 0);
			say(x, 7000, 9999, 77, 0, NULL, 0);
		}
		hears(x, VIRTIO_VSOCK_OP_RST);
		assert_int_equal(x->rx[0].h.dst_port, 7000);
	}
	/* In the wrong state. */
	int fd = guest_connects(x);
	offer(x, 1);
	say(x, 5000, HOST, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	hears(x, VIRTIO_VSOCK_OP_RST);
	close(fd);

	/* From somebody else. */
	offer(x, 1);
	(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&h) }, 1);
	fd_kick(&x->f, TX);
	assert_true(fd_used(&x->f, TX, &head, &written));
	fd_spin(x->loop);
	assert_int_equal(fetch(x), 0);

	/* Many refusals without room for them: the guest waits, and hears all of them. */
	for (uint32_t n = 0; n < 40; n++) {
		struct virtio_vsock_hdr r = { .src_cid = CID,
					      .dst_cid = VSOCK_HOST_CID,
					      .src_port = 100 + n,
					      .dst_port = 1,
					      .op = 5,
					      .type = 1 };
		(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&r) }, 1);
		fd_kick(&x->f, TX);
	}
	unsigned heard = 1;
	assert_int_equal(fetch(x), 1); /* the buffer still on offer */
	for (int n = 0; n < 10; n++) {
		offer(x, 8);
		heard += fetch(x);
	}
	assert_int_equal(heard, 40);

	/* A length that lies. */
	h = (struct virtio_vsock_hdr){ .src_cid = CID, .dst_cid = 2, .len = 1, .op = 5, .type = 1 };
	(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&h) }, 1);
	fd_kick(&x->f, TX);
	assert_true(virtio_vsock_dev(x->d)->needs_reset);
}

static void a_reset_ends_all_connections(void **state)
{
	struct fixture *x = *state;
	char buf[4];
	int fd = guest_connects(x);

	virtio_stop(virtio_vsock_dev(x->d));
	assert_int_equal(vsock_conns(virtio_vsock_ports(x->d)), 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 0);
	close(fd);
	/* Connections wait in the backlog for the guest to come back. */
	fd = host_connects(x);
	fd_spin(x->loop);
	assert_int_equal(fd_start(&x->f, virtio_vsock_dev(x->d), 0), 0);
	offer(x, 1);
	hears(x, VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_guest_reaches_a_socket_of_the_host),
		T(the_host_reaches_a_port_of_the_guest),
		T(a_connected_socket_is_handed_out_once),
		T(credit_is_kept_both_ways),
		T(bytes_wait_for_a_slow_host_and_keep_their_order),
		T(packets_that_make_no_sense_are_refused),
		T(a_reset_ends_all_connections),
	};

	return cmocka_run_group_tests_name("vsock", tests, NULL, NULL);
}
