/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: made, mapped, shared, dropped. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/gpu_rig.h"
#include "host/fd.h"
#include "host/shm.h"
#include "host/thread.h"

static void blobs_are_made_mapped_and_dropped(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct virtio_gpu_resp_map_info info;
	struct ctx_msg m;
	struct answer a;
	void *blob;
	int fd;

	make_blob(x, peer, 1, 10, PAGE + 1, &fd);
	blob_map(x, 10, 4 * PAGE, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_MAP_INFO);
	memcpy(&info.map_info, a.data, sizeof(info) - sizeof(info.hdr));
	assert_int_equal(info.map_info, VIRTIO_GPU_MAP_CACHE_CACHED);
	assert_int_equal(info.padding, 0);
	assert_int_equal(shm_map(fd, (uint64_t)2 * PAGE, &blob), 0);
	((uint8_t *)x->window.host)[5 * PAGE] = 42;
	assert_int_equal(((uint8_t *)blob)[PAGE], 42);

	/* Attaching to the context that made it, as Linux does, changes nothing. */
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 1, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, 0);

	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 10),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 10),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_OK_MAP_INFO);
	/* Unreferenced while mapped: its place is free again. */
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_UNREF);
	assert_int_equal(m.res_id, 10);
	assert_int_equal(x->g->n_maps, 0);
	assert_int_equal(x->g->memory, 0);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10),
			 VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	shm_unmap(blob, (uint64_t)2 * PAGE);
	close(fd);
}

static void a_blob_that_cannot_be_made_is_an_error(void **state)
{
	static const struct {
		int code;
		uint32_t type;
	} cases[] = {
		{ -ENOMEM, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY },
		{ -EINVAL, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER },
		{ -EACCES, VIRTIO_GPU_RESP_ERR_UNSPEC },
		{ INT32_MIN, VIRTIO_GPU_RESP_ERR_UNSPEC },
	};
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;
	struct answer b;
	struct ctx_msg m;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		blob_create(x, 1, 10, PAGE, &a);
		blob_map(x, 10, 0, &b); /* waits for it */
		(void)hear(x, peer, &m, NULL, 0);
		say(x, peer,
		    &(struct ctx_msg){ .type = CTX_MSG_BLOB, .id = m.id, .code = cases[i].code },
		    -1);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, cases[i].type);
		assert_true(came_back(x, &b));
		assert_int_equal(b.h.type, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	}
	assert_int_equal(x->g->memory, 0);
	assert_int_equal(x->g->n_res, 0);
}

/* clang-format off */
static const struct bad_blob {
	const char *why;
	uint32_t type;
	uint32_t ctx, id, mem, flags, entries;
	uint64_t size;
} bad_blobs[] = {
	{ "no such context",    VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,  2, 11, 2, 1, 0, PAGE },
	{ "id 0",               VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, 1, 0,  2, 1, 0, PAGE },
	{ "id in use",          VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, 1, 10, 2, 1, 0, PAGE },
	{ "no kind",            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 0, 1, 0, PAGE },
	{ "guest and host",     VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 3, 1, 0, PAGE },
	{ "unknown kind",       VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 4, 1, 0, PAGE },
	{ "unknown flag",       VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 9, 0, PAGE },
	{ "no bytes",           VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 1, 0, 0 },
	{ "wraps when rounded", VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 1, 0, UINT64_MAX },
	{ "too large",          VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,       1, 11, 2, 1, 0, MEMORY },
	{ "entries",            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 2, 1, 1, PAGE },
	{ "missing entries",    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 1, 1, 9, PAGE },
	{ "entries for ever",   VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,   1, 11, 1, 1, UINT32_MAX, PAGE },
};
/* clang-format on */

static void bad_blobs_are_refused(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct ctx_msg m;
	struct answer a;

	make_blob(x, peer, 1, 10, PAGE, NULL);
	for (size_t i = 0; i < ARRAY_LEN(bad_blobs); i++) {
		const struct bad_blob *b = &bad_blobs[i];
		struct virtio_gpu_resource_create_blob c = {
			.hdr = HDR(RESOURCE_CREATE_BLOB, b->ctx),
			.resource_id = b->id,
			.blob_mem = b->mem,
			.blob_flags = b->flags,
			.nr_entries = b->entries,
			.size = b->size,
		};

		print_message("%s\n", b->why);
		assert_int_equal(ask(x, &c, sizeof(c), &a), b->type);
		(void)hear(x, peer, &m, NULL, 0);
		assert_int_equal(m.type, 0);
	}
	assert_int_equal(x->g->n_res, 1);
}

