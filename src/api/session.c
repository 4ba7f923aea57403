/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the agent protocol: see session.h.
 *
 * The caller's descriptors are shared with other programs, so they are not made non-blocking.
 * Reading waits for poll(); writing is done in pieces that poll() has promised room for.
 */
#include "api/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fd.h"
#include "util/bytes.h"

#define CREDIT_STEP (AGENT_WINDOW / 4)

enum { POLL_STREAM, POLL_WAKE, POLL_STDIO };

int session_init(struct session *s, int fd)
{
	*s = (struct session){ .is_init = true, .stdio = { -1, -1, -1 }, .wake = { -1, -1 } };
	mutex_init(&s->lock);
	if (pipe2(s->wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;

	int r = fd_set_nonblock(fd);

	return r < 0 ? r : agent_io_init(&s->io, fd);
}

void session_fini(struct session *s)
{
	if (!s->is_init)
		return;
	for (int i = 0; i < AGENT_STREAMS; i++) {
		fd_drop(&s->stdio[i]);
		free(s->out[i].buf);
	}
	fd_drop(&s->wake[0]);
	fd_drop(&s->wake[1]);
	agent_io_fini(&s->io);
	mutex_fini(&s->lock);
	*s = (struct session){ 0 };
}

int session_send(struct session *s, const struct agent_msg *m)
{
	return agent_io_send(&s->io, m);
}

static int send_stream(struct session *s, enum agent_type type, unsigned stream, uint64_t num)
{
	return agent_io_send(&s->io, &(struct agent_msg){ .type = (uint16_t)type,
							  .stream = (uint16_t)stream,
							  .num = { num } });
}

static int send_strs(struct session *s, enum agent_type type, char *const *v)
{
	size_t bytes = 0;
	unsigned n = 0;
	int r = 0;

	for (; v && v[n] && r == 0; n++) {
		bytes += strlen(v[n]) + sizeof(char *);
		if (n >= AGENT_ITEMS_MAX || bytes > AGENT_SPEC_MAX)
			return -E2BIG;
		r = session_send(s, &(struct agent_msg){ .type = (uint16_t)type, .str = { v[n] } });
	}
	return r == -EMSGSIZE ? -E2BIG : r;
}

int session_run(struct session *s, const struct session_spec *spec, int stdio[AGENT_STREAMS])
{
	for (int i = 0; i < AGENT_STREAMS; i++)
		s->stdio[i] = take_fd(&stdio[i]);
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		s->out[i].buf = malloc(AGENT_WINDOW);
		if (!s->out[i].buf)
			return -ENOMEM;
	}

	unsigned flags = spec->flags | (s->stdio[AGENT_STDIN] < 0 ? AGENT_CMD_NO_STDIN : 0);
	int r = session_send(s, &(struct agent_msg){ .type = AGENT_CMD,
						     .num = { flags, spec->rows, spec->cols } });

	if (r == 0)
		r = send_strs(s, AGENT_ARG, spec->argv);
	if (r == 0)
		r = send_strs(s, AGENT_ENV, spec->env);
	if (r == 0 && spec->cwd)
		r = session_send(s, &(struct agent_msg){ .type = AGENT_CWD, .str = { spec->cwd } });
	if (r == 0 && spec->user)
		r = session_send(s,
				 &(struct agent_msg){ .type = AGENT_USER, .str = { spec->user } });
	for (unsigned i = 0; r == 0 && i < spec->nrlimits; i++) {
		const struct session_rlimit *l = &spec->rlimits[i];

		r = session_send(s, &(struct agent_msg){
					    .type = AGENT_RLIMIT,
					    .num = { (uint64_t)l->resource, l->soft, l->hard } });
	}
	if (r == 0)
		r = session_send(s, &(struct agent_msg){ .type = AGENT_START });
	s->in_credit = AGENT_WINDOW;
	s->has_cmd = r == 0;
	return r;
}

void session_polls(const struct session *s, struct pollfd *p)
{
	p[POLL_STREAM] = (struct pollfd){ .fd = s->is_gone ? -1 : s->io.fd, .events = POLLIN };
	if (agent_io_pending(&s->io))
		p[POLL_STREAM].events |= POLLOUT;
	p[POLL_WAKE] = (struct pollfd){ .fd = s->wake[0], .events = POLLIN };
	for (int i = 0; i < AGENT_STREAMS; i++)
		p[POLL_STDIO + i] = (struct pollfd){ .fd = -1 };
	if (!s->has_cmd)
		return;
	if (!s->is_gone && !s->has_exit && s->in_credit > 0 && !agent_io_is_busy(&s->io))
		p[POLL_STDIO] = (struct pollfd){ .fd = s->stdio[AGENT_STDIN], .events = POLLIN };
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		/* Without output too: that a reader has gone is news for the writer. */
		p[POLL_STDIO + i] = (struct pollfd){ .fd = s->stdio[i],
						     .events = s->out[i].len > 0 ? POLLOUT : 0 };
	}
}

