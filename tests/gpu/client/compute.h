/* SPDX-License-Identifier: Apache-2.0 */
/* The compute client's cases, by subject. */
#ifndef PECTEN_TESTS_GPU_COMPUTE_H
#define PECTEN_TESTS_GPU_COMPUTE_H

#include "vk.h"

#define HOST_COHERENT (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

/* compute_shader.c */
const char *case_saxpy(struct vkc *c);
const char *case_specialisation(struct vkc *c);
const char *case_barrier_chain(struct vkc *c);
const char *case_sync2(struct vkc *c);
const char *case_indirect(struct vkc *c);
const char *case_secondary(struct vkc *c);
const char *case_subgroup(struct vkc *c);
const char *case_narrow(struct vkc *c);
const char *case_halves(struct vkc *c);
const char *case_address(struct vkc *c);
const char *case_pipeline_cache(struct vkc *c);

/* compute_sets.c */
const char *case_indexing(struct vkc *c);
const char *case_update_template(struct vkc *c);
const char *case_push_descriptor(struct vkc *c);
const char *case_dynamic_offset(struct vkc *c);
const char *case_kinds(struct vkc *c);
const char *case_pool_reset(struct vkc *c);

/* compute_sync.c */
const char *case_fences(struct vkc *c);
const char *case_semaphores(struct vkc *c);
const char *case_timeline(struct vkc *c);
const char *case_timeline_host(struct vkc *c);
const char *case_events(struct vkc *c);
const char *case_timestamps(struct vkc *c);

/* compute_memory.c */
const char *case_transfer(struct vkc *c);
const char *case_memory_types(struct vkc *c);
const char *case_map_cycles(struct vkc *c);
const char *case_map_memory2(struct vkc *c);
const char *case_images(struct vkc *c);

#endif
