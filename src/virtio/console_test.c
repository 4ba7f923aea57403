// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <linux/virtio_console.h>

#include <cmocka.h>

#include "harness/driver.h"
#include "virtio/console.h"

enum { RX0, TX0, CTL_RX, CTL_TX, RX1, TX1 };

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct virtio_console *c;
	int in[2];
	char out[2][10000];
	size_t out_len[2];
	bool is_counting;    /* output is only counted, in @bytes */
	unsigned sends_left; /* how often output makes the driver send the same once more */
	size_t bytes;
};

struct sink {
	struct fixture *x;
	unsigned port;
};

static struct sink sinks[2];

static void on_output(void *arg, const void *p, size_t len)
{
	struct sink *s = arg;
	struct fixture *x = s->x;

	x->bytes += len;
	if (x->sends_left > 0) {
		struct fd_ring *r = &x->f.ring[TX0];

		/* As another CPU of the guest can at any time. */
		x->sends_left--;
		fd_ring_offer(r, 0);
	}
	if (x->is_counting)
		return;
	memcpy(s->x->out[s->port] + s->x->out_len[s->port], p, len);
	s->x->out_len[s->port] += len;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	fd_must(x != NULL && pipe(x->in) == 0);
	fd_must(loop_create(&x->loop) == 0);
	sinks[0] = (struct sink){ x, 0 };
	sinks[1] = (struct sink){ x, 1 };
	const struct console_port_conf ports[2] = {
		{ .is_console = true, .output = on_output, .arg = &sinks[0], .in_fd = -1 },
		{ .name = "tty", .output = on_output, .arg = &sinks[1], .in_fd = x->in[0] },
	};
	fd_must(virtio_console_create(ports, 2, x->loop, &x->c) == 0);
	fd_init(&x->f);
	fd_must(fd_start(&x->f, virtio_console_dev(x->c), VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT)) ==
		0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	virtio_console_destroy(x->c);
	loop_destroy(x->loop);
	close(x->in[0]);
	if (x->in[1] >= 0)
		close(x->in[1]);
	free(x);
	return 0;
}

static void say(struct fixture *x, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control m = { id, event, value };
	uint32_t written;
	uint16_t head;

	(void)fd_offer(&x->f, CTL_TX, (struct fd_buf[]){ FD_RD(&m) }, 1);
	fd_kick(&x->f, CTL_TX);
	assert_true(fd_used(&x->f, CTL_TX, &head, &written));
	assert_int_equal(written, 0);
}

struct heard {
	struct virtio_console_control m;
	char tail[32];
};

static void offer_control(struct fixture *x, struct heard *h, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		(void)fd_offer(&x->f, CTL_RX, (struct fd_buf[]){ FD_WRN(&h[k], sizeof(h[k])) }, 1);
	fd_kick(&x->f, CTL_RX);
}

static unsigned fetch(struct fixture *x, unsigned queue)
{
	uint32_t written;
	uint16_t head;
	unsigned n = 0;

	while (fd_used(&x->f, queue, &head, &written))
		n++;
	return n;
}