void session_copy_text(char *to, size_t len, const char *from)
{
	(void)snprintf(to, len, "%s", from);
	for (size_t i = 0; to[i]; i++)
		memset(to + i, '?', control_len(to + i));
}

static void say(struct session *s, const char *text)
{
	if (s->note && s->notes < SESSION_NOTES_MAX)
		s->note(s->note_arg, text);
	s->notes += s->notes < SESSION_NOTES_MAX;
}

static void drop_out(struct session *s, unsigned i)
{
	fd_drop(&s->stdio[i]);
	s->out[i].len = 0;
}

static int take_data(struct session *s, const struct agent_msg *m)
{
	struct session_out *o = &s->out[m->stream];
	const uint8_t *from = m->data;

	if (m->stream == AGENT_STDIN || o->ends || !o->buf ||
	    m->len > AGENT_WINDOW - o->len - o->credit)
		return -EPROTO;
	if (s->stdio[m->stream] < 0) /* our reader has gone; the guest will have heard soon */
		return 0;

	size_t at = (o->at + o->len) % AGENT_WINDOW;
	size_t first = m->len < AGENT_WINDOW - at ? m->len : AGENT_WINDOW - at;

	memcpy(o->buf + at, from, first);
	memcpy(o->buf, from + first, m->len - first);
	o->len += m->len;
	return 0;
}

static int take_exit(struct session *s, const struct agent_msg *m)
{
	if (m->num[0] > AGENT_HOW_FAILED || m->num[1] > UINT16_MAX)
		return -EPROTO;
	s->has_exit = true;
	s->exit.how = (enum agent_how)m->num[0];
	s->exit.value = (int)m->num[1];
	s->exit.flags = (unsigned)(m->num[2] & (AGENT_EXIT_OOM | AGENT_EXIT_EXEC));
	session_copy_text(s->exit.text, sizeof(s->exit.text), m->str[0]);
	fd_drop(&s->stdio[AGENT_STDIN]);
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++)
		s->out[i].ends = true;
	return 0;
}

static int take_msg(struct session *s, const struct agent_msg *m)
{
	char text[SESSION_TEXT_MAX];

	if (!s->has_hello && m->type != AGENT_HELLO)
		return -EPROTO;
	switch (m->type) {
	case AGENT_HELLO:
		if (s->has_hello || m->num[0] != AGENT_VERSION)
			return -EPROTO;
		s->has_hello = true;
		session_copy_text(s->release, sizeof(s->release), m->str[0]);
		return 0;
	case AGENT_READY:
		s->is_ready = true;
		return 0;
	case AGENT_FAILED:
		s->has_failed = true;
		session_copy_text(s->exit.text, sizeof(s->exit.text), m->str[0]);
		return 0;
	case AGENT_STARTED:
		return 0;
	case AGENT_EXIT:
		return s->has_exit ? -EPROTO : take_exit(s, m);
	case AGENT_NOTE:
		session_copy_text(text, sizeof(text), m->str[0]);
		say(s, text);
		return 0;
	case AGENT_DATA:
		return take_data(s, m);
	case AGENT_CLOSE:
		if (m->stream == AGENT_STDIN)
			fd_drop(&s->stdio[AGENT_STDIN]);
		else
			s->out[m->stream].ends = true;
		return 0;
	case AGENT_CREDIT:
		if (m->stream != AGENT_STDIN || m->num[0] > AGENT_WINDOW - s->in_credit)
			return -EPROTO;
		s->in_credit += m->num[0];
		return 0;
	default:
		return -EPROTO;
	}
}

static int take_input(struct session *s)
{
	struct agent_msg m;
	int r = agent_io_fill(&s->io);

	if (r == -ENODATA || r == -ECONNRESET)
		s->is_gone = true;
	else if (r < 0)
		return r;
	while ((r = agent_io_next(&s->io, &m)) > 0) {
		r = take_msg(s, &m);
		if (r < 0)
			return r;
	}
	return r;
}

/* One portion of the caller's stdin. */
static int pump_in(struct session *s, uint8_t *buf)
{
	size_t want = s->in_credit < AGENT_DATA_MAX ? (size_t)s->in_credit : AGENT_DATA_MAX;
	ssize_t n = read(s->stdio[AGENT_STDIN], buf, want);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) { /* an unreadable stdin is an empty one, as for every program */
		fd_drop(&s->stdio[AGENT_STDIN]);
		return send_stream(s, AGENT_CLOSE, AGENT_STDIN, 0);
	}
	s->in_credit -= (uint64_t)n;
	return session_send(s, &(struct agent_msg){ .type = AGENT_DATA,
						    .stream = AGENT_STDIN,
						    .data = buf,
						    .len = (size_t)n });
}

