/* glmm_state.h: the Gaussian variational approximation at fixed precisions, and its response.
 *
 *     q(theta) = N(m, S),   mu_i = offset_i + c_i'm,   v_i = c_i'S c_i
 *     ELBO(m, S | t) = sum f_i(mu_i, v_i) - (m - mu_0)'T(m - mu_0) / 2 - tr(T S) / 2
 *                      + log|T| / 2 + log|S| / 2 + constants
 *
 * is stationary at
 *
 *     C'f_mu = T (m - mu_0),    S^-1 = T + C'diag(w)C,   w_i = -2 f_v,i.
 *
 * So S is n weights: it has the arrow pattern whatever the groups, and the state of a fit is
 * (m, w). With K = C S C', a change eps of -w moves S by S (C'diag(eps)C) S and v by (K o K) eps,
 * one weighted Gram and one arrow_inverse_push(). Minus the Hessian of the ELBO, responding to a
 * gradient (g in m, base change dS_0 of S), is the system
 *
 *     A dm  = g + C'(f_mv dv),             A = T - C'diag(f_mm)C
 *     eps   = 2 f_mv dmu + 2 f_vv dv,      dv = dv_0 + (K o K) eps,
 *
 * self-adjoint in eps under the inner product eps'(K o K) eps: conjugate gradients, a handful of
 * steps since the f_mv and f_vv terms are small beside the rest, and a direction of negative
 * curvature is the certificate that the point is no maximum. The same solve gives Newton steps,
 * linear response to the precisions, and the covariance of theta. */
#ifndef MEANFIELD_GLMM_STATE_H
#define MEANFIELD_GLMM_STATE_H

#include "model/glmm.h"

struct glmm_state {
    double *m;      /* dim: E theta                                                */
    double *w;      /* n: S^-1 = T + C'diag(w)C                                    */
    double *mu, *v; /* n: moments of the linear predictor                          */
    struct likelihood_terms e;
    struct arrow S;    /* selected inverse: global and leaves full                    */
    double *q, *d_inv; /* the rest of it, see arrow.h                                 */
    double log_det_P;  /* -log |S|                                                    */
    double elbo;       /* given t                                                     */
    double decrement;  /* length of the next Newton step in posterior SDs, or a bound */
    double factor;     /* of quadratic convergence: next decrement / decrement^2   */
    int steps;         /* Newton steps of the last fit                                */
};

/* A fit as others read it: q(theta) = (m, S) at t, and the factor of S^-1. */
struct glmm_view {
    const struct glmm *g;
    const double *t;
    const struct glmm_state *s;
    const struct arrow *F;
};

struct glmm_work {
    struct arrow P, F, A; /* P and its factor, factor of A                       */
    struct arrow dP, dS;
    struct arrow_push_work push;
    double *scratch; /* n_global * max(r, 1)                               */
    double *prior_grad, *g, *dm, *base_m, *solved; /* dim each                        */
    double *rho, *dmu, *dv, *base_w, *goal_w;      /* n each                          */
    double *r, *d, *Kr, *Kd, *Ad, *row;            /* n each: conjugate gradients      */
    double residual; /* of the last response, relative to its tolerance's norm    */
    double *sums, *sums_r, *sums_d; /* n_stat each: of changes of S     */
    /* Few rows beside many global columns: K o K itself (n x n), and what a row's eps adds to the
     * block sums (n_stat x n); NULL where pushes of the selected inverse cost less.          */
    double *KK, *row_sums,
        *half; /* half: dim x n, F^-1 C'                              */
};

struct glmm_state glmm_state_carve(const struct glmm *g, struct arena *a);
struct glmm_work glmm_state_work(const struct glmm *g, struct arena *a);

/* m and w from a ridge regression on the linked response. */
enum core_status glmm_state_start(const struct glmm *g, const double *t,
                                  struct glmm_state *s, struct glmm_work *w,
                                  struct core_info *info);

/* Everything else of the state from (m, w) at t; CORE_NONFINITE when the ELBO overflows. */
enum core_status glmm_state_evaluate(const struct glmm *g, const double *t,
                                     struct glmm_state *s, struct glmm_work *w,
                                     struct core_info *info);

#endif
