/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vtest protocol: see server.h.  A message is received whole, checked against its row of the
 * table, parsed, and only then acted upon.  There is no error answer in this protocol: whoever
 * breaks it loses the connection.
 */
#include "vtest/server.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/thread.h"
#include "util/bytes.h"
#include "util/ckd.h"
#include "util/log.h"
#include "vtest/conn.h"
#include "vtest/sync.h"

enum vtest_command {
	RESOURCE_UNREF = 3,
	RESOURCE_BUSY_WAIT = 7,
	CREATE_RENDERER = 8,
	PING_PROTOCOL_VERSION = 10,
	PROTOCOL_VERSION = 11,
	GET_PARAM = 15,
	GET_CAPSET = 16,
	CONTEXT_INIT = 17,
	RESOURCE_CREATE_BLOB = 18,
	SYNC_CREATE = 19,
	SYNC_UNREF = 20,
	SYNC_READ = 21,
	SYNC_WRITE = 22,
	SYNC_WAIT = 23,
	SUBMIT_CMD2 = 24,
};

#define PARAM_MAX_TIMELINE_COUNT 1U
#define SYNC_WAIT_ANY            1U
#define BATCH_RING_IDX           1U
#define BATCH_WORDS_V3           6U
#define BATCH_WORDS_V4           8U
#define MAX_BATCHES              64U
#define NAME_BYTES_MAX           4096U
#define PATIENCE_NS              UINT64_C(100000) /* a small submission ends within it */
#define WORD                     4U
#define SYNC_TRIPLE_WORDS        (VTEST_TRIPLE_SIZE / WORD)

/* What a client must have done before; each state includes those above it. */
enum state {
	STATE_NEW,
	STATE_NAMED,   /* CREATE_RENDERER */
	STATE_VERSION, /* PROTOCOL_VERSION */
	STATE_CONTEXT, /* CONTEXT_INIT */
};

struct vtest_server {
	struct served base;
	struct vtest_conn conn; /* connection's thread, as the rest */
	struct vtest_syncs *syncs;
	enum state state;
	uint32_t version; /* the client's */
	uint32_t next_res_id;
};

struct command {
	const char *name; /* NULL: not a command we serve */
	int (*serve)(struct vtest_server *s, struct rd *payload);
	uint32_t min_words;
	uint32_t max_words;
	enum state needs;
};

/* The sentence that the log gets; the code says who is to blame. */
#define refuse(s, code, ...) err_set((s)->base.e, code, __VA_ARGS__)

static int answer(struct vtest_server *s, uint32_t command, const uint32_t *words, uint32_t count)
{
	uint8_t msg[VTEST_HEADER_SIZE + 2 * WORD];
	struct wr w = wr_init(msg, sizeof(msg));

	wr_le32(&w, count);
	wr_le32(&w, command);
	for (uint32_t i = 0; i < count; i++)
		wr_le32(&w, words[i]);
	return vtest_conn_send(&s->conn, msg, (size_t)(w.p - msg));
}

static int answer_fd(struct vtest_server *s, uint32_t command, const uint32_t *words,
		     uint32_t count, int fd)
{
	uint8_t msg[VTEST_HEADER_SIZE + WORD];
	struct wr w = wr_init(msg, sizeof(msg));

	wr_le32(&w, count);
	wr_le32(&w, command);
	for (uint32_t i = 0; i < count; i++)
		wr_le32(&w, words[i]);
	return vtest_conn_send_fd(&s->conn, msg, (size_t)(w.p - msg), fd);
}

static int ping(struct vtest_server *s, struct rd *p)
{
	(void)p;
	return answer(s, PING_PROTOCOL_VERSION, NULL, 0);
}

static int busy_wait(struct vtest_server *s, struct rd *p)
{
	const uint32_t idle = 0;

	/* Only asked as a probe behind PING, with handle 0: old servers answer this, not that. */
	(void)p;
	return answer(s, RESOURCE_BUSY_WAIT, &idle, 1);
}

static int protocol_version(struct vtest_server *s, struct rd *p)
{
	uint32_t theirs = rd_le32(p);
	uint32_t agreed = theirs < VTEST_PROTOCOL ? theirs : VTEST_PROTOCOL;
	int r = answer(s, PROTOCOL_VERSION, &agreed, 1);

	if (r < 0)
		return r;
	if (theirs < VTEST_PROTOCOL_MIN)
		return refuse(s, -EPROTO,
			      "the client speaks vtest protocol %u and cannot do Vulkan; it needs "
			      "Mesa 25.0 or newer",
			      theirs);
	s->version = theirs;
	s->state = STATE_VERSION;
	return 0;
}

