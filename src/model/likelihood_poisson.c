/* likelihood_poisson.c: counts of weight `size`, log link.
 *
 *     f = size (y eta - e^eta)
 *     F = size (y mu - E - peak),            E = exp(mu + v / 2)
 *     constant = size (peak - log y!)
 *
 * peak is f's largest value, y log y - y, of counts above SMALL: with counts of 1e8 F and the constant
 * would cancel seven digits without it. Of others it is zero and costs no logarithm. */
#include <math.h>
#include <Rmath.h>
#include "base/logistic.h"
#include "base/logistic_lanes.h"
#include "model/likelihood_grid.h"

static bool possible(double y, double size) { return size > 0 && y >= 0; }

static const double SMALL = 100;

/* peak - log y!, of larger counts by Stirling's series: the difference would cancel. */
static double log_peak(double y)
{
    if (y <= SMALL) return -lgammafn(y + 1);
    double s = 1 / (y * y);
    return -0.5 * log(2 * M_PI * y) -
           (1 / 12. - s * (1 / 360. - s * (1 / 1260. - s / 1680.))) / y;
}

static double constant(const struct likelihood_rows *rows)
{
    double sum = 0;
    for (size_t i = 0; i < rows->n; i++) sum += rows->size[i] * log_peak(rows->y[i]);
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

/* E <- exp(mu + v / 2) of up to BLOCK rows. */
static void means(size_t n, const double *mu, const double *v, double *E)
{
    double x[BLOCK];
    for (size_t i = 0; i < n; i++) x[i] = mu[i] + 0.5 * v[i];
    logistic_exp_rows(n, x, E);
}

static const double LARGE = 1e4; /* of y: where E - y would cancel */

/* E - y, and *shape, F / size: y d less it, where d = mu - log y. */
static double excess(double y, double mu, double half_v, double E, double *shape)
{
    if (y <= SMALL) {
        *shape = y * mu - E;
        return E - y;
    }
    double d = mu - log(y);
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

/* ---- at the points of a grid: F + size E is straight ------------------------------------------- */

/* out_k += sum size (y (mu + e'z_k) - peak). */
static void add_lines(const struct likelihood_rows *rows, const double *mu,
                      const double *e, const struct likelihood_grid *x, double *out)
{
    int r = x->r;
    double value = 0, slope[LIKELIHOOD_GRID_MAX_R] = {0};
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], w = rows->size[i] * y;
        if (y == 0) continue;
        value += w * (y > SMALL ? 1 + mu[i] - log(y) : mu[i]);
        for (int c = 0; c < r; c++) slope[c] += w * e[i * (size_t) r + (size_t) c];
    }
    likelihood_grid_line(x, value, slope, out);
}

/* out_k -= size E of up to LIKELIHOOD_GRID_ROWS rows. */
static void take_means(const struct likelihood_rows *rows, const double *mu,
                       const double *v, const double *e, const struct likelihood_grid *x,
                       double *out)
{
    double at[LIKELIHOOD_GRID_ROWS], E[LIKELIHOOD_GRID_POINTS];
    struct likelihood_grid_exp powers;
    for (size_t i = 0; i < rows->n; i++) at[i] = mu[i] + 0.5 * v[i];
    likelihood_grid_powers(x, rows->n, at, e, &powers);
    for (size_t i = 0; i < rows->n; i++) {
        int points = likelihood_grid_exp(x, &powers, i, rows->size[i], E);
        for (int k = 0; k < points; k++) out[k] -= E[k];
    }
}

static bool expect_grid(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, const double *e,
                        const struct likelihood_grid *x, double *out)
{
    (void) extra;
    size_t r = (size_t) x->r;
    if (likelihood_grid_size(x) > LIKELIHOOD_GRID_POINTS) return false;
    for (size_t i = 0; i < rows->n; i++) {
        double reach = likelihood_grid_reach(x, mu[i] + 0.5 * v[i], e + i * r);
        if (!(reach <= LOGISTIC_LANES_EXP && rows->y[i] <= LARGE)) return false;
    }
    add_lines(rows, mu, e, x, out);
    for (size_t i = 0; i < rows->n; i += LIKELIHOOD_GRID_ROWS) {
        const struct likelihood_rows some = likelihood_grid_some(rows, i);
        take_means(&some, mu + i, v + i, e + i * r, x, out);
    }
    return true;
}

const struct likelihood likelihood_poisson = {.name = "Poisson",
                                              .possible = possible,
                                              .constant = constant,
                                              .start = start,
                                              .value = value,
                                              .score = score,
                                              .expect = expect,
                                              .expect_value = expect_value,
                                              .expect_grid = expect_grid};
