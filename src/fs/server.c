// SPDX-License-Identifier: Apache-2.0
/*
 * The server: takes requests apart, decides which thread carries them out, answers.
 *
 * The thread that submits carries out what ends soon.  What may wait - for the disk, for a remote
 * host, for somebody's lease - goes to the workers.  A lock that somebody holds makes neither wait:
 * its request is parked and tried again when a lock of this server is released, and every
 * FS_PARK_POLL_NS for locks that the host's own processes hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "fs/fs_internal.h"
#include "util/ckd.h"
#include "util/log.h"

enum {
	OP_NODE = 1 << 0,    /* hdr.nodeid must be known */
	OP_HOST = 1 << 1,    /* and be the host's, or the tree answers EROFS, EINVAL ... itself */
	OP_CHANGES = 1 << 2, /* refused on read-only shares */
	OP_SLOW = 1 << 3,    /* to a worker */
	OP_QUIET = 1 << 4,   /* has no reply */
	OP_EARLY = 1 << 5,   /* allowed before INIT */
};

static int op_init(struct fs_call *c);
static int op_destroy(struct fs_call *c);
static int op_forget(struct fs_call *c);
static int op_batch_forget(struct fs_call *c);
static int op_interrupt(struct fs_call *c);

static int op_refuse_ioctl(struct fs_call *c UNUSED)
{
	return -ENOTTY;
}

#define ARG(m) sizeof(((union fs_arg *)0)->m)

/* clang-format off */
static const struct op {
	int (*fn)(struct fs_call *c);
	uint16_t arg_len;
	uint8_t flags;
} ops[] = {
	[FUSE_LOOKUP]          = { op_lookup,          0,               OP_NODE },
	[FUSE_FORGET]          = { op_forget,          ARG(forget),     OP_QUIET },
	[FUSE_GETATTR]         = { op_getattr,         ARG(getattr),    OP_NODE },
	[FUSE_SETATTR]         = { op_setattr,         ARG(setattr),    OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_READLINK]        = { op_readlink,        0,               OP_NODE | OP_HOST },
	[FUSE_SYMLINK]         = { op_symlink,         0,               OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_MKNOD]           = { op_mknod,           ARG(mknod),      OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_MKDIR]           = { op_mkdir,           ARG(mkdir),      OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_UNLINK]          = { op_unlink,          0,               OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_RMDIR]           = { op_rmdir,           0,               OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_RENAME]          = { op_rename,          ARG(rename),     OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_LINK]            = { op_link,            ARG(link),       OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_OPEN]            = { op_open,            ARG(open),       OP_NODE },
	[FUSE_READ]            = { op_read,            ARG(read),       OP_NODE },
	[FUSE_WRITE]           = { op_write,           ARG(write),      OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_STATFS]          = { op_statfs,          0,               OP_NODE },
	[FUSE_RELEASE]         = { op_release,         ARG(release),    OP_NODE },
	[FUSE_FSYNC]           = { op_fsync,           ARG(fsync),      OP_NODE | OP_SLOW },
	[FUSE_SETXATTR]        = { op_setxattr,        0,               OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_GETXATTR]        = { op_getxattr,        ARG(getxattr),   OP_NODE },
	[FUSE_LISTXATTR]       = { op_listxattr,       ARG(getxattr),   OP_NODE },
	[FUSE_REMOVEXATTR]     = { op_removexattr,     0,               OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_FLUSH]           = { op_flush,           ARG(flush),      OP_NODE },
	[FUSE_INIT]            = { op_init,            0,               OP_EARLY },
	[FUSE_OPENDIR]         = { op_opendir,         ARG(open),       OP_NODE },
	[FUSE_READDIR]         = { op_readdir,         ARG(read),       OP_NODE },
	[FUSE_RELEASEDIR]      = { op_releasedir,      ARG(release),    OP_NODE },
	[FUSE_FSYNCDIR]        = { op_fsyncdir,        ARG(fsync),      OP_NODE | OP_SLOW },
	[FUSE_GETLK]           = { op_getlk,           ARG(lk),         OP_NODE | OP_HOST },
	[FUSE_SETLK]           = { op_setlk,           ARG(lk),         OP_NODE | OP_HOST },
	[FUSE_SETLKW]          = { op_setlkw,          ARG(lk),         OP_NODE | OP_HOST },
	[FUSE_CREATE]          = { op_create,          ARG(create),     OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_INTERRUPT]       = { op_interrupt,       ARG(interrupt),  OP_EARLY },
	[FUSE_DESTROY]         = { op_destroy,         0,               0 },
	[FUSE_IOCTL]           = { op_refuse_ioctl,    0,               OP_NODE },
	[FUSE_BATCH_FORGET]    = { op_batch_forget,    ARG(batch_forget), OP_QUIET },
	[FUSE_FALLOCATE]       = { op_fallocate,       ARG(fallocate),  OP_NODE | OP_HOST | OP_CHANGES | OP_SLOW },
	[FUSE_READDIRPLUS]     = { op_readdirplus,     ARG(read),       OP_NODE },
	[FUSE_RENAME2]         = { op_rename2,         ARG(rename2),    OP_NODE | OP_HOST | OP_CHANGES },
	[FUSE_LSEEK]           = { op_lseek,           ARG(lseek),      OP_NODE | OP_HOST },
	[FUSE_COPY_FILE_RANGE] = { op_copy_file_range, ARG(copy),       OP_NODE | OP_HOST | OP_SLOW },
	[FUSE_SYNCFS]          = { op_syncfs,          0,               OP_NODE | OP_SLOW },
	[FUSE_TMPFILE]         = { op_tmpfile,         ARG(create),     OP_NODE | OP_HOST | OP_CHANGES },
	[FS_OP_STATX]          = { op_statx,           ARG(statx),      OP_NODE },
};
/* clang-format on */

