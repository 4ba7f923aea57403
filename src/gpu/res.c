/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources: blobs that a renderer has made, and storage of the guest's own.  See gpu_internal.h.
 *
 * A resource is busy while its renderer makes it or the window changes; commands that name it
 * meanwhile wait behind it.  Its descriptor is the device's: the context that made it may go
 * without taking mapped memory away from the guest.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "gpu/gpu_internal.h"
#include "host/fd.h"
#include "host/shm.h"
#include "mem/gm.h"
#include "util/ckd.h"
#include "util/log.h"

#define BLOB_FLAGS                                                                                 \
	(VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE |                  \
	 VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE)

/* A context that has been given another one's blob. */
struct sharer {
	struct list node;
	uint64_t serial;
};

struct gpu_res {
	struct list node; /* bucket */
	struct gpu *g;
	uint32_t id;
	uint32_t blob_mem;
	uint32_t flags;
	uint64_t size;  /* bytes, a multiple of the page size */
	uint64_t owner; /* serial of the context that made it; 0: none */

	/* Blobs of a renderer. */
	int fd;
	uint32_t kind; /* enum ctx_blob_kind */
	uint64_t offset;
	uint32_t map_info;
	bool has_ring;
	uint64_t ring_status; /* bytes into the blob */
	struct list sharers;

	/* Storage of the guest. */
	bool has_backing;

	bool is_busy;
	struct list queue;      /* requests that wait until it is not */
	struct gpu_req *req;    /* the one that made it busy */
	struct window_req wreq; /* ->off and ->len: its place while mapped */
	bool is_mapped;
};

static struct list *bucket(struct gpu *g, uint32_t id)
{
	return &g->res[id % GPU_RES_BUCKET];
}

static struct gpu_res *find(struct gpu *g, uint32_t id)
{
	list_for_each(it, bucket(g, id))
	{
		struct gpu_res *res = container_of(it, struct gpu_res, node);

		if (res->id == id)
			return res;
	}
	return NULL;
}

static void res_free(struct gpu_res *res)
{
	struct gpu *g = res->g;

	if (res->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D)
		g->memory -= res->size;
	g->n_res--;
	list_del(&res->node);
	list_for_each_safe(it, &res->sharers) free(container_of(it, struct sharer, node));
	fd_drop(&res->fd);
	free(res);
}

static struct gpu_res *res_new(struct gpu *g, uint32_t id, uint32_t blob_mem, uint64_t size)
{
	struct gpu_res *res = calloc(1, sizeof(*res));

	if (!res)
		return NULL;
	res->g = g;
	res->id = id;
	res->blob_mem = blob_mem;
	res->size = size;
	res->fd = -1;
	list_init(&res->sharers);
	list_init(&res->queue);
	list_add_tail(bucket(g, id), &res->node);
	g->n_res++;
	if (blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D)
		g->memory += size;
	return res;
}

/* ---- places in the window ---- */

