/* lmm_iter.h: the Gaussian model of crossed factors without a matrix of its global block.
 *
 * The Gram is kept as it was summed, a table of sum w per pair of levels that meet. theta is seen as
 * (u, e): u the effects of the big factors, of which the first, with the most levels, is the leaf and
 * the others make R; e the fixed effects and the factors with few levels. With P = tau_e G + T,
 *
 *     P = [ P_uu P_ue ]    S° = P_uu^-1,   W = S° P_ue,   S_ee = (P_ee - P_eu W)^-1,
 *         [ P_eu P_ee ]    S_eu = -S_ee W',   S_uu = S° + W S_ee W'.
 *
 * e is solved exactly; S° times a column costs one solve by conjugate gradients (lmm_iter_cg.h) in the
 * Schur complement of the leaf, P_RR - P_Rl D^-1 P_lR. Every factor has one coefficient. */
#ifndef MEANFIELD_LMM_ITER_H
#define MEANFIELD_LMM_ITER_H

#include "model/lmm.h"

/* sum w of the levels of factor a (rows, compressed) and b that meet, a < b. */
struct lmm_iter_table {
    int a, b;
    const int *ptr, *idx;
    const double *val;
};

struct lmm_iter_factor {
    int n;     /* levels                                                              */
    int first; /* of its effects in theta                                             */
    bool big;
    int at;           /* its first row of R, or (few levels) of e; 0 for the leaf      */
    const double *d;  /* sum w of every level (n)                                      */
    const double *xz; /* sum w x z of every level (p x n)                              */
};

struct lmm_iter {
    const struct lmm *m;
    int n_factors, n_tables;
    struct lmm_iter_factor *factor;
    struct lmm_iter_table *table;
    const double *xx;     /* p x p                                                      */
    int n_big;            /* the first n_big factors are the big ones                   */
    int n_leaf, n_R, n_e; /* unknowns of the three parts                              */
};

/* Which factors are big: those of at least `few` levels, in any case the first. Factors come with
 * decreasing levels; sets every factor's `big` and `at`, and the sizes. */
void lmm_iter_split(struct lmm_iter *x, int few);

/* G_ue, a row of n_e numbers per level of the leaf (E_l) and per row of R (E_R); G_ee, full. */
void lmm_iter_edges(const struct lmm_iter *x, double *E_l, double *E_R, double *ee);

/* The factor of precision k. */
static inline const struct lmm_iter_factor *lmm_iter_of(const struct lmm_iter *x, int k)
{
    return x->factor + x->m->prec[k].factor;
}

#endif
