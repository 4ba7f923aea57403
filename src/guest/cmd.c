/* SPDX-License-Identifier: Apache-2.0 */
/* Life and stdio of one command: see cmd.h. */
#include "guest/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Credit is given back in portions of this size, lest every read() cost a message. */
#define CREDIT_STEP (AGENT_WINDOW / 4)
#define CTRL_D      4

static bool is_tty(const struct cmd *c)
{
	return c->spec.flags & AGENT_CMD_TTY;
}

void cmd_init(struct cmd *c, const struct agent_msg *m)
{
	*c = (struct cmd){
		.state = CMD_SPEC,
		.spec = { .flags = (unsigned)m->num[0],
			  .rows = (uint16_t)m->num[1],
			  .cols = (uint16_t)m->num[2] },
		.p = { .pid = -1, .fd = { -1, -1, -1 }, .report = -1 },
		.credit = { 0, AGENT_WINDOW, AGENT_WINDOW },
	};
}

static void drop(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void cmd_fini(struct cmd *c)
{
	for (int i = 0; i < AGENT_STREAMS; i++)
		drop(&c->p.fd[i]);
	drop(&c->p.report);
	spec_fini(&c->spec);
	free(c->in);
	*c = (struct cmd){ .state = CMD_NONE };
}

int cmd_describe(struct cmd *c, const struct agent_msg *m)
{
	struct cmd_spec *s = &c->spec;

	switch (m->type) {
	case AGENT_ARG:
		return strs_add(&s->argv, m->str[0]);
	case AGENT_ENV: {
		int r = strs_set_env(&s->env, m->str[0]);

		return r == -EINVAL ? -EPROTO : r;
	}
	case AGENT_CWD:
		return spec_set(&s->cwd, m->str[0]);
	case AGENT_USER:
		return spec_set(&s->user, m->str[0]);
	case AGENT_RLIMIT:
		if (s->nrlimits == SPEC_RLIMITS_MAX)
			return -E2BIG;
		if (m->num[0] > INT_MAX)
			return -EPROTO;
		s->rlimits[s->nrlimits++] = (struct rlim){ (int)m->num[0], m->num[1], m->num[2] };
		return 0;
	default:
		return -EPROTO;
	}
}

void cmd_start(struct cmd *c, const struct strs *base)
{
	c->in = malloc(AGENT_WINDOW);
	if (!c->in) {
		c->error = (struct spawn_error){ ENOMEM, false, "the guest is out of memory" };
		c->state = CMD_EXITED;
		return;
	}
	c->state = spawn(&c->spec, base, &c->p, &c->error) < 0 ? CMD_EXITED : CMD_STARTING;
}

static int send_about(struct agent_io *io, enum agent_type type, unsigned stream, uint64_t num)
{
	return agent_io_send(io, &(struct agent_msg){ .type = (uint16_t)type,
						      .stream = (uint16_t)stream,
						      .num = { num } });
}

/* Closes a stream because of the guest's side and tells the host. */
static int end_stream(struct cmd *c, unsigned stream, struct agent_io *io)
{
	drop(&c->p.fd[stream]);
	if (stream == AGENT_STDIN)
		c->in_len = 0;
	return send_about(io, AGENT_CLOSE, stream, 0);
}

static int take_data(struct cmd *c, const struct agent_msg *m)
{
	const uint8_t *from = m->data;

	if (m->stream != AGENT_STDIN || c->in_ends || m->len > AGENT_WINDOW - c->in_len)
		return -EPROTO;
	if (c->p.fd[AGENT_STDIN] < 0 || !c->in)
		return 0; /* closed here meanwhile; the host will have heard soon */

	size_t at = (c->in_at + c->in_len) % AGENT_WINDOW;
	size_t first = m->len < AGENT_WINDOW - at ? m->len : AGENT_WINDOW - at;

	memcpy(c->in + at, from, first);
	memcpy(c->in, from + first, m->len - first);
	c->in_len += m->len;
	return 0;
}

static void take_close(struct cmd *c, unsigned stream)
{
	if (stream == AGENT_STDIN)
		c->in_ends = true;
	else
		drop(&c->p.fd[stream]); /* its writer gets SIGPIPE or, from a terminal, SIGHUP */
}

static void take_signal(const struct cmd *c, uint64_t signo)
{
	if (c->state == CMD_EXITED || c->p.pid <= 0 || signo < 1 || signo >= _NSIG)
		return;
	spawn_signal(c->p.pid, (int)signo);
}

int cmd_take(struct cmd *c, const struct agent_msg *m)
{
	switch (m->type) {
	case AGENT_DATA:
		return take_data(c, m);
	case AGENT_CLOSE:
		take_close(c, m->stream);
		return 0;
	case AGENT_CREDIT:
		if (m->stream == AGENT_STDIN || m->num[0] > AGENT_WINDOW - c->credit[m->stream])
			return -EPROTO;
		c->credit[m->stream] += m->num[0];
		return 0;
	case AGENT_SIGNAL:
		take_signal(c, m->num[0]);
		return 0;
	case AGENT_RESIZE: {
		struct winsize w = { .ws_row = (uint16_t)m->num[0], .ws_col = (uint16_t)m->num[1] };

		if (is_tty(c) && c->p.fd[AGENT_STDOUT] >= 0)
			(void)ioctl(c->p.fd[AGENT_STDOUT], TIOCSWINSZ, &w);
		return 0;
	}
	default:
		return -EPROTO;
	}
}

void cmd_reaped(struct cmd *c, int status, bool is_oom, bool is_last)
{
	struct spawn_report r;

	/* The report was written before the exit, if there is one. */
	if (c->state == CMD_STARTING && c->p.report >= 0 &&
	    read(c->p.report, &r, sizeof(r)) == (ssize_t)sizeof(r))
		spawn_explain(&c->spec, &r, &c->error);
	drop(&c->p.report);
	c->state = CMD_EXITED;
	c->status = status;
	c->is_oom = is_oom;
	if (is_last || is_tty(c))
		return; /* a terminal reports its end once the session's leader is gone */

	/*
	 * Somebody in the background may hold the pipes for ever; the output of the command itself
	 * is what is in them now.
	 */
	c->has_limit = true;
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		if (c->p.fd[i] >= 0 && ioctl(c->p.fd[i], FIONREAD, &c->limit[i]) < 0)
			c->limit[i] = 0;
	}
}

