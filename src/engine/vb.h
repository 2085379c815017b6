/* vb.h: mean-field variational Bayes for the Gaussian model
 *
 *     q(theta) q(tau_e) prod_j q(Lambda_j) prod q(c),     q(theta) = N(m, S) in arrow form,
 *
 * or with separate blocks, q(theta) = q(beta) prod_g q(u_g) [Giordano et al. 2015, section 3.2],
 * with Newton steps on the log(-Cholesky) scale from the linear-response matrix. */
#ifndef MEANFIELD_VB_H
#define MEANFIELD_VB_H

#include "engine/vb_state.h"

struct vb_control {
    double tol;   /* on the largest change of a log precision                         */
    int max_iter;
    int trace_rows; /* sweeps on record; later ones are not                           */
    bool newton;  /* false: plain coordinate ascent                                   */
};

enum vb_step { VB_STEP_CAVI = 0, VB_STEP_NEWTON = 1, VB_STEP_REJECTED = 2 };

struct vb_work vb_work_carve(const struct lmm *m, struct arena *a);

/* What the ascent over the globals needs of a model: its q(theta) at given t. */
struct vb_theta {
    void *ctx;
    enum core_status (*update)(void *ctx, struct vb_state *s, struct core_info *info);
    double (*elbo)(void *ctx, const struct vb_state *s);
    void (*targets)(void *ctx, const struct vb_state *s, double *target, double *cavi);
    bool (*coupling)(void *ctx, struct vb_state *s); /* false: no response exists        */
    double settled; /* a Newton step after which less than this is left to go is the last: it is
                     * taken, not measured (0: never)                                 */
};

/* Alternates q->update() with CAVI or Newton moves of t, to convergence; leaves the linear
 * response of the optimum in s->lr and s->J, but after a last step not measured, when q(theta) and
 * the response there are the caller's to find. Of w only target, cavi, step and resid are used. */
enum core_status vb_ascend(const struct lmm *m, const struct vb_theta *q,
                           const struct vb_control *ctl, struct vb_state *s, struct vb_work *w,
                           const struct core_hooks *h, struct core_info *info);

/* vb_ascend() for the Gaussian model. */
enum core_status vb_run(const struct lmm *m, const struct vb_control *ctl, struct vb_state *s,
                        struct vb_work *w, const struct core_hooks *h, struct core_info *info);

/* The single updates, for the tests and the other engines. */
enum core_status vb_update_theta(const struct lmm *m, struct vb_state *s, struct vb_work *w,
                                 struct core_info *info);
void vb_update_precisions(const struct lmm *m, const struct vb_state *s, double *target,
                          double *cavi);
double vb_elbo(const struct lmm *m, const struct vb_state *s, const struct vb_work *w);

/* E log p(Lambda_k | c) + E log p(c) + the entropies of their factors. */
double vb_elbo_precision(const struct lmm *m, const struct vb_state *s, int k);

/* E log |Lambda_k|, and log |E Lambda_k|. */
double vb_mean_logdet(const struct lmm *m, const struct vb_state *s, int k);
double vb_logdet_mean(const struct lmm *m, const struct vb_state *s, int k);

#endif
