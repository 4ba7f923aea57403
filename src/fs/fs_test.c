// SPDX-License-Identifier: Apache-2.0
/*
 * What the server does with requests that no kernel sends, and how it keeps a guest inside its
 * shares.  That honest operations work as on the host is the business of tests/fs/posix.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include <cmocka.h>

#include "fs/fs_internal.h"
#include "harness/fuse_client.h"

/* A folder "share" beside a "secret" outside of it; the tree has it as "rw" and "ro". */
struct fixture {
	char dir[64];
	char share[80];
	struct fs *fs;
	struct fuse_client c;
	uint64_t rw, ro;
	struct fs_config cfg;
	unsigned open_fds;
	_Atomic bool stop;
};

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int host(const char *fmt, ...) PRINTF_FMT(1, 2);

static int host(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

static void start(struct fixture *f)
{
	static const char init[] = "#!init";
	struct fuse_entry_out e;
	struct err err;

	assert_int_equal(fs_create(&f->cfg, &f->fs, &err), 0);
	assert_int_equal(fs_add_file(f->fs, "init", init, sizeof(init) - 1, 0755, &err), 0);
	assert_int_equal(fs_add_dir(f->fs, "mnt", 0700, &err), 0);
	assert_int_equal(fs_add_share(f->fs,
				      &(struct fs_share){ .at = "rw",
							  .fd = -1,
							  .host_path = f->share,
							  .refuses_devices = true },
				      &err),
			 0);
	assert_int_equal(fs_add_share(f->fs,
				      &(struct fs_share){ .at = "shares/ro",
							  .fd = -1,
							  .host_path = f->share,
							  .is_ro = true },
				      &err),
			 0);
	assert_int_equal(fs_start(f->fs, &err), 0);
	fc_init(&f->c, f->fs);
	assert_int_equal(fc_start(&f->c), 0);
	assert_int_equal(fc_lookup(&f->c, FUSE_ROOT_ID, "rw", &e), 0);
	f->rw = e.nodeid;
	assert_int_equal(fc_lookup(&f->c, FUSE_ROOT_ID, "shares", &e), 0);
	assert_int_equal(fc_lookup(&f->c, e.nodeid, "ro", &e), 0);
	f->ro = e.nodeid;
}

static int setup_with(void **state, struct fs_config cfg)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->open_fds = count_fds();
	f->cfg = cfg;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/pecten-fs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->share, sizeof(f->share), "%s/share", f->dir);
	assert_int_equal(mkdir(f->share, 0755), 0);
	put_file(f->dir, "secret", "secret");
	put_file(f->share, "file", "contents");
	start(f);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, (struct fs_config){ 0 });
}

static int setup_user(void **state)
{
	return setup_with(state, (struct fs_config){ .identity = FS_ID_USER });
}

static int setup_few(void **state)
{
	return setup_with(state, (struct fs_config){ .max_fds = 64, .max_inodes = 300 });
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct fs_stats st;

	fs_reset(f->fs);
	fs_get_stats(f->fs, &st);
	assert_int_equal(st.handles, 0);
	assert_true(st.inodes >= 6 && st.inodes <= 8); /* root, init, mnt, rw, shares, ro */
	assert_int_equal(st.fds, 0);
	fc_fini(&f->c);
	fs_destroy(f->fs);
	assert_int_equal(count_fds(), f->open_fds);
	assert_int_equal(host("rm -rf %s", f->dir), 0);
	free(f);
	return 0;
}

static void read_all(struct fixture *f, uint64_t nodeid, char *buf, size_t len)
{
	uint64_t fh;
	size_t got;

	assert_int_equal(fc_open(&f->c, nodeid, O_RDONLY, &fh), 0);
	assert_int_equal(fc_read(&f->c, nodeid, fh, 0, buf, len - 1, &got), 0);
	buf[got] = '\0';
	assert_int_equal(fc_release(&f->c, nodeid, fh), 0);
}

static void the_tree_shows_what_was_put_there(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e;
	char buf[64];

	assert_int_equal(fc_lookup(&f->c, FUSE_ROOT_ID, "init", &e), 0);
	assert_int_equal(e.attr.mode, S_IFREG | 0755);
	read_all(f, e.nodeid, buf, sizeof(buf));
	assert_string_equal(buf, "#!init");

	uint64_t fh;
	assert_int_equal(fc_open(&f->c, e.nodeid, O_RDWR, &fh), -EROFS);
	assert_int_equal(fc_mkdir(&f->c, FUSE_ROOT_ID, "x", 0755, &e), -EROFS);
	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &e), 0);
	read_all(f, e.nodeid, buf, sizeof(buf));
	assert_string_equal(buf, "contents");
}