void cmd_polls(const struct cmd *c, struct pollfd *p, bool is_busy)
{
	for (int i = 0; i < CMD_POLLS; i++) {
		p[i] = (struct pollfd){ .fd = -1 };
		if (c->state == CMD_NONE || c->state == CMD_SPEC || c->p.fd[i] < 0)
			continue;
		/*
		 * Hang-ups are always reported, so a stream that must wait for credit is left out
		 * entirely; an idle stdin stays, because its reader's end is news for the host.
		 */
		if (i == AGENT_STDIN && (!is_tty(c) || c->in_len > 0 || c->in_ends))
			p[i] = (struct pollfd){ .fd = c->p.fd[i],
						.events =
							c->in_len > 0 || c->in_ends ? POLLOUT : 0 };
		else if (i != AGENT_STDIN && !is_busy && c->credit[i] > 0)
			p[i] = (struct pollfd){ .fd = c->p.fd[i], .events = POLLIN };
	}
	/* The report shares the slot of stderr: a command that is starting writes nothing yet. */
	if (c->state == CMD_STARTING && c->p.report >= 0)
		p[AGENT_STDERR] = (struct pollfd){ .fd = c->p.report, .events = POLLIN };
}

/* execve() closed the pipe, or the child says why it could not; it exits by itself then. */
static int take_report(struct cmd *c, struct agent_io *io)
{
	struct spawn_report r;
	ssize_t n = read(c->p.report, &r, sizeof(r));

	if (n < 0)
		return 0;
	drop(&c->p.report);
	if (n == (ssize_t)sizeof(r)) {
		spawn_explain(&c->spec, &r, &c->error);
		return 0;
	}
	c->state = CMD_RUNNING;
	return send_about(io, AGENT_STARTED, 0, (uint64_t)c->p.pid);
}

/* The command's input: from the ring to the pipe. */
static int pump_in(struct cmd *c, struct agent_io *io)
{
	while (c->in_len > 0) {
		size_t n = AGENT_WINDOW - c->in_at;
		ssize_t done = write(c->p.fd[AGENT_STDIN], c->in + c->in_at,
				     c->in_len < n ? c->in_len : n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN)
			break;
		if (done < 0) /* nobody reads it any more */
			return end_stream(c, AGENT_STDIN, io);
		c->in_at = (c->in_at + (size_t)done) % AGENT_WINDOW;
		c->in_len -= (size_t)done;
		c->in_credit += (size_t)done;
	}
	if (c->in_credit >= CREDIT_STEP || (c->in_credit > 0 && c->in_len == 0)) {
		uint64_t credit = c->in_credit;

		c->in_credit = 0;
		return c->in_ends ? 0 : send_about(io, AGENT_CREDIT, AGENT_STDIN, credit);
	}
	return 0;
}

