/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the window that QEMU fills: this test answers in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/front.h"
#include "host/fd.h"
#include "util/log.h"
#include "vhost/vhost_internal.h"
#include "vhost/window.h"

#define SHMID 1
#define PAGE  UINT64_C(4096)
#define LEN   (UINT64_C(1) << 30)

struct nothing {
	struct virtio_dev dev;
};

static void nothing_on_notify(struct virtio_dev *dev UNUSED, struct vq *vq UNUSED)
{
}

static void nothing_reset(struct virtio_dev *dev UNUSED)
{
}

static const struct virtio_ops nothing_ops = { .on_notify = nothing_on_notify,
					       .reset = nothing_reset };

struct fixture {
	struct front f;
	struct nothing n;
	struct vhost_window *window;
	struct window *w;
	int channel; /* QEMU's end */
};

struct wish {
	struct window_req req;
	unsigned answers;
	int result;
};

static void on_done(struct window_req *req, int result)
{
	struct wish *w = container_of(req, struct wish, req);

	w->answers++;
	w->result = result;
}

static struct wish make_wish(const struct fixture *t, uint64_t off, uint64_t len)
{
	return (struct wish){
		.req = { .off = off, .len = len, .fd = t->f.ram.fd, .done = on_done }
	};
}

static int set_up(void **state)
{
	static const struct vq_conf queue = { .size_max = 16 };
	const struct virtio_desc desc = {
		.ops = &nothing_ops, .name = "nothing", .type = 42, .queues = &queue, .n_queues = 1
	};
	struct fixture *t = calloc(1, sizeof(*t));
	int pair[2];

	log_set_level(LOG_OFF);
	assert_non_null(t);
	front_init(&t->f);
	assert_int_equal(vhost_window_create(SHMID, LEN, t->f.loop, &t->window), 0);
	t->w = vhost_window(t->window);
	assert_int_equal(virtio_dev_init(&t->n.dev, &desc, t->f.loop), 0);
	t->n.dev.shm[SHMID].len = LEN;
	front_add(&t->f, &t->n.dev, t->window);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	front_send(&t->f, VHOST_SET_BACKEND_REQ_FD, VHOST_VERSION, NULL, 0, pair[1]);
	(void)close(pair[1]);
	t->channel = pair[0];
	assert_int_equal(fd_set_nonblock(t->channel), 0);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *t = *state;

	front_fini(&t->f);
	virtio_dev_fini(&t->n.dev);
	vhost_window_destroy(t->window);
	loop_destroy(t->f.loop);
	fd_drop(&t->channel);
	free(t);
	return 0;
}

/* The next request on the channel. Return: its number, 0 if there is none */
static uint32_t next_request(struct fixture *t, struct vhost_shmem_map *m)
{
	struct vhost_hdr h;
	AUTO_FD fd = -1;
	unsigned n = 1;

	if (fd_recv(t->channel, &h, sizeof(h), &fd, &n) != (ssize_t)sizeof(h))
		return 0;
	assert_int_equal(h.flags, VHOST_VERSION | VHOST_NEED_REPLY);
	assert_int_equal(n, h.request == VHOST_BACKEND_SHMEM_MAP);
	*m = (struct vhost_shmem_map){ 0 };
	assert_true(h.size <= sizeof(*m));
	assert_int_equal(recv(t->channel, m, h.size, 0), h.size);
	return h.request;
}

