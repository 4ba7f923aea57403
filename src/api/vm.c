/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running machine: its thread serves the control socket of the VM process and the agent's first
 * connection, and puts together what both say about the end.  See vm.h and pecten.h.
 */
#include "api/vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/launch.h"
#include "host/fd.h"

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

#define CLOCK_MS   5000 /* how often we look whether the host has slept */
#define CLOCK_JUMP (NS_PER_S / 10)
#define HELLO_MS   10000 /* for a starting guest to begin to listen */
#define RETRY_MS   50
#define PASST_TEXT 512
#define SIGNALS    64

/* What the machine's thread knows. */
struct vm_run {
	struct pecten_vm *vm;
	uint8_t buf[AGENT_DATA_MAX];
	bool has_ended;  /* CTL_ENDED has come */
	bool is_lost;    /* the control socket has ended */
	bool has_acked;  /* the agent's EXIT was acknowledged */
	bool told_agent; /* STOP was sent */
	bool told_vm;    /* CTL_STOP was sent */
	bool told_time;  /* to the agent, since it has spoken */
	bool passt_is_dead;
	int64_t clock_off;   /* realtime minus monotonic, ns */
	uint64_t give_up_ns; /* when the machine is killed; 0: never */
	struct ctl_msg in;   /* what has come of a message */
	size_t in_len;       /* bytes of it */
	uint64_t in_until;   /* when the rest has to be here, if there is a part */
	int status;          /* waitpid()'s, of the VM process; 0 before it has ended */
	struct ctl_ended end;
	struct err err; /* the session's or CTL_FAILED's */
};

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static uint64_t after_ms(uint64_t ms)
{
	return clock_now_ns() + ms * NS_PER_MS;
}

/* The guest's clock stands while the host sleeps; the host's two clocks drift apart then. */
static int watch_clock(struct vm_run *run)
{
	int64_t real = clock_ns(CLOCK_REALTIME);
	int64_t off = real - clock_ns(CLOCK_MONOTONIC);
	int64_t moved = off - run->clock_off;

	if (moved < CLOCK_JUMP && moved > -CLOCK_JUMP)
		return 0;
	run->clock_off = off;
	return session_send(&run->vm->session,
			    &(struct agent_msg){ .type = AGENT_TIME, .num = { (uint64_t)real } });
}

/* The set-up waits for a guest that boots, so its time is old when it is read; now it is not. */
static int tell_time(struct vm_run *run)
{
	if (run->told_time || !run->vm->session.has_hello)
		return 0;
	run->told_time = true;
	run->clock_off = 0; /* as after a jump */
	return watch_clock(run);
}

/* Ends the VM process, by force if it takes longer than it may. */
static void end_process(struct vm_run *run, unsigned ms)
{
	struct pecten_vm *vm = run->vm;
	uint64_t until = after_ms(ms);

	if (vm->pid <= 0)
		return;
	run->status = launch_end(&vm->pid, ms);
	if (WIFSIGNALED(run->status) && WTERMSIG(run->status) == SIGKILL &&
	    clock_now_ns() >= until && vm->note)
		vm->note(vm->note_arg, "the VM process did not end in time, so it was killed");
}

static void take_msg(struct vm_run *run)
{
	const struct ctl_msg *m = &run->in;

	if (m->magic != CTL_MAGIC || m->nfds != 0) {
		(void)err_set(&run->err, -EPROTO, "the VM process broke the protocol");
	} else if (m->type == CTL_FAILED && ctl_str_ok(m->u.failed.text)) {
		(void)err_set(&run->err, m->u.failed.code < 0 ? m->u.failed.code : -EIO, "%s",
			      m->u.failed.text);
		session_copy_text(run->err.text, sizeof(run->err.text), m->u.failed.text);
		run->is_lost = true;
	} else if (m->type == CTL_ENDED && ctl_str_ok(m->u.ended.text)) {
		run->end.how = m->u.ended.how;
		session_copy_text(run->end.text, sizeof(run->end.text), m->u.ended.text);
		run->has_ended = true;
	}
}

