/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's drivers offer, as JSON, for `pecten gpu info`. */
#ifndef PECTEN_VTEST_REPORT_H
#define PECTEN_VTEST_REPORT_H

#include <stdbool.h>

#include <vulkan/vulkan_core.h>

#include "util/compiler.h"
#include "util/err.h"

/**
 * report_send() - probe the drivers and send the owner what was found
 * @maps_driver_memory:	see struct venus_ctx_config
 * @control:	socket to the owner, who gets RENDER_REPORT with a descriptor of the text
 *
 * Return: 0 or -errno with a sentence
 */
int report_send(PFN_vkGetInstanceProcAddr gipa, bool maps_driver_memory, int control,
		struct err *e) MUST_CHECK;

#endif
