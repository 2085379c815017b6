/* glmm_correction.h: the parts of the correction of glmm_nest.h.
 *
 *     gap (glmm_gap.c)      of a level: log int p(y_k, u | ...) du by quadrature - its bound
 *     c3  (glmm_third.c)    sum_ij g_i g_j K_ij^3 / 12 over all rows */
#ifndef MEANFIELD_GLMM_CORRECTION_H
#define MEANFIELD_GLMM_CORRECTION_H

#include "engine/glmm_nest.h"

enum { MAX_GAP_R = 3 }; /* coefficients of a level that has a gap                      */

/* Sum of the gaps of the leaves (f < 0) or of another factor's levels, with the other effects
 * averaged over q (other) or at their means; *local gets the sum of the levels' own third-order
 * parts / 12. Cost: rows times 15, 49 or 125 nodes. */
double glmm_gaps(const struct glmm_nest *x, int f, bool other, double *local);

/* c3 of one factor, from the tensors of its leaves: O(n p^3). */
double glmm_third_order(struct glmm_nest *x);

/* Distinct elements of a symmetric tensor of third order. */
size_t glmm_tensor_size(int p);

/* c3 of several factors, from the pairs of rows of each cluster; multiplications that it takes. */
double glmm_third_order_pairs(struct glmm_nest *x);
double glmm_pairs_cost(const struct glmm_nest *x);

struct glmm_clusters glmm_clusters_carve(const struct glmm *g, struct arena *a);

/* Leaves that list a common level of another factor are of one cluster. */
void glmm_find_clusters(struct glmm_nest *x);

#endif
