/* rand_pg.c: Polya-Gamma random numbers (see rand_pg.h) on R's generator.
 *
 * PG(1, c) = J / 4 where J has density proportional to exp(-z^2 x / 2) sum_n (-1)^n a_n(x),
 * z = |c| / 2, by Devroye's alternating-series method [Polson, Scott & Windle 2013, section 4]:
 * propose from the first term, exponential right of PG_SPLIT and inverse Gaussian left of it, and
 * accept by partial sums that bracket the density. All terms are taken relative to a_0, so
 * that nothing underflows at any c. Acceptance is at least .9992. */
#include <math.h>
#include <R_ext/Random.h>
#include <Rmath.h>
#include "base/rand_pg.h"

static const double PG_SPLIT = 0.64; /* where the two series for the density swap roles */
static const double PG_PI = 3.141592653589793;

/* log of the mass of the left piece over the right one; rate: pi^2 / 8 + z^2 / 2.
 *     left  = 2 e^-z P(IG(1/z, 1) < s)
 *           = 2 e^-z Phi((s z - 1) / sqrt s) + 2 e^z Phi(-(s z + 1) / sqrt s)
 *     right = pi / (2 rate) e^(-rate s) */
static double log_odds_left(double z, double rate)
{
    double root = sqrt(PG_SPLIT);
    double a = -z + pnorm((PG_SPLIT * z - 1) / root, 0, 1, 1, 1);
    double b = z + pnorm(-(PG_SPLIT * z + 1) / root, 0, 1, 1, 1);
    double hi = a > b ? a : b, lo = a > b ? b : a;
    return log(2) + hi + log1p(exp(lo - hi)) - log(PG_PI / (2 * rate)) + rate * PG_SPLIT;
}

/* IG(1/z, 1) below PG_SPLIT, z > 1 / PG_SPLIT: by rejection [Michael, Schucany & Haas 1976]. */
static double narrow_inverse_gaussian(double z)
{
    double mu = 1 / z, x;
    do {
        double y = norm_rand(), m = mu * y * y;
        x = mu / (1 + m / 2 +
                  sqrt(m + m * m / 4)); /* the smaller root, without cancellation */
        if (unif_rand() * (mu + x) > mu) x = mu * (mu / x);
    } while (!(x < PG_SPLIT));
    return x;
}

/* The same for z <= 1 / PG_SPLIT: a truncated inverse chi-square, thinned by exp(-z^2 x / 2). */
static double wide_inverse_gaussian(double z)
{
    for (;;) {
        double e = exp_rand(), x;
        if (e * e > 2 * exp_rand() / PG_SPLIT) continue;
        x = PG_SPLIT / ((1 + PG_SPLIT * e) * (1 + PG_SPLIT * e));
        if (unif_rand() < exp(-0.5 * z * z * x)) return x;
    }
}

/* Accept x from the first term: u below the alternating series over a_0? Terms over a_0 are
 * (2n + 1) exp(-2 n (n + 1) / x) left and (2n + 1) exp(-n (n + 1) pi^2 x / 2) right. */
static int accept_series(double x)
{
    double q = x <= PG_SPLIT ? 2 / x : 0.5 * PG_PI * PG_PI * x, sum = 1, u = unif_rand();
    for (int n = 1;; n++) {
        double term = (2 * n + 1) * exp(-q * n * (n + 1.0));
        if (n % 2) {
            sum -= term;
            if (u <= sum) return 1;
        } else {
            sum += term;
            if (u > sum) return 0;
        }
    }
}

/* odds: log_odds_left(z, rate). */
static double draw_one(double z, double rate, double odds)
{
    for (;;) {
        double x, u = unif_rand();
        if (log(u) - log1p(-u) > odds) /* probability 1 / (1 + e^odds) */
            x = PG_SPLIT + exp_rand() / rate;
        else
            x = z > 1 / PG_SPLIT ? narrow_inverse_gaussian(z) : wide_inverse_gaussian(z);
        if (accept_series(x)) return x / 4;
    }
}

/* With g(s) = tanh(h) / (2 h), h = sqrt(s), s = c^2 / 4, the cumulants are
 *     b g / 2,  -b g' / 4,  b g'' / 8;   series in s where the closed forms cancel. */
void rand_pg_cumulants(double b, double c, double *kappa)
{
    double s = c * c / 4, h = fabs(c) / 2;
    if (s < 1e-2) {
        kappa[0] =
            b / 4 *
            (1 - s * (1.0 / 3 - s * (2.0 / 15 - s * (17.0 / 315 - s * 62 / 2835))));
        kappa[1] = b / 8 * (1.0 / 3 - s * (4.0 / 15 - s * (17.0 / 105 - s * 248 / 2835)));
        kappa[2] =
            b / 16 * (4.0 / 15 - s * (34.0 / 105 - s * (248.0 / 945 - s * 5528 / 31185)));
        return;
    }
    double T = tanh(h), sech = 2 * exp(-h) / (1 + exp(-2 * h)), S = sech * sech;
    kappa[0] = b * T / (4 * h);
    kappa[1] = b * (T / h - S) / (16 * h * h);
    kappa[2] = b * (3 * (T / h - S) - 2 * h * S * T) / h / h / h / h / 64;
}

/* location + Gamma(shape, scale) with three matched cumulants: skewness 2 / sqrt(shape). */
static double shifted_gamma(double b, double c)
{
    double k[3];
    rand_pg_cumulants(b, c, k);
    double scale = k[2] / (2 * k[1]), shape = k[1] / (scale * scale);
    if (!(scale > 0) || !isfinite(shape))
        return k[0]; /* cumulants underflow: a point mass */
    return k[0] + scale * (rgamma(shape, 1) - shape);
}

double rand_pg(double b, double c)
{
    if (!(b > 0)) return b == 0 ? 0 : NAN;
    if (isnan(c)) return NAN;
    if (b > PG_EXACT) return shifted_gamma(b, c);
    double z = fabs(c) / 2, sum = 0;
    if (z > 1e100) return b / (4 * z); /* the mean; the SD is 1e-50 of it */
    double rate = PG_PI * PG_PI / 8 + z * z / 2, odds = log_odds_left(z, rate);
    for (int i = 0; i < (int) b; i++) sum += draw_one(z, rate, odds);
    return sum;
}
