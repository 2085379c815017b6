/* target.h: the contract of a density that answers with its values alone, whatever stands behind it:
 * log f(x), up to a constant, at any x of d dimensions; -INFINITY where there is none. The integrator
 * of nest.h takes nothing else, and conditional_target() makes one of any conditional fit. An engine
 * that climbs will want a gradient and products with the Hessian beside it; none does yet. */
#ifndef MEANFIELD_TARGET_H
#define MEANFIELD_TARGET_H

struct target {
    int d;
    double (*log_density)(void *ctx, const double *x);
    void *ctx;
};

#endif
