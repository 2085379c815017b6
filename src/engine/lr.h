/* lr.h: the linear-response core.
 *
 * Let t be the means of the global factors' sufficient statistics (precisions and half-t
 * auxiliaries), V their block-diagonal covariance under q, and C = A + N the coupling: A runs
 * through the eliminated Gaussian block, N couples the globals directly. Then
 *
 *     Sigma = (V^-1 - C)^-1        linear-response covariance of the globals
 *     K     = C + C Sigma C        effective interaction; Sigma = V + V K V
 *     dt    = Sigma V^-1 (F - t)   Newton step for the fixed point F(t) = t of the updates
 *
 * [Giordano, Broderick & Jordan 2015, eq. (6)-(7)]. The same Sigma serves the covariances,
 * the Newton steps and the sensitivity to priors, of every model that ascent.h fits. The mixture solves
 * the same system in another form: gmm_lr.h says why. */
#ifndef MEANFIELD_LR_H
#define MEANFIELD_LR_H

#include "base/core.h"

struct lr {
    int q;
    double *V, *C;     /* q x q, full, symmetric; inputs                          */
    double *Sigma, *K; /* q x q, full; outputs                                    */
    double *work;      /* q x q                                                   */
};

struct lr lr_carve(int q, struct arena *a);

/* Sigma and K from V and C, scaled to unit V so that units do not matter.
 * Returns false when V^-1 - C is not positive definite: the optimum is flat or no maximum.
 * Sigma and K are undefined then. Cost O(q^3). */
bool lr_respond(struct lr *w);

/* step <- Newton step in t for the residual resid = F(t) - t to first order:
 * Sigma V^-1 resid = resid + Sigma C resid. Needs lr_respond() == true; step is not resid. */
void lr_newton(const struct lr *w, const double *resid, double *step);

#endif
