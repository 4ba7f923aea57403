// SPDX-License-Identifier: Apache-2.0
/*
 * FUSE requests of a hostile guest.  The input is a series of requests: an operation, which of the
 * numbers seen so far to use as inode and handle, and the bytes of the arguments.  So it gets past
 * the first checks while everything that a guest chooses stays open.
 *
 * Besides the sanitizers the judge is the folder around the share: nothing in it may change.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/fs.h"
#include "host/thread.h"
#include "util/bytes.h"
#include "util/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS 64
#define IDS      16
#define OUT_LEN  9000

struct one {
	struct fs_req req;
	uint8_t in[1024];
	uint8_t out[OUT_LEN];
	struct iovec iov_in[2], iov_out[2];
};

static struct {
	char dir[64];
	char share[80];
	struct fs *fs;
	struct fs_thread *t;
	struct one one[REQUESTS];
	uint64_t node[IDS], fh[IDS];
	unsigned n_nodes, n_fhs;
} x;

static void must_at(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "fuzz_fuse: %s\n", what);
	abort();
}
#define must(x) must_at(x, #x)

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	if (flag == FTW_DNR)
		(void)!chmod(path, 0700);
	return f->level == 0 ? 0 : remove(path);
}

static void fill_share(void)
{
	char path[128];

	(void)nftw(x.share, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)snprintf(path, sizeof(path), "%s/file", x.share);
	put(path, "contents");
	(void)snprintf(path, sizeof(path), "%s/sub", x.share);
	(void)mkdir(path, 0755);
	(void)snprintf(path, sizeof(path), "%s/link", x.share);
	(void)!symlink("../secret", path);
}

static void clean_up(void)
{
	fs_thread_destroy(x.t);
	fs_destroy(x.fs);
	(void)nftw(x.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)rmdir(x.dir);
}

static void begin(void)
{
	struct fs_share rw = {
		.at = "rw", .host_path = x.share, .fd = -1, .refuses_devices = true
	};
	struct fs_share ro = { .at = "ro", .host_path = x.share, .fd = -1, .is_ro = true };
	struct rlimit small = { 1 << 20, 1 << 20 };
	char path[128];

	log_set_level(LOG_OFF);
	(void)signal(SIGXFSZ, SIG_IGN);
	must(setrlimit(RLIMIT_FSIZE, &small) == 0);
	(void)snprintf(x.dir, sizeof(x.dir), "/dev/shm/pecten-fuzz-XXXXXX");
	must(mkdtemp(x.dir) != NULL);
	(void)snprintf(x.share, sizeof(x.share), "%s/share", x.dir);
	must(mkdir(x.share, 0755) == 0);
	(void)snprintf(path, sizeof(path), "%s/secret", x.dir);
	put(path, "secret");
	must(fs_create(&(struct fs_config){ .max_fds = 200, .max_inodes = 100 }, &x.fs, NULL) == 0);
	must(fs_add_share(x.fs, &rw, NULL) == 0 && fs_add_share(x.fs, &ro, NULL) == 0);
	must(fs_start(x.fs, NULL) == 0);
	must(fs_thread_create(x.fs, &x.t) == 0);
	(void)atexit(clean_up);
}

static void on_done(struct fs_req *req)
{
	must(req->written <= OUT_LEN);
}

/* What later requests may refer to. */
static void learn(const struct one *o)
{
	struct fuse_out_header h;
	struct rd r = rd_init(o->out, sizeof(o->out));

	if (o->req.written < sizeof(h))
		return;
	rd_copy(&r, &h, sizeof(h));
	must(h.len == o->req.written && h.error <= 0 && h.error > -4096);
	if (h.error)
		return;
	uint32_t op = o->req.opcode;
	if (op == FUSE_LOOKUP || op == FUSE_CREATE || op == FUSE_MKDIR || op == FUSE_MKNOD ||
	    op == FUSE_SYMLINK || op == FUSE_LINK || op == FUSE_TMPFILE)
		x.node[x.n_nodes++ % IDS] = rd_le64(&r);
	if (op == FUSE_CREATE || op == FUSE_TMPFILE)
		(void)rd_take(&r, sizeof(struct fuse_entry_out) - 8);
	if (op == FUSE_OPEN || op == FUSE_OPENDIR || op == FUSE_CREATE || op == FUSE_TMPFILE)
		x.fh[x.n_fhs++ % IDS] = rd_le64(&r);
}

