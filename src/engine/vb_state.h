/* vb_state.h: what variational Bayes of the Gaussian model learns (see vb.h), and its scratch. */
#ifndef MEANFIELD_VB_STATE_H
#define MEANFIELD_VB_STATE_H

#include "model/lmm.h"
#include "engine/lr.h"

/* What is learned. q = n_par, s = n_stat, dim = arrow_dim(). */
struct vb_state {
    double *t;        /* E of the globals (q); in: starting values                   */
    double *df;       /* Wishart df of each precision (n_prec)                       */
    double *m;        /* E theta (dim)                                               */
    double *S_global; /* n_global^2, full; or packed                                 */
    double *S_elim;   /* of a packed one, as arrow.elim: all of S, not its pattern only */
    double *d_inv, *q, *s_leaf; /* the rest of S, see arrow.h                         */
    double *Sq_global; /* q's own covariance: S_global, or its blocks' inverses        */
    double *sq_leaf;   /* s_leaf, or d_inv                                            */
    double *J;         /* dim x s: response of m to the mean of each statistic's factor */
    double *ss;        /* expected quadratic forms, vech like the statistics (s)      */
    double *trace;     /* trace_rows rows of q + 3: t, ELBO, change, step kind        */
    double elbo;
    bool lr_ok;   /* false: V^-1 - C is not positive definite                    */
    struct lr lr; /* V, C, Sigma, K at the optimum                               */
};

/* Scratch of ascent.h: q each. */
struct ascent_work {
    double *target, *cavi, *step, *resid;
};

/* Scratch, meaningless between calls. */
struct vb_work {
    struct arrow P, F;
    double *scratch;    /* n_global * max(r, 1)                            */
    double *prior_grad; /* dim: T (m - mu)                                 */
    double *grad;       /* dim x s                                         */
    double *T, *M;      /* n_global^2 each (T: p^2 with a packed global block) */
    double *SM;         /* shape.r^2 pieces of n_global^2: S M_ab          */
    double *H;          /* traces of pairs of statistics, vb_coupling_pairs()^2   */
    struct arrow S, dP,
        dS; /* with a packed global block, instead: S on its pattern, K_y, */
    struct arrow_push_work push; /* -S K_y S there                                  */
    double *unit;                /* s                                               */
    double *us;                  /* covariance part of the quadratic forms (s)      */
    struct ascent_work moves;
    double log_det_P; /* of q's own precision                            */
};

#endif