/* After the last byte the end: of the pipe, or as a terminal's user types it. */
static void end_in(struct cmd *c)
{
	if (is_tty(c) && c->p.fd[AGENT_STDOUT] >= 0) {
		const char eot = CTRL_D;
		ssize_t n = write(c->p.fd[AGENT_STDIN], &eot, 1);

		(void)n; /* a full terminal has a reader that will see the hang-up */
	}
	drop(&c->p.fd[AGENT_STDIN]);
}

/* One portion of output; a stream that is at its end is closed. */
static int pump_out(struct cmd *c, unsigned stream, struct agent_io *io, uint8_t *buf)
{
	size_t want =
		c->credit[stream] < AGENT_DATA_MAX ? (size_t)c->credit[stream] : AGENT_DATA_MAX;

	if (c->has_limit && (size_t)c->limit[stream] < want)
		want = (size_t)c->limit[stream];
	if (want == 0)
		return end_stream(c, stream, io); /* credit was checked: this is the limit */

	ssize_t n = read(c->p.fd[stream], buf, want);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) /* EIO is how a terminal ends */
		return end_stream(c, stream, io);
	c->credit[stream] -= (uint64_t)n;
	c->limit[stream] -= c->has_limit ? (int)n : 0;
	return agent_io_send(io, &(struct agent_msg){ .type = AGENT_DATA,
						      .stream = (uint16_t)stream,
						      .data = buf,
						      .len = (size_t)n });
}

int cmd_pump(struct cmd *c, const struct pollfd *p, struct agent_io *io, uint8_t *buf)
{
	int r = 0;

	if (c->state == CMD_NONE || c->state == CMD_SPEC)
		return 0;
	if (c->state == CMD_STARTING && c->p.report >= 0 && p[AGENT_STDERR].fd == c->p.report &&
	    p[AGENT_STDERR].revents)
		r = take_report(c, io);
	if (r == 0 && c->p.fd[AGENT_STDIN] >= 0) {
		if (c->state == CMD_EXITED ||
		    (p[AGENT_STDIN].revents & (POLLERR | POLLHUP) && c->state != CMD_STARTING))
			r = end_stream(c, AGENT_STDIN, io);
		else if (c->in_len > 0 || c->in_credit > 0)
			r = pump_in(c, io);
		if (c->in_ends && c->in_len == 0 && c->p.fd[AGENT_STDIN] >= 0)
			end_in(c);
	}
	for (unsigned i = AGENT_STDOUT; r == 0 && i < AGENT_STREAMS; i++) {
		bool is_at_limit = c->has_limit && c->limit[i] <= 0;

		if (c->p.fd[i] < 0 || c->state == CMD_STARTING)
			continue;
		if (is_at_limit || (p[i].fd == c->p.fd[i] && p[i].revents))
			r = pump_out(c, i, io, buf);
	}
	return r;
}

bool cmd_is_done(const struct cmd *c)
{
	return c->state == CMD_EXITED && c->p.fd[AGENT_STDOUT] < 0 && c->p.fd[AGENT_STDERR] < 0;
}

int cmd_send_exit(const struct cmd *c, struct agent_io *io)
{
	struct agent_msg m = { .type = AGENT_EXIT };

	if (c->error.code) {
		m.num[0] = AGENT_HOW_FAILED;
		m.num[1] = (uint64_t)c->error.code;
		m.num[2] = c->error.is_exec ? AGENT_EXIT_EXEC : 0;
		m.str[0] = c->error.text;
	} else if (WIFSIGNALED(c->status)) {
		m.num[0] = AGENT_HOW_SIGNAL;
		m.num[1] = (uint64_t)WTERMSIG(c->status);
	} else {
		m.num[0] = AGENT_HOW_CODE;
		m.num[1] = (uint64_t)WEXITSTATUS(c->status);
	}
	if (c->is_oom && !c->error.code) {
		m.num[2] = AGENT_EXIT_OOM;
		m.str[0] = "the guest ran out of memory and its kernel killed a process; "
			   "give the VM more with --memory";
	}
	return agent_io_send(io, &m);
}