static const struct op *op_of(uint32_t opcode)
{
	/* ACCESS, BMAP, POLL and DAX mappings are absent: with ENOSYS the guest stops asking. */
	return opcode < ARRAY_LEN(ops) && ops[opcode].fn ? &ops[opcode] : NULL;
}

static int op_forget(struct fs_call *c)
{
	inode_forget(c->fs, c->hdr.nodeid, c->arg.forget.nlookup);
	return 0;
}

static int op_batch_forget(struct fs_call *c)
{
	struct fuse_forget_one one;

	for (uint32_t n = c->arg.batch_forget.count; n > 0; n--) {
		if (cur_read(&c->in, &one, sizeof(one)) < 0)
			return -EINVAL;
		inode_forget(c->fs, one.nodeid, one.nlookup);
	}
	return 0;
}

#define INIT_FLAGS                                                                                 \
	(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |              \
	 FUSE_DONT_MASK | FUSE_FLOCK_LOCKS | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |          \
	 FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |          \
	 FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_INIT_EXT |       \
	 FS_INIT_CREATE_SUPP_GROUP)

static int op_init(struct fs_call *c)
{
	struct fuse_init_in in = { 0 };
	size_t len = cur_left(&c->in);

	/* Older kernels send the first four members only. */
	if (len < offsetof(struct fuse_init_in, flags2))
		return -EINVAL;
	if (cur_read(&c->in, &in, len < sizeof(in) ? len : sizeof(in)) < 0)
		return -EINVAL;

	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in.minor < FS_WIRE_MINOR ? in.minor : FS_WIRE_MINOR,
	};
	if (in.major > FUSE_KERNEL_VERSION) {
		/* The driver asks again with our version. */
		out.minor = FS_WIRE_MINOR;
		return call_reply(c, &out, sizeof(out));
	}
	if (in.major < FUSE_KERNEL_VERSION || in.minor < FS_WIRE_MINOR_MIN)
		return -EPROTO;

	uint64_t offered = in.flags;
	if (in.flags & FUSE_INIT_EXT)
		offered |= (uint64_t)in.flags2 << 32;
	uint64_t want = (uint64_t)(uint32_t)INIT_FLAGS | FS_INIT_CREATE_SUPP_GROUP;
	if (!c->fs->as_user)
		want |= FUSE_POSIX_ACL;
	uint64_t flags = offered & want;

	mutex_lock(&c->fs->lock);
	bool was_inited = c->fs->is_inited;
	c->fs->is_inited = true;
	c->fs->has_setxattr_ext = flags & FUSE_SETXATTR_EXT;
	mutex_unlock(&c->fs->lock);
	if (was_inited)
		return -EBUSY;

	out.max_readahead = in.max_readahead;
	out.flags = (uint32_t)flags;
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_background = 64;
	out.congestion_threshold = 48;
	out.max_write = FS_MAX_WRITE;
	out.time_gran = 1;
	out.max_pages = FS_MAX_WRITE / 4096;
	return call_reply(c, &out, sizeof(out));
}

