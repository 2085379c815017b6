/* glmm_correction.h: what the Gaussian approximation of theta | t lacks, put back in closed form
 * or by quadrature.
 *
 *     one factor     c3 + sum over levels of (gap - c3 of the level on its own), with
 *                    gap = log int p(y_k, u | beta = m_b, t) du - its Gaussian bound,
 *                    c3  = sum_ij g_i g_j K_ij^3 / 12,  g_i = E f'''(eta_i) = 2 f_mv
 *     several        the gaps of all levels of all factors, each with the other effects averaged
 *                    over q: f(mu + z'(u - m), v - z'W z), W = the level's conditional covariance,
 *                    + (c3 - sum of the c3 of the levels on their own, at their W) gap / c3 of
 *                    the levels where that is below one
 *
 * by 7 to 15, 5 x 5 or 7 x 7, or 5 x 5 x 5 Gauss-Hermite nodes for one, two or three coefficients. */
#ifndef MEANFIELD_GLMM_CORRECTION_H
#define MEANFIELD_GLMM_CORRECTION_H

#include "engine/glmm_gap.h"
#include "engine/glmm_third.h"

struct glmm_correction {
    double *third; /* work of c3                                             */
    double *S;     /* n_global^2, the caller's: scratch                      */
    struct glmm_levels levels;
    struct glmm_clusters clusters; /* with several factors                            */
    bool with_pairs;               /* is their c3 worth its cost                      */
    double c3, c3_local;           /* of the last correction                          */
};

struct glmm_correction glmm_correction_carve(const struct glmm *g, double *S,
                                             struct arena *a);

/* Fills what does not depend on q. */
void glmm_correction_prepare(const struct glmm *g, struct glmm_correction *c);

double glmm_correction(const struct glmm_view *x, struct glmm_correction *c);

#endif
