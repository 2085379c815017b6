/* lda_vb.h: variational fits of latent Dirichlet allocation: all documents a sweep, or some. */
#ifndef MEANFIELD_LDA_VB_H
#define MEANFIELD_LDA_VB_H

#include "topics/lda.h"

struct lda_control {
    double tol; /* gain of the bound in a sweep, relative to it, at which to stop */
    int max_iter;
    bool fresh; /* documents begin evenly in every sweep: for starts, see lda_vb_run() */
    struct lda_inner inner;
};

struct lda_fit {
    double *lambda; /* K x V, in: start                                     */
    double *gamma;  /* K x D, in: start                                     */
    double *trace;  /* max_iter: the bound of each sweep                    */
    double elbo;    /* at lambda and gamma as they are                      */
    int sweeps;
};

struct lda_fit_work {
    struct lda_topics t;
    struct lda_work w;
    double *S; /* K x V */
};

struct lda_fit_work lda_vb_work_carve(const struct lda *g, struct arena *a);

/* Coordinate ascent. The bound of a sweep is that of its gamma and of the lambda it began with, so
 * that it never falls; lambda is not updated after the last. Documents that begin evenly in every
 * sweep may lose some of it, but are not held by what the first topics made of them: 20 such sweeps
 * end 1% higher on the AssociatedPress corpus. Cost of a sweep: inner steps x 4 K flops a cell, and
 * K V logarithms. */
enum core_status lda_vb_run(const struct lda *g, const struct lda_control *ctl,
                            struct lda_fit *q, struct lda_fit_work *w,
                            const struct core_hooks *h, struct core_info *info);

struct lda_steps {
    int steps, batch;     /* documents a step                               */
    bool replacement;     /* drawn with it? Else a new order every epoch    */
    double delay, forget; /* rate of step t: (t + delay)^-forget            */
    uint64_t seed;
    struct lda_inner inner;
};

/* Stochastic variational inference [Hoffman et al. 2013, figure 6]: lambda moves by a rate towards
 * eta + D / batch x the counts of a batch. trace[t]: an estimate of the bound from the batch. order:
 * n_docs ints. A document begins evenly at every visit; gamma is that of the last. */
enum core_status lda_vb_stochastic(const struct lda *g, const struct lda_steps *ctl,
                                   struct lda_fit *q, int *order, struct lda_fit_work *w,
                                   const struct core_hooks *h, struct core_info *info);

#endif
