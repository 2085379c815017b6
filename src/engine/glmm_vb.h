/* glmm_vb.h: variational Bayes for the generalised model,
 *
 *     q(theta) prod_j q(Lambda_j) prod q(c),   q(theta) = N(m, S) of glmm_fit.h,
 *
 * ascended over the globals by vb_ascend(), with full linear response: nothing is dropped. The
 * negative binomial's log dispersion is normal about the mode of its factor, with the curvature of
 * the bound as its precision; on the way it is a point, and so are the bounds on the trace. */
#ifndef MEANFIELD_GLMM_VB_H
#define MEANFIELD_GLMM_VB_H

#include "engine/glmm_fit.h"
#include "engine/lmm_vb.h"

struct glmm_vb {
    const struct glmm *g;
    struct glmm_state *theta;
    struct glmm_work *w;
    const struct core_hooks *h;
    double *unit;           /* n_stat: a direction in t                            */
    double *lm, *lv;        /* n each: dispersion only                             */
    double grad_l, curve_l; /* of the bound in log phi, prior included             */
    double response_tol;    /* of glmm_respond()                                   */
    double *fitted_t;       /* n_stat: of the last fit, and of J                    */
    bool started, has_response;
    bool last;              /* at the optimum: everything to full accuracy         */
};

struct glmm_vb glmm_vb_carve(const struct glmm *g, struct arena *a);

/* Runs to convergence. s->m, s->Sq_global and s->sq_leaf must be theta's m, S.global and S.leaf.
 * Out: as vb_run(); S_global, d_inv, q and s_leaf hold the linear response of theta at fixed t:
 * of the coefficients exactly, of the effects too when they are few.
 * leaf_work: as long as glmm_leaf_work(). */
enum core_status glmm_vb_run(struct glmm_vb *b, const struct vb_control *ctl,
                             struct vb_state *s, struct vb_work *w, double *leaf_work,
                             struct core_info *info);

/* The response of theta at fixed t into S_global, d_inv, q and s_leaf, as glmm_response_factor() has
 * it and then exactly for the coefficients, or for the effects too (of a leaf its own block).
 * cols_m (dim x p), cols_w (n x p), or NULL: the response of m and of -w to a unit tilt of each
 * coefficient (EXACT_BETA only). False: no response exists. Needs glmm_curvature(). */
enum theta_exact { EXACT_NONE, EXACT_BETA, EXACT_ALL };
struct theta_response {
    enum theta_exact exact;
    double tol; /* of glmm_respond()                                                  */
    double *cols_m, *cols_w;
};
bool glmm_theta_response(const struct glmm *g, const double *t,
                         const struct glmm_state *s, struct glmm_work *w, struct theta_response want,
                         double *S_global, double *d_inv, double *q, double *s_leaf,
                         double *leaf_work);

/* Few enough effects for exact responses. */
bool glmm_exact_effects(const struct glmm *g);
size_t glmm_leaf_work(const struct glmm *g);

/* Puts the direction of statistic (a, b) of precision k into w->dP and the gradient it has on m
 * into w->g: what glmm_respond() needs for d/d Lambda_ab. unit: n_stat zeros, left zero. */
void glmm_direction(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                    int k, int a, int b, double *unit);

#endif
