/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU of a machine: see gpu_unit.h. */
#include "vmm/gpu_unit.h"

#include <errno.h>
#include <string.h>

#include "gpu/gpu.h"
#include "host/fd.h"
#include "render/broker.h"
#include "venus/ctx.h"
#include "vmm/config.h"

#define WINDOW_MIN (UINT64_C(256) << 20)
#define WINDOW_MAX (UINT64_C(256) << 30) /* CPUs of desktops have 39 address bits */

struct gpu_unit {
	struct gpu *gpu;
	int broker;
	uint8_t capset[VENUS_CAPSET_SIZE];
};

uint64_t gpu_unit_window(const struct vm_config *c)
{
	uint64_t len = WINDOW_MIN;

	/* Twice what fits, so that holes between blobs do not matter. */
	while (len < WINDOW_MAX && len / 2 < c->gpu.memory)
		len *= 2;
	return len;
}

static int on_connect(void *arg, int *sock)
{
	const struct gpu_unit *u = arg;

	return broker_connect(u->broker, sock);
}

int gpu_unit_create(struct vm_config *c, struct window *w, struct loop *loop, struct gpu_unit **out,
		    struct err *e)
{
	struct gpu_unit *u = calloc(1, sizeof(*u));

	if (!u)
		return err_set(e, -ENOMEM, "no memory for a GPU");
	u->broker = take_fd(&c->gpu_fd);
	venus_capset_fill(u->capset);

	const struct gpu_config cfg = {
		.capset_id = VENUS_CAPSET_ID,
		.capset_size = sizeof(u->capset),
		.capset = u->capset,
		.window = w,
		.limits = { .memory = c->gpu.memory, .contexts = c->gpu.contexts },
		.maps_driver_memory = c->gpu.flags & CTL_GPU_MAP_DRIVER,
		.connect = on_connect,
		.arg = u,
	};
	/* A broker that does not listen must not hold up the guest. */
	int r = fd_set_nonblock(u->broker);
	if (r == 0)
		r = gpu_create(&cfg, loop, &u->gpu);
	if (r < 0) {
		gpu_unit_destroy(u);
		return err_set(e, r, "cannot make a GPU: %s", strerror(-r));
	}
	*out = u;
	return 0;
}

void gpu_unit_destroy(void *unit)
{
	struct gpu_unit *u = unit;

	if (!u)
		return;
	gpu_destroy(u->gpu);
	fd_drop(&u->broker);
	free(u);
}

struct virtio_dev *gpu_unit_dev(struct gpu_unit *u)
{
	return gpu_dev(u->gpu);
}
