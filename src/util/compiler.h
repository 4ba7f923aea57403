/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C language leaves to the compiler: attributes, scope clean-up and a few macros.
 * GNU C features are used through this header only.
 */
#ifndef PECTEN_UTIL_COMPILER_H
#define PECTEN_UTIL_COMPILER_H

#include <stddef.h>
#include <stdlib.h>

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_FMT(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define UNUSED               __attribute__((unused))
#define NORETURN             __attribute__((noreturn))
#define NOINLINE             __attribute__((noinline)) /* its frame is not the caller's, too */
#define EXPORT               __attribute__((visibility("default")))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                                            \
	((type *)(void *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

/* Clean-up at the end of the scope: declare at the point of acquisition, take() to hand over. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

static inline void auto_free_(void *p)
{
	free(*(void **)p);
}
#define AUTO_FREE CLEANUP(auto_free_)

/* Moves a pointer out of an AUTO_ variable, which then cleans up nothing. */
#define take(pp)                                                                                   \
	__extension__({                                                                            \
		__typeof__(pp) take_pp_ = (pp);                                                    \
		__typeof__(*(pp)) take_p_ = *take_pp_;                                             \
		*take_pp_ = NULL;                                                                  \
		take_p_;                                                                           \
	})

/* Clang's thread-safety analysis; a field names its lock in a comment (C has no GUARDED_BY). */
#if defined(__clang__)
#define CAPABILITY(x)    __attribute__((capability(x)))
#define ACQUIRE(...)     __attribute__((acquire_capability(__VA_ARGS__)))
#define TRY_ACQUIRE(...) __attribute__((try_acquire_capability(__VA_ARGS__)))
#define RELEASE(...)     __attribute__((release_capability(__VA_ARGS__)))
#define REQUIRES(...)    __attribute__((requires_capability(__VA_ARGS__)))
#define NO_LOCK_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(x)
#define ACQUIRE(...)
#define TRY_ACQUIRE(...)
#define RELEASE(...)
#define REQUIRES(...)
#define NO_LOCK_ANALYSIS
#endif

#endif
