/* lmm_iter_cov.h: the covariance S of all coefficients as an operator, at given precisions.
 *
 * lmm_iter.h's split into u and e: W and S_ee are made once, with n_e solves; then S times a column
 * costs one solve more,
 *
 *     (S b)_e = S_ee (b_e - W'b_u),     (S b)_u = S° b_u - W (S b)_e.
 *
 * Columns are solved up to 16 at once; a list of them says how one is filled and what becomes of its
 * solution. */
#ifndef MEANFIELD_LMM_ITER_COV_H
#define MEANFIELD_LMM_ITER_COV_H

#include "engine/lmm_iter_cg.h"

struct lmm_iter_cov {
    const struct lmm_iter *x;
    struct lmm_iter_op op;
    struct lmm_iter_cg cg;
    double *E_l, *E_R, *ee;  /* G_ue by rows, G_ee                                     */
    double *W_l, *W_R, *res; /* W by rows; residuals of its R part (n_R x n_e)         */
    double *S_ee;            /* n_e^2                                                  */
    double *b_e, *work;      /* n_e; 2 n_e                                             */
    double *guess;           /* of the edges and of product's columns                  */
    bool solved;             /* every column converged, since it was set               */
};

/* Columns to be solved for. fill: column i into place c of cg's (l, R), rows of ld, which hold zeros;
 * returns its tolerance. ready (or NULL): columns from, ..., from + n - 1 are in places 0, ... keep:
 * the solution of column i is in place c. guess: n_R numbers a column (lmm_iter_cov_guess()), in and out. */
struct lmm_iter_columns {
    int n;
    void *ctx;
    double (*fill)(void *ctx, int i, int c, int ld);
    void (*ready)(void *ctx, int from, int n, int ld);
    void (*keep)(void *ctx, int i, int c, int ld);
    double *guess;
};

struct lmm_iter_cov lmm_iter_cov_carve(const struct lmm_iter *x, struct arena *a);

static inline size_t lmm_iter_cov_guess(const struct lmm_iter *x, int columns)
{
    return (size_t) x->n_R * (size_t) lmm_iter_op_ld(columns);
}

/* Rows of a big factor in arrays of rows of `width`, of the leaf or of R. */
static inline const double *lmm_iter_cov_rows(const struct lmm_iter *x, int f,
                                              const double *l, const double *R, int width)
{
    return f ? R + (size_t) x->factor[f].at * (size_t) width : l;
}

/* Place in theta of the i-th of e. */
size_t lmm_iter_cov_place(const struct lmm_iter *x, int i);

/* Until one does not converge (v->solved). */
void lmm_iter_cov_solve(struct lmm_iter_cov *v, const struct lmm_iter_columns *list);

/* G_ue and G_ee, once. */
void lmm_iter_cov_begin(struct lmm_iter_cov *v);

/* The edges: tau_e G_ue's column j to place c (its tolerance), and W's column j from there. */
double lmm_iter_cov_fill_edge(struct lmm_iter_cov *v, int j, int c, int ld);
void lmm_iter_cov_keep_edge(struct lmm_iter_cov *v, int j, int c, int ld);

/* S_ee from W at the globals t. False: not positive definite. */
bool lmm_iter_cov_close(struct lmm_iter_cov *v, const double *t);

/* All of that: W and S_ee at t. False: not to be had. */
bool lmm_iter_cov_at(struct lmm_iter_cov *v, const double *t);

/* The big factors' part of a vector like theta, times a number, to place c; and back. */
void lmm_iter_cov_fill(struct lmm_iter_cov *v, const double *theta, double times, int c,
                       int ld);
void lmm_iter_cov_keep(const struct lmm_iter_cov *v, double *theta, int c, int ld);

/* theta holds S° times b_u; make it S times (b_u, b_e), b_e in v->b_e. */
void lmm_iter_cov_finish(struct lmm_iter_cov *v, const double *b, double times,
                         double *theta);

/* theta holds x_u given e = 0; make it (x_e, x_u - W x_e). */
void lmm_iter_cov_spread(const struct lmm_iter_cov *v, const double *x_e, double *theta);

/* x <- S b, dim x n. False: conjugate gradients did not converge. */
bool lmm_iter_cov_product(struct lmm_iter_cov *v, int n, const double *b, double *x);

/* out (n_e^2) += a sum over n rows of u v', rows of n_e. */
void lmm_iter_cov_outer(int n_e, int n, double a, const double *u, const double *v,
                        double *out);

#endif