static int get_param(struct vtest_server *s, struct rd *p)
{
	uint32_t words[2] = { 0, 0 };

	if (rd_le32(p) == PARAM_MAX_TIMELINE_COUNT) {
		words[0] = 1;
		words[1] = VENUS_TIMELINES;
	}
	return answer(s, GET_PARAM, words, 2);
}

static int get_capset(struct vtest_server *s, struct rd *p)
{
	uint8_t msg[VTEST_HEADER_SIZE + WORD + VENUS_CAPSET_SIZE] = { 0 };
	struct wr w = wr_init(msg, sizeof(msg));
	uint8_t capset[VENUS_CAPSET_SIZE];
	uint32_t id = rd_le32(p);
	uint32_t version = rd_le32(p);
	bool known = id == VENUS_CAPSET_ID && version == VENUS_CAPSET_VERSION;

	wr_le32(&w, known ? 1 + VENUS_CAPSET_SIZE / WORD : 1);
	wr_le32(&w, GET_CAPSET);
	wr_le32(&w, known);
	if (known) {
		venus_capset_fill(capset);
		wr_copy(&w, capset, sizeof(capset));
	}
	return vtest_conn_send(&s->conn, msg, (size_t)(w.p - msg));
}

/* The context's threads call this. */
static void on_fence(void *user, uint32_t ring_idx, uint64_t fence_id)
{
	struct vtest_server *s = user;

	(void)ring_idx;
	vtest_fence_retire(s->syncs, fence_id);
}

/* The context's threads call this: nobody will move the syncs any more.  Takes no lock of s. */
static void on_fatal(void *user)
{
	struct vtest_server *s = user;

	int fd = atomic_load(&s->base.fd); /* stays open as long as callbacks can come */

	vtest_syncs_lose(s->syncs);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RD); /* the connection's thread finds an end there */
}

static int context_init(struct vtest_server *s, struct rd *p)
{
	uint32_t id = rd_le32(p);

	if (s->base.ctx)
		return refuse(s, -EPROTO, "the client initialised its context twice");
	if (id != VENUS_CAPSET_ID)
		return refuse(s, -EPROTO,
			      "the client asked for capset %u; only Vulkan (%u) is offered", id,
			      VENUS_CAPSET_ID);

	int r = served_open(&s->base, on_fence, on_fatal, NULL, s);
	if (r < 0)
		return r;
	s->state = STATE_CONTEXT;
	return 0;
}

static int create_blob(struct vtest_server *s, struct rd *p)
{
	uint32_t mem = rd_le32(p);
	uint32_t flags = rd_le32(p);
	uint64_t size = rd_le64(p);
	uint64_t blob_id = rd_le64(p);
	struct venus_blob blob = { .fd = -1 };
	int r;

	/* Ids are free-running; one that is still in use after 2^32 others is skipped. */
	do {
		if (++s->next_res_id == 0)
			s->next_res_id = 1;
		r = venus_ctx_create_blob(s->base.ctx, s->next_res_id, mem, flags, blob_id, size,
					  &blob);
	} while (r == -EEXIST);
	if (r < 0)
		return refuse(
			s, r == -ENOMEM ? r : -EPROTO,
			"a blob of %ju bytes (kind %u, flags 0x%x, %s) cannot be made: %s",
			(uintmax_t)size, mem, flags, blob_id ? "of a memory" : "shared memory",
			r == -ENOENT ? "there is no such memory, its allocation may have failed"
				     : strerror(-r));
	if (blob.offset != 0) { /* clients map the descriptor at 0 */
		fd_drop(&blob.fd);
		return refuse(s, -EPROTO, "the blob is not at the start of its descriptor");
	}
	r = answer_fd(s, RESOURCE_CREATE_BLOB, &s->next_res_id, 1, blob.fd);
	fd_drop(&blob.fd);
	return r;
}

static int resource_unref(struct vtest_server *s, struct rd *p)
{
	uint32_t id = rd_le32(p);

	if (venus_ctx_unref_resource(s->base.ctx, id) < 0)
		return refuse(s, -EPROTO, "the client dropped resource %u, which does not exist",
			      id);
	return 0;
}

