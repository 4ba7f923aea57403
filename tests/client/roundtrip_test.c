/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every command, both ways: made up by the client's tables, encoded by the client, decoded and
 * executed by the generated code, answered by a driver that makes things up, decoded by the client.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/fill.h"
#include "client/prims.h"
#include "client/vnt.h"
#include "venus/venus_gen.h"

#define ROUNDS     40 /* of each command */
#define FILL_BYTES (4U << 20)

struct trip {
	struct vnt_world w;
	struct vnc_fill client;
	struct vnc_fill driver;
	const struct vnc_cmd *cmd;
	uint64_t sent[VNC_PARAMS_MAX];
	uint64_t got[VNC_PARAMS_MAX]; /* what the driver was called with */
	uint64_t ret;
	unsigned calls;
	bool is_quiet; /* malformed input: do not compare */
	char wrong[256];
};

/* Vulkan's functions carry no pointer of ours, so the one test that runs is here. */
static struct trip *now;

uint64_t vnt_sent(unsigned slot)
{
	return now->sent[slot];
}

uint64_t vnt_handle(const struct venus_obj *o)
{
	return o ? o->handle : 0;
}

uint64_t vnt_handles(struct venus_obj **objs, uint64_t n)
{
	if (!objs)
		return 0;

	uint64_t *h = vnc_fill_alloc(&now->driver, n * sizeof(*h));

	for (uint64_t i = 0; i < n; i++)
		h[i] = vnt_handle(objs[i]);
	return (uint64_t)(uintptr_t)h;
}

uint64_t vnt_called(const struct vnc_cmd *cmd, uint64_t *slots)
{
	struct trip *t = now;

	t->calls++;
	memcpy(t->got, slots, cmd->fields_count * sizeof(*slots));
	if (!t->is_quiet) {
		struct vnc_same c = { .is_host = true };

		if (cmd != t->cmd)
			snprintf(t->wrong, sizeof(t->wrong), "is another command: %s", cmd->name);
		else if (!vnc_same_ins(&c, cmd, t->sent, slots))
			snprintf(t->wrong, sizeof(t->wrong), "differs in %.200s", c.where);
	}
	vnc_fill_outs(&t->driver, cmd, slots);
	t->ret = vnc_random(&t->driver);
	if (cmd->ret == 4)
		t->ret = (uint32_t)t->ret & 0x7fffffff; /* a success, whatever it is */
	return t->ret;
}

static uint64_t some_id(struct vnc_fill *f, VkObjectType type)
{
	bool is_first = type == VK_OBJECT_TYPE_INSTANCE || type == VK_OBJECT_TYPE_PHYSICAL_DEVICE ||
			type == VK_OBJECT_TYPE_DEVICE || type == VK_OBJECT_TYPE_QUEUE ||
			type == VK_OBJECT_TYPE_COMMAND_BUFFER;

	if (!is_first && vnc_random(f) % 5 == 0)
		return 0;
	return vnt_id(type, (unsigned)vnc_random(f));
}

static int set_up(void **state)
{
	struct trip *t = calloc(1, sizeof(*t));

	assert(t);
	vnt_world_init(&t->w);
	vnt_fake(&t->w.vki, &t->w.dev.vk);
	t->client = (struct vnc_fill){ .size = FILL_BYTES, .id = some_id };
	t->client.mem = malloc(FILL_BYTES);
	t->driver = (struct vnc_fill){ .size = FILL_BYTES, .id = some_id };
	t->driver.mem = malloc(FILL_BYTES);
	assert(t->client.mem && t->driver.mem);
	now = t;
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct trip *t = *state;

	now = NULL;
	vnt_world_fini(&t->w);
	free(t->client.mem);
	free(t->driver.mem);
	free(t);
	return 0;
}

/* Makes up the command @cmd and encodes it. */
static void make(struct trip *t, const struct vnc_cmd *cmd, uint64_t seed, struct vnc_buf *b)
{
	t->cmd = cmd;
	t->calls = 0;
	t->wrong[0] = 0;
	t->client.seed = seed;
	t->client.used = 0;
	t->driver.seed = ~seed;
	t->driver.used = 0;
	vnc_fill_params(&t->client, cmd, t->sent);
	b->size = 0;
	vnc_request(b, cmd, t->sent, true);
}

/* Runs the command in @data (past number and flags). */
static void run(struct trip *t, const struct vnc_cmd *cmd, const uint8_t *data, size_t size,
		uint32_t flags)
{
	vnt_world_begin(&t->w, data, size);
	t->w.dec.cmd = cmd->name;
	venus_cmds[cmd->number].run(&t->w.dec, flags);
}