static void bad_places_are_refused(void **state)
{
	static const char *const bad[] = { "",   "/x",     "x/",    "x//y", ".",
					   "..", "x/../y", "rw/in", "init", "rw" };
	struct fixture *f = *state;
	struct err e;

	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		print_message("'%s'\n", bad[n]);
		assert_true(fs_add_dir(f->fs, bad[n], 0755, &e) < 0);
	}
	struct fs_share s = { .at = "p", .fd = -1, .host_path = "/proc" };
	assert_int_equal(fs_add_share(f->fs, &s, &e), -EOPNOTSUPP);
	s.host_path = "/dev/null";
	assert_int_equal(fs_add_share(f->fs, &s, &e), -EOPNOTSUPP);
	s.host_path = "/nonexistent";
	assert_int_equal(fs_add_share(f->fs, &s, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent"));
}

/* Names that a hostile kernel may send, in every operation that takes one. */
static void names_are_single_components(void **state)
{
	static const char *const bad[] = { "",     ".",        "..", "../secret", "/etc/passwd",
					   "a/b",  "file/",    "/",  "./file",    "file/..",
					   "..//", "sub/../.." };
	struct fixture *f = *state;
	struct fuse_client *c = &f->c;
	struct fuse_entry_out file, e;

	assert_int_equal(fc_lookup(c, f->rw, "file", &file), 0);
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		const char *b = bad[n];
		struct fuse_mknod_in mk = { .mode = S_IFREG | 0644 };
		struct fuse_rename_in mv = { .newdir = f->rw };
		struct fuse_rename2_in mv2 = { .newdir = f->rw };
		struct fuse_link_in ln = { .oldnodeid = file.nodeid };
		uint64_t fh;

		print_message("'%s'\n", b);
		assert_int_equal(fc_lookup(c, f->rw, b, &e), -EINVAL);
		assert_int_equal(fc_mkdir(c, f->rw, b, 0755, &e), -EINVAL);
		assert_int_equal(fc_create(c, f->rw, b, O_RDWR | O_CREAT, 0644, &e, &fh), -EINVAL);
		assert_int_equal(fc_call(c, FUSE_MKNOD, f->rw,
					 (struct fc_arg[]){ FC_ARG(mk), FC_STR(b) }, 2, &e,
					 sizeof(e)),
				 -EINVAL);
		assert_int_equal(
			fc_call(c, FUSE_UNLINK, f->rw, (struct fc_arg[]){ FC_STR(b) }, 1, NULL, 0),
			-EINVAL);
		assert_int_equal(
			fc_call(c, FUSE_RMDIR, f->rw, (struct fc_arg[]){ FC_STR(b) }, 1, NULL, 0),
			-EINVAL);
		assert_int_equal(fc_call(c, FUSE_RENAME, f->rw,
					 (struct fc_arg[]){ FC_ARG(mv), FC_STR(b), FC_STR("y") }, 3,
					 NULL, 0),
				 -EINVAL);
		assert_int_equal(
			fc_call(c, FUSE_RENAME2, f->rw,
				(struct fc_arg[]){ FC_ARG(mv2), FC_STR("file"), FC_STR(b) }, 3,
				NULL, 0),
			-EINVAL);
		assert_int_equal(fc_call(c, FUSE_LINK, f->rw,
					 (struct fc_arg[]){ FC_ARG(ln), FC_STR(b) }, 2, &e,
					 sizeof(e)),
				 -EINVAL);
		assert_int_equal(fc_call(c, FUSE_SYMLINK, f->rw,
					 (struct fc_arg[]){ FC_STR(b), FC_STR("target") }, 2, &e,
					 sizeof(e)),
				 -EINVAL);
	}
	assert_int_equal(host("test ! -e %s/b && test -f %s/secret", f->dir, f->dir), 0);

	/* No end, and too long. */
	char longest[300];
	memset(longest, 'n', sizeof(longest));
	assert_int_equal(
		fc_call(c, FUSE_LOOKUP, f->rw, (struct fc_arg[]){ { "abc", 3 } }, 1, &e, sizeof(e)),
		-EINVAL);
	longest[299] = '\0';
	assert_int_equal(fc_lookup(c, f->rw, longest, &e), -ENAMETOOLONG);
	longest[255] = '\0';
	assert_int_equal(fc_lookup(c, f->rw, longest, &e), -ENOENT);
}

/* A link is shown as a link; the server itself never follows one. */
static void links_are_not_followed(void **state)
{
	static const char *const targets[] = { "/etc/passwd", "../secret", "../../../../etc/passwd",
					       "..",          "/",         "/proc/self/root" };
	struct fixture *f = *state;
	struct fuse_entry_out e, in;
	struct stat before;
	uint64_t fh;

	assert_int_equal(stat("/etc/passwd", &before), 0);
	for (size_t n = 0; n < ARRAY_LEN(targets); n++) {
		struct fuse_setattr_in sa = { .valid = FATTR_MODE, .mode = 0777 };
		char target[256] = { 0 };

		assert_int_equal(host("ln -sfn %s %s/link", targets[n], f->share), 0);
		assert_int_equal(fc_lookup(&f->c, f->rw, "link", &e), 0);
		assert_int_equal(e.attr.mode & S_IFMT, S_IFLNK);
		assert_int_equal(fc_open(&f->c, e.nodeid, O_RDONLY, &fh), -EINVAL);
		assert_int_equal(fc_lookup(&f->c, e.nodeid, "secret", &in), -ENOTDIR);
		assert_int_equal(fc_call(&f->c, FUSE_OPENDIR, e.nodeid,
					 (struct fc_arg[]){ { &(struct fuse_open_in){ 0 }, 8 } }, 1,
					 &in, sizeof(in)),
				 -ENOTDIR);
		assert_int_equal(fc_create(&f->c, f->rw, "link", O_RDWR | O_CREAT, 0644, &in, &fh),
				 -ESTALE);
		assert_int_equal(fc_call(&f->c, FUSE_READLINK, e.nodeid, NULL, 0, target, 255), 0);
		assert_string_equal(target, targets[n]);
		/* chmod of what it points to would be the worst. */
		assert_true(fc_call(&f->c, FUSE_SETATTR, e.nodeid, (struct fc_arg[]){ FC_ARG(sa) },
				    1, &in, sizeof(struct fuse_attr_out)) < 0);
	}
	struct stat st;
	assert_int_equal(stat("/etc/passwd", &st), 0);
	assert_int_equal(st.st_mode, before.st_mode);
}

