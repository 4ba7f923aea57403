/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of address decoding, of the board's ports, of the console's text and of configurations. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "mem/gm.h"
#include "vmm/arch/x86_64/board.h"
#include "vmm/bus.h"
#include "vmm/config.h"
#include "vmm/klog.h"

static uint64_t echo_off(void *arg, uint64_t off, unsigned len)
{
	(void)arg;
	(void)len;
	return off | UINT64_C(0xffffffffffff0000);
}

static void note_write(void *arg, uint64_t off, unsigned len, uint64_t value)
{
	*(uint64_t *)arg = off << 32 | len << 16 | value;
}

static void addresses_find_their_device_or_nothing(void **state)
{
	uint64_t noted = 0;
	struct bus b = { 0 };
	const struct bus_device d = { 0x1000, 0x100, echo_off, note_write, &noted };
	struct bus_device bad = d;

	(void)state;
	assert_int_equal(bus_add(&b, &d), 0);
	assert_int_equal(bus_read(&b, 0x1004, 2), 4);
	assert_int_equal(bus_read(&b, 0x10fe, 2), 0xfe);
	assert_int_equal(bus_read(&b, 0x10ff, 2), 0xffff);
	assert_int_equal(bus_read(&b, 0xfff, 1), 0xff);
	assert_int_equal(bus_read(&b, UINT64_MAX, 8), UINT64_MAX);
	bus_write(&b, 0x1010, 4, 7);
	assert_int_equal(noted, UINT64_C(0x1000040007));
	bus_write(&b, 0x1100, 4, 9);
	assert_int_equal(noted, UINT64_C(0x1000040007));
	assert_int_equal(bus_add(&b, &d), -EINVAL);
	bad.base = 0x10ff;
	assert_int_equal(bus_add(&b, &bad), -EINVAL);
	bad.base = UINT64_MAX;
	assert_int_equal(bus_add(&b, &bad), -EINVAL);
	bad.base = 0x1100;
	assert_int_equal(bus_add(&b, &bad), 0);
	bad.len = 0;
	assert_int_equal(bus_add(&b, &bad), -EINVAL);
	for (unsigned i = b.n; i < BUS_DEVICES_MAX; i++) {
		bad = (struct bus_device){ 0x10000 * (uint64_t)i, 1, echo_off, note_write, &noted };
		assert_int_equal(bus_add(&b, &bad), 0);
	}
	bad.base = 0x5;
	assert_int_equal(bus_add(&b, &bad), -ENOSPC);
}

static void count_reset(void *arg)
{
	((unsigned *)arg)[0]++;
}

static void count_poweroff(void *arg)
{
	((unsigned *)arg)[1]++;
}

static void ports_reset_and_switch_off(void **state)
{
	unsigned counts[2] = { 0 };
	const struct machine_events ev = { count_reset, count_poweroff, counts };
	struct bus ports = { 0 };
	struct board board;
	struct klog klog;

	(void)state;
	klog_init(&klog, -1);
	assert_int_equal(board_init(&board, &ev, &klog, &ports), 0);
	assert_int_equal(bus_read(&ports, 0x64, 1) & 2, 0);    /* a reboot must not wait */
	assert_int_equal(bus_read(&ports, 0x64, 1) & 1, 1);    /* a probe must give up */
	assert_int_equal(bus_read(&ports, 0x71, 1) & 0x80, 0); /* no update in progress */
	assert_int_equal(bus_read(&ports, 0x3fd, 1), 0x60);
	assert_int_equal(bus_read(&ports, 0xcfc, 4), 0xffffffff);
	bus_write(&ports, 0x64, 1, 0xd1);
	bus_write(&ports, 0x600, 1, 0x20 | 4 << 2);
	bus_write(&ports, 0x604, 1, 0);
	assert_int_equal(counts[0] + counts[1], 0);
	bus_write(&ports, 0x64, 1, 0xfe);
	bus_write(&ports, 0x604, 1, 0x52);
	assert_int_equal(counts[0], 2);
	bus_write(&ports, 0x600, 1, 0x20 | 5 << 2);
	assert_int_equal(counts[1], 1);
	assert_false(klog_has_output(&klog));
	bus_write(&ports, 0x3f8, 1, 'x');
	assert_true(klog_has_output(&klog));
	klog_fini(&klog);
}