static void answer(struct fixture *t, uint32_t request, uint64_t status)
{
	const struct {
		struct vhost_hdr h;
		uint32_t status[2];
	} m = { { request, VHOST_VERSION | VHOST_REPLY, 8 }, { (uint32_t)status, 0 } };

	assert_int_equal(send(t->channel, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
	front_spin(&t->f);
}

/* QEMU as it is: takes each request and agrees, but knows no object. Returns the requests. */
static unsigned agree(struct fixture *t)
{
	struct vhost_shmem_map m;
	unsigned n = 0;
	uint32_t r;

	while ((r = next_request(t, &m)) != 0) {
		answer(t, r, r == VHOST_BACKEND_OBJECT_LOOKUP);
		n++;
	}
	return n;
}

static void window_is_announced(void **state)
{
	struct fixture *t = *state;
	struct vhost_shmem_config c;

	assert_true(front_ask(&t->f, VHOST_GET_PROTOCOL_FEATURES) & VIRTIO_BIT(VHOST_PF_SHMEM));
	front_send(&t->f, VHOST_GET_SHMEM_CONFIG, VHOST_VERSION, NULL, 0, -1);
	assert_int_equal(front_recv(&t->f, NULL, &c, sizeof(c)), sizeof(c));
	assert_int_equal(c.n, 1);
	assert_int_equal(c.len[0], 0);
	assert_int_equal(c.len[SHMID], LEN);
}

static void mapping_is_done_when_the_guest_can_see_it(void **state)
{
	struct fixture *t = *state;
	struct wish w = make_wish(t, 2 * PAGE, 3 * PAGE);
	struct vhost_shmem_map m;

	w.req.fd_off = PAGE;
	t->w->ops->map(t->w, &w.req);
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_SHMEM_MAP);
	assert_int_equal(m.shmid, SHMID);
	assert_int_equal(m.shm_off, 2 * PAGE);
	assert_int_equal(m.len, 3 * PAGE);
	assert_int_equal(m.fd_off, PAGE);
	assert_int_equal(m.flags, VHOST_MAP_RW);
	answer(t, VHOST_BACKEND_SHMEM_MAP, 0);
	assert_int_equal(w.answers, 0); /* accepted, but not yet in the guest's memory map */
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_OBJECT_LOOKUP);
	answer(t, VHOST_BACKEND_OBJECT_LOOKUP, 1);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.result, 0);

	struct wish u = make_wish(t, 2 * PAGE, 3 * PAGE);
	t->w->ops->unmap(t->w, &u.req);
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_SHMEM_UNMAP);
	assert_int_equal(m.shm_off, 2 * PAGE);
	assert_int_equal(m.len, 3 * PAGE);
	answer(t, VHOST_BACKEND_SHMEM_UNMAP, 0);
	assert_int_equal(u.answers, 1);
	assert_int_equal(u.result, 0);
}

static void read_only_mapping_says_so(void **state)
{
	struct fixture *t = *state;
	struct wish w = make_wish(t, 0, PAGE);
	struct vhost_shmem_map m;

	w.req.is_ro = true;
	t->w->ops->map(t->w, &w.req);
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_SHMEM_MAP);
	assert_int_equal(m.flags, 0);
	answer(t, VHOST_BACKEND_SHMEM_MAP, 0);
	assert_int_equal(agree(t), 1);
	assert_int_equal(w.result, 0);
}

static void refusal_reaches_the_device(void **state)
{
	struct fixture *t = *state;
	struct wish w = make_wish(t, 0, PAGE);
	struct vhost_shmem_map m;

	t->w->ops->map(t->w, &w.req);
	(void)next_request(t, &m);
	answer(t, VHOST_BACKEND_SHMEM_MAP, 1);
	answer(t, VHOST_BACKEND_OBJECT_LOOKUP, 1);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.result, -EIO);
}

static void ranges_out_of_line_are_refused_at_once(void **state)
{
	static const struct {
		uint64_t off, len, fd_off;
	} rows[] = {
		{ 0, 0, 0 },          { 1, PAGE, 0 },     { 0, PAGE / 2, 0 },
		{ 0, PAGE, 1 },       { LEN, PAGE, 0 },   { LEN - PAGE, 2 * PAGE, 0 },
		{ 0, LEN + PAGE, 0 }, { PAGE, -PAGE, 0 },
	};
	struct fixture *t = *state;
	struct vhost_shmem_map m;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wish w = make_wish(t, rows[i].off, rows[i].len);

		w.req.fd_off = rows[i].fd_off;
		t->w->ops->map(t->w, &w.req);
		assert_int_equal(w.answers, 1);
		assert_int_equal(w.result, -EINVAL);
		assert_int_equal(next_request(t, &m), 0);
	}
}

