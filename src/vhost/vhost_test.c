/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the vhost-user back end with a device that echoes what it is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/driver.h"
#include "harness/echo.h"
#include "harness/front.h"
#include "host/fd.h"
#include "util/log.h"
#include "vhost/vhost_internal.h"
#include "vhost/window.h"

#define QUEUES 2

static void echo_config_write(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len)
{
	virtio_config_update(dev, off, data, len);
}

static const struct virtio_ops echo_ops = { .start = echo_start,
					    .on_notify = echo_on_notify,
					    .reset = echo_reset,
					    .config_write = echo_config_write };

struct fixture {
	struct front f;
	struct echo echo;
	int kick;
	int call;
	struct fake_driver driver;
	struct fd_ring ring;
};

static int set_up_with(void **state, struct vhost_window *w)
{
	static const struct vq_conf queues[QUEUES] = { { .size_max = 16 }, { .size_max = 128 } };
	const struct virtio_desc desc = { .ops = &echo_ops,
					  .name = "echo",
					  .type = 42,
					  .features = VIRTIO_BIT(5),
					  .queues = queues,
					  .n_queues = QUEUES,
					  .config = "config!",
					  .config_len = 8 };
	struct fixture *t = calloc(1, sizeof(*t));

	log_set_level(LOG_OFF);
	assert_non_null(t);
	front_init(&t->f);
	assert_int_equal(virtio_dev_init(&t->echo.dev, &desc, t->f.loop), 0);
	front_add(&t->f, &t->echo.dev, w);
	t->kick = eventfd(0, EFD_CLOEXEC);
	t->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = t;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, NULL);
}

static int tear_down(void **state)
{
	struct fixture *t = *state;

	front_fini(&t->f);
	virtio_dev_fini(&t->echo.dev);
	loop_destroy(t->f.loop);
	(void)close(t->kick);
	(void)close(t->call);
	free(t);
	return 0;
}

/* A driver whose RAM is that of the front end. */
static void make_driver(struct fixture *t, struct fake_driver *d, struct fd_ring *r)
{
	*d = (struct fake_driver){ .ram = t->f.ram.host, .heap = 0x1000 };
	assert_int_equal(gm_add(&d->gm, 0, d->ram, t->f.ram.len), 0);
	fd_ring_init(d, r, 16);
}

static void set_features(struct fixture *t, uint64_t features)
{
	front_send(&t->f, VHOST_SET_FEATURES, VHOST_VERSION, &features, sizeof(features), -1);
}

static void start(struct fixture *t, const struct fd_ring *r)
{
	set_features(t, VIRTIO_BIT(VIRTIO_F_VERSION_1));
	front_add_ram(&t->f);
	front_queue(&t->f, 0, &r->layout, t->kick, t->call);
	front_enable(&t->f, QUEUES, true);
}

static void handshake_offers_what_we_implement(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(front_ask(&t->f, VHOST_GET_FEATURES),
			 virtio_features(&t->echo.dev) | VIRTIO_BIT(VHOST_F_PROTOCOL_FEATURES));
	assert_int_equal(front_ask(&t->f, VHOST_GET_PROTOCOL_FEATURES), 0xa629);
	assert_int_equal(front_ask(&t->f, VHOST_GET_QUEUE_NUM), QUEUES);
	assert_int_equal(front_ask(&t->f, VHOST_GET_MAX_MEM_SLOTS), VHOST_SLOTS);
	assert_int_equal(t->f.lost, 0);
}

static void all_rings_of_a_device_are_equally_large(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(vhost_ring(&t->echo.dev), 128);
	assert_int_equal(t->echo.dev.vqs[0].conf.size_max, 128);
	assert_int_equal(vhost_config_len(&t->echo.dev), 8);
}

