// SPDX-License-Identifier: Apache-2.0
/* The card and its stream: a driver by hand on one side, a socket on the other. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include <cmocka.h>

#include "harness/driver.h"
#include "net/stream.h"
#include "virtio/net.h"

enum { RX, TX };

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct virtio_net *n;
	int peer;
};

static int setup(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct fixture *x = calloc(1, sizeof(*x));
	int pair[2];

	fd_must(x != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	fd_must(loop_create(&x->loop) == 0);
	fd_must(virtio_net_create(pair[0], mac, 1500, x->loop, &x->n) == 0);
	x->peer = pair[1];
	fd_must(fcntl(x->peer, F_SETFL, O_NONBLOCK) == 0);
	fd_init(&x->f);
	fd_must(fd_start(&x->f, virtio_net_dev(x->n), VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF)) == 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	virtio_net_destroy(x->n);
	loop_destroy(x->loop);
	if (x->peer >= 0)
		close(x->peer);
	free(x);
	return 0;
}

static void from_peer(struct fixture *x, const void *p, size_t len, uint32_t prefix)
{
	const uint8_t be[4] = { (uint8_t)(prefix >> 24), (uint8_t)(prefix >> 16),
				(uint8_t)(prefix >> 8), (uint8_t)prefix };

	assert_int_equal(write(x->peer, be, 4), 4);
	if (len)
		assert_int_equal(write(x->peer, p, len), len);
}

static unsigned fetch(struct fixture *x, unsigned queue, uint32_t *written)
{
	uint32_t w;
	uint16_t head;
	unsigned n = 0;

	while (fd_used(&x->f, queue, &head, &w)) {
		if (written)
			written[n] = w;
		n++;
	}
	return n;
}

static void frames_go_out_with_their_length(void **state)
{
	struct fixture *x = *state;
	struct virtio_net_hdr_mrg_rxbuf h = { 0 };
	uint8_t frame[100], got[200];

	memset(frame, 7, sizeof(frame));
	(void)fd_offer(&x->f, TX,
		       (struct fd_buf[]){ FD_RDN(&h, 3), FD_RDN((uint8_t *)&h + 3, 9),
					  FD_RDN(frame, 1), FD_RDN(frame + 1, 99) },
		       4);
	fd_kick(&x->f, TX);
	assert_int_equal(fetch(x, TX, NULL), 1);
	assert_int_equal(read(x->peer, got, sizeof(got)), 104);
	assert_memory_equal(got, "\0\0\0\x64", 4);
	assert_memory_equal(got + 4, frame, 100);

	/* No frame at all, and too short a one: dropped. */
	(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RDN(&h, 5) }, 1);
	(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&h) }, 1);
	(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&h), FD_RDN(frame, 13) }, 2);
	fd_kick(&x->f, TX);
	assert_int_equal(fetch(x, TX, NULL), 3);
	assert_int_equal(read(x->peer, got, sizeof(got)), -1);
	assert_false(virtio_net_dev(x->n)->needs_reset);
}

static void a_full_socket_keeps_the_framing(void **state)
{
	struct fixture *x = *state;
	struct virtio_net_hdr_mrg_rxbuf h = { 0 };
	static uint8_t frame[9000], got[60 * 9004];
	unsigned sent = 0, done = 0;
	size_t len = 0;

	for (; sent < 60; sent++) {
		memset(frame, (int)sent, sizeof(frame));
		(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&h), FD_RDN(frame, 9000) }, 2);
		fd_kick(&x->f, TX);
		done += fetch(x, TX, NULL);
		if (sent == 25)
			break;
	}
	sent++;
	for (int tries = 0; tries < 400 && len < sent * 9004u; tries++) {
		ssize_t n = read(x->peer, got + len, sizeof(got) - len);

		if (n > 0)
			len += (size_t)n;
		fd_spin(x->loop);
		done += fetch(x, TX, NULL);
	}
	assert_int_equal(done, sent);
	assert_int_equal(len, sent * 9004u);
	for (unsigned k = 0; k < sent; k++) {
		assert_memory_equal(got + k * 9004u, "\0\0\x23\x28", 4);
		assert_int_equal(got[k * 9004u + 4], k);
		assert_int_equal(got[k * 9004u + 9003], k);
	}
}