static void drop_session(struct fs *fs)
{
	handle_drop_all(fs);
	inode_drop_all(fs);
	mutex_lock(&fs->lock);
	fs->is_inited = false;
	mutex_unlock(&fs->lock);
}

static int op_destroy(struct fs_call *c)
{
	drop_session(c->fs);
	return 0;
}

static void finish(struct fs_req *req, int err, uint32_t written)
{
	req->err = err;
	req->written = written;
	req->done(req);
}

/* Error reply, or the header of a reply whose rest is written. */
static void answer(struct fs_req *req, uint64_t unique, int error, uint32_t len)
{
	struct fuse_out_header out = { .error = error, .unique = unique };
	struct cur wr = req->wr;

	out.len = (uint32_t)sizeof(out) + (error ? 0 : len);
	if (cur_write(&wr, &out, sizeof(out)) < 0)
		finish(req, -EPROTO, 0);
	else
		finish(req, 0, out.len);
}

/* Interrupting what nobody has begun: it is taken off its list and answered. */
static int op_interrupt(struct fs_call *c)
{
	struct fs *fs = c->fs;
	struct fs_req *victim = NULL;
	bool is_known = false;

	mutex_lock(&fs->pool_lock);
	struct list *lists[] = { &fs->queue, &fs->parked, &fs->active };
	for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
		list_for_each(it, lists[n])
		{
			struct fs_req *r = container_of(it, struct fs_req, node);

			if (r->unique != c->arg.interrupt.unique)
				continue;
			is_known = true;
			r->is_interrupted = true;
			if (r->state != FS_REQ_RUNNING)
				victim = r;
		}
	}
	if (victim)
		list_del(&victim->node);
	mutex_unlock(&fs->pool_lock);

	if (victim)
		answer(victim, victim->unique, -EINTR, 0);
	/* A request that has not arrived yet makes the driver ask again. */
	return is_known ? 0 : -EAGAIN;
}

/* Return: 0 if the request now waits, -EINTR if it shall not wait any more. */
static int enqueue(struct fs *fs, struct fs_req *req, enum fs_req_state state)
{
	mutex_lock(&fs->pool_lock);
	int r = req->is_interrupted || fs->cancelling ? -EINTR : 0;
	if (r == 0) {
		req->state = state;
		list_add_tail(state == FS_REQ_PARKED ? &fs->parked : &fs->queue, &req->node);
		/* Also for parked ones: a worker must learn that there is something to poll. */
		cond_signal(&fs->pool_wake);
	}
	mutex_unlock(&fs->pool_lock);
	return r;
}

static void leave_active(struct fs *fs, struct fs_req *req)
{
	mutex_lock(&fs->pool_lock);
	list_del(&req->node);
	mutex_unlock(&fs->pool_lock);
}

/**
 * parse() - take a request apart as far as all operations need
 *
 * Return: 0; -EPROTO if it is no request; other -errno are the answer to it
 */
