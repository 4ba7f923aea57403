/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The renderer's side of render/ctx_msg.h: see guest.h.  The device at the other end is trusted to
 * read what we send; the commands it passes on are not trusted at all, and go to the context.
 */
#include "vtest/guest.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "host/fd.h"
#include "host/thread.h"
#include "render/ctx_msg.h"
#include "util/log.h"

_Static_assert(CTX_NAME_MAX == SERVED_NAME_SIZE, "names fit");

struct packet {
	struct ctx_msg m;
	uint8_t data[CTX_DATA_MAX];
};

struct guest_server {
	struct served base;
	struct packet *in;   /* context's thread, as the rest */
	uint8_t *commands;   /* beginning of a submission of several messages; CTX_SUBMIT_MAX */
	size_t commands_len; /* bytes of it */
};

#define refuse(s, code, ...) err_set((s)->base.e, code, __VA_ARGS__)

/* Any thread: packets are atomic.  The device reads at all times, so this does not block for long.
 */
static int say(struct guest_server *s, const struct ctx_msg *m, const int *fd)
{
	int sock = atomic_load(&s->base.fd);

	return sock < 0 ? -EPIPE : fd_send(sock, m, sizeof(*m), fd, fd ? 1 : 0);
}

/* The context's threads call this.  A device that is gone needs no fences. */
static void on_fence(void *user, uint32_t ring_idx, uint64_t fence_id)
{
	(void)say(
		user,
		&(struct ctx_msg){ .type = CTX_MSG_RETIRED, .ring_idx = ring_idx, .id = fence_id },
		NULL);
}

static void on_fatal(void *user)
{
	(void)say(user, &(struct ctx_msg){ .type = CTX_MSG_LOST }, NULL);
}

static void on_ring(void *user, uint32_t res_id, uint64_t off)
{
	(void)say(user, &(struct ctx_msg){ .type = CTX_MSG_RING, .res_id = res_id, .offset = off },
		  NULL);
}

static int begin(struct guest_server *s, size_t len)
{
	if (s->base.ctx)
		return refuse(s, -EPROTO, "the device began its context twice");
	if (len >= sizeof(s->base.name))
		return refuse(s, -EPROTO, "the context's name is too long");
	served_set_name(&s->base, s->in->data, len);
	return served_open(&s->base, on_fence, on_fatal, on_ring, s);
}

/* Keeps the part of a submission that has come. */
static int gather(struct guest_server *s, size_t len)
{
	if (len > CTX_SUBMIT_MAX - s->commands_len)
		return refuse(s, -EPROTO, "a submission has more than %u bytes", CTX_SUBMIT_MAX);
	if (!s->commands)
		s->commands = malloc(CTX_SUBMIT_MAX);
	if (!s->commands)
		return refuse(s, -ENOMEM, "no memory for a submission");
	memcpy(s->commands + s->commands_len, s->in->data, len);
	s->commands_len += len;
	return 0;
}

static int submit(struct guest_server *s, size_t len)
{
	const struct ctx_msg *m = &s->in->m;
	const uint8_t *bytes = s->in->data;
	int r = 0;

	if (s->commands_len || (m->flags & CTX_MSG_MORE)) {
		r = gather(s, len);
		if (r < 0 || (m->flags & CTX_MSG_MORE))
			return r;
		bytes = s->commands;
		len = s->commands_len;
		s->commands_len = 0;
	}
	/* Of a fatal context the device has heard by CTX_MSG_LOST; its fences still retire. */
	if (len && venus_ctx_submit(s->base.ctx, bytes, len) < 0)
		log_debug(GPU, "%s: a submission was refused", s->base.name);
	if (len > CTX_DATA_MAX) {
		free(s->commands);
		s->commands = NULL;
	}
	if (m->flags & CTX_MSG_FENCED)
		r = venus_ctx_fence(s->base.ctx, m->ring_idx, m->id);
	if (r == 0)
		return 0;
	return say(
		s,
		&(struct ctx_msg){
			.type = CTX_MSG_RETIRED, .ring_idx = m->ring_idx, .id = m->id, .code = r },
		NULL);
}

static uint32_t kind_of(enum venus_blob_kind kind)
{
	switch (kind) {
	case VENUS_BLOB_DMABUF:
		return CTX_BLOB_DMABUF;
	case VENUS_BLOB_DRIVER:
		return CTX_BLOB_DRIVER;
	case VENUS_BLOB_SHM:
	case VENUS_BLOB_MEMORY:
	default:
		return CTX_BLOB_SHM;
	}
}

