/* conditional.h: the contract of a fit at given variance parameters, and the posterior of theta as
 * a mixture of such fits. */
#ifndef MEANFIELD_CONDITIONAL_H
#define MEANFIELD_CONDITIONAL_H

#include "arrow/arrow_cov.h"

/* Any conditional fit: f(phi) of nest.h, which leaves the conditional mean of
 * theta and the factor F of its precision ready for moments(). */
struct conditional {
    const struct arrow_shape *shape;
    int n_stat;
    const double *origin; /* dim: a theta that deviations are taken from                 */
    void *ctx;
    double (*log_density)(void *ctx, const double *phi);
    bool (*moments)(void *ctx, double weight, double *mean); /* false: they do not exist */
    const struct arrow *F;
};

/* The posterior of theta as a mixture over nodes phi (n_stat x n) with weights w (sum 1).
 * NULL outputs are left out. Cost: n arrow factorisations and selected inverses. */
struct conditional_mixture {
    double *mean;              /* dim: E theta                                         */
    double *cov_global;        /* n_global^2: Cov of the global block, full            */
    double *cov_leaf;          /* n_leaf r x r: covariance of each leaf's effects      */
    double *node_mean;         /* dim x n: E theta at each node                        */
    double *node_var;          /* dim x n: Var theta at each node                      */
    double *cov;               /* dim^2: Cov theta, dense                              */
    double *row_mean, *row_var; /* rows.n x n: of the linear combinations, at each node */
};
struct conditional_work {
    struct arrow inv;          /* selected inverse: S_global, q', s_leaf               */
    double *d_inv, *scratch, *theta, *dev, *solved;
};
struct conditional_work conditional_carve(const struct arrow_shape *s, bool dense, struct arena *a);

enum core_status conditional_mixture(const struct conditional *e, int n, const double *phi,
                                   const double *w, const struct arrow_rows *rows,
                                   struct conditional_mixture *out, struct conditional_work *work,
                                   const struct core_hooks *h, struct core_info *info);

#endif
