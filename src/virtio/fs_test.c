// SPDX-License-Identifier: Apache-2.0
/* FUSE requests through the queues: what the device adds to the server, and hostile chains. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/virtio_fs.h>

#include <cmocka.h>

#include "fs/fs.h"
#include "harness/driver.h"
#include "virtio/fs.h"

enum { HIPRIO, REQUEST };

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct fs *fs;
	struct virtio_fs *dev;
	char dir[64];
	uint64_t unique;
	bool has_thread;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct err e;

	fd_must(x != NULL);
	(void)snprintf(x->dir, sizeof(x->dir), "/tmp/pecten-vfs-XXXXXX");
	fd_must(mkdtemp(x->dir) != NULL);
	fd_must(fs_create(&(struct fs_config){ 0 }, &x->fs, &e) == 0);
	fd_must(fs_add_share(x->fs,
			     &(struct fs_share){ .at = "share", .host_path = x->dir, .fd = -1 },
			     &e) == 0);
	fd_must(fs_start(x->fs, &e) == 0);
	fd_must(loop_create(&x->loop) == 0);
	fd_must(virtio_fs_create("pecten", x->fs, x->loop, &x->dev) == 0);
	fd_init(&x->f);
	fd_must(fd_start(&x->f, virtio_fs_dev(x->dev), 0) == 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	char cmd[128];

	fd_fini(&x->f);
	loop_thread_stop(x->loop);
	virtio_fs_destroy(x->dev);
	loop_destroy(x->loop);
	fs_destroy(x->fs);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", x->dir);
	fd_must(system(cmd) == 0);
	free(x);
	return 0;
}

/* Sends a request of two readable pieces; the answer is in @out. */
static void ask(struct fixture *x, uint32_t op, uint64_t node, const void *arg, size_t len,
		struct fuse_out_header *h, void *out, size_t room)
{
	struct fuse_in_header in = { .len = (uint32_t)(sizeof(in) + len),
				     .opcode = op,
				     .nodeid = node,
				     .unique = x->unique += 2 };
	struct fd_buf bufs[4] = { FD_RD(&in) };
	unsigned n = 1;
	uint32_t written;
	uint16_t head;

	if (len)
		bufs[n++] = (struct fd_buf){ (void *)(uintptr_t)arg, (uint32_t)len, false };
	bufs[n++] = FD_WR(h);
	if (room)
		bufs[n++] = FD_WRN(out, room);
	uint16_t id = fd_offer(&x->f, REQUEST, bufs, n);
	fd_kick(&x->f, REQUEST);
	assert_true(fd_used(&x->f, REQUEST, &head, &written));
	assert_int_equal(head, id);
	assert_int_equal(written, h->len);
	assert_int_equal(h->unique, in.unique);
}

static void begin(struct fixture *x)
{
	struct fuse_init_in in = { .major = 7, .minor = 38, .flags = FUSE_INIT_EXT };
	struct fuse_init_out out;
	struct fuse_out_header h;

	ask(x, FUSE_INIT, 0, &in, sizeof(in), &h, &out, sizeof(out));
	assert_int_equal(h.error, 0);
	assert_int_equal(out.major, 7);
	assert_int_equal(out.max_write, FS_MAX_WRITE);
}

static uint64_t lookup(struct fixture *x, uint64_t parent, const char *name)
{
	struct fuse_out_header h;
	struct fuse_entry_out e;

	ask(x, FUSE_LOOKUP, parent, name, strlen(name) + 1, &h, &e, sizeof(e));
	return h.error == 0 ? e.nodeid : 0;
}

static void config_has_tag_and_queues(void **state)
{
	struct fixture *x = *state;
	struct virtio_fs_config c;
	struct virtio_fs *d;

	(void)virtio_config_read(virtio_fs_dev(x->dev), 0, &c, sizeof(c));
	assert_string_equal((char *)c.tag, "pecten");
	assert_int_equal(c.num_request_queues, 1);
	assert_int_equal(virtio_fs_create("", x->fs, x->loop, &d), -EINVAL);
	assert_int_equal(
		virtio_fs_create("123456789012345678901234567890123456", x->fs, x->loop, &d),
		-EINVAL);
}

