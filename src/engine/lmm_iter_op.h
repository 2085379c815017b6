/* lmm_iter_op.h: P_uu at given precisions, and the Schur complement of its leaf,
 *
 *     A = P_RR - P_Rl D^-1 P_lR,
 *
 * times columns. Up to 16 stand side by side, a row of `ld` numbers per unknown (a multiple of 4; what
 * is beyond the columns is zero); a product takes one pass over the tables, both halves of a leaf's part
 * at once. The constants W of the factors of R are a space in which A is factored. */
#ifndef MEANFIELD_LMM_ITER_OP_H
#define MEANFIELD_LMM_ITER_OP_H

#include "engine/lmm_iter.h"

enum { LMM_ITER_COLUMNS = 16 };

static inline int lmm_iter_op_ld(int columns) { return (columns + 3) / 4 * 4; }

struct lmm_iter_op {
    const struct lmm_iter *x;
    double tau_e;
    double *D_l, *D_R; /* the diagonal of P_uu                                         */
    double *jacobi;    /* that of A (n_R)                                             */
    double *SW;        /* A W, n_R rows of n_coarse                                   */
    double *E;         /* Cholesky factor of W'A W                                    */
    int n_coarse;      /* n_big - 1                                                   */
};

struct lmm_iter_op lmm_iter_op_carve(const struct lmm_iter *x, struct arena *a);

/* At the globals t. False when W'A W is not positive definite. work: 2 n_R x 4. */
bool lmm_iter_op_at(struct lmm_iter_op *o, const double *t, double *work);

/* y <- P_uu v without its diagonal: (l, R) parts. */
void lmm_iter_op_off(const struct lmm_iter_op *o, int ld, const double *v_l,
                     const double *v_R, double *y_l, double *y_R);

/* y <- A v, n_R x ld each. */
void lmm_iter_op_schur(const struct lmm_iter_op *o, int ld, const double *v, double *y);

/* c <- (W'A W)^-1 W'v (n_coarse x ld), v -= A W c. */
void lmm_iter_op_project(const struct lmm_iter_op *o, int ld, double *v, double *c);

/* l <- D^-1 l, R -= P_Rl l; and back, l -= D^-1 P_lR v_R. */
void lmm_iter_op_forward(const struct lmm_iter_op *o, int ld, double *l, double *R);
void lmm_iter_op_back(const struct lmm_iter_op *o, int ld, const double *v_R, double *l);

#endif
