/* glmm_gap.h: what the Gaussian of each level on its own loses: log int p(y_k, u | ...) du, by
 * quadrature, less its bound. */
#ifndef MEANFIELD_GLMM_GAP_H
#define MEANFIELD_GLMM_GAP_H

#include "engine/glmm_state.h"

enum { GLMM_GAP_MAX_R = 3 }; /* coefficients of a level that has a gap                */

/* The rows of each level of the factors but the leaf's, and the rule that each level of every factor,
 * the leaf's first, was integrated by; held: the last rules serve again, so that differences of gaps
 * are differences. */
struct glmm_levels {
    size_t *start[GLMM_MAX_FACTORS];
    int *rows[GLMM_MAX_FACTORS];
    int *rule[GLMM_MAX_FACTORS + 1];
    bool held;
};
struct glmm_levels glmm_gap_levels(const struct glmm *g, struct arena *a);
void glmm_gap_list(const struct glmm *g, struct glmm_levels *x);

/* Sum of the gaps of the leaves (f < 0) or of another factor's levels, with the other effects
 * averaged over q (other) or at their means; *local gets the sum of the levels' own third-order
 * parts / 12. Cost: rows times 7, 9 or 15 nodes, 25 or 49, 125. */
double glmm_gap(const struct glmm_view *x, struct glmm_levels *levels, int f, bool other,
                double *local);

#endif
