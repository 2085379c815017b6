/* glmm_theta.h: the covariance of theta at fixed precisions. */
#ifndef MEANFIELD_GLMM_THETA_H
#define MEANFIELD_GLMM_THETA_H

#include "engine/glmm_state.h"

/* The response of theta at fixed t into S_global, d_inv, q and s_leaf, as glmm_response_factor() has
 * it and then exactly for the coefficients, or for the effects too (of a leaf its own block). False:
 * no response exists. Needs glmm_response_curvature(). */
enum theta_exact { EXACT_NONE, EXACT_BETA, EXACT_ALL, EXACT_RATIO };
struct theta_response {
    enum theta_exact exact;
    double tol; /* of glmm_response()                                                  */
    /* dim x p and n x p, or NULL: with EXACT_BETA the response of m and of -w to a unit tilt of each
     * coefficient. */
    double *cols_m, *cols_w;
    /* glmm_theta_factor(), p x p: L^-1 Sigma L^-T of the coefficients' exact Sigma and the L L' that
     * glmm_response_factor() has, next to I; EXACT_BETA makes it, EXACT_RATIO takes it for Sigma. */
    double *ratio;
};
bool glmm_theta_response(const struct glmm *g, const double *t,
                         const struct glmm_state *s, struct glmm_work *w,
                         struct theta_response want, double *S_global, double *d_inv,
                         double *q, double *s_leaf, double *leaf_work);

/* F <- factor of the inverse of the same, with the pattern of the model: of EXACT_NONE, EXACT_BETA or
 * EXACT_RATIO. */
bool glmm_theta_factor(const struct glmm *g, const double *t, const struct glmm_state *s,
                       struct glmm_work *w, struct theta_response want, struct arrow *F,
                       double *leaf_work);

/* Few enough effects for exact responses. */
bool glmm_theta_exact_effects(const struct glmm *g);
size_t glmm_theta_leaf_work(const struct glmm *g);

#endif
