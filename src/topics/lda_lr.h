/* lda_lr.h: linear response of a document's proportions [Giordano, Broderick & Jordan 2015].
 *
 * Given topics (their q stays where it is), q(theta) = Dirichlet(gamma) with phi eliminated has the
 * natural parameters alpha + dF/ds, s = E log theta, F(s) = sum_cells n log sum_k exp(s_k + log
 * topic_kw). With H = F'' = sum_cells n (diag(phi) - phi phi') and V = Cov_q(log theta),
 *
 *     Cov(log theta) = (V^-1 - H)^-1,
 *     Cov(theta)     = Cov_q(theta) + J ((V^-1 - H)^-1 - V) J',  J = Cov_q(theta, log theta) V^-1:
 *
 * that words may move between topics together, which mean field forgets. */
#ifndef MEANFIELD_LDA_LR_H
#define MEANFIELD_LDA_LR_H

#include "topics/lda.h"

struct lda_lr_work {
    double *P, *X;                  /* K x K                */
    double *phi, *log_t, *d, *mean; /* K                    */
};

struct lda_lr_work lda_lr_work_carve(const struct lda *g, struct arena *a);

/* var (K) <- variances of theta_d. False, and those of q, where V^-1 - H is not positive definite:
 * gamma is at no maximum. Cost K^2 a cell, and K^3. */
bool lda_lr_document(const struct lda *g, int d, const struct lda_topics *t,
                     const double *gamma, double *var, struct lda_lr_work *w);

#endif