static void bad_places_are_refused(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);

	make_blob(x, peer, 1, 10, (uint64_t)2 * PAGE, NULL);
	make_blob(x, peer, 1, 11, (uint64_t)2 * PAGE, NULL);
	assert_int_equal(ask_map(x, 9, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(ask_map(x, 10, 1), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, WINDOW), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, WINDOW - PAGE), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, UINT64_MAX - PAGE + 1),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 10, WINDOW - 2 * PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_int_equal(ask_map(x, 10, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER); /* twice */
	assert_int_equal(ask_map(x, 11, WINDOW - 2 * PAGE), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 11, WINDOW - 3 * PAGE), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(ask_map(x, 11, WINDOW - 4 * PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_int_equal(x->g->n_maps, 2);
}

static void mappings_memory_and_resources_are_limited(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;

	for (uint32_t i = 0; i < 8; i++)
		make_blob(x, peer, 1, 10 + i, MEMORY / 8, NULL);
	blob_create(x, 1, 20, PAGE, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(ask_map(x, 10 + i, i * (MEMORY / 8)),
				 i < 4 ? VIRTIO_GPU_RESP_OK_MAP_INFO
				       : VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 12), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_map(x, 14, 2 * (MEMORY / 8)), VIRTIO_GPU_RESP_OK_MAP_INFO);
	blob_create(x, 1, 20, MEMORY / 8 + 1, &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	/* Storage of the guest costs us no memory, but it counts. */
	struct virtio_gpu_resource_create_blob c = { .hdr = HDR(RESOURCE_CREATE_BLOB, 0),
						     .resource_id = 30,
						     .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
						     .size = 2 * MEMORY };
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_OK_NODATA);
	c.resource_id = 31;
	assert_int_equal(ask(x, &c, sizeof(c), &a), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
}

static void commands_wait_for_their_resource(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	static struct answer a[5];

	/* As Linux sends them: nothing is waited for in between. */
	blob_create(x, 1, 10, PAGE, &a[0]);
	blob_map(x, 10, 0, &a[1]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, 10, &a[2]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a[3]);
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a[4]);
	assert_null(x->late.req);
	answer_blob(x, peer, PAGE, NULL);
	assert_true(came_back(x, &a[0]));
	assert_true(x->late.is_map);
	assert_false(came_back(x, &a[1]));
	complete(x, 0);
	assert_true(came_back(x, &a[1]));
	assert_int_equal(a[1].h.type, VIRTIO_GPU_RESP_OK_MAP_INFO);
	assert_false(x->late.is_map);
	complete(x, 0);
	assert_true(came_back(x, &a[2]));
	assert_true(came_back(x, &a[3]));
	assert_int_equal(a[3].h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_true(came_back(x, &a[4]));
	assert_int_equal(a[4].h.type, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void a_window_that_fails_is_an_error(void **state)
{
	struct fixture *x = *state;
	unsigned peer = begin(x, 1);
	struct answer a;

	make_blob(x, peer, 1, 10, PAGE, NULL);
	blob_map(x, 10, 0, &a);
	complete(x, -ENOMEM);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	blob_map(x, 10, 0, &a); /* its place is free */
	complete(x, 0);
	assert_true(came_back(x, &a));
	res_cmd(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10, &a);
	complete(x, -EIO);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(x->g->n_maps, 1); /* the guest may still see it: kept */
	assert_int_equal(x->g->n_res, 1);
}

/* How a blob's descriptor can be wrong. */
enum flaw {
	UNSEALED,
	SHORT,
	OFFSET,
	SMALL,
	NO_FD,
	WRONG_KIND,
	FAKE_DMABUF,
	MAP_INFO,
	DEVICE,
	FILE_SYSTEM,
	HUGE_PAGES,
	FLAWS
};

/*
 * Its mappings are 2 MiB at least, whatever is asked for.  Return: -1 where there is no such thing,
 * and so no such flaw
 */
static int sealed_huge_page(void)
{
	AUTO_FD fd = memfd_create("blob", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	if (fd < 0 || ftruncate(fd, 64 << 20) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		print_message("no huge pages: %s\n", strerror(errno));
		return -1;
	}
	return take_fd(&fd);
}

static void unsound_blobs_end_their_context(void **state)
{
	struct fixture *x = *state;
	unsigned quick = begin(x, 2);
	struct answer a;

	for (int flaw = 0; flaw < FLAWS; flaw++) {
		struct ctx_msg m;
		int fd = flaw == HUGE_PAGES ? sealed_huge_page() : -1;

		if (flaw == HUGE_PAGES && fd < 0)
			continue;
		if (x->n_peers == PEERS) { /* places for the other half */
			for (unsigned i = 1; i < PEERS; i++)
				fd_drop(&x->peer[i]);
			x->n_peers = 1;
		}
		unsigned peer = begin(x, 1);
		blob_create(x, 1, 10, (uint64_t)2 * PAGE, &a);
		(void)hear(x, peer, &m, NULL, 0);
		m = (struct ctx_msg){ .type = CTX_MSG_BLOB,
				      .id = m.id,
				      .kind = CTX_BLOB_SHM,
				      .size = (uint64_t)2 * PAGE };
		if (flaw == UNSEALED) {
			fd = memfd_create("blob", MFD_CLOEXEC);
			assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
		} else if (flaw == DEVICE) {
			m.kind = CTX_BLOB_DRIVER;
			fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
		} else if (flaw == FILE_SYSTEM) {
			fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		} else if (flaw != HUGE_PAGES) {
			assert_int_equal(shm_create("blob", flaw == SHORT ? PAGE : 2 * PAGE, &fd),
					 0);
		}
		m.offset = flaw == OFFSET ? 1 : 0;
		m.map_info = flaw == MAP_INFO ? 4 : 1;
		if (flaw == SMALL)
			m.size = PAGE;
		if (flaw == WRONG_KIND)
			m.kind = 4;
		if (flaw == FAKE_DMABUF)
			m.kind = CTX_BLOB_DMABUF;
		say(x, peer, &m, flaw == NO_FD ? -1 : fd);
		if (flaw == FAKE_DMABUF) /* whose position was left alone */
			assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
		fd_drop(&fd);
		print_message("flaw %d\n", flaw);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
		submit(x, 1, -2, 0, "x", 1, &a);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
		assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	}
	make_blob(x, quick, 2, 11, PAGE, NULL);
}

/* Answers a CREATE_BLOB with a descriptor of the driver's device; borrowed. */
static void answer_device(struct fixture *x, unsigned peer, int fd, uint64_t off)
{
	struct ctx_msg m;

	(void)hear(x, peer, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_CREATE_BLOB);
	say(x, peer,
	    &(struct ctx_msg){ .type = CTX_MSG_BLOB,
			       .id = m.id,
			       .kind = CTX_BLOB_DRIVER,
			       .map_info = VIRTIO_GPU_MAP_CACHE_WC,
			       .offset = off,
			       .size = PAGE },
	    fd);
}

static void memory_of_the_drivers_device_is_mapped_and_not_shared(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct ctx_msg m;
	struct answer a;

	assert_true(fd >= 0);
	blob_create(x, 1, 10, PAGE, &a);
	answer_device(x, one, fd, 0);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_map(x, 10, PAGE), VIRTIO_GPU_RESP_OK_MAP_INFO);
	((uint8_t *)x->window.host)[PAGE] = 42;
	assert_int_equal(((uint8_t *)x->window.host)[PAGE], 42);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_ERR_UNSPEC);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, 0);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(x->g->n_maps, 0);

	/* A device's memory begins with its file, and nothing else passes for a device. */
	blob_create(x, 2, 11, PAGE, &a);
	answer_device(x, two, fd, PAGE);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
	close(fd);
	assert_int_equal(shm_create("blob", PAGE, &fd), 0);
	(void)hear(x, one, &m, NULL, 0); /* of the blob that is gone */
	assert_int_equal(m.type, CTX_MSG_UNREF);
	blob_create(x, 1, 12, PAGE, &a);
	answer_device(x, one, fd, 0);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_UNSPEC);
	close(fd);
}

static void storage_of_the_guest_is_lent_and_taken_back(void **state)
{
	struct fixture *x = *state;
	struct virtio_gpu_resource_create_blob c = { .hdr = HDR(RESOURCE_CREATE_BLOB, 0),
						     .resource_id = 5,
						     .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
						     .nr_entries = 2,
						     .size = 6000 };
	struct virtio_gpu_mem_entry e[2] = { { .addr = 0, .length = 4096 },
					     { .addr = 8192, .length = 4096 } };
	struct virtio_gpu_resource_attach_backing b = { .hdr = HDR(RESOURCE_ATTACH_BACKING, 0),
							.resource_id = 5,
							.nr_entries = 2 };
	struct answer a;

	(void)offer(x, &c, sizeof(c), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER); /* it has some */
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 5),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 5),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	e[1].addr = FD_RAM; /* not the guest's */
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	e[1].addr = 8192;
	e[1].length = 100; /* too little */
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	e[1].length = 4096;
	(void)offer(x, &b, sizeof(b), e, sizeof(e), &a);
	assert_true(came_back(x, &a));
	assert_int_equal(a.h.type, VIRTIO_GPU_RESP_OK_NODATA);

	assert_int_equal(ask_map(x, 5, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	(void)begin(x, 1);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 5, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 5), VIRTIO_GPU_RESP_OK_NODATA);
}

