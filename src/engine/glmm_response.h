/* glmm_response.h: how the approximation of glmm_state.h responds to changes of the posterior. */
#ifndef MEANFIELD_GLMM_RESPONSE_H
#define MEANFIELD_GLMM_RESPONSE_H

#include "engine/glmm_state.h"

/* w->A <- factor of T - C'diag(f_mm)C; needed once before solves at a new state. */
enum core_status glmm_response_curvature(const struct glmm *g, const double *t,
                                         const struct glmm_state *s, struct glmm_work *w,
                                         struct core_info *info);

/* The response (dm, dmu, dv in w, and in w->sums that of the sums over levels of the blocks of S)
 * to the gradient w->g and to at most one base change: eps0 (n, of -w; or NULL) or direction (an
 * arrow added to S^-1: w->dP). Returns false at negative curvature. eps0 may be w->rho. */
struct glmm_tilt {
    const double *eps0;
    bool direction; /* w->dP holds a change of S^-1                                  */
    double tol;     /* relative, in the norm of the ELBO's curvature                 */
};
bool glmm_response(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                   struct glmm_tilt tilt);

/* eps <- 2 f_mv dmu + 2 f_vv dv: the response of -w to the last tilt (without its eps0). */
void glmm_response_weights(const struct glmm *g, const struct glmm_state *s,
                           const struct glmm_work *w, double *eps);

/* F <- factor of the precision of m's linear response at fixed t, to the accuracy of each leaf
 * on its own: A, less the part that runs through each leaf's own covariance. scratch: n or
 * glmm_response_leaf_work() doubles, whichever is more. */
size_t glmm_response_leaf_work(const struct glmm *g);
enum core_status glmm_response_factor(const struct glmm *g, const double *t,
                                      const struct glmm_state *s, struct arrow *P,
                                      struct arrow *F, double *scratch,
                                      struct core_info *info);

/* Puts the direction of statistic (a, b) of precision k into w->dP and the gradient it has on m
 * into w->g: what glmm_response() needs for d/d Lambda_ab. unit: n_stat zeros, left zero. */
void glmm_response_direction(const struct glmm *g, const struct glmm_state *s,
                             struct glmm_work *w, int k, int a, int b, double *unit);

/* As glmm_response() to w->g, of m alone: dm and dmu at dv = 0; w->Kr <- (K o K) w->rho. */
void glmm_response_mean(const struct glmm *g, const struct glmm_state *s,
                        struct glmm_work *w);

#endif