/* Turns a folder into a link and back as fast as it can. */
static void *swapper(void *arg)
{
	struct fixture *f = arg;
	char dir[128], link[128], aside[128];

	(void)snprintf(dir, sizeof(dir), "%s/trap", f->share);
	(void)snprintf(link, sizeof(link), "%s/link", f->dir);
	(void)snprintf(aside, sizeof(aside), "%s/aside", f->dir);
	while (!atomic_load(&f->stop)) {
		if (rename(dir, aside) == 0)
			(void)!symlink(f->dir, dir);
		sched_yield();
		(void)unlink(dir);
		(void)rename(aside, dir);
		sched_yield();
	}
	return NULL;
}

static void races_with_renames_do_not_lead_out(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out dir, e;
	unsigned hits = 0;
	pthread_t t;

	assert_int_equal(host("mkdir %s/trap; echo inside > %s/trap/secret", f->share, f->share),
			 0);
	assert_int_equal(thread_start(&t, "swapper", swapper, f), 0);
	/* Where both share a CPU it may take long until a look falls between two renames. */
	for (int n = 0; hits < 50 && (n < 20000 || hits == 0); n++) {
		if (fc_lookup(&f->c, f->rw, "trap", &dir) < 0)
			continue;
		if (fc_lookup(&f->c, dir.nodeid, "secret", &e) == 0) {
			uint64_t fh;
			char buf[16] = { 0 };

			if (fc_open(&f->c, e.nodeid, O_RDONLY, &fh) == 0) {
				size_t got;
				assert_int_equal(fc_read(&f->c, e.nodeid, fh, 0, buf, 15, &got), 0);
				assert_string_equal(buf, "inside\n");
				assert_int_equal(fc_release(&f->c, e.nodeid, fh), 0);
				hits++;
			}
			fc_forget(&f->c, e.nodeid, 1);
		}
		fc_forget(&f->c, dir.nodeid, 1);
	}
	atomic_store(&f->stop, true);
	(void)pthread_join(t, NULL);
	print_message("%u reads\n", hits);
	assert_true(hits > 0);
}

/* In a child, whose mounts are its own.  Return: what a lookup of a mounted /proc says, or 1 */
static int lookup_proc(struct fixture *f)
{
	struct fixture own = *f;
	struct fuse_entry_out e;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/proc", f->share);
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mkdir(path, 0755) < 0 ||
	    mount("proc", path, "proc", 0, NULL) < 0)
		return 1;
	start(&own);
	return fc_lookup(&own.c, own.rw, "proc", &e);
}

/* Mounts inside a share belong to it, except those whose files act on the host. */
static void proc_inside_a_share_is_not_served(void **state)
{
	struct fixture *f = *state;
	int status;

#ifdef __SANITIZE_THREAD__
	/* Its run-time does not allow threads after fork(). */
	print_message("left out under the thread sanitizer\n");
	return;
#endif
	pid_t pid = fork();
	if (pid == 0)
		_exit(-lookup_proc(f) & 0xff);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 0xff)
		print_message("left out: needs the right to mount\n");
	else
		assert_int_equal(WEXITSTATUS(status), EACCES);
}

