/* SPDX-License-Identifier: Apache-2.0 */
/* pecten-init, embedded: the build makes init_image.c from it. */
#ifndef PECTEN_API_INIT_IMAGE_H
#define PECTEN_API_INIT_IMAGE_H

#include <stddef.h>

extern const unsigned char init_image[];
extern const size_t init_image_size; /* bytes */

#endif