/* What is there and no more: a VM process that was taken over may leave a message unfinished. */
static void take_control(struct vm_run *run)
{
	uint8_t *to = (uint8_t *)&run->in + run->in_len;
	ssize_t n = recv(run->vm->control, to, sizeof(run->in) - run->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		run->is_lost = true;
		return;
	}
	if (run->in_len == 0)
		run->in_until = after_ms(run->vm->end_ms);
	run->in_len += (size_t)n;
	if (run->in_len < sizeof(run->in))
		return;
	run->in_len = 0;
	take_msg(run);
}

/* However little by little the bytes come. */
static void watch_control(struct vm_run *run)
{
	if (run->in_len == 0 || clock_now_ns() < run->in_until)
		return;
	if (!run->err.code)
		(void)err_set(&run->err, -ETIMEDOUT,
			      "the VM process sent a part of a message and not the rest, so it was "
			      "killed");
	(void)launch_end(&run->vm->pid, 0);
	run->is_lost = true;
}

static void set_phase(struct pecten_vm *vm, enum vm_phase phase)
{
	mutex_lock(&vm->lock);
	vm->phase = phase;
	cond_broadcast(&vm->changed);
	mutex_unlock(&vm->lock);
}

/* Says what passt said before it died, without the noise of a host without syslog. */
static void passt_words(struct pecten_vm *vm, char *text, size_t len)
{
	char all[PASST_TEXT];
	ssize_t n = vm->passt_log < 0 ? 0 : pread(vm->passt_log, all, sizeof(all) - 1, 0);
	char *rest = NULL;

	*text = '\0';
	if (n <= 0)
		return;
	all[n] = '\0';
	for (char *line = strtok_r(all, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "Failed to send", 14) != 0)
			(void)snprintf(text, len, "%s", line);
	}
}

static void watch_passt(struct vm_run *run)
{
	struct pecten_vm *vm = run->vm;
	char words[PASST_TEXT];
	char text[PASST_TEXT + 64];
	int status;

	if (vm->passt <= 0 || waitpid(vm->passt, &status, WNOHANG) != vm->passt)
		return;
	vm->passt = 0;
	run->passt_is_dead = true;
	passt_words(vm, words, sizeof(words));
	(void)snprintf(text, sizeof(text), "passt has ended, the guest has no network: %s",
		       *words ? words : "it gave no reason");
	mutex_lock(&vm->lock);
	bool is_starting = vm->phase == VM_STARTING;
	mutex_unlock(&vm->lock);
	if (is_starting && !run->err.code)
		(void)err_set(&run->err, -ENETDOWN, "%s", text);
	else if (vm->note)
		vm->note(vm->note_arg, text);
}

static int take_wishes(struct vm_run *run)
{
	struct pecten_vm *vm = run->vm;
	bool stop;
	bool kill_now;
	unsigned grace_ms;
	uint64_t signals;
	int r = 0;

	mutex_lock(&vm->lock);
	stop = vm->wants_stop;
	kill_now = vm->wants_kill;
	grace_ms = vm->grace_ms;
	signals = vm->signals;
	vm->signals = 0;
	mutex_unlock(&vm->lock);

	/* READY comes before the workload's first word: who has heard it can signal it. */
	if (signals && !vm->session.is_ready)
		kill_now = true;
	for (int n = 1; signals && vm->session.is_ready && r == 0 && n <= SIGNALS; n++) {
		if (signals >> (n - 1) & 1)
			r = session_signal(&vm->session, n);
	}
	if (r == 0 && stop && !run->told_agent && !run->has_acked) {
		run->told_agent = true;
		run->give_up_ns = after_ms((uint64_t)grace_ms + vm->end_ms);
		if (vm->session.is_ready)
			r = session_send(&vm->session, &(struct agent_msg){ .type = AGENT_STOP,
									    .num = { grace_ms } });
		else
			kill_now = true; /* nobody to ask */
	}
	if (kill_now && !run->told_vm) {
		run->told_vm = true;
		run->give_up_ns = after_ms(vm->end_ms);
		vm->msg = (struct ctl_msg){ .type = CTL_STOP };
		/* There is room, unless it has not read for long. */
		if (ctl_send_until(vm->control, &vm->msg, NULL, 0, 0) < 0)
			run->is_lost = true;
	}
	return r;
}

