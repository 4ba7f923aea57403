// SPDX-License-Identifier: Apache-2.0
/*
 * Acting as the guest's user while an object is created, so that the host's kernel itself gives it
 * the right owner, group and mode (set-group-id folders, default ACLs, quota).  All of this is per
 * thread: Linux keeps credentials there, and the C library's process-wide wrappers are avoided.
 *
 * The guest's kernel has checked permissions already, with groups that the protocol does not tell
 * us, so CAP_DAC_OVERRIDE stays.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#include "fs/fs_internal.h"

struct caps {
	struct __user_cap_data_struct v[_LINUX_CAPABILITY_U32S_3];
};

static int caps_get(struct caps *c)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &h, c->v) < 0 ? -errno : 0;
}

static int caps_set(const struct caps *c)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &h, c->v) < 0 ? -errno : 0;
}

static bool has_cap(const struct caps *c, unsigned cap)
{
	return c->v[cap / 32].effective & 1u << cap % 32;
}

/* Whether this process has what root has over files. */
bool creds_can_be_anyone(void)
{
	static const unsigned need[] = { CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
					 CAP_FSETID, CAP_SETGID,       CAP_SETUID };
	struct caps c;

	if (geteuid() != 0 || caps_get(&c) < 0)
		return false;
	for (size_t n = 0; n < ARRAY_LEN(need); n++)
		if (!has_cap(&c, need[n]))
			return false;
	return true;
}

/* One supplementary group, if the guest's kernel found that it matters; see FUSE_EXT_GROUPS. */
static unsigned supp_group(struct fs_call *c, gid_t *group)
{
	struct cur ext = c->ext;
	struct fuse_ext_header h;

	while (cur_read(&ext, &h, sizeof(h)) == 0) {
		struct cur body;

		if (h.size < sizeof(h) || h.size - sizeof(h) > cur_left(&ext))
			return 0;
		cur_split(&ext, h.size - sizeof(h), &body);
		if (h.type != FS_EXT_GROUPS)
			continue;

		struct wire_supp_groups g;
		if (cur_read(&body, &g, sizeof(g)) < 0 || g.nr_groups != 1)
			return 0;
		*group = g.group;
		return 1;
	}
	return 0;
}

/**
 * creds_take() - become the request's user on this thread, until creds_restore()
 * @umask:	the request's
 *
 * As an ordinary user we stay who we are; owner and mode are recorded afterwards.
 *
 * Return: 0, or -EPERM if the host has no such user for us (user namespaces)
 */
int creds_take(struct fs_call *c, uint32_t umask_bits, struct creds *cr)
{
	mode_t mask = c->fs->as_user ? 0 : umask_bits & 0777;

	*cr = (struct creds){ .t = c->t };
	if (mask != c->t->umask)
		(void)umask(c->t->umask = mask);
	if (c->fs->as_user || (c->hdr.uid == 0 && c->hdr.gid == 0))
		return 0;

	struct caps caps;
	gid_t group;
	unsigned ngroups = supp_group(c, &group);
	int r = caps_get(&caps);
	if (r < 0)
		return r;
	cr->is_switched = true;
	/* syscall: setgroups, setfsgid, setfsuid, capset */
	(void)syscall(SYS_setgroups, ngroups, &group);
	(void)setfsgid(c->hdr.gid);
	if ((gid_t)setfsgid((gid_t)-1) != c->hdr.gid)
		return -EPERM;
	(void)setfsuid(c->hdr.uid);
	if ((uid_t)setfsuid((uid_t)-1) != c->hdr.uid)
		return -EPERM;
	if (c->hdr.uid == 0)
		return 0;

	struct caps now;
	r = caps_get(&now);
	if (r < 0)
		return r;
	now.v[0].effective |= caps.v[0].effective & (1u << CAP_DAC_OVERRIDE);
	return caps_set(&now);
}

void creds_restore(struct creds *cr)
{
	if (!cr->t || !cr->is_switched)
		return;
	(void)setfsuid(cr->t->fs->uid);
	(void)setfsgid(cr->t->fs->gid);
	(void)syscall(SYS_setgroups, 0, NULL);
}

static void set_fsetid(bool on)
{
	struct caps c;

	if (caps_get(&c) < 0)
		return;
	if (on)
		c.v[0].effective |= c.v[0].permitted & 1u << CAP_FSETID;
	else
		c.v[0].effective &= ~(1u << CAP_FSETID);
	(void)caps_set(&c);
}

/*
 * Around a change of contents by a process of the guest that may not keep set-id bits: without
 * CAP_FSETID the host's kernel drops them as it would for that process.
 */
void creds_drop_fsetid(struct fs *fs)
{
	if (!fs->as_user)
		set_fsetid(false);
}

void creds_restore_fsetid(struct fs *fs)
{
	if (!fs->as_user)
		set_fsetid(true);
}