static int parse(struct fs_call *c, const struct op **op)
{
	struct cur rd = c->req->rd;

	c->out = c->req->wr;
	if (cur_read(&rd, &c->hdr, sizeof(c->hdr)) < 0 || c->hdr.len < sizeof(c->hdr) ||
	    c->hdr.len - sizeof(c->hdr) > cur_left(&rd))
		return -EPROTO;
	c->req->opcode = c->hdr.opcode;
	c->req->unique = c->hdr.unique;
	*op = op_of(c->hdr.opcode);

	size_t body = c->hdr.len - sizeof(c->hdr);
	size_t ext = (size_t)c->hdr.total_extlen * 8;
	if (!*op)
		return -ENOSYS;
	if (!((*op)->flags & OP_QUIET) && cur_skip(&c->out, sizeof(struct fuse_out_header)) < 0)
		return -EPROTO;
	if (ext > body)
		return -EINVAL;
	cur_split(&rd, body - ext, &c->in);
	cur_split(&rd, ext, &c->ext);
	if (cur_read(&c->in, &c->arg, (*op)->arg_len) < 0)
		return -EINVAL;
	return 0;
}

/* Finds the inode and refuses what its share does not allow. */
static int admit(struct fs_call *c, const struct op *op)
{
	mutex_lock(&c->fs->lock);
	bool is_inited = c->fs->is_inited;
	mutex_unlock(&c->fs->lock);
	if (!is_inited && !(op->flags & (OP_EARLY | OP_QUIET)))
		return -EIO;
	if (!(op->flags & OP_NODE))
		return 0;

	c->inode = inode_get(c->fs, c->hdr.nodeid);
	if (!c->inode)
		return -ESTALE;
	if (c->inode->kind == FS_HOST)
		c->share = &c->fs->shares[c->inode->share];
	if (op->flags & OP_CHANGES && (!c->share || c->share->is_ro))
		return -EROFS;
	if (op->flags & OP_HOST && !c->share)
		return -EINVAL;
	return 0;
}

static bool belongs_to_pool(const struct fs_call *c, const struct op *op)
{
	return !c->in_pool && (op->flags & OP_SLOW || (c->share && c->share->is_remote));
}

static void run(struct fs_thread *t, struct fs_req *req, bool in_pool)
{
	struct fs_call c = { .fs = t->fs, .t = t, .req = req, .in_pool = in_pool };
	const struct op *op = NULL;
	int r = parse(&c, &op);

	if (r == -EPROTO) {
		finish(req, -EPROTO, 0);
		return;
	}
	if (r == 0)
		r = admit(&c, op);
	if (r == 0)
		r = belongs_to_pool(&c, op) ? FS_PUNT : op->fn(&c);
	inode_put(c.fs, c.inode);

	/* From here on the request may be anybody's, or gone. */
	if (in_pool)
		leave_active(c.fs, req);
	if (r == FS_PUNT || r == FS_PARK) {
		r = enqueue(c.fs, req, r == FS_PUNT ? FS_REQ_QUEUED : FS_REQ_PARKED);
		if (r == 0)
			return;
	}
	if (op && op->flags & OP_QUIET)
		finish(req, 0, 0);
	else
		answer(req, c.hdr.unique, r, c.out_len);
}

void fs_submit(struct fs_thread *t, struct fs_req *req)
{
	list_init(&req->node);
	req->state = FS_REQ_NEW;
	req->is_interrupted = false;
	run(t, req, false);
}

void server_retry_locks(struct fs *fs)
{
	mutex_lock(&fs->pool_lock);
	if (!list_empty(&fs->parked)) {
		fs->retry = true;
		cond_signal(&fs->pool_wake);
	}
	mutex_unlock(&fs->pool_lock);
}

/* Makes all parked requests runnable again. */
static void unpark_locked(struct fs *fs)
{
	list_for_each_safe(it, &fs->parked)
	{
		struct fs_req *req = container_of(it, struct fs_req, node);

		list_del(it);
		req->state = FS_REQ_QUEUED;
		list_add_tail(&fs->queue, it);
	}
	fs->retry = false;
	fs->next_poll_ns = clock_now_ns() + FS_PARK_POLL_NS;
}

