/* SPDX-License-Identifier: Apache-2.0 */
/* What a command is to be, gathered from messages before it is started. */
#ifndef PECTEN_GUEST_SPEC_H
#define PECTEN_GUEST_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

#define SPEC_RLIMITS_MAX 16

/* A list of strings, ended by NULL as execve() wants it. */
struct strs {
	char **v;
	size_t n;
	size_t bytes; /* of all strings and pointers */
};

struct rlim {
	int resource;
	uint64_t soft;
	uint64_t hard;
};

struct cmd_spec {
	unsigned flags; /* AGENT_CMD_ */
	uint16_t rows;
	uint16_t cols;
	struct strs argv;
	struct strs env; /* beyond the default of all commands */
	char *cwd;       /* NULL: the root */
	char *user;      /* NULL: root */
	struct rlim rlimits[SPEC_RLIMITS_MAX];
	unsigned nrlimits;
};

/**
 * strs_add() - append a copy
 *
 * Return: 0; -E2BIG past AGENT_ITEMS_MAX strings or AGENT_SPEC_MAX bytes; -ENOMEM
 */
int strs_add(struct strs *s, const char *text) MUST_CHECK;

/**
 * strs_set_env() - set "NAME=value", replacing an earlier value of NAME
 *
 * Return: as strs_add(), and -EINVAL if @text has no '=' or no name
 */
int strs_set_env(struct strs *s, const char *text) MUST_CHECK;

/* The value of a variable, or NULL. */
const char *strs_env(const struct strs *s, const char *name);

/* A zeroed list is fine, and is what is left behind. */
void strs_fini(struct strs *s);
void spec_fini(struct cmd_spec *s);

/* Replaces a string by a copy. Return: 0 or -ENOMEM */
int spec_set(char **field, const char *text) MUST_CHECK;

#endif
