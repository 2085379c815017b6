/* dirichlet.h: the two functions of gamma that Dirichlet factors are made of, fast.
 *
 * psi(x) = d log Gamma(x) / dx and log Gamma(x), x > 0, by Stirling's series at x + n >= 8 and the
 * recurrence down from there: relative errors of some 1e-15 (of log Gamma, absolute near its zeros
 * at 1 and 2). A third of the time of R's digamma() and lgammafn(), and both at once. */
#ifndef MEANFIELD_DIRICHLET_H
#define MEANFIELD_DIRICHLET_H

#include <stddef.h>

double dirichlet_digamma(double x);

/* Returns log Gamma(x); *slope <- psi(x). */
double dirichlet_log_gamma(double x, double *slope);

/* The bound's part of q = Dirichlet(a) under a prior Dirichlet(prior, ..., prior) of n:
 * E_q log p - E_q log q = C(prior) - C(a) + sum_i (prior - a_i) E log p_i, C the log normalising
 * constants; mean_log[i stride] <- E log p_i = psi(a_i) - psi(sum a). a has the same stride. */
double dirichlet_bound(int n, size_t stride, double prior, const double *a,
                       double *mean_log);

/* log Gamma(n prior) - n log Gamma(prior). */
double dirichlet_constant(int n, double prior);

#endif
