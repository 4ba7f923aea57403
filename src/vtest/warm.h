/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and examines the host's drivers before a client comes: that takes time, and is done
 * unfiltered.
 */
#ifndef PECTEN_VTEST_WARM_H
#define PECTEN_VTEST_WARM_H

#include <stdbool.h>

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"
#include "util/err.h"

struct venus_probe;

/**
 * warm_up() - make an instance, keep it, and find out what the devices can do
 * @gipa:	of the loader
 * @maps_driver_memory:	see venus/ctx.h
 * @found:	on success, for venus_probe_fini()
 *
 * The instance lives until the process ends: as long as it does, the loader keeps the drivers
 * loaded, and the client's own instance comes quickly.
 *
 * Return: 0, or -ENODEV or -ENOMEM with a sentence and its remedy
 */
int warm_up(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory, struct venus_probe *found,
	    struct err *e) MUST_CHECK;

#endif
