/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the vtest protocol: a client in the test, a context without Vulkan behind the server. */
#include "vtest/server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/thread.h"
#include "vtest/conn.h"
#include "vtest/fake_ctx.h"
#include "vtest/sync.h"

struct fixture {
	struct served *server;
	pthread_t thread;
	int client;
	int served; /* the server's end */
	int result;
	struct err e;
	unsigned fds_before;
};

static unsigned open_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void *serve(void *arg)
{
	struct fixture *f = arg;

	f->result = vtest_serve(f->server, f->served, &f->e);
	fd_drop(&f->served); /* as the process would by ending */
	return NULL;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct served_config cfg = { 0 };
	int pair[2];

	assert_non_null(f);
	f->fds_before = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->client = pair[0];
	f->served = pair[1];
	assert_int_equal(vtest_server_create(&cfg, &f->server), 0);
	assert_int_equal(thread_start(&f->thread, "serve", serve, f), 0);
	*state = f;
	return 0;
}

/* The client leaves; Return: what vtest_serve() said. */
static int leave(struct fixture *f)
{
	fd_drop(&f->client);
	(void)pthread_join(f->thread, NULL);
	vtest_server_destroy(f->server);
	f->server = NULL;
	return f->result;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->server)
		(void)leave(f);
	assert_int_equal(open_fds(), f->fds_before);
	free(f);
	return 0;
}

static void tell(struct fixture *f, const uint32_t *words, size_t count)
{
	assert_int_equal(fd_write_full(f->client, words, count * 4), 0);
}

#define TELL(f, ...)                                                                               \
	do {                                                                                       \
		const uint32_t words_[] = { __VA_ARGS__ };                                         \
		tell(f, words_, ARRAY_LEN(words_));                                                \
	} while (0)

#define HEAR(f, ...)                                                                               \
	do {                                                                                       \
		const uint32_t want_[] = { __VA_ARGS__ };                                          \
		uint32_t got_[ARRAY_LEN(want_)] = { 0 };                                           \
		assert_int_equal(fd_read_full((f)->client, got_, sizeof(got_)), 0);                \
		assert_memory_equal(got_, want_, sizeof(want_));                                   \
	} while (0)

static int hear_fd(struct fixture *f)
{
	char byte;
	int fd = -1;
	unsigned n = 1;

	assert_int_equal(fd_recv(f->client, &byte, 1, &fd, &n), 1);
	assert_int_equal(n, 1);
	return fd;
}

static void hear_nothing_more(struct fixture *f)
{
	char byte;

	assert_int_equal(fd_read_full(f->client, &byte, 1), -ENODATA);
}

static void greet(struct fixture *f, uint32_t version)
{
	static const char name[] = "vulkan test";
	uint32_t agreed = version < 4 ? version : 4;

	TELL(f, sizeof(name), 8);
	assert_int_equal(fd_write_full(f->client, name, sizeof(name)), 0);
	TELL(f, 0, 10, 2, 7, 0, 0);
	HEAR(f, 0, 10, 1, 7, 0);
	TELL(f, 1, 11, version);
	HEAR(f, 1, 11, agreed);
}

static void begin(struct fixture *f, uint32_t version)
{
	greet(f, version);
	TELL(f, 1, 17, 4);
}

#define PATIENCE_MS 120000 /* only a hang takes that long */

/* poll() on a wait's descriptor. */
static short look(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 ? p.revents : 0;
}

static void a_client_shakes_hands(void **state)
{
	struct fixture *f = *state;
	uint8_t capset[3 * 4 + VENUS_CAPSET_SIZE];

	greet(f, 4);
	TELL(f, 1, 15, 1);
	HEAR(f, 2, 15, 1, 64);
	TELL(f, 1, 15, 2);
	HEAR(f, 2, 15, 0, 0);
	TELL(f, 2, 16, 1, 0);
	HEAR(f, 1, 16, 0);
	TELL(f, 2, 16, 4, 0);
	assert_int_equal(fd_read_full(f->client, capset, sizeof(capset)), 0);
	assert_int_equal(capset[0], 41);
	assert_int_equal(capset[8], 1);
	assert_int_equal(capset[12 + 159], 159);
	TELL(f, 1, 17, 4);
	assert_int_equal(leave(f), 0);
}

static void a_newer_client_is_offered_our_version(void **state)
{
	struct fixture *f = *state;

	greet(f, 5);
	assert_int_equal(leave(f), 0);
}

