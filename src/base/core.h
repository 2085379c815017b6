/* core.h: what every core file shares: status codes, hooks to the host, the arena, indexing.
 *
 * The core is plain C11. It sees no SEXP, raises no R error, prints nothing and allocates
 * nothing; whoever calls it hands over memory (an arena) and two hooks. */
#ifndef MEANFIELD_CORE_H
#define MEANFIELD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"

enum core_status {
    CORE_OK = 0,
    CORE_MAXIT,         /* not converged after max_iter sweeps                       */
    CORE_INTERRUPTED,   /* the poll hook asked to stop                               */
    CORE_NOT_PD_LEAF,   /* leaf block info->block is not positive definite           */
    CORE_NOT_PD_GLOBAL, /* global block fails at column info->block (0-based)        */
    CORE_NONFINITE,     /* a sweep produced a NaN or an infinity                     */
    CORE_FULL,          /* the memory handed over is too small for the answer        */
    CORE_DEAR           /* more work than was allowed                                */
};

struct core_info {
    int iter;  /* sweeps done                          */
    int block; /* leaf or column that failed, or -1    */
};

/* poll(ctx, done): called once per sweep; non-zero means stop. NULL never stops. */
struct core_hooks {
    int (*poll)(void *ctx, int done);
    void *ctx;
};

static inline bool core_stop(const struct core_hooks *h, int done)
{
    return h && h->poll && h->poll(h->ctx, done);
}

/* Element (i, j) of a column-major array; the offset is size_t, so it cannot overflow int. */
#define AT(A, i, j, ld) ((A)[(size_t) (i) + (size_t) (j) * (size_t) (ld)])

#endif