static int sync_error(struct vtest_server *s, int r)
{
	switch (r) {
	case -ENOENT:
		return refuse(s, -EPROTO, "the client named a sync that does not exist");
	case -EINVAL:
		return refuse(s, -EPROTO, "the client named more than %u syncs at once",
			      VTEST_MAX_BATCH_SYNCS);
	case -ENOMEM:
		return refuse(s, -ENOMEM, "the client reached the limit of syncs, waits or fences");
	default:
		return refuse(s, r, "no descriptor for a wait: %s", strerror(-r));
	}
}

static int sync_create(struct vtest_server *s, struct rd *p)
{
	uint32_t id;
	int r = vtest_sync_create(s->syncs, rd_le64(p), &id);

	return r < 0 ? sync_error(s, r) : answer(s, SYNC_CREATE, &id, 1);
}

static int sync_unref(struct vtest_server *s, struct rd *p)
{
	int r = vtest_sync_unref(s->syncs, rd_le32(p));

	return r < 0 ? sync_error(s, r) : 0;
}

static int sync_read(struct vtest_server *s, struct rd *p)
{
	uint64_t value = 0;
	int r = vtest_sync_read(s->syncs, rd_le32(p), &value);
	const uint32_t words[2] = { (uint32_t)value, (uint32_t)(value >> 32) };

	return r < 0 ? sync_error(s, r) : answer(s, SYNC_READ, words, 2);
}

static int sync_write(struct vtest_server *s, struct rd *p)
{
	uint32_t id = rd_le32(p);
	int r = vtest_sync_write(s->syncs, id, rd_le64(p));

	return r < 0 ? sync_error(s, r) : 0;
}

static int sync_wait(struct vtest_server *s, struct rd *p)
{
	uint32_t flags = rd_le32(p);
	uint32_t timeout_ms = rd_le32(p);
	size_t words = rd_left(p) / WORD;
	bool is_shared;
	int fd;

	if (flags & ~SYNC_WAIT_ANY)
		return refuse(s, -EPROTO, "the client sent SYNC_WAIT with unknown flags 0x%x",
			      flags);
	if (words % SYNC_TRIPLE_WORDS != 0)
		return refuse(s, -EPROTO, "the client sent SYNC_WAIT with a broken length");

	int r = vtest_sync_wait(s->syncs, flags & SYNC_WAIT_ANY, timeout_ms, p,
				(uint32_t)(words / SYNC_TRIPLE_WORDS), &fd, &is_shared);
	if (r < 0)
		return sync_error(s, r);
	r = answer_fd(s, SYNC_WAIT, NULL, 0, fd);
	if (!is_shared)
		fd_drop(&fd);
	return r;
}

struct batch {
	uint32_t flags;
	uint32_t cmd_offset; /* words from the start of the payload, as all here */
	uint32_t cmd_size;
	uint32_t sync_offset;
	uint32_t sync_count;
	uint32_t ring_idx;
};

/* @words: of the whole payload */
static int batch_read(struct vtest_server *s, struct rd *p, uint32_t stride, uint64_t words,
		      struct batch *b)
{
	b->flags = rd_le32(p);
	b->cmd_offset = rd_le32(p);
	b->cmd_size = rd_le32(p);
	b->sync_offset = rd_le32(p);
	b->sync_count = rd_le32(p);
	b->ring_idx = rd_le32(p);

	uint32_t syncobjs = 0;
	for (uint32_t i = BATCH_WORDS_V3; i < stride; i++)
		syncobjs |= rd_le32(p);

	if ((b->flags & ~BATCH_RING_IDX) != 0 || syncobjs != 0)
		return refuse(s, -EPROTO,
			      "the client sent SUBMIT_CMD2 with sync objects or flags "
			      "of other drivers");
	if (!(b->flags & BATCH_RING_IDX))
		b->ring_idx = VENUS_CPU_TIMELINE;
	if (b->ring_idx >= VENUS_TIMELINES)
		return refuse(s, -EPROTO, "the client submitted to timeline %u of %u", b->ring_idx,
			      VENUS_TIMELINES);
	/* None of the products below can wrap: 32-bit values in 64-bit arithmetic. */
	if (b->cmd_size && !range_fits(b->cmd_offset, b->cmd_size, words))
		return refuse(s, -EPROTO, "the client's commands end after their message");
	if (b->sync_count &&
	    !range_fits(b->sync_offset, (uint64_t)b->sync_count * SYNC_TRIPLE_WORDS, words))
		return refuse(s, -EPROTO, "the client's syncs end after their message");
	return 0;
}

