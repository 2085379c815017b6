/* logistic.h: expectations of the logistic function under a normal distribution.
 *
 * B0 = E log(1 + e^eta) and its derivatives B1..B4 in mu come from the logistic function as a
 * mixture of eight normal distribution functions [Monahan & Stefanski 1992]: absolute error of
 * B0 6e-9 for every mu and v. They are the exact derivatives of the approximate B0, so bound,
 * gradient and curvature agree to rounding. */
#ifndef MEANFIELD_LOGISTIC_H
#define MEANFIELD_LOGISTIC_H

#include <stddef.h>

/* B[0..4], eta ~ N(mu, v); exact at v = 0. */
void logistic_moments(double mu, double v, double *B);

/* B0 alone. */
double logistic_softplus(double mu, double v);

/* Of many rows, four at a time where the processor can (logistic_lanes.h): B[k][i], k = 0..4, of row i,
 * and sum size_i B0(mu_i, v_i). */
void logistic_moments_rows(size_t n, const double *mu, const double *v,
                           double *const B[5]);
double logistic_softplus_sum(size_t n, const double *mu, const double *v,
                             const double *size);

/* out <- e^x, four at once where that can be. */
void logistic_exp_rows(size_t n, const double *x, double *out);

#endif
