// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-console: see virtio/console.h.
 *
 * What the device has to say on the control queue is kept as a set of flags per port rather than as
 * a queue of messages: it cannot grow, and whatever the driver does it hears the present state once
 * it offers buffers.
 */
#include "virtio/console.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#include "host/loop.h"
#include "util/log.h"
#include "virtio/virtio_dev.h"

#define CHUNK      2048              /* bytes moved at a time */
#define OUTPUT_MAX ((size_t)4 << 20) /* bytes of one chain; Linux sends less */

enum {
	QUEUE_RX0,
	QUEUE_TX0,
	QUEUE_CONTROL_RX, /* device to driver */
	QUEUE_CONTROL_TX,
	QUEUE_RX1,
	QUEUES_MAX = 2 + 2 * CONSOLE_PORTS_MAX,
};

/* Messages that are due, in the order in which they are sent. */
enum {
	DUE_ADD = 1 << 0,
	DUE_CONSOLE = 1 << 1,
	DUE_NAME = 1 << 2,
	DUE_SIZE = 1 << 3,
	DUE_OPEN = 1 << 4,
};

struct port {
	struct console_port_conf conf;
	unsigned due;
	bool is_open; /* the guest reads; before, its end would drop what we send */
	bool is_at_end;
	uint16_t cols, rows;
	struct loop_fd in;
	struct virtio_console *c;
};

struct virtio_console {
	struct virtio_dev dev;
	struct port port[CONSOLE_PORTS_MAX];
	unsigned n_ports;
};

static bool is_multiport(const struct virtio_console *c)
{
	return virtio_has(&c->dev, VIRTIO_CONSOLE_F_MULTIPORT);
}

static unsigned rx_queue(unsigned port)
{
	return port == 0 ? QUEUE_RX0 : QUEUE_RX1 + 2 * (port - 1);
}

/* The port of a data queue. */
static unsigned port_of(unsigned queue)
{
	return queue < QUEUE_CONTROL_RX ? 0 : (queue - QUEUE_RX1) / 2 + 1;
}

static void broke(struct virtio_console *c, int r)
{
	if (r < 0)
		virtio_needs_reset(&c->dev, r);
}

/* Writes one control message.  Return: 1 if it was sent, 0 without a buffer, or -EPROTO */
static int send_control(struct virtio_console *c, unsigned port, uint16_t event, uint16_t value,
			const void *tail, size_t len)
{
	struct virtio_console_control m = { .id = port, .event = event, .value = value };
	struct vq *vq = &c->dev.vqs[QUEUE_CONTROL_RX];
	struct vq_chain chain;
	int r = vq_pop(vq, &chain);

	if (r <= 0)
		return r;
	if (cur_write(&chain.wr, &m, sizeof(m)) < 0 || cur_write(&chain.wr, tail, len) < 0)
		return -EPROTO;
	vq_push(vq, &chain, (uint32_t)(sizeof(m) + len));
	return 1;
}

/* Sends the first of a port's due messages.  Return: as send_control() */
static int send_due(struct virtio_console *c, unsigned n, unsigned due)
{
	const struct port *p = &c->port[n];
	/* Linux has rows first here, unlike 5.3.6.2 and its own config space. */
	const uint16_t size[2] = { p->rows, p->cols };

	switch (due) {
	case DUE_ADD:
		return send_control(c, n, VIRTIO_CONSOLE_PORT_ADD, 1, NULL, 0);
	case DUE_CONSOLE:
		return send_control(c, n, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL, 0);
	case DUE_NAME:
		return send_control(c, n, VIRTIO_CONSOLE_PORT_NAME, 1, p->conf.name,
				    strlen(p->conf.name));
	case DUE_SIZE:
		return send_control(c, n, VIRTIO_CONSOLE_RESIZE, 0, size, sizeof(size));
	default:
		return send_control(c, n, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL, 0);
	}
}

static void flush_control(struct virtio_console *c)
{
	int r = 1;

	for (unsigned n = 0; n < c->n_ports && r > 0; n++) {
		struct port *p = &c->port[n];

		while (p->due && r > 0) {
			unsigned due = p->due & -p->due;

			r = send_due(c, n, due);
			if (r > 0)
				p->due &= ~due;
		}
	}
	broke(c, r);
	vq_signal(&c->dev.vqs[QUEUE_CONTROL_RX]);
}

static void watch(struct port *p, bool on)
{
	if (!on)
		loop_del(&p->in);
	else if (!p->in.loop && p->conf.in_fd >= 0 && !p->is_at_end &&
		 loop_add(p->c->dev.loop, &p->in, LOOP_READ) < 0)
		log_warn(CONSOLE, "input cannot be watched: the guest gets none");
}

/* Moves input into buffers of the guest; stops watching while there are none. */
static void on_input(struct loop_fd *src, unsigned events UNUSED)
{
	struct port *p = container_of(src, struct port, in);
	struct virtio_console *c = p->c;
	struct vq *vq = &c->dev.vqs[rx_queue((unsigned)(p - c->port))];
	struct vq_chain chain;
	uint8_t buf[CHUNK];
	int r = vq_pop(vq, &chain);

	if (r <= 0) {
		watch(p, false);
		broke(c, r);
		return;
	}
	size_t room = cur_left(&chain.wr);
	/* syscall: read */
	ssize_t n = read(src->fd, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		vq_unpop(vq, &chain);
		return;
	}
	if (n <= 0 && room > 0) {
		vq_unpop(vq, &chain);
		p->is_at_end = true;
		watch(p, false);
		return;
	}
	if (cur_write(&chain.wr, buf, (size_t)n) < 0)
		n = 0;
	vq_push(vq, &chain, (uint32_t)n);
	vq_signal(vq);
}

