/* target.h: the contract of a density that answers with its values alone, whatever stands behind it:
 * log f(x), up to a constant, at any x of d dimensions; -INFINITY where there is none. The integrator
 * of nest.h takes nothing else, and conditional_target() makes one of any conditional fit. An engine
 * that climbs will want a gradient and products with the Hessian beside it; none does yet. */
#ifndef MEANFIELD_TARGET_H
#define MEANFIELD_TARGET_H

#include <stddef.h>

struct target {
    int d;
    double (*log_density)(void *ctx, const double *x);
    void *ctx;
    /* f (n) <- log f at the columns of x (d x n); NULL: there is no faster way than one by one */
    void (*log_densities)(void *ctx, int n, const double *x, double *f);
};

static inline void target_log_densities(const struct target *t, int n, const double *x,
                                        double *f)
{
    if (t->log_densities) {
        t->log_densities(t->ctx, n, x, f);
        return;
    }
    for (int i = 0; i < n; i++)
        f[i] = t->log_density(t->ctx, x + (size_t) i * (size_t) t->d);
}

#endif
