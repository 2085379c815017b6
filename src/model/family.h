/* family.h: expected log likelihoods under a normal linear predictor.
 *
 * For eta ~ N(mu, v),  f(mu, v) = E log p(y | eta)  and its derivatives in (mu, v), for
 * variational Bayes; the samplers need likelihood.h:
 *
 *     binomial, logit   y of `size` trials     f = y mu - size B0
 *     the same, bounded by Polya-Gamma variables (= Jaakkola & Jordan): a lower bound of f
 *     Poisson, log      size = row weight      f = size (y mu - E) + const,  E = exp(mu + v / 2)
 *     negative binomial, log, dispersion phi   f = size (y x - (y + phi) B0(x, v) + c),
 *                                              x = mu - log phi
 *
 * with B0 = E log(1 + e^eta) and its derivatives of logistic.h.
 *
 * d/dv = (d/dmu)^2 / 2 for every f of this kind but the Polya-Gamma bound. */
#ifndef MEANFIELD_FAMILY_H
#define MEANFIELD_FAMILY_H

#include <stdbool.h>

enum glmm_family { GLMM_BINOMIAL = 0, GLMM_POISSON = 1, GLMM_NEGBIN = 2, GLMM_BINOMIAL_PG = 3 };

/* f and its derivatives at one row; constants in y alone are left out (family_constant()). */
struct expected_loglik {
    double f, m, v, mm, mv, vv;
};

struct expected_loglik family_expect(enum glmm_family family, double y, double size,
                                     double dispersion, double mu, double v);

/* f alone, as above: cheap at v = 0. */
double family_value(enum glmm_family family, double y, double size, double dispersion, double mu,
                    double v);

/* What f leaves out: log C(size, y), the Poisson density's peak, and of the negative binomial
 * size (lgamma(y + phi) - lgamma(phi) - log y!). */
double family_constant(enum glmm_family family, double y, double size, double dispersion);

/* The negative binomial's derivatives in l = log phi (constant included) at one row. */
struct dispersion_terms {
    double l, ll, lm, lv; /* f_l, f_ll, f_l,mu, f_l,v                                  */
};
struct dispersion_terms family_dispersion(double y, double size, double dispersion, double mu,
                                          double v);

#endif
