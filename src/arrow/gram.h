/* gram.h: one pass over the rows -> sufficient statistics of the Gaussian model.
 *
 * With v_i = (x_i, y_i - offset_i) the p + 1 columns of row i, weight w_i and, per grouping
 * factor f, covariates z_i (r_f of them; 1 for an intercept), the Gram holds, about its
 * weighted means,
 *
 *     n = #{w_i > 0},  sum w,  sum log w,  mean = sum w v / sum w,
 *     cross = sum w (v - mean)(v - mean)'                       (p + 1) x (p + 1)
 *     per factor and level g:  zz_g = sum_{i in g} w z z',  z1_g = sum w z,
 *                              zv_g = sum w (v - mean) z'
 *     per pair of factors, for levels that meet:  sum w z_f z_h'   (gram_pair_*)
 *
 * Centring keeps large means of x and y out of every later subtraction. Two Grams over
 * disjoint rows merge exactly [Chan, Golub & LeVeque 1983]. */
#ifndef MEANFIELD_GRAM_H
#define MEANFIELD_GRAM_H

#include "base/core.h"

struct gram_factor_rows {
    int r, n_levels;
    const int *code; /* n, 1-based                                             */
    const double *z; /* r x n, or NULL for an intercept (r = 1)                */
};

struct gram_rows {
    size_t n; /* rows                                              */
    int p, n_factors;
    const double *X;      /* n x p                                             */
    const double *y;      /* n                                                 */
    const double *offset; /* n, or NULL                                        */
    const double *w;      /* n, or NULL for unit weights                       */
    const struct gram_factor_rows *factor; /* n_factors                         */
};

struct gram_factor {
    int r, n_levels;
    double *zz; /* n_levels of r x r                                         */
    double *z1; /* n_levels of r                                             */
    double *zv; /* n_levels of (p + 1) x r                                   */
};

struct gram {
    int p, n_factors;
    double *head;  /* n, sum w, sum log w                   (3)                  */
    double *mean;  /* p + 1                                                     */
    double *cross; /* (p + 1) x (p + 1), both triangles                         */
    struct gram_factor *factor; /* n_factors                                    */
};

enum { GRAM_N, GRAM_W, GRAM_LOGW, GRAM_HEAD };

/* Rows per block of the pass: v fits the first-level cache for p up to about 30. */
enum { GRAM_BLOCK = 128 };

static inline size_t gram_scratch(int p) /* doubles gram_accumulate() needs */
{
    return (size_t) (p + 1) * (GRAM_BLOCK + 2);
}

/* g <- the Gram of the rows; g arrives zeroed. One pass; cost n (p + 1)(p + 2) / 2 + n p sum r. */
enum core_status gram_accumulate(const struct gram_rows *d, struct gram *g,
                                 double *scratch, const struct core_hooks *h);

/* g += part, where level k of factor f of part is level map[f][k] (0-based) of g.
 * scratch: 2 (p + 1). */
void gram_merge(struct gram *g, const struct gram *part, const int *const *map,
                double *scratch);

/* The levels of factor b that each level of factor a meets in a row of positive weight, in
 * increasing order: ptr (a's levels + 1), idx (0-based, ptr[last] of them). Call it with idx
 * NULL to count first. order: n ints; mark: b's levels ints. Cost n + pairs log pairs. */
void gram_pair_pattern(const struct gram_rows *d, int a, int b, int *ptr, int *idx,
                       int *order, int *mark);

/* val: for every entry of the pattern the r_a x r_b block sum w z_a z_b'; arrives zeroed. */
void gram_pair_values(const struct gram_rows *d, int a, int b, const int *ptr,
                      const int *idx, double *val);

#endif