static void mappings_past_the_limit_are_refused(void **state)
{
	static struct wish w[VHOST_WINDOW_MAPS + 1];
	struct fixture *t = *state;

	for (unsigned i = 0; i <= VHOST_WINDOW_MAPS; i++) {
		w[i] = make_wish(t, i * PAGE, PAGE);
		t->w->ops->map(t->w, &w[i].req);
	}
	assert_int_equal(w[VHOST_WINDOW_MAPS].answers, 1);
	assert_int_equal(w[VHOST_WINDOW_MAPS].result, -ENOMEM);
	assert_int_equal(agree(t), 2 * VHOST_WINDOW_MAPS);
	for (unsigned i = 0; i < VHOST_WINDOW_MAPS; i++) {
		assert_int_equal(w[i].answers, 1);
		assert_int_equal(w[i].result, 0);
	}

	/* One that goes makes room for another. */
	struct wish u = make_wish(t, 0, PAGE);
	t->w->ops->unmap(t->w, &u.req);
	assert_int_equal(agree(t), 1);
	w[0] = make_wish(t, 0, PAGE);
	t->w->ops->map(t->w, &w[0].req);
	assert_int_equal(agree(t), 2);
	assert_int_equal(w[0].result, 0);
}

static void reset_undoes_what_is_still_on_its_way(void **state)
{
	struct fixture *t = *state;
	struct wish old = make_wish(t, 0, PAGE);
	struct wish new = make_wish(t, 0, 2 * PAGE);
	struct vhost_shmem_map m;

	t->w->ops->map(t->w, &old.req);
	t->w->ops->reset(t->w);
	t->w->ops->map(t->w, &new.req);
	/* In this order, so that the new mapping never meets the old one. */
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_SHMEM_MAP);
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_OBJECT_LOOKUP);
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_SHMEM_UNMAP);
	assert_int_equal(m.len, PAGE);
	assert_int_equal(next_request(t, &m), VHOST_BACKEND_SHMEM_MAP);
	assert_int_equal(m.len, 2 * PAGE);
	answer(t, VHOST_BACKEND_SHMEM_MAP, 0);
	answer(t, VHOST_BACKEND_OBJECT_LOOKUP, 1);
	answer(t, VHOST_BACKEND_SHMEM_UNMAP, 1); /* QEMU had dropped it already */
	answer(t, VHOST_BACKEND_SHMEM_MAP, 0);
	answer(t, VHOST_BACKEND_OBJECT_LOOKUP, 1);
	assert_int_equal(old.answers, 0);
	assert_int_equal(new.answers, 1);
	assert_int_equal(new.result, 0);
}

static void huge_pages_never_reach_qemu(void **state)
{
	struct fixture *t = *state;
	struct wish w = make_wish(t, 0, PAGE);
	struct vhost_shmem_map m;

	w.req.fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (w.req.fd < 0) {
		print_message("no huge pages: %s\n", strerror(errno));
		skip();
	}
	t->w->ops->map(t->w, &w.req);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.result, -EINVAL);
	assert_int_equal(next_request(t, &m), 0);
	(void)close(w.req.fd);
}

static void answers_out_of_line_fail_what_is_under_way(void **state)
{
	struct fixture *t = *state;
	struct wish w = make_wish(t, 0, PAGE);
	struct wish later = make_wish(t, 0, PAGE);

	t->w->ops->map(t->w, &w.req);
	answer(t, VHOST_BACKEND_SHMEM_UNMAP, 0);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.result, -EIO);
	t->w->ops->map(t->w, &later.req);
	assert_int_equal(later.result, -ENOTSUP);
}

static void a_closed_channel_fails_what_is_under_way(void **state)
{
	struct fixture *t = *state;
	struct wish w = make_wish(t, 0, PAGE);

	t->w->ops->map(t->w, &w.req);
	fd_drop(&t->channel);
	front_spin(&t->f);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.result, -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(window_is_announced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(mapping_is_done_when_the_guest_can_see_it, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(read_only_mapping_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refusal_reaches_the_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ranges_out_of_line_are_refused_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(mappings_past_the_limit_are_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(reset_undoes_what_is_still_on_its_way, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(huge_pages_never_reach_qemu, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_out_of_line_fail_what_is_under_way, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_closed_channel_fails_what_is_under_way, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
