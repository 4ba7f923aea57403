/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a virtio-gpu device and the renderer process of one of its contexts, over the
 * socket that the renderer was given as its client (SOCK_SEQPACKET): each packet is a struct
 * ctx_msg, CTX_MSG_SUBMIT with commands behind it, some with a descriptor.
 *
 * From the device:
 *
 *	CTX_MSG_BEGIN		once, first; the context's name behind it
 *	CTX_MSG_SUBMIT		commands, and a fence behind them
 *	CTX_MSG_CREATE_BLOB	answered by CTX_MSG_BLOB
 *	CTX_MSG_IMPORT		with a descriptor; answered by CTX_MSG_IMPORTED
 *	CTX_MSG_UNREF
 *
 * From the renderer, besides the answers:
 *
 *	CTX_MSG_RETIRED		for each fence
 *	CTX_MSG_LOST		the context is fatal; once, at any time
 *	CTX_MSG_RING		where a ring's status is
 *
 * The renderer carries messages out in their order.  When the device has shut the socket down for
 * writing, it ends the context: all fences retire, then it closes the socket.  The device checks
 * every field it uses: a renderer that its guest has taken over may send anything.
 */
#ifndef PECTEN_RENDER_CTX_MSG_H
#define PECTEN_RENDER_CTX_MSG_H

#include <stdint.h>

#define CTX_DATA_MAX   (64U << 10) /* bytes behind one message */
#define CTX_SUBMIT_MAX (16U << 20) /* bytes of one submission, over all its messages */
#define CTX_NAME_MAX   64          /* bytes of a context's name */
#define CTX_TIMELINES  64U         /* values of ring_idx */

enum ctx_msg_type {
	CTX_MSG_BEGIN = 1,
	CTX_MSG_SUBMIT,
	CTX_MSG_CREATE_BLOB,
	CTX_MSG_IMPORT,
	CTX_MSG_UNREF,

	CTX_MSG_BLOB = 64,
	CTX_MSG_IMPORTED,
	CTX_MSG_RETIRED,
	CTX_MSG_LOST,
	CTX_MSG_RING,
};

/* Set in the status of a ring whose renderer is gone (VK_RING_STATUS_FATAL_BIT_MESA). */
#define CTX_RING_FATAL 2U

/* Of CTX_MSG_SUBMIT. */
#define CTX_MSG_MORE   1U /* the next message goes on with the same submission */
#define CTX_MSG_FENCED 2U /* a fence follows the commands: ->id on timeline ->ring_idx */

/* What a blob's descriptor is. */
enum ctx_blob_kind {
	CTX_BLOB_SHM = 1, /* sealed memfd */
	CTX_BLOB_DMABUF,
	CTX_BLOB_DRIVER, /* the file that the driver maps it from: its device's */
};

struct ctx_msg {
	uint32_t type;
	uint32_t flags;
	uint64_t id; /* fence; CREATE_BLOB, IMPORT: repeated in the answer */
	uint32_t ring_idx;
	int32_t code;        /* BLOB, IMPORTED, RETIRED: 0 or -errno */
	uint32_t res_id;     /* CREATE_BLOB, IMPORT, UNREF, RING */
	uint32_t blob_flags; /* CREATE_BLOB: as the driver gave them */
	uint32_t kind;       /* BLOB, IMPORT: enum ctx_blob_kind */
	uint32_t map_info;   /* BLOB: VIRTIO_GPU_MAP_CACHE_ */
	uint64_t blob_id;    /* CREATE_BLOB */
	uint64_t offset; /* bytes; BLOB, IMPORT: of the blob in its descriptor; RING: in the blob */
	uint64_t size;   /* bytes; BLOB: a multiple of the page size */
};

_Static_assert(sizeof(struct ctx_msg) == 64, "no padding on the wire");

#endif
