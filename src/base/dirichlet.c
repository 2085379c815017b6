/* dirichlet.c: see dirichlet.h. */
#include <math.h>
#include "base/dirichlet.h"

static const double HALF_LOG_2PI = 0.918938533204672741780329736406;

/* Up to x >= 8: the product of the factors passed, and its logarithmic derivative times it. */
static double climb(double x, double *product, double *slope)
{
    double p = 1, dp = 0;
    while (x < 8) {
        dp = dp * x + p;
        p *= x;
        x += 1;
    }
    *product = p;
    *slope = dp / p;
    return x;
}

/* psi(x) - log(x), x >= 8: Bernoulli numbers B_2k / 2k over x^2k. */
static double digamma_tail(double x)
{
    double i = 1 / x, s = i * i;
    double sum =
        1.0 / 12 -
        s * (1.0 / 120 -
             s * (1.0 / 252 -
                  s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760 - s / 12)))));
    return -0.5 * i - s * sum;
}

/* log Gamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2, x >= 8. */
static double log_gamma_tail(double x)
{
    double i = 1 / x, s = i * i;
    double sum =
        1.0 / 12 -
        s * (1.0 / 360 -
             s * (1.0 / 1260 -
                  s * (1.0 / 1680 - s * (1.0 / 1188 - s * (691.0 / 360360 - s / 156)))));
    return i * sum;
}

double dirichlet_digamma(double x)
{
    double product, slope, y = climb(x, &product, &slope);
    return log(y) + digamma_tail(y) - slope;
}

double dirichlet_log_gamma(double x, double *slope)
{
    double product, below, y = climb(x, &product, &below), log_y = log(y);
    *slope = log_y + digamma_tail(y) - below;
    return (y - 0.5) * log_y - y + HALF_LOG_2PI + log_gamma_tail(y) - log(product);
}

double dirichlet_constant(int n, double prior)
{
    double slope;
    return dirichlet_log_gamma(n * prior, &slope) -
           n * dirichlet_log_gamma(prior, &slope);
}

double dirichlet_bound(int n, size_t stride, double prior, const double *a,
                       double *mean_log)
{
    double total = 0, level, bound = dirichlet_constant(n, prior);
    for (int i = 0; i < n; i++) total += a[stride * (size_t) i];
    bound -= dirichlet_log_gamma(total, &level);
    for (int i = 0; i < n; i++) {
        size_t at = stride * (size_t) i;
        double slope, log_gamma = dirichlet_log_gamma(a[at], &slope);
        mean_log[at] = slope - level;
        bound += log_gamma + (prior - a[at]) * mean_log[at];
    }
    return bound;
}