static void read_only_is_enforced_here(void **state)
{
	struct fixture *f = *state;
	struct fuse_client *c = &f->c;
	struct fuse_entry_out e, x;
	struct fuse_setattr_in sa = { .valid = FATTR_MODE, .mode = 0777 };
	struct fuse_mknod_in mk = { .mode = S_IFREG | 0644 };
	struct fuse_rename2_in mv = { .newdir = f->ro };
	struct fuse_setxattr_in sx = { .size = 1 };
	struct fuse_create_in tmp = { .flags = O_RDWR, .mode = S_IFREG | 0600 };
	uint64_t fh;

	assert_int_equal(fc_lookup(c, f->ro, "file", &e), 0);
	struct fuse_link_in ln = { .oldnodeid = e.nodeid };
	assert_int_equal(fc_open(c, e.nodeid, O_RDWR, &fh), -EROFS);
	assert_int_equal(fc_open(c, e.nodeid, O_WRONLY, &fh), -EROFS);
	assert_int_equal(fc_open(c, e.nodeid, O_RDONLY | O_TRUNC, &fh), -EROFS);
	assert_int_equal(fc_create(c, f->ro, "new", O_RDONLY | O_CREAT, 0644, &x, &fh), -EROFS);
	assert_int_equal(fc_mkdir(c, f->ro, "new", 0755, &x), -EROFS);

	/* clang-format off */
	struct {
		uint32_t op;
		uint64_t node;
		struct fc_arg a[3];
		unsigned n;
	} const tries[] = {
		{ FUSE_SETATTR, e.nodeid, { FC_ARG(sa) }, 1 },
		{ FUSE_MKNOD, f->ro, { FC_ARG(mk), FC_STR("new") }, 2 },
		{ FUSE_SYMLINK, f->ro, { FC_STR("new"), FC_STR("t") }, 2 },
		{ FUSE_LINK, f->ro, { FC_ARG(ln), FC_STR("new") }, 2 },
		{ FUSE_UNLINK, f->ro, { FC_STR("file") }, 1 },
		{ FUSE_RMDIR, f->ro, { FC_STR("file") }, 1 },
		{ FUSE_RENAME2, f->ro, { FC_ARG(mv), FC_STR("file"), FC_STR("new") }, 3 },
		{ FUSE_SETXATTR, e.nodeid, { FC_ARG(sx), FC_STR("user.x"), { "v", 1 } }, 3 },
		{ FUSE_REMOVEXATTR, e.nodeid, { FC_STR("user.x") }, 1 },
		{ FUSE_TMPFILE, f->ro, { FC_ARG(tmp), FC_STR("/") }, 2 },
	};
	/* clang-format on */
	for (size_t n = 0; n < ARRAY_LEN(tries); n++)
		assert_int_equal(fc_call(c, tries[n].op, tries[n].node, tries[n].a, tries[n].n, &x,
					 sizeof(x)),
				 -EROFS);

	/* With a handle of its own. */
	struct fuse_fallocate_in fa = { .length = 4096 };
	assert_int_equal(fc_open(c, e.nodeid, O_RDONLY, &fh), 0);
	fa.fh = fh;
	assert_int_equal(fc_write(c, e.nodeid, fh, 0, "x", 1), -EROFS);
	assert_int_equal(
		fc_call(c, FUSE_FALLOCATE, e.nodeid, (struct fc_arg[]){ FC_ARG(fa) }, 1, NULL, 0),
		-EROFS);
	assert_int_equal(fc_release(c, e.nodeid, fh), 0);

	/* From and to the writable share: the same folder, but not the same share. */
	struct fuse_entry_out w;
	assert_int_equal(fc_lookup(c, f->rw, "file", &w), 0);
	assert_int_not_equal(w.nodeid, e.nodeid);
	assert_int_equal(w.attr.ino, e.attr.ino);
	assert_int_equal(fc_call(c, FUSE_RENAME2, f->rw,
				 (struct fc_arg[]){ FC_ARG(mv), FC_STR("file"), FC_STR("new") }, 3,
				 NULL, 0),
			 -EXDEV);
	assert_int_equal(fc_call(c, FUSE_LINK, f->rw,
				 (struct fc_arg[]){ FC_ARG(ln), FC_STR("new") }, 2, &x, sizeof(x)),
			 -EXDEV);
	assert_int_equal(host("test \"$(ls %s)\" = file && test \"$(cat %s/file)\" = contents",
			      f->share, f->share),
			 0);
}

static void devices_are_refused_on_volumes(void **state)
{
	struct fixture *f = *state;
	struct fuse_mknod_in mk = { .mode = S_IFCHR | 0666, .rdev = 0x103 };
	struct fuse_rename2_in mv = { .newdir = f->rw, .flags = RENAME_WHITEOUT };
	struct fuse_entry_out e;

	assert_int_equal(fc_call(&f->c, FUSE_MKNOD, f->rw,
				 (struct fc_arg[]){ FC_ARG(mk), FC_STR("null") }, 2, &e, sizeof(e)),
			 -EPERM);
	mk.mode = S_IFBLK | 0666;
	assert_int_equal(fc_call(&f->c, FUSE_MKNOD, f->rw,
				 (struct fc_arg[]){ FC_ARG(mk), FC_STR("null") }, 2, &e, sizeof(e)),
			 -EPERM);
	assert_int_equal(fc_call(&f->c, FUSE_RENAME2, f->rw,
				 (struct fc_arg[]){ FC_ARG(mv), FC_STR("file"), FC_STR("g") }, 3,
				 NULL, 0),
			 -EINVAL);
}

static void handles_belong_to_their_inode(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out a, b;
	uint64_t fh, fb;
	char buf[16];
	size_t got;

	put_file(f->share, "other", "other");
	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &a), 0);
	assert_int_equal(fc_lookup(&f->c, f->rw, "other", &b), 0);
	assert_int_equal(fc_open(&f->c, a.nodeid, O_RDWR, &fh), 0);
	assert_int_equal(fc_open(&f->c, b.nodeid, O_RDONLY, &fb), 0);

	const uint64_t bad[] = { 0, fb, fh + 1, fh | UINT64_C(1) << 32, UINT64_MAX, f->rw };
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		assert_int_equal(fc_read(&f->c, a.nodeid, bad[n], 0, buf, sizeof(buf), &got),
				 -EBADF);
		assert_int_equal(fc_write(&f->c, a.nodeid, bad[n], 0, "x", 1), -EBADF);
		assert_int_equal(fc_release(&f->c, a.nodeid, bad[n]), -EBADF);
	}
	assert_int_equal(fc_write(&f->c, b.nodeid, fb, 0, "x", 1), -EBADF); /* opened to read */
	assert_int_equal(fc_release(&f->c, a.nodeid, fh), 0);
	assert_int_equal(fc_release(&f->c, a.nodeid, fh), -EBADF);
	assert_int_equal(fc_read(&f->c, 12345, fb, 0, buf, 1, &got), -ESTALE);
	/* An inode that was forgotten lives as long as its handle, but has no number. */
	fc_forget(&f->c, b.nodeid, 1);
	assert_int_equal(fc_read(&f->c, b.nodeid, fb, 0, buf, sizeof(buf), &got), 0);
	assert_int_equal(fc_release(&f->c, b.nodeid, fb), 0);
	assert_int_equal(fc_open(&f->c, b.nodeid, O_RDONLY, &fb), -ESTALE);
	fc_forget(&f->c, b.nodeid, 1000);
	fc_forget(&f->c, a.nodeid, 1000);
	fc_forget(&f->c, FUSE_ROOT_ID, 1000);
	fc_forget(&f->c, f->rw, 1000);
	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &a), 0);
}