/* Index of the first live mapping that ends after @off. */
static uint32_t span_search(const struct gpu *g, uint64_t off)
{
	uint32_t low = 0;
	uint32_t high = g->n_maps;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (g->maps[mid].off + g->maps[mid].len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int span_add(struct gpu *g, uint64_t off, uint64_t len)
{
	const struct window *w = g->cfg.window;

	if (!w || off % shm_page_size() != 0 || !range_fits(off, len, w->len))
		return -EINVAL;

	uint32_t at = span_search(g, off);
	if (at < g->n_maps && g->maps[at].off < off + len)
		return -EINVAL;
	if (g->n_maps == w->maps_max) {
		log_guest(GPU, "the guest has %u blobs mapped, which is the limit", g->n_maps);
		return -ENOMEM;
	}
	memmove(g->maps + at + 1, g->maps + at, (g->n_maps - at) * sizeof(*g->maps));
	g->maps[at] = (struct gpu_span){ .off = off, .len = len };
	g->n_maps++;
	return 0;
}

static void span_del(struct gpu *g, uint64_t off)
{
	uint32_t at = span_search(g, off);

	assert(at < g->n_maps && g->maps[at].off == off);
	g->n_maps--;
	memmove(g->maps + at, g->maps + at + 1, (g->n_maps - at) * sizeof(*g->maps));
}

/* ---- waiting ---- */

/* Moves all nodes behind those of @to. */
static void list_move_all(struct list *to, struct list *from)
{
	while (!list_empty(from)) {
		struct list *it = from->next;

		list_del(it);
		list_add_tail(to, it);
	}
}

static void res_run(struct gpu *g, struct gpu_req *req);

/* What has waited for a resource goes on, until it is busy again; if it is gone they find out. */
static void run_queue(struct gpu *g, struct list *queue)
{
	struct list waiting = { .prev = &waiting, .next = &waiting };

	/* Out of the resource, which the first of them may free. */
	list_move_all(&waiting, queue);
	while (!list_empty(&waiting)) {
		struct gpu_req *req = container_of(waiting.next, struct gpu_req, node);

		list_del(&req->node);
		res_run(g, req); /* those behind a new wait queue up again, in their order */
	}
}

static void res_idle(struct gpu_res *res)
{
	res->is_busy = false;
	res->req = NULL;
	run_queue(res->g, &res->queue);
}

static void res_gone(struct gpu_res *res)
{
	struct gpu *g = res->g;
	struct list queue = { .prev = &queue, .next = &queue };

	list_move_all(&queue, &res->queue);
	res_free(res);
	run_queue(g, &queue);
}

/*
 * The resource that a request names, if it can be worked with now; otherwise the request has been
 * answered or waits.
 */
static struct gpu_res *res_ready(struct gpu *g, struct gpu_req *req)
{
	struct gpu_res *res = find(g, req->res_id);

	if (!res) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
		return NULL;
	}
	if (res->is_busy) {
		list_add_tail(&res->queue, &req->node);
		return NULL;
	}
	return res;
}

/* ---- creation ---- */

/* The pages that the driver lends: nothing here reads them, but they have to be its own. */
static int check_entries(struct gpu *g, struct gpu_req *req, uint32_t count, uint64_t size)
{
	const struct gm *gm = g->dev.vqs[0].gm;
	uint64_t sum = 0;

	if ((uint64_t)count * sizeof(struct virtio_gpu_mem_entry) > cur_left(&req->chain.rd))
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		struct virtio_gpu_mem_entry m;

		if (cur_read(&req->chain.rd, &m, sizeof(m)) < 0 || !gm_range(gm, m.addr, m.length))
			return -EINVAL;
		sum += m.length; /* 32-bit lengths, fewer than 2^28 of them */
	}
	return sum < size ? -EINVAL : 0;
}

static int create_host(struct gpu *g, struct gpu_req *req,
		       const struct virtio_gpu_resource_create_blob *c, uint64_t size)
{
	struct gpu_ctx *ctx = gpu_ctx_find(g, req->hdr.ctx_id);

	if (c->nr_entries != 0)
		return -EINVAL;
	if (!ctx) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		return 0;
	}
	if (size > g->cfg.limits.memory - g->memory) {
		log_guest(GPU,
			  "the guest asks for a blob of %ju bytes and has %ju of the %ju allowed "
			  "(--gpu-memory)",
			  (uintmax_t)size, (uintmax_t)g->memory, (uintmax_t)g->cfg.limits.memory);
		return -ENOMEM;
	}

	struct gpu_res *res = res_new(g, c->resource_id, c->blob_mem, size);
	if (!res)
		return -ENOMEM;
	res->flags = c->blob_flags;
	res->owner = gpu_ctx_serial(ctx);
	res->is_busy = true;
	res->req = req;
	req->res_id = res->id;
	gpu_ctx_create_blob(ctx, req, c->blob_id, c->size, c->blob_flags);
	return 0;
}

static int create_guest(struct gpu *g, struct gpu_req *req,
			const struct virtio_gpu_resource_create_blob *c, uint64_t size)
{
	int r = c->nr_entries ? check_entries(g, req, c->nr_entries, c->size) : 0;

	if (r < 0)
		return r;

	struct gpu_res *res = res_new(g, c->resource_id, c->blob_mem, size);
	if (!res)
		return -ENOMEM;
	res->has_backing = c->nr_entries > 0;
	gpu_answer(g, req, VIRTIO_GPU_RESP_OK_NODATA);
	return 0;
}

