/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-gpu: queues, dispatch, answers.  See gpu.h and gpu_internal.h. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "gpu/gpu_internal.h"
#include "util/ckd.h"
#include "util/log.h"

enum { QUEUE_CONTROL, QUEUE_CURSOR, QUEUES };

#define CURSOR_RING 16

uint32_t gpu_error(int r)
{
	switch (r) {
	case -ENOMEM:
	case -ENOSPC:
	case -EMFILE:
	case -ENFILE:
	case -EAGAIN:
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	case -EINVAL:
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	case -ENOENT:
	case -EEXIST:
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	default:
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	}
}

static struct vq *control(struct gpu *g)
{
	return &g->dev.vqs[QUEUE_CONTROL];
}

void gpu_signal(struct gpu *g)
{
	vq_signal(control(g));
}

static void give_back(struct gpu *g, struct gpu_req *req)
{
	vq_push(control(g), &req->chain, req->written);
	list_add_tail(&g->unused, &req->node);
}

/*
 * Fences without a timeline share one that is the device's.  The driver takes a fence that is
 * reached for the sign that all before it are, so none may overtake another.
 */
static void give_back_legacy(struct gpu *g)
{
	while (!list_empty(&g->legacy)) {
		struct gpu_req *req = container_of(g->legacy.next, struct gpu_req, legacy);

		if (!req->is_answered)
			return;
		list_del(&req->legacy);
		give_back(g, req);
	}
}