static void frames_come_in_over_as_many_buffers_as_needed(void **state)
{
	struct fixture *x = *state;
	static uint8_t frame[3000], buf[4][1024];
	uint32_t written[8];

	for (size_t k = 0; k < sizeof(frame); k++)
		frame[k] = (uint8_t)(k * 5);
	fd_kick(&x->f, RX);
	from_peer(x, frame, 3000, 3000);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX, NULL), 0);
	for (int k = 0; k < 2; k++)
		(void)fd_offer(&x->f, RX, (struct fd_buf[]){ FD_WRN(buf[k], 1024) }, 1);
	fd_kick(&x->f, RX);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX, NULL), 0); /* not enough of them yet, and none is lost */
	for (int k = 2; k < 4; k++)
		(void)fd_offer(&x->f, RX, (struct fd_buf[]){ FD_WRN(buf[k], 1024) }, 1);
	fd_kick(&x->f, RX);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX, written), 3);
	struct virtio_net_hdr_mrg_rxbuf h;
	memcpy(&h, buf[0], sizeof(h));
	assert_int_equal(h.num_buffers, 3);
	assert_int_equal(written[0] + written[1] + written[2], 3012);
	assert_memory_equal(buf[0] + 12, frame, 1012);
	assert_memory_equal(buf[1], frame + 1012, 1024);
	assert_memory_equal(buf[2], frame + 2036, 964);

	/* In pieces, and several at once. */
	from_peer(x, frame, 20, 60);
	fd_spin(x->loop);
	assert_int_equal(write(x->peer, frame, 40), 40);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX, written), 1);
	assert_int_equal(written[0], 72);
}

static void without_merging_large_frames_are_lost_alone(void **state)
{
	struct fixture *x = *state;
	uint8_t frame[2000] = { 0 }, buf[2][200];
	uint32_t written[8];

	virtio_stop(virtio_net_dev(x->n));
	assert_int_equal(fd_start(&x->f, virtio_net_dev(x->n), 0), 0);
	(void)fd_offer(&x->f, RX, (struct fd_buf[]){ FD_WRN(buf[0], 200) }, 1);
	(void)fd_offer(&x->f, RX, (struct fd_buf[]){ FD_WRN(buf[1], 200) }, 1);
	fd_kick(&x->f, RX);
	from_peer(x, frame, 2000, 2000);
	from_peer(x, frame, 100, 100);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX, written), 2);
	assert_int_equal(written[0], 0);
	assert_int_equal(written[1], 112);
	assert_false(virtio_net_dev(x->n)->needs_reset);
}

static void a_helper_that_ends_takes_the_link_down(void **state)
{
	struct fixture *x = *state;
	struct virtio_net_config c;

	(void)virtio_config_read(virtio_net_dev(x->n), 0, &c, sizeof(c));
	assert_int_equal(c.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(c.mtu, 1500);
	assert_int_equal(c.mac[0], 2);
	fd_kick(&x->f, RX);
	close(x->peer);
	x->peer = -1;
	fd_spin(x->loop);
	(void)virtio_config_read(virtio_net_dev(x->n), 0, &c, sizeof(c));
	assert_int_equal(c.status, 0);
	assert_int_equal(x->f.config_changes, 1);
	struct virtio_net_hdr_mrg_rxbuf h = { 0 };
	uint8_t frame[60] = { 0 };
	(void)fd_offer(&x->f, TX, (struct fd_buf[]){ FD_RD(&h), FD_RDN(frame, 60) }, 2);
	fd_kick(&x->f, TX);
	assert_int_equal(fetch(x, TX, NULL), 1);
}

static void a_helper_that_talks_nonsense_is_left(void **state)
{
	struct fixture *x = *state;

	fd_kick(&x->f, RX);
	from_peer(x, NULL, 0, NET_FRAME_MAX + 1);
	fd_spin(x->loop);
	assert_int_equal(x->f.config_changes, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(frames_go_out_with_their_length),
		T(a_full_socket_keeps_the_framing),
		T(frames_come_in_over_as_many_buffers_as_needed),
		T(without_merging_large_frames_are_lost_alone),
		T(a_helper_that_ends_takes_the_link_down),
		T(a_helper_that_talks_nonsense_is_left),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
