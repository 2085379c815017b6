/* likelihood.h: the log likelihood of the generalised model at a point, exactly, with its first
 * two derivatives in eta (family.h has expectations of it under a normal eta). Constants in y
 * are left out; what depends on phi is there.
 *
 *     binomial  y eta - size log(1 + e^eta)
 *     Poisson   size (y eta - e^eta)
 *     negbin    size (y eta - (y + phi) log(1 + e^eta / phi) + log_rising(y, phi)),
 *               log_rising = log Gamma(y + phi) / Gamma(phi) - y log phi */
#ifndef MEANFIELD_LIKELIHOOD_H
#define MEANFIELD_LIKELIHOOD_H

#include "model/glmm.h"

/* Sum over the rows; -inf or NaN where it overflows. phi: negative binomial only. */
double likelihood_value(const struct glmm *g, double phi, const double *eta);

/* score_i <- d/d eta_i, weight_i <- -d^2/d eta_i^2 (NULL: not wanted). */
void likelihood_score(const struct glmm *g, double phi, const double *eta, double *score,
                      double *weight);

/* An eta near the one that fits row i alone. */
double likelihood_start_eta(const struct glmm *g, size_t i);

#endif
