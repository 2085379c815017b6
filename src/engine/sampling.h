/* sampling.h: how well the data alone know one level's effects: the sampling covariance of the
 * effects of term k, were they fixed,
 *
 *     K_k = s2 K0_k + sum over j nested in k of M_kj sigma_j^2,     K0_k = (mean of G_l W^-1 G_l over levels l)^-1,
 *     M_kj = W^-1 (mean over l of sum_i n_li n_li') W^-1,     n_li = Z_l'z_i over the rows of j's level i,
 *
 * G_l = Z_l'Z_l and W their mean, all of it from the arrow Gram (a thousandth of their diagonals is added).
 * Levels count by their squares: of unequal ones the large tell small variances from none. s2 is the
 * variance of a row. A scalar term j is nested in k when it has more levels and nine in ten of them
 * meet one level of k. A scalar term with others of its factor beside it: K0_k is of the joint inverse. */
#ifndef MEANFIELD_SAMPLING_H
#define MEANFIELD_SAMPLING_H

#include "model/glmm.h"

struct sampling {
    double base;   /* s2 = base + 1 / t_0: see sampling_base()                        */
    double *K0;    /* r x r of each precision, one after the other                 */
    double *inner; /* n_prec x n_prec: is j (column) nested in k, 0 or 1           */
    double *M;     /* as K0, for each j: sampling_size() x n_prec                  */
};

/* sum of r^2 over the precisions; where that of precision k begins. */
int sampling_size(const struct lmm *m);
int sampling_at(const struct lmm *m, int k);

/* The part of a row's variance that does not depend on t_0, the precision of the residuals or the
 * negative binomial's size: 0 for Gaussian rows, 1 / (.9 p (1 - p)) for trials with a share p of
 * successes, 1 / mean for counts. */
double sampling_base(const struct glmm *g);

/* Everything but base; m->G: the Gram. work: n levels of the largest term, as ints. False: a mean of
 * Z'Z is singular. */
bool sampling_from_gram(const struct lmm *m, struct sampling *s, int *work);
int sampling_work(const struct lmm *m);

#endif