static void requests_are_acknowledged_if_wanted(void **state)
{
	struct fixture *t = *state;
	const uint64_t protocol = VIRTIO_BIT(VHOST_PF_REPLY_ACK);
	const uint64_t features = VIRTIO_BIT(VIRTIO_F_VERSION_1);
	uint64_t v = 1;
	uint32_t request = 0;

	front_send(&t->f, VHOST_SET_PROTOCOL_FEATURES, VHOST_VERSION, &protocol, sizeof(protocol),
		   -1);
	front_send(&t->f, VHOST_SET_FEATURES, VHOST_VERSION, &features, sizeof(features), -1);
	assert_int_equal(front_recv(&t->f, &request, &v, sizeof(v)), -1);
	front_send(&t->f, VHOST_SET_FEATURES, VHOST_VERSION | VHOST_NEED_REPLY, &features,
		   sizeof(features), -1);
	assert_int_equal(front_recv(&t->f, &request, &v, sizeof(v)), sizeof(v));
	assert_int_equal(request, VHOST_SET_FEATURES);
	assert_int_equal(v, 0);
}

static void chains_are_served_and_signalled(void **state)
{
	struct fixture *t = *state;
	struct fake_driver *d = &t->driver;
	struct fd_ring *r = &t->ring;
	const uint64_t one = 1;
	uint64_t count = 0;
	uint16_t head = 0;
	uint32_t written = 0;

	make_driver(t, d, r);
	memcpy(d->ram + 0x8000, "hello", 5);
	start(t, r);
	assert_int_equal(t->echo.starts, 1);
	fd_ring_desc(r, 0, 0x8000, 5, VRING_DESC_F_NEXT, 1);
	fd_ring_desc(r, 1, 0x9000, 5, VRING_DESC_F_WRITE, 0);
	fd_ring_offer(r, 0);
	assert_int_equal(write(t->kick, &one, sizeof(one)), sizeof(one));
	front_spin(&t->f);
	assert_true(fd_ring_used(r, &head, &written));
	assert_int_equal(written, 5);
	assert_memory_equal(d->ram + 0x9000, "hello", 5);
	assert_int_equal(read(t->call, &count, sizeof(count)), sizeof(count));

	/* The driver resets the device: its position is asked for, and it starts again there. */
	struct vhost_vring_state s = { .index = 0 };
	front_enable(&t->f, 1, false);
	assert_int_equal(t->echo.resets, 1);
	front_send(&t->f, VHOST_GET_VRING_BASE, VHOST_VERSION, &s, sizeof(s), -1);
	assert_int_equal(front_recv(&t->f, NULL, &s, sizeof(s)), sizeof(s));
	assert_int_equal(s.num, 1);
	r->layout.next = 1;
	start(t, r);
	assert_int_equal(t->echo.starts, 2);
	fd_ring_offer(r, 0);
	assert_int_equal(write(t->kick, &one, sizeof(one)), sizeof(one));
	front_spin(&t->f);
	assert_true(fd_ring_used(r, &head, &written));
	assert_int_equal(t->f.lost, 0);
}

static void rings_outside_ram_stop_the_device(void **state)
{
	struct fixture *t = *state;
	struct fake_driver *d = &t->driver;
	struct fd_ring *r = &t->ring;
	/* A blob in a window is announced like RAM, and is none. */
	const struct vhost_mem_reg blob = { .gpa = 0xe0000000, .len = 0x10000, .uaddr = 0x1000 };
	AUTO_FD fd = memfd_create("blob", MFD_CLOEXEC);

	make_driver(t, d, r);
	assert_int_equal(ftruncate(fd, 0x10000), 0);
	front_send(&t->f, VHOST_ADD_MEM_REG, VHOST_VERSION, &blob, sizeof(blob), fd);
	r->layout.used_gpa = 0x2000 - FRONT_UADDR; /* an address inside the blob */
	start(t, r);
	assert_int_equal(t->echo.starts, 0);
	assert_true(t->echo.dev.needs_reset);
	assert_int_equal(t->f.lost, 0);
}

static void features_not_offered_stop_the_device(void **state)
{
	struct fixture *t = *state;
	struct fake_driver *d = &t->driver;
	struct fd_ring *r = &t->ring;

	make_driver(t, d, r);
	front_add_ram(&t->f);
	set_features(t, VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_PACKED));
	front_queue(&t->f, 0, &r->layout, t->kick, t->call);
	front_enable(&t->f, QUEUES, true);
	assert_int_equal(t->echo.starts, 0);
	assert_true(t->echo.dev.needs_reset);
}