static void contexts_share_blobs(void **state)
{
	static const int codes[] = { -EINVAL, 0 };
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	struct ctx_msg m;
	struct answer a;
	int fd = -1;

	make_blob(x, one, 1, 10, PAGE, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
		assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a), 0);
		(void)hear_fd(x, two, &m, NULL, 0, &fd);
		assert_int_equal(m.type, CTX_MSG_IMPORT);
		assert_int_equal(m.res_id, 10);
		assert_int_equal(m.size, PAGE);
		assert_true(fd >= 0);
		fd_drop(&fd);
		say(x, two,
		    &(struct ctx_msg){ .type = CTX_MSG_IMPORTED, .id = m.id, .code = codes[i] },
		    -1);
		assert_true(came_back(x, &a));
		assert_int_equal(a.h.type, codes[i] < 0 ? VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
							: VIRTIO_GPU_RESP_OK_NODATA);
	}
	/* Once is enough. */
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 11, &a),
			 VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 3, 10, &a),
			 VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_UNREF);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 2, 10, &a),
			 VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, 0);

	/* Who has it when it is dropped is told. */
	(void)ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &a);
	(void)hear_fd(x, two, &m, NULL, 0, &fd);
	fd_drop(&fd);
	say(x, two, &(struct ctx_msg){ .type = CTX_MSG_IMPORTED, .id = m.id }, -1);
	assert_true(came_back(x, &a));
	assert_int_equal(ctx_destroy(x, 1), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(ask_res(x, VIRTIO_GPU_CMD_RESOURCE_UNREF, 10), VIRTIO_GPU_RESP_OK_NODATA);
	(void)hear(x, two, &m, NULL, 0);
	assert_int_equal(m.type, CTX_MSG_UNREF);
}

