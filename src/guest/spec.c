/* SPDX-License-Identifier: Apache-2.0 */
/* Argument and environment lists with limits: see spec.h. */
#include "guest/spec.h"

#include <errno.h>
#include <string.h>

#include "util/agent_msg.h"

int strs_add(struct strs *s, const char *text)
{
	size_t len = strlen(text) + 1;
	size_t cost = len + sizeof(char *);

	if (s->n >= AGENT_ITEMS_MAX || cost > AGENT_SPEC_MAX - s->bytes)
		return -E2BIG;

	/* Room for 16 more whenever a multiple of 16 is reached; one is kept for the NULL. */
	if (s->n % 16 == 0) {
		char **v = realloc(s->v, (s->n + 17) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->v[s->n] = NULL;
	}

	char *copy = malloc(len);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	s->v[s->n++] = copy;
	s->v[s->n] = NULL;
	s->bytes += cost;
	return 0;
}

int strs_set_env(struct strs *s, const char *text)
{
	const char *eq = strchr(text, '=');

	if (!eq || eq == text)
		return -EINVAL;

	size_t name = (size_t)(eq - text) + 1;

	for (size_t i = 0; i < s->n; i++) {
		if (strncmp(s->v[i], text, name) != 0)
			continue;

		size_t old = strlen(s->v[i]);
		size_t len = strlen(text);

		if (len > old && len - old > AGENT_SPEC_MAX - s->bytes)
			return -E2BIG;

		int r = spec_set(&s->v[i], text);

		if (r == 0)
			s->bytes += len - old; /* wraps back where it shrinks */
		return r;
	}
	return strs_add(s, text);
}

const char *strs_env(const struct strs *s, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < s->n; i++) {
		if (strncmp(s->v[i], name, len) == 0 && s->v[i][len] == '=')
			return s->v[i] + len + 1;
	}
	return NULL;
}

void strs_fini(struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strs){ 0 };
}

void spec_fini(struct cmd_spec *s)
{
	strs_fini(&s->argv);
	strs_fini(&s->env);
	free(s->cwd);
	free(s->user);
	*s = (struct cmd_spec){ 0 };
}

int spec_set(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}
