/* glmm_family.c: see glmm_family.h. */
#include <math.h>
#include <stdbool.h>
#include <Rmath.h>
#include "model/glmm_family.h"

/* sigma(x) = sum_k p_k Phi(s_k x), maximal error 2.1e-9 [Monahan & Stefanski 1992]. */
enum { MIX = 8 };
static const double MIX_P[MIX] = {0.003246343272134, 0.051517477033972, 0.195077912673858,
                                  0.315569823632818, 0.274149576158423, 0.131076880695470,
                                  0.027912418727972, 0.001449567805354};
static const double MIX_S[MIX] = {1.365340806296348, 1.059523971016916, 0.830791313765644,
                                  0.650732166639391, 0.508135425366489, 0.396313345166341,
                                  0.308904252267995, 0.238212616409306};
static const double SQRT_HALF = 0.707106781186547524400844362105;
static const double INV_SQRT_2PI = 0.398942280401432677939946059934;

/* Far from zero the mixture's error, of 2e-9, is not small beside the tail itself. There
 *
 *     E log(1 + e^eta) = sum_j (-1)^(j + 1) e^(j mu + j^2 v / 2) / j,   mu = -a,
 *
 * whose terms fall by e^(mu + (2 j + 1) v / 2): three give it to rounding. B[k], k up to `most`, gets
 * its derivatives of order k in mu. False: not far enough. */
static const double FAR_TAIL = -12;
static bool tail_moments(double a, double v, int most, double *B)
{
    if (!(2.5 * v - a < FAR_TAIL)) return false;
    double e = exp(0.5 * v - a), e2 = e * e * exp(v), e3 = e2 * e * exp(2 * v);
    double term[3] = {e, -0.5 * e2, e3 / 3};
    for (int k = 0; k <= most; k++) {
        B[k] = term[0] + term[1] + term[2];
        term[1] *= 2;
        term[2] *= 3;
    }
    return true;
}

/* With r = s / sqrt(1 + s^2 v), t = mu r:  E Phi(s eta) = Phi(t), and its integral and
 * derivatives in mu. B0 is written for -|mu| (no cancellation), plus mu when mu > 0. */
void logistic_moments(double mu, double v, double *B)
{
    double a = fabs(mu), b0 = 0, upper = 0, b2 = 0, b3 = 0, b4 = 0;
    if (tail_moments(a, v, 4, B)) {
        if (mu < 0) return;
        B[0] += mu;
        B[1] = 1 - B[1];
        B[3] = -B[3];
        return;
    }
    for (int k = 0; k < MIX; k++) {
        double r = MIX_S[k] / sqrt(1 + MIX_S[k] * MIX_S[k] * v), t = a * r, p = MIX_P[k];
        double density = INV_SQRT_2PI * exp(-0.5 * t * t),
               tail = 0.5 * erfc(t * SQRT_HALF);
        double prd = p * r * density;
        b0 += p * (density / r - a * tail);
        upper += p * tail;
        b2 += prd;
        b3 -= prd * r * t;
        b4 += prd * r * r * (t * t - 1);
    }
    B[0] = mu > 0 ? mu + b0 : b0;
    B[1] = mu > 0 ? 1 - upper : upper;
    B[2] = b2;
    B[3] = mu > 0 ? b3 : -b3;
    B[4] = b4;
}

/* log(1 + e^x) without overflow. */
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* B0 alone; for a small v by its expansion, sigma'(mu) v / 2 + sigma'''(mu) v^2 / 8, whose next term
 * is below v^3 / 190. */
static double mean_softplus(double mu, double v)
{
    double a = fabs(mu), b0 = 0;
    if (v == 0) return softplus(mu);
    if (v < 0.03) {
        double e = exp(-a), s1 = e / ((1 + e) * (1 + e)), s3 = s1 * (1 - 6 * s1);
        return (mu > 0 ? mu : 0) + log1p(e) + v * (0.5 * s1 + 0.125 * v * s3);
    }
    if (tail_moments(a, v, 0, &b0)) return mu > 0 ? mu + b0 : b0;
    for (int k = 0; k < MIX; k++) {
        double r = MIX_S[k] / sqrt(1 + MIX_S[k] * MIX_S[k] * v), t = a * r;
        b0 += MIX_P[k] *
              (INV_SQRT_2PI * exp(-0.5 * t * t) / r - a * 0.5 * erfc(t * SQRT_HALF));
    }
    return mu > 0 ? mu + b0 : b0;
}

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
        return y * mu - size * mean_softplus(mu, v);
    case GLMM_POISSON:
        return poisson(y, size, mu, v).f;
    case GLMM_NEGBIN: {
        double x = mu - log(dispersion);
        return size * (y * x - (y + dispersion) * mean_softplus(x, v));
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
