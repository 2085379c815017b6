/* lmm_gram.h: one pass over the rows -> sufficient statistics of the Gaussian model.
 *
 * With v_i = (x_i, y_i - offset_i) the p + 1 columns of row i, weight w_i and leaf covariates
 * z_i (r of them; 1 for an intercept), the Gram holds, about its weighted means,
 *
 *     n = #{w_i > 0},  sum w,  sum log w,  mean = sum w v / sum w,
 *     cross = sum w (v - mean)(v - mean)'                       (p + 1) x (p + 1)
 *     zz_g  = sum_{i in g} w z z',  z1_g = sum w z,  zv_g = sum w (v - mean) z'   per group g
 *
 * Centring keeps large means of x and y out of every later subtraction. Two Grams over
 * disjoint rows merge exactly [Chan, Golub & LeVeque 1983]. */
#ifndef MEANFIELD_LMM_GRAM_H
#define MEANFIELD_LMM_GRAM_H

#include "core.h"

struct gram_rows {
    size_t n;              /* rows                                              */
    int p, r, n_groups;    /* columns of X, leaf covariates, groups (0: none)   */
    const double *X;       /* n x p                                             */
    const double *y;       /* n                                                 */
    const double *offset;  /* n, or NULL                                        */
    const double *w;       /* n, or NULL for unit weights                       */
    const int *group;      /* n, 1-based, or NULL                               */
    const double *z;       /* r x n, or NULL for an intercept (r = 1)           */
};

struct gram {
    int p, r, n_groups;
    double *head;  /* n, sum w, sum log w                   (3)                  */
    double *mean;  /* p + 1                                                     */
    double *cross; /* (p + 1) x (p + 1), both triangles                         */
    double *zz;    /* n_groups of r x r                                         */
    double *z1;    /* n_groups of r                                             */
    double *zv;    /* n_groups of (p + 1) x r                                   */
};

enum { GRAM_N, GRAM_W, GRAM_LOGW, GRAM_HEAD };

/* Rows per block of the pass: v fits the first-level cache for p up to about 30. */
enum { GRAM_BLOCK = 128 };

static inline size_t gram_scratch(int p) /* doubles gram_accumulate() needs */
{
    return (size_t) (p + 1) * (GRAM_BLOCK + 2);
}

/* g <- the Gram of the rows; g arrives zeroed. One pass; cost n (p + 1)(p + 2) / 2 + n r p. */
enum core_status gram_accumulate(const struct gram_rows *d, struct gram *g, double *scratch,
                                 const struct core_hooks *h);

/* g += part, where group k of part is group map[k] (0-based) of g. scratch: 2 (p + 1). */
void gram_merge(struct gram *g, const struct gram *part, const int *map, double *scratch);

#endif
