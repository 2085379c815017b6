/* logistic_lanes.h: the mixture of logistic.h for four rows at once, in AVX2 registers. On processors
 * and compilers without these nothing of it may be called. The same formulas with other elementary
 * functions: results agree with those of logistic.h to 1e-14 relative, in the tails to 1e-13, as far as
 * rounding lets either be known there. */
#ifndef MEANFIELD_LOGISTIC_LANES_H
#define MEANFIELD_LOGISTIC_LANES_H

#include <stdbool.h>
#include <stddef.h>

/* REACH: up to this argument of Phi. */
enum { LOGISTIC_LANES = 4, LOGISTIC_LANES_REACH = 16, LOGISTIC_MIX = 8 };

/* sigma(x) = sum_k p_k Phi(s_k x). */
struct logistic_mixture {
    double p[LOGISTIC_MIX], s[LOGISTIC_MIX];
};

bool logistic_lanes_here(void);

/* n is a multiple of LOGISTIC_LANES, v > 0. B[k][i], k = 0..4, of row i. */
void logistic_lanes_moments(const struct logistic_mixture *x, size_t n, const double *mu,
                            const double *v, double *const B[5]);

/* out <- B0 of -|mu|. */
void logistic_lanes_softplus(const struct logistic_mixture *x, size_t n, const double *mu,
                             const double *v, double *out);

/* out <- e^x, x from -LOGISTIC_LANES_EXP to it. */
enum { LOGISTIC_LANES_EXP = 700 };
void logistic_lanes_exp(size_t n, const double *x, double *out);

/* prod (1 + e^-|x_i|), n up to 1,000. */
double logistic_lanes_product(size_t n, const double *x);

#endif
