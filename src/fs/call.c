// SPDX-License-Identifier: Apache-2.0
/* Reading a request's variable arguments and writing its reply. */
#include <errno.h>

#include "fs/fs_internal.h"

/**
 * call_string() - a zero-terminated string of the request
 * @s:		room for @max + 1 bytes
 *
 * Return: 0; -ENAMETOOLONG; -EINVAL if the request ends before it does
 */
int call_string(struct fs_call *c, char *s, size_t max)
{
	struct cur look = c->in;
	size_t left = cur_left(&look);
	size_t n = left < max + 1 ? left : max + 1;

	if (cur_read(&look, s, n) < 0)
		return -EINVAL;

	const char *end = memchr(s, '\0', n);
	if (!end)
		return left > max ? -ENAMETOOLONG : -EINVAL;
	return cur_skip(&c->in, (size_t)(end - s) + 1) < 0 ? -EINVAL : 0;
}

/**
 * call_name() - the name of something in a folder: one component and never a way out
 *
 * Return: 0; -EINVAL for "", ".", ".." or a slash; -ENAMETOOLONG
 */
int call_name(struct fs_call *c, char name[NAME_MAX + 1])
{
	int r = call_string(c, name, NAME_MAX);

	if (r < 0)
		return r;
	if (*name == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	return 0;
}

/* Return: 0, or -EOVERFLOW if the guest left too little room, which no correct one does */
int call_reply(struct fs_call *c, const void *p, size_t len)
{
	if (cur_write(&c->out, p, len) < 0)
		return -EOVERFLOW;
	c->out_len += (uint32_t)len;
	return 0;
}

void call_fill_entry(const struct fs_inode *i, const struct fs_stat *st, struct fuse_entry_out *o)
{
	*o = (struct fuse_entry_out){
		.nodeid = i->nodeid,
		.entry_valid = FS_TTL_MS / 1000,
		.attr_valid = FS_TTL_MS / 1000,
		.entry_valid_nsec = FS_TTL_MS % 1000 * 1000000u,
		.attr_valid_nsec = FS_TTL_MS % 1000 * 1000000u,
	};
	stat_to_attr(st, &o->attr);
}

int call_reply_entry(struct fs_call *c, struct fs_inode *i, const struct fs_stat *st)
{
	struct fuse_entry_out o;

	call_fill_entry(i, st, &o);
	return call_reply(c, &o, sizeof(o));
}

int call_reply_attr(struct fs_call *c, const struct fs_stat *st)
{
	struct fuse_attr_out o = {
		.attr_valid = FS_TTL_MS / 1000,
		.attr_valid_nsec = FS_TTL_MS % 1000 * 1000000u,
	};

	stat_to_attr(st, &o.attr);
	return call_reply(c, &o, sizeof(o));
}