/* Milestones of the agent: READY, FAILED, EXIT. */
static int take_progress(struct vm_run *run)
{
	struct pecten_vm *vm = run->vm;
	struct session *s = &vm->session;
	int r = 0;

	if (s->has_failed && !run->err.code)
		(void)err_set(&run->err, -EIO, "%s", s->exit.text);
	if (s->is_ready && vm->phase == VM_STARTING && !run->err.code)
		set_phase(vm, VM_RUNS);
	if ((s->has_exit || s->has_failed) && !run->has_acked && !s->is_gone) {
		run->has_acked = true;
		run->give_up_ns = after_ms(vm->end_ms);
		r = session_send(s, &(struct agent_msg){ .type = AGENT_ACK });
		if (r == 0)
			r = agent_io_flush(&s->io);
		if (r == -EPIPE || r == -ECONNRESET)
			r = 0;
	}
	return r;
}

/* For poll(), which takes CLOCK_MS at most. */
static int ms_until(uint64_t until_ns)
{
	uint64_t now = clock_now_ns();

	if (until_ns <= now)
		return 0;

	uint64_t left = (until_ns - now) / NS_PER_MS + 1;

	return left < CLOCK_MS ? (int)left : CLOCK_MS;
}

static int timeout_ms(const struct vm_run *run)
{
	uint64_t until = UINT64_MAX;

	if (run->give_up_ns)
		until = run->give_up_ns;
	if (run->in_len > 0 && run->in_until < until)
		until = run->in_until;
	return ms_until(until);
}

static int step(struct vm_run *run)
{
	struct pecten_vm *vm = run->vm;
	struct pollfd p[SESSION_POLLS + 1];
	int r;

	session_polls(&vm->session, p);
	p[SESSION_POLLS] = (struct pollfd){ .fd = vm->control, .events = POLLIN };
	if (poll(p, ARRAY_LEN(p), timeout_ms(run)) < 0)
		return errno == EINTR ? 0 : -errno;
	/* The agent's last words arrive before the machine's end does. */
	r = session_step(&vm->session, p, run->buf);
	if (r == 0)
		r = tell_time(run);
	if (r == 0)
		r = take_progress(run);
	if (p[SESSION_POLLS].revents)
		take_control(run);
	watch_control(run);
	if (r == 0)
		r = take_wishes(run);
	if (r == 0)
		r = watch_clock(run);
	watch_passt(run);
	if (run->give_up_ns && clock_now_ns() >= run->give_up_ns) {
		if (run->told_vm || run->has_acked) {
			run->is_lost = true;
			end_process(run, 0);
		}
		mutex_lock(&vm->lock);
		vm->wants_kill = true;
		mutex_unlock(&vm->lock);
	}
	return r;
}

/*
 * After the machine's end: what the workload wrote last goes to whoever still reads it.  Readers
 * may take their time, but not a VM process that says that it has ended and goes on speaking.
 */
static void deliver_rest(struct vm_run *run)
{
	struct session *s = &run->vm->session;
	uint64_t until = after_ms(run->vm->end_ms);
	struct pollfd p[SESSION_POLLS];

	if (!s->has_cmd)
		return;
	(void)shutdown(run->vm->agent, SHUT_WR);
	while (!session_is_done(s)) {
		if (!s->is_gone && clock_now_ns() >= until) {
			end_process(run, 0);
			/* It may have given its end away; what was sent can still be read. */
			(void)shutdown(run->vm->agent, SHUT_RDWR);
		}
		session_polls(s, p);
		(void)poll(p, SESSION_POLLS, s->is_gone ? -1 : ms_until(until));
		if (session_step(s, p, run->buf) < 0)
			break;
	}
}

