/* glmm.h: the generalised mixed model in working coordinates, shared by every engine.
 *
 *     y_i | eta_i ~ one of the likelihoods (likelihood.h)
 *     eta = offset + C theta,   theta = (beta, u),   priors of theta and of the precisions as
 *     in lmm.h; the likelihood's extra parameter stands where tau_e would, if it has one.
 *
 * The rows are needed in every sweep: they stand sorted by level of the leaf factor, a row's
 * covariates side by side. Four kernels do the sums over all rows, and what can be is done by them
 * and with vectors of length n; what goes level by level reads the rows itself:
 *
 *     C theta,   C'x,   C'diag(w)C in arrow form,   c_i'S c_i for an S in arrow form. */
#ifndef MEANFIELD_GLMM_H
#define MEANFIELD_GLMM_H

#include "model/likelihood.h"
#include "model/lmm.h"

enum { GLMM_MAX_FACTORS = 16 };

/* A grouping factor other than the leaf: its coefficients stand in the global block. */
struct glmm_factor {
    int r, first, n_levels; /* first: global column of level 0                          */
    const int *col;  /* n: global column of coefficient 0 of the row's level            */
    const int *pos;  /* n: its position in the column list of the row's leaf            */
    const double *z; /* r x n covariates, or NULL for an intercept                      */
};

struct glmm {
    struct lmm lmm; /* shape, p, prior of beta, precisions; no Gram               */
    const struct likelihood *likelihood;
    size_t n;             /* rows, of positive size                                    */
    const double *X;      /* p x n: row i's covariates are column i                    */
    const double *y;      /* n: successes or counts                                    */
    const double *size;   /* n: trials, or row weights                                 */
    const double *offset; /* n: offset, with the shift of the working coordinates      */
    double constant;      /* of the log likelihood                                     */
    const size_t *start; /* rows of leaf l: start[l] <= i < start[l + 1] (n_leaf + 1)   */
    const double *z;     /* leaf: r x n covariates, or NULL for an intercept           */
    int n_other;
    struct glmm_factor other[GLMM_MAX_FACTORS];
};

/* Without groups all rows form one run that belongs to no leaf. */
static inline int glmm_runs(const struct glmm *g)
{
    return g->lmm.shape.n_leaf ? g->lmm.shape.n_leaf : 1;
}

/* out (n) <- C theta. Cost n (p + sum of r). */
void glmm_mul(const struct glmm *g, const double *theta, double *out);

/* out (dim) <- C'x. */
void glmm_adjoint(const struct glmm *g, const double *x, double *out);

/* P <- C'diag(w)C, w of any sign; lower triangle of the global block, on its pattern, and of the
 * leaves. */
void glmm_gram(const struct glmm *g, const double *w, struct arrow *P);

/* P += T(t), the prior precision of theta: blockdiag(T_b, I (x) Lambda_j). */
void glmm_add_prior(const struct glmm *g, const double *t, struct arrow *P);

/* v (n) <- c_i'S c_i; S in arrow form with a full global block and full leaves. */
void glmm_quad(const struct glmm *g, const struct arrow *S, double *v);

static inline struct likelihood_rows glmm_rows(const struct glmm *g)
{
    return (struct likelihood_rows){g->n, g->y, g->size};
}

struct likelihood_terms glmm_terms_carve(const struct glmm *g, struct arena *a);

#endif
