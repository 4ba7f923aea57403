/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands below `pecten gpu` share. */
#ifndef PECTEN_CLI_GPU_H
#define PECTEN_CLI_GPU_H

#include <json-c/json.h>

#include "util/compiler.h"
#include "util/err.h"

struct renderer_spec;

static inline void auto_json_(struct json_object **o)
{
	(void)json_object_put(*o);
}
#define AUTO_JSON CLEANUP(auto_json_) struct json_object

/* Name of the socket on which a server tells its counters: PATH followed by this. */
#define GPU_INFO_SUFFIX ".info"

/**
 * gpu_probe() - describe the host's drivers
 * @out:	on success, for json_object_put()
 *
 * Return: 0 or -errno with a sentence
 */
int gpu_probe(const struct renderer_spec *spec, struct json_object **out, struct err *e) MUST_CHECK;

/**
 * gpu_usable() - whether any device has memory that guests can map
 * @name:	on success the first such device's name, owned by @probe
 *
 * Return: 0, or -ENODEV with a sentence
 */
int gpu_usable(struct json_object *probe, const char **name, struct err *e) MUST_CHECK;

/* Member of an object as text, "" if it has none. */
const char *gpu_text(struct json_object *o, const char *key);

int gpu_serve(int argc, char *const *argv);
int gpu_info(int argc, char *const *argv);

#endif