static void ignore_done(struct fs_req *req UNUSED)
{
}

/* Lengths that lie, requests that end early, replies without room. */
static void malformed_requests_are_refused(void **state)
{
	struct fixture *f = *state;
	struct fuse_in_header h = {
		.len = 40, .opcode = FUSE_GETATTR, .nodeid = f->rw, .unique = 7
	};
	static const uint32_t lens[] = { 0, 1, 39, 41, 4096, UINT32_MAX };
	struct fuse_entry_out e;

	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &e), 0);
	for (size_t n = 0; n < ARRAY_LEN(lens); n++) {
		struct fuse_out_header out;
		struct iovec in = { &h, sizeof(h) }, o = { &out, sizeof(out) };
		struct fs_req r = { .rd = cur_init(&in, 1),
				    .wr = cur_init(&o, 1),
				    .done = ignore_done };

		h.len = lens[n];
		fs_submit(f->c.t, &r);
		assert_int_equal(r.err, -EPROTO);
		assert_int_equal(r.written, 0);
	}

	/* Every operation with nothing behind the header, and with too little room. */
	for (uint32_t op = 0; op < 60; op++) {
		uint8_t out[256];

		if (op == FUSE_DESTROY || op == FUSE_INIT)
			continue;
		(void)fc_call(&f->c, op, f->rw, NULL, 0, out, sizeof(out));
		(void)fc_call(&f->c, op, e.nodeid, NULL, 0, out, sizeof(out));
		uint8_t zeros[128] = { 0 };
		int r = fc_call(&f->c, op, e.nodeid, (struct fc_arg[]){ FC_ARG(zeros) }, 1, NULL,
				0);
		assert_true(r <= 0);
		r = fc_wait(fc_send(&f->c, op, e.nodeid, (struct fc_arg[]){ FC_ARG(zeros) }, 1, 8),
			    NULL, 0, NULL);
		assert_int_equal(r, -EPROTO);
	}
	assert_int_equal(fc_call(&f->c, 4096, f->rw, NULL, 0, NULL, 0), -ENOSYS);
	assert_int_equal(fc_call(&f->c, FUSE_POLL, f->rw, NULL, 0, NULL, 0), -ENOSYS);
	assert_int_equal(fc_call(&f->c, FUSE_IOCTL, f->rw, NULL, 0, NULL, 0), -ENOTTY);

	struct fuse_batch_forget_in bf = { .count = UINT32_MAX };
	(void)fc_wait(fc_send(&f->c, FUSE_BATCH_FORGET, 0, (struct fc_arg[]){ FC_ARG(bf) }, 1, 0),
		      NULL, 0, NULL);
	assert_int_equal(fc_start(&f->c), -EBUSY);
}

static void drivers_may_cut_requests_as_they_like(void **state)
{
	static const size_t pieces[] = { 1, 3, 7, 16, 41, 4096 };
	struct fixture *f = *state;

	for (size_t n = 0; n < ARRAY_LEN(pieces); n++) {
		struct fuse_entry_out e;
		static uint8_t out[20000], back[20000];
		size_t got;
		uint64_t fh;

		f->c.piece = pieces[n];
		for (size_t k = 0; k < sizeof(out); k++)
			out[k] = (uint8_t)(k * 31 + n);
		assert_int_equal(fc_create(&f->c, f->rw, "cut", O_RDWR | O_CREAT, 0644, &e, &fh),
				 0);
		assert_int_equal(fc_write(&f->c, e.nodeid, fh, 0, out, sizeof(out)), sizeof(out));
		assert_int_equal(fc_read(&f->c, e.nodeid, fh, 0, back, sizeof(back), &got), 0);
		assert_int_equal(got, sizeof(back));
		assert_memory_equal(out, back, sizeof(out));
		assert_int_equal(fc_read(&f->c, e.nodeid, fh, 19990, back, 100, &got), 0);
		assert_int_equal(got, 10);
		assert_int_equal(fc_release(&f->c, e.nodeid, fh), 0);
	}
}

/* Far more inodes than descriptors, all of them usable; more than allowed is an error, not a crash.
 */