static void take_output(struct virtio_console *c, struct vq *vq)
{
	const struct port *p = &c->port[port_of(vq->index)];
	uint8_t buf[CHUNK];
	struct vq_chain chain;
	int r;

	while ((r = vq_pop(vq, &chain)) > 0) {
		struct cur text;
		size_t left;

		cur_split(&chain.rd, OUTPUT_MAX, &text);
		while ((left = cur_left(&text)) > 0) {
			size_t n = left < sizeof(buf) ? left : sizeof(buf);

			if (cur_read(&text, buf, n) < 0)
				break;
			if (p->conf.output)
				p->conf.output(p->conf.arg, buf, n);
		}
		vq_push(vq, &chain, 0);
	}
	broke(c, r);
	vq_signal(vq);
}

/* Unknown events and ports are ignored: they change nothing (5.3.6.2). */
static void on_control(struct virtio_console *c, const struct virtio_console_control *m)
{
	if (m->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned n = 0; n < c->n_ports && m->value; n++)
			c->port[n].due |= DUE_ADD;
		return;
	}
	if (m->id >= c->n_ports)
		return;

	struct port *p = &c->port[m->id];
	if (m->event == VIRTIO_CONSOLE_PORT_READY && m->value) {
		p->due |= DUE_OPEN;
		if (p->conf.is_console)
			p->due |= DUE_CONSOLE;
		if (p->conf.name)
			p->due |= DUE_NAME;
		if (p->conf.is_console && p->cols)
			p->due |= DUE_SIZE;
	} else if (m->event == VIRTIO_CONSOLE_PORT_OPEN) {
		p->is_open = m->value;
		watch(p, p->is_open);
	}
}

static void take_control(struct virtio_console *c)
{
	struct vq *vq = &c->dev.vqs[QUEUE_CONTROL_TX];
	struct vq_chain chain;
	int r;

	while ((r = vq_pop(vq, &chain)) > 0) {
		struct virtio_console_control m;

		if (cur_read(&chain.rd, &m, sizeof(m)) == 0)
			on_control(c, &m);
		vq_push(vq, &chain, 0);
	}
	broke(c, r);
	vq_signal(vq);
	flush_control(c);
}

static void console_on_notify(struct virtio_dev *dev, struct vq *vq)
{
	struct virtio_console *c = container_of(dev, struct virtio_console, dev);

	if (vq->index >= QUEUE_CONTROL_RX && !is_multiport(c))
		return;
	if (vq->index == QUEUE_CONTROL_RX)
		flush_control(c);
	else if (vq->index == QUEUE_CONTROL_TX)
		take_control(c);
	else if (vq->index & 1)
		take_output(c, vq);
	else if (c->port[port_of(vq->index)].is_open || !is_multiport(c))
		watch(&c->port[port_of(vq->index)], true);
}

static void console_reset(struct virtio_dev *dev)
{
	struct virtio_console *c = container_of(dev, struct virtio_console, dev);

	for (unsigned n = 0; n < c->n_ports; n++) {
		watch(&c->port[n], false);
		c->port[n].due = 0;
		c->port[n].is_open = false;
	}
}

static const struct virtio_ops console_ops = {
	.on_notify = console_on_notify,
	.reset = console_reset,
};

int virtio_console_create(const struct console_port_conf *ports, unsigned n, struct loop *loop,
			  struct virtio_console **out)
{
	struct vq_conf queues[QUEUES_MAX];
	struct virtio_console_config config = { .max_nr_ports = n };

	if (n == 0 || n > CONSOLE_PORTS_MAX)
		return -EINVAL;
	for (unsigned q = 0; q < QUEUES_MAX; q++)
		queues[q] = (struct vq_conf){ .size_max = 64 };

	AUTO_FREE struct virtio_console *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	const struct virtio_desc desc = {
		.ops = &console_ops,
		.name = "console",
		.type = VIRTIO_ID_CONSOLE,
		.features =
			VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT) | VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE),
		.queues = queues,
		.n_queues = 2 + 2 * n,
		.config = &config,
		.config_len = sizeof(config),
	};
	int r = virtio_dev_init(&c->dev, &desc, loop);
	if (r < 0)
		return r;
	c->n_ports = n;
	for (unsigned k = 0; k < n; k++) {
		c->port[k] = (struct port){ .conf = ports[k], .c = c };
		c->port[k].in = (struct loop_fd){ .fd = ports[k].in_fd, .fn = on_input };
	}
	*out = take(&c);
	return 0;
}

void virtio_console_destroy(struct virtio_console *c)
{
	if (!c)
		return;
	virtio_dev_fini(&c->dev);
	free(c);
}

void virtio_console_resize(struct virtio_console *c, unsigned port, uint16_t cols, uint16_t rows)
{
	struct port *p = &c->port[port];
	const uint16_t size[2] = { cols, rows };

	p->cols = cols;
	p->rows = rows;
	/* Config space has the size of port 0, for drivers that know of no others (5.3.4). */
	if (port == 0)
		virtio_config_update(&c->dev, 0, size, sizeof(size));
	if (c->dev.is_running && is_multiport(c)) {
		p->due |= DUE_SIZE;
		flush_control(c);
	}
}

struct virtio_dev *virtio_console_dev(struct virtio_console *c)
{
	return &c->dev;
}