static void ports_introduce_themselves(void **state)
{
	struct fixture *x = *state;
	struct heard h[12];

	memset(h, 0, sizeof(h));
	say(x, 0, VIRTIO_CONSOLE_DEVICE_READY, 1); /* before there is a buffer for the answer */
	offer_control(x, h, 12);
	assert_int_equal(fetch(x, CTL_RX), 2);
	assert_int_equal(h[0].m.event, VIRTIO_CONSOLE_PORT_ADD);
	assert_int_equal(h[1].m.id, 1);
	virtio_console_resize(x->c, 0, 80, 25);
	say(x, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	say(x, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_int_equal(fetch(x, CTL_RX), 6);

	static const uint16_t events[] = { VIRTIO_CONSOLE_RESIZE,    VIRTIO_CONSOLE_CONSOLE_PORT,
					   VIRTIO_CONSOLE_RESIZE,    VIRTIO_CONSOLE_PORT_OPEN,
					   VIRTIO_CONSOLE_PORT_NAME, VIRTIO_CONSOLE_PORT_OPEN };
	for (unsigned k = 0; k < 6; k++)
		assert_int_equal(h[2 + k].m.event, events[k]);
	assert_memory_equal(h[2].tail, "\x19\0\x50\0", 4); /* rows, then columns */
	assert_string_equal(h[6].tail, "tty");
	assert_int_equal(h[6].m.id, 1);

	/* Nonsense is ignored. */
	say(x, 77, VIRTIO_CONSOLE_PORT_READY, 1);
	say(x, 1, 999, 1);
	uint8_t little = 1;
	(void)fd_offer(&x->f, CTL_TX, (struct fd_buf[]){ FD_RD(&little) }, 1);
	fd_kick(&x->f, CTL_TX);
	assert_int_equal(fetch(x, CTL_RX), 0);
	assert_false(virtio_console_dev(x->c)->needs_reset);
}

static void output_arrives_whole(void **state)
{
	struct fixture *x = *state;
	static char text[9000];

	for (size_t n = 0; n < sizeof(text); n++)
		text[n] = (char)n;
	(void)fd_offer(&x->f, TX0,
		       (struct fd_buf[]){ FD_RDN(text, 1), FD_RDN(text + 1, 4999),
					  FD_RDN(text + 5000, 4000) },
		       3);
	(void)fd_offer(&x->f, TX1, (struct fd_buf[]){ FD_RDN("x", 1) }, 1);
	fd_kick(&x->f, TX0);
	fd_kick(&x->f, TX1);
	assert_int_equal(x->out_len[0], sizeof(text));
	assert_memory_equal(x->out[0], text, sizeof(text));
	assert_int_equal(x->out_len[1], 1);
	assert_int_equal(fetch(x, TX0), 1);
}

static void input_waits_for_the_guest(void **state)
{
	struct fixture *x = *state;
	char buf[3][4] = { 0 };

	assert_int_equal(write(x->in[1], "abcdefghij", 10), 10);
	(void)fd_offer(&x->f, RX1, (struct fd_buf[]){ FD_WRN(buf[0], 4) }, 1);
	fd_kick(&x->f, RX1);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX1), 0); /* the port is not open */
	say(x, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX1), 1);
	assert_memory_equal(buf[0], "abcd", 4);
	(void)fd_offer(&x->f, RX1, (struct fd_buf[]){ FD_WRN(buf[1], 4) }, 1);
	(void)fd_offer(&x->f, RX1, (struct fd_buf[]){ FD_WRN(buf[2], 4) }, 1);
	fd_kick(&x->f, RX1);
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX1), 2);
	assert_memory_equal(buf[2], "ij", 2);

	/* The end of the input leaves the buffers with us, and the loop idle. */
	(void)fd_offer(&x->f, RX1, (struct fd_buf[]){ FD_WRN(buf[0], 4) }, 1);
	fd_kick(&x->f, RX1);
	close(x->in[1]);
	x->in[1] = -1;
	fd_spin(x->loop);
	assert_int_equal(fetch(x, RX1), 0);
}

static void without_ports_there_is_one_console(void **state)
{
	struct fixture *x = *state;
	struct virtio_console_config c;

	virtio_stop(virtio_console_dev(x->c));
	assert_int_equal(fd_start(&x->f, virtio_console_dev(x->c), 0), 0);
	(void)fd_offer(&x->f, TX0, (struct fd_buf[]){ FD_RDN("hello", 5) }, 1);
	(void)fd_offer(&x->f, TX1, (struct fd_buf[]){ FD_RDN("no", 2) }, 1);
	fd_kick(&x->f, TX0);
	fd_kick(&x->f, TX1);
	assert_int_equal(x->out_len[0], 5);
	assert_int_equal(x->out_len[1], 0);
	(void)virtio_config_read(virtio_console_dev(x->c), 0, &c, sizeof(c));
	assert_int_equal(c.max_nr_ports, 2);
}

static void driver_without_end_lets_others_have_their_turn(void **state)
{
	struct fixture *x = *state;
	const struct event *kick = &virtio_console_dev(x->c)->vqs[TX0].kick;

	x->is_counting = true;
	x->sends_left = UINT16_MAX;
	(void)fd_offer(&x->f, TX0, (struct fd_buf[]){ FD_RDN("hello", 5) }, 1);
	(void)event_drain(kick);
	fd_kick(&x->f, TX0);
	assert_int_equal(x->bytes, 5 * VQ_TURN);
	/* The rest comes when others had their turn. */
	assert_true(event_drain(kick));
	event_signal(kick);
	while (x->sends_left > 0)
		fd_spin(x->loop);
	fd_spin(x->loop);
	assert_int_equal(x->bytes, 5 * (1 + UINT16_MAX));
}

static void one_chain_prints_only_so_much(void **state)
{
	struct fixture *x = *state;
	struct fd_ring *r = &x->f.ring[TX0];
	const uint32_t len = 1 << 20;
	uint64_t gpa = fd_alloc(&x->f, len);

	x->is_counting = true;
	for (uint16_t i = 0; i < 16; i++)
		fd_ring_desc(r, i, gpa, len, i < 15 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	fd_ring_offer(r, 0);
	fd_kick(&x->f, TX0);
	assert_int_equal(x->bytes, 4 * len);
	assert_int_equal(fetch(x, TX0), 1);
}

static void control_buffers_must_hold_a_message(void **state)
{
	struct fixture *x = *state;
	uint8_t little[4];

	say(x, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	(void)fd_offer(&x->f, CTL_RX, (struct fd_buf[]){ FD_WRN(little, 4) }, 1);
	fd_kick(&x->f, CTL_RX);
	assert_true(virtio_console_dev(x->c)->needs_reset);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(ports_introduce_themselves),
		T(output_arrives_whole),
		T(input_waits_for_the_guest),
		T(without_ports_there_is_one_console),
		T(control_buffers_must_hold_a_message),
		T(driver_without_end_lets_others_have_their_turn),
		T(one_chain_prints_only_so_much),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
