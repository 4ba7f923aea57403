/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets of the renderer share.  A target is one file with LLVMFuzzerTestOneInput();
 * it is linked with libFuzzer and mutate.c, or, by any compiler, with replay.c, which runs the
 * target over the corpus.
 *
 * The judges are AddressSanitizer, UndefinedBehaviorSanitizer and the null driver, which calls
 * abort() when it is given what the renderer must refuse.
 */
#ifndef PECTEN_FUZZ_FUZZ_H
#define PECTEN_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "guest.h"

/* Entry of libFuzzer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/**
 * fuzz_begin() - the null driver as fuzz targets want it, and a context with everything in it
 *
 * Waits inside the driver end after a millisecond, so that no input takes long.
 */
void fuzz_begin(struct guest *g, struct guest_shm *reply, struct guest_shm *stream);

/* Stops waits of the context @ns from now, from another thread, until fuzz_end(). */
void fuzz_stop_after(struct guest *g, uint64_t ns);

/* Destroys the context; abort() if it does not end in time or leaves objects in the driver. */
void fuzz_end(struct guest *g, struct guest_shm *reply, struct guest_shm *stream);

#endif
