/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Catches log lines: the linker puts these functions in place of the real ones (--wrap), so a test
 * sees every line that a guest causes, without the limit per site.
 */
#ifndef PECTEN_TESTS_VENUS_TRAP_H
#define PECTEN_TESTS_VENUS_TRAP_H

#include <stdbool.h>

/* Forgets all lines. */
void trap_reset(void);

/* Lines since then. */
unsigned trap_lines(void);

/* Whether one of the last lines (up to 16) holds @part. */
bool trap_holds(const char *part);

/* Prints the lines that were caught, for a test that fails. */
void trap_show(void);

#endif
