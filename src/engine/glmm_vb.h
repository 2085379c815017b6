/* glmm_vb.h: variational Bayes for the generalised model,
 *
 *     q(theta) prod_j q(Lambda_j) prod q(c),   q(theta) = N(m, S) of glmm_state.h,
 *
 * ascended over the globals by ascent_run(), with full linear response: nothing is dropped. The
 * logarithm of the likelihood's extra parameter is normal about the mode of its factor, with the
 * curvature of the bound as its precision; on the way it is a point, and so are the bounds on the
 * trace. */
#ifndef MEANFIELD_GLMM_VB_H
#define MEANFIELD_GLMM_VB_H

#include "engine/glmm_state.h"
#include "engine/vb.h"

struct glmm_vb {
    const struct glmm *g;
    struct glmm_state *theta;
    struct glmm_work *w;
    const struct core_hooks *h;
    double *unit;           /* n_stat: a direction in t                            */
    double *lm, *lv;        /* n each, with an extra parameter: likelihood_extra    */
    double grad_l, curve_l; /* of the bound in log extra, prior included           */
    double response_tol;    /* of glmm_response()                                   */
    double *fitted_t;       /* n_stat: of the last fit, and of J                    */
    bool started, has_response;
    bool last; /* at the optimum: everything to full accuracy         */
};

struct glmm_vb glmm_vb_carve(const struct glmm *g, struct arena *a);

/* Runs to convergence. s->m, s->Sq_global and s->sq_leaf must be theta's m, S.global and S.leaf.
 * Out: as vb_run(); S_global, d_inv, q and s_leaf hold the linear response of theta at fixed t:
 * of the coefficients exactly, of the effects too when they are few.
 * leaf_work: as long as glmm_theta_leaf_work(). */
enum core_status glmm_vb_run(struct glmm_vb *b, const struct vb_control *ctl,
                             struct vb_state *s, struct ascent_work *w, double *leaf_work,
                             struct core_info *info);

#endif
