/* expfam.h: moments, entropies and expected log densities of the variational factors. */
#ifndef MEANFIELD_EXPFAM_H
#define MEANFIELD_EXPFAM_H

/* Gamma(shape, rate): the factor of every scalar precision and auxiliary. */
struct gamma_dist {
    double shape, rate;
};

static inline double gamma_mean(struct gamma_dist q) { return q.shape / q.rate; }
static inline double gamma_var(struct gamma_dist q) { return q.shape / (q.rate * q.rate); }
double gamma_mean_log(struct gamma_dist q);  /* E log x = digamma(shape) - log rate */
double gamma_var_log(struct gamma_dist q);   /* Var log x = trigamma(shape)         */
double gamma_entropy(struct gamma_dist q);   /* A - log B + lgamma(A) + (1-A) psi(A) */

/* Cov(x, log x) = 1 / rate. */
static inline double gamma_cov_log(struct gamma_dist q) { return 1 / q.rate; }

/* E_q log Gamma(x; shape, rate) when E log(rate) and E(rate) are given, because the rate may
 * itself be random (df times an auxiliary). */
double gamma_expected_log_density(struct gamma_dist q, double shape, double mean_log_rate,
                                  double mean_rate);

#endif