static void panic_text_is_kept_from_its_line_on(void **state)
{
	struct klog k;
	char text[200];
	int pipe_fds[2];
	char seen[64] = "";

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	klog_init(&k, pipe_fds[1]);
	klog_put(&k, "hello\r\n", 7);
	assert_false(klog_panic(&k, text, sizeof(text)));
	assert_string_equal(text, "");
	const char *p = "[1.0] Kernel panic - not syncing: no \033[1minit\nCPU: 0\nla";
	for (; *p; p++)
		klog_put(&k, p, 1);
	assert_true(klog_panic(&k, text, sizeof(text)));
	assert_string_equal(text, "Kernel panic - not syncing: no ?[1minit\nCPU: 0\nla");
	assert_int_equal(read(pipe_fds[0], seen, 8), 8);
	assert_memory_equal(seen, "hello\r\n[", 8);
	for (int i = 0; i < 2000; i++) /* a guest that does not stop to talk */
		klog_put(&k, "0123456789\n", 5 + (size_t)(i % 7));
	assert_true(klog_panic(&k, text, sizeof(text)));
	assert_int_equal(strlen(text), sizeof(text) - 1);
	klog_fini(&k);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void panic_is_found_in_memory_but_not_its_format(void **state)
{
	static char mem[512] = "....Kernel panic - not syncing: %s\0....";
	struct gm gm = { 0 };
	char text[100] = "";

	(void)state;
	assert_int_equal(gm_add(&gm, 0x1000, mem, sizeof(mem)), 0);
	assert_false(klog_find_panic(&gm, 0x1000, sizeof(mem), text, sizeof(text)));
	memcpy(mem + 100, "Kernel panic - not syncing: VFS\n", 32);
	assert_true(klog_find_panic(&gm, 0x1000, sizeof(mem), text, sizeof(text)));
	assert_string_equal(text, "Kernel panic - not syncing: VFS");
	assert_false(klog_find_panic(&gm, 0x1000, 110, text, sizeof(text)));
	assert_false(klog_find_panic(&gm, 0x9000, 100, text, sizeof(text)));
	memcpy(mem + 512 - 28, "Kernel panic - not syncing: ", 28);
	assert_false(klog_find_panic(&gm, 0x1000 + 400, 112, text, sizeof(text)));
}

struct talk {
	int sock[2];
	struct vm_config *c;
	struct err e;
};

static int talk_setup(void **state)
{
	struct talk *t = calloc(1, sizeof(*t));

	*state = t;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, t->sock);
}

static int talk_teardown(void **state)
{
	struct talk *t = *state;

	config_destroy(t->c);
	close(t->sock[0]);
	close(t->sock[1]);
	free(t);
	return 0;
}

static void say(struct talk *t, const struct ctl_msg *m, int fd)
{
	struct ctl_msg copy = *m;

	assert_int_equal(ctl_send(t->sock[0], &copy, &fd, fd >= 0), 0);
}

static const struct ctl_msg some_config = { .type = CTL_CONFIG,
					    .u.config = { .name = "x", .ram_mib = 64, .cpus = 1 } };
static const struct ctl_msg some_kernel = { .type = CTL_KERNEL, .u.kernel.kind = CTL_KERNEL_FILE };
static const struct ctl_msg some_share = { .type = CTL_SHARE, .u.share.name = "root" };
static const struct ctl_msg some_port = { .type = CTL_VSOCK,
					  .u.vsock = { .kind = CTL_VSOCK_CONNECT, .port = 7 } };
static const struct ctl_msg start = { .type = CTL_START };

static void configuration_is_received_in_any_order(void **state)
{
	struct talk *t = *state;

	say(t, &some_share, 0);
	say(t, &some_config, -1);
	say(t, &some_kernel, 0);
	say(t, &some_port, -1);
	say(t, &start, -1);
	assert_int_equal(config_create(t->sock[1], &t->c, &t->e), 0);
	assert_int_equal(t->c->n_shares, 1);
	assert_int_equal(t->c->n_ports, 1);
	assert_int_equal(t->c->ports[0].fd, -1);
	assert_true(t->c->kernel_fd > 2);
}

static void nonsense_of_the_library_is_refused(void **state)
{
	enum { N = 8 };
	struct ctl_msg *bad = calloc(N, sizeof(*bad));

	bad[0] = some_config;
	bad[0].u.config.cpus = CTL_CPUS_MAX + 1;
	bad[1] = some_config;
	memset(bad[1].u.config.name, 'x', CTL_NAME_MAX);
	bad[2] = some_kernel;
	bad[2].u.kernel.kind = CTL_KERNEL_FILE_INITRD;
	bad[3] = some_share;
	memcpy(bad[3].u.share.name, "..", 3);
	bad[4] = some_share;
	memcpy(bad[4].u.share.name, "a/b", 4);
	bad[5] = some_share;
	memcpy(bad[5].u.share.name, "", 1);
	bad[6].type = 1000;
	bad[7].type = CTL_START; /* without a configuration */
	for (size_t i = 0; i < N; i++) {
		struct talk *t = NULL;

		assert_int_equal(talk_setup((void **)&t), 0);
		say(t, &bad[i], bad[i].type == CTL_CONFIG || bad[i].type == CTL_START ? -1 : 0);
		close(t->sock[0]);
		t->sock[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_int_equal(config_create(t->sock[1], &t->c, &t->e), -EPROTO);
		talk_teardown((void **)&t);
	}
	free(bad);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_find_their_device_or_nothing),
		cmocka_unit_test(ports_reset_and_switch_off),
		cmocka_unit_test(panic_text_is_kept_from_its_line_on),
		cmocka_unit_test(panic_is_found_in_memory_but_not_its_format),
		cmocka_unit_test_setup_teardown(configuration_is_received_in_any_order, talk_setup,
						talk_teardown),
		cmocka_unit_test(nonsense_of_the_library_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