static void inodes_outnumber_descriptors(void **state)
{
	struct fixture *f = *state;
	static struct fuse_entry_out e[250];
	struct fuse_entry_out x;
	char name[32];
	struct fs_stats st;
	int r;

	for (int n = 0; n < 250; n++) {
		uint64_t fh;

		(void)snprintf(name, sizeof(name), "n%d", n);
		assert_int_equal(fc_mkdir(&f->c, f->rw, name, 0755, &e[n]), 0);
		assert_int_equal(
			fc_create(&f->c, e[n].nodeid, "in", O_RDWR | O_CREAT, 0644, &x, &fh), 0);
		assert_int_equal(fc_release(&f->c, x.nodeid, fh), 0);
		fc_forget(&f->c, x.nodeid, 1);
	}
	for (int n = 0; n < 250; n++)
		assert_int_equal(fc_lookup(&f->c, e[n].nodeid, "in", &x), n < 44 ? 0 : -ENFILE);
	fs_get_stats(f->fs, &st);
	print_message("%u inodes, %u fds\n", st.inodes, st.fds);
	assert_true(st.fds <= 64);

	/* Renamed folders are found where they are now. */
	struct fuse_rename_in mv = { .newdir = e[1].nodeid };
	assert_int_equal(fc_call(&f->c, FUSE_RENAME, f->rw,
				 (struct fc_arg[]){ FC_ARG(mv), FC_STR("n0"), FC_STR("moved") }, 3,
				 NULL, 0),
			 0);
	for (int n = 2; n < 250; n++)
		assert_int_equal(fc_call(&f->c, FUSE_STATFS, e[n].nodeid, NULL, 0, &x, sizeof(x)),
				 0);
	assert_int_equal(fc_lookup(&f->c, e[0].nodeid, "in", &x), 0);

	/* Handles have a limit of their own. */
	uint64_t fh[40];
	int n = 0;
	while (n < 40 && (r = fc_open(&f->c, x.nodeid, O_RDONLY, &fh[n])) == 0)
		n++;
	assert_int_equal(n, 32);
	assert_int_equal(r, -ENFILE);
	while (n-- > 0)
		assert_int_equal(fc_release(&f->c, x.nodeid, fh[n]), 0);

	/* The host swapped a folder for another one: not found, rather than the wrong one. */
	assert_int_equal(host("mv %s/n5 %s/gone && mkdir %s/n5", f->share, f->dir, f->share), 0);
	for (n = 6; n < 250; n++)
		assert_int_equal(fc_call(&f->c, FUSE_STATFS, e[n].nodeid, NULL, 0, &x, sizeof(x)),
				 0);
	assert_int_equal(fc_mkdir(&f->c, e[5].nodeid, "y", 0755, &x), -ESTALE);
}

static struct fc_req *lock_wait(struct fixture *f, uint64_t node, uint64_t fh, uint64_t owner)
{
	struct fuse_lk_in lk = { .fh = fh,
				 .owner = owner,
				 .lk = { .end = INT64_MAX, .type = F_WRLCK } };

	return fc_send(&f->c, FUSE_SETLKW, node, (struct fc_arg[]){ FC_ARG(lk) }, 1,
		       sizeof(struct fuse_out_header));
}

static int lock_set(struct fixture *f, uint64_t node, uint64_t fh, uint64_t owner, uint32_t type)
{
	struct fuse_lk_in lk = { .fh = fh,
				 .owner = owner,
				 .lk = { .end = INT64_MAX, .type = type } };

	return fc_call(&f->c, FUSE_SETLK, node, (struct fc_arg[]){ FC_ARG(lk) }, 1, NULL, 0);
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void waiting_for_locks_holds_nobody_up(void **state)
{
	enum { WAITERS = 20 };
	struct fixture *f = *state;
	struct fc_req *w[WAITERS];
	struct fuse_entry_out e;
	uint64_t fh;
	char buf[16];

	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &e), 0);
	assert_int_equal(fc_open(&f->c, e.nodeid, O_RDWR, &fh), 0);
	assert_int_equal(lock_set(f, e.nodeid, fh, 1, F_WRLCK), 0);
	assert_int_equal(lock_set(f, e.nodeid, fh, 2, F_WRLCK), -EAGAIN);
	for (uint64_t n = 0; n < WAITERS; n++)
		w[n] = lock_wait(f, e.nodeid, fh, 10 + n);
	sleep_ms(50);

	/* More of them than workers, and still everything else goes on, slow requests too. */
	struct fuse_fsync_in fs = { .fh = fh };
	read_all(f, e.nodeid, buf, sizeof(buf));
	assert_int_equal(
		fc_call(&f->c, FUSE_FSYNC, e.nodeid, (struct fc_arg[]){ FC_ARG(fs) }, 1, NULL, 0),
		0);
	for (int n = 0; n < WAITERS; n++)
		assert_false(fc_is_done(w[n]));

	/* One is interrupted.  Like Linux we ask again if it is just between two lists. */
	struct fuse_interrupt_in in = { .unique = w[3]->req.unique };
	int r;
	do {
		r = fc_call(&f->c, FUSE_INTERRUPT, 0, (struct fc_arg[]){ FC_ARG(in) }, 1, NULL, 0);
	} while (r == -EAGAIN);
	assert_int_equal(r, 0);
	assert_int_equal(fc_wait(w[3], NULL, 0, NULL), -EINTR);
	in.unique = 999999;
	assert_int_equal(
		fc_call(&f->c, FUSE_INTERRUPT, 0, (struct fc_arg[]){ FC_ARG(in) }, 1, NULL, 0),
		-EAGAIN);

	/* The others get it one after the other. */
	assert_int_equal(lock_set(f, e.nodeid, fh, 1, F_UNLCK), 0);
	for (int done = 1; done < WAITERS; done++) {
		int who = -1;

		while (who < 0) {
			for (int n = 0; n < WAITERS; n++)
				if (w[n] && n != 3 && fc_is_done(w[n]))
					who = n;
			if (who < 0)
				sleep_ms(1);
		}
		assert_int_equal(fc_wait(w[who], NULL, 0, NULL), 0);
		w[who] = NULL;
		/* POSIX: closing the file ends its owner's locks. */
		struct fuse_flush_in fl = { .fh = fh, .lock_owner = 10 + (uint64_t)who };
		assert_int_equal(fc_call(&f->c, FUSE_FLUSH, e.nodeid,
					 (struct fc_arg[]){ FC_ARG(fl) }, 1, NULL, 0),
				 0);
	}
	assert_int_equal(fc_release(&f->c, e.nodeid, fh), 0);
}

