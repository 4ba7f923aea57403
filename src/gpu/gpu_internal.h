/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the device share.  gpu.c: queues, answers, fences without a timeline; ctx.c:
 * contexts and what is said to their renderers; res.c: resources and their places in the window.
 * All of it belongs to the device's thread.
 */
#ifndef PECTEN_GPU_GPU_INTERNAL_H
#define PECTEN_GPU_GPU_INTERNAL_H

#include <stdbool.h>

#include <linux/virtio_gpu.h>

#include "gpu/gpu.h"
#include "host/loop.h"
#include "mem/window.h"
#include "render/ctx_msg.h"
#include "util/list.h"
#include "virtio/virtio_dev.h"

#define GPU_RING       VQ_SIZE_MAX /* each fence that is waited for holds an entry */
#define GPU_RES_BUCKET 256         /* lists in the table of resources */

struct gpu_ctx;
struct gpu_res;

/* One command of the driver, from vq_pop() to vq_push(). */
struct gpu_req {
	struct list node;   /* unused ones; or one of the lists of a context or a resource */
	struct list legacy; /* gpu's; fences of the device's own timeline */
	struct vq_chain chain;
	struct virtio_gpu_ctrl_hdr hdr; /* as it was sent */
	bool is_answered;
	uint32_t written; /* bytes of the answer */

	/* Where it stands; which of these count depends on the command. */
	uint32_t res_id;  /* 0: not known yet */
	uint64_t id;      /* in messages */
	uint32_t left;    /* SUBMIT_3D: bytes not yet sent */
	uint64_t map_off; /* RESOURCE_MAP_BLOB */
};

struct gpu_span {
	uint64_t off;
	uint64_t len;
};

struct gpu {
	struct virtio_dev dev;
	struct gpu_config cfg;

	struct list ctxs;    /* of the driver */
	struct list leaving; /* destroyed by it; their renderers have not closed yet */
	uint32_t n_ctxs;     /* both */
	uint64_t serials;    /* contexts so far */

	struct list res[GPU_RES_BUCKET];
	uint32_t n_res;
	uint64_t memory;       /* bytes of blobs */
	struct gpu_span *maps; /* live places in the window, by address */
	uint32_t n_maps;

	struct list legacy; /* requests with fences that have no timeline, in order */
	struct list unused;
	struct gpu_req reqs[GPU_RING];
};

/*
 * gpu.c
 */

/**
 * gpu_answer() - the answer to a request is known
 * @req:	in no list any more; not to be used any more
 * @type:	VIRTIO_GPU_RESP_
 * @data:	what follows the header; NULL for nothing
 *
 * The chain goes back now, or when it is its fence's turn.
 */
void gpu_answer_data(struct gpu *g, struct gpu_req *req, uint32_t type, const void *data,
		     size_t len);

static inline void gpu_answer(struct gpu *g, struct gpu_req *req, uint32_t type)
{
	gpu_answer_data(g, req, type, NULL, 0);
}

/* The error of the virtio specification for one of ours. */
uint32_t gpu_error(int r);

/* Interrupts the driver if chains have gone back: at the end of each event. */
void gpu_signal(struct gpu *g);

/*
 * ctx.c: each of the four answers the request, sooner or later
 */
void gpu_ctx_create(struct gpu *g, struct gpu_req *req);
void gpu_ctx_destroy(struct gpu *g, struct gpu_req *req);
void gpu_ctx_attach(struct gpu *g, struct gpu_req *req, bool is_attach);
void gpu_ctx_submit(struct gpu *g, struct gpu_req *req);

/* NULL if the driver has no such context, or if it is lost. */
struct gpu_ctx *gpu_ctx_find(struct gpu *g, uint32_t id);

/* Number that no other context of this device has or had. */
uint64_t gpu_ctx_serial(const struct gpu_ctx *ctx);

/* Asks for a blob; gpu_res_created() follows. */
void gpu_ctx_create_blob(struct gpu_ctx *ctx, struct gpu_req *req, uint64_t blob_id, uint64_t size,
			 uint32_t flags);

/* Has the context forget a resource; harmless if there is no such context any more. */
void gpu_ctx_unref(struct gpu *g, uint64_t serial, uint32_t res_id);

/* All contexts end, nothing is answered. */
void gpu_ctx_reset(struct gpu *g);

/*
 * res.c: as above
 */
void gpu_res_create_blob(struct gpu *g, struct gpu_req *req);
void gpu_res_unref(struct gpu *g, struct gpu_req *req);
void gpu_res_map(struct gpu *g, struct gpu_req *req);
void gpu_res_unmap(struct gpu *g, struct gpu_req *req);
void gpu_res_back(struct gpu *g, struct gpu_req *req); /* and take it back */

/**
 * gpu_res_created() - a renderer's answer to gpu_ctx_create_blob()
 * @m:		->code may be an error
 * @fd:		taken; -1 with an error
 *
 * Return: 0, or -EPROTO if the renderer sent something a sound one does not
 */
int gpu_res_created(struct gpu *g, struct gpu_req *req, const struct ctx_msg *m, int fd) MUST_CHECK;

/**
 * gpu_res_share() - note that a context is going to use another one's blob
 * @m:		filled for CTX_MSG_IMPORT
 * @fd:		out: borrowed descriptor to send along; -1 if nothing needs to be sent
 *
 * Return: 0; -ENOENT; -EAGAIN if @req has been queued to be tried again; -ENOMEM
 */
int gpu_res_share(struct gpu *g, struct gpu_req *req, uint64_t serial, struct ctx_msg *m,
		  int *fd) MUST_CHECK;

/* Undoes gpu_res_share(); Return: whether there was something to undo */
bool gpu_res_unshare(struct gpu *g, uint32_t res_id, uint64_t serial);

/**
 * gpu_res_ring() - note where a context's ring has its status
 * @m:		CTX_MSG_RING
 *
 * Return: 0, or -EPROTO if the renderer sent something a sound one does not
 */
int gpu_res_ring(struct gpu *g, uint64_t serial, const struct ctx_msg *m) MUST_CHECK;

/* Tells the guest, by the status of each ring, that nobody serves a context's rings any more. */
void gpu_res_mark_rings(struct gpu *g, uint64_t serial);

/* A context is gone. */
void gpu_res_forget_ctx(struct gpu *g, uint64_t serial);

/* All resources go, nothing is answered. */
void gpu_res_reset(struct gpu *g);

#endif
