/* likelihood_binomial.c: y successes of `size` trials, logit link.
 *
 *     f = y eta - size log(1 + e^eta)
 *     F = y mu - size B0  (logistic.h),    constant = log C(size, y)
 *
 * and its lower bound by Polya-Gamma variables (= Jaakkola & Jordan),
 *
 *     F >= (y - size / 2) mu - size log 2 cosh(c / 2),    c^2 = mu^2 + v. */
#include <math.h>
#include <Rmath.h>
#include "base/logistic.h"
#include "model/likelihood_grid.h"

static bool possible(double y, double size) { return size > 0 && y >= 0 && y <= size; }

static double constant(const struct likelihood_rows *rows)
{
    double sum = 0;
    for (size_t i = 0; i < rows->n; i++)
        sum += lgammafn(rows->size[i] + 1) - lgammafn(rows->y[i] + 1) -
               lgammafn(rows->size[i] - rows->y[i] + 1);
    return sum;
}

/* After half a success and half a failure more. */
static void start(const struct likelihood_rows *rows, const double *extra, double *eta,
                  double *weight)
{
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], n = rows->size[i], p = (y + 0.5) / (n + 1);
        eta[i] = log((y + 0.5) / (n - y + 0.5));
        weight[i] = n * p * (1 - p);
    }
}

/* y eta - n log(1 + e^eta) = (y - n) eta - n log(1 + e^-eta): without overflow. */
static double row_value(double y, double n, double eta)
{
    return eta > 0 ? (y - n) * eta - n * log1p(exp(-eta)) : y * eta - n * log1p(exp(eta));
}

static double value(const struct likelihood_rows *rows, const double *extra,
                    const double *eta, double *f)
{
    double sum = 0;
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        double x = row_value(rows->y[i], rows->size[i], eta[i]);
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
        double size = rows->size[i], e = exp(-fabs(eta[i])), q = 1 / (1 + e);
        s[i] = rows->y[i] - size * (eta[i] > 0 ? q : e * q);
        if (w) w[i] = size * e * q * q;
    }
}

static double expect(const struct likelihood_rows *rows, const double *extra,
                     const double *mu, const double *v, struct likelihood_terms *e)
{
    double sum = 0, *const B[5] = {e->f, e->m, e->mm, e->mv, e->vv};
    (void) extra;
    logistic_moments_rows(rows->n, mu, v, B);
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], n = rows->size[i];
        e->f[i] = y * mu[i] - n * e->f[i];
        e->m[i] = y - n * e->m[i];
        e->v[i] = -0.5 * n * e->mm[i];
        e->mm[i] = -n * e->mm[i];
        e->mv[i] = -0.5 * n * e->mv[i];
        e->vv[i] = -0.25 * n * e->vv[i];
        sum += e->f[i];
    }
    return sum;
}

static double expect_value(const struct likelihood_rows *rows, const double *extra,
                           const double *mu, const double *v)
{
    double sum = 0;
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) sum += rows->y[i] * mu[i];
    return sum - logistic_softplus_sum(rows->n, mu, v, rows->size);
}

/* ---- at the points of a grid, of trials of one -------------------------------------------------
 *
 * sum log(1 + e^eta) is the logarithm of a product. */

/* Where no product of LIKELIHOOD_GRID_ROWS factors can overflow. */
static const double GRID_REACH = 20;

static void take_products(const struct likelihood_rows *rows, const double *mu,
                          const double *e, const struct likelihood_grid *x, double *out)
{
    double E[LIKELIHOOD_GRID_POINTS], product[LIKELIHOOD_GRID_POINTS];
    struct likelihood_grid_exp powers;
    int points = likelihood_grid_size(x);
    likelihood_grid_powers(x, rows->n, mu, e, &powers);
    for (int k = 0; k < points; k++) product[k] = 1;
    for (size_t i = 0; i < rows->n; i++) {
        likelihood_grid_exp(x, &powers, i, 1, E);
        for (int k = 0; k < points; k++) product[k] += product[k] * E[k];
    }
    for (int k = 0; k < points; k++) out[k] -= log(product[k]);
}

static bool expect_grid(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, const double *e,
                        const struct likelihood_grid *x, double *out)
{
    (void) extra;
    size_t r = (size_t) x->r;
    double value = 0, slope[LIKELIHOOD_GRID_MAX_R] = {0};
    if (likelihood_grid_size(x) > LIKELIHOOD_GRID_POINTS) return false;
    for (size_t i = 0; i < rows->n; i++) {
        if (rows->size[i] != 1 || v[i] != 0) return false;
        if (!(likelihood_grid_reach(x, mu[i], e + i * r) <= GRID_REACH)) return false;
        value += rows->y[i] * mu[i];
        for (size_t c = 0; c < r; c++) slope[c] += rows->y[i] * e[i * r + c];
    }
    likelihood_grid_line(x, value, slope, out);
    for (size_t i = 0; i < rows->n; i += LIKELIHOOD_GRID_ROWS) {
        const struct likelihood_rows some = likelihood_grid_some(rows, i);
        take_products(&some, mu + i, e + i * r, x, out);
    }
    return true;
}

const struct likelihood likelihood_binomial = {.name = "binomial",
                                               .polya_gamma = true,
                                               .possible = possible,
                                               .constant = constant,
                                               .start = start,
                                               .value = value,
                                               .score = score,
                                               .expect = expect,
                                               .expect_value = expect_value,
                                               .expect_grid = expect_grid};

/* ---- bounded by Polya-Gamma variables --------------------------------------------------------- */

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

/* The variables are eliminated: they are at their means. */
static double expect_pg(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, struct likelihood_terms *e)
{
    double sum = 0;
    (void) extra;
    for (size_t i = 0; i < rows->n; i++) {
        double y = rows->y[i], n = rows->size[i], x = mu[i], s = x * x + v[i], w, V;
        polya_gamma_moments(n, s, &w, &V);
        e->f[i] = (y - 0.5 * n) * x - n * log_2cosh(0.5 * sqrt(s));
        e->m[i] = y - 0.5 * n - w * x;
        e->v[i] = -0.5 * w;
        e->mm[i] = V * x * x - w;
        e->mv[i] = 0.5 * V * x;
        e->vv[i] = 0.25 * V;
        sum += e->f[i];
    }
    return sum;
}

const struct likelihood likelihood_binomial_pg = {.name = "binomial, Polya-Gamma bound",
                                                  .polya_gamma = true,
                                                  .bound = true,
                                                  .possible = possible,
                                                  .constant = constant,
                                                  .start = start,
                                                  .value = value,
                                                  .score = score,
                                                  .expect = expect_pg,
                                                  .expect_value = expect_value};
