/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A context without Vulkan, for tests of front ends: implements venus/ctx.h.  What it does is told
 * by the first word of a submission and by the timeline of a fence.
 */
#ifndef PECTEN_VTEST_FAKE_CTX_H
#define PECTEN_VTEST_FAKE_CTX_H

#include <stdint.h>

/* First words of a submission; anything else is counted and accepted. */
#define FAKE_FATAL 0xfa7a1000U /* the context becomes fatal */
#define FAKE_BLOCK 0xb10c0000U /* returns when the context is stopped */
#define FAKE_HANG  0x4a460000U /* never returns, as a call of a driver may do */

/* Timelines. */
#define FAKE_RING_LATER 1U /* retires a millisecond later, from another thread */
#define FAKE_RING_NEVER 2U /* retires when the context is destroyed */

/* Blob ids; those below exist, those above do not. */
#define FAKE_BLOB_MISSING 404U
#define FAKE_BLOB_LIMIT   405U

#define FAKE_MAX_BLOB (UINT64_C(1) << 30)

#endif
