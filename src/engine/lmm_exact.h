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
 * psi: log precisions of scalar terms, scale-free coordinates (logchol.h) of matrices, laid out
 * like the statistics in t. */
#ifndef MEANFIELD_LMM_EXACT_H
#define MEANFIELD_LMM_EXACT_H

#include "model/lmm.h"
#include "engine/conditional.h"
#include "engine/lmm_exact_lanes.h"

struct lmm_exact {
    const struct lmm *m;
    const struct lmm_centre *centre;
    struct arrow P, F;
    double *t;     /* n_par: statistics at the last psi                         */
    double *g;     /* dim: g, then F^-1 g, then P^-1 g                          */
    double *outer; /* n_stat: sum of u_0 u_0' of each term, vech                */
    struct lmm_centre zero; /* the stored fit without effects                          */
    double *zero_theta, *zero_grad; /* dim each: what it points to                     */
    const struct lmm_centre *from;  /* the point used at the last psi                  */
    double *prior_const; /* n_prec: log density of each precision without its kernel  */
    double quad_beta;    /* (beta_0 - mu)'T_b(beta_0 - mu)                            */
    double prior;        /* log p(Lambda) + log |d Lambda / d psi| at the last psi    */
    double *d, *Gd, *d_inv, *q, *scratch; /* of lmm_exact_slope()                     */
    bool in_lanes;                        /* do they serve?                           */
    struct lmm_exact_lanes lanes;
    double *pull; /* p: T_b (beta_0 - mu)                                             */
    struct core_info info;
};

struct lmm_exact lmm_exact_carve(const struct lmm *m, struct arena *a);

/* Fills what does not depend on psi. Needs m and centre set. */
void lmm_exact_prepare(struct lmm_exact *e);

/* f(psi) of nest.h; -INFINITY where P is not positive definite to working precision or rounding
 * would show in the residual sum of squares. One arrow factorisation. Leaves the factor and F^-1 g behind. */
double lmm_exact_log_density(void *exact, const double *psi);

/* f (n) <- f(psi) at the columns of psi (n_stat x n), in lanes where they serve. Leaves no fit. */
void lmm_exact_log_densities(void *exact, int n, const double *psi, double *f);

/* mean <- E theta at the last psi. */
void lmm_exact_mean(const struct lmm_exact *e, double *mean);

/* g <- d log p(y | t) / d t at the last psi: half of n / tau_e - E rss and of levels Lambda^-1 -
 * E sum u u'. One selected inverse, which takes P's place. */
void lmm_exact_slope(void *exact, double *g);

/* All of it in the arena; m and c must outlive it. */
struct conditional lmm_exact_conditional(const struct lmm *m, const struct lmm_centre *c,
                                         struct arena *a);

#endif
