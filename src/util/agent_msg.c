/* SPDX-License-Identifier: Apache-2.0 */
/* Encoder and decoder of the agent's messages: see agent_msg.h. */
#include "util/agent_msg.h"

#include <errno.h>

#include "util/bytes.h"

/* What the payload of a type holds. */
struct shape {
	const char *name; /* NULL: no such type */
	uint8_t nums;
	uint8_t strs;
	uint8_t has_data;
};

/* clang-format off */
static const struct shape shapes[] = {
	[AGENT_HELLO]    = { "HELLO",    1, 1, 0 },
	[AGENT_READY]    = { "READY",    0, 0, 0 },
	[AGENT_FAILED]   = { "FAILED",   1, 1, 0 },
	[AGENT_STARTED]  = { "STARTED",  1, 0, 0 },
	[AGENT_EXIT]     = { "EXIT",     3, 1, 0 },
	[AGENT_NOTE]     = { "NOTE",     0, 1, 0 },
	[AGENT_DATA]     = { "DATA",     0, 0, 1 },
	[AGENT_CLOSE]    = { "CLOSE",    0, 0, 0 },
	[AGENT_CREDIT]   = { "CREDIT",   1, 0, 0 },
	[AGENT_TIME]     = { "TIME",     2, 0, 0 },
	[AGENT_ROOT]     = { "ROOT",     2, 1, 0 },
	[AGENT_SHARE]    = { "SHARE",    1, 2, 0 },
	[AGENT_HOSTNAME] = { "HOSTNAME", 0, 1, 0 },
	[AGENT_NET]      = { "NET",      4, 1, 0 },
	[AGENT_BOOT]     = { "BOOT",     0, 0, 0 },
	[AGENT_CMD]      = { "CMD",      3, 0, 0 },
	[AGENT_ARG]      = { "ARG",      0, 1, 0 },
	[AGENT_ENV]      = { "ENV",      0, 1, 0 },
	[AGENT_CWD]      = { "CWD",      0, 1, 0 },
	[AGENT_USER]     = { "USER",     0, 1, 0 },
	[AGENT_RLIMIT]   = { "RLIMIT",   3, 0, 0 },
	[AGENT_START]    = { "START",    0, 0, 0 },
	[AGENT_SIGNAL]   = { "SIGNAL",   1, 0, 0 },
	[AGENT_RESIZE]   = { "RESIZE",   2, 0, 0 },
	[AGENT_STOP]     = { "STOP",     1, 0, 0 },
	[AGENT_ACK]      = { "ACK",      0, 0, 0 },
};
/* clang-format on */

static const struct shape *shape_of(unsigned type)
{
	if (type >= ARRAY_LEN(shapes) || !shapes[type].name)
		return NULL;
	return &shapes[type];
}

const char *agent_type_name(unsigned type)
{
	const struct shape *s = shape_of(type);

	return s ? s->name : "?";
}

static void put_le16(struct wr *w, uint16_t v)
{
	wr_copy(w, &v, sizeof(v));
}

int agent_encode(void *buf, size_t len, const struct agent_msg *m)
{
	const struct shape *s = shape_of(m->type);

	if (!s || (s->has_data && m->len == 0))
		return -EINVAL;

	size_t payload = s->nums * sizeof(uint64_t);

	if (s->has_data) {
		if (m->len > AGENT_DATA_MAX)
			return -EMSGSIZE;
		payload += m->len;
	}
	for (unsigned i = 0; i < s->strs; i++) {
		size_t n = m->str[i] ? strlen(m->str[i]) : 0;

		if (n >= AGENT_PAYLOAD_MAX - payload)
			return -EMSGSIZE;
		payload += n + 1;
	}

	struct wr w = wr_init(buf, len);

	wr_le32(&w, (uint32_t)payload);
	put_le16(&w, m->type);
	put_le16(&w, m->stream);
	for (unsigned i = 0; i < s->nums; i++)
		wr_le64(&w, m->num[i]);
	for (unsigned i = 0; i < s->strs; i++) {
		const char *str = m->str[i] ? m->str[i] : "";

		wr_copy(&w, str, strlen(str) + 1);
	}
	if (s->has_data)
		wr_copy(&w, m->data, m->len);
	return w.failed ? -ENOBUFS : (int)(AGENT_HEADER_SIZE + payload);
}

/* A string up to its NUL, which must be inside. */
static const char *take_str(struct rd *r)
{
	const uint8_t *nul = rd_left(r) ? memchr(r->p, '\0', rd_left(r)) : NULL;

	if (!nul) {
		r->failed = true;
		return NULL;
	}
	return (const char *)rd_take(r, (size_t)(nul - r->p) + 1);
}

int agent_decode(const void *buf, size_t len, struct agent_msg *m)
{
	struct rd r = rd_init(buf, len);

	*m = (struct agent_msg){ 0 };
	if (len < AGENT_HEADER_SIZE)
		return 0;

	uint32_t payload = rd_le32(&r);

	m->type = rd_le16(&r);
	m->stream = rd_le16(&r);

	const struct shape *s = shape_of(m->type);

	if (!s || payload > AGENT_PAYLOAD_MAX || m->stream >= AGENT_STREAMS)
		return -EPROTO;
	if (s->has_data && (payload == 0 || payload > AGENT_DATA_MAX))
		return -EPROTO;
	if (rd_left(&r) < payload)
		return 0;

	struct rd p = rd_init(r.p, payload);

	for (unsigned i = 0; i < s->nums; i++)
		m->num[i] = rd_le64(&p);
	for (unsigned i = 0; i < s->strs; i++)
		m->str[i] = take_str(&p);
	if (s->has_data) {
		m->len = rd_left(&p);
		m->data = rd_take(&p, m->len);
	}
	if (!rd_ok(&p) || rd_left(&p) != 0)
		return -EPROTO;
	return (int)(AGENT_HEADER_SIZE + payload);
}