static void locks_of_the_host_count(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e;
	char path[128];
	uint64_t fh;

	(void)snprintf(path, sizeof(path), "%s/file", f->share);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	struct flock fl = { .l_type = F_WRLCK };
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &e), 0);
	assert_int_equal(fc_open(&f->c, e.nodeid, O_RDWR, &fh), 0);
	assert_int_equal(lock_set(f, e.nodeid, fh, 5, F_RDLCK), -EAGAIN);
	struct fc_req *w = lock_wait(f, e.nodeid, fh, 5);
	sleep_ms(60);
	assert_false(fc_is_done(w));
	fl.l_type = F_UNLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	assert_int_equal(fc_wait(w, NULL, 0, NULL), 0);
	fl.l_type = F_RDLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), -1);

	/* A reset of the device gives up what waits and what is held. */
	w = lock_wait(f, e.nodeid, fh, 6);
	sleep_ms(10);
	fs_reset(f->fs);
	assert_int_equal(fc_wait(w, NULL, 0, NULL), -EINTR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	close(fd);
	struct fuse_getattr_in ga = { 0 };
	assert_int_equal(
		fc_call(&f->c, FUSE_GETATTR, f->rw, (struct fc_arg[]){ FC_ARG(ga) }, 1, NULL, 0),
		-EIO);
	assert_int_equal(fc_start(&f->c), 0);
}

/* open() of a leased file waits until its holder gives it up; only that request does. */
static void slow_opens_hold_nobody_up(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e, other;
	struct fuse_open_in in = { .flags = O_RDWR };
	char path[128], buf[16];

	put_file(f->share, "other", "other");
	(void)snprintf(path, sizeof(path), "%s/file", f->share);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	(void)fcntl(fd, F_SETSIG, 0);
	void (*old)(int) = signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) {
		print_message("left out: no leases on this file system\n");
		close(fd);
		return;
	}
	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &e), 0);
	assert_int_equal(fc_lookup(&f->c, f->rw, "other", &other), 0);
	struct fc_req *w =
		fc_send(&f->c, FUSE_OPEN, e.nodeid, (struct fc_arg[]){ FC_ARG(in) }, 1, 64);
	sleep_ms(50);
	assert_false(fc_is_done(w));
	read_all(f, other.nodeid, buf, sizeof(buf));
	assert_string_equal(buf, "other");
	assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);

	struct fuse_open_out out;
	assert_int_equal(fc_wait(w, &out, sizeof(out), NULL), 0);
	assert_int_equal(fc_release(&f->c, e.nodeid, out.fh), 0);
	(void)signal(SIGIO, old);
	close(fd);
}

static void owners_are_kept_beside_the_file(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	struct fuse_setattr_in sa = {
		.valid = FATTR_UID | FATTR_GID | FATTR_MODE, .uid = 33, .gid = 44, .mode = 04711
	};
	char path[128], value[64] = { 0 };
	uint64_t fh;
	struct stat st;

	f->c.uid = 1000;
	f->c.gid = 1001;
	assert_int_equal(fc_create(&f->c, f->rw, "new", O_RDWR | O_CREAT, 0640, &e, &fh), 0);
	assert_int_equal(e.attr.uid, 1000);
	assert_int_equal(e.attr.gid, 1001);
	assert_int_equal(fc_release(&f->c, e.nodeid, fh), 0);
	(void)snprintf(path, sizeof(path), "%s/new", f->share);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(fc_call(&f->c, FUSE_SETATTR, e.nodeid, (struct fc_arg[]){ FC_ARG(sa) }, 1,
				 &a, sizeof(a)),
			 0);
	assert_int_equal(a.attr.uid, 33);
	assert_int_equal(a.attr.gid, 44);
	assert_int_equal(a.attr.mode, S_IFREG | 04711);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_true(getxattr(path, OWNER_XATTR, value, sizeof(value) - 1) > 0);
	assert_string_equal(value, "1 33 44 104711 0 0 711");

	/* The guest sees none of it and cannot forge it. */
	struct fuse_getxattr_in gx = { .size = 100 };
	struct fuse_setxattr_in sx = { .size = 1 };
	char list[101] = { 0 };
	assert_int_equal(fc_call(&f->c, FUSE_LISTXATTR, e.nodeid, (struct fc_arg[]){ FC_ARG(gx) },
				 1, list, 100),
			 0);
	assert_string_equal(list, "");
	assert_int_equal(fc_call(&f->c, FUSE_GETXATTR, e.nodeid,
				 (struct fc_arg[]){ FC_ARG(gx), FC_STR(OWNER_XATTR) }, 2, list,
				 100),
			 -ENODATA);
	assert_int_equal(fc_call(&f->c, FUSE_SETXATTR, e.nodeid,
				 (struct fc_arg[]){ FC_ARG(sx), FC_STR(OWNER_XATTR), { "v", 1 } },
				 3, NULL, 0),
			 -EPERM);

	/* What somebody on the host does to the mode on purpose wins. */
	assert_int_equal(chmod(path, 0600), 0);
	struct fuse_getattr_in ga = { 0 };
	assert_int_equal(fc_call(&f->c, FUSE_GETATTR, e.nodeid, (struct fc_arg[]){ FC_ARG(ga) }, 1,
				 &a, sizeof(a)),
			 0);
	assert_int_equal(a.attr.mode, S_IFREG | 0600);
	assert_int_equal(a.attr.uid, 33);
}

