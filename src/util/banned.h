/* SPDX-License-Identifier: Apache-2.0 */
/* Force-included everywhere: functions that cannot be used safely do not compile. */
#ifndef PECTEN_UTIL_BANNED_H
#define PECTEN_UTIL_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca
#undef sprintf
#undef vsprintf
#pragma GCC poison gets strcpy strcat strncpy strncat sprintf vsprintf strtok alloca atoi atol atoll

#endif