static int create(struct gpu *g, struct gpu_req *req)
{
	struct virtio_gpu_resource_create_blob c;
	uint64_t size;

	if (cur_read(&req->chain.rd, &c.resource_id, sizeof(c) - sizeof(c.hdr)) < 0)
		return -EINVAL;
	if (c.resource_id == 0 || find(g, c.resource_id))
		return -EEXIST;
	if (c.size == 0 || (c.blob_flags & ~(uint32_t)BLOB_FLAGS) ||
	    align_up_ckd(&size, c.size, shm_page_size()))
		return -EINVAL;
	if (g->n_res == g->cfg.limits.resources) {
		log_guest(GPU, "the guest has %u resources, which is the limit", g->n_res);
		return -ENOMEM;
	}
	switch (c.blob_mem) {
	case VIRTIO_GPU_BLOB_MEM_HOST3D:
		return create_host(g, req, &c, size);
	case VIRTIO_GPU_BLOB_MEM_GUEST:
		return create_guest(g, req, &c, size);
	case VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST:
		log_guest(GPU, "the driver asked for a blob of kind HOST3D_GUEST, which this "
			       "device does not have");
		return -EINVAL;
	default:
		return -EINVAL;
	}
}

void gpu_res_create_blob(struct gpu *g, struct gpu_req *req)
{
	int r = create(g, req);

	if (r < 0)
		gpu_answer(g, req, gpu_error(r));
}

/*
 * A descriptor of a renderer goes into the guest's address space only if nobody can take its pages
 * away again: an access would end the VM.  With maps_driver_memory the host's driver is trusted to
 * keep its own mappings alive.
 */
static bool is_sound(const struct gpu_res *res, const struct ctx_msg *m, int fd)
{
	struct statfs fs;
	struct stat st;

	if (fd < 0 || m->size < res->size || m->offset % shm_page_size() != 0 ||
	    m->map_info > VIRTIO_GPU_MAP_CACHE_WC)
		return false;
	if (m->kind == CTX_BLOB_SHM) {
		/* syscall: fcntl fstat fstatfs */
		int seals = fcntl(fd, F_GET_SEALS);

		/* Huge pages have seals, too, and mappings longer than what is asked for. */
		return seals >= 0 && (seals & F_SEAL_SHRINK) && fstatfs(fd, &fs) == 0 &&
		       fs.f_type == TMPFS_MAGIC && fstat(fd, &st) == 0 &&
		       range_fits(m->offset, res->size, (uint64_t)st.st_size);
	}
	/* Such a file has no size: the driver refuses what it has not prepared to map. */
	if (m->kind == CTX_BLOB_DRIVER)
		return res->g->cfg.maps_driver_memory && m->offset == 0 && fstat(fd, &st) == 0 &&
		       S_ISCHR(st.st_mode);
	if (m->kind != CTX_BLOB_DMABUF)
		return false;
	/*
	 * Not before it is known to be one: the position of an ordinary file has a lock, which the
	 * sender's threads could hold for ever.  syscall: fstatfs lseek
	 */
	if (fstatfs(fd, &fs) < 0 || fs.f_type != DMA_BUF_MAGIC)
		return false;
	off_t end = lseek(fd, 0, SEEK_END);
	return end >= 0 && range_fits(m->offset, res->size, (uint64_t)end);
}

int gpu_res_created(struct gpu *g, struct gpu_req *req, const struct ctx_msg *m, int fd)
{
	struct gpu_res *res = find(g, req->res_id);
	AUTO_FD owned = fd;
	int code = m->code;

	assert(res && res->is_busy && res->req == req);
	if (code >= 0 && !is_sound(res, m, owned))
		code = -EPROTO;
	if (code < 0) {
		gpu_answer(g, req, gpu_error(code));
		res_gone(res);
		return code == -EPROTO && m->code >= 0 ? -EPROTO : 0;
	}
	res->fd = take_fd(&owned);
	res->kind = m->kind;
	res->offset = m->offset;
	res->map_info = res->flags & VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE ? m->map_info : 0;
	gpu_answer(g, req, VIRTIO_GPU_RESP_OK_NODATA);
	res_idle(res);
	return 0;
}

/* ---- the window ---- */

static void on_mapped(struct window_req *wreq, int result)
{
	struct gpu_res *res = container_of(wreq, struct gpu_res, wreq);
	struct gpu *g = res->g;
	const uint32_t info[2] = { res->map_info, 0 };

	if (result < 0) {
		span_del(g, wreq->off);
		gpu_answer(g, res->req, gpu_error(result));
	} else {
		res->is_mapped = true;
		gpu_answer_data(g, res->req, VIRTIO_GPU_RESP_OK_MAP_INFO, info, sizeof(info));
	}
	res_idle(res);
	gpu_signal(g);
}

