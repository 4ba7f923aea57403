/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A valid encoding of every command (made by gen/fuzz_seeds.py) is executed; the same cut short
 * anywhere is refused and nothing else happens.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "null_icd.h"
#include "seeds.h"
#include "trap.h"

struct world {
	struct guest g;
	struct guest_shm reply;
	struct guest_shm stream;
	struct guest_ring ring;
};

static void start(struct world *w)
{
	memset(w, 0, sizeof(*w));
	null_control(&(struct null_control){ .wait_cap_ns = 1000000, .has_few_extensions = true });
	trap_reset();
	assert_int_equal(guest_open(&w->g, NULL), 0);
	assert_int_equal(guest_prologue(&w->g, &w->reply, &w->stream), 0);
}

static void finish(struct world *w)
{
	assert_int_equal(guest_close(&w->g), 0);
	guest_shm_drop(&w->reply);
	guest_shm_drop(&w->stream);
	guest_shm_drop(&w->ring.shm);
	assert_int_equal(null_alive(VK_OBJECT_TYPE_UNKNOWN), 0);
}

/* clang-format off */
/* Valid bytes, but the objects of the prologue are no good for it: what it says instead. */
static const struct {
	const char *name;
	const char *says;
} unhappy[] = {
	{ "vkEnumeratePhysicalDevices",               "vkEnumeratePhysicalDevices" },
	{ "vkGetDeviceQueue2",                        "vkGetDeviceQueue2" },
	{ "vkAllocateMemory",                         "imports resource 3" },
	{ "vkFreeDescriptorSets",                     "lacks its array" },
	{ "vkFreeCommandBuffers",                     "lacks its array" },
	{ "vkExecuteCommandStreamsMESA",              "vkCreateInstance" },
	{ "vkGetImageDrmFormatModifierPropertiesEXT", "nothing that the host's driver offers" },
	{ "vkCreateRingMESA",                         "that its resource cannot hold" },
	{ "vkDestroyRingMESA",                        "a ring that does not exist" },
	{ "vkNotifyRingMESA",                         "a ring that does not exist" },
	{ "vkWriteRingExtraMESA",                     "outside a ring's extra region" },
	{ "vkSubmitVirtqueueSeqnoMESA",               "a ring that does not exist" },
	{ "vkWaitRingSeqnoMESA",                      "a ring that does not exist" },
	{ "vkResetFenceResourceMESA",                 "no fence that can be exported" },
	{ "vkWaitSemaphoreResourceMESA",              "no semaphore that can be exported" },
	{ "vkImportSemaphoreResourceMESA",            "something else than a signalled semaphore" },
};
/* clang-format on */

static const char *reason(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(unhappy); i++) {
		if (strcmp(unhappy[i].name, name) == 0)
			return unhappy[i].says;
	}
	return NULL;
}

static bool send(struct world *w, const struct seed *s, size_t len)
{
	if (s->levels & SEED_CTX) {
		guest_put_bytes(&w->g, s->bytes, len);
		return guest_submit(&w->g) == 0;
	}
	assert_int_equal(guest_ring_open(&w->g, &w->ring, 7, RES_RING), 0);
	guest_cmd_reply_stream(&w->g, RES_REPLY, 0, w->reply.size);
	guest_put_bytes(&w->g, s->bytes, len);
	guest_ring_send(&w->g, &w->ring);
	return guest_ring_wait(&w->ring, GUEST_PATIENCE);
}

static void every_command_is_executed(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < seeds_count; i++) {
		struct world w;

		start(&w);
		if (!send(&w, &seeds[i], seeds[i].len)) {
			const char *says = reason(seeds[i].name);

			if (!says || !trap_holds(says)) {
				print_message("seed %zu, %s\n", i, seeds[i].name);
				trap_show();
				bad++;
			}
		}
		finish(&w);
	}
	assert_int_equal(bad, 0);
}

static void every_command_cut_short_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < seeds_count; i++) {
		const struct seed *s = &seeds[i];
		struct world w;

		if (!(s->levels & SEED_CTX))
			continue;
		for (size_t cut = 4; cut < s->len; cut += s->len / 2) {
			start(&w);
			if (send(&w, s, s->len - cut))
				print_message("%s without %zu bytes\n", s->name, cut);
			assert_true(venus_ctx_is_fatal(w.g.ctx));
			assert_int_equal(trap_lines(), 1);
			finish(&w);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_executed),
		cmocka_unit_test(every_command_cut_short_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
