/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of the image: see user.h. */
#include "guest/user.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 2048             /* longer lines are passed over */
#define ID_MAX         (UINT32_MAX - 1) /* (uid_t)-1 means "leave as it is" to the kernel */

/* A whole decimal number; Return: whether it is one */
static bool number(const char *s, uint32_t *out)
{
	uint64_t v = 0;

	if (*s == '\0')
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > ID_MAX)
			return false;
	}
	*out = (uint32_t)v;
	return true;
}

/* Cuts "a:b:c" into at most @max fields. Return: how many there are */
static unsigned fields(char *line, char **f, unsigned max)
{
	unsigned n = 0;

	while (line && n < max) {
		f[n++] = line;
		line = strchr(line, ':');
		if (line)
			*line++ = '\0';
	}
	return n;
}

/* The next line without its newline; Return: whether there is one */
static bool next_line(FILE *f, char *line)
{
	while (fgets(line, LINE_MAX_BYTES, f)) {
		size_t n = strlen(line);

		if (n > 0 && line[n - 1] == '\n') {
			line[n - 1] = '\0';
			return true;
		}
		if (feof(f))
			return n > 0;
		int c;
		do {
			c = fgetc(f);
		} while (c != '\n' && c != EOF);
	}
	return false;
}

static FILE *open_in(const char *etc, const char *name)
{
	char path[256];

	if (snprintf(path, sizeof(path), "%s/%s", etc, name) >= (int)sizeof(path))
		return NULL;
	return fopen(path, "re");
}

/* passwd's entry of a name or, if @name is NULL, of u->uid; fills in uid, gid and home. */
static bool find_passwd(const char *etc, const char *name, struct user *u, char *found, size_t len)
{
	char line[LINE_MAX_BYTES];
	bool hit = false;
	FILE *f = open_in(etc, "passwd");

	while (f && !hit && next_line(f, line)) {
		char *v[7];
		uint32_t uid;
		uint32_t gid;

		if (fields(line, v, 7) < 6 || !number(v[2], &uid) || !number(v[3], &gid))
			continue;
		if (name ? strcmp(v[0], name) != 0 : uid != u->uid)
			continue;
		u->uid = uid;
		u->gid = gid;
		(void)snprintf(u->home, sizeof(u->home), "%s", v[5][0] == '/' ? v[5] : "/");
		(void)snprintf(found, len, "%s", v[0]);
		hit = true;
	}
	if (f)
		(void)fclose(f);
	return hit;
}

static bool find_group(const char *etc, const char *name, gid_t *gid)
{
	char line[LINE_MAX_BYTES];
	bool hit = false;
	FILE *f = open_in(etc, "group");

	while (f && !hit && next_line(f, line)) {
		char *v[4];
		uint32_t id;

		if (fields(line, v, 4) < 3 || strcmp(v[0], name) != 0 || !number(v[2], &id))
			continue;
		*gid = id;
		hit = true;
	}
	if (f)
		(void)fclose(f);
	return hit;
}

static bool is_member(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (*list) {
		size_t n = strcspn(list, ",");

		if (n == len && memcmp(list, name, n) == 0)
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/* Supplementary groups: those of group whose list of members has @name. */
static void find_groups(const char *etc, const char *name, struct user *u)
{
	char line[LINE_MAX_BYTES];
	FILE *f = open_in(etc, "group");

	while (f && u->ngroups < USER_GROUPS_MAX && next_line(f, line)) {
		char *v[4];
		uint32_t id;

		if (fields(line, v, 4) == 4 && number(v[2], &id) && is_member(v[3], name))
			u->groups[u->ngroups++] = id;
	}
	if (f)
		(void)fclose(f);
}

int user_find(const char *etc, const char *spec, struct user *u)
{
	char user[128];
	char name[128] = "";
	uint32_t id = 0;
	const char *colon = strchr(spec, ':');
	size_t len = colon ? (size_t)(colon - spec) : strlen(spec);

	*u = (struct user){ .home = "/" };
	if (len >= sizeof(user) || (colon && (colon[1] == '\0' || strchr(colon + 1, ':'))))
		return -EINVAL;
	memcpy(user, spec, len);
	user[len] = '\0';

	if (*user == '\0' || number(user, &id)) {
		u->uid = *user ? id : 0;
		(void)find_passwd(etc, NULL, u, name, sizeof(name));
	} else if (!find_passwd(etc, user, u, name, sizeof(name))) {
		return -ENOENT;
	}
	if (*name)
		find_groups(etc, name, u);
	if (!colon)
		return 0;
	if (number(colon + 1, &id))
		u->gid = id;
	else if (!find_group(etc, colon + 1, &u->gid))
		return -ENOENT;
	return 0;
}
