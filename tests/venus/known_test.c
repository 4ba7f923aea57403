/* SPDX-License-Identifier: Apache-2.0 */
/* What was found out about the host's devices before a client came is not found out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "null_icd.h"
#include "venus/probe.h"

#define DEVICES_OF_PROLOGUE 2U /* logical ones */

/* Devices that the driver was asked for while a guest began; @probe: see guest_open_known(). */
static uint64_t devices_made(const struct venus_probe *probe)
{
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest g;

	null_forget();
	assert_int_equal(guest_open_known(&g, probe), 0);
	assert_int_equal(guest_prologue(&g, &reply, &stream), 0);
	uint64_t n = null_calls("vkCreateDevice");

	assert_int_equal(guest_close(&g), 0);
	guest_shm_drop(&reply);
	guest_shm_drop(&stream);
	return n;
}

static void examined_devices_are_not_examined_again(void **state)
{
	struct venus_probe found;

	(void)state;
	null_control(NULL);
	assert_int_equal(venus_probe_run(null_get_instance_proc_addr, true, &found, NULL), 0);
	assert_int_equal(found.count, 2);
	assert_int_equal(devices_made(NULL), DEVICES_OF_PROLOGUE + 2);
	assert_int_equal(devices_made(&found), DEVICES_OF_PROLOGUE);
	venus_probe_fini(&found);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
}

static void a_device_that_looks_different_is_examined(void **state)
{
	struct venus_probe found;

	(void)state;
	null_control(NULL);
	assert_int_equal(venus_probe_run(null_get_instance_proc_addr, true, &found, NULL), 0);
	found.devices[0].types[NULL_TYPE_BAR].host_flags = 0;
	assert_int_equal(devices_made(&found), DEVICES_OF_PROLOGUE + 1);
	venus_probe_fini(&found);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examined_devices_are_not_examined_again),
		cmocka_unit_test(a_device_that_looks_different_is_examined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
