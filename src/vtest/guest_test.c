/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of a guest's context: a device in the test, a context without Vulkan behind the socket. */
#include "vtest/guest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"
#include "render/ctx_msg.h"
#include "vtest/fake_ctx.h"

struct fixture {
	struct served *server;
	pthread_t thread;
	int device;
	int served; /* the server's end */
	int result;
	struct err e;
};

static void *serve(void *arg)
{
	struct fixture *f = arg;

	f->result = guest_serve(f->server, f->served, &f->e);
	fd_drop(&f->served); /* as the process would by ending */
	return NULL;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct served_config cfg = { .spin_ns = 1000 };
	int pair[2];

	assert_non_null(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->device = pair[0];
	f->served = pair[1];
	assert_int_equal(guest_create(&cfg, &f->server), 0);
	assert_int_equal(thread_start(&f->thread, "serve", serve, f), 0);
	*state = f;
	return 0;
}

static int ended(struct fixture *f)
{
	(void)pthread_join(f->thread, NULL);
	fd_drop(&f->device);
	guest_destroy(f->server);
	f->server = NULL;
	return f->result;
}

/* The device leaves as it does when the driver destroys the context. */
static int leave(struct fixture *f)
{
	(void)shutdown(f->device, SHUT_WR);
	return ended(f);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->server)
		(void)leave(f);
	free(f);
	return 0;
}

static void tell(struct fixture *f, const struct ctx_msg *m, const void *data, size_t len, int fd)
{
	static struct {
		struct ctx_msg m;
		uint8_t data[CTX_DATA_MAX];
	} packet;

	packet.m = *m;
	if (len)
		memcpy(packet.data, data, len);
	assert_int_equal(fd_send(f->device, &packet, sizeof(*m) + len, &fd, fd >= 0), 0);
}

static int hear(struct fixture *f, struct ctx_msg *m)
{
	unsigned nfds = 1;
	int fd = -1;

	assert_int_equal(fd_recv(f->device, m, sizeof(*m), &fd, &nfds), sizeof(*m));
	return nfds ? fd : -1;
}

static void begin(struct fixture *f)
{
	tell(f, &(struct ctx_msg){ .type = CTX_MSG_BEGIN }, "a\nname", 6, -1);
}

/* Has the server do all that was said before; its counters are then what they should be. */
static void settle(struct fixture *f)
{
	struct ctx_msg m;

	tell(f, &(struct ctx_msg){ .type = CTX_MSG_SUBMIT, .flags = CTX_MSG_FENCED, .id = 999 },
	     NULL, 0, -1);
	(void)hear(f, &m);
	assert_int_equal(m.type, CTX_MSG_RETIRED);
	assert_int_equal(m.id, 999);
}

static void submissions_are_executed_and_fences_retire(void **state)
{
	struct fixture *f = *state;
	const uint32_t words[4] = { 1 };
	struct venus_counters c;
	struct ctx_msg m = { .type = CTX_MSG_SUBMIT };
	char name[SERVED_NAME_SIZE];

	assert_false(served_counters(f->server, &c));
	begin(f);
	tell(f, &m, words, sizeof(words), -1);
	settle(f);
	assert_true(served_counters(f->server, &c));
	assert_int_equal(c.commands, 1);
	assert_int_equal(c.bytes, sizeof(words));
	served_name(f->server, name);
	assert_string_equal(name, "a?name");

	m = (struct ctx_msg){ .type = CTX_MSG_SUBMIT,
			      .flags = CTX_MSG_FENCED,
			      .ring_idx = FAKE_RING_LATER,
			      .id = 5 };
	tell(f, &m, words, sizeof(words), -1);
	(void)hear(f, &m);
	assert_int_equal(m.type, CTX_MSG_RETIRED);
	assert_int_equal(m.ring_idx, FAKE_RING_LATER);
	assert_int_equal(m.id, 5);
	assert_int_equal(m.code, 0);

	m = (struct ctx_msg){
		.type = CTX_MSG_SUBMIT, .flags = CTX_MSG_FENCED, .ring_idx = 63, .id = 6
	};
	tell(f, &m, NULL, 0, -1);
	(void)hear(f, &m);
	assert_int_equal(m.id, 6);
	assert_int_equal(m.code, -EINVAL);
	assert_int_equal(leave(f), 0);
}

static void long_submissions_are_put_together(void **state)
{
	struct fixture *f = *state;
	static uint8_t part[CTX_DATA_MAX];
	struct ctx_msg m = { .type = CTX_MSG_SUBMIT, .flags = CTX_MSG_MORE };
	struct venus_counters c;

	begin(f);
	tell(f, &m, part, sizeof(part), -1);
	tell(f, &m, part, sizeof(part), -1);
	m.flags = 0;
	tell(f, &m, part, 8, -1);
	tell(f, &m, part, 4, -1);
	settle(f);
	assert_true(served_counters(f->server, &c));
	assert_int_equal(c.commands, 2);
	assert_int_equal(c.bytes, 2 * sizeof(part) + 12);
}

static void submissions_have_a_largest_size(void **state)
{
	struct fixture *f = *state;
	static uint8_t part[CTX_DATA_MAX];
	const struct ctx_msg m = { .type = CTX_MSG_SUBMIT, .flags = CTX_MSG_MORE };

	begin(f);
	for (unsigned i = 0; i < CTX_SUBMIT_MAX / CTX_DATA_MAX; i++)
		tell(f, &m, part, sizeof(part), -1);
	tell(f, &m, part, 4, -1);
	assert_int_equal(ended(f), -EPROTO);
	assert_non_null(strstr(f->e.text, "bytes"));
}

