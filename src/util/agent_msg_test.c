/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the agent's messages: what is sent arrives, and nothing else is a message. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/agent_msg.h"
#include "util/bytes.h"

static uint8_t buf[AGENT_MSG_MAX + 1];

static void message_survives_the_wire(void **state)
{
	const struct agent_msg sent = { .type = AGENT_SHARE,
					.num = { AGENT_SHARE_RO },
					.str = { "share0", "/data" } };
	struct agent_msg m;

	(void)state;
	int n = agent_encode(buf, sizeof(buf), &sent);
	assert_int_equal(n, AGENT_HEADER_SIZE + 8 + 7 + 6);
	assert_int_equal(agent_decode(buf, (size_t)n, &m), n);
	assert_int_equal(m.type, AGENT_SHARE);
	assert_int_equal(m.num[0], AGENT_SHARE_RO);
	assert_string_equal(m.str[0], "share0");
	assert_string_equal(m.str[1], "/data");
}

static void every_type_survives_with_its_largest_payload(void **state)
{
	static uint8_t bytes[AGENT_DATA_MAX];
	unsigned types = 0;

	(void)state;
	for (unsigned t = 0; t < 80; t++) {
		const struct agent_msg sent = { .type = (uint16_t)t,
						.stream = AGENT_STDERR,
						.num = { UINT64_MAX, 1, 2, 3 },
						.str = { "a", "" },
						.data = bytes,
						.len = sizeof(bytes) };
		struct agent_msg m;
		int n = agent_encode(buf, sizeof(buf), &sent);

		if (strcmp(agent_type_name(t), "?") == 0) {
			assert_int_equal(n, -EINVAL);
			continue;
		}
		types++;
		assert_true(n >= AGENT_HEADER_SIZE);
		assert_int_equal(agent_decode(buf, (size_t)n, &m), n);
		assert_int_equal(m.type, t);
		for (int cut = 0; cut < n; cut += n < 100 ? 1 : 997)
			assert_int_equal(agent_decode(buf, (size_t)cut, &m), 0);
	}
	assert_int_equal(types, 26);
}

static void too_long_is_refused_by_the_sender(void **state)
{
	static char text[AGENT_PAYLOAD_MAX + 1];
	struct agent_msg m = { .type = AGENT_ARG, .str = { text } };

	(void)state;
	memset(text, 'x', AGENT_PAYLOAD_MAX);
	assert_int_equal(agent_encode(buf, sizeof(buf), &m), -EMSGSIZE);
	text[AGENT_PAYLOAD_MAX - 1] = '\0';
	assert_int_equal(agent_encode(buf, sizeof(buf), &m), AGENT_MSG_MAX);
	assert_int_equal(agent_encode(buf, 100, &m), -ENOBUFS);
	m = (struct agent_msg){ .type = AGENT_DATA, .data = text, .len = AGENT_DATA_MAX + 1 };
	assert_int_equal(agent_encode(buf, sizeof(buf), &m), -EMSGSIZE);
	m.len = 0;
	assert_int_equal(agent_encode(buf, sizeof(buf), &m), -EINVAL);
}

/* clang-format off */
static const struct bad_msg {
	const char *why;
	size_t len;
	uint8_t bytes[32];
} bad_msgs[] = {
	{ "type 0",              8,  { 0 } },
	{ "type in a gap",       8,  { 0, 0, 0, 0, 15 } },
	{ "type past the table", 8,  { 0, 0, 0, 0, 0xff, 0xff } },
	{ "stream 3",            8,  { 0, 0, 0, 0, AGENT_CLOSE, 0, 3 } },
	{ "payload too long",    8,  { 0, 0, 0, 1, AGENT_ARG } },
	{ "empty data",          8,  { 0, 0, 0, 0, AGENT_DATA } },
	{ "data too long",       8,  { 1, 0, 1, 0, AGENT_DATA } },
	{ "number cut short",    15, { 7, 0, 0, 0, AGENT_TIME } },
	{ "bytes left over",     9,  { 1, 0, 0, 0, AGENT_READY } },
	{ "string without end",  11, { 3, 0, 0, 0, AGENT_ARG, 0, 0, 0, 'a', 'b', 'c' } },
	{ "two strings for one", 12, { 4, 0, 0, 0, AGENT_ARG, 0, 0, 0, 'a', 0, 'b', 0 } },
	{ "no string",           8,  { 0, 0, 0, 0, AGENT_NOTE } },
};
/* clang-format on */

static void malformed_message_is_refused(void **state)
{
	struct agent_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_msgs); i++) {
		print_message("# %s\n", bad_msgs[i].why);
		assert_int_equal(agent_decode(bad_msgs[i].bytes, bad_msgs[i].len, &m), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_survives_the_wire),
		cmocka_unit_test(every_type_survives_with_its_largest_payload),
		cmocka_unit_test(too_long_is_refused_by_the_sender),
		cmocka_unit_test(malformed_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
