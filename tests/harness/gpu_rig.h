/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-gpu device between a driver and renderers that the test plays itself: commands are
 * offered and looked for, packets heard and said, changes of the window completed by hand.  For
 * cmocka tests; the device's loop has no thread and runs inside spin().
 */
#ifndef PECTEN_TESTS_HARNESS_GPU_RIG_H
#define PECTEN_TESTS_HARNESS_GPU_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/gpu.h"
#include "gpu/gpu_internal.h"
#include "harness/driver.h"

#define CAPSET   4U
#define PAGE     4096U
#define WINDOW   (UINT64_C(1) << 20)
#define MEMORY   (UINT64_C(512) << 10)
#define PEERS    8
#define PATIENCE UINT64_C(60000000000) /* ns; only a hang takes that long */

enum { CONTROL, CURSOR };

/* A window whose changes are completed by the test. */
struct late_window {
	struct window w;
	struct window_req *req;
	bool is_map;
	unsigned resets;
};

struct fixture {
	struct fake_driver f;
	struct loop *loop;
	struct gm_window window;
	struct late_window late;
	struct gpu *g;
	struct gpu_config cfg;
	int peer[PEERS]; /* the renderers' ends */
	unsigned n_peers;
	int refuse; /* -errno for connect() */
};

extern const uint8_t capset[8];

struct answer {
	struct virtio_gpu_ctrl_hdr h;
	uint8_t data[400];
	uint16_t id;
};

#define HDR(t, ctx)                                                                                \
	{                                                                                          \
		.type = VIRTIO_GPU_CMD_##t, .ctx_id = (ctx)                                        \
	}

void complete(struct fixture *x, int result);
int setup(void **state);
int setup_late(void **state);
int setup_trusting(void **state); /* the guest may map the driver's device */
int teardown(void **state);
void spin(struct fixture *x);
uint16_t offer(struct fixture *x, const void *cmd, size_t len, const void *data, size_t data_len,
	       struct answer *a);
bool came_back(struct fixture *x, const struct answer *a);
void wait_back(struct fixture *x, const struct answer *a);
uint32_t ask(struct fixture *x, const void *cmd, size_t len, struct answer *a);
uint32_t ctx_create(struct fixture *x, uint32_t id, const char *name);
uint32_t ctx_destroy(struct fixture *x, uint32_t id);
uint32_t ctx_resource(struct fixture *x, uint32_t type, uint32_t ctx, uint32_t res,
		      struct answer *a);
void submit(struct fixture *x, uint32_t ctx, int ring, uint64_t fence, const void *data, size_t len,
	    struct answer *a);
void blob_create(struct fixture *x, uint32_t ctx, uint32_t id, uint64_t size, struct answer *a);
void blob_map(struct fixture *x, uint32_t id, uint64_t off, struct answer *a);
void res_cmd(struct fixture *x, uint32_t type, uint32_t id, struct answer *a);
uint32_t ask_res(struct fixture *x, uint32_t type, uint32_t id);
uint32_t ask_map(struct fixture *x, uint32_t id, uint64_t off);
size_t hear_fd(struct fixture *x, unsigned peer, struct ctx_msg *m, void *data, size_t room,
	       int *fd);
size_t hear(struct fixture *x, unsigned peer, struct ctx_msg *m, void *data, size_t room);
void say(struct fixture *x, unsigned peer, const struct ctx_msg *m, int fd);
void retire(struct fixture *x, unsigned peer, uint32_t ring, uint64_t id);
unsigned begin(struct fixture *x, uint32_t id);
void answer_blob(struct fixture *x, unsigned peer, uint64_t size, int *keep);
void make_blob(struct fixture *x, unsigned peer, uint32_t ctx, uint32_t id, uint64_t size,
	       int *keep);

#endif