static int batch_run(struct vtest_server *s, const uint8_t *payload, const struct batch *b)
{
	int r;

	if (b->cmd_size) {
		r = venus_ctx_submit(s->base.ctx, payload + (size_t)b->cmd_offset * WORD,
				     (size_t)b->cmd_size * WORD);
		if (r < 0)
			return refuse(s, r, "the context refuses further commands");
	}
	if (!b->sync_count)
		return 0;

	struct rd triples = rd_init(payload + (size_t)b->sync_offset * WORD,
				    (size_t)b->sync_count * VTEST_TRIPLE_SIZE);
	uint64_t fence_id;
	r = vtest_fence_prepare(s->syncs, &triples, b->sync_count, &fence_id);
	if (r < 0)
		return sync_error(s, r);
	r = venus_ctx_fence(s->base.ctx, b->ring_idx, fence_id);
	if (r < 0) {
		vtest_fence_cancel(s->syncs, fence_id);
		return refuse(s, r == -ENOMEM ? r : -EPROTO, "a fence on timeline %u failed: %s",
			      b->ring_idx, r == -EINVAL ? "no queue is bound to it" : strerror(-r));
	}
	return 0;
}

static int submit(struct vtest_server *s, struct rd *p)
{
	const uint8_t *payload = p->p;
	uint64_t words = rd_left(p) / WORD;
	uint32_t count = rd_le32(p);
	/* A client built for protocol 4 sends long headers even if 3 was agreed. */
	uint32_t stride = s->version >= 4 ? BATCH_WORDS_V4 : BATCH_WORDS_V3;
	struct batch batches[MAX_BATCHES];

	if (count > MAX_BATCHES || (count > 1 && stride == BATCH_WORDS_V3))
		return refuse(s, -EPROTO, "the client sent SUBMIT_CMD2 with %u batches", count);
	if ((uint64_t)count * stride > words - 1)
		return refuse(s, -EPROTO, "the client's batch headers end after their message");
	for (uint32_t i = 0; i < count; i++) {
		int r = batch_read(s, p, stride, words, &batches[i]);

		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < count; i++) {
		int r = batch_run(s, payload, &batches[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

#define MAX_WORDS (VTEST_MSG_MAX / WORD)

/* clang-format off */
static const struct command commands[] = {
	[RESOURCE_UNREF]        = { "RESOURCE_UNREF",        resource_unref,   1, 1,         STATE_CONTEXT },
	[RESOURCE_BUSY_WAIT]    = { "RESOURCE_BUSY_WAIT",    busy_wait,        2, 2,         STATE_NAMED },
	[PING_PROTOCOL_VERSION] = { "PING_PROTOCOL_VERSION", ping,             0, 0,         STATE_NAMED },
	[PROTOCOL_VERSION]      = { "PROTOCOL_VERSION",      protocol_version, 1, 1,         STATE_NAMED },
	[GET_PARAM]             = { "GET_PARAM",             get_param,        1, 1,         STATE_VERSION },
	[GET_CAPSET]            = { "GET_CAPSET",            get_capset,       2, 2,         STATE_VERSION },
	[CONTEXT_INIT]          = { "CONTEXT_INIT",          context_init,     1, 1,         STATE_VERSION },
	[RESOURCE_CREATE_BLOB]  = { "RESOURCE_CREATE_BLOB",  create_blob,      6, 6,         STATE_CONTEXT },
	[SYNC_CREATE]           = { "SYNC_CREATE",           sync_create,      2, 2,         STATE_CONTEXT },
	[SYNC_UNREF]            = { "SYNC_UNREF",            sync_unref,       1, 1,         STATE_CONTEXT },
	[SYNC_READ]             = { "SYNC_READ",             sync_read,        1, 1,         STATE_CONTEXT },
	[SYNC_WRITE]            = { "SYNC_WRITE",            sync_write,       3, 3,         STATE_CONTEXT },
	[SYNC_WAIT]             = { "SYNC_WAIT",             sync_wait,        2, MAX_WORDS, STATE_CONTEXT },
	[SUBMIT_CMD2]           = { "SUBMIT_CMD2",           submit,           1, MAX_WORDS, STATE_CONTEXT },
};
/* clang-format on */

/* CREATE_RENDERER comes first and is the one message whose length is in bytes. */
static int create_renderer(struct vtest_server *s, uint32_t len)
{
	const uint8_t *bytes;

	if (len == 0 || len > NAME_BYTES_MAX)
		return refuse(s, -EPROTO, "the client's name has %u bytes", len);

	int r = vtest_conn_peek(&s->conn, VTEST_HEADER_SIZE + len, &bytes);
	if (r < 0)
		return r;

	size_t n = strnlen((const char *)bytes + VTEST_HEADER_SIZE, len);
	served_set_name(&s->base, bytes + VTEST_HEADER_SIZE, n);
	vtest_conn_skip(&s->conn, VTEST_HEADER_SIZE + len);
	s->state = STATE_NAMED;
	return 0;
}

static int serve_one(struct vtest_server *s)
{
	const uint8_t *bytes;
	int r = vtest_conn_peek(&s->conn, VTEST_HEADER_SIZE, &bytes);

	if (r < 0)
		return r;

	struct rd header = rd_init(bytes, VTEST_HEADER_SIZE);
	uint32_t words = rd_le32(&header);
	uint32_t id = rd_le32(&header);

	if (s->state == STATE_NEW) {
		if (id != CREATE_RENDERER)
			return refuse(s, -EPROTO,
				      "the client did not start with CREATE_RENDERER; "
				      "is it a vtest client at all?");
		return create_renderer(s, words);
	}

	const struct command *c = id < ARRAY_LEN(commands) ? &commands[id] : &commands[0];
	if (!c->serve)
		return refuse(s, -EPROTO,
			      "the client sent command %u; an OpenGL (virgl) client "
			      "is not served here",
			      id);
	if (words < c->min_words || words > c->max_words)
		return refuse(s, -EPROTO, "the client sent %s with %u words", c->name, words);
	if (s->state < c->needs)
		return refuse(s, -EPROTO, "the client sent %s too early", c->name);

	size_t len = (size_t)words * WORD;
	r = vtest_conn_peek(&s->conn, VTEST_HEADER_SIZE + len, &bytes);
	if (r < 0)
		return r;

	/* The bytes stay in place until the next receive: nobody else can change them. */
	struct rd payload = rd_init(bytes + VTEST_HEADER_SIZE, len);
	r = c->serve(s, &payload);
	vtest_conn_skip(&s->conn, VTEST_HEADER_SIZE + len);
	return r;
}

static struct vtest_server *of(struct served *base)
{
	return container_of(base, struct vtest_server, base);
}

int vtest_server_create(const struct served_config *cfg, struct served **out)
{
	struct vtest_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	served_init(&s->base, cfg, SHUT_RDWR);

	int r = vtest_syncs_create(&s->syncs);
	if (r < 0) {
		vtest_server_destroy(&s->base);
		return r;
	}
	*out = &s->base;
	return 0;
}

void vtest_server_destroy(struct served *base)
{
	if (!base)
		return;
	struct vtest_server *s = of(base);

	vtest_syncs_destroy(s->syncs);
	served_fini(base);
	free(s);
}

int vtest_serve(struct served *base, int fd, struct err *e)
{
	struct vtest_server *s = of(base);
	uint64_t spin_ns = base->cfg.spin_ns;
	int r = vtest_conn_init(&s->conn, fd);

	if (r < 0)
		return err_set(e, r, "no memory for a client");
	s->conn.spin_ns = spin_ns;
	vtest_syncs_set_patience(s->syncs, spin_ns < PATIENCE_NS ? spin_ns : PATIENCE_NS);

	bool goes_on = served_begin(base, fd, e);
	while (r == 0 && goes_on)
		r = serve_one(s);

	bool is_fatal = base->ctx && venus_ctx_is_fatal(base->ctx);
	if (is_fatal && r == -ENODATA)
		r = refuse(s, -EPROTO, "the client's commands were refused");
	if (r == -EPIPE || r == -EIO)
		r = -ECONNRESET;
	if (r == -ENODATA)
		r = 0;
	if (r < 0 && base->e->text[0] == '\0')
		(void)refuse(s, r, "the client vanished without taking leave");

	/* Whoever waits learns at once, not after the driver has come to rest. */
	vtest_syncs_lose(s->syncs);
	vtest_conn_fini(&s->conn);
	return served_end(base) < 0 ? -ETIMEDOUT : r;
}
