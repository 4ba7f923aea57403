/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's loop: see agent.h.
 *
 * The VM ends with its workload: the other processes are killed, the workload's last output is
 * passed on, shares are flushed, EXIT is sent, and the host's ACK is waited for.
 */
#include "guest/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/boot.h"
#include "guest/cmd.h"
#include "guest/platform.h"
#include "util/agent_io.h"

#define PEER_POLLS (1 + CMD_POLLS)

#define KMSG_RECORDS_MAX 100000 /* more than any kernel keeps */

#define NS_PER_S      UINT64_C(1000000000)
#define BOOT_MAX_S    600
#define CHECK_MS      5000 /* how often the overlay's room is looked at */
#define REAP_MS       50   /* a process stuck in the kernel gives no sign when it dies */
#define KILL_MS       2000 /* a process that survives SIGKILL longer hangs in the kernel */
#define TTY_LINGER_MS 1000 /* output of a terminal after its command */

enum phase {
	PHASE_SETUP,
	PHASE_RUNNING,
	PHASE_KILLING,  /* the workload is over; the others are being killed and reaped */
	PHASE_DRAINING, /* the workload's last output */
	PHASE_ENDED,    /* EXIT is sent, ACK is missing */
};

/* A connection with the host: the first one carries set-up and workload, others a command each. */
struct peer {
	bool is_open;
	bool has_exit; /* EXIT was sent: the host closes when it has arrived */
	struct agent_io io;
	struct cmd cmd;
};

