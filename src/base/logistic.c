/* logistic.c: see logistic.h. */
#include <math.h>
#include <stdbool.h>
#include "base/logistic.h"

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

/* Of a constant eta: log(1 + e^mu) and its derivatives themselves. */
static void point_moments(double mu, double *B)
{
    double e = exp(-fabs(mu)), q = 1 / (1 + e);
    B[0] = log1p(e) + (mu > 0 ? mu : 0);
    B[1] = mu > 0 ? q : e * q;
    B[2] = e * q * q;
    B[3] = B[2] * (1 - 2 * B[1]);
    B[4] = B[2] * (1 - 6 * B[2]);
}

/* With r = s / sqrt(1 + s^2 v), t = mu r:  E Phi(s eta) = Phi(t), and its integral and
 * derivatives in mu. B0 is written for -|mu| (no cancellation), plus mu when mu > 0. */
void logistic_moments(double mu, double v, double *B)
{
    double a = fabs(mu), b0 = 0, upper = 0, b2 = 0, b3 = 0, b4 = 0;
    if (v == 0) {
        point_moments(mu, B);
        return;
    }
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
double logistic_softplus(double mu, double v)
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