/* The next request for a worker, on the active list; NULL when the server stops. */
static struct fs_req *next_request(struct fs *fs)
{
	struct fs_req *req = NULL;

	mutex_lock(&fs->pool_lock);
	while (!fs->stopping) {
		if (!list_empty(&fs->parked) && (fs->retry || clock_now_ns() >= fs->next_poll_ns))
			unpark_locked(fs);
		if (!list_empty(&fs->queue)) {
			req = container_of(fs->queue.next, struct fs_req, node);
			list_del(&req->node);
			list_add_tail(&fs->active, &req->node);
			req->state = FS_REQ_RUNNING;
			fs->running++;
			break;
		}
		if (list_empty(&fs->parked))
			cond_wait(&fs->pool_wake, &fs->pool_lock);
		else
			(void)cond_wait_until(&fs->pool_wake, &fs->pool_lock, fs->next_poll_ns);
	}
	mutex_unlock(&fs->pool_lock);
	return req;
}

static void *worker(void *arg)
{
	struct fs *fs = arg;
	struct fs_thread *t = NULL;
	int r = fs_thread_create(fs, &t);

	mutex_lock(&fs->pool_lock);
	fs->workers_up++;
	if (r < 0)
		fs->start_err = r;
	cond_broadcast(&fs->pool_idle);
	mutex_unlock(&fs->pool_lock);
	if (!t)
		return NULL;

	struct fs_req *req;
	while ((req = next_request(fs))) {
		run(t, req, true);
		mutex_lock(&fs->pool_lock);
		if (--fs->running == 0)
			cond_broadcast(&fs->pool_idle);
		mutex_unlock(&fs->pool_lock);
	}
	fs_thread_destroy(t);
	return NULL;
}

int fs_thread_create(struct fs *fs, struct fs_thread **out)
{
	AUTO_FREE struct fs_thread *t = malloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	/* syscall: unshare */
	if (unshare(CLONE_FS) < 0)
		return -errno;
	t->fs = fs;
	t->umask = 0;
	(void)umask(0);
	*out = take(&t);
	return 0;
}

void fs_thread_destroy(struct fs_thread *t)
{
	free(t);
}

static int open_proc(struct err *e)
{
	AUTO_FD fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "/proc is not mounted, which sharing folders needs");

	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
	AUTO_FD probe = (int)syscall(SYS_openat2, fd, ".", &how, sizeof(how));
	if (probe < 0)
		return err_errno(e, "the kernel refuses openat2(), which sharing folders needs "
				    "(Linux 5.6 or later, and a container that allows it)");
	return 0;
}

static uint32_t default_max_fds(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur < 64)
		return 32;
	return rl.rlim_cur > 1u << 20 ? 3u << 18 : (uint32_t)(rl.rlim_cur / 4 * 3);
}

int fs_create(const struct fs_config *cfg, struct fs **out, struct err *e)
{
	int r = open_proc(e);

	if (r < 0)
		return r;
	bool can_be_anyone = creds_can_be_anyone();
	if (cfg->identity == FS_ID_ROOT && !can_be_anyone)
		return err_set(e, -EPERM, "keeping the guest's file owners needs root");

	struct fs *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return err_set(e, -ENOMEM, "no memory for the file server");
	mutex_init(&fs->lock);
	mutex_init(&fs->pool_lock);
	cond_init(&fs->pool_wake);
	cond_init(&fs->pool_idle);
	list_init(&fs->lru);
	list_init(&fs->orphans);
	list_init(&fs->queue);
	list_init(&fs->parked);
	list_init(&fs->active);
	fs->uid = geteuid();
	fs->gid = getegid();
	fs->as_user = cfg->identity == FS_ID_USER || !can_be_anyone;

	/* Inodes can be found again, handles cannot: those get the larger part. */
	uint32_t fds = cfg->max_fds ? cfg->max_fds : default_max_fds();
	fs->max_inode_fds = fds / 4;
	fs->max_orphan_fds = fds / 8;
	fs->max_lock_owners = fds / 8 < FS_MAX_LOCK_OWNERS ? fds / 8 : FS_MAX_LOCK_OWNERS;
	fs->handles.max = fds / 2;
	fs->inodes.max = cfg->max_inodes ? cfg->max_inodes : FS_MAX_INODES;

	/* Its number is FUSE_ROOT_ID: the first slot. */
	fs->root = inode_new(fs, FS_SYNTH_DIR);
	if (!fs->root) {
		fs_destroy(fs);
		return err_set(e, -ENOMEM, "no memory for the file server");
	}
	fs->root->synth->mode = 0755;
	*out = fs;
	return 0;
}

