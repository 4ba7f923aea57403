/* SPDX-License-Identifier: Apache-2.0 */
/* Compute client: every case checks what the GPU computed; prints TAP. */
#include "compute.h"

static const struct vkc_case cases[] = {
	{ "saxpy", case_saxpy },
	{ "specialisation", case_specialisation },
	{ "barrier_chain", case_barrier_chain },
	{ "sync2", case_sync2 },
	{ "indirect", case_indirect },
	{ "secondary", case_secondary },
	{ "subgroup", case_subgroup },
	{ "narrow", case_narrow },
	{ "halves", case_halves },
	{ "address", case_address },
	{ "pipeline_cache", case_pipeline_cache },
	{ "indexing", case_indexing },
	{ "update_template", case_update_template },
	{ "push_descriptor", case_push_descriptor },
	{ "dynamic_offset", case_dynamic_offset },
	{ "kinds", case_kinds },
	{ "pool_reset", case_pool_reset },
	{ "fences", case_fences },
	{ "semaphores", case_semaphores },
	{ "timeline", case_timeline },
	{ "timeline_host", case_timeline_host },
	{ "events", case_events },
	{ "timestamps", case_timestamps },
	{ "transfer", case_transfer },
	{ "memory_types", case_memory_types },
	{ "map_cycles", case_map_cycles },
	{ "map_memory2", case_map_memory2 },
	{ "images", case_images },
};

int main(int argc, char **argv)
{
	return vkc_main(argc, argv, false, cases, ARRAY_LEN(cases));
}