static void removed_ram_is_gone(void **state)
{
	struct fixture *t = *state;
	struct fake_driver *d = &t->driver;
	struct fd_ring *r = &t->ring;
	const struct vhost_mem_reg reg = { .len = FRONT_RAM, .uaddr = FRONT_UADDR };

	make_driver(t, d, r);
	set_features(t, VIRTIO_BIT(VIRTIO_F_VERSION_1));
	front_add_ram(&t->f);
	front_send(&t->f, VHOST_REM_MEM_REG, VHOST_VERSION, &reg, sizeof(reg), -1);
	front_queue(&t->f, 0, &r->layout, t->kick, t->call);
	front_enable(&t->f, QUEUES, true);
	assert_int_equal(t->echo.starts, 0);
	assert_int_equal(t->f.lost, 0);
}

static void config_is_read_and_written(void **state)
{
	struct fixture *t = *state;
	struct {
		struct vhost_config c;
		uint8_t data[4];
	} m = { .c = { .off = 6, .len = 4 } };

	front_send(&t->f, VHOST_GET_CONFIG, VHOST_VERSION, &m, sizeof(m), -1);
	assert_int_equal(front_recv(&t->f, NULL, &m, sizeof(m)), sizeof(m));
	assert_memory_equal(m.data, "!\0\0\0", 4);
	m.c.off = 0;
	memcpy(m.data, "echo", 4);
	front_send(&t->f, VHOST_SET_CONFIG, VHOST_VERSION, &m, sizeof(m), -1);
	assert_memory_equal(t->echo.dev.config, "echoig!", 8);
	m.c.off = 7; /* past the end: ignored, as the driver's mistake it is */
	front_send(&t->f, VHOST_SET_CONFIG, VHOST_VERSION, &m, sizeof(m), -1);
	assert_memory_equal(t->echo.dev.config, "echoig!", 8);
	assert_int_equal(t->f.lost, 0);
}

/* clang-format off */
static const struct bad {
	const char *why;
	uint32_t request;
	uint32_t flags;
	uint32_t len;
	uint32_t word[4]; /* the payload begins with these, the rest is zero */
	bool has_fd;
} bads[] = {
	{ "no version",                VHOST_GET_FEATURES, 0, 0, { 0 }, false },
	{ "an answer",                 VHOST_GET_FEATURES, VHOST_VERSION | VHOST_REPLY, 0, { 0 }, false },
	{ "unknown request",           99, VHOST_VERSION, 0, { 0 }, false },
	{ "longer than any request",   VHOST_SET_CONFIG, VHOST_VERSION, VHOST_PAYLOAD_MAX + 1, { 0 }, false },
	{ "short features",            VHOST_SET_FEATURES, VHOST_VERSION, 4, { 0 }, false },
	{ "protocol feature not offered", VHOST_SET_PROTOCOL_FEATURES, VHOST_VERSION, 8, { 1 << VHOST_PF_SHMEM }, false },
	{ "ring too large",            VHOST_SET_VRING_NUM, VHOST_VERSION, 8, { 0, VQ_SIZE_MAX + 1 }, false },
	{ "no such queue",             VHOST_SET_VRING_NUM, VHOST_VERSION, 8, { QUEUES, 16 }, false },
	{ "position out of range",     VHOST_SET_VRING_BASE, VHOST_VERSION, 8, { 0, 65536 }, false },
	{ "kick without descriptor",   VHOST_SET_VRING_KICK, VHOST_VERSION, 8, { 0 }, false },
	{ "kick to be polled for",     VHOST_SET_VRING_KICK, VHOST_VERSION, 8, { VHOST_VRING_NOFD }, false },
	{ "call of no queue",          VHOST_SET_VRING_CALL, VHOST_VERSION, 8, { 0xff }, true },
	{ "call with unknown bits",    VHOST_SET_VRING_CALL, VHOST_VERSION, 8, { 0x1000 }, true },
	{ "config past its size",      VHOST_GET_CONFIG, VHOST_VERSION, 12, { 0, 257 }, false },
	{ "config shorter than it says", VHOST_GET_CONFIG, VHOST_VERSION, 16, { 0, 8 }, false },
	{ "config without a header",   VHOST_SET_CONFIG, VHOST_VERSION, 8, { 0, 8 }, false },
	{ "memory without descriptor", VHOST_ADD_MEM_REG, VHOST_VERSION, 40, { 0 }, false },
	{ "empty memory",              VHOST_ADD_MEM_REG, VHOST_VERSION, 40, { 0 }, true },
	{ "channel without descriptor", VHOST_SET_BACKEND_REQ_FD, VHOST_VERSION, 0, { 0 }, false },
};
/* clang-format on */

