/* guard.h: force-included in the sanitizer build. An arena is one allocation, so that the
 * sanitizer cannot see one carved piece run into the next; this puts a poisoned gap behind
 * each of them. */
#ifndef GUARD_H
#define GUARD_H

#include <sanitizer/asan_interface.h>
#include "base/core.h"

static inline double *guarded_doubles(struct arena *a, size_t n)
{
    enum { GAP = 8 };
    double *p = arena_doubles(a, n), *gap = arena_doubles(a, GAP);
    if (gap) ASAN_POISON_MEMORY_REGION(gap, GAP * sizeof(double));
    return p;
}
#define arena_doubles guarded_doubles

#endif