int fs_start(struct fs *fs, struct err *e)
{
	while (fs->worker_count < FS_WORKERS) {
		int r = thread_start(&fs->workers[fs->worker_count], "fs-worker", worker, fs);
		if (r < 0)
			return err_set(e, r, "cannot start a file server thread: %s", strerror(-r));
		fs->worker_count++;
	}
	mutex_lock(&fs->pool_lock);
	while (fs->workers_up < fs->worker_count)
		cond_wait(&fs->pool_idle, &fs->pool_lock);
	int r = fs->start_err;
	mutex_unlock(&fs->pool_lock);
	if (r < 0)
		return err_set(e, r, "a file server thread cannot have its own umask: %s",
			       strerror(-r));
	return 0;
}

/* Takes everything that waits and answers it; waits for what runs. */
static void cancel_all(struct fs *fs)
{
	struct list waiting;

	list_init(&waiting);
	mutex_lock(&fs->pool_lock);
	fs->cancelling = true;
	for (;;) {
		struct list *from = !list_empty(&fs->queue) ? &fs->queue : &fs->parked;

		if (!list_empty(from)) {
			struct list *it = from->next;
			list_del(it);
			list_add_tail(&waiting, it);
		} else if (fs->running > 0) {
			cond_wait(&fs->pool_idle, &fs->pool_lock);
		} else {
			break;
		}
	}
	mutex_unlock(&fs->pool_lock);

	list_for_each_safe(it, &waiting)
	{
		struct fs_req *req = container_of(it, struct fs_req, node);

		list_del(it);
		answer(req, req->unique, -EINTR, 0);
	}
}

void fs_reset(struct fs *fs)
{
	cancel_all(fs);
	drop_session(fs);
	mutex_lock(&fs->pool_lock);
	fs->cancelling = false;
	mutex_unlock(&fs->pool_lock);
}

void fs_destroy(struct fs *fs)
{
	if (!fs)
		return;
	cancel_all(fs);
	mutex_lock(&fs->pool_lock);
	fs->stopping = true;
	cond_broadcast(&fs->pool_wake);
	mutex_unlock(&fs->pool_lock);
	while (fs->worker_count > 0)
		(void)pthread_join(fs->workers[--fs->worker_count], NULL);
	drop_session(fs);
	inode_free_permanent(fs);
	slots_fini(&fs->inodes);
	slots_fini(&fs->handles);
	free(fs->hash);
	cond_fini(&fs->pool_wake);
	cond_fini(&fs->pool_idle);
	mutex_fini(&fs->lock);
	mutex_fini(&fs->pool_lock);
	free(fs);
}

void fs_get_stats(struct fs *fs, struct fs_stats *out)
{
	*out = (struct fs_stats){ 0 };
	mutex_lock(&fs->lock);
	out->inodes = fs->inodes.live;
	out->handles = fs->handles.live;
	out->fds = fs->inode_fds + fs->handles.live + fs->lock_owners;
	mutex_unlock(&fs->lock);
	mutex_lock(&fs->pool_lock);
	list_for_each(it, &fs->parked) out->parked++;
	mutex_unlock(&fs->pool_lock);
}