static void messages_out_of_line_end_the_connection(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		uint8_t payload[VHOST_PAYLOAD_MAX + 1] = { 0 };
		struct fixture *t;

		print_message("%s\n", bads[i].why);
		assert_int_equal(set_up(state), 0);
		t = *state;
		memcpy(payload, bads[i].word, sizeof(bads[i].word));
		front_send(&t->f, bads[i].request, bads[i].flags, payload, bads[i].len,
			   bads[i].has_fd ? t->f.ram.fd : -1);
		assert_int_equal(t->f.lost, 1);
		assert_true(t->f.is_blamed);
		assert_int_equal(tear_down(state), 0);
	}
}

static void memory_outside_the_ram_ends_the_connection(void **state)
{
	static const struct vhost_mem_reg regs[] = {
		{ .len = FRONT_RAM, .fd_off = 4096 },
		{ .len = FRONT_RAM + 1 },
		{ .len = 4096, .gpa = UINT64_MAX - 4094 },
		{ .len = 4096, .uaddr = UINT64_MAX - 4094 },
		{ .len = 4096, .fd_off = UINT64_MAX - 4094 },
	};

	for (size_t i = 0; i < ARRAY_LEN(regs); i++) {
		struct fixture *t;

		assert_int_equal(set_up(state), 0);
		t = *state;
		front_send(&t->f, VHOST_ADD_MEM_REG, VHOST_VERSION, &regs[i], sizeof(regs[i]),
			   t->f.ram.fd);
		assert_int_equal(t->f.lost, 1);
		assert_int_equal(tear_down(state), 0);
	}
}

static void a_message_in_pieces_is_one_message(void **state)
{
	struct fixture *t = *state;
	const struct {
		struct vhost_hdr h;
		uint32_t config[4];
	} m = { { VHOST_GET_CONFIG, VHOST_VERSION, 16 }, { 0, 4 } };
	uint8_t answer[16];

	for (size_t i = 0; i < sizeof(m); i++) {
		assert_int_equal(write(t->f.sock, (const uint8_t *)&m + i, 1), 1);
		front_spin(&t->f);
	}
	assert_int_equal(front_recv(&t->f, NULL, answer, sizeof(answer)), sizeof(answer));
	assert_memory_equal(answer + 12, "conf", 4);
}

static void a_hang_up_is_nobodys_fault(void **state)
{
	struct fixture *t = *state;

	fd_drop(&t->f.sock);
	front_spin(&t->f);
	assert_int_equal(t->f.lost, 1);
	assert_false(t->f.is_blamed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(handshake_offers_what_we_implement, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(all_rings_of_a_device_are_equally_large, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(requests_are_acknowledged_if_wanted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(chains_are_served_and_signalled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rings_outside_ram_stop_the_device, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(features_not_offered_stop_the_device, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(removed_ram_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(config_is_read_and_written, set_up, tear_down),
		cmocka_unit_test(messages_out_of_line_end_the_connection),
		cmocka_unit_test(memory_outside_the_ram_ends_the_connection),
		cmocka_unit_test_setup_teardown(a_message_in_pieces_is_one_message, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_hang_up_is_nobodys_fault, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
