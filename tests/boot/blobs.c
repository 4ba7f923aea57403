/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest program that maps blobs for ever: it has to meet a limit and an error, everything it got
 * until then works, and what it gives back can be had again.
 *
 *	blobs AT-LEAST AT-MOST	says how many it got; status 0 if that is in between
 *
 * The interface to the kernel is written out here, because not every distribution's headers have
 *it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct gem_close {
	uint32_t handle;
	uint32_t pad;
};

struct virtgpu_map {
	uint64_t offset;
	uint32_t handle;
	uint32_t pad;
};

struct virtgpu_blob {
	uint32_t mem;
	uint32_t flags;
	uint32_t handle;
	uint32_t resource;
	uint64_t size;
	uint32_t pad;
	uint32_t cmd_size;
	uint64_t cmd;
	uint64_t blob_id;
};

struct virtgpu_param {
	uint64_t param;
	uint64_t value;
};

struct virtgpu_context {
	uint32_t n_params;
	uint32_t pad;
	uint64_t params;
};

#define GEM_CLOSE    _IOW('d', 0x09, struct gem_close)
#define VIRTGPU_MAP  _IOWR('d', 0x41, struct virtgpu_map)
#define VIRTGPU_BLOB _IOWR('d', 0x4a, struct virtgpu_blob)
#define VIRTGPU_INIT _IOWR('d', 0x4b, struct virtgpu_context)

#define PARAM_CAPSET 1
#define CAPSET_VENUS 4
#define MEM_HOST3D   2
#define MAPPABLE     1

#define SIZE      4096
#define BLOBS_MAX 1000
#define RETRIES   600
#define RETRY_MS  100

struct blob {
	uint32_t handle;
	volatile uint32_t *at;
};

/* Return: whether there is one more, mapped, with @value in it */
static int get(int gpu, struct blob *b, uint32_t value)
{
	struct virtgpu_blob want = { .mem = MEM_HOST3D, .flags = MAPPABLE, .size = SIZE };
	struct virtgpu_map map = { 0 };

	if (ioctl(gpu, VIRTGPU_BLOB, &want) < 0)
		return 0;
	b->handle = want.handle;
	map.handle = want.handle;
	if (ioctl(gpu, VIRTGPU_MAP, &map) < 0)
		return 0;
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, gpu, (off_t)map.offset);
	if (p == MAP_FAILED)
		return 0;
	b->at = p;
	*b->at = value;
	return 1;
}

static void put(int gpu, const struct blob *b)
{
	struct gem_close close_it = { .handle = b->handle };

	(void)munmap((void *)(uintptr_t)b->at, SIZE);
	(void)ioctl(gpu, GEM_CLOSE, &close_it);
}

int main(int argc, char **argv)
{
	static struct blob blobs[BLOBS_MAX];
	struct virtgpu_param capset = { PARAM_CAPSET, CAPSET_VENUS };
	struct virtgpu_context context = { .n_params = 1, .params = (uintptr_t)&capset };
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	int gpu = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
	uint32_t n = 0;
	int again = 0;

	if (argc != 3 || gpu < 0 || ioctl(gpu, VIRTGPU_INIT, &context) < 0) {
		perror("blobs");
		return 2;
	}
	while (n < BLOBS_MAX && get(gpu, &blobs[n], n))
		n++;
	for (uint32_t i = 0; i < n; i++) {
		if (*blobs[i].at != i) {
			(void)printf("blob %u of %u has lost its bytes\n", i, n);
			return 1;
		}
	}
	/* The kernel gives back in the background. */
	put(gpu, &blobs[n / 2]);
	for (int i = 0; i < RETRIES && !again; i++) {
		again = get(gpu, &blobs[n / 2], n);
		if (!again)
			(void)nanosleep(&pause, NULL);
	}
	(void)printf("%u blobs, %s\n", n, again ? "and one again" : "and none again");
	return again && n >= strtoul(argv[1], NULL, 10) && n <= strtoul(argv[2], NULL, 10) ? 0 : 1;
}
