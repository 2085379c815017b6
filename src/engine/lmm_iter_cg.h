/* lmm_iter_cg.h: S° times columns, by conjugate gradients in the Schur complement of the leaf.
 *
 * Preconditioned by its diagonal, with the constant of every factor of R as a coarse space that the
 * residuals are kept orthogonal to [Nicolaides 1987]. A column that has converged is left alone, and
 * the others close up: going on with it would divide by rounding. */
#ifndef MEANFIELD_LMM_ITER_CG_H
#define MEANFIELD_LMM_ITER_CG_H

#include "engine/lmm_iter_op.h"

enum { LMM_ITER_MOST = 500 /* iterations */ };

struct lmm_iter_cg {
    double *r, *p, *Sp; /* n_R x 16 each                                             */
    double *l, *R;      /* the columns: n_leaf x 16, n_R x 16                        */
    double *coarse;     /* 3 x n_coarse x 16                                         */
    int iterations;     /* the most that a column took, since it was set to zero     */
    const struct core_hooks *hooks; /* or NULL                                         */
    bool stopped; /* by them                                                   */
};

struct lmm_iter_cg lmm_iter_cg_carve(const struct lmm_iter *x, struct arena *a);

/* (w->l, w->R) <- S° (w->l, w->R), n columns; guess (n_R x ld): first guess of the R part in, the
 * solution out; tol: of each column, relative to its right side in the Schur system. w->r (compact, in
 * the order of the columns, n_R x ld) holds the residuals. False: a column did not converge, or the
 * hooks said stop. */
bool lmm_iter_cg_solve(const struct lmm_iter_op *o, int n, const double *tol,
                       double *guess, struct lmm_iter_cg *w);

#endif
