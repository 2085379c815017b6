/* lmm_iter_vb.h: variational Bayes of the Gaussian model by conjugate gradients and fixed probes.
 *
 * The ascent of vb.h, with what a sweep needs of S made otherwise (lmm_iter.h): the means, S_ee and J
 * by solves, to their tolerance; T_f = tr S_ff and H_fg = tr(S_fg S_gf) of the big factors by probes
 * (lmm_iter_trace.h) and, through e, exactly:
 *
 *     T_f  = tr S°_ff + tr(WW_f S_ee),                           WW_f = W_f'W_f
 *     H_fg = tr(S°_fg S°_gf) + 2 tr(W_g' S°_gf W_f S_ee) + tr(WW_f S_ee WW_g S_ee).
 *
 * The same probes in every sweep: T is a function of the precisions, and Newton converges. There is no
 * log|P| and so no bound: s->elbo is NaN.
 * Cost of a sweep: (n_e (1 + n_big) + n_big (1 + probes) + n_stat + 1) columns, each some iterations of
 * a pass over the tables. */
#ifndef MEANFIELD_LMM_ITER_VB_H
#define MEANFIELD_LMM_ITER_VB_H

#include "engine/ascent.h"
#include "engine/lmm_iter_cov.h"
#include "engine/lmm_iter_error.h"

struct lmm_iter_vb {
    struct lmm_iter_cov cov;
    struct lmm_iter_trace trace;
    double *WW, *Q;    /* n_e^2: n_big of it; n_stat of it: S_ek S_ke                  */
    double *square;    /* n_e^2                                                        */
    double *T, *H, *B; /* n_stat, its square, n_stat                                   */
    struct lmm_iter_error error;
    double *prior_grad; /* dim                                                         */
    double *grad;       /* dim x n_stat                                                */
    double *guess, *guess2; /* solutions of the last sweep, for the next               */
    struct ascent_work moves;
};

struct lmm_iter_vb lmm_iter_vb_carve(const struct lmm_iter *x, struct arena *a);

/* The fit: s->m, J, ss, lr; w->cov at its precisions, error, trace.probes. CORE_DEAR: conjugate
 * gradients did not converge. */
enum core_status lmm_iter_vb_run(const struct lmm_iter *x,
                                 const struct lmm_iter_control *aim,
                                 const struct vb_control *ctl, struct vb_state *s,
                                 struct lmm_iter_vb *w, const struct core_hooks *h,
                                 struct core_info *info);

#endif
