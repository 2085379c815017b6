/* asker.h: the contract of an algorithm on a log density that only its owner can evaluate.
 *
 * An asker never evaluates: it says at which points it wants the log density, is given the answers,
 * and says what it wants next. So it knows nothing of R; glue/r_ask.c puts the questions to an R
 * function, and a pointer from TMB or Stan could answer as well.
 *
 *   log density  -inf where there is none, never NaN
 *   gradient     d x n, a column per point; may hold NaN where the log density is -inf, or where the
 *                target has no gradient: to be looked at before use                              */
#ifndef MEANFIELD_ASKER_H
#define MEANFIELD_ASKER_H

#include "base/core.h"

struct asker {
    void *ctx;
    int d, n;        /* dimension; points wanted now, 0: it has its answer           */
    const double *z; /* the points, d x n                                            */
    bool gradient;   /* is the gradient wanted too? else g is NULL                   */
    bool random;     /* does take() draw random numbers?                             */
    /* the answers to the n points; sets n, z and gradient. */
    enum core_status (*take)(struct asker *a, const double *lp, const double *g);
};

#endif
