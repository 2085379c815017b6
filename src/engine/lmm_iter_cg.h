/* lmm_iter_cg.h: S° times columns, by conjugate gradients.
 *
 * Up to 16 columns stand side by side, a row of `ld` numbers per unknown (a multiple of 4; what is
 * beyond the columns is zero). The Schur product takes one pass over the tables, both halves of a
 * leaf's part at once; preconditioned by its diagonal, with the constant of every factor of R as a
 * coarse space that the residuals are kept orthogonal to [Nicolaides 1987]. A column that has
 * converged is left alone, and the others close up: going on with it would divide by rounding. */
#ifndef MEANFIELD_LMM_ITER_CG_H
#define MEANFIELD_LMM_ITER_CG_H

#include "engine/lmm_iter.h"

enum { LMM_ITER_COLUMNS = 16, LMM_ITER_MOST = 500 /* iterations */ };

static inline int lmm_iter_ld(int columns) { return (columns + 3) / 4 * 4; }

/* P_uu at given precisions. */
struct lmm_iter_op {
    const struct lmm_iter *x;
    double tau_e;
    double *D_l, *D_R; /* its diagonal                                                 */
    double *jacobi;    /* diagonal of the Schur complement (n_R)                      */
    double *SW;        /* the Schur complement of the constants, n_R rows of n_coarse */
    double *E;         /* Cholesky factor of the coarse matrix                        */
    int n_coarse;      /* n_big - 1                                                   */
};

struct lmm_iter_cg {
    double *r, *p, *Sp;  /* n_R x 16 each                                             */
    double *l, *R;       /* the columns: n_leaf x 16, n_R x 16                        */
    double *coarse;      /* 3 x n_coarse x 16                                         */
    int iterations;      /* the most that a column took, since it was set to zero     */
    const struct core_hooks *hooks; /* or NULL                                         */
    bool stopped;        /* by them                                                   */
};

struct lmm_iter_op lmm_iter_op_carve(const struct lmm_iter *x, struct arena *a);
struct lmm_iter_cg lmm_iter_cg_carve(const struct lmm_iter *x, struct arena *a);

/* P_uu at the globals t. False when the coarse matrix is not positive definite. */
bool lmm_iter_op_at(struct lmm_iter_op *o, const double *t, double *work);

/* y <- P_uu v without its diagonal, for n columns: (l, R) parts. */
void lmm_iter_off(const struct lmm_iter_op *o, int ld, const double *v_l,
                  const double *v_R, double *y_l, double *y_R);

/* y <- the Schur complement times v, n_R x ld each. */
void lmm_iter_schur(const struct lmm_iter_op *o, int ld, const double *v, double *y);

/* l -= D^-1 P_lR v_R, n_leaf x ld. */
void lmm_iter_back(const struct lmm_iter_op *o, int ld, const double *v_R, double *l);

/* (w->l, w->R) <- S° (w->l, w->R), n columns; guess (n_R x ld): first guess of the R part in, the
 * solution out; tol: of each column, relative to its right side. w->r (compact, in the order of the
 * columns, n_R x ld) holds the residuals. False: a column did not converge, or
 * the hooks said stop. */
bool lmm_iter_cg_solve(const struct lmm_iter_op *o, int n, const double *tol,
                       double *guess, struct lmm_iter_cg *w);

#endif
