/* logistic.h: expectations of the logistic function under a normal distribution.
 *
 * B0 = E log(1 + e^eta) and its derivatives B1..B4 in mu come from the logistic function as a
 * mixture of eight normal distribution functions [Monahan & Stefanski 1992]: absolute error of
 * B0 6e-9 for every mu and v. They are the exact derivatives of the approximate B0, so bound,
 * gradient and curvature agree to rounding. */
#ifndef MEANFIELD_LOGISTIC_H
#define MEANFIELD_LOGISTIC_H

/* B[0..4], eta ~ N(mu, v); exact at v = 0. */
void logistic_moments(double mu, double v, double *B);

/* B0 alone. */
double logistic_softplus(double mu, double v);

#endif