static void a_blob_comes_as_descriptor(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 6, 18, 2, 1, 5000, 0, 0, 0);
	HEAR(f, 1, 18, 1);
	int fd = hear_fd(f);
	assert_int_equal(lseek(fd, 0, SEEK_END), 8192);
	void *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	munmap(at, 8192);
	close(fd);
	TELL(f, 6, 18, 2, 1, 4096, 0, 7, 0, 1, 3, 1);
	HEAR(f, 1, 18, 2);
	close(hear_fd(f));
	assert_int_equal(leave(f), 0);
}

static void syncs_keep_values(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 2, 19, 5, 1);
	HEAR(f, 1, 19, 1);
	TELL(f, 1, 21, 1);
	HEAR(f, 2, 21, 5, 1);
	TELL(f, 3, 22, 1, 3, 0, 1, 21, 1); /* lower, and two messages at once */
	HEAR(f, 2, 21, 3, 0);
	TELL(f, 1, 20, 1, 2, 19, 9, 0); /* names are used again */
	HEAR(f, 1, 19, 1);
	assert_int_equal(leave(f), 0);
}

static void waits_end_when_values_are_reached(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 2, 19, 0, 0, 2, 19, 0, 0);
	HEAR(f, 1, 19, 1, 1, 19, 2);

	TELL(f, 5, 23, 0, UINT32_MAX, 1, 0, 0); /* satisfied already */
	HEAR(f, 0, 23);
	int fd = hear_fd(f);
	assert_int_equal(look(fd, 0) & POLLIN, POLLIN);
	close(fd);

	TELL(f, 5, 23, 0, 0, 1, 1, 0); /* not satisfied, does not want to wait */
	HEAR(f, 0, 23);
	fd = hear_fd(f);
	assert_int_equal(look(fd, 0), 0);
	close(fd);

	TELL(f, 8, 23, 0, UINT32_MAX, 1, 1, 0, 2, 1, 0); /* all */
	HEAR(f, 0, 23);
	int all = hear_fd(f);
	TELL(f, 8, 23, 1, 10 * PATIENCE_MS, 1, 1, 0, 2, 1, 0); /* any */
	HEAR(f, 0, 23);
	int any = hear_fd(f);
	assert_int_equal(look(all, 0), 0);
	assert_int_equal(look(any, 0), 0);
	TELL(f, 3, 22, 2, 1, 0);
	assert_int_equal(look(any, PATIENCE_MS) & POLLIN, POLLIN);
	assert_int_equal(look(all, 0), 0);
	TELL(f, 3, 22, 1, 7, 0);
	assert_int_equal(look(all, PATIENCE_MS) & POLLIN, POLLIN);
	close(all);
	close(any);
	assert_int_equal(leave(f), 0);
}

static void a_wait_hangs_up_when_the_server_goes(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 2, 19, 0, 0, 5, 23, 0, UINT32_MAX, 1, 1, 0);
	HEAR(f, 1, 19, 1, 0, 23);
	int fd = hear_fd(f);
	served_stop(f->server);
	assert_int_equal(look(fd, PATIENCE_MS), POLLHUP); /* Mesa: VK_ERROR_DEVICE_LOST */
	close(fd);
	hear_nothing_more(f);
}

static void expired_waits_do_not_count(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 2, 19, 0, 0);
	HEAR(f, 1, 19, 1);
	for (unsigned i = 0; i < 3 * VTEST_MAX_WAITS; i++) {
		TELL(f, 5, 23, 0, 1, 1, 1, 0); /* 1 ms */
		HEAR(f, 0, 23);
		close(hear_fd(f));
		if (i % VTEST_MAX_WAITS == VTEST_MAX_WAITS / 4)
			(void)usleep(2000);
	}
	assert_int_equal(leave(f), 0);
}

static void submit(struct fixture *f, uint32_t version, uint32_t command, uint32_t ring,
		   uint32_t sync, uint32_t value)
{
	if (version >= 4)
		TELL(f, 13, 24, 1, 1, 9, 1, 10, 1, ring, 0, 0, command, sync, value, 0);
	else
		TELL(f, 11, 24, 1, 1, 7, 1, 8, 1, ring, command, sync, value, 0);
}

static void both_header_sizes_are_understood(void **state)
{
	struct fixture *f = *state;

	begin(f, 3);
	TELL(f, 2, 19, 0, 0);
	HEAR(f, 1, 19, 1);
	submit(f, 3, 0x77, 0, 1, 42);
	TELL(f, 1, 21, 1);
	HEAR(f, 2, 21, 42, 0);
	assert_int_equal(leave(f), 0);
}

