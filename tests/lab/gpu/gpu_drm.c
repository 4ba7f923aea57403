/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the guest kernel's virtio-gpu driver without Vulkan: contexts, blobs and fences as
 * Mesa asks for them, in milliseconds.
 *
 *	gpu_drm blobs N		N blobs made, mapped, written, found again, dropped
 *	gpu_drm flood MIB	blobs of 1 MiB until the host refuses; that has to be before MIB
 *	gpu_drm fences N	N fences, each waited for
 *	gpu_drm wait		says "ready", then waits until a fence fails or stdin ends
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* The kernel's interface since Linux 5.17; Debian 12 has no header that knows contexts and blobs.
 */
struct gem_close {
	uint32_t handle;
	uint32_t pad;
};

struct gpu_map {
	uint64_t offset; /* out */
	uint32_t handle;
	uint32_t pad;
};

struct gpu_execbuffer {
	uint32_t flags;
	uint32_t size;
	uint64_t command;
	uint64_t bo_handles;
	uint32_t num_bo_handles;
	int32_t fence_fd; /* out */
	uint32_t ring_idx;
	uint32_t pad;
};

struct gpu_create_blob {
	uint32_t blob_mem;
	uint32_t blob_flags;
	uint32_t bo_handle; /* out */
	uint32_t res_handle;
	uint64_t size;
	uint32_t pad;
	uint32_t cmd_size;
	uint64_t cmd;
	uint64_t blob_id;
};

struct gpu_context_param {
	uint64_t param;
	uint64_t value;
};

struct gpu_context_init {
	uint32_t num_params;
	uint32_t pad;
	uint64_t params;
};

#define GEM_CLOSE    _IOW('d', 0x09, struct gem_close)
#define MAP          _IOWR('d', 0x41, struct gpu_map)
#define EXECBUFFER   _IOWR('d', 0x42, struct gpu_execbuffer)
#define CREATE_BLOB  _IOWR('d', 0x4a, struct gpu_create_blob)
#define CONTEXT_INIT _IOWR('d', 0x4b, struct gpu_context_init)

enum { PARAM_CAPSET_ID = 1, PARAM_NUM_RINGS = 2 };
enum { EXECBUF_FENCE_FD_OUT = 2, EXECBUF_RING_IDX = 4 };
enum { BLOB_MEM_HOST3D = 2, BLOB_MAPPABLE = 1 };

#define VENUS   4
#define MIB     (UINT64_C(1) << 20)
#define WAIT_MS 120000

static void fail(const char *what)
{
	(void)printf("gpu_drm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_context(void)
{
	struct gpu_context_param params[] = {
		{ .param = PARAM_CAPSET_ID, .value = VENUS },
		{ .param = PARAM_NUM_RINGS, .value = 64 },
	};
	struct gpu_context_init init = {
		.num_params = 2,
		.params = (uintptr_t)params,
	};
	int fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail("open");
	if (ioctl(fd, CONTEXT_INIT, &init) < 0)
		fail("CONTEXT_INIT");
	return fd;
}

static uint32_t create(int fd, uint64_t size)
{
	struct gpu_create_blob b = {
		.blob_mem = BLOB_MEM_HOST3D,
		.blob_flags = BLOB_MAPPABLE,
		.size = size,
	};

	return ioctl(fd, CREATE_BLOB, &b) < 0 ? 0 : b.bo_handle;
}

/* Return: where it is, or NULL if the host refused */
static uint32_t *map(int fd, uint32_t handle, uint64_t size)
{
	struct gpu_map m = { .handle = handle };
	void *at;

	if (ioctl(fd, MAP, &m) < 0)
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)m.offset);
	return at == MAP_FAILED ? NULL : at;
}

static void drop(int fd, uint32_t handle)
{
	struct gem_close c = { .handle = handle };

	if (ioctl(fd, GEM_CLOSE, &c) < 0)
		fail("GEM_CLOSE");
}

/* A fence on the CPU timeline. Return: 0 when it is reached, -1 if it failed */
static int fence(int fd)
{
	struct gpu_execbuffer e = {
		.flags = EXECBUF_RING_IDX | EXECBUF_FENCE_FD_OUT,
		.fence_fd = -1,
	};
	struct pollfd p = { .events = POLLIN };

	if (ioctl(fd, EXECBUFFER, &e) < 0)
		return -1;
	p.fd = e.fence_fd;
	if (poll(&p, 1, WAIT_MS) != 1)
		fail("a fence is not reached");
	(void)close(p.fd);
	return 0;
}

static int blobs(uint32_t n)
{
	uint64_t size = MIB / 4;
	uint32_t words = (uint32_t)(size / 4);
	int fd = open_context();
	uint32_t *handles = calloc(n, sizeof(*handles));
	uint32_t **at = calloc(n, sizeof(*at));

	for (uint32_t i = 0; i < n; i++) {
		handles[i] = create(fd, size);
		at[i] = handles[i] ? map(fd, handles[i], size) : NULL;
		if (!at[i])
			fail("blob");
		for (uint32_t w = 0; w < words; w += 97)
			at[i][w] = i * words + w;
	}
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t w = 0; w < words; w += 97) {
			if (at[i][w] != i * words + w)
				fail("a blob lost its bytes");
		}
		(void)munmap(at[i], size);
		drop(fd, handles[i]);
	}
	(void)close(fd);
	(void)printf("%u blobs\n", n);
	return 0;
}

static int flood(uint32_t mib)
{
	int fd = open_context();
	uint32_t n = 0;

	for (; n < mib; n++) {
		uint32_t handle = create(fd, MIB);

		if (!handle || !map(fd, handle, MIB))
			break;
	}
	if (n == mib)
		fail("no limit");
	(void)printf("refused after %u MiB: %s\n", n, strerror(errno));
	return 0; /* what the process had goes with it */
}

static int fences(uint32_t n)
{
	int fd = open_context();

	for (uint32_t i = 0; i < n; i++) {
		if (fence(fd) < 0)
			fail("EXECBUFFER");
	}
	(void)printf("%u fences\n", n);
	return 0;
}

/* What a process with a GPU in use sees of its renderer's death: fences that do not hang. */
static int wait_for_death(void)
{
	int fd = open_context();

	if (fence(fd) < 0)
		fail("EXECBUFFER");
	(void)printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		char byte;

		if (read(STDIN_FILENO, &byte, 1) <= 0)
			break;
		if (fence(fd) < 0)
			break;
	}
	(void)printf("over\n");
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;

	if (argc > 1 && strcmp(argv[1], "blobs") == 0)
		return blobs(n);
	if (argc > 1 && strcmp(argv[1], "flood") == 0)
		return flood(n);
	if (argc > 1 && strcmp(argv[1], "fences") == 0)
		return fences(n);
	if (argc > 1 && strcmp(argv[1], "wait") == 0)
		return wait_for_death();
	return 2;
}
