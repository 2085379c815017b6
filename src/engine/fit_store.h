/* fit_store.h: conditional fits already made, and a start for the next one from those near it.
 *
 * A fit is a vector x (its means and the logarithms of its weights) at a point psi of log precisions,
 * in which it is smooth: x(psi) is predicted by a Gaussian process with a linear trend,
 *
 *     x = sum_k c_k x_k,   c = (K + jitter)^-1 k,
 *
 * K the squared exponential of length 2 with what a vague trend adds. */
#ifndef MEANFIELD_FIT_STORE_H
#define MEANFIELD_FIT_STORE_H

#include <stdbool.h>
#include "base/arena.h"

/* Fits that are kept, and those that one start is made of. */
enum { FIT_STORE_MOST = 48, FIT_STORE_NEAR = 12 };

struct fit_store {
    int d, capacity, n,
        next; /* next: the place of the next fit, the oldest's at last    */
    size_t length;
    double *psi, *x; /* d and length numbers for each fit                             */
};

struct fit_store fit_store_carve(int d, size_t length, struct arena *a);

/* The place of a new fit at psi, whose `length` numbers the caller fills in. */
double *fit_store_put(struct fit_store *s, const double *psi);

/* What x at psi is predicted by: the sum of the n fits which[] times weight[]; n = 0: there are none.
 * variance: the process's at psi, given the fits, in units of its own; 0 when one was made at psi. */
struct fit_store_prediction {
    int n, which[FIT_STORE_NEAR];
    double weight[FIT_STORE_NEAR], variance;
};
struct fit_store_prediction fit_store_predict(const struct fit_store *s,
                                              const double *psi);

/* out (length) <- that sum. */
void fit_store_sum(const struct fit_store *s, const struct fit_store_prediction *x,
                   double *out);

#endif