static void submit(unsigned n, const struct fuse_in_header *h, const uint8_t *args, size_t len,
		   size_t cut, size_t room)
{
	struct one *o = &x.one[n];

	memcpy(o->in, h, sizeof(*h));
	memcpy(o->in + sizeof(*h), args, len);
	len += sizeof(*h);
	cut = cut < len ? cut : len;
	o->iov_in[0] = (struct iovec){ o->in, cut };
	o->iov_in[1] = (struct iovec){ o->in + cut, len - cut };
	cut = cut < room ? cut : room;
	o->iov_out[0] = (struct iovec){ o->out, cut };
	o->iov_out[1] = (struct iovec){ o->out + cut, room - cut };
	o->req = (struct fs_req){ .rd = cur_init(o->iov_in, 2),
				  .wr = cur_init(o->iov_out, 2),
				  .done = on_done };
	fs_submit(x.t, &o->req);
}

static void init_session(void)
{
	struct fuse_init_in in = {
		.major = 7, .minor = 39, .flags = INT32_MAX, .flags2 = UINT32_MAX
	};
	struct fuse_in_header h = { .len = sizeof(h) + sizeof(in), .opcode = FUSE_INIT };
	static const char *const names[] = { "rw", "ro" };

	submit(0, &h, (const uint8_t *)&in, sizeof(in), SIZE_MAX, OUT_LEN);
	x.node[0] = FUSE_ROOT_ID;
	x.n_nodes = 1;
	x.n_fhs = 0;
	memset(x.fh, 0, sizeof(x.fh));
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		h = (struct fuse_in_header){ .len = sizeof(h) + 3,
					     .opcode = FUSE_LOOKUP,
					     .nodeid = FUSE_ROOT_ID };
		submit(0, &h, (const uint8_t *)names[n], 3, SIZE_MAX, OUT_LEN);
		learn(&x.one[0]);
	}
}

static void check_surroundings(void)
{
	char path[128], text[16] = { 0 };
	struct stat st;
	unsigned n = 0;

	(void)snprintf(path, sizeof(path), "%s/secret", x.dir);
	int fd = open(path, O_RDONLY);
	must(fd >= 0 && read(fd, text, sizeof(text)) == 6 && memcmp(text, "secret", 6) == 0);
	must(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0644 && st.st_nlink == 1);
	close(fd);
	DIR *d = opendir(x.dir);
	must(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	must(n == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);

	if (!x.fs)
		begin();
	fill_share();
	init_session();
	for (unsigned n = 1; n < REQUESTS && rd_left(&r) > 0; n++) {
		uint8_t op = rd_u8(&r), who = rd_u8(&r), cut = rd_u8(&r);
		size_t len = rd_u8(&r);
		size_t room = cut & 1 ? OUT_LEN : (size_t)cut * 8;
		struct fuse_in_header h = {
			.len = (uint32_t)(sizeof(h) + len),
			.opcode = op % 56,
			.unique = n,
			.nodeid = x.node[who % IDS],
			.uid = who & 0x80 ? 1000 : 0,
			.total_extlen = op >= 0xf0 ? 2 : 0,
		};
		uint8_t args[256];

		if (len > rd_left(&r))
			len = rd_left(&r);
		rd_copy(&r, args, len);
		if (op >= 0xe0)
			h.len += op;
		/* Most operations begin with a handle; these have it elsewhere, or another inode.
		 */
		uint64_t fh = x.fh[(who >> 4) % IDS];
		if (len >= 8 && (who & 0x08))
			memcpy(args, &fh, 8);
		if (len >= 16 && (h.opcode == FUSE_GETATTR || h.opcode == FUSE_SETATTR))
			memcpy(args + 8, &fh, 8);
		if (len >= 8 &&
		    (h.opcode == FUSE_RENAME || h.opcode == FUSE_RENAME2 || h.opcode == FUSE_LINK))
			memcpy(args, &x.node[(who >> 4) % IDS], 8);
		submit(n, &h, args, len, cut, room);
		if (x.one[n].req.state == FS_REQ_NEW)
			learn(&x.one[n]);
	}
	fs_reset(x.fs);

	struct fs_stats st;
	fs_get_stats(x.fs, &st);
	must(st.handles == 0 && st.fds == 0 && st.parked == 0 && st.inodes == 3);
	check_surroundings();
	return 0;
}
