/* conditional.h: the contract of a fit at given variance parameters, and the posterior of theta as
 * a mixture of such fits. */
#ifndef MEANFIELD_CONDITIONAL_H
#define MEANFIELD_CONDITIONAL_H

#include "arrow/arrow_cov.h"
#include "engine/target.h"

/* Any conditional fit: log_density() is f(psi) of nest.h, and leaves the fit there; moments() then the
 * conditional mean of theta (dim) and, in F, the factor of its precision. Fits of little weight in what
 * they are taken for may be less exact. Two models make one: lmm_exact.h, glmm_nest.h. */
struct conditional {
    void *ctx;
    int d;                           /* dimension of psi */
    const struct arrow_shape *shape; /* of F */
    const struct arrow *F;
    const double *origin; /* dim: a theta that deviations are taken from */
    double (*log_density)(void *ctx, const double *psi);
    /* of target.h, or NULL; leaves no fit */
    void (*log_densities)(void *ctx, int n, const double *psi, double *f);
    /* false: they do not exist */
    bool (*moments)(void *ctx, double weight, double *mean);
    /* g (n_stat) <- d log p(y | t) / d t at the last psi, in the statistics t and before moments(): of
     * f without `correction` and `prior`. */
    void (*slope)(void *ctx, double *g);
    /* Numbers that a fit is made again from at less cost (0: as cheap as it was), those of the last
     * psi, and word of such a fit made before. */
    size_t state_size;
    void (*state)(const void *ctx, double *out);
    void (*know)(void *ctx, const double *psi, const double *state);
    const double *correction; /* part of f at the last psi; NULL: f is exact    */
    const double *prior;      /* part of f: log p(Lambda) |d Lambda / d psi|     */
};

static inline struct target conditional_target(const struct conditional *e)
{
    return (struct target){e->d, e->log_density, e->ctx, e->log_densities};
}

/* draws (dim x n) <- one draw of theta given each column of psi (d x n); equal columns that follow
 * each other share a fit. False at a psi without density or moments. mean: dim. */
bool conditional_draws(const struct conditional *e, int n, const double *psi,
                       double *mean, double *draws);

/* The posterior of theta as a mixture over nodes psi (d x n) with weights w (sum 1).
 * NULL outputs are left out. Cost: n arrow factorisations and selected inverses. */
struct conditional_mixture {
    bool
        within; /* covariances are sum w Cov(theta | node), without what means differ by */
    double *mean;               /* dim: E theta                                         */
    double *cov_global;         /* Cov of the global block: n_global^2, full; or packed */
    double *cov_leaf;           /* n_leaf r x r: covariance of each leaf's effects      */
    double *node_mean;          /* dim x n: E theta at each node                        */
    double *node_var;           /* dim x n: Var theta at each node                      */
    double *cov;                /* dim^2: Cov theta, dense                              */
    double *row_mean, *row_var; /* rows.n x n: of the linear combinations, at each node */
    double *correction;         /* n, where the conditional fit has one                 */
};
struct conditional_work {
    struct arrow inv; /* inverse on the pattern: S_global, q', s_leaf         */
    double *d_inv, *scratch, *theta, *dev, *solved;
    struct arrow_quad_work quad; /* of packed global blocks                          */
};
struct conditional_work conditional_carve(const struct arrow_shape *s, bool dense,
                                          struct arena *a);

enum core_status conditional_mixture(const struct conditional *e, int n,
                                     const double *psi, const double *w,
                                     const struct arrow_rows *rows,
                                     struct conditional_mixture *out,
                                     struct conditional_work *work,
                                     const struct core_hooks *h, struct core_info *info);

#endif
