/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standing in for a command that runs in a machine: its terminal is ours, our signals are its, and
 * so is our exit status.
 */
#ifndef PECTEN_CLI_ATTEND_H
#define PECTEN_CLI_ATTEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "pecten.h"
#include "util/compiler.h"

#define ATTEND_TIMEOUT 124 /* exit status, as of timeout(1) */

struct attend {
	struct pecten_vm *vm;
	struct pecten_cmd *cmd;
	bool owns_vm; /* signals end a machine that is still starting */
	bool is_raw;  /* our terminal is in raw mode: restore .saved */
	struct termios saved;
	pthread_t thread; /* that waits for signals */
	bool has_thread;
};

/**
 * attend_begin() - take over signals, and the terminal if there is to be one
 * @is_tty:	the command gets a terminal; its size becomes ours
 *
 * Call before the machine or the command is started; always call attend_end().
 *
 * Return: 0 or -errno
 */
int attend_begin(struct attend *a, struct pecten_vm *vm, struct pecten_cmd *cmd, bool owns_vm,
		 bool is_tty) MUST_CHECK;

/**
 * attend_wait() - wait for the command's end
 * @timeout_ns:	0: for ever
 *
 * Return: the exit status for our own exit; what is to be said has been printed
 */
int attend_wait(struct attend *a, uint64_t timeout_ns);

/* Gives the terminal back.  Harmless if nothing was begun. */
void attend_end(struct attend *a);

#endif
