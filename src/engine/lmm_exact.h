/* lmm_exact.h: the Gaussian model's conditional fit, exact at given precisions.
 *
 * With q(theta) = tau_e ||W^1/2 (y - C theta)||^2 + (theta - mu)'T(theta - mu) and P its half
 * Hessian tau_e C'WC + T, theta integrates out of the joint density:
 *
 *     log p(y | t) = (n log tau_e + sum log w - n log 2 pi + log |T| - log |P| - min q) / 2
 *
 * (+ p/2 log 2 pi under a flat prior on beta: relative to Lebesgue measure). The minimum is
 * taken around a given point theta_0: with g = tau_e (h - G theta_0) - T (theta_0 - mu),
 *
 *     min q = q(theta_0) - g'P^-1 g,    argmin = theta_0 + P^-1 g.
 *
 * Of two points, a stored fit and its coefficients with all effects zero, the one with the lower
 * q serves: the first is near the minimum where the effects are free, the second where a large
 * precision pins them, and little cancels in either.
 *
 * phi: log precisions of scalar terms, scale-free coordinates (logchol.h) of matrices, laid out
 * like the statistics in t. */
#ifndef MEANFIELD_LMM_EXACT_H
#define MEANFIELD_LMM_EXACT_H

#include "model/lmm.h"
#include "base/rand.h"

struct lmm_exact {
    const struct lmm *m;
    const struct lmm_centre *centre;
    struct arrow P, F;
    double *t;            /* n_par: statistics at the last phi                         */
    double *g;            /* dim: g, then F^-1 g, then P^-1 g                          */
    double *outer;        /* n_stat: sum of u_0 u_0' of each term, vech                */
    struct lmm_centre zero; /* the stored fit without effects                          */
    double *zero_theta, *zero_grad; /* dim each: what it points to                     */
    const struct lmm_centre *from;  /* the point used at the last phi                  */
    double *prior_const;  /* n_prec: log density of each precision without its kernel  */
    double quad_beta;     /* (beta_0 - mu)'T_b(beta_0 - mu)                            */
    struct core_info info;
};

struct lmm_exact lmm_exact_carve(const struct lmm *m, struct arena *a);

/* Fills what does not depend on phi. Needs m and centre set. */
void lmm_exact_prepare(struct lmm_exact *e);

/* f(phi) of nest.h; -INFINITY where P is not positive definite to working precision or rounding
 * would show in the residual sum of squares. One arrow factorisation. Leaves the factor and F^-1 g behind. */
double lmm_exact_log_density(void *exact, const double *phi);

/* mean <- E theta at the last phi. */
void lmm_exact_mean(const struct lmm_exact *e, double *mean);

/* x <- mean + F^-T x: standard normals become a draw of theta at the last phi. */
void lmm_exact_draw(const struct lmm_exact *e, const double *mean, double *x);

/* Linear combinations c'theta: row i has global coefficients column i of `global` (n_global x n)
 * and z, column i of `z` (r x n), on the effects of leaf[i], 0-based, or nowhere (-1). */
struct lmm_rows {
    int n;
    const double *global, *z;
    const int *leaf;
};

/* The posterior of theta as a mixture over nodes phi (n_stat x n) with weights w (sum 1).
 * NULL outputs are left out. Cost: n arrow factorisations and selected inverses. */
struct lmm_mixture {
    double *mean;              /* dim: E theta                                         */
    double *cov_global;        /* n_global^2: Cov of the global block, full            */
    double *cov_leaf;          /* n_leaf r x r: covariance of each leaf's effects      */
    double *node_mean;         /* dim x n: E theta at each node                        */
    double *node_var;          /* dim x n: Var theta at each node                      */
    double *cov;               /* dim^2: Cov theta, dense                              */
    double *row_mean, *row_var; /* rows.n x n: of the linear combinations, at each node */
};
/* Any conditional fit, for the mixture: f(phi) of nest.h, which leaves the conditional mean of
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
struct conditional lmm_exact_conditional(struct lmm_exact *e);

/* log p(Lambda_k) = constant + the kernel at Lambda (vech t) and its log-determinant. */
double lmm_prior_constant(const struct lmm *m, int k);
double lmm_log_prior(const struct lmm *m, int k, double constant, const double *t, double logdet);

struct lmm_mixture_work {
    struct arrow inv;          /* selected inverse: S_global, q', s_leaf               */
    double *d_inv, *scratch, *theta, *dev, *solved;
};
struct lmm_mixture_work lmm_mixture_carve(const struct arrow_shape *s, bool dense, struct arena *a);

enum core_status lmm_exact_mixture(const struct conditional *e, int n, const double *phi,
                                   const double *w, const struct lmm_rows *rows,
                                   struct lmm_mixture *out, struct lmm_mixture_work *work,
                                   const struct core_hooks *h, struct core_info *info);

#endif
