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
#include "model/likelihood.h"

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

/* ---- at the points of a grid -----------------------------------------------------------------
 *
 * The mean is a product, E(mu + e'z) = E(mu) prod_c exp(e_c z_c): a row costs an exponential for each
 * node of each dimension, not for each point. */

enum { GRID_HALF = 7, GRID_SIDE = 2 * GRID_HALF + 1, GRID_POINTS = 25, GRID_ROWS = 32 };
enum { GRID_EXP = LIKELIHOOD_GRID_MAX_R * GRID_HALF + 1 };

/* F + size E, the straight part: out_k += sum size (y (mu + e'z_k) - peak). */
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
    for (int k = 0; k < likelihood_grid_size(x); k++) {
        out[k] += value;
        for (int c = 0; c < r; c++) out[k] += slope[c] * likelihood_grid_node(x, k, c);
    }
}

/* exp(e_c z) of a row at all nodes: powers (half) holds those of the positive ones, `stride` apart. */
static void all_nodes(int half, const double *powers, size_t stride, double *out)
{
    out[half] = 1;
    for (int j = 1; j <= half; j++) {
        out[half + j] = powers[(size_t) (j - 1) * stride];
        out[half - j] = 1 / out[half + j];
    }
}

/* out_k -= size E of up to GRID_ROWS rows. */
static void take_means(const struct likelihood_rows *rows, const double *mu,
                       const double *v, const double *e, const struct likelihood_grid *x,
                       double *out)
{
    size_t n = rows->n, r = (size_t) x->r, half = (size_t) x->half;
    int side = 2 * x->half + 1;
    double at[GRID_EXP * GRID_ROWS], power[GRID_EXP * GRID_ROWS];
    for (size_t i = 0; i < n; i++) {
        at[i] = mu[i] + 0.5 * v[i];
        for (size_t c = 0; c < r; c++)
            for (size_t j = 0; j < half; j++)
                at[(1 + c * half + j) * n + i] = e[i * r + c] * x->node[j + 1];
    }
    logistic_exp_rows((1 + r * half) * n, at, power);
    for (size_t i = 0; i < n; i++) {
        double some[GRID_POINTS] = {rows->size[i] * power[i]}, factor[GRID_SIDE];
        int points = 1; /* so far, in `some`; the last dimension goes to out */
        for (size_t c = 0; c < r; c++) {
            all_nodes(x->half, power + (1 + c * half) * n + i, n, factor);
            if (c + 1 < r) {
                for (int j = side; j-- > 0;)
                    for (int k = 0; k < points; k++)
                        some[k + j * points] = some[k] * factor[j];
                points *= side;
                continue;
            }
            for (int j = 0; j < side; j++)
                for (int k = 0; k < points; k++)
                    out[k + j * points] -= some[k] * factor[j];
        }
    }
}

/* Not where counts are large, or a factor might overflow. */
static bool expect_grid(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, const double *e,
                        const struct likelihood_grid *x, double *out)
{
    (void) extra;
    size_t r = (size_t) x->r;
    if (x->half > GRID_HALF || likelihood_grid_size(x) / (2 * x->half + 1) > GRID_POINTS)
        return false;
    for (size_t i = 0; i < rows->n; i++) {
        double reach = fabs(mu[i] + 0.5 * v[i]);
        for (size_t c = 0; c < r; c++) reach += fabs(e[i * r + c]) * x->node[x->half];
        if (!(reach <= LOGISTIC_LANES_EXP && rows->y[i] <= LARGE)) return false;
    }
    add_lines(rows, mu, e, x, out);
    for (size_t i = 0; i < rows->n; i += GRID_ROWS) {
        size_t left = rows->n - i;
        const struct likelihood_rows some = {left < GRID_ROWS ? left : GRID_ROWS,
                                             rows->y + i, rows->size + i};
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
