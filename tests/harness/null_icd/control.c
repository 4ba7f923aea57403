/* SPDX-License-Identifier: Apache-2.0 */
/* How a test steers the null driver and what it can learn from it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "null_internal.h"

static int compare(const void *name, const void *command)
{
	return strcmp(name, ((const struct null_command *)command)->name);
}

const struct null_command *null_find_command(const char *name)
{
	return bsearch(name, null_commands, null_command_count, sizeof(*null_commands), compare);
}

void null_control(const struct null_control *c)
{
	static const struct null_control behave;
	struct null_faults *f = &null.faults;

	if (!c)
		c = &behave;
	const struct null_command *hang = c->hang ? null_find_command(c->hang) : NULL;

	if (c->hang && !hang) {
		(void)fprintf(stderr, "null driver: told to hang in %s, which it lacks\n", c->hang);
		abort();
	}
	mutex_lock(&null.lock);
	f->hide[0] = '\0';
	if (c->hide)
		(void)snprintf(f->hide, sizeof(f->hide), " %s ", c->hide);
	for (uint32_t i = 0; i < null.used; i++) {
		struct null_rec *r = &null.recs[i];

		if (atomic_load_explicit(&r->type, memory_order_relaxed) == VK_OBJECT_TYPE_DEVICE)
			atomic_store_explicit(&r->u.device.submits, 0, memory_order_relaxed);
	}
	mutex_unlock(&null.lock);

	mutex_lock(&null.sync);
	atomic_store_explicit(&f->lose_after, c->lose_after, memory_order_relaxed);
	atomic_store_explicit(&f->oom_left, c->oom_at, memory_order_relaxed);
	atomic_store_explicit(&f->work_ns, c->work_ns, memory_order_relaxed);
	atomic_store_explicit(&f->wait_cap_ns, c->wait_cap_ns, memory_order_relaxed);
	atomic_store_explicit(&f->hang, hang ? hang->cmd + 1U : 0, memory_order_relaxed);
	atomic_store_explicit(&f->has_dmabuf, c->has_dmabuf, memory_order_relaxed);
	atomic_store_explicit(&f->has_sync_fd, c->has_sync_fd, memory_order_relaxed);
	atomic_store_explicit(&f->counts_more, c->counts_more, memory_order_relaxed);
	atomic_store_explicit(&f->is_stale_ok, c->is_stale_ok, memory_order_relaxed);
	atomic_store_explicit(&f->has_few_extensions, c->has_few_extensions, memory_order_relaxed);
	atomic_store_explicit(&f->complain, c->complain, memory_order_relaxed);
	cond_broadcast(&null.wake);
	mutex_unlock(&null.sync);
}

/* One "name=value" of the environment. */
static void set_from(struct null_control *c, const char *name, const char *value)
{
	if (strcmp(name, "lose_after") == 0)
		c->lose_after = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(name, "oom_at") == 0)
		c->oom_at = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(name, "work_ns") == 0)
		c->work_ns = strtoull(value, NULL, 10);
	else if (strcmp(name, "wait_cap_ns") == 0)
		c->wait_cap_ns = strtoull(value, NULL, 10);
	else if (strcmp(name, "hang") == 0)
		c->hang = value;
	else if (strcmp(name, "hide") == 0)
		c->hide = value;
	else if (strcmp(name, "has_dmabuf") == 0)
		c->has_dmabuf = *value == '1';
	else if (strcmp(name, "has_sync_fd") == 0)
		c->has_sync_fd = *value == '1';
	else {
		(void)fprintf(stderr, "null driver: PECTEN_NULL_ICD has an unknown word '%s'\n",
			      name);
		abort();
	}
}

void null_control_from_env(void)
{
	const char *env = getenv("PECTEN_NULL_ICD");
	struct null_control c = { 0 };
	char copy[1024];
	char *rest = copy;

	if (!env)
		return;
	(void)snprintf(copy, sizeof(copy), "%s", env);
	for (char *word; (word = strsep(&rest, ",")) != NULL;) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		set_from(&c, word, value);
	}
	null_control(&c);
}

bool null_is_hidden(const struct null_extension *ext)
{
	if (!ext->has_functions &&
	    atomic_load_explicit(&null.faults.has_few_extensions, memory_order_relaxed))
		return true;
	return null_is_hidden_name(ext->name);
}

bool null_is_hidden_name(const char *ext)
{
	char word[VK_MAX_EXTENSION_NAME_SIZE + 3];

	mutex_lock(&null.lock);
	bool hides_none = null.faults.hide[0] == '\0';
	mutex_unlock(&null.lock);
	if (hides_none)
		return false;
	(void)snprintf(word, sizeof(word), " %s ", ext);
	mutex_lock(&null.lock);
	bool is_hidden = strstr(null.faults.hide, word) != NULL;
	mutex_unlock(&null.lock);
	return is_hidden;
}

void null_hang(uint32_t cmd)
{
	mutex_lock(&null.sync);
	while (atomic_load_explicit(&null.faults.hang, memory_order_relaxed) == cmd + 1)
		cond_wait(&null.wake, &null.sync);
	mutex_unlock(&null.sync);
}

void null_release(void)
{
	mutex_lock(&null.sync);
	atomic_store_explicit(&null.faults.hang, 0, memory_order_relaxed);
	cond_broadcast(&null.wake);
	mutex_unlock(&null.sync);
}

uint64_t null_calls(const char *cmd)
{
	const struct null_command *known = null_find_command(cmd);

	return known ? atomic_load_explicit(&null_counts[known->cmd], memory_order_relaxed) : 0;
}

uint64_t null_calls_total(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < null_cmd_count; i++)
		n += atomic_load_explicit(&null_counts[i], memory_order_relaxed);
	return n;
}

void null_forget(void)
{
	for (uint32_t i = 0; i < null_cmd_count; i++)
		atomic_store_explicit(&null_counts[i], 0, memory_order_relaxed);
}