static void blobs_come_with_their_descriptor(void **state)
{
	struct fixture *f = *state;
	struct ctx_msg m = { .type = CTX_MSG_CREATE_BLOB,
			     .id = 9,
			     .res_id = 4,
			     .blob_flags = VENUS_BLOB_MAPPABLE,
			     .size = 5000 };
	struct venus_counters c;
	struct stat st;

	begin(f);
	tell(f, &m, NULL, 0, -1);
	int fd = hear(f, &m);
	assert_int_equal(m.type, CTX_MSG_BLOB);
	assert_int_equal(m.id, 9);
	assert_int_equal(m.code, 0);
	assert_int_equal(m.kind, CTX_BLOB_SHM);
	assert_int_equal(m.size, 8192);
	assert_int_equal(m.map_info, VENUS_MAP_CACHED);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 8192);

	/* The same id again, then a memory that does not exist. */
	m = (struct ctx_msg){ .type = CTX_MSG_CREATE_BLOB, .id = 10, .res_id = 4, .size = 1 };
	tell(f, &m, NULL, 0, -1);
	assert_int_equal(hear(f, &m), -1);
	assert_int_equal(m.code, -EEXIST);
	m = (struct ctx_msg){ .type = CTX_MSG_CREATE_BLOB,
			      .id = 11,
			      .res_id = 5,
			      .blob_id = FAKE_BLOB_MISSING,
			      .size = 1 };
	tell(f, &m, NULL, 0, -1);
	assert_int_equal(hear(f, &m), -1);
	assert_int_equal(m.code, -ENOENT);

	/* Another context's blob under a free id, a taken one, and a freed one. */
	for (uint32_t i = 0; i < 3; i++) {
		if (i == 2)
			tell(f, &(struct ctx_msg){ .type = CTX_MSG_UNREF, .res_id = 6 }, NULL, 0,
			     -1);
		m = (struct ctx_msg){ .type = CTX_MSG_IMPORT,
				      .id = 12 + i,
				      .res_id = 6,
				      .kind = CTX_BLOB_SHM,
				      .size = 8192 };
		tell(f, &m, NULL, 0, fd);
		(void)hear(f, &m);
		assert_int_equal(m.type, CTX_MSG_IMPORTED);
		assert_int_equal(m.id, 12 + i);
		assert_int_equal(m.code, i == 1 ? -EEXIST : 0);
	}
	close(fd);
	settle(f);
	assert_true(served_counters(f->server, &c));
}

static void a_fatal_context_is_told_once_and_its_fences_retire(void **state)
{
	struct fixture *f = *state;
	const uint32_t fatal = FAKE_FATAL;
	const struct ctx_msg m = { .type = CTX_MSG_SUBMIT };
	struct ctx_msg got;

	begin(f);
	tell(f, &m, &fatal, sizeof(fatal), -1);
	(void)hear(f, &got);
	assert_int_equal(got.type, CTX_MSG_LOST);
	tell(f, &m, &fatal, sizeof(fatal), -1);
	settle(f);
	assert_int_equal(leave(f), 0);
}

static void fences_retire_when_the_device_leaves(void **state)
{
	struct fixture *f = *state;
	struct ctx_msg m = { .type = CTX_MSG_SUBMIT,
			     .flags = CTX_MSG_FENCED,
			     .ring_idx = FAKE_RING_NEVER,
			     .id = 3 };

	begin(f);
	tell(f, &m, NULL, 0, -1);
	settle(f);
	(void)shutdown(f->device, SHUT_WR);
	do {
		(void)hear(f, &m);
	} while (m.type == CTX_MSG_LOST);
	assert_int_equal(m.type, CTX_MSG_RETIRED);
	assert_int_equal(m.id, 3);
	assert_int_equal(ended(f), 0);
}

static void it_can_be_stopped_inside_a_submission(void **state)
{
	struct fixture *f = *state;
	const uint32_t block = FAKE_BLOCK;

	begin(f);
	settle(f);
	tell(f, &(struct ctx_msg){ .type = CTX_MSG_SUBMIT }, &block, sizeof(block), -1);
	served_stop(f->server);
	assert_int_equal(ended(f), 0);
}

static void nonsense_ends_it(void **state)
{
	static const struct {
		struct ctx_msg m;
		bool has_begun;
		size_t len;
	} cases[] = {
		{ { .type = CTX_MSG_SUBMIT }, false, 0 }, { { .type = 0 }, true, 0 },
		{ { .type = CTX_MSG_BEGIN }, true, 0 },   { { .type = CTX_MSG_BLOB }, true, 0 },
		{ { .type = CTX_MSG_IMPORT }, true, 0 },  { { .type = CTX_MSG_BEGIN }, false, 64 },
	};
	static const char name[64] = "x";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = NULL;

		(void)state;
		assert_int_equal(set_up((void **)&f), 0);
		if (cases[i].has_begun)
			begin(f);
		tell(f, &cases[i].m, name, cases[i].len, -1);
		assert_int_equal(ended(f), -EPROTO);
		assert_true(strlen(f->e.text) > 0);
		free(f);
	}

	struct fixture *f = NULL;
	assert_int_equal(set_up((void **)&f), 0);
	assert_int_equal(send(f->device, "short", 5, 0), 5);
	assert_int_equal(ended(f), -EPROTO);
	free(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(submissions_are_executed_and_fences_retire),
		T(long_submissions_are_put_together),
		T(submissions_have_a_largest_size),
		T(blobs_come_with_their_descriptor),
		T(a_fatal_context_is_told_once_and_its_fences_retire),
		T(fences_retire_when_the_device_leaves),
		T(it_can_be_stopped_inside_a_submission),
		cmocka_unit_test(nonsense_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