void gpu_answer_data(struct gpu *g, struct gpu_req *req, uint32_t type, const void *data,
		     size_t len)
{
	struct virtio_gpu_ctrl_hdr h = { .type = type };

	assert(list_empty(&req->node) && !req->is_answered);
	if (req->hdr.flags & VIRTIO_GPU_FLAG_FENCE) {
		h.flags = req->hdr.flags & (VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
		h.fence_id = req->hdr.fence_id;
		h.ctx_id = req->hdr.ctx_id;
		h.ring_idx = req->hdr.ring_idx;
	}
	if (cur_left(&req->chain.wr) < sizeof(h) + len) {
		log_guest(GPU, "the driver left %zu bytes for an answer of %zu",
			  cur_left(&req->chain.wr), sizeof(h) + len);
		data = NULL;
		len = 0;
		h.type = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	req->is_answered = true;
	req->written = 0;
	if (cur_write(&req->chain.wr, &h, sizeof(h)) == 0 &&
	    (len == 0 || cur_write(&req->chain.wr, data, len) == 0))
		req->written = (uint32_t)(sizeof(h) + len);
	if (list_empty(&req->legacy))
		give_back(g, req);
	else
		give_back_legacy(g);
}

static void get_display_info(struct gpu *g, struct gpu_req *req)
{
	static const struct virtio_gpu_resp_display_info none;

	gpu_answer_data(g, req, VIRTIO_GPU_RESP_OK_DISPLAY_INFO, none.pmodes, sizeof(none.pmodes));
}

static void get_capset_info(struct gpu *g, struct gpu_req *req)
{
	struct virtio_gpu_resp_capset_info info = { .capset_id = g->cfg.capset_id,
						    .capset_max_size = g->cfg.capset_size };
	uint32_t index;

	if (cur_read(&req->chain.rd, &index, sizeof(index)) < 0 || index != 0)
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	else
		gpu_answer_data(g, req, VIRTIO_GPU_RESP_OK_CAPSET_INFO, &info.capset_id,
				sizeof(info) - sizeof(info.hdr));
}

static void get_capset(struct gpu *g, struct gpu_req *req)
{
	uint32_t what[2]; /* id, version */

	if (cur_read(&req->chain.rd, what, sizeof(what)) < 0 || what[0] != g->cfg.capset_id ||
	    what[1] != 0)
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	else
		gpu_answer_data(g, req, VIRTIO_GPU_RESP_OK_CAPSET, g->cfg.capset,
				g->cfg.capset_size);
}

/* What a device without screens and without OpenGL does not do. */
static const char *refused_name(uint32_t type)
{
	switch (type) {
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
		return "RESOURCE_CREATE_2D";
	case VIRTIO_GPU_CMD_SET_SCANOUT:
		return "SET_SCANOUT";
	case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
		return "SET_SCANOUT_BLOB";
	case VIRTIO_GPU_CMD_RESOURCE_FLUSH:
		return "RESOURCE_FLUSH";
	case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D:
		return "TRANSFER_TO_HOST_2D";
	case VIRTIO_GPU_CMD_GET_EDID:
		return "GET_EDID";
	case VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID:
		return "RESOURCE_ASSIGN_UUID";
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_3D:
		return "RESOURCE_CREATE_3D";
	case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D:
		return "TRANSFER_TO_HOST_3D";
	case VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D:
		return "TRANSFER_FROM_HOST_3D";
	default:
		return "an unknown command";
	}
}

static void refuse(struct gpu *g, struct gpu_req *req)
{
	log_guest(GPU, "the driver sent %s (0x%x), which this device does not have",
		  refused_name(req->hdr.type), req->hdr.type);
	gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_UNSPEC);
}

static void dispatch(struct gpu *g, struct gpu_req *req)
{
	switch (req->hdr.type) {
	case VIRTIO_GPU_CMD_SUBMIT_3D:
		gpu_ctx_submit(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
		gpu_res_create_blob(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB:
		gpu_res_map(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB:
		gpu_res_unmap(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_UNREF:
		gpu_res_unref(g, req);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
	case VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING:
		gpu_res_back(g, req);
		break;
	case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
	case VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE:
		gpu_ctx_attach(g, req, req->hdr.type == VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE);
		break;
	case VIRTIO_GPU_CMD_CTX_CREATE:
		gpu_ctx_create(g, req);
		break;
	case VIRTIO_GPU_CMD_CTX_DESTROY:
		gpu_ctx_destroy(g, req);
		break;
	case VIRTIO_GPU_CMD_GET_DISPLAY_INFO:
		get_display_info(g, req);
		break;
	case VIRTIO_GPU_CMD_GET_CAPSET_INFO:
		get_capset_info(g, req);
		break;
	case VIRTIO_GPU_CMD_GET_CAPSET:
		get_capset(g, req);
		break;
	default:
		refuse(g, req);
		break;
	}
}

static void accept_chain(struct gpu *g, struct gpu_req *req)
{
	const uint32_t timeline = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;

	list_del(&req->node);
	req->is_answered = false;
	req->res_id = 0;
	if (cur_read(&req->chain.rd, &req->hdr, sizeof(req->hdr)) < 0) {
		log_guest(GPU, "the driver sent a command without a header");
		memset(&req->hdr, 0, sizeof(req->hdr));
		gpu_answer(g, req, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		return;
	}
	if ((req->hdr.flags & timeline) == VIRTIO_GPU_FLAG_FENCE)
		list_add_tail(&g->legacy, &req->legacy);
	dispatch(g, req);
}

/* No screens, so no cursors: the commands have no answer that could say so. */
static int drop_cursor(struct vq *vq)
{
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c)) > 0)
		vq_push(vq, &c, 0);
	return r;
}

static void gpu_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct gpu *g = container_of(dev, struct gpu, dev);
	int r = 0;

	if (vq->index == QUEUE_CURSOR)
		r = drop_cursor(vq);
	while (vq->index == QUEUE_CONTROL && !list_empty(&g->unused)) {
		struct gpu_req *req = container_of(g->unused.next, struct gpu_req, node);

		r = vq_pop(vq, &req->chain);
		if (r <= 0)
			break;
		accept_chain(g, req);
	}
	if (r < 0)
		virtio_needs_reset(dev, r);
	vq_signal(vq);
}

static void free_requests(struct gpu *g)
{
	list_init(&g->legacy);
	list_init(&g->unused);
	for (unsigned i = 0; i < GPU_RING; i++) {
		list_init(&g->reqs[i].node);
		list_init(&g->reqs[i].legacy);
		list_add_tail(&g->unused, &g->reqs[i].node);
	}
}

static void gpu_reset(struct virtio_dev *dev)
{
	struct gpu *g = container_of(dev, struct gpu, dev);

	gpu_ctx_reset(g);
	gpu_res_reset(g);
	free_requests(g);
}

static void gpu_config_write(struct virtio_dev *dev UNUSED, uint32_t off UNUSED,
			     const void *data UNUSED, uint32_t len UNUSED)
{
	/* events_clear: there are no events. */
}

static const struct virtio_ops gpu_ops = {
	.on_notify = gpu_on_notify,
	.reset = gpu_reset,
	.config_write = gpu_config_write,
};

static struct gpu_limits with_defaults(const struct gpu_limits *l)
{
	return (struct gpu_limits){
		.memory = l->memory ? l->memory : GPU_MAX_MEMORY,
		.contexts = l->contexts ? l->contexts : GPU_MAX_CONTEXTS,
		.resources = l->resources ? l->resources : GPU_MAX_RESOURCES,
	};
}

int gpu_create(const struct gpu_config *cfg, struct loop *loop, struct gpu **out)
{
	static const struct vq_conf queues[QUEUES] = {
		/* Linux puts one descriptor for each page of a submission into an indirect table.
		 */
		[QUEUE_CONTROL] = { .size_max = GPU_RING,
				    .chains_max = GPU_RING,
				    .links_max = VQ_LINKS_MAX,
				    .drops_long = true },
		[QUEUE_CURSOR] = { .size_max = CURSOR_RING },
	};
	const struct virtio_gpu_config config = { .num_scanouts = 0, .num_capsets = 1 };
	const struct virtio_desc desc = {
		.ops = &gpu_ops,
		.name = "gpu",
		.type = VIRTIO_ID_GPU,
		.features = VIRTIO_BIT(VIRTIO_GPU_F_VIRGL) |
			    VIRTIO_BIT(VIRTIO_GPU_F_RESOURCE_BLOB) |
			    VIRTIO_BIT(VIRTIO_GPU_F_CONTEXT_INIT),
		.queues = queues,
		.n_queues = QUEUES,
		.config = &config,
		.config_len = sizeof(config),
	};
	AUTO_FREE struct gpu *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->cfg = *cfg;
	g->cfg.limits = with_defaults(&cfg->limits);
	list_init(&g->ctxs);
	list_init(&g->leaving);
	for (unsigned i = 0; i < GPU_RES_BUCKET; i++)
		list_init(&g->res[i]);
	free_requests(g);
	if (cfg->window) {
		g->maps = calloc(cfg->window->maps_max, sizeof(*g->maps));
		if (!g->maps)
			return -ENOMEM;
	}

	int r = virtio_dev_init(&g->dev, &desc, loop);
	if (r < 0) {
		free(g->maps);
		return r;
	}
	if (cfg->window)
		g->dev.shm[GPU_SHM_HOST_VISIBLE].len = cfg->window->len;
	*out = take(&g);
	return 0;
}

void gpu_destroy(struct gpu *g)
{
	if (!g)
		return;
	virtio_dev_fini(&g->dev);
	free(g->maps);
	free(g);
}

struct virtio_dev *gpu_dev(struct gpu *g)
{
	return &g->dev;
}
