/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts, submissions, fences, and what the device refuses. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/gpu_rig.h"
#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"

static void it_is_a_render_node_with_one_capability_set(void **state)
{
	struct fixture *x = *state;
	struct virtio_gpu_config config;
	struct virtio_gpu_get_capset_info i = { .hdr = HDR(GET_CAPSET_INFO, 0) };
	struct virtio_gpu_get_capset c = { .hdr = HDR(GET_CAPSET, 0), .capset_id = CAPSET };
	struct virtio_gpu_ctrl_hdr d = HDR(GET_DISPLAY_INFO, 0);
	struct virtio_gpu_resp_capset_info info;
	struct answer a;

	(void)virtio_config_read(gpu_dev(x->g), 0, &config, sizeof(config));
	assert_int_equal(config.num_scanouts, 0);
	assert_int_equal(config.num_capsets, 1);
	assert_int_equal(gpu_dev(x->g)->features, 0x19);
	assert_int_equal(gpu_dev(x->g)->shm[GPU_SHM_HOST_VISIBLE].len, WINDOW);

	assert_int_equal(ask(x, &i, sizeof(i), &a), VIRTIO_GPU_RESP_OK_CAPSET_INFO);
	memcpy(&info.capset_id, a.data, sizeof(info) - sizeof(info.hdr));
	assert_int_equal(info.capset_id, CAPSET);
	assert_int_equal(info.capset_max_version, 0);
	assert_int_equal(info.capset_max_size, sizeof(capset));
	i.capset_index = 1;
	assert_int_equal(ask(x, &i, sizeof(i), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_OK_CAPSET);
	assert_memory_equal(a.data, capset, sizeof(capset));
	c.capset_version = 1;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c = (struct virtio_gpu_get_capset){ .hdr = HDR(GET_CAPSET, 0), .capset_id = 1 };
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	/* Places for sixteen screens, all dark. */
	assert_int_equal(ask(x, &d, sizeof(d), &a), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	for (size_t n = 0; n < sizeof(a.data); n++)
		assert_int_equal(a.data[n], 0);
}

static void what_it_does_not_have_is_refused(void **state)
{
	static const uint32_t types[] = {
		VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		VIRTIO_GPU_CMD_SET_SCANOUT,
		VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		VIRTIO_GPU_CMD_GET_EDID,
		VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
		VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
		VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
		VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
		VIRTIO_GPU_CMD_UPDATE_CURSOR,
		0,
		VIRTIO_GPU_RESP_OK_NODATA,
		UINT32_MAX,
	};
	struct fixture *x = *state;
	struct answer a;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct virtio_gpu_ctrl_hdr h = { .type = types[i],
						 .flags = VIRTIO_GPU_FLAG_FENCE,
						 .fence_id = i + 1 };

		assert_int_equal(ask(x, &h, sizeof(h), &a), VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_int_equal(a.h.flags, VIRTIO_GPU_FLAG_FENCE);
		assert_int_equal(a.h.fence_id, i + 1);
	}
}

static void short_chains_go_back(void **state)
{
	static const uint32_t types[] = {
		VIRTIO_GPU_CMD_GET_CAPSET_INFO,
		VIRTIO_GPU_CMD_GET_CAPSET,
		VIRTIO_GPU_CMD_CTX_CREATE,
		VIRTIO_GPU_CMD_SUBMIT_3D,
		VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
		VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNREF,
		VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
	};
	struct fixture *x = *state;
	uint8_t bytes[64] = { 0 };
	uint32_t written;
	uint16_t head;
	struct answer a;

	(void)begin(x, 1);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct virtio_gpu_ctrl_hdr h = { .type = types[i], .ctx_id = 1 };

		assert_int_equal(ask(x, &h, sizeof(h), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	assert_int_equal(ask(x, bytes, 23, &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	/* No room for an answer, or for all of it. */
	struct virtio_gpu_get_capset c = { .hdr = HDR(GET_CAPSET, 0), .capset_id = CAPSET };
	(void)fd_offer(&x->f, CONTROL, (struct fd_buf[]){ FD_RD(&c) }, 1);
	fd_kick(&x->f, CONTROL);
	assert_true(fd_used(&x->f, CONTROL, &head, &written));
	assert_int_equal(written, 0);
	(void)fd_offer(&x->f, CONTROL, (struct fd_buf[]){ FD_RD(&c), FD_WRN(&a, 28) }, 2);
	fd_kick(&x->f, CONTROL);
	assert_true(fd_used(&x->f, CONTROL, &head, &written));
	assert_int_equal(written, 24);
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

	/* Cursors that nobody sees. */
	(void)fd_offer(&x->f, CURSOR, (struct fd_buf[]){ FD_RDN(bytes, 56) }, 1);
	fd_kick(&x->f, CURSOR);
	assert_true(fd_used(&x->f, CURSOR, &head, &written));
	assert_int_equal(written, 0);
	assert_false(atomic_load(&gpu_dev(x->g)->needs_reset));
}

static void a_context_is_a_renderer(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 7);
	char byte;

	assert_int_equal(ctx_create(x, 7, "again"), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_create(x, 0, "zero"), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_destroy(x, 8), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_destroy(x, 7), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(recv(x->peer[peer], &byte, 1, 0), 0);
	assert_int_equal(ctx_destroy(x, 7), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	/* Its name is free at once, its process not yet. */
	assert_int_equal(begin(x, 7), peer + 1);
	assert_int_equal(x->g->n_ctxs, 2);
	fd_drop(&x->peer[peer]);
	spin(x);
	assert_int_equal(x->g->n_ctxs, 1);
}

static void other_capability_sets_have_no_contexts(void **state)
{
	struct fixture *x = *state;
	struct virtio_gpu_ctx_create c = { .hdr = HDR(CTX_CREATE, 1), .nlen = 0 };
	struct answer a;

	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c.context_init = 2;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c.context_init = CAPSET;
	c.nlen = 65;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(x->n_peers, 0);
}

static void contexts_are_limited(void **state)
{
	struct fixture *x = *state;

	x->refuse = -EAGAIN;
	assert_int_equal(ctx_create(x, 9, "x"), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	x->refuse = 0;
	for (uint32_t i = 1; i <= 4; i++)
		(void)begin(x, i);
	assert_int_equal(ctx_create(x, 5, "one too many"), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	/* One that is on its way out counts. */
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_create(x, 5, "one too many"), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	fd_drop(&x->peer[0]);
	spin(x);
	(void)begin(x, 5);
}

static void commands_reach_the_renderer_and_fences_come_back(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	const char words[] = "vkDoSomething";
	char got[64];
	struct ctx_msg m[3];
	struct answer a;
	struct answer b;
	struct answer c;

	submit(x, 1, -2, 0, words, sizeof(words), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(a.h.flags, 0);
	assert_int_equal(hear(x, peer, &m[0], got, sizeof(got)), sizeof(words));
	assert_string_equal(got, words);
	assert_int_equal(m[0].type, CTX_MSG_SUBMIT);
	assert_int_equal(m[0].flags, 0);

	submit(x, 1, 3, 100, words, sizeof(words), &a);
	submit(x, 1, 3, 101, NULL, 0, &b);
	submit(x, 1, 4, 102, words, sizeof(words), &c);
	for (int i = 0; i < 3; i++) {
		(void)hear(x, peer, &m[i], got, sizeof(got));
		assert_int_equal(m[i].flags, CTX_MSG_FENCED);
		assert_int_equal(m[i].ring_idx, i < 2 ? 3 : 4);
	}
	/* Timelines do not wait for each other; one fence says that those before it are reached. */
	retire(x, peer, 4, m[2].id);
	assert_true(came_back(x, &c));
	assert_int_equal(c.h.flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	assert_int_equal(c.h.fence_id, 102);
	assert_int_equal(c.h.ring_idx, 4);
	assert_int_equal(c.h.ctx_id, 1);
	retire(x, peer, 3, m[1].id);
	assert_true(came_back(x, &a));
	assert_true(came_back(x, &b));
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_OK_NODATA);

	submit(x, 1, 9, 103, NULL, 0, &a);
	(void)hear(x, peer, &m[0], NULL, 0);
	say(x, peer,
	    &(struct ctx_msg){
		    .type = CTX_MSG_RETIRED, .ring_idx = 9, .id = m[0].id, .code = -EINVAL },
	    -1);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(a.h.fence_id, 103);
}

static void bad_submissions_are_refused(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct virtio_gpu_cmd_submit c = { .hdr = HDR(SUBMIT_3D, 1), .size = 1 };
	struct ctx_msg m;
	struct answer a;

	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	c.size = UINT32_MAX;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	submit(x, 1, 64, 1, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(a.h.fence_id, 1);
	submit(x, 2, 0, 2, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, 0);
}

/* The driver takes the later of two for a sign of both. */
static void fences_without_a_timeline_stay_in_order(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	struct virtio_gpu_ctrl_hdr h = { .type = VIRTIO_GPU_CMD_GET_EDID,
					 .flags = VIRTIO_GPU_FLAG_FENCE,
					 .fence_id = 3 };
	struct ctx_msg m[2];
	static struct answer a[3];

	submit(x, 1, -1, 1, NULL, 0, &a[0]);
	submit(x, 2, -1, 2, NULL, 0, &a[1]);
	(void)offer(x, &h, sizeof(h), NULL, 0, &a[2]);
	(void)hear(x, one, &m[0], NULL, 0);
	(void)hear(x, two, &m[1], NULL, 0);
	assert_int_equal(m[1].ring_idx, 0);
	retire(x, two, 0, m[1].id);
	assert_false(came_back(x, &a[0]));
	retire(x, one, 0, m[0].id);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(came_back(x, &a[i]));
		assert_int_equal(a[i].h.fence_id, i + 1);
	}
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

/* Reads a whole submission from a renderer's end. */
static size_t hear_submission(struct fixture *x, unsigned peer, uint8_t *to, size_t room,
			      struct ctx_msg *m)
{
	uint64_t until = clock_now_ns() + PATIENCE;
	size_t sum = 0;

	do {
		assert_true(clock_now_ns() < until);
		sum += hear(x, peer, m, to + sum, room - sum);
		spin(x);
	} while (m->type == 0 || (m->flags & CTX_MSG_MORE));
	return sum;
}

static void long_submissions_arrive_whole(void **state)
{
	enum { LEN = 300000 };
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	uint8_t *sent = calloc(1, LEN);
	uint8_t *got = calloc(1, LEN);
	struct ctx_msg m;
	struct answer a;

	for (size_t i = 0; i < LEN; i++)
		sent[i] = pattern(i);
	submit(x, 1, 1, 1, sent, LEN, &a);
	assert_int_equal(hear_submission(x, peer, got, LEN, &m), LEN);
	assert_memory_equal(sent, got, LEN);
	assert_int_equal(m.flags, CTX_MSG_FENCED);
	retire(x, peer, 1, m.id);
	wait_back(x, &a);
	free(sent);
	free(got);
}

static void a_slow_renderer_holds_up_nobody_else(void **state)
{
	enum { LEN = 60000, COUNT = 12 };
	struct fixture *x = *state;
	unsigned slow = begin(x, 1);
	unsigned quick = begin(x, 2);
	uint8_t *sent = calloc(1, LEN);
	uint8_t *got = calloc(1, LEN);
	static struct answer a[COUNT];
	struct answer b;
	struct ctx_msg m;

	for (unsigned i = 0; i < COUNT; i++) {
		memset(sent, (int)i, LEN);
		submit(x, 1, 1, i, sent, LEN, &a[i]);
	}
	assert_false(came_back(x, &a[0]));

	submit(x, 2, 1, 1, "x", 1, &b);
	assert_int_equal(hear(x, quick, &m, got, LEN), 1);
	retire(x, quick, 1, m.id);
	assert_true(came_back(x, &b));

	for (unsigned i = 0; i < COUNT; i++) {
		memset(sent, (int)i, LEN);
		assert_int_equal(hear_submission(x, slow, got, LEN, &m), LEN);
		assert_memory_equal(sent, got, LEN);
	}
	retire(x, slow, 1, m.id);
	for (unsigned i = 0; i < COUNT; i++)
		wait_back(x, &a[i]);
	free(sent);
	free(got);
}

static void a_context_can_be_destroyed_while_its_renderer_is_stuck(void **state)
{
	enum { LEN = 60000, COUNT = 12 };
	struct fixture *x = *state;
	unsigned slow = begin(x, 1);
	uint8_t *sent = calloc(1, LEN);
	static struct answer a[COUNT];
	struct virtio_gpu_ctx_destroy d = { .hdr = HDR(CTX_DESTROY, 1) };
	struct answer b;
	unsigned back = 0;
	uint32_t written;
	uint16_t head;

	for (unsigned i = 0; i < COUNT; i++)
		submit(x, 1, 1, i, sent, LEN, &a[i]);
	(void)offer(x, &d, sizeof(d), NULL, 0, &b);
	while (fd_used(&x->f, CONTROL, &head, &written))
		back++;
	assert_true(back > 1 && back < COUNT); /* what was not sent, and the answer */
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	fd_drop(&x->peer[slow]);
	spin(x);
	while (fd_used(&x->f, CONTROL, &head, &written))
		back++;
	assert_int_equal(back, COUNT + 1);
	assert_int_equal(x->g->n_ctxs, 0);
	free(sent);
}

static void nonsense_from_a_renderer_ends_its_context(void **state)
{
	static const struct ctx_msg words[] = {
		{ .type = 0 },
		{ .type = CTX_MSG_SUBMIT },
		{ .type = CTX_MSG_BLOB, .id = 1 },
		{ .type = CTX_MSG_IMPORTED, .id = 1 },
		{ .type = CTX_MSG_RETIRED, .ring_idx = 64 },
		{ .type = UINT32_MAX },
	};
	struct fixture *x = *state;
	struct answer a;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		unsigned peer = begin(x, 1);

		say(x, peer, &words[i], -1);
		submit(x, 1, -2, 0, "x", 1, &a);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	}

	unsigned peer = begin(x, 1);
	struct ctx_msg m = { .type = CTX_MSG_RETIRED, .id = UINT64_MAX };
	/* Fences that are not waited for, and descriptors that nobody wants, do no harm. */
	say(x, peer, &m, STDERR_FILENO);
	m = (struct ctx_msg){ .type = CTX_MSG_LOST };
	say(x, peer, &m, -1);
	submit(x, 1, -2, 0, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(send(x->peer[peer], "short", 5, 0), 5);
	spin(x);
	submit(x, 1, -2, 0, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

/* Else it would have us keep what it does not read, a message more with each answer. */
static void a_renderer_that_answers_what_it_has_not_read_ends_its_context(void **state)
{
	enum { COUNT = 4000 }; /* more than a socket has room for */
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;
	uint64_t id = 0;

	do {
		assert_true(++id < COUNT);
		blob_create(x, 1, 10, PAGE, &a);
		say(x, peer, &(struct ctx_msg){ .type = CTX_MSG_BLOB, .id = id, .code = -ENOMEM },
		    -1);
		assert_true(came_back(x, &a));
	} while (a.h.type == VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	print_message("%ju answers\n", (uintmax_t)id);
	submit(x, 1, -2, 0, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

static void a_dead_renderer_takes_its_own_context_only(void **state)
{
	struct fixture *x = *state;
	unsigned dead = begin(x, 1);
	unsigned alive = begin(x, 2);
	static struct answer a[4];
	struct answer b;
	struct ctx_msg m;

	make_blob(x, dead, 1, 10, PAGE, NULL);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_OK_MAP_INFO);
	submit(x, 1, 5, 50, "x", 1, &a[0]);
	blob_create(x, 1, 11, PAGE, &a[1]);
	blob_map(x, 11, PAGE, &a[2]);
	submit(x, 2, 5, 60, "x", 1, &b);

	fd_drop(&x->peer[dead]);
	spin(x);
	/* Whoever waits is woken; which of them first is nobody's business. */
	unsigned back = 0;
	uint32_t written;
	uint16_t head;
	while (fd_used(&x->f, CONTROL, &head, &written))
		back++;
	assert_int_equal(back, 3);
	assert_int_equal(a[0].h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(a[0].h.fence_id, 50);
	assert_int_equal(a[0].h.flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	assert_int_equal(a[1].h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(a[2].h.type, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);

	/* Memory that it has mapped stays. */
	((uint8_t *)x->window.host)[0] = 1;
	blob_create(x, 1, 12, PAGE, &a[3]);
	assert_true(came_back(x, &a[3]));
	assert_int_equal(a[3].h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 1, 10, &a[3]),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);

	(void)hear(x, alive, &m, a[0].data, 1);
	retire(x, alive, 5, m.id);
	assert_true(came_back(x, &b));
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	(void)begin(x, 1);
}

/* Mesa looks there whenever it has written commands, and often while it waits. */
static void a_dead_renderers_rings_say_so(void **state)
{
	enum { OFF = 2 * PAGE + 64 };
	struct fixture *x = *state;
	unsigned dead = begin(x, 1);
	unsigned alive = begin(x, 2);
	_Atomic uint32_t *words = (_Atomic uint32_t *)x->window.host;
	struct ctx_msg m = { .type = CTX_MSG_RING, .res_id = 10, .offset = OFF };

	make_blob(x, dead, 1, 10, (uint64_t)3 * PAGE, NULL);
	make_blob(x, dead, 1, 11, PAGE, NULL);
	make_blob(x, alive, 2, 12, PAGE, NULL);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_int_equal(ask_map(x, 11, (uint64_t)3 * PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_int_equal(ask_map(x, 12, (uint64_t)4 * PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	say(x, dead, &m, -1);
	m = (struct ctx_msg){ .type = CTX_MSG_RING, .res_id = 12 };
	say(x, alive, &m, -1);
	say(x, dead, &m, -1); /* another context's blob, or one that is gone: no matter */
	m.res_id = 99;
	say(x, dead, &m, -1);
	atomic_store(&words[OFF / 4], 5);

	fd_drop(&x->peer[dead]);
	spin(x);
	for (unsigned i = 0; i < 5 * PAGE / 4; i++)
		assert_int_equal(atomic_load(&words[i]), i == OFF / 4 ? 5 | CTX_RING_FATAL : 0);
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);

	/* A ring that cannot be there. */
	m = (struct ctx_msg){ .type = CTX_MSG_RING, .res_id = 12, .offset = PAGE };
	say(x, alive, &m, -1);
	struct answer a;
	submit(x, 2, -2, 0, "x", 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(atomic_load(&words[4 * PAGE / 4]), CTX_RING_FATAL);
}

static void a_reset_leaves_nothing(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	static struct answer a[6];
	char byte;

	make_blob(x, one, 1, 10, PAGE, NULL);
	blob_map(x, 10, 0, &a[0]); /* never completed */
	blob_create(x, 1, 11, PAGE, &a[1]);
	submit(x, 1, 1, 1, "x", 1, &a[2]);
	submit(x, 2, -1, 1, "x", 1, &a[3]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a[4]);
	(void)ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a[5]);
	assert_int_equal(ctx_destroy(x, 2), VIRTIO_GPU_RESP_OK_NODATA);

	virtio_stop(gpu_dev(x->g));
	assert_int_equal(x->late.resets, 1);
	assert_int_equal(x->g->n_ctxs, 0);
	assert_int_equal(x->g->n_res, 0);
	assert_int_equal(x->g->n_maps, 0);
	assert_int_equal(x->g->memory, 0);
	while (recv(x->peer[one], &byte, 1, 0) > 0)
		;
	assert_int_equal(recv(x->peer[one], &byte, 1, 0), 0);
	while (recv(x->peer[two], &byte, 1, 0) > 0)
		;

	fd_fini(&x->f);
	fd_init(&x->f);
	assert_int_equal(fd_start(&x->f, gpu_dev(x->g), 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		unsigned peer = begin(x, 1 + i);

		make_blob(x, peer, 1 + i, 10 + i, PAGE, NULL);
	}
}

int main(void)
{
#define T(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_LATE(name) cmocka_unit_test_setup_teardown(name, setup_late, teardown)
	const struct CMUnitTest tests[] = {
		T(it_is_a_render_node_with_one_capability_set),
		T(what_it_does_not_have_is_refused),
		T(short_chains_go_back),
		T(a_context_is_a_renderer),
		T(other_capability_sets_have_no_contexts),
		T(contexts_are_limited),
		T(commands_reach_the_renderer_and_fences_come_back),
		T(bad_submissions_are_refused),
		T(fences_without_a_timeline_stay_in_order),
		T(long_submissions_arrive_whole),
		T(a_slow_renderer_holds_up_nobody_else),
		T(a_context_can_be_destroyed_while_its_renderer_is_stuck),
		T(nonsense_from_a_renderer_ends_its_context),
		T(a_renderer_that_answers_what_it_has_not_read_ends_its_context),
		T(a_dead_renderer_takes_its_own_context_only),
		T(a_dead_renderers_rings_say_so),
		T_LATE(a_reset_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