/* Writes what poll() has promised not to block on. */
static ssize_t write_some(int fd, const uint8_t *p, size_t len)
{
	struct stat st;
	ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	/* A pipe or terminal that poll() calls writable has room for PIPE_BUF; files never block.
	 */
	if (len > PIPE_BUF && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		len = PIPE_BUF;
	return write(fd, p, len);
}

static int pump_out(struct session *s, unsigned i, short revents)
{
	struct session_out *o = &s->out[i];
	bool failed = o->len == 0 && revents & (POLLERR | POLLHUP | POLLNVAL);

	if (o->len > 0) {
		size_t n = AGENT_WINDOW - o->at;
		ssize_t done = write_some(s->stdio[i], o->buf + o->at, o->len < n ? o->len : n);

		if (done < 0 && errno != EINTR && errno != EAGAIN) {
			failed = true;
			if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
				say(s, "the output of the command cannot be written any more: "
				       "no space is left on this host's device");
		}
		if (done > 0) {
			o->at = (o->at + (size_t)done) % AGENT_WINDOW;
			o->len -= (size_t)done;
			o->credit += (size_t)done;
		}
	}
	if (failed) {
		drop_out(s, i);
		return o->ends ? 0 : send_stream(s, AGENT_CLOSE, i, 0);
	}
	if (!o->ends && (o->credit >= CREDIT_STEP || (o->credit > 0 && o->len == 0))) {
		uint64_t credit = o->credit;

		o->credit = 0;
		return send_stream(s, AGENT_CREDIT, i, credit);
	}
	return 0;
}

static int take_wishes(struct session *s)
{
	uint8_t drain[64];
	uint64_t signals;
	bool resize;
	uint64_t rows;
	uint64_t cols;
	int r = 0;

	while (read(s->wake[0], drain, sizeof(drain)) > 0)
		;
	mutex_lock(&s->lock);
	signals = s->signals;
	resize = s->resize;
	rows = s->rows;
	cols = s->cols;
	s->signals = 0;
	s->resize = false;
	mutex_unlock(&s->lock);
	if (!s->has_cmd || s->has_exit || s->is_gone)
		return 0;
	if (resize)
		r = session_send(
			s, &(struct agent_msg){ .type = AGENT_RESIZE, .num = { rows, cols } });
	for (unsigned n = 1; r == 0 && n <= 64; n++) {
		if (signals >> (n - 1) & 1)
			r = session_send(s,
					 &(struct agent_msg){ .type = AGENT_SIGNAL, .num = { n } });
	}
	return r;
}

int session_step(struct session *s, const struct pollfd *p, uint8_t *buf)
{
	int r = 0;

	if (p[POLL_WAKE].revents)
		r = take_wishes(s);
	if (r == 0 && !s->is_gone && p[POLL_STREAM].revents & (POLLIN | POLLHUP | POLLERR))
		r = take_input(s);
	if (r == 0 && s->stdio[AGENT_STDIN] >= 0 && p[POLL_STDIO].fd == s->stdio[AGENT_STDIN] &&
	    p[POLL_STDIO].revents)
		r = pump_in(s, buf);
	for (unsigned i = AGENT_STDOUT; r == 0 && i < AGENT_STREAMS; i++) {
		if (s->stdio[i] < 0)
			continue;
		if (p[POLL_STDIO + i].fd == s->stdio[i] && p[POLL_STDIO + i].revents)
			r = pump_out(s, i, p[POLL_STDIO + i].revents);
		if ((s->out[i].ends || s->is_gone) && s->out[i].len == 0)
			fd_drop(&s->stdio[i]);
	}
	if (r == 0 && !s->is_gone) {
		r = agent_io_flush(&s->io);
		if (r == -EPIPE || r == -ECONNRESET)
			r = 0; /* what the guest still said is read first; then its end is seen */
	}
	return r;
}

bool session_is_done(const struct session *s)
{
	return (s->is_gone || s->has_exit) && s->stdio[AGENT_STDOUT] < 0 &&
	       s->stdio[AGENT_STDERR] < 0;
}

void session_wake(struct session *s)
{
	ssize_t n = write(s->wake[1], "", 1);

	(void)n; /* a full pipe wakes as well */
}

int session_signal(struct session *s, int signo)
{
	if (signo < 1 || signo > 64)
		return -EINVAL;
	mutex_lock(&s->lock);
	s->signals |= UINT64_C(1) << (signo - 1);
	mutex_unlock(&s->lock);
	session_wake(s);
	return 0;
}

void session_resize(struct session *s, unsigned rows, unsigned cols)
{
	mutex_lock(&s->lock);
	s->resize = true;
	s->rows = rows;
	s->cols = cols;
	mutex_unlock(&s->lock);
	session_wake(s);
}