static void arrives_and_returns(struct trip *t, const struct vnc_cmd *cmd, uint64_t seed)
{
	struct vnc_buf b = { 0 };
	bool expect_call = true;

	make(t, cmd, seed, &b);
	if (vnt_is_destroy(cmd))
		expect_call = t->sent[1] != 0;
	run(t, cmd, b.data + 8, b.size - 8, VENUS_CMD_REPLY);
	if (t->w.dec.failed)
		fail_msg("%s (seed %llu) %s", cmd->name, (unsigned long long)seed, t->w.why);
	if (t->wrong[0])
		fail_msg("%s (seed %llu) %s", cmd->name, (unsigned long long)seed, t->wrong);
	assert_ptr_equal(t->w.dec.p, t->w.dec.end);
	assert_int_equal(t->calls, expect_call);
	vnc_buf_fini(&b);

	/* Ids of objects made come back as sent; everything else as the driver left it. */
	uint64_t id = 0, *id_slot = NULL;

	if (vnt_is_create(cmd)) {
		id_slot = (void *)(uintptr_t)t->sent[cmd->fields_count - 1];
		id = *id_slot;
		assert_int_equal(t->w.published + t->w.cancelled, 1);
		assert_int_equal(t->w.spare.id, id);
	}

	struct vnc_view v = { .p = t->w.reply, .end = t->w.reply + t->w.replied };
	struct vnc_same c = { 0 };
	uint64_t ret = vnc_reply(&v, cmd, t->sent);

	if (v.failed || v.p != v.end)
		fail_msg("%s (seed %llu): reply cannot be read", cmd->name,
			 (unsigned long long)seed);
	if (!expect_call)
		return;
	if (cmd->ret > 0)
		assert_true(ret == t->ret);
	if (id_slot)
		assert_true(*id_slot == id);
	else if (!vnc_same_outs(&c, cmd, t->got, t->sent))
		fail_msg("%s (seed %llu): reply differs in %s", cmd->name, (unsigned long long)seed,
			 c.where);
}

static void every_command_arrives_and_returns(void **state)
{
	struct trip *t = *state;

	for (unsigned i = 0; i < vnc_cmd_count; i++) {
		for (uint64_t seed = 0; seed < ROUNDS; seed++)
			arrives_and_returns(t, &vnc_cmds[i], seed);
	}
}

static void without_reply_nothing_is_written(void **state)
{
	struct trip *t = *state;
	struct vnc_buf b = { 0 };

	for (unsigned i = 0; i < vnc_cmd_count; i++) {
		make(t, &vnc_cmds[i], 7, &b);
		run(t, &vnc_cmds[i], b.data + 8, b.size - 8, 0);
		assert_false(t->w.dec.failed);
		assert_int_equal(t->w.replied, 0);
	}
	vnc_buf_fini(&b);
}

/* Exactly as long as its contents, so that the sanitizer sees reads past the end. */
static uint8_t *exact_copy(const struct vnc_buf *b, size_t size)
{
	uint8_t *p = malloc(size > 0 ? size : 1);

	assert(p);
	memcpy(p, b->data + 8, size);
	return p;
}

static void cut_short_is_refused(void **state)
{
	struct trip *t = *state;
	struct vnc_buf b = { 0 };

	for (unsigned i = 0; i < vnc_cmd_count; i++) {
		make(t, &vnc_cmds[i], 3, &b);
		for (size_t size = 0; size + 8 < b.size; size += 4) {
			uint8_t *p = exact_copy(&b, size);

			run(t, &vnc_cmds[i], p, size, VENUS_CMD_REPLY);
			free(p);
			if (!t->w.dec.failed || t->calls > 0 || t->w.replied > 0)
				fail_msg("%s: %zu of %zu bytes were enough", vnc_cmds[i].name, size,
					 b.size - 8);
		}
	}
	vnc_buf_fini(&b);
}

static void garbage_does_no_harm(void **state)
{
	struct trip *t = *state;
	struct vnc_buf b = { 0 };
	struct vnc_fill dice = { .seed = 99 };

	t->is_quiet = true;
	for (unsigned i = 0; i < vnc_cmd_count; i++) {
		for (uint64_t seed = 0; seed < 60; seed++) {
			make(t, &vnc_cmds[i], seed, &b);

			size_t size = b.size - 8;
			uint8_t *p = exact_copy(&b, size);

			for (uint64_t n = vnc_random(&dice) % 3 + 1; n > 0 && size > 0; n--) {
				static const uint32_t nasty[] = { 0, 1, 2, 0x7fffffff, 0xffffffff };
				size_t at = vnc_random(&dice) % (size / 4) * 4;
				uint32_t v = nasty[vnc_random(&dice) % 5];

				memcpy(p + at, &v, sizeof(v));
			}
			t->w.dec.failed = false;
			run(t, &vnc_cmds[i], p, size, VENUS_CMD_REPLY);
			free(p);
		}
	}
	vnc_buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_command_arrives_and_returns, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(without_reply_nothing_is_written, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(cut_short_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(garbage_does_no_harm, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
