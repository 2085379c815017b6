/* stubs.c: what the core takes from R's mathlib, so that it links without libR. Rmath.h
 * renames some of these (digamma becomes Rf_digamma, ...); including it here renames the
 * definitions in the same way, and the compiler checks them against R's prototypes. */
#include <math.h>
#include <R_ext/Random.h>
#include <Rmath.h>
#include "support.h"

static uint64_t state = 1;

void stub_seed(uint64_t seed) { state = (seed * 0x9E3779B97F4A7C15u) | 1; }

double unif_rand(void) /* xorshift64*; 52 bits + 1/2, so never 0 or 1 */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return ((double) ((state * 0x2545F4914F6CDD1Du) >> 12) + 0.5) * 0x1p-52;
}

double exp_rand(void) { return -log(unif_rand()); }

double norm_rand(void) /* Box-Muller, one of the pair */
{
    double r = sqrt(2 * exp_rand());
    return r * cos(6.283185307179586 * unif_rand());
}

double rgamma(double a,
              double scale) /* Marsaglia & Tsang 2000; R's answers at the edges */
{
    if (isnan(a) || isnan(scale) || a < 0 || scale < 0) return NAN;
    if (a == 0 || scale == 0) return 0;
    if (isinf(a) || isinf(scale)) return INFINITY;
    if (a < 1) {
        double boost = pow(unif_rand(), 1 / a);
        return boost * rgamma(a + 1, scale);
    }
    double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = norm_rand(), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(unif_rand()) < 0.5 * x * x + d * (1 - v + log(v))) return d * v * scale;
    }
}

double lgammafn(double x) { return lgamma(x); }

double digamma(double x) /* recurrence up to 15, then the asymptotic series */
{
    double s = 0;
    for (; x < 15; x++) s -= 1 / x;
    double y = 1 / (x * x);
    return s + log(x) - 0.5 / x -
           y * (1.0 / 12 - y * (1.0 / 120 - y * (1.0 / 252 - y * (1.0 / 240 - y / 132))));
}

double trigamma(double x)
{
    double s = 0;
    for (; x < 15; x++) s += 1 / (x * x);
    double y = 1 / (x * x);
    return s + 0.5 * y +
           (1 + y * (1.0 / 6 -
                     y * (1.0 / 30 - y * (1.0 / 42 - y * (1.0 / 30 - y * 5 / 66))))) /
               x;
}

double pnorm(double x, double mean, double sd, int lower, int log_p)
{
    double z = (x - mean) / sd;
    if (!lower) z = -z;
    if (log_p && z < -30)
        return -0.5 * z * z - log(-z) - 0.9189385332046727 - 1 / (z * z);
    double p = 0.5 * erfc(-z / sqrt(2));
    return log_p ? log(p) : p;
}
