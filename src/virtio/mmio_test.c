/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the MMIO transport with a device that echoes what it is sent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "harness/driver.h"
#include "harness/echo.h"
#include "util/log.h"
#include "virtio/mmio.h"

static void echo_config_write(struct virtio_dev *dev, uint32_t off, const void *data, uint32_t len)
{
	struct echo *e = container_of(dev, struct echo, dev);

	if (off + len <= sizeof(e->written))
		memcpy(e->written + off, data, len);
}

static const struct virtio_ops echo_ops = {
	.start = echo_start,
	.on_notify = echo_on_notify,
	.reset = echo_reset,
	.config_write = echo_config_write,
};

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct echo e;
	struct virtio_mmio *m;
	unsigned irqs;
};

static void count_irq(void *arg)
{
	((struct fixture *)arg)->irqs++;
}

static int setup(void **state)
{
	static const struct vq_conf queues[] = { { .size_max = 16 }, { .size_max = 8 } };
	static const struct virtio_desc desc = {
		.ops = &echo_ops,
		.name = "echo",
		.type = 42,
		.features = VIRTIO_BIT(3) | VIRTIO_BIT(40),
		.queues = queues,
		.n_queues = ARRAY_LEN(queues),
		.config = "configur",
		.config_len = 8,
	};
	struct fixture *x = calloc(1, sizeof(*x));

	*state = x;
	fd_init(&x->f);
	return loop_create(&x->loop) < 0 || virtio_dev_init(&x->e.dev, &desc, x->loop) < 0 ||
	       virtio_mmio_create(&x->e.dev, &x->f.gm, count_irq, x, &x->m) < 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fd_fini(&x->f);
	virtio_mmio_destroy(x->m);
	virtio_dev_fini(&x->e.dev);
	virtio_dev_fini(&x->e.dev);
	loop_destroy(x->loop);
	free(x);
	return 0;
}

static uint32_t rd32(struct fixture *x, uint64_t off)
{
	return (uint32_t)virtio_mmio_read(x->m, off, 4);
}

static void wr32(struct fixture *x, uint64_t off, uint32_t v)
{
	virtio_mmio_write(x->m, off, 4, v);
}

static uint32_t status(struct fixture *x)
{
	return rd32(x, VIRTIO_MMIO_STATUS);
}

#define ACK       VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER    VIRTIO_CONFIG_S_DRIVER
#define FEATURES  VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK VIRTIO_CONFIG_S_DRIVER_OK
#define RESET_ME  VIRTIO_CONFIG_S_NEEDS_RESET

