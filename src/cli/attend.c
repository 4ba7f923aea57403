/* SPDX-License-Identifier: Apache-2.0 */
/* Signals, terminal and exit status of a command in a machine: see attend.h. */
#include "cli/attend.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

#define NS_PER_MS 1000000
#define STOP_MS   2000 /* for a workload that has run out of time */

/* What is passed on; job control of our own terminal (SIGTSTP...) stays ours. */
static void forwarded(sigset_t *set)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH
	};

	(void)sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaddset(set, signals[i]);
}

static bool terminal_size(struct winsize *w)
{
	return ioctl(STDIN_FILENO, TIOCGWINSZ, w) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, w) == 0;
}

static void *watch(void *arg)
{
	struct attend *a = arg;
	struct winsize w;
	sigset_t set;
	int signo;

	forwarded(&set);
	for (;;) {
		/* Anywhere else it would leave the library's locks behind. */
		(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		int r = sigwait(&set, &signo);
		(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);

		if (r != 0)
			continue;
		if (signo == SIGWINCH) {
			if (terminal_size(&w))
				(void)pecten_cmd_resize(a->cmd, w.ws_row, w.ws_col);
		} else if (a->owns_vm) {
			(void)pecten_vm_signal(a->vm, signo);
		} else {
			(void)pecten_cmd_signal(a->cmd, signo);
		}
	}
	return NULL;
}

int attend_begin(struct attend *a, struct pecten_vm *vm, struct pecten_cmd *cmd, bool owns_vm,
		 bool is_tty)
{
	struct winsize w = { 0 };
	sigset_t set;
	int r;

	*a = (struct attend){ .vm = vm, .cmd = cmd, .owns_vm = owns_vm };
	if (is_tty) {
		(void)terminal_size(&w);
		r = pecten_cmd_set_tty(cmd, w.ws_row, w.ws_col);
		if (r < 0)
			return r;
	}
	/* Blocked in every thread that is made from here on; one of them waits for them. */
	forwarded(&set);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	r = pthread_create(&a->thread, NULL, watch, a);
	if (r != 0)
		return -r;
	a->has_thread = true;
	if (is_tty && tcgetattr(STDIN_FILENO, &a->saved) == 0) {
		struct termios raw = a->saved;

		cfmakeraw(&raw);
		a->is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
	}
	return 0;
}

static void restore(struct attend *a)
{
	if (a->is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &a->saved);
	a->is_raw = false;
}

int attend_wait(struct attend *a, uint64_t timeout_ns)
{
	struct pecten_exit how;
	int timeout_ms = -1;
	bool is_late = false;

	if (timeout_ns)
		timeout_ms = timeout_ns / NS_PER_MS < INT32_MAX ? (int)(timeout_ns / NS_PER_MS)
								: INT32_MAX;

	int r = pecten_cmd_wait(a->cmd, timeout_ms, &how);

	if (r == -ETIMEDOUT) {
		is_late = true;
		(void)pecten_vm_stop(a->vm, STOP_MS);
		r = pecten_cmd_wait(a->cmd, -1, &how);
	}
	restore(a);
	if (r < 0)
		return CLI_FAILED;
	if (is_late) {
		(void)fprintf(stderr, "pecten: the time given with --timeout is over\n");
		return ATTEND_TIMEOUT;
	}
	if (*how.text)
		(void)fprintf(stderr, "pecten: %s\n", how.text);
	return how.status;
}

void attend_end(struct attend *a)
{
	restore(a);
	if (a->has_thread) {
		(void)pthread_cancel(a->thread); /* sigwait() is a cancellation point */
		(void)pthread_join(a->thread, NULL);
	}
	a->has_thread = false;
}
