/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the host's drivers before a client comes: that takes time, and is done unfiltered. */
#ifndef PECTEN_VTEST_WARM_H
#define PECTEN_VTEST_WARM_H

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"
#include "util/err.h"

/**
 * warm_up() - make an instance, see that there is a device, and keep both
 * @gipa:	of the loader
 *
 * The instance lives until the process ends: as long as it does, the loader keeps the drivers
 * loaded, and the client's own instance comes quickly.
 *
 * Return: 0, or -ENODEV with a sentence and its remedy
 */
int warm_up(PFN_vkGetInstanceProcAddr gipa, struct err *e) MUST_CHECK;

#endif