/* A sentence of ours with the guest's words in it. */
static void PRINTF_FMT(2, 3) say_machine(struct pecten_exit *how, const char *fmt, ...)
{
	va_list ap;

	exit_of_machine(how, "");
	va_start(ap, fmt);
	(void)vsnprintf(how->text, sizeof(how->text), fmt, ap);
	va_end(ap);
}

/* What the kernel says when it has nothing left to kill (mm/oom_kill.c). */
static bool is_out_of_memory(const struct ctl_ended *end)
{
	return end->how == CTL_END_PANIC && (strstr(end->text, "deadlocked on memory") ||
					     strstr(end->text, "no killable processes"));
}

static void explain_end(struct vm_run *run, struct pecten_exit *how)
{
	const struct session *s = &run->vm->session;
	int status;

	end_process(run, run->vm->end_ms);
	status = run->status;
	if (run->err.code) {
		exit_of_machine(how, run->err.text);
	} else if (s->has_exit) {
		exit_of_session(s, how);
	} else if (run->told_vm) {
		exit_of_machine(how, "the machine was stopped");
		how->status = 128 + SIGKILL;
	} else if (run->has_ended && is_out_of_memory(&run->end)) {
		exit_of_machine(how, "the guest ran out of memory and its kernel found nothing "
				     "left to end; give the VM more with --memory");
		how->status = 128 + SIGKILL;
	} else if (run->has_ended && run->end.how == CTL_END_PANIC) {
		say_machine(how, "the guest's kernel crashed: %.900s", run->end.text);
	} else if (run->has_ended && run->end.how == CTL_END_FAULT) {
		say_machine(how, "the virtual CPU cannot go on: %.900s", run->end.text);
	} else if (run->has_ended && run->end.how == CTL_END_POWEROFF) {
		exit_of_machine(how, "the guest switched the machine off");
	} else if (run->has_ended && run->vm->phase == VM_STARTING) {
		say_machine(
			how,
			"the guest's kernel reset the machine before the agent could speak%s%.900s",
			*run->end.text ? ": " : "", run->end.text);
	} else if (run->has_ended) {
		exit_of_machine(how, "the guest rebooted the machine");
	} else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
		say_machine(how, "the VM process was killed for a system call that it has no "
				 "business with: an attack, or a fault of ours; the host's kernel "
				 "log names it (type=1326)");
		how->status = 128 + SIGSYS;
	} else if (WIFSIGNALED(status)) {
		say_machine(how, "the VM process was killed by signal %d", WTERMSIG(status));
		how->status = 128 + WTERMSIG(status);
	} else {
		say_machine(how, "the VM process ended with status %d", WEXITSTATUS(status));
	}
}

void *vm_thread(void *arg)
{
	struct pecten_vm *vm = arg;
	struct vm_run *run = vm->run;
	struct pecten_exit how;
	struct pecten_cmd *cmd;
	int r = 0;

	run->clock_off = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
	while (r == 0 && !run->has_ended && !run->is_lost &&
	       !(run->err.code && !vm->session.has_failed))
		r = step(run);
	if (r < 0 && !run->err.code)
		(void)err_set(&run->err, r, "%s",
			      r == -EPROTO ? "the guest's agent broke the protocol" : strerror(-r));
	if (r < 0 || run->err.code) {
		fd_drop(&vm->control); /* ends the VM process */
		run->has_acked = true;
	} else {
		deliver_rest(run);
	}
	explain_end(run, &how);
	vm_unlaunch(vm);

	mutex_lock(&vm->lock);
	cmd = vm->cmd;
	vm->cmd = NULL;
	mutex_unlock(&vm->lock);
	if (cmd)
		cmd_end(cmd, &how);

	mutex_lock(&vm->lock);
	session_fini(&vm->session); /* pecten_vm_stop() wakes it under the same lock */
	if (vm->phase == VM_STARTING) {
		vm->start_err = run->err;
		if (!run->err.code)
			(void)err_set(&vm->start_err, -EIO, "%s", how.text);
	}
	vm->how = how;
	vm->phase = VM_ENDED;
	cond_broadcast(&vm->changed);
	mutex_unlock(&vm->lock);
	return NULL;
}