static void fences_move_syncs(void **state)
{
	struct fixture *f = *state;
	struct venus_counters c;

	begin(f, 4);
	TELL(f, 2, 19, 0, 0);
	HEAR(f, 1, 19, 1);
	submit(f, 4, 0x77, 0, 1, 5); /* the CPU's timeline: done when the next message is read */
	TELL(f, 1, 21, 1);
	HEAR(f, 2, 21, 5, 0);
	TELL(f, 5, 23, 0, UINT32_MAX, 1, 1006, 0);
	HEAR(f, 0, 23);
	int fd = hear_fd(f);
	for (uint32_t i = 1; i <= 6; i++)
		submit(f, 4, 0x77, FAKE_RING_LATER, 1, 1000 + i);
	assert_int_equal(look(fd, PATIENCE_MS) & POLLIN, POLLIN);
	close(fd);
	TELL(f, 1, 21, 1);
	HEAR(f, 2, 21, 1006, 0);
	TELL(f, 1, 24, 0);                         /* no batches at all */
	TELL(f, 9, 24, 1, 1, 0, 0, 0, 0, 1, 0, 0); /* neither commands nor syncs */
	TELL(f, 1, 21, 1);
	HEAR(f, 2, 21, 1006, 0);
	assert_true(served_counters(f->server, &c));
	assert_int_equal(c.commands, 7);
	assert_int_equal(leave(f), 0);
}

static void a_dropped_sync_lives_as_long_as_its_fence(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	for (uint32_t i = 0; i < 200; i++) {
		TELL(f, 2, 19, 0, 0);
		uint32_t words[3];
		assert_int_equal(fd_read_full(f->client, words, sizeof(words)), 0);
		submit(f, 4, 0x77, i % 2 ? FAKE_RING_LATER : FAKE_RING_NEVER, words[2], 1);
		TELL(f, 1, 20, words[2]);
	}
	assert_int_equal(leave(f), 0);
}

static void a_blocked_client_that_leaves_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct venus_counters c;

	begin(f, 4);
	submit(f, 4, FAKE_BLOCK, 0, 1, 1);
	while (!served_counters(f->server, &c) || c.commands == 0)
		(void)usleep(1000);
	served_stop(f->server); /* the process's watcher does this */
	hear_nothing_more(f);
	assert_int_equal(leave(f), -EPROTO);
}

static void large_submissions_pass(void **state)
{
	struct fixture *f = *state;
	const uint32_t words = VTEST_MSG_MAX / 4 - 9;
	uint32_t *commands = calloc(words, 4);
	struct venus_counters c;

	assert_non_null(commands);
	begin(f, 4);
	for (int i = 0; i < 3; i++) {
		TELL(f, words + 9, 24, 1, 1, 9, words, 0, 0, 0, 0, 0);
		tell(f, commands, words);
	}
	free(commands);
	TELL(f, 0, 10);
	HEAR(f, 0, 10);
	assert_true(served_counters(f->server, &c));
	assert_int_equal(c.bytes, UINT64_C(12) * words);
	assert_int_equal(leave(f), 0);
}

static void descriptors_a_client_sends_are_closed(void **state)
{
	struct fixture *f = *state;
	const uint32_t ping[2] = { 0, 10 };

	begin(f, 4);
	for (int i = 0; i < 50; i++) {
		const int fds[4] = { f->client, f->client, f->client, f->client };

		assert_int_equal(fd_send(f->client, ping, sizeof(ping), fds, 4), 0);
		HEAR(f, 0, 10);
	}
	/* Else the server would hold the client's own end, and this would never return. */
	assert_int_equal(leave(f), 0);
}

#define BIG 0x10000000U