static int create_blob(struct guest_server *s)
{
	const struct ctx_msg *m = &s->in->m;
	struct ctx_msg answer = { .type = CTX_MSG_BLOB, .id = m->id, .res_id = m->res_id };
	struct venus_blob blob = { .fd = -1 };

	answer.code = venus_ctx_create_blob(s->base.ctx, m->res_id, VENUS_BLOB_MEM_HOST3D,
					    m->blob_flags, m->blob_id, m->size, &blob);
	if (answer.code < 0)
		return say(s, &answer, NULL);
	answer.kind = kind_of(blob.kind);
	answer.offset = blob.offset;
	answer.size = blob.size;
	answer.map_info = blob.map_info;

	int r = say(s, &answer, &blob.fd);
	fd_drop(&blob.fd);
	return r;
}

static int import(struct guest_server *s, int fd)
{
	const struct ctx_msg *m = &s->in->m;
	struct ctx_msg answer = { .type = CTX_MSG_IMPORTED, .id = m->id, .res_id = m->res_id };
	const struct venus_blob blob = {
		.kind = m->kind == CTX_BLOB_DMABUF ? VENUS_BLOB_DMABUF : VENUS_BLOB_MEMORY,
		.fd = fd,
		.offset = m->offset,
		.size = m->size,
	};

	if (fd < 0)
		return refuse(s, -EPROTO, "the device sent a blob without its descriptor");
	answer.code = venus_ctx_import_resource(s->base.ctx, m->res_id, &blob);
	return say(s, &answer, NULL);
}

static int heed(struct guest_server *s, size_t len, int fd)
{
	if (s->in->m.type == CTX_MSG_BEGIN)
		return begin(s, len);
	if (!s->base.ctx)
		return refuse(s, -EPROTO, "the device did not begin with its context");
	switch (s->in->m.type) {
	case CTX_MSG_SUBMIT:
		return submit(s, len);
	case CTX_MSG_CREATE_BLOB:
		return create_blob(s);
	case CTX_MSG_IMPORT:
		return import(s, fd);
	case CTX_MSG_UNREF:
		(void)venus_ctx_unref_resource(s->base.ctx, s->in->m.res_id);
		return 0;
	default:
		return refuse(s, -EPROTO, "the device sent message %u", s->in->m.type);
	}
}

/* Polls for a while: the next message of a busy guest is near, and waking up takes longer. */
static void spin(const struct guest_server *s, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t until = s->base.cfg.spin_ns ? clock_now_ns() + s->base.cfg.spin_ns : 0;

	/* #syscalls renderer: poll */
	while (until && poll(&p, 1, 0) == 0 && clock_now_ns() < until)
		;
}

static int serve_one(struct guest_server *s, int fd)
{
	AUTO_FD passed = -1;
	unsigned nfds = 1;

	spin(s, fd);
	/* #syscalls renderer: recvmsg */
	ssize_t n = fd_recv(fd, s->in, sizeof(*s->in), &passed, &nfds);

	if (n == 0 || n == -ECONNRESET)
		return -ENODATA;
	if (n < 0)
		return refuse(s, (int)n, "the device cannot be heard: %s", strerror((int)-n));
	if ((size_t)n < sizeof(s->in->m))
		return refuse(s, -EPROTO, "the device sent %zd bytes", n);
	return heed(s, (size_t)n - sizeof(s->in->m), passed);
}

static struct guest_server *of(struct served *base)
{
	return container_of(base, struct guest_server, base);
}

int guest_create(const struct served_config *cfg, struct served **out)
{
	struct guest_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	served_init(&s->base, cfg, SHUT_RD); /* what retires while it stops is still told */
	s->in = malloc(sizeof(*s->in));
	if (!s->in) {
		guest_destroy(&s->base);
		return -ENOMEM;
	}
	*out = &s->base;
	return 0;
}

void guest_destroy(struct served *base)
{
	if (!base)
		return;
	struct guest_server *s = of(base);

	free(s->in);
	free(s->commands);
	served_fini(base);
	free(s);
}

int guest_serve(struct served *base, int fd, struct err *e)
{
	bool goes_on = served_begin(base, fd, e);
	int r = 0;

	while (r == 0 && goes_on)
		r = serve_one(of(base), fd);
	if (r == -EPIPE || r == -ENODATA)
		r = 0;
	return served_end(base) < 0 ? -ETIMEDOUT : r;
}