/* The workload's object is being destroyed while the machine runs. */
static void release_workload(void *arg)
{
	(void)pecten_vm_stop(arg, 0);
}

static void wish(struct pecten_vm *vm)
{
	session_wake(&vm->session); /* it lives until VM_ENDED, which is set under the same lock */
}

int pecten_vm_start(struct pecten_vm *vm, struct pecten_cmd *cmd)
{
	int r;

	if (vm->is_attached || vm->phase != VM_DESCRIBED)
		return err_set(&vm->err, -EBUSY, "the machine was started before");
	vm->run = calloc(1, sizeof(*vm->run));
	if (!vm->run)
		return err_set(&vm->err, -ENOMEM, "out of memory");
	vm->run->vm = vm;
	vm->cmd = cmd;
	r = vm_launch(vm);
	if (r == 0) {
		r = session_init(&vm->session, vm->agent);
		if (r < 0)
			(void)err_set(&vm->err, r, "out of memory or descriptors");
	}
	if (r == 0) {
		vm->session.note = vm->note;
		vm->session.note_arg = vm->note_arg;
		r = vm_send_setup(vm);
	}
	if (r == 0 && cmd) {
		r = cmd_begin(cmd, &vm->session, release_workload, vm);
		if (r < 0)
			(void)err_set(&vm->err, r, "%s", cmd->err.text);
	}
	if (r == 0) {
		set_phase(vm, VM_STARTING);
		r = thread_start(&vm->thread, "pecten-vm", vm_thread, vm);
		if (r < 0) {
			(void)err_set(&vm->err, r, "no thread could be started");
			set_phase(vm, VM_DESCRIBED);
		}
	}
	if (r < 0) {
		if (cmd && cmd->session) {
			struct pecten_exit how;

			exit_of_machine(&how, vm->err.text);
			cmd_end(cmd, &how);
		}
		vm->cmd = NULL;
		session_fini(&vm->session);
		vm_unlaunch(vm);
		free(take(&vm->run));
		return r;
	}
	vm->has_thread = true;
	mutex_lock(&vm->lock);
	while (vm->phase == VM_STARTING)
		cond_wait(&vm->changed, &vm->lock);
	if (vm->phase == VM_ENDED && vm->start_err.code) {
		vm->err = vm->start_err;
		r = vm->err.code;
	}
	mutex_unlock(&vm->lock);
	return r;
}

