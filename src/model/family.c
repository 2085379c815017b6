/* family.c: see family.h. */
#include <math.h>
#include <stdbool.h>
#include <Rmath.h>
#include "base/logistic.h"
#include "model/family.h"

/* y x - n B0(x, v): the binomial, and the negative binomial with n = y + phi. */
static struct expected_loglik logistic(double y, double n, double x, double v)
{
    double B[5];
    logistic_moments(x, v, B);
    return (struct expected_loglik){.f = y * x - n * B[0],
                                    .m = y - n * B[1],
                                    .v = -0.5 * n * B[2],
                                    .mm = -n * B[2],
                                    .mv = -0.5 * n * B[3],
                                    .vv = -0.25 * n * B[4]};
}

/* f less its largest value y log y - y at v = 0, which family_constant() adds back: with counts of
 * 1e8 the two would cancel seven digits. */
static struct expected_loglik poisson(double y, double w, double mu, double v)
{
    double d = y > 0 ? mu - log(y) : mu;
    double excess = y > 0 ? y * expm1(d + 0.5 * v) : exp(mu + 0.5 * v); /* E - y */
    double E = w * (excess + y);
    return (struct expected_loglik){.f = w * (y * d - excess),
                                    .m = -w * excess,
                                    .v = -0.5 * E,
                                    .mm = -E,
                                    .mv = -0.5 * E,
                                    .vv = -0.25 * E};
}

/* Mean and variance of a Polya-Gamma variable PG(n, c), s = c^2: series where the closed forms
 * cancel. */
static void polya_gamma_moments(double n, double s, double *mean, double *var)
{
    if (s < 1e-2) {
        *mean = n * (1 / 4. + s * (-1 / 48. + s * (1 / 480. - s * 17 / 80640.)));
        *var = n * (1 / 24. + s * (-1 / 120. + s * (17 / 13440. - s * 31 / 181440.)));
        return;
    }
    double c = sqrt(s), h = 0.5 * c, th = tanh(h),
           sech = 1 / cosh(h); /* cosh = Inf is fine */
    *mean = n * th / (2 * c);
    *var = n * (th - h * sech * sech) / (16 * h * h * h);
}

/* log 2 cosh(h) without overflow. */
static double log_2cosh(double h) { return h + log1p(exp(-2 * h)); }

/* The bound with its Polya-Gamma variable eliminated: c^2 = mu^2 + v. */
static struct expected_loglik polya_gamma(double y, double n, double mu, double v)
{
    double s = mu * mu + v, w, V;
    polya_gamma_moments(n, s, &w, &V);
    return (struct expected_loglik){.f =
                                        (y - 0.5 * n) * mu - n * log_2cosh(0.5 * sqrt(s)),
                                    .m = y - 0.5 * n - w * mu,
                                    .v = -0.5 * w,
                                    .mm = V * mu * mu - w,
                                    .mv = 0.5 * V * mu,
                                    .vv = 0.25 * V};
}

static struct expected_loglik times(double w, struct expected_loglik e)
{
    return (struct expected_loglik){w * e.f,  w * e.m,  w * e.v,
                                    w * e.mm, w * e.mv, w * e.vv};
}

struct expected_loglik family_expect(enum glmm_family family, double y, double size,
                                     double dispersion, double mu, double v)
{
    switch (family) {
    case GLMM_BINOMIAL:
        return logistic(y, size, mu, v);
    case GLMM_POISSON:
        return poisson(y, size, mu, v);
    case GLMM_NEGBIN:
        return times(size, logistic(y, y + dispersion, mu - log(dispersion), v));
    case GLMM_BINOMIAL_PG:
        return polya_gamma(y, size, mu, v);
    }
    return (struct expected_loglik){NAN, NAN, NAN, NAN, NAN, NAN};
}

double family_value(enum glmm_family family, double y, double size, double dispersion,
                    double mu, double v)
{
    switch (family) {
    case GLMM_BINOMIAL:
        return y * mu - size * logistic_softplus(mu, v);
    case GLMM_POISSON:
        return poisson(y, size, mu, v).f;
    case GLMM_NEGBIN: {
        double x = mu - log(dispersion);
        return size * (y * x - (y + dispersion) * logistic_softplus(x, v));
    }
    case GLMM_BINOMIAL_PG:
        return (y - 0.5 * size) * mu - size * log_2cosh(0.5 * sqrt(mu * mu + v));
    }
    return NAN;
}

/* y log y - y - log y!, by Stirling's series where the difference would cancel. */
static double log_poisson_peak(double y)
{
    if (y < 32) return y * log(y) - y - lgammafn(y + 1);
    double s = 1 / (y * y);
    return -0.5 * log(2 * M_PI * y) -
           (1 / 12. - s * (1 / 360. - s * (1 / 1260. - s / 1680.))) / y;
}

double family_constant(enum glmm_family family, double y, double size, double dispersion)
{
    switch (family) {
    case GLMM_BINOMIAL:
    case GLMM_BINOMIAL_PG:
        return lgammafn(size + 1) - lgammafn(y + 1) - lgammafn(size - y + 1);
    case GLMM_POISSON:
        return size * (y > 0 ? log_poisson_peak(y) : 0);
    case GLMM_NEGBIN:
        return size * (lgammafn(y + dispersion) - lgammafn(dispersion) - lgammafn(y + 1));
    }
    return NAN;
}

/* f = size (y x - (y + phi) B0(x) + lgamma(y + phi) - lgamma(phi)), x = mu - l, phi = e^l. */
struct dispersion_terms family_dispersion(double y, double size, double dispersion,
                                          double mu, double v)
{
    double B[5], phi = dispersion, n = y + phi;
    logistic_moments(mu - log(phi), v, B);
    double first = phi * (digamma(n) - digamma(phi));
    double second = phi * phi * (trigamma(n) - trigamma(phi));
    return (struct dispersion_terms){
        .l = size * (first - y - phi * B[0] + n * B[1]),
        .ll = size * (first + second - phi * B[0] + 2 * phi * B[1] - n * B[2]),
        .lm = size * (n * B[2] - phi * B[1]),
        .lv = size * 0.5 * (n * B[3] - phi * B[2])};
}
