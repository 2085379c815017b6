/* likelihood.c: the likelihoods (see likelihood.h). Written so that no term overflows before
 * the likelihood itself does, and no large terms cancel. */
#include <math.h>
#include <Rmath.h>
#include "model/likelihood.h"

/* y eta - n log(1 + e^eta) = (y - n) eta - n log(1 + e^-eta) */
static double binomial_value(double y, double n, double eta)
{
    return eta > 0 ? (y - n) * eta - n * log1p(exp(-eta)) : y * eta - n * log1p(exp(eta));
}

/* By Stirling's series where the two log gammas would cancel (its next term is
 * 1 / (360 phi^3)), small counts by their product. */
static double log_rising(double y, double phi)
{
    if (phi > 1e4)
        return (phi + y - 0.5) * log1p(y / phi) - y + (1 / (phi + y) - 1 / phi) / 12;
    if (y > 16 || y != floor(y) || phi < 1e-6)
        return lgammafn(y + phi) - lgammafn(phi) - y * log(phi);
    double product = 1;
    for (int j = 1; j < (int) y; j++) product *= 1 + j / phi;
    return log(product);
}

static double negbin_value(double y, double phi, double eta)
{
    double a = eta - log(phi); /* mu / phi = e^a */
    double l = a > 0 ? a + log1p(exp(-a)) : log1p(exp(a));
    return y * eta - (y + phi) * l + log_rising(y, phi);
}

double likelihood_value(const struct glmm *g, double phi, const double *eta)
{
    double sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        double y = g->y[i], size = g->size[i];
        switch (g->family) {
        case GLMM_POISSON: sum += size * (y * eta[i] - exp(eta[i])); break;
        case GLMM_NEGBIN: sum += size * negbin_value(y, phi, eta[i]); break;
        default: sum += binomial_value(y, size, eta[i]);
        }
    }
    return sum;
}

void likelihood_score(const struct glmm *g, double phi, const double *eta, double *score,
                      double *weight)
{
    for (size_t i = 0; i < g->n; i++) {
        double y = g->y[i], size = g->size[i], s, w;
        switch (g->family) {
        case GLMM_POISSON:
            w = size * exp(eta[i]);
            s = size * y - w;
            break;
        case GLMM_NEGBIN: { /* share = mu / (mu + phi) */
            double share = 1 / (1 + phi * exp(-eta[i]));
            s = size * (y - (y + phi) * share);
            w = size * (y + phi) * share * (1 - share);
            break;
        }
        default: {
            double e = exp(-fabs(eta[i])), q = 1 / (1 + e);
            s = y - size * (eta[i] > 0 ? q : e * q);
            w = size * e * q * q;
        }
        }
        score[i] = s;
        if (weight) weight[i] = w;
    }
}

double likelihood_start_eta(const struct glmm *g, size_t i)
{
    double y = g->y[i];
    if (g->family == GLMM_POISSON || g->family == GLMM_NEGBIN) return log(y + 0.5);
    return log((y + 0.5) / (g->size[i] - y + 0.5));
}