static void negotiate(struct fixture *x, uint64_t features)
{
	wr32(x, VIRTIO_MMIO_STATUS, 0);
	wr32(x, VIRTIO_MMIO_STATUS, ACK);
	wr32(x, VIRTIO_MMIO_STATUS, ACK | DRIVER);
	for (uint32_t i = 0; i < 2; i++) {
		wr32(x, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		wr32(x, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
	}
	wr32(x, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES);
}

static void set_queue(struct fixture *x, uint32_t i, const struct vq_layout *l)
{
	wr32(x, VIRTIO_MMIO_QUEUE_SEL, i);
	wr32(x, VIRTIO_MMIO_QUEUE_NUM, l->size);
	wr32(x, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)l->desc_gpa);
	wr32(x, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(l->desc_gpa >> 32));
	wr32(x, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)l->avail_gpa);
	wr32(x, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(l->avail_gpa >> 32));
	wr32(x, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)l->used_gpa);
	wr32(x, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(l->used_gpa >> 32));
	wr32(x, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void bring_up(struct fixture *x)
{
	negotiate(x, VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(3));
	assert_int_equal(status(x), ACK | DRIVER | FEATURES);
	fd_ring_init(&x->f, &x->f.ring[0], 16);
	set_queue(x, 0, &x->f.ring[0].layout);
	assert_int_equal(rd32(x, VIRTIO_MMIO_QUEUE_READY), 1);
	wr32(x, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | DRIVER_OK);
}

static void device_says_what_it_is(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(rd32(x, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd32(x, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(rd32(x, VIRTIO_MMIO_DEVICE_ID), 42);
	assert_int_equal(rd32(x, VIRTIO_MMIO_DEVICE_FEATURES),
			 1 << 3 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX);
	wr32(x, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(rd32(x, VIRTIO_MMIO_DEVICE_FEATURES),
			 1 << (VIRTIO_F_VERSION_1 - 32) | 1 << 8);
	wr32(x, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(rd32(x, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	assert_int_equal(rd32(x, VIRTIO_MMIO_QUEUE_NUM_MAX), 16);
	wr32(x, VIRTIO_MMIO_QUEUE_SEL, 2);
	assert_int_equal(rd32(x, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	wr32(x, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	assert_int_equal(rd32(x, VIRTIO_MMIO_QUEUE_READY), 0);
	wr32(x, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(virtio_mmio_read(x->m, VIRTIO_MMIO_MAGIC_VALUE, 2), 0);
	assert_int_equal(rd32(x, 0xf4), 0);
}

static void config_space_answers_all_widths(void **state)
{
	struct fixture *x = *state;
	uint64_t all;

	memcpy(&all, "configur", 8);
	assert_int_equal(virtio_mmio_read(x->m, 0x100, 8), all);
	assert_int_equal(virtio_mmio_read(x->m, 0x107, 1), 'r');
	assert_int_equal(virtio_mmio_read(x->m, 0x107, 4), 'r');
	assert_int_equal(virtio_mmio_read(x->m, 0x108, 4), 0);
	assert_int_equal(virtio_mmio_read(x->m, 0xfff, 8), 0);
	virtio_mmio_write(x->m, 0x102, 2, 'a' | 'b' << 8);
	virtio_mmio_write(x->m, 0x107, 2, 'z' | 'z' << 8);
	assert_memory_equal(x->e.written, "\0\0ab\0\0\0\0", 8);
	assert_int_equal(rd32(x, VIRTIO_MMIO_CONFIG_GENERATION), 0);
	virtio_config_update(&x->e.dev, 0, "C", 1);
	assert_int_equal(rd32(x, VIRTIO_MMIO_CONFIG_GENERATION), 1);
	assert_int_equal(virtio_mmio_read(x->m, 0x100, 1), 'C');
	assert_int_equal(x->irqs, 0); /* nobody drives it yet */
}

static void shared_memory_regions_are_found_or_not(void **state)
{
	struct fixture *x = *state;

	x->e.dev.shm[1] = (struct virtio_shm){ .gpa = 0x1234567890000, .len = 0x200001000 };
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
	wr32(x, VIRTIO_MMIO_SHM_SEL, 1);
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_LEN_LOW), 0x1000);
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_LEN_HIGH), 2);
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_BASE_LOW), 0x67890000);
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_BASE_HIGH), 0x12345);
	wr32(x, VIRTIO_MMIO_SHM_SEL, 77);
	assert_int_equal(rd32(x, VIRTIO_MMIO_SHM_BASE_HIGH), UINT32_MAX);
}

static void features_the_device_lacks_are_not_accepted(void **state)
{
	struct fixture *x = *state;

	negotiate(x, VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(4));
	assert_int_equal(status(x), ACK | DRIVER);
	negotiate(x, VIRTIO_BIT(3)); /* a legacy driver */
	assert_int_equal(status(x), ACK | DRIVER);
	wr32(x, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | DRIVER_OK);
	assert_int_equal(status(x), ACK | DRIVER);
	assert_int_equal(x->e.starts, 0);
}

static void request_goes_through_and_reset_ends_it(void **state)
{
	struct fixture *x = *state;
	char back[5] = "";
	uint16_t head = 0;
	uint32_t written = 0;

	bring_up(x);
	assert_int_equal(x->e.starts, 1);
	x->f.dev = &x->e.dev;
	fd_offer(&x->f, 0, (struct fd_buf[]){ FD_RDN("echo", 5), FD_WRN(back, 5) }, 2);
	wr32(x, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	wr32(x, VIRTIO_MMIO_QUEUE_NOTIFY, 9);
	assert_true(event_drain(virtio_mmio_kick(x->m, 0)));
	assert_null(virtio_mmio_kick(x->m, 2));
	fd_kick(&x->f, 0);
	assert_true(fd_used(&x->f, 0, &head, &written));
	assert_string_equal(back, "echo");
	assert_int_equal(written, 5);
	assert_int_equal(x->irqs, 1);
	assert_int_equal(rd32(x, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	wr32(x, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(rd32(x, VIRTIO_MMIO_INTERRUPT_STATUS), 0);

	wr32(x, VIRTIO_MMIO_QUEUE_NUM, 4); /* too late, and so without effect */
	wr32(x, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(status(x), 0);
	assert_int_equal(x->e.resets, 1);
	assert_int_equal(rd32(x, VIRTIO_MMIO_QUEUE_READY), 0);
	bring_up(x);
	assert_int_equal(x->e.starts, 2);
}

static void broken_protocol_asks_for_a_reset_and_gets_over_it(void **state)
{
	struct fixture *x = *state;
	uint16_t head = 0;
	uint32_t written = 0;

	log_set_level(LOG_OFF);
	bring_up(x);
	x->f.dev = &x->e.dev;
	fd_ring_offer(&x->f.ring[0], 16);
	fd_kick(&x->f, 0);
	assert_true(status(x) & RESET_ME);
	assert_true(rd32(x, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	assert_false(fd_used(&x->f, 0, &head, &written));
	wr32(x, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(status(x), 0);
	bring_up(x);
	assert_int_equal(status(x), ACK | DRIVER | FEATURES | DRIVER_OK);
}

static void start_that_fails_asks_for_a_reset(void **state)
{
	struct fixture *x = *state;
	struct vq_layout l = { .size = 16, .desc_gpa = FD_RAM };

	log_set_level(LOG_OFF);
	negotiate(x, VIRTIO_BIT(VIRTIO_F_VERSION_1));
	set_queue(x, 1, &l);
	wr32(x, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | DRIVER_OK);
	assert_true(status(x) & RESET_ME);
	assert_int_equal(x->e.starts, 0);
	l.size = 0;
	negotiate(x, VIRTIO_BIT(VIRTIO_F_VERSION_1));
	set_queue(x, 1, &l);
	wr32(x, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | DRIVER_OK);
	assert_true(status(x) & RESET_ME);
	x->e.start_result = -EIO;
	bring_up(x);
	assert_true(status(x) & RESET_ME);
	assert_int_equal(x->e.starts, 1);
	assert_int_equal(x->e.resets, 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(device_says_what_it_is),
		T(config_space_answers_all_widths),
		T(shared_memory_regions_are_found_or_not),
		T(features_the_device_lacks_are_not_accepted),
		T(request_goes_through_and_reset_ends_it),
		T(broken_protocol_asks_for_a_reset_and_gets_over_it),
		T(start_that_fails_asks_for_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
