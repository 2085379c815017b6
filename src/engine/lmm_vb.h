/* lmm_vb.h: mean-field variational Bayes for the Gaussian model
 *
 *     q(theta) q(tau_e) prod_j q(Lambda_j) prod q(c),     q(theta) = N(m, S) in arrow form,
 *
 * or with separate blocks, q(theta) = q(beta) prod_g q(u_g) [Giordano et al. 2015, section 3.2],
 * with Newton steps on the log(-Cholesky) scale from the linear-response matrix. */
#ifndef MEANFIELD_LMM_VB_H
#define MEANFIELD_LMM_VB_H

#include "model/lmm.h"
#include "engine/lr.h"

struct vb_control {
    double tol;   /* on the largest change of a log precision                         */
    int max_iter;
    int trace_rows; /* sweeps on record; later ones are not                           */
    bool newton;  /* false: plain coordinate ascent                                   */
};

enum vb_step { VB_STEP_CAVI = 0, VB_STEP_NEWTON = 1, VB_STEP_REJECTED = 2 };

/* What is learned. q = n_par, s = n_stat, dim = arrow_dim(). */
struct vb_state {
    double *t;         /* E of the globals (q); in: starting values                   */
    double *df;        /* Wishart df of each precision (n_prec)                       */
    double *m;         /* E theta (dim)                                               */
    double *S_global;  /* n_global^2, full                                            */
    double *d_inv, *q, *s_leaf; /* the rest of S, see arrow.h                         */
    double *Sq_global; /* q's own covariance: S_global, or its blocks' inverses        */
    double *sq_leaf;   /* s_leaf, or d_inv                                            */
    double *J;         /* dim x s: response of m to the mean of each statistic's factor */
    double *ss;        /* expected quadratic forms, vech like the statistics (s)      */
    double *trace;     /* trace_rows rows of q + 3: t, ELBO, change, step kind        */
    double elbo;
    bool lr_ok;        /* false: V^-1 - C is not positive definite                    */
    struct lr lr;      /* V, C, Sigma, K at the optimum                               */
};

/* Scratch, meaningless between calls. */
struct vb_work {
    struct arrow P, F;
    double *scratch;               /* n_global * max(r, 1)                            */
    double *prior_grad;            /* dim: T (m - mu)                                 */
    double *grad;                  /* dim x s                                         */
    double *T, *M;                 /* n_global^2 each (T: p^2 with a sparse global block) */
    double *SM;                    /* shape.r^2 pieces of n_global^2: S M_ab          */
    double *H;                     /* traces of pairs of statistics, vb_n_pairs()^2   */
    struct arrow S, dP, dS;        /* with a sparse global block, instead: S on its pattern, K_y, */
    struct arrow_push_work push;   /* -S K_y S there                                  */
    double *unit;                  /* s                                               */
    double *us;                    /* covariance part of the quadratic forms (s)      */
    double *target, *cavi, *step, *resid; /* q each                                   */
    double log_det_P;              /* of q's own precision                            */
};

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

/* V of the precisions and auxiliaries, and what couples them directly (N) into C. */
void vb_fill_V(const struct lmm *m, struct vb_state *s);

/* lmm_lr.c: V and C = A + N at the current q, and J. Needs q(theta). */
void vb_coupling(const struct lmm *m, struct vb_state *s, struct vb_work *w);

int vb_n_pairs(const struct lmm *m); /* ordered pairs of coefficients, over all terms */

#endif
