// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net: see virtio/net.h.  No offloads: the frames leave the machine as the guest made them,
 * and with an MTU of 64 KiB there is little to gain.
 */
#include "virtio/net.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "host/fd.h"
#include "net/stream.h"
#include "util/log.h"
#include "virtio/virtio_dev.h"

enum { QUEUE_RX, QUEUE_TX, QUEUES };

#define RING       256
#define MERGE_MAX  64 /* buffers that one frame may be spread over */
#define HEADER_LEN sizeof(struct virtio_net_hdr_mrg_rxbuf)

struct virtio_net {
	struct virtio_dev dev;
	struct net_stream *stream;
	struct vq_chain merge[MERGE_MAX]; /* of the frame being delivered */
};

static bool is_broken(const struct virtio_net *n)
{
	/* Relaxed: set by this very thread. */
	return !n->dev.is_running ||
	       atomic_load_explicit(&n->dev.needs_reset, memory_order_relaxed);
}

/*
 * Takes as many buffers as header and frame need.
 * Return: their number; 0 if there are not enough, and then none is taken; -EPROTO
 */
static int take_buffers(struct virtio_net *n, size_t need)
{
	struct vq *vq = &n->dev.vqs[QUEUE_RX];
	bool merges = virtio_has(&n->dev, VIRTIO_NET_F_MRG_RXBUF);
	size_t have = 0;
	int taken = 0;
	int r = 1;

	while (have < need && taken < (merges ? MERGE_MAX : 1)) {
		struct vq_chain *c = &n->merge[taken];

		r = vq_pop(vq, c);
		if (r <= 0)
			break;
		taken++;
		have += cur_left(&c->wr);
	}
	if (r >= 0 && have >= need)
		return taken;
	/* Too small for any frame of this size, and no more can be had: the frame is lost. */
	if (r > 0) {
		while (taken-- > 0)
			vq_push(vq, &n->merge[taken], 0);
		return -EMSGSIZE;
	}
	while (taken-- > 0)
		vq_unpop(vq, &n->merge[taken]);
	return r;
}

static int fill(struct virtio_net *n, int chains, const uint8_t *p, size_t len)
{
	struct virtio_net_hdr_mrg_rxbuf h = { .num_buffers = (uint16_t)chains };
	struct vq *vq = &n->dev.vqs[QUEUE_RX];

	for (int k = 0; k < chains; k++) {
		struct cur *wr = &n->merge[k].wr;
		uint32_t written = 0;

		if (k == 0) {
			if (cur_write(wr, &h, HEADER_LEN) < 0)
				return -EPROTO;
			written = HEADER_LEN;
		}
		size_t part = cur_left(wr) < len ? cur_left(wr) : len;
		if (cur_write(wr, p, part) < 0)
			return -EPROTO;
		p += part;
		len -= part;
		vq_push(vq, &n->merge[k], written + (uint32_t)part);
	}
	vq_signal(vq);
	return 0;
}

static bool on_frame(void *arg, const uint8_t *p, size_t len)
{
	struct virtio_net *n = arg;

	if (is_broken(n))
		return false;
	int r = take_buffers(n, HEADER_LEN + len);
	if (r == 0)
		return false;
	if (r == -EMSGSIZE) {
		log_guest(NET, "a frame of %zu bytes does not fit into the driver's buffers", len);
		return true;
	}
	if (r > 0)
		r = fill(n, r, p, len);
	if (r < 0)
		virtio_needs_reset(&n->dev, r);
	return r >= 0;
}

static void transmit(struct virtio_net *n)
{
	struct vq *vq = &n->dev.vqs[QUEUE_TX];
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c)) > 0) {
		struct cur frame = c.rd;

		/* What the header asks for was not offered; the frame is what counts. */
		if (cur_skip(&frame, HEADER_LEN) == 0 &&
		    net_stream_send(n->stream, &frame) == -EAGAIN) {
			vq_unpop(vq, &c);
			break;
		}
		vq_push(vq, &c, 0);
	}
	if (r < 0)
		virtio_needs_reset(&n->dev, r);
	vq_signal(vq);
}

static void on_writable(void *arg)
{
	struct virtio_net *n = arg;

	if (!is_broken(n))
		transmit(n);
}

static void on_closed(void *arg)
{
	struct virtio_net *n = arg;
	const uint16_t down = 0;

	log_warn(NET, "the network helper is gone: the guest's link is down");
	virtio_config_update(&n->dev, offsetof(struct virtio_net_config, status), &down,
			     sizeof(down));
}

static const struct net_stream_ops stream_ops = {
	.frame = on_frame,
	.writable = on_writable,
	.closed = on_closed,
};

static void net_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct virtio_net *n = container_of(dev, struct virtio_net, dev);

	if (vq->index == QUEUE_RX)
		net_stream_resume(n->stream);
	else
		transmit(n);
}

static void net_reset(struct virtio_dev *dev)
{
	net_stream_pause(container_of(dev, struct virtio_net, dev)->stream);
}

static const struct virtio_ops net_ops = {
	.on_notify = net_on_notify,
	.reset = net_reset,
};

int virtio_net_create(int fd_taken, const uint8_t mac[6], uint16_t mtu, struct loop *loop,
		      struct virtio_net **out)
{
	static const struct vq_conf queues[QUEUES] = {
		[QUEUE_RX] = { .size_max = RING, .chains_max = MERGE_MAX },
		[QUEUE_TX] = { .size_max = RING },
	};
	struct virtio_net_config config = {
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = 1,
		.mtu = mtu,
	};
	AUTO_FD fd = fd_taken;
	AUTO_FREE struct virtio_net *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	memcpy(config.mac, mac, sizeof(config.mac));
	const struct virtio_desc desc = {
		.ops = &net_ops,
		.name = "net",
		.type = VIRTIO_ID_NET,
		.features = VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
			    VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) |
			    (mtu ? VIRTIO_BIT(VIRTIO_NET_F_MTU) : 0),
		.queues = queues,
		.n_queues = QUEUES,
		.config = &config,
		.config_len = sizeof(config),
	};
	int r = net_stream_create(fd, loop, &stream_ops, n, &n->stream);
	if (r < 0)
		return r;
	(void)take_fd(&fd);
	r = virtio_dev_init(&n->dev, &desc, loop);
	if (r < 0) {
		net_stream_destroy(n->stream);
		return r;
	}
	*out = take(&n);
	return 0;
}

void virtio_net_destroy(struct virtio_net *n)
{
	if (!n)
		return;
	virtio_dev_fini(&n->dev);
	net_stream_destroy(n->stream);
	free(n);
}

struct virtio_dev *virtio_net_dev(struct virtio_net *n)
{
	return &n->dev;
}