static void an_attachment_waits_for_its_blob(void **state)
{
	struct fixture *x = *state;
	unsigned one = begin(x, 1);
	unsigned two = begin(x, 2);
	struct answer a;
	struct answer b;
	struct ctx_msg m;
	int fd = -1;

	blob_create(x, 1, 10, PAGE, &a);
	assert_int_equal(ctx_resource(x, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 2, 10, &b), 0);
	answer_blob(x, one, PAGE, NULL);
	assert_true(came_back(x, &a));
	(void)hear_fd(x, two, &m, NULL, 0, &fd);
	assert_int_equal(m.type, CTX_MSG_IMPORT);
	fd_drop(&fd);
	fd_drop(&x->peer[two]);
	spin(x);
	assert_true(came_back(x, &b));
	assert_int_equal(b.h.type, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
}

int main(void)
{
#define T(name)          cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_LATE(name)     cmocka_unit_test_setup_teardown(name, setup_late, teardown)
#define T_TRUSTING(name) cmocka_unit_test_setup_teardown(name, setup_trusting, teardown)
	const struct CMUnitTest tests[] = {
		T(blobs_are_made_mapped_and_dropped),
		T(a_blob_that_cannot_be_made_is_an_error),
		T(bad_blobs_are_refused),
		T(bad_places_are_refused),
		T(mappings_memory_and_resources_are_limited),
		T_LATE(commands_wait_for_their_resource),
		T_LATE(a_window_that_fails_is_an_error),
		T(unsound_blobs_end_their_context),
		T_TRUSTING(memory_of_the_drivers_device_is_mapped_and_not_shared),
		T(storage_of_the_guest_is_lent_and_taken_back),
		T(contexts_share_blobs),
		T(an_attachment_waits_for_its_blob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
