/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as objects of the caller: see cmd.h and pecten.h. */
#include "api/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"

#define NS_PER_MS UINT64_C(1000000)

/* Exit statuses of shells and container runtimes. */
enum { STATUS_NOT_STARTED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

int words_add(struct words *w, const char *text)
{
	if (w->n >= AGENT_ITEMS_MAX)
		return -E2BIG;

	char **v = realloc(w->v, (w->n + 2) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	w->v = v;
	v[w->n] = strdup(text);
	if (!v[w->n])
		return -ENOMEM;
	v[++w->n] = NULL;
	return 0;
}

void words_fini(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){ 0 };
}

int pecten_cmd_create(const char *const *argv, struct pecten_cmd **out)
{
	struct pecten_cmd *c = calloc(1, sizeof(*c));
	int r = argv[0] ? 0 : -EINVAL;

	if (!c)
		return -ENOMEM;
	mutex_init(&c->lock);
	cond_init(&c->changed);
	c->sock = -1;
	c->done[0] = c->done[1] = -1;
	for (int i = 0; i < AGENT_STREAMS; i++)
		c->stdio[i] = -1;
	for (size_t i = 0; r == 0 && argv[i]; i++)
		r = words_add(&c->argv, argv[i]);
	if (r == 0 && pipe2(c->done, O_CLOEXEC) < 0)
		r = -errno;
	for (int i = AGENT_STDOUT; r == 0 && i < AGENT_STREAMS; i++) {
		c->stdio[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
		if (c->stdio[i] < 0 && errno != EBADF)
			r = -errno;
	}
	if (r < 0) {
		pecten_cmd_destroy(c);
		return r;
	}
	*out = c;
	return 0;
}

void pecten_cmd_destroy(struct pecten_cmd *c)
{
	void (*release)(void *) = NULL;
	void *arg = NULL;

	if (!c)
		return;
	mutex_lock(&c->lock);
	if (c->phase == CMD_RUNS) {
		release = c->release;
		arg = c->release_arg;
	}
	mutex_unlock(&c->lock);
	if (release)
		release(arg);
	if (c->has_thread)
		(void)pthread_join(c->thread, NULL);
	mutex_lock(&c->lock);
	while (c->phase == CMD_RUNS)
		cond_wait(&c->changed, &c->lock);
	mutex_unlock(&c->lock);
	session_fini(&c->own);
	fd_drop(&c->sock);
	for (int i = 0; i < AGENT_STREAMS; i++)
		fd_drop(&c->stdio[i]);
	fd_drop(&c->done[0]);
	fd_drop(&c->done[1]);
	words_fini(&c->argv);
	words_fini(&c->env);
	free(c->cwd);
	free(c->user);
	cond_fini(&c->changed);
	mutex_fini(&c->lock);
	free(c);
}

const char *pecten_cmd_error(const struct pecten_cmd *c)
{
	return c->err.text;
}

static int set_string(struct pecten_cmd *c, char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(&c->err, -ENOMEM, "out of memory");
	free(*field);
	*field = copy;
	return 0;
}

int pecten_cmd_set_env(struct pecten_cmd *c, const char *assignment)
{
	const char *eq = strchr(assignment, '=');

	if (!eq || eq == assignment)
		return err_set(&c->err, -EINVAL, "'%s' is not NAME=VALUE", assignment);

	int r = words_add(&c->env, assignment);

	return r < 0 ? err_set(&c->err, r, "too many environment variables") : 0;
}

int pecten_cmd_set_cwd(struct pecten_cmd *c, const char *path)
{
	if (*path != '/')
		return err_set(&c->err, -EINVAL,
			       "the working directory '%s' is not absolute; begin it with '/'",
			       path);
	return set_string(c, &c->cwd, path);
}

int pecten_cmd_set_user(struct pecten_cmd *c, const char *user)
{
	return set_string(c, &c->user, user);
}

int pecten_cmd_set_rlimit(struct pecten_cmd *c, int resource, uint64_t soft, uint64_t hard)
{
	if (c->nrlimits == CMD_RLIMITS_MAX || resource < 0 || soft > hard)
		return err_set(&c->err, -EINVAL, "bad resource limit");
	c->rlimits[c->nrlimits++] = (struct session_rlimit){ resource, soft, hard };
	return 0;
}

int pecten_cmd_set_stdio(struct pecten_cmd *c, int in, int out, int err)
{
	const int from[AGENT_STREAMS] = { in, out, err };

	for (int i = 0; i < AGENT_STREAMS; i++) {
		fd_drop(&c->stdio[i]);
		if (from[i] < 0)
			continue;
		c->stdio[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
		if (c->stdio[i] < 0)
			return err_errno(&c->err, "cannot use descriptor %d as stdio", from[i]);
	}
	return 0;
}

int pecten_cmd_set_tty(struct pecten_cmd *c, unsigned rows, unsigned columns)
{
	c->flags |= AGENT_CMD_TTY;
	c->rows = rows;
	c->cols = columns;
	return 0;
}

int pecten_cmd_allow_reboot(struct pecten_cmd *c)
{
	c->flags |= AGENT_CMD_REBOOT;
	return 0;
}

int cmd_begin(struct pecten_cmd *c, struct session *s, void (*release)(void *), void *arg)
{
	const struct session_spec spec = {
		.flags = c->flags,
		.rows = c->rows,
		.cols = c->cols,
		.argv = c->argv.v,
		.env = c->env.v,
		.cwd = c->cwd,
		.user = c->user,
		.rlimits = c->rlimits,
		.nrlimits = c->nrlimits,
	};

	if (c->phase != CMD_DESCRIBED)
		return err_set(&c->err, -EBUSY, "the command was started before");
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		if (c->stdio[i] < 0)
			c->stdio[i] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (c->stdio[i] < 0)
			return err_errno(&c->err, "cannot open /dev/null");
	}

	int r = session_run(s, &spec, c->stdio);

	if (r < 0)
		return err_set(&c->err, r, "%s",
			       r == -E2BIG ? "the command's arguments and environment are too long"
					   : "out of memory");
	mutex_lock(&c->lock);
	c->phase = CMD_RUNS;
	c->session = s;
	c->release = release;
	c->release_arg = arg;
	mutex_unlock(&c->lock);
	return 0;
}

void cmd_end(struct pecten_cmd *c, const struct pecten_exit *how)
{
	mutex_lock(&c->lock);
	c->session = NULL;
	c->how = *how;
	fd_drop(&c->done[1]);
	c->phase = CMD_ENDED;
	cond_broadcast(&c->changed);
	mutex_unlock(&c->lock);
}

void exit_of_machine(struct pecten_exit *how, const char *text)
{
	*how = (struct pecten_exit){ .how = PECTEN_VM_ENDED, .status = STATUS_NOT_STARTED };
	(void)snprintf(how->text, sizeof(how->text), "%s", text);
}

void exit_of_session(const struct session *s, struct pecten_exit *how)
{
	const struct session_exit *e = &s->exit;

	*how = (struct pecten_exit){ .value = e->value };
	(void)snprintf(how->text, sizeof(how->text), "%s", e->text);
	switch (e->how) {
	case AGENT_HOW_CODE:
		how->how = PECTEN_EXITED;
		how->status = e->value & 255;
		break;
	case AGENT_HOW_SIGNAL:
		how->how = PECTEN_SIGNALED;
		how->status = 128 + (e->value & 127);
		break;
	case AGENT_HOW_FAILED:
		how->how = PECTEN_NOT_STARTED;
		if (!(e->flags & AGENT_EXIT_EXEC))
			how->status = STATUS_NOT_STARTED;
		else
			how->status = e->value == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
		break;
	}
}

static void *serve(void *arg)
{
	struct pecten_cmd *c = arg;
	struct pecten_exit how;
	struct pollfd p[SESSION_POLLS];
	uint8_t *buf = malloc(AGENT_DATA_MAX);
	int r = buf ? 0 : -ENOMEM;

	while (r == 0 && !session_is_done(&c->own)) {
		session_polls(&c->own, p);
		if (poll(p, SESSION_POLLS, -1) < 0 && errno != EINTR)
			r = -errno;
		else
			r = session_step(&c->own, p, buf);
	}
	if (r == 0 && c->own.has_exit)
		exit_of_session(&c->own, &how);
	else
		exit_of_machine(&how, r == -EPROTO ? "the guest's agent broke the protocol"
				      : r == 0     ? "the machine ended while the command ran"
						   : "out of memory");
	free(buf);
	cmd_end(c, &how);
	return NULL;
}

static void hang_up(void *arg)
{
	struct pecten_cmd *c = arg;

	(void)shutdown(c->sock, SHUT_RDWR);
}

int cmd_start_thread(struct pecten_cmd *c, int sock)
{
	struct pecten_exit never;
	int r;

	if (c->sock >= 0) {
		(void)close(sock);
		return err_set(&c->err, -EBUSY, "the command was started before");
	}
	c->sock = sock;
	r = session_init(&c->own, sock);
	if (r < 0)
		return err_set(&c->err, r, "out of memory or descriptors");
	r = cmd_begin(c, &c->own, hang_up, c);
	if (r < 0)
		return r;
	r = thread_start(&c->thread, "pecten-cmd", serve, c);
	if (r < 0) {
		exit_of_machine(&never, "no thread could be started");
		cmd_end(c, &never);
		return err_set(&c->err, r, "no thread could be started");
	}
	c->has_thread = true;
	return 0;
}

int pecten_cmd_signal(struct pecten_cmd *c, int signo)
{
	int r = -ESRCH;

	mutex_lock(&c->lock);
	if (c->session)
		r = session_signal(c->session, signo);
	mutex_unlock(&c->lock);
	return r;
}

int pecten_cmd_resize(struct pecten_cmd *c, unsigned rows, unsigned columns)
{
	int r = -ESRCH;

	mutex_lock(&c->lock);
	if (c->session) {
		session_resize(c->session, rows, columns);
		r = 0;
	}
	mutex_unlock(&c->lock);
	return r;
}

int pecten_cmd_wait(struct pecten_cmd *c, int timeout_ms, struct pecten_exit *how)
{
	uint64_t until = clock_now_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * NS_PER_MS;
	int r = 0;

	mutex_lock(&c->lock);
	while (c->phase == CMD_RUNS && r == 0) {
		if (timeout_ms < 0)
			cond_wait(&c->changed, &c->lock);
		else
			r = cond_wait_until(&c->changed, &c->lock, until);
	}
	if (c->phase == CMD_ENDED) {
		*how = c->how;
		r = 0;
	} else if (c->phase == CMD_DESCRIBED) {
		r = -ESRCH;
	}
	mutex_unlock(&c->lock);
	return r;
}

int pecten_cmd_fd(const struct pecten_cmd *c)
{
	return c->done[0];
}