/* clang-format off */
/* Each row is what a client may say after CONTEXT_INIT; the connection ends, the sentence is kept. */
static const struct bad {
	const char *says;
	int code;
	size_t count;
	uint32_t words[16];
} bads[] = {
	{ "command 2;",             -EPROTO, 2,  { 0, 2 } },
	{ "command 4294967295;",    -EPROTO, 2,  { 0, UINT32_MAX } },
	{ "command 8;",             -EPROTO, 4,  { 2, 8, 0, 0 } },
	{ "PING_PROTOCOL_VERSION with 1 words", -EPROTO, 3, { 1, 10, 0 } },
	{ "SYNC_READ with 0 words", -EPROTO, 2,  { 0, 21 } },
	{ "SYNC_READ with 4294967295 words", -EPROTO, 2, { UINT32_MAX, 21 } },
	{ "SUBMIT_CMD2 with 1048577 words", -EPROTO, 2, { VTEST_MSG_MAX / 4 + 1, 24 } },
	{ "context twice",          -EPROTO, 3,  { 1, 17, 4 } },
	{ "sync that does not",     -EPROTO, 3,  { 1, 21, 0 } },
	{ "sync that does not",     -EPROTO, 3,  { 1, 21, 1 } },
	{ "sync that does not",     -EPROTO, 3,  { 1, 20, UINT32_MAX } },
	{ "sync that does not",     -EPROTO, 5,  { 3, 22, 7, 0, 0 } },
	{ "unknown flags 0x2",      -EPROTO, 4,  { 2, 23, 2, 0 } },
	{ "broken length",          -EPROTO, 5,  { 3, 23, 0, 0, 1 } },
	{ "sync that does not",     -EPROTO, 7,  { 5, 23, 0, 0, 9, 0, 0 } },
	{ "resource 1, which",      -EPROTO, 3,  { 1, 3, 1 } },
	{ "blob of 0 bytes",        -EPROTO, 8,  { 6, 18, 2, 1, 0, 0, 0, 0 } },
	{ "kind 1",                 -EPROTO, 8,  { 6, 18, 1, 1, 4096, 0, 0, 0 } },
	{ "Invalid argument",       -EPROTO, 8,  { 6, 18, 2, 1, 0, UINT32_MAX, 0, 0 } },
	{ "Invalid argument",       -EPROTO, 8,  { 6, 18, 2, 1, UINT32_MAX, UINT32_MAX, 0, 0 } },
	{ "no such memory",         -EPROTO, 8,  { 6, 18, 2, 1, 4096, 0, FAKE_BLOB_MISSING, 0 } },
	{ "cannot be made",         -ENOMEM, 8,  { 6, 18, 2, 1, 4096, 0, FAKE_BLOB_LIMIT, 0 } },
	{ "4294967295 batches",     -EPROTO, 3,  { 1, 24, UINT32_MAX } },
	{ "headers end after",      -EPROTO, 3,  { 1, 24, 1 } },
	{ "headers end after",      -EPROTO, 3,  { 1, 24, 64 } },
	{ "commands end after",     -EPROTO, 11, { 9, 24, 1, 1, 9, 1, 0, 0, 0, 0, 0 } },
	{ "commands end after",     -EPROTO, 11, { 9, 24, 1, 1, UINT32_MAX, 1, 0, 0, 0, 0, 0 } },
	{ "commands end after",     -EPROTO, 11, { 9, 24, 1, 1, 1, UINT32_MAX, 0, 0, 0, 0, 0 } },
	{ "syncs end after",        -EPROTO, 11, { 9, 24, 1, 1, 0, 0, 9, 1, 0, 0, 0 } },
	{ "syncs end after",        -EPROTO, 11, { 9, 24, 1, 1, 0, 0, 0, 0x55555556, 0, 0, 0 } },
	{ "syncs end after",        -EPROTO, 11, { 9, 24, 1, 1, 0, 0, UINT32_MAX, 1, 0, 0, 0 } },
	{ "timeline 64",            -EPROTO, 11, { 9, 24, 1, 1, 0, 0, 0, 0, 64, 0, 0 } },
	{ "other drivers",          -EPROTO, 11, { 9, 24, 1, 3, 0, 0, 0, 0, 0, 0, 0 } },
	{ "other drivers",          -EPROTO, 11, { 9, 24, 1, 1, 0, 0, 0, 0, 0, 1, 0 } },
	{ "other drivers",          -EPROTO, 11, { 9, 24, 1, 1, 0, 0, 0, 0, 0, 0, 1 } },
	{ "sync that does not",     -EPROTO, 14, { 12, 24, 1, 1, 0, 0, 9, 1, 0, 0, 0, 1, 0, 0 } },
	{ "refuses further",        -EPROTO, 12, { 10, 24, 1, 1, 9, 1, 0, 0, 0, 0, 0, FAKE_FATAL } },
};
/* clang-format on */

static void broken_messages_end_the_connection(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		const struct bad *b = &bads[i];
		struct fixture *f;
		void *s;

		print_message("# %s (row %zu)\n", b->says, i);
		assert_int_equal(set_up(&s), 0);
		f = s;
		begin(f, 4);
		tell(f, b->words, b->count);
		hear_nothing_more(f);
		assert_int_equal(leave(f), b->code);
		assert_non_null(strstr(f->e.text, b->says));
		assert_int_equal(tear_down(&s), 0);
	}
}

