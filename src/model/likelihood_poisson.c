/* likelihood_poisson.c: counts of weight `size`, log link.
 *
 *     f = size (y eta - e^eta)
 *     F = size (y mu - E - (y log y - y)),            E = exp(mu + v / 2)
 *     constant = size (y log y - y - log y!)
 *
 * F is less f's largest value, which the constant adds back: with counts of 1e8 the two would cancel
 * seven digits. */
#include <math.h>
#include <Rmath.h>
#include "base/logistic_lanes.h"
#include "model/likelihood.h"

static bool possible(double y, double size) { return size > 0 && y >= 0; }

/* y log y - y - log y!, by Stirling's series where the difference would cancel. */
static double log_peak(double y)
{
    if (y < 32) return y * log(y) - y - lgammafn(y + 1);
    double s = 1 / (y * y);
    return -0.5 * log(2 * M_PI * y) -
           (1 / 12. - s * (1 / 360. - s * (1 / 1260. - s / 1680.))) / y;
}

static double constant(const struct likelihood_rows *rows)
{
    double sum = 0;
    for (size_t i = 0; i < rows->n; i++)
        sum += rows->size[i] * (rows->y[i] > 0 ? log_peak(rows->y[i]) : 0);
    return sum;
}

static void start(const struct likelihood_rows *rows, const double *extra, double *eta,
                  double *weight)
{
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        eta[i] = log(rows->y[i] + 0.5);
        weight[i] = rows->size[i] * (rows->y[i] + 0.5);
    }
}

static double value(const struct likelihood_rows *rows, const double *extra,
                    const double *eta, double *f)
{
    double sum = 0;
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        double x = rows->size[i] * (rows->y[i] * eta[i] - exp(eta[i]));
        if (f) f[i] = x;
        sum += x;
    }
    return sum;
}

static void score(const struct likelihood_rows *rows, const double *extra,
                  const double *eta, double *s, double *w)
{
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        double mean = rows->size[i] * exp(eta[i]);
        s[i] = rows->size[i] * rows->y[i] - mean;
        if (w) w[i] = mean;
    }
}

enum { BLOCK = 64 };

/* E <- exp(mu + v / 2) of up to BLOCK rows, four at once where that can be. */
static void means(size_t n, const double *mu, const double *v, double *E)
{
    double x[BLOCK], far = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = mu[i] + 0.5 * v[i];
        far = fabs(x[i]) <= LOGISTIC_LANES_EXP ? far : 1; /* or not a number */
    }
    size_t lanes =
        far == 0 && logistic_lanes_here() ? n / LOGISTIC_LANES * LOGISTIC_LANES : 0;
    if (lanes) logistic_lanes_exp(lanes, x, E);
    for (size_t i = lanes; i < n; i++) E[i] = exp(x[i]);
}

/* E - y, and *shape = y d less it, F / size, where d = mu - log y. */
static double excess(double y, double mu, double half_v, double E, double *shape)
{
    static const double LARGE = 1e4; /* where the difference would cancel */
    double d = y > 0 ? mu - log(y) : mu;
    double over = y > LARGE ? y * expm1(d + half_v) : E - y;
    *shape = y * d - over;
    return over;
}

static double expect(const struct likelihood_rows *rows, const double *extra,
                     const double *mu, const double *v, struct likelihood_terms *e)
{
    double sum = 0, shape, E[BLOCK];
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        size_t at = i % BLOCK, left = rows->n - i;
        if (at == 0) means(left < BLOCK ? left : BLOCK, mu + i, v + i, E);
        double y = rows->y[i], w = rows->size[i],
               over = excess(y, mu[i], 0.5 * v[i], E[at], &shape), mean = w * (over + y);
        e->f[i] = w * shape;
        e->m[i] = -w * over;
        e->v[i] = -0.5 * mean;
        e->mm[i] = -mean;
        e->mv[i] = -0.5 * mean;
        e->vv[i] = -0.25 * mean;
        sum += e->f[i];
    }
    return sum;
}

static double expect_value(const struct likelihood_rows *rows, const double *extra,
                           const double *mu, const double *v)
{
    double sum = 0, shape, E[BLOCK];
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        size_t at = i % BLOCK, left = rows->n - i;
        if (at == 0) means(left < BLOCK ? left : BLOCK, mu + i, v + i, E);
        excess(rows->y[i], mu[i], 0.5 * v[i], E[at], &shape);
        sum += rows->size[i] * shape;
    }
    return sum;
}

const struct likelihood likelihood_poisson = {.name = "Poisson",
                                              .possible = possible,
                                              .constant = constant,
                                              .start = start,
                                              .value = value,
                                              .score = score,
                                              .expect = expect,
                                              .expect_value = expect_value};
