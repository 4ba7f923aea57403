// SPDX-License-Identifier: Apache-2.0
/*
 * Shows a folder through the file server to this host's own kernel, by way of /dev/fuse, and runs a
 * command in it.  So real programs test the server without a guest:
 *
 *	fs_mount [-u UID] [-r] [-d FDS] FOLDER MOUNTPOINT COMMAND [ARG...]
 *
 * -u serves as that ordinary user, -r read-only, -d with that many descriptors.  Needs root, and
 * should be run in a mount namespace of its own.  The command's status is passed on.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fs.h"
#include "host/fd.h"
#include "host/thread.h"

#define BUF_LEN ((1u << 20) + 8192)
#define READERS 3

struct server {
	struct fs *fs;
	int dev;
	bool has_trace;
};

struct job {
	struct fs_req req;
	int dev;
	struct iovec in, out;
	uint8_t *buf;
};

static void job_free(struct job *j)
{
	free(j->buf);
	free(j);
}

static void on_done(struct fs_req *req)
{
	struct job *j = container_of(req, struct job, req);

	/* The kernel may have given up on it meanwhile (ENOENT). */
	if (req->err == 0 && req->written > 0)
		(void)!write(j->dev, j->out.iov_base, req->written);
	job_free(j);
}

static struct job *job_new(struct server *s)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		abort();
	j->buf = malloc(2 * (size_t)BUF_LEN);
	if (!j->buf)
		abort();
	j->dev = s->dev;
	j->out = (struct iovec){ j->buf + BUF_LEN, BUF_LEN };
	return j;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct fs_thread *t;

	if (fs_thread_create(s->fs, &t) < 0)
		abort();
	for (;;) {
		struct job *j = job_new(s);
		ssize_t n;

		do {
			n = read(s->dev, j->buf, BUF_LEN);
		} while (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT));
		if (n < 0) {
			job_free(j);
			break;
		}
		if (s->has_trace) {
			struct fuse_in_header h;
			memcpy(&h, j->buf, sizeof(h));
			fprintf(stderr, "op %u node %llx len %u\n", h.opcode,
				(unsigned long long)h.nodeid, h.len);
		}
		j->in = (struct iovec){ j->buf, (size_t)n };
		j->req.rd = cur_init(&j->in, 1);
		j->req.wr = cur_init(&j->out, 1);
		j->req.done = on_done;
		fs_submit(t, &j->req);
	}
	fs_thread_destroy(t);
	return NULL;
}

static int run(char **argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int be_user(uid_t uid)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	/* Or /proc/self would belong to root. */
	return prctl(PR_SET_DUMPABLE, 1) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct server s = { .dev = -1, .has_trace = getenv("FS_TRACE") };
	struct fs_config cfg = { 0 };
	struct fs_share share = { .at = "s", .fd = -1 };
	struct err e = { 0 };
	uid_t uid = 0;
	int opt;

	while ((opt = getopt(argc, argv, "+u:rd:")) >= 0) {
		if (opt == 'u')
			uid = (uid_t)strtoul(optarg, NULL, 10);
		else if (opt == 'd')
			cfg.max_fds = (uint32_t)strtoul(optarg, NULL, 10);
		else if (opt == 'r')
			share.is_ro = true;
		else
			return 2;
	}
	if (argc - optind < 3)
		return 2;
	share.host_path = argv[optind];
	const char *at = argv[optind + 1];

	s.dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s.dev < 0) {
		perror("/dev/fuse");
		return 77;
	}
	char opts[160];
	(void)snprintf(opts, sizeof(opts),
		       "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions",
		       s.dev);
	if (mount("pecten", at, "fuse", MS_NODEV * 0, opts) < 0) {
		perror("mount");
		return 77;
	}

	/* The command keeps root's rights; the server gives them up. */
	int gate[2], result[2];
	if (pipe(gate) < 0 || pipe(result) < 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		char c;
		static char path[4096];

		(void)close(s.dev);
		(void)close(gate[1]);
		(void)snprintf(path, sizeof(path), "%s/s", at);
		if (read(gate[0], &c, 1) != 1 || chdir(path) < 0) {
			perror(path);
			_exit(125);
		}
		int status = run(argv + optind + 2);
		if (chdir("/") < 0 || umount2(at, MNT_DETACH) < 0)
			perror("umount");
		_exit(status);
	}
	if (uid && be_user(uid) < 0)
		return 1;
	if (fs_create(&cfg, &s.fs, &e) < 0 || fs_add_share(s.fs, &share, &e) < 0 ||
	    fs_start(s.fs, &e) < 0) {
		fprintf(stderr, "fs_mount: %s\n", e.text);
		return 1;
	}
	pthread_t t[READERS];
	for (int n = 0; n < READERS; n++)
		if (thread_start(&t[n], "fs-serve", serve, &s) < 0)
			return 1;
	(void)!write(gate[1], "", 1);

	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	for (int n = 0; n < READERS; n++)
		(void)pthread_join(t[n], NULL);

	struct fs_stats st;
	fs_get_stats(s.fs, &st);
	if (getenv("FS_STATS"))
		fprintf(stderr, "left: %u inodes %u handles %u fds\n", st.inodes, st.handles,
			st.fds);
	fs_destroy(s.fs);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
