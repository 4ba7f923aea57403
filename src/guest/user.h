/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a command runs as: names looked up in the root's own /etc/passwd and /etc/group, which
 * are text of the image and not trusted to be well-formed.
 */
#ifndef PECTEN_GUEST_USER_H
#define PECTEN_GUEST_USER_H

#include <sys/types.h>

#include "util/compiler.h"

#define USER_GROUPS_MAX 64
#define USER_HOME_MAX   256

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t ngroups;
	char home[USER_HOME_MAX];
};

/**
 * user_find() - resolve "user", "user:group", each a name or a number
 * @etc:	folder with passwd and group: "/etc"
 * @spec:	what the person asked for; "" is root
 * @u:		on success, filled in; a number without an entry has no groups and the home "/"
 *
 * Return: 0; -ENOENT if a name is unknown; -EINVAL if @spec is not of that form
 */
int user_find(const char *etc, const char *spec, struct user *u) MUST_CHECK;

#endif