static void do_map(struct gpu *g, struct gpu_req *req)
{
	struct gpu_res *res = res_ready(g, req);

	if (!res)
		return;
	if (res->map_info == 0 || res->is_mapped) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		return;
	}

	int r = span_add(g, req->map_off, res->size);
	if (r < 0) {
		gpu_answer(g, req, gpu_error(r));
		return;
	}
	res->is_busy = true;
	res->req = req;
	res->wreq = (struct window_req){
		.off = req->map_off,
		.len = res->size,
		.fd = res->fd,
		.fd_off = res->offset,
		.done = on_mapped,
	};
	g->cfg.window->ops->map(g->cfg.window, &res->wreq);
}

/* Those who know the blob are told when it is no longer in the table: telling may end a context. */
static void do_unref(struct gpu *g, struct gpu_res *res)
{
	struct list sharers = { .prev = &sharers, .next = &sharers };
	const uint64_t owner = res->owner;
	const uint32_t id = res->id;

	list_move_all(&sharers, &res->sharers);
	res_gone(res);
	if (owner)
		gpu_ctx_unref(g, owner, id);
	while (!list_empty(&sharers)) {
		struct sharer *s = container_of(sharers.next, struct sharer, node);
		uint64_t serial = s->serial;

		list_del(&s->node);
		free(s);
		gpu_ctx_unref(g, serial, id);
	}
}

static void on_unmapped(struct window_req *wreq, int result)
{
	struct gpu_res *res = container_of(wreq, struct gpu_res, wreq);
	struct gpu *g = res->g;
	struct gpu_req *req = res->req;

	/* What cannot be unmapped keeps its place for good. */
	if (result == 0) {
		span_del(g, wreq->off);
		res->is_mapped = false;
	}
	if (req->hdr.type == VIRTIO_GPU_CMD_RESOURCE_UNREF && result == 0) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_OK_NODATA);
		do_unref(g, res);
	} else {
		gpu_answer(g, req, result < 0 ? gpu_error(result) : VIRTIO_GPU_RESP_OK_NODATA);
		res_idle(res);
	}
	gpu_signal(g);
}

static void start_unmap(struct gpu *g, struct gpu_res *res, struct gpu_req *req)
{
	res->is_busy = true;
	res->req = req;
	res->wreq.done = on_unmapped;
	g->cfg.window->ops->unmap(g->cfg.window, &res->wreq);
}

static void do_unmap(struct gpu *g, struct gpu_req *req)
{
	struct gpu_res *res = res_ready(g, req);

	if (!res)
		return;
	if (res->is_mapped)
		start_unmap(g, res, req);
	else
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
}

static void do_unref_req(struct gpu *g, struct gpu_req *req)
{
	struct gpu_res *res = res_ready(g, req);

	if (!res)
		return;
	if (res->is_mapped) {
		start_unmap(g, res, req);
		return;
	}
	gpu_answer(g, req, VIRTIO_GPU_RESP_OK_NODATA);
	do_unref(g, res);
}

static void do_back(struct gpu *g, struct gpu_req *req)
{
	bool is_attach = req->hdr.type == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING;
	struct gpu_res *res = res_ready(g, req);
	uint32_t count = 0;
	int r = 0;

	if (!res)
		return;
	if (res->blob_mem != VIRTIO_GPU_BLOB_MEM_GUEST || res->has_backing == is_attach ||
	    (is_attach && cur_read(&req->chain.rd, &count, sizeof(count)) < 0))
		r = -EINVAL;
	if (r == 0 && is_attach)
		r = check_entries(g, req, count, res->size);
	if (r == 0)
		res->has_backing = is_attach;
	gpu_answer(g, req, r < 0 ? gpu_error(r) : VIRTIO_GPU_RESP_OK_NODATA);
}