static void a_fence_needs_a_known_timeline_and_sync(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 2, 19, 0, 0);
	HEAR(f, 1, 19, 1);
	submit(f, 4, 0x77, 5, 1, 1);
	hear_nothing_more(f);
	assert_int_equal(leave(f), -EPROTO);
	assert_non_null(strstr(f->e.text, "no queue is bound"));
}

static void several_batches_need_protocol_4(void **state)
{
	struct fixture *f = *state;

	begin(f, 3);
	TELL(f, 13, 24, 2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0);
	hear_nothing_more(f);
	assert_int_equal(leave(f), -EPROTO);
}

static void nothing_is_served_out_of_order(void **state)
{
	/* clang-format off */
	static const struct {
		const char *says;
		bool named;
		uint32_t words[3];
	} rows[] = {
		{ "did not start",       false, { 1, 11, 4 } },
		{ "name has 0 bytes",    false, { 0, 8, 0 } },
		{ "4294967295 bytes",    false, { UINT32_MAX, 8, 0 } },
		{ "GET_PARAM too early", true,  { 1, 15, 1 } },
		{ "CONTEXT_INIT too",    true,  { 1, 17, 4 } },
		{ "SYNC_READ too early", true,  { 1, 21, 1 } },
		{ "Mesa 25.0",           true,  { 1, 11, 2 } },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f;
		void *s;

		print_message("# %s\n", rows[i].says);
		assert_int_equal(set_up(&s), 0);
		f = s;
		if (rows[i].named)
			TELL(f, 4, 8, 0x00636261);
		tell(f, rows[i].words, 3);
		if (rows[i].words[1] == 11 && rows[i].named)
			HEAR(f, 1, 11, 2);
		hear_nothing_more(f);
		assert_int_equal(leave(f), -EPROTO);
		assert_non_null(strstr(f->e.text, rows[i].says));
		assert_int_equal(tear_down(&s), 0);
	}
}

static void only_the_venus_capset_is_offered(void **state)
{
	struct fixture *f = *state;

	greet(f, 4);
	TELL(f, 1, 17, 1);
	hear_nothing_more(f);
	assert_int_equal(leave(f), -EPROTO);
	assert_non_null(strstr(f->e.text, "capset 1"));
}

static void half_a_message_is_a_vanished_client(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 3, 22, 1);
	assert_int_equal(leave(f), -ECONNRESET);
}

static void syncs_have_a_limit(void **state)
{
	struct fixture *f = *state;
	uint32_t words[3];

	begin(f, 4);
	for (uint32_t i = 0; i < VTEST_MAX_SYNCS; i++) {
		TELL(f, 2, 19, 0, 0);
		assert_int_equal(fd_read_full(f->client, words, sizeof(words)), 0);
	}
	TELL(f, 2, 19, 0, 0);
	hear_nothing_more(f);
	assert_int_equal(leave(f), -ENOMEM);
}

static void waits_have_a_limit(void **state)
{
	struct fixture *f = *state;

	begin(f, 4);
	TELL(f, 2, 19, 0, 0);
	HEAR(f, 1, 19, 1);
	for (uint32_t i = 0; i < VTEST_MAX_WAITS; i++) {
		TELL(f, 5, 23, 0, UINT32_MAX, 1, 1, 0);
		HEAR(f, 0, 23);
		close(hear_fd(f));
	}
	TELL(f, 5, 23, 0, UINT32_MAX, 1, 1, 0);
	hear_nothing_more(f);
	assert_int_equal(leave(f), -ENOMEM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_shakes_hands),
		TEST(a_newer_client_is_offered_our_version),
		TEST(a_blob_comes_as_descriptor),
		TEST(syncs_keep_values),
		TEST(waits_end_when_values_are_reached),
		TEST(a_wait_hangs_up_when_the_server_goes),
		TEST(expired_waits_do_not_count),
		TEST(both_header_sizes_are_understood),
		TEST(fences_move_syncs),
		TEST(a_dropped_sync_lives_as_long_as_its_fence),
		TEST(a_blocked_client_that_leaves_is_noticed),
		TEST(large_submissions_pass),
		TEST(descriptors_a_client_sends_are_closed),
		cmocka_unit_test(broken_messages_end_the_connection),
		TEST(a_fence_needs_a_known_timeline_and_sync),
		TEST(several_batches_need_protocol_4),
		cmocka_unit_test(nothing_is_served_out_of_order),
		TEST(only_the_venus_capset_is_offered),
		TEST(half_a_message_is_a_vanished_client),
		TEST(syncs_have_a_limit),
		TEST(waits_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
