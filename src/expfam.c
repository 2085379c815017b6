/* expfam.c: see expfam.h. Special functions come from R's Rmath. */
#include <math.h>
#include <Rmath.h>
#include "expfam.h"

double gamma_mean_log(struct gamma_dist q) { return digamma(q.shape) - log(q.rate); }

double gamma_var_log(struct gamma_dist q) { return trigamma(q.shape); }

double gamma_entropy(struct gamma_dist q)
{
    return q.shape - log(q.rate) + lgammafn(q.shape) + (1 - q.shape) * digamma(q.shape);
}

double gamma_expected_log_density(struct gamma_dist q, double shape, double mean_log_rate,
                                  double mean_rate)
{
    return shape * mean_log_rate - lgammafn(shape) + (shape - 1) * gamma_mean_log(q) -
           mean_rate * gamma_mean(q);
}