/* A request whose body has been read. */
static void res_run(struct gpu *g, struct gpu_req *req)
{
	switch (req->hdr.type) {
	case VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB:
		do_map(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB:
		do_unmap(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_UNREF:
		do_unref_req(g, req);
		break;
	case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
		gpu_ctx_attach(g, req, true);
		break;
	default:
		do_back(g, req);
		break;
	}
}

/* Reads the id and runs the command. */
static void begin(struct gpu *g, struct gpu_req *req)
{
	if (cur_read(&req->chain.rd, &req->res_id, sizeof(req->res_id)) < 0)
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	else
		res_run(g, req);
}

void gpu_res_unref(struct gpu *g, struct gpu_req *req)
{
	begin(g, req);
}

void gpu_res_unmap(struct gpu *g, struct gpu_req *req)
{
	begin(g, req);
}

void gpu_res_back(struct gpu *g, struct gpu_req *req)
{
	begin(g, req);
}

void gpu_res_map(struct gpu *g, struct gpu_req *req)
{
	struct virtio_gpu_resource_map_blob c;

	if (cur_read(&req->chain.rd, &c.resource_id, sizeof(c) - sizeof(c.hdr)) < 0) {
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		return;
	}
	req->res_id = c.resource_id;
	req->map_off = c.offset;
	res_run(g, req);
}

/* ---- sharing between contexts ---- */

static struct sharer *find_sharer(const struct gpu_res *res, uint64_t serial)
{
	list_for_each(it, &res->sharers)
	{
		struct sharer *s = container_of(it, struct sharer, node);

		if (s->serial == serial)
			return s;
	}
	return NULL;
}

int gpu_res_share(struct gpu *g, struct gpu_req *req, uint64_t serial, struct ctx_msg *m, int *fd)
{
	struct gpu_res *res = find(g, req->res_id);

	if (!res)
		return -ENOENT;
	if (res->is_busy) {
		list_add_tail(&res->queue, &req->node);
		return -EAGAIN;
	}
	if (res->fd < 0 || res->owner == serial || find_sharer(res, serial))
		return 0;
	if (res->kind == CTX_BLOB_DRIVER)
		return -EACCES; /* no other renderer can do anything with it */

	struct sharer *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->serial = serial;
	list_add_tail(&res->sharers, &s->node);
	m->kind = res->kind;
	m->offset = res->offset;
	m->size = res->size;
	*fd = res->fd;
	return 0;
}

bool gpu_res_unshare(struct gpu *g, uint32_t res_id, uint64_t serial)
{
	struct gpu_res *res = find(g, res_id);
	struct sharer *s = res ? find_sharer(res, serial) : NULL;

	if (!s)
		return false;
	list_del(&s->node);
	free(s);
	return true;
}

/* ---- rings ---- */

int gpu_res_ring(struct gpu *g, uint64_t serial, const struct ctx_msg *m)
{
	struct gpu_res *res = find(g, m->res_id);

	/* The driver may have dropped the blob meanwhile, and given its name away. */
	if (!res || res->owner != serial || res->fd < 0)
		return 0;
	if (res->kind != CTX_BLOB_SHM || m->offset % sizeof(uint32_t) != 0 ||
	    !range_fits(m->offset, sizeof(uint32_t), res->size))
		return -EPROTO;
	res->has_ring = true;
	res->ring_status = m->offset;
	return 0;
}

/* The blob's size is sealed, so that its page is there. */
static void ring_mark(const struct gpu_res *res)
{
	const uint64_t len = shm_page_size();
	const uint64_t at = res->offset + res->ring_status;
	const uint64_t page = at - at % len;

	/* syscall: mmap munmap */
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, res->fd, (off_t)page);
	if (p == MAP_FAILED)
		return;
	/* The guest reads it after it has written the ring's tail. */
	(void)atomic_fetch_or_explicit((_Atomic uint32_t *)(void *)(p + (at - page)),
				       CTX_RING_FATAL, memory_order_seq_cst);
	(void)munmap(p, len);
}

void gpu_res_mark_rings(struct gpu *g, uint64_t serial)
{
	for (unsigned i = 0; i < GPU_RES_BUCKET; i++) {
		list_for_each(it, &g->res[i])
		{
			const struct gpu_res *res = container_of(it, struct gpu_res, node);

			if (res->owner == serial && res->has_ring)
				ring_mark(res);
		}
	}
}

void gpu_res_forget_ctx(struct gpu *g, uint64_t serial)
{
	for (unsigned i = 0; i < GPU_RES_BUCKET; i++) {
		list_for_each(it, &g->res[i])
		{
			struct gpu_res *res = container_of(it, struct gpu_res, node);
			struct sharer *s = find_sharer(res, serial);

			if (s) {
				list_del(&s->node);
				free(s);
			}
		}
	}
}

void gpu_res_reset(struct gpu *g)
{
	if (g->cfg.window)
		g->cfg.window->ops->reset(g->cfg.window);
	g->n_maps = 0;
	for (unsigned i = 0; i < GPU_RES_BUCKET; i++) {
		list_for_each_safe(it, &g->res[i]) res_free(container_of(it, struct gpu_res, node));
	}
}