int pecten_vm_wait(struct pecten_vm *vm, int timeout, struct pecten_exit *how)
{
	uint64_t until = after_ms(timeout < 0 ? 0 : (uint64_t)timeout);
	int r = 0;

	mutex_lock(&vm->lock);
	while (vm->phase != VM_ENDED && vm->phase != VM_DESCRIBED && r == 0) {
		if (timeout < 0)
			cond_wait(&vm->changed, &vm->lock);
		else
			r = cond_wait_until(&vm->changed, &vm->lock, until);
	}
	if (vm->phase == VM_ENDED) {
		r = 0;
		if (how)
			*how = vm->how;
	} else if (vm->phase == VM_DESCRIBED) {
		r = -ESRCH;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/* A connection on which the agent has greeted: a guest that is still starting refuses at first. */
static int connect_agent(struct pecten_vm *vm)
{
	uint64_t until = after_ms(HELLO_MS);

	for (;;) {
		AUTO_FD fd = reg_connect(pecten_vm_name(vm), &vm->err);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char byte;

		if (fd < 0)
			return fd;
		if (poll(&p, 1, HELLO_MS) > 0 && recv(fd, &byte, 1, MSG_PEEK) == 1)
			return take_fd(&fd);
		if (clock_now_ns() >= until)
			return err_set(&vm->err, -ETIMEDOUT,
				       "the machine '%s' does not answer; it may still be starting",
				       pecten_vm_name(vm));
		(void)poll(NULL, 0, RETRY_MS);
	}
}

int pecten_vm_exec(struct pecten_vm *vm, struct pecten_cmd *cmd)
{
	mutex_lock(&vm->lock);
	bool runs = vm->is_attached || vm->phase == VM_RUNS;
	mutex_unlock(&vm->lock);
	if (!runs)
		return err_set(&vm->err, -ESRCH, "the machine does not run");

	int fd = connect_agent(vm);

	if (fd < 0)
		return fd;

	int r = cmd_start_thread(cmd, fd);

	return r < 0 ? err_set(&vm->err, r, "%s", cmd->err.text) : 0;
}

int pecten_vm_attach(const char *name, struct pecten_vm **out, char *why, uint64_t len)
{
	struct pecten_vm *vm = NULL;
	struct err e = { 0 };
	int r = reg_is_running(name, &e);

	if (r == 0) {
		r = err_set(&e, -ENOENT,
			    "no machine named '%.80s' is running; 'pecten ps' lists those that are",
			    name);
	} else if (r > 0) {
		r = pecten_vm_create(&vm);
		if (r < 0)
			(void)err_set(&e, r, "out of memory");
	}
	if (r < 0 || !vm) {
		if (why && len)
			(void)snprintf(why, (size_t)len, "%s", e.text);
		return r;
	}
	(void)snprintf(vm->conf.name, sizeof(vm->conf.name), "%s", name);
	vm->is_attached = true;
	*out = vm;
	return 0;
}

static bool is_over(const struct pecten_vm *vm)
{
	return reg_is_running(vm->conf.name, NULL) == 0;
}

static bool wait_over(const struct pecten_vm *vm, uint64_t ms)
{
	uint64_t until = after_ms(ms);

	while (!is_over(vm)) {
		if (clock_now_ns() >= until)
			return false;
		(void)poll(NULL, 0, RETRY_MS / 2);
	}
	return true;
}

/* Asks the agent, as `pecten stop` does from another process than the machine's. */
static int stop_attached(struct pecten_vm *vm, unsigned grace_ms)
{
	uint8_t msg[64];
	int fd = reg_connect(vm->conf.name, &vm->err);
	int n = agent_encode(msg, sizeof(msg),
			     &(struct agent_msg){ .type = AGENT_STOP, .num = { grace_ms } });

	if (fd == -ENOENT)
		return fd;
	if (fd >= 0 && n > 0) {
		int r = fd_write_full(fd, msg, (size_t)n);
		bool over = r == 0 && wait_over(vm, (uint64_t)grace_ms + vm->end_ms);

		(void)close(fd);
		if (over)
			return 0;
	}

	/* The guest does not listen, so the machine is ended from outside. */
	pid_t pid = reg_vm_pid(vm->conf.name);

	if (is_over(vm))
		return 0;
	if (pid <= 0 || kill(pid, SIGKILL) < 0 || !wait_over(vm, vm->end_ms))
		return err_set(&vm->err, -EBUSY, "the machine '%s' does not end", vm->conf.name);
	return 0;
}

int pecten_vm_stop(struct pecten_vm *vm, unsigned grace_ms)
{
	if (vm->is_attached)
		return stop_attached(vm, grace_ms);
	mutex_lock(&vm->lock);
	if (vm->phase == VM_STARTING || vm->phase == VM_RUNS) {
		vm->wants_stop = true;
		vm->grace_ms = grace_ms;
		wish(vm);
	}
	while (vm->phase == VM_STARTING || vm->phase == VM_RUNS)
		cond_wait(&vm->changed, &vm->lock);
	mutex_unlock(&vm->lock);
	return 0;
}

int pecten_vm_signal(struct pecten_vm *vm, int signo)
{
	int r = 0;

	if (signo < 1 || signo > SIGNALS)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->is_attached || vm->phase == VM_ENDED) {
		r = -ESRCH;
	} else {
		vm->signals |= UINT64_C(1) << (signo - 1);
		if (vm->phase != VM_DESCRIBED)
			wish(vm);
	}
	mutex_unlock(&vm->lock);
	return r;
}

int pecten_list(int (*fn)(void *arg, const struct pecten_info *info), void *arg)
{
	return reg_list(fn, arg);
}
