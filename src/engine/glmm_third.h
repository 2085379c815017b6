/* glmm_third.h: the third-order term of the expansion about a generalised model's q(theta),
 *
 *     c3 = sum_ij g_i g_j K_ij^3 / 12 over all rows,   g_i = E f'''(eta_i) = 2 f_mv. */
#ifndef MEANFIELD_GLMM_THIRD_H
#define MEANFIELD_GLMM_THIRD_H

#include "engine/glmm_clusters.h"
#include "engine/glmm_state.h"

/* Of one factor, from the tensors of its leaves: O(n p^3). work: glmm_third_work() doubles. */
double glmm_third(const struct glmm_view *x, double *work);
size_t glmm_third_work(const struct glmm *g);

/* Of several factors, from the pairs of rows of each cluster; multiplications that it takes.
 * S: n_global^2, scratch. */
double glmm_third_pairs(const struct glmm_view *x, struct glmm_clusters *c, double *S,
                        double *work);
double glmm_third_pairs_cost(const struct glmm *g, const struct glmm_clusters *c);

#endif
