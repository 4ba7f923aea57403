// SPDX-License-Identifier: Apache-2.0
/* virtio-blk: see virtio/blk.h. */
#include "virtio/blk.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "disk/disk.h"
#include "virtio/virtio_dev.h"

#define RING       256
#define RANGES_MAX 16                  /* ranges of one DISCARD or WRITE_ZEROES */
#define RANGE_MAX  (UINT32_C(1) << 21) /* sectors of one of them: 1 GiB */
#define ZEROES_MAX (UINT32_C(1) << 16) /* where they may have to be written one by one */

struct virtio_blk {
	struct virtio_dev dev;
	struct disk *disk;
	char serial[VIRTIO_BLK_SERIAL];
};

static uint8_t status_of(int r)
{
	switch (r) {
	case 0:
		return VIRTIO_BLK_S_OK;
	case -EOPNOTSUPP:
		return VIRTIO_BLK_S_UNSUPP;
	default:
		return VIRTIO_BLK_S_IOERR;
	}
}

/* Ranges to discard or to zero (5.2.6.2): all are checked by the disk, each before it is changed.
 */
static int change_ranges(struct virtio_blk *b, struct cur *rd, bool zeroes)
{
	struct virtio_blk_discard_write_zeroes range;
	size_t n = cur_left(rd) / sizeof(range);

	if (cur_left(rd) % sizeof(range) != 0 || n == 0 || n > RANGES_MAX)
		return -EINVAL;
	while (n-- > 0) {
		if (cur_read(rd, &range, sizeof(range)) < 0)
			return -EINVAL;

		bool unmaps = range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
		if (range.flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP ||
		    (unmaps && !zeroes))
			return -EOPNOTSUPP;
		if (range.num_sectors > (zeroes ? ZEROES_MAX : RANGE_MAX))
			return -EINVAL;
		int r = zeroes ? disk_zero(b->disk, range.sector, range.num_sectors, unmaps)
			       : disk_discard(b->disk, range.sector, range.num_sectors);
		if (r < 0)
			return r;
	}
	return 0;
}

static int give_serial(struct virtio_blk *b, struct cur *data)
{
	return cur_left(data) < sizeof(b->serial) ? -EINVAL
						  : cur_write(data, b->serial, sizeof(b->serial));
}

/**
 * serve() - carry out one request (virtio 1.2, 5.2.6)
 * @c:		header and data to read, then data and status to write
 * @written:	bytes the driver may trust, counted from the first one (2.7.8.2)
 *
 * A failing disk is the driver's business: it is told in the status byte.
 *
 * Return: 0, or -EPROTO if the chain cannot hold a request
 */
static int serve(struct virtio_blk *b, struct vq_chain *c, uint32_t *written)
{
	struct virtio_blk_outhdr hdr;
	struct cur data;
	int r;

	*written = 0;
	if (cur_left(&c->wr) < 1 || cur_read(&c->rd, &hdr, sizeof(hdr)) < 0)
		return -EPROTO;

	size_t room = cur_left(&c->wr) - 1;
	cur_split(&c->wr, room, &data); /* leaves the status byte in c->wr */
	switch (hdr.type) {
	case VIRTIO_BLK_T_IN:
		r = disk_readv(b->disk, hdr.sector, &data);
		break;
	case VIRTIO_BLK_T_OUT:
		r = disk_writev(b->disk, hdr.sector, &c->rd);
		break;
	case VIRTIO_BLK_T_FLUSH:
		r = disk_flush(b->disk);
		break;
	case VIRTIO_BLK_T_GET_ID:
		r = give_serial(b, &data);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		r = change_ranges(b, &c->rd, hdr.type == VIRTIO_BLK_T_WRITE_ZEROES);
		break;
	default:
		r = -EOPNOTSUPP;
	}

	uint8_t status = status_of(r);
	/* Data that is not all there leaves a gap before the status byte. */
	if (cur_left(&data) == 0)
		*written = (uint32_t)room + 1;
	return cur_write(&c->wr, &status, 1);
}

static void blk_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);
	struct vq_chain c;
	uint32_t written;
	int r;

	while ((r = vq_pop(vq, &c)) > 0) {
		r = serve(b, &c, &written);
		if (r < 0)
			break;
		vq_push(vq, &c, written);
	}
	if (r < 0)
		virtio_needs_reset(dev, r);
	vq_signal(vq);
}

/* Requests end before the handler returns, so nothing is in flight here. */
static void blk_reset(struct virtio_dev *dev UNUSED)
{
}

static const struct virtio_ops blk_ops = {
	.on_notify = blk_on_notify,
	.reset = blk_reset,
};

int virtio_blk_create(struct disk *disk, const char *serial, struct loop *loop,
		      struct virtio_blk **out)
{
	static const struct vq_conf queue = { .size_max = RING };
	const struct virtio_blk_config config = {
		.capacity = disk_sectors(disk),
		.seg_max = RING - 2,
		.blk_size = DISK_SECTOR,
		.max_discard_sectors = RANGE_MAX,
		.max_discard_seg = RANGES_MAX,
		.discard_sector_alignment = 4096 / DISK_SECTOR,
		.max_write_zeroes_sectors = ZEROES_MAX,
		.max_write_zeroes_seg = RANGES_MAX,
		.write_zeroes_may_unmap = 1,
	};
	uint64_t features = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
			    VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);

	if (disk_is_ro(disk))
		features |= VIRTIO_BIT(VIRTIO_BLK_F_RO);
	else
		features |=
			VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);

	AUTO_FREE struct virtio_blk *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	const struct virtio_desc desc = {
		.ops = &blk_ops,
		.name = "blk",
		.type = VIRTIO_ID_BLOCK,
		.features = features,
		.queues = &queue,
		.n_queues = 1,
		.config = &config,
		.config_len = sizeof(config),
	};
	int r = virtio_dev_init(&b->dev, &desc, loop);
	if (r < 0)
		return r;
	memcpy(b->serial, serial, strnlen(serial, sizeof(b->serial)));
	b->disk = disk;
	*out = take(&b);
	return 0;
}

void virtio_blk_destroy(struct virtio_blk *b)
{
	if (!b)
		return;
	virtio_dev_fini(&b->dev);
	disk_close(b->disk);
	free(b);
}

struct virtio_dev *virtio_blk_dev(struct virtio_blk *b)
{
	return &b->dev;
}