struct agent {
	struct peer peers[AGENT_PEERS_MAX]; /* [0] is the first one */
	enum phase phase;
	struct boot boot;
	struct strs env; /* of all commands */
	int sigfd;
	int listener;       /* -1 until the set-up is done */
	uint64_t oom_kills; /* as last seen */
	bool told_full;
	uint64_t stop_ms;  /* when SIGTERM turns into the end; 0: no stop */
	uint64_t phase_ms; /* when the phase gives up waiting; 0: never */
	uint64_t check_ms;
	struct pollfd polls[2 + AGENT_PEERS_MAX * PEER_POLLS];
	uint8_t buf[AGENT_DATA_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The same from the kernel's log, for kernels that do not count. */
static uint64_t count_oom_lines(void)
{
	char record[1024];
	uint64_t n = 0;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	for (unsigned i = 0; fd >= 0 && i < KMSG_RECORDS_MAX; i++) {
		ssize_t len = read(fd, record, sizeof(record) - 1);

		if (len < 0 && errno != EPIPE) /* EPIPE: the oldest records have just been lost */
			break;
		record[len > 0 ? len : 0] = '\0';
		n += strstr(record, "ut of memory: Killed process") != NULL;
	}
	if (fd >= 0)
		(void)close(fd);
	return n;
}

/* Processes that the kernel killed for want of memory, since boot. */
static uint64_t count_oom_kills(void)
{
	static const char name[] = "oom_kill ";
	char line[128];
	FILE *f = fopen("/proc/vmstat", "re");
	bool is_counted = false;
	uint64_t n = 0;

	while (f && !is_counted && fgets(line, sizeof(line), f)) {
		is_counted = strncmp(line, name, sizeof(name) - 1) == 0;
		if (is_counted)
			n = strtoull(line + sizeof(name) - 1, NULL, 10);
	}
	if (f)
		(void)fclose(f);
	return is_counted ? n : count_oom_lines();
}

/* A clock that the hypervisor has set is better than a time that waited for us to boot. */
static void take_time(uint64_t ns, uint64_t flags)
{
	struct timespec ts;

	if (flags & AGENT_TIME_OLD && clock_gettime(CLOCK_REALTIME, &ts) == 0) {
		uint64_t now = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;

		if (now >= ns && now - ns < BOOT_MAX_S * NS_PER_S)
			return;
	}
	platform_set_clock(ns);
}

static int send_text(struct peer *p, enum agent_type type, uint64_t num, const char *text)
{
	return agent_io_send(
		&p->io,
		&(struct agent_msg){ .type = (uint16_t)type, .num = { num }, .str = { text } });
}

static int peer_open(struct peer *p, int fd)
{
	struct utsname u;
	int r = agent_io_init(&p->io, fd);

	if (r < 0)
		return r;
	p->is_open = true;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	return send_text(p, AGENT_HELLO, AGENT_VERSION, uname(&u) == 0 ? u.release : "");
}

/* Frees everything but the descriptor of the stream. */
static void peer_fini(struct peer *p)
{
	if (p->cmd.state != CMD_NONE)
		cmd_fini(&p->cmd);
	agent_io_fini(&p->io);
	*p = (struct peer){ 0 };
}

/* The host hung up: its command is told as a terminal would tell it, and has no stdio any more. */
static void peer_close(struct peer *p)
{
	int fd = p->io.fd;

	if (p->cmd.state == CMD_RUNNING || p->cmd.state == CMD_STARTING)
		spawn_hang_up(p->cmd.p.pid);
	peer_fini(p);
	(void)close(fd);
}

int agent_create(int fd, struct agent **out)
{
	struct agent *a = calloc(1, sizeof(*a));
	sigset_t chld;
	int r;

	if (!a)
		return -ENOMEM;
	boot_init(&a->boot);
	a->listener = -1;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &chld, NULL);
	a->sigfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	r = a->sigfd < 0 ? -errno : peer_open(&a->peers[0], fd);
	if (r < 0) {
		agent_destroy(a);
		return r;
	}
	*out = a;
	return 0;
}

void agent_destroy(struct agent *a)
{
	if (!a)
		return;
	for (unsigned i = 1; i < AGENT_PEERS_MAX; i++) {
		if (a->peers[i].is_open)
			peer_close(&a->peers[i]);
	}
	peer_fini(&a->peers[0]);
	strs_fini(&a->env);
	boot_fini(&a->boot);
	if (a->sigfd >= 0)
		(void)close(a->sigfd);
	if (a->listener >= 0)
		(void)close(a->listener);
	free(a);
}

/* Kills whatever is left and waits for it in the loop. */
static void begin_end(struct agent *a)
{
	if (a->phase != PHASE_RUNNING)
		return;
	a->phase = PHASE_KILLING;
	a->phase_ms = now_ms() + KILL_MS;
	a->stop_ms = 0;
	spawn_kill_all();
}

static int take_boot(struct agent *a)
{
	char why[BOOT_TEXT_MAX];

	if (a->phase != PHASE_SETUP)
		return -EPROTO;

	int r = boot_do(&a->boot, why);

	if (r == 0) {
		a->listener = platform_listen();
		if (a->listener < 0)
			r = boot_say(why, -a->listener, "the agent cannot listen");
	}
	if (r < 0) {
		a->phase = PHASE_ENDED;
		return send_text(&a->peers[0], AGENT_FAILED, (uint64_t)-r, why);
	}
	a->phase = PHASE_RUNNING;
	a->oom_kills = count_oom_kills();
	return agent_io_send(&a->peers[0].io, &(struct agent_msg){ .type = AGENT_READY });
}

static int take_new_cmd(struct agent *a, struct peer *p, const struct agent_msg *m)
{
	if (a->phase == PHASE_SETUP || p->cmd.state != CMD_NONE || p->has_exit)
		return -EPROTO;
	if (a->phase == PHASE_RUNNING) /* else it is too late, and take_for_cmd() knows */
		cmd_init(&p->cmd, m);
	return 0;
}

static int take_for_cmd(struct agent *a, struct peer *p, const struct agent_msg *m)
{
	struct cmd *c = &p->cmd;

	/* The command or the machine has ended while this was on the way. */
	if (a->phase > PHASE_RUNNING && (c->state == CMD_NONE || c->state == CMD_SPEC))
		return 0;
	if (c->state == CMD_NONE)
		return p->has_exit ? 0 : -EPROTO;
	if (c->state == CMD_EXITED && m->type >= AGENT_CMD)
		return 0; /* rest of a description that was refused, or a late signal */
	if (m->type == AGENT_START) {
		if (c->state != CMD_SPEC || c->spec.argv.n == 0)
			return -EPROTO;
		cmd_start(c, &a->env);
		return 0;
	}
	if (c->state != CMD_SPEC)
		return cmd_take(c, m);

	int r = cmd_describe(c, m);

	if (r == -E2BIG || r == -ENOMEM) {
		c->error = (struct spawn_error){ .code = -r };
		(void)snprintf(c->error.text, sizeof(c->error.text),
			       "the command's arguments and environment are too long");
		c->state = CMD_EXITED;
		r = 0;
	}
	return r;
}

static int take_stop(struct agent *a, uint64_t grace_ms)
{
	const struct cmd *workload = &a->peers[0].cmd;

	if (a->phase == PHASE_SETUP)
		return -EPROTO;
	if (a->phase != PHASE_RUNNING)
		return 0;
	if (workload->state != CMD_RUNNING && workload->state != CMD_STARTING) {
		begin_end(a);
		return 0;
	}
	spawn_signal(workload->p.pid, SIGTERM);
	a->stop_ms = now_ms() + (grace_ms < INT32_MAX ? grace_ms : INT32_MAX);
	return 0;
}

static int take_env(struct agent *a, const char *text)
{
	int r = strs_set_env(&a->env, text);

	return r == -EINVAL ? -EPROTO : r;
}

/* Return: 0; 1 at the end; or -errno */
static int take_msg(struct agent *a, struct peer *p, const struct agent_msg *m)
{
	bool is_first = p == &a->peers[0];

	switch (m->type) {
	case AGENT_TIME:
		if (is_first)
			take_time(m->num[0], m->num[1]);
		return is_first ? 0 : -EPROTO;
	case AGENT_ROOT:
	case AGENT_SHARE:
	case AGENT_HOSTNAME:
	case AGENT_NET:
		return a->phase == PHASE_SETUP ? boot_take(&a->boot, m) : -EPROTO;
	case AGENT_BOOT:
		return take_boot(a);
	case AGENT_CMD:
		return take_new_cmd(a, p, m);
	case AGENT_ENV:
		return a->phase == PHASE_SETUP ? take_env(a, m->str[0]) : take_for_cmd(a, p, m);
	case AGENT_ARG:
	case AGENT_CWD:
	case AGENT_USER:
	case AGENT_RLIMIT:
	case AGENT_START:
	case AGENT_SIGNAL:
	case AGENT_RESIZE:
	case AGENT_DATA:
	case AGENT_CLOSE:
	case AGENT_CREDIT:
		return take_for_cmd(a, p, m);
	case AGENT_STOP:
		return take_stop(a, m->num[0]);
	case AGENT_ACK:
		return is_first && a->phase == PHASE_ENDED ? 1 : -EPROTO;
	default:
		return -EPROTO;
	}
}

static int take_input(struct agent *a, struct peer *p)
{
	struct agent_msg m;
	int r = agent_io_fill(&p->io);

	if (r < 0)
		return r == -ENODATA || r == -ECONNRESET ? -EPIPE : r;
	while ((r = agent_io_next(&p->io, &m)) > 0) {
		r = take_msg(a, p, &m);
		if (r != 0)
			return r;
	}
	return r;
}

static void take_peer(struct agent *a)
{
	int fd = platform_accept(a->listener);

	if (fd < 0)
		return;
	for (unsigned i = 1; i < AGENT_PEERS_MAX; i++) {
		if (a->peers[i].is_open)
			continue;
		if (peer_open(&a->peers[i], fd) == 0)
			return;
		peer_fini(&a->peers[i]);
		break;
	}
	(void)close(fd);
}

/* Orphans of the workload are ours to reap too. */
static void reap(struct agent *a)
{
	struct signalfd_siginfo si;
	uint64_t oom = 0;
	int status;
	pid_t pid;

	while (read(a->sigfd, &si, sizeof(si)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		bool was_killed = (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
				  (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGKILL);

		for (unsigned i = 0; i < AGENT_PEERS_MAX; i++) {
			struct cmd *c = &a->peers[i].cmd;

			if ((c->state != CMD_RUNNING && c->state != CMD_STARTING) ||
			    c->p.pid != pid)
				continue;
			if (was_killed && a->phase == PHASE_RUNNING && !oom)
				oom = count_oom_kills();
			cmd_reaped(c, status, oom > a->oom_kills, i == 0);
			if (i == 0)
				begin_end(a);
		}
	}
	if (oom > a->oom_kills)
		a->oom_kills = oom;
}

/* A write that failed for want of RAM is easier to understand with this sentence. */
static int check_overlay(struct agent *a)
{
	char text[256];

	if (a->told_full || !boot_overlay_is_full(&a->boot))
		return 0;
	a->told_full = true;
	(void)snprintf(text, sizeof(text),
		       "the RAM for changes to the root file system (%llu MiB) is full; give more "
		       "with --overlay-size, or write to a volume (-v) or through (--rw)",
		       (unsigned long long)a->boot.overlay_mib);
	return send_text(&a->peers[0], AGENT_NOTE, 0, text);
}

static int finish_cmd(struct agent *a, struct peer *p)
{
	int r = check_overlay(a);

	if (r == 0)
		r = cmd_send_exit(&p->cmd, &p->io);
	p->has_exit = true;
	cmd_fini(&p->cmd);
	return r;
}

static bool has_children(void)
{
	siginfo_t si;

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

/* Commands beside the workload end with it; what they had still to say is lost, as documented. */
static void drop_others(struct agent *a)
{
	for (unsigned i = 1; i < AGENT_PEERS_MAX; i++) {
		struct peer *p = &a->peers[i];

		if (!p->is_open)
			continue;
		if (p->cmd.state != CMD_NONE && p->cmd.state != CMD_EXITED)
			p->cmd.status = SIGKILL; /* as waitpid() encodes it */
		if ((p->cmd.state != CMD_NONE && finish_cmd(a, p) < 0) ||
		    agent_io_flush(&p->io) < 0 || !p->has_exit)
			peer_close(p);
	}
}

/* The way from the workload's end to EXIT. */
static int advance_end(struct agent *a, uint64_t now)
{
	struct peer *first = &a->peers[0];

	if (a->phase == PHASE_KILLING) {
		if (now < a->phase_ms && has_children())
			return 0;
		if (first->cmd.state != CMD_NONE && first->cmd.state != CMD_EXITED)
			cmd_reaped(&first->cmd, SIGKILL, false, false);
		drop_others(a);
		a->phase = PHASE_DRAINING;
		/* A terminal held open by a process that cannot die would never end. */
		a->phase_ms = now + TTY_LINGER_MS;
		if (!(first->cmd.spec.flags & AGENT_CMD_TTY))
			a->phase_ms = 0;
	}
	if (a->phase == PHASE_DRAINING) {
		bool is_late = a->phase_ms && now >= a->phase_ms;
		int r;

		if (first->cmd.state != CMD_NONE && !cmd_is_done(&first->cmd) && !is_late)
			return 0;
		platform_sync();
		if (first->cmd.state != CMD_NONE)
			r = finish_cmd(a, first);
		else
			r = agent_io_send(&first->io, &(struct agent_msg){ .type = AGENT_EXIT });
		a->phase = PHASE_ENDED;
		a->phase_ms = 0; /* the host may be slow to read the output in front of EXIT */
		return r;
	}
	return 0;
}

/* What time and finished work bring about. */
static int advance(struct agent *a)
{
	uint64_t now = now_ms();
	int r = 0;

	for (unsigned i = 1; i < AGENT_PEERS_MAX; i++) {
		struct peer *p = &a->peers[i];

		if (p->is_open && cmd_is_done(&p->cmd) && finish_cmd(a, p) < 0)
			peer_close(p);
	}
	if (a->phase == PHASE_RUNNING) {
		if (now >= a->check_ms) {
			a->check_ms = now + CHECK_MS;
			r = check_overlay(a);
		}
		if ((a->stop_ms && now >= a->stop_ms) || a->peers[0].cmd.state == CMD_EXITED)
			begin_end(a);
	}
	return r < 0 ? r : advance_end(a, now);
}

/* ms until something is due, at most @most (-1: for ever). */
static int wait_ms(const struct agent *a, int most)
{
	uint64_t now = now_ms();
	uint64_t due = UINT64_MAX;

	if (a->phase == PHASE_RUNNING)
		due = a->check_ms;
	if (a->stop_ms && a->stop_ms < due)
		due = a->stop_ms;
	if (a->phase_ms && a->phase_ms < due)
		due = a->phase_ms;
	if (a->phase == PHASE_KILLING && now + REAP_MS < due)
		due = now + REAP_MS;
	if (due == UINT64_MAX)
		return most;

	uint64_t left = due > now ? due - now : 0;

	return most >= 0 && (uint64_t)most < left ? most : (int)left;
}

static void peer_polls(const struct peer *p, struct pollfd *polls)
{
	if (!p->is_open) {
		for (unsigned i = 0; i < PEER_POLLS; i++)
			polls[i] = (struct pollfd){ .fd = -1 };
		return;
	}
	polls[0] = (struct pollfd){ .fd = p->io.fd, .events = POLLIN };
	if (agent_io_pending(&p->io))
		polls[0].events |= POLLOUT;
	cmd_polls(&p->cmd, polls + 1, agent_io_is_busy(&p->io));
}

/* Return: 0; 1 at the end; or -errno, which concerns this connection only */
static int peer_step(struct agent *a, struct peer *p, const struct pollfd *polls)
{
	int r = 0;

	if (p->is_open && polls[0].fd == p->io.fd &&
	    polls[0].revents & (POLLIN | POLLHUP | POLLERR))
		r = take_input(a, p);
	if (r == 0)
		r = agent_io_flush(&p->io);
	return r;
}

static struct pollfd *polls_of(struct agent *a, size_t peer)
{
	return a->polls + 2 + peer * PEER_POLLS;
}

int agent_step(struct agent *a, int timeout_ms)
{
	struct pollfd *p = a->polls;
	int r;

	p[0] = (struct pollfd){ .fd = a->sigfd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = a->listener, .events = POLLIN };
	for (unsigned i = 0; i < AGENT_PEERS_MAX; i++)
		peer_polls(&a->peers[i], polls_of(a, i));
	if (poll(p, ARRAY_LEN(a->polls), wait_ms(a, timeout_ms)) < 0)
		return errno == EINTR ? 0 : -errno;

	/* Output before reap(): an exit never overtakes what was written. */
	for (unsigned i = 0; i < AGENT_PEERS_MAX; i++) {
		struct peer *peer = &a->peers[i];

		if (!peer->is_open)
			continue;
		r = cmd_pump(&peer->cmd, polls_of(a, i) + 1, &peer->io, a->buf);
		if (r < 0 && i == 0)
			return r;
		if (r < 0)
			peer_close(peer);
	}
	if (p[0].revents)
		reap(a);
	r = advance(a);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < AGENT_PEERS_MAX; i++) {
		if (!a->peers[i].is_open)
			continue;
		r = peer_step(a, &a->peers[i], polls_of(a, i));
		if (i == 0 && r != 0)
			return r;
		if (r < 0)
			peer_close(&a->peers[i]);
	}
	if (p[1].revents)
		take_peer(a);
	return 0;
}