static void only_our_own_records_are_believed(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"1",
		"2 0 0 100644 0 0 644",
		"1 0 0 100644 0 0",
		"1 0 0 100644 0 0 ",
		"1 0 0 100644 0 0 648",
		"1 -1 0 100644 0 0 644",
		"1 0 0 100644 0 0 644 ",
		"1  0 0 100644 0 0 644",
		"1 4294967296 0 100644 0 0 644",
		"1 0 0 7777777 0 0 644",
		"1 0 0 100644 0 0 10000",
		"1 0x1 0 100644 0 0 644",
	};
	struct owner o;

	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		print_message("'%s'\n", bad[n]);
		assert_int_equal(owner_parse(bad[n], strlen(bad[n]), &o), -EINVAL);
	}
	const char *good = "1 4294967295 44 104711 5 70000 711";
	char back[96];
	assert_int_equal(owner_parse(good, strlen(good), &o), 0);
	assert_int_equal(o.uid, UINT32_MAX);
	assert_int_equal(o.rdev_minor, 70000);
	assert_int_equal(owner_format(&o, back, sizeof(back)), strlen(good));
	assert_string_equal(back, good);
}

/* The guest may see a change late, but not later than its time to live. */
static void changes_of_the_host_are_seen(void **state)
{
	struct fixture *f = *state;
	struct fuse_entry_out e;
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out o;

	assert_int_equal(fc_lookup(&f->c, f->rw, "none", &e), -ENOENT);
	assert_true(e.entry_valid <= 1);
	assert_int_equal(fc_lookup(&f->c, f->rw, "file", &e), 0);
	assert_true(e.attr_valid <= 1 && e.entry_valid <= 1);

	/* Just written: another write might leave the same time behind, so nothing is kept. */
	const uint64_t soon_ns = UINT64_C(900000000);
	uint64_t took;
	do {
		uint64_t start = clock_now_ns();
		bool is_kept = false;

		put_file(f->share, "file", "contents");
		for (int n = 0; n < 2; n++) {
			assert_int_equal(fc_call(&f->c, FUSE_OPEN, e.nodeid,
						 (struct fc_arg[]){ FC_ARG(in) }, 1, &o, sizeof(o)),
					 0);
			is_kept = o.open_flags & FOPEN_KEEP_CACHE;
			assert_false(is_kept && n == 0);
			assert_int_equal(fc_release(&f->c, e.nodeid, o.fh), 0);
		}
		/* It is no longer "just" if we were held up meanwhile. */
		took = clock_now_ns() - start;
		assert_false(is_kept && took < soon_ns);
	} while (took >= soon_ns);
	sleep_ms(1100);
	for (int n = 0; n < 3; n++) {
		assert_int_equal(fc_call(&f->c, FUSE_OPEN, e.nodeid,
					 (struct fc_arg[]){ FC_ARG(in) }, 1, &o, sizeof(o)),
				 0);
		assert_int_equal(o.open_flags & FOPEN_KEEP_CACHE, n ? FOPEN_KEEP_CACHE : 0);
		assert_int_equal(fc_release(&f->c, e.nodeid, o.fh), 0);
	}
	put_file(f->share, "file", "CHANGED!");
	assert_int_equal(fc_call(&f->c, FUSE_OPEN, e.nodeid, (struct fc_arg[]){ FC_ARG(in) }, 1, &o,
				 sizeof(o)),
			 0);
	assert_int_equal(o.open_flags & FOPEN_KEEP_CACHE, 0);
	assert_int_equal(fc_release(&f->c, e.nodeid, o.fh), 0);
}

/* All of it again as somebody who can neither give files away nor mount. */
static int be_nobody(void)
{
	if (geteuid() != 0 || setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
	    setresuid(65534, 65534, 65534) < 0)
		return -1;
	/* Or /proc/self would belong to root. */
	return prctl(PR_SET_DUMPABLE, 1);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--as-nobody") == 0 && be_nobody() < 0) {
		(void)printf("1..0 # SKIP needs root to become somebody else\n");
		return 0;
	}
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_tree_shows_what_was_put_there),
		T(bad_places_are_refused),
		T(names_are_single_components),
		T(links_are_not_followed),
		T(races_with_renames_do_not_lead_out),
		T(proc_inside_a_share_is_not_served),
		T(read_only_is_enforced_here),
		T(devices_are_refused_on_volumes),
		T(handles_belong_to_their_inode),
		T(malformed_requests_are_refused),
		T(drivers_may_cut_requests_as_they_like),
		cmocka_unit_test_setup_teardown(inodes_outnumber_descriptors, setup_few, teardown),
		T(waiting_for_locks_holds_nobody_up),
		T(locks_of_the_host_count),
		T(slow_opens_hold_nobody_up),
		cmocka_unit_test_setup_teardown(owners_are_kept_beside_the_file, setup_user,
						teardown),
		cmocka_unit_test(only_our_own_records_are_believed),
		T(changes_of_the_host_are_seen),
	};

	return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
