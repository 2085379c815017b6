/* likelihood_negbin.c: negative binomial counts of weight `size`, log link, dispersion phi: mean
 * e^eta, variance e^eta + e^(2 eta) / phi.
 *
 *     f = size (y eta - (y + phi) log(1 + e^x) + rise(y, phi)),   x = eta - log phi,
 *     F = size (y mu - (y + phi) B0(mu - log phi, v) + rise),     constant = -size log y!,
 *
 * rise = log Gamma(y + phi) / Gamma(phi) - y log phi. */
#include <math.h>
#include <Rmath.h>
#include "base/logistic.h"
#include "model/likelihood.h"

static bool possible(double y, double size) { return size > 0 && y >= 0; }

static double constant(const struct likelihood_rows *rows)
{
    double sum = 0;
    for (size_t i = 0; i < rows->n; i++) sum -= rows->size[i] * lgammafn(rows->y[i] + 1);
    return sum;
}

static void start(const struct likelihood_rows *rows, const double *phi, double *eta,
                  double *weight)
{
    for (size_t i = 0; i < rows->n; i++) {
        double mean = rows->y[i] + 0.5;
        eta[i] = log(mean);
        weight[i] = rows->size[i] * mean * (*phi / (mean + *phi));
    }
}

/* By Stirling's series where the two log gammas would cancel (its next term is
 * 1 / (360 phi^3)), small counts by their product. */
static double rise(double y, double phi)
{
    if (phi > 1e4)
        return (phi + y - 0.5) * log1p(y / phi) - y + (1 / (phi + y) - 1 / phi) / 12;
    if (y > 16 || y != floor(y) || phi < 1e-6)
        return lgammafn(y + phi) - lgammafn(phi) - y * log(phi);
    double product = 1;
    for (int j = 1; j < (int) y; j++) product *= 1 + j / phi;
    return log(product);
}

static double value(const struct likelihood_rows *rows, const double *phi,
                    const double *eta, double *f)
{
    double sum = 0, log_phi = log(*phi);
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], x = eta[i] - log_phi;
        double l = x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
        double one = rows->size[i] * (y * eta[i] - (y + *phi) * l + rise(y, *phi));
        if (f) f[i] = one;
        sum += one;
    }
    return sum;
}

static void score(const struct likelihood_rows *rows, const double *phi,
                  const double *eta, double *s, double *w)
{
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], size = rows->size[i];
        double share = 1 / (1 + *phi * exp(-eta[i])); /* mean / (mean + phi) */
        s[i] = size * (y - (y + *phi) * share);
        if (w) w[i] = size * (y + *phi) * share * (1 - share);
    }
}

/* The logistic function's argument at some rows. */
enum { BLOCK = 64 };
static size_t centred(const struct likelihood_rows *rows, size_t from, const double *phi,
                      const double *mu, double *x)
{
    size_t n = rows->n - from < BLOCK ? rows->n - from : BLOCK;
    double log_phi = log(*phi);
    for (size_t i = 0; i < n; i++) x[i] = mu[from + i] - log_phi;
    return n;
}

static double expect(const struct likelihood_rows *rows, const double *phi,
                     const double *mu, const double *v, struct likelihood_terms *e)
{
    double sum = 0, x[BLOCK];
    for (size_t from = 0; from < rows->n; from += BLOCK) {
        size_t n = centred(rows, from, phi, mu, x);
        double *const B[5] = {e->f + from, e->m + from, e->mm + from, e->mv + from,
                              e->vv + from};
        logistic_moments_rows(n, x, v + from, B);
    }
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], size = rows->size[i], n = size * (y + *phi);
        e->f[i] = size * (y * mu[i] + rise(y, *phi)) - n * e->f[i];
        e->m[i] = size * y - n * e->m[i];
        e->v[i] = -0.5 * n * e->mm[i];
        e->mm[i] = -n * e->mm[i];
        e->mv[i] = -0.5 * n * e->mv[i];
        e->vv[i] = -0.25 * n * e->vv[i];
        sum += e->f[i];
    }
    return sum;
}

static double expect_value(const struct likelihood_rows *rows, const double *phi,
                           const double *mu, const double *v)
{
    double sum = 0, x[BLOCK], size[BLOCK];
    for (size_t from = 0; from < rows->n; from += BLOCK) {
        size_t n = centred(rows, from, phi, mu, x);
        for (size_t i = 0; i < n; i++) {
            double y = rows->y[from + i];
            size[i] = rows->size[from + i] * (y + *phi);
            sum += rows->size[from + i] * (y * mu[from + i] + rise(y, *phi));
        }
        sum -= logistic_softplus_sum(n, x, v + from, size);
    }
    return sum;
}

/* Slope and curvature of log Gamma(y + phi) / Gamma(phi) in phi, small counts by their sums;
 * at_phi: digamma and trigamma of phi. */
static void rise_slopes(double y, double phi, const double *at_phi, double *d, double *dd)
{
    if (y > 16 || y != floor(y)) {
        *d = digamma(y + phi) - at_phi[0];
        *dd = trigamma(y + phi) - at_phi[1];
        return;
    }
    *d = *dd = 0;
    for (int j = 0; j < (int) y; j++) {
        double one = 1 / (phi + j);
        *d += one;
        *dd -= one * one;
    }
}

static void extra_terms(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, struct likelihood_extra *out)
{
    double phi = *extra, log_phi = log(phi), B[5];
    double at_phi[2] = {digamma(phi), trigamma(phi)}, d, dd;
    out->l = out->ll = 0;
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], size = rows->size[i], n = y + phi;
        rise_slopes(y, phi, at_phi, &d, &dd);
        double first = phi * d, second = phi * phi * dd;
        logistic_moments(mu[i] - log_phi, v[i], B);
        out->l += size * (first - y - phi * B[0] + n * B[1]);
        out->ll += size * (first + second - phi * B[0] + 2 * phi * B[1] - n * B[2]);
        out->lm[i] = size * (n * B[2] - phi * B[1]);
        out->lv[i] = size * 0.5 * (n * B[3] - phi * B[2]);
    }
}

const struct likelihood likelihood_negbin = {.name = "negative binomial",
                                             .n_extra = 1,
                                             .possible = possible,
                                             .constant = constant,
                                             .start = start,
                                             .value = value,
                                             .score = score,
                                             .expect = expect,
                                             .expect_value = expect_value,
                                             .extra_terms = extra_terms};