static void requests_are_answered(void **state)
{
	struct fixture *x = *state;
	struct fuse_out_header h;
	struct {
		struct fuse_create_in in;
		char name[4];
	} create = { { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 }, "new" };
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} made;

	begin(x);
	assert_int_equal(lookup(x, 1, "none"), 0);
	uint64_t share = lookup(x, 1, "share");
	assert_true(share != 0);
	ask(x, FUSE_CREATE, share, &create, sizeof(create), &h, &made, sizeof(made));
	assert_int_equal(h.error, 0);

	struct {
		struct fuse_write_in in;
		char data[5];
	} __attribute__((packed)) wr = { { .fh = made.o.fh, .size = 5 }, "hello" };
	struct fuse_write_out wo;
	ask(x, FUSE_WRITE, made.e.nodeid, &wr, sizeof(wr), &h, &wo, sizeof(wo));
	assert_int_equal(h.error, 0);
	assert_int_equal(wo.size, 5);

	struct fuse_read_in rd = { .fh = made.o.fh, .size = 100 };
	char back[100] = { 0 };
	ask(x, FUSE_READ, made.e.nodeid, &rd, sizeof(rd), &h, back, sizeof(back));
	assert_int_equal(h.error, 0);
	assert_string_equal(back, "hello");
	assert_int_equal(h.len, sizeof(h) + 5);

	/* FORGET has no reply, and comes through the other queue. */
	struct {
		struct fuse_in_header in;
		struct fuse_forget_in forget;
	} forget = { { sizeof(forget), FUSE_FORGET, 99, made.e.nodeid, 0, 0, 0, 0, 0 }, { 1 } };
	uint32_t written;
	uint16_t head;
	(void)fd_offer(&x->f, HIPRIO, (struct fd_buf[]){ FD_RD(&forget) }, 1);
	fd_kick(&x->f, HIPRIO);
	assert_true(fd_used(&x->f, HIPRIO, &head, &written));
	assert_int_equal(written, 0);
}

/* fsync() goes to a worker and comes back as a message to the loop. */
static void slow_requests_come_back_later(void **state)
{
	struct fixture *x = *state;
	struct fuse_out_header h;
	struct fuse_open_in oi = { 0 };
	struct fuse_open_out oo;

	begin(x);
	uint64_t share = lookup(x, 1, "share");
	ask(x, FUSE_OPENDIR, share, &oi, sizeof(oi), &h, &oo, sizeof(oo));
	assert_int_equal(h.error, 0);

	struct {
		struct fuse_in_header in;
		struct fuse_fsync_in f;
	} req = { { sizeof(req), FUSE_FSYNCDIR, 1234, share, 0, 0, 0, 0, 0 }, { .fh = oo.fh } };
	uint32_t written;
	uint16_t head;
	for (int n = 0; n < 10; n++)
		(void)fd_offer(&x->f, REQUEST, (struct fd_buf[]){ FD_RD(&req), FD_WR(&h) }, 2);
	fd_kick(&x->f, REQUEST);
	int got = 0;
	while (got < 10) {
		(void)poll(NULL, 0, 5); /* workers carry these out, on a busy disk in their time */
		fd_spin(x->loop);
		while (got < 10 && fd_used(&x->f, REQUEST, &head, &written)) {
			assert_int_equal(written, sizeof(h));
			assert_int_equal(h.error, 0);
			got++;
		}
	}

	/* A reset while some are under way: nothing of them is touched any more. */
	for (int n = 0; n < 10; n++)
		(void)fd_offer(&x->f, REQUEST, (struct fd_buf[]){ FD_RD(&req), FD_WR(&h) }, 2);
	fd_kick(&x->f, REQUEST);
	virtio_stop(virtio_fs_dev(x->dev));
	assert_int_equal(fd_start(&x->f, virtio_fs_dev(x->dev), 0), 0);
	begin(x);
	assert_true(lookup(x, 1, "share") != 0);
}

static void chains_that_hold_no_request_need_a_reset(void **state)
{
	struct fixture *x = *state;
	struct fuse_in_header in = { .len = sizeof(in), .opcode = FUSE_STATFS, .nodeid = 1 };
	struct fuse_out_header h;
	uint8_t little[8];
	uint32_t written;
	uint16_t head;

	/* clang-format off */
	struct {
		const char *why;
		struct fd_buf b[2];
		unsigned n;
	} const cases[] = {
		{ "shorter than a header", { FD_RD(&little), FD_WR(&h) }, 2 },
		{ "nothing to read", { FD_WR(&h) }, 1 },
		{ "no room for a header", { FD_RD(&in), FD_WR(&little) }, 2 },
		{ "no room at all", { FD_RD(&in) }, 1 },
	};
	/* clang-format on */
	memset(little, 0, sizeof(little));
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		print_message("%s\n", cases[n].why);
		(void)fd_offer(&x->f, REQUEST, cases[n].b, cases[n].n);
		fd_kick(&x->f, REQUEST);
		assert_true(fd_used(&x->f, REQUEST, &head, &written));
		assert_int_equal(written, 0);
		assert_true(virtio_fs_dev(x->dev)->needs_reset);
		virtio_stop(virtio_fs_dev(x->dev));
		assert_int_equal(fd_start(&x->f, virtio_fs_dev(x->dev), 0), 0);
		begin(x);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(config_has_tag_and_queues),
		T(requests_are_answered),
		T(slow_requests_come_back_later),
		T(chains_that_hold_no_request_need_a_reset),
	};

	return cmocka_run_group_tests_name("virtio-fs", tests, NULL, NULL);
}
