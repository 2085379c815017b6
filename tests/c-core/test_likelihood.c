/* test_likelihood.c: each likelihood's value, score and weight against each other, its expectations
 * against numerical integration and differences, and against the defaults that stand in for
 * them. */
#include <math.h>
#include "check.h"
#include "base/logistic.h"
#include "model/likelihood.h"
#include "support.h"

static const struct likelihood *const BINOMIAL = &likelihood_binomial,
                                      *const POISSON = &likelihood_poisson,
                                      *const NEGBIN = &likelihood_negbin,
                                      *const BOUND = &likelihood_binomial_pg;

/* A row, and what a likelihood says of it. */
struct row {
    double y, size;
};
struct moments {
    double f, m, v, mm, mv, vv;
};

/* f less E f - F: a number of y and size alone. */
static double left_out(const struct likelihood *L, struct row r)
{
    return L == POISSON && r.y > 100 ? r.size * (r.y * log(r.y) - r.y) : 0;
}

static double value(const struct likelihood *L, struct row r, double extra, double eta)
{
    const struct likelihood_rows rows = {1, &r.y, &r.size};
    double f, sum = L->value(&rows, &extra, &eta, &f);
    CHECK(L->value(&rows, &extra, &eta, NULL) == sum && (f == sum || isnan(f)));
    return f;
}

static double score(const struct likelihood *L, struct row r, double extra, double eta,
                    double *w)
{
    const struct likelihood_rows rows = {1, &r.y, &r.size};
    double s;
    L->score(&rows, &extra, &eta, &s, w);
    return s;
}

static struct moments expect(const struct likelihood *L, struct row r, double extra,
                             double mu, double v)
{
    const struct likelihood_rows rows = {1, &r.y, &r.size};
    struct moments x;
    struct likelihood_terms e = {&x.f, &x.m, &x.v, &x.mm, &x.mv, &x.vv};
    CHECK(likelihood_expect(L, &rows, &extra, &mu, &v, &e) == x.f || isnan(x.f));
    return x;
}

static double expect_value(const struct likelihood *L, struct row r, double extra,
                           double mu, double v)
{
    const struct likelihood_rows rows = {1, &r.y, &r.size};
    return likelihood_expect_value(L, &rows, &extra, &mu, &v);
}

static double constant(const struct likelihood *L, struct row r)
{
    const struct likelihood_rows rows = {1, &r.y, &r.size};
    return L->constant(&rows);
}

/* ---- value, score and weight ------------------------------------------------------------- */

/* Score and weight against central differences of the value, a row at a time. */
static void check_slopes(const struct likelihood *L, struct row r, double extra)
{
    for (double eta = -30; eta <= 8; eta += 1.9) {
        double h = 1e-3, f[4], s[4], w;
        for (int i = 0; i < 4; i++) {
            double at = eta + h * (i < 2 ? i - 2 : i - 1);
            f[i] = value(L, r, extra, at);
            s[i] = score(L, r, extra, at, NULL);
        }
        double scale = r.size * (r.y + exp(eta) + 1);
        CHECK(fabs((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h) -
                   score(L, r, extra, eta, &w)) < 1e-9 * scale);
        CHECK(fabs((8 * s[1] - s[0] - 8 * s[2] + s[3]) / (12 * h) - w) < 1e-9 * scale);
        CHECK(w >= 0);
    }
    for (double far = -800; far <= 800; far += 1600) {
        double w, s = score(L, r, extra, far, &w);
        CHECK(!(value(L, r, extra, far) > 0) || L == NEGBIN);
        CHECK(!isnan(s) && (!isnan(w) || L != BINOMIAL));
    }
}

/* The start is where the row's own likelihood is nearly flat, and the densities of all counts add
 * up to one. */
static void check_density(const struct likelihood *L, double size, double extra, int most)
{
    double total = 0, eta, weight, at;
    for (int y = 0; y <= most; y++) {
        struct row r = {y, size};
        const struct likelihood_rows rows = {1, &r.y, &r.size};
        CHECK(L->possible(y, size));
        total += exp(expect_value(L, r, extra, 0.4, 0) + constant(L, r));
        L->start(&rows, &extra, &eta, &weight);
        CHECK(fabs(score(L, r, extra, eta, &at)) <= 0.5 + 1e-9);
        CHECK(weight > 0.5 * at && weight < 2 * at);
    }
    CHECK_NEAR(total, 1, 1e-12);
    CHECK(!L->possible(-1, size) && !L->possible(1, 0) && !L->possible(NAN, size));
}

/* At a point F is f, of trials of one by the thousand too. */
static void check_points(const struct likelihood *L, double extra)
{
    enum { N = 3000 };
    double y[N], size[N], *eta = normals(N), *zero = zeros(N), sum = 0;
    for (int i = 0; i < N; i++) {
        y[i] = i % 3 == 0;
        size[i] = i % 7 == 0 ? 2 : 1;
        struct row r = {y[i], size[i]};
        sum += value(L, r, extra, eta[i]) - left_out(L, r);
    }
    const struct likelihood_rows rows = {N, y, size};
    CHECK_NEAR(likelihood_expect_value(L, &rows, &extra, eta, zero), sum, 1e-13);
}

/* Against lgamma(), and across the switches of the negative binomial's rise. */
static void check_dispersion(double y)
{
    double eta = 0.4;
    struct row r = {y, 1};
    for (double phi = 0.01; phi < 1e6; phi *= 7) {
        const double term[5] = {lgamma(y + phi), -lgamma(phi), phi * log(phi), y * eta,
                                -(y + phi) * log(phi + exp(eta))};
        double naive = 0,
               size = 1; /* the naive sum is good to the rounding of its terms */
        for (int i = 0; i < 5; i++) {
            naive += term[i];
            size += fabs(term[i]);
        }
        CHECK(fabs(value(NEGBIN, r, phi, eta) - naive) < 2e-15 * size);
    }
    CHECK_NEAR(value(NEGBIN, r, 1e14, eta), y * eta - exp(eta), 1e-8);
}

/* ---- expectations ------------------------------------------------------------------------ */

/* E f by the trapezoid rule on +-10 SDs. */
static double integral(const struct likelihood *L, struct row r, double extra, double mu,
                       double v)
{
    double sum = 0, total = 0, h = 0.01;
    for (int k = -1000; k <= 1000; k++) {
        double z = k * h, w = exp(-0.5 * z * z);
        sum += w * value(L, r, extra, mu + sqrt(v) * z);
        total += w;
    }
    return sum / total;
}

static void check_value(const struct likelihood *L, struct row r, double extra, double mu,
                        double v)
{
    double truth = integral(L, r, extra, mu, v) - left_out(L, r),
           n = r.size * (L == NEGBIN ? r.y + extra : 1);
    double tol = L == POISSON ? 1e-11 : 1e-8 * n;
    CHECK(fabs(expect(L, r, extra, mu, v).f - truth) <= tol * (1 + fabs(truth)));
    if (v < 0.03) tol += 2e-7 * (r.size + r.y + extra); /* an expansion for small v */
    CHECK(fabs(expect_value(L, r, extra, mu, v) - truth) <= tol * (1 + fabs(truth)));
}

static void check_derivatives(const struct likelihood *L, struct row r, double extra,
                              double mu, double v)
{
    double h = 1e-4, k = 1e-4 * v;
    struct moments e = expect(L, r, extra, mu, v), up = expect(L, r, extra, mu + h, v),
                   down = expect(L, r, extra, mu - h, v),
                   wide = expect(L, r, extra, mu, v + k),
                   thin = expect(L, r, extra, mu, v - k);
    double s = 1 + fabs(e.f), tol = 2e-6;
    CHECK(fabs((up.f - down.f) / (2 * h) - e.m) <= tol * s);
    CHECK(fabs((up.m - down.m) / (2 * h) - e.mm) <= tol * s);
    CHECK(fabs((up.v - down.v) / (2 * h) - e.mv) <= tol * s);
    CHECK(fabs((wide.m - thin.m) / (2 * k) - e.mv) <= tol * s);
    CHECK(fabs((wide.f - thin.f) / (2 * k) - e.v) <= tol * s / fmin(v, 1));
    CHECK(fabs((wide.v - thin.v) / (2 * k) - e.vv) <= tol * s / fmin(v, 1));
}

static struct likelihood_extra extra_of(const struct likelihood *L, struct row r,
                                        double extra, double mu, double v, double *lm,
                                        double *lv)
{
    const struct likelihood_rows rows = {1, &r.y, &r.size};
    struct likelihood_extra x = {.lm = lm, .lv = lv};
    likelihood_extra_terms(L, &rows, &extra, &mu, &v, &x);
    return x;
}

static void check_extra(const struct likelihood *L, struct row r, double extra, double mu,
                        double v)
{
    double h = 1e-4, s = 1 + r.size * (r.y + extra), l = log(extra), lm, lv, ignored[2];
    double up = exp(l + h), down = exp(l - h);
    struct likelihood_extra t = extra_of(L, r, extra, mu, v, &lm, &lv);
    double slope_up = extra_of(L, r, up, mu, v, ignored, ignored + 1).l;
    double slope_down = extra_of(L, r, down, mu, v, ignored, ignored + 1).l;
    struct moments a = expect(L, r, up, mu, v), b = expect(L, r, down, mu, v);
    CHECK(
        fabs((expect_value(L, r, up, mu, v) - expect_value(L, r, down, mu, v)) / (2 * h) -
             t.l) <= 1e-6 * s);
    CHECK(fabs((slope_up - slope_down) / (2 * h) - t.ll) <= 1e-5 * s);
    CHECK(fabs((a.m - b.m) / (2 * h) - lm) <= 1e-6 * s);
    CHECK(fabs((a.v - b.v) / (2 * h) - lv) <= 1e-6 * s);
}

/* ---- the defaults ------------------------------------------------------------------------ */

/* The likelihood with its density alone. */
static struct likelihood bare(const struct likelihood *L)
{
    struct likelihood out = *L;
    out.expect = NULL;
    out.expect_value = NULL;
    out.extra_terms = NULL;
    return out;
}

/* Expectations, their derivatives and the extra parameter's terms: the likelihood's own (the
 * logistic mixture's error is 6e-9 in F, more in its derivatives) against the default, and the
 * default's derivatives against differences. */
static void check_default(const struct likelihood *L, struct row r, double extra,
                          double mu, double v, double tol)
{
    const struct likelihood plain = bare(L);
    struct moments a = expect(L, r, extra, mu, v), b = expect(&plain, r, extra, mu, v);
    a.f += left_out(L, r);
    double n = r.size * (1 + r.y + (L->n_extra ? extra : 0) +
                         (L == POISSON ? exp(mu + v / 2) : 0));
    const double own[6] = {a.f, a.m, a.v, a.mm, a.mv, a.vv},
                 def[6] = {b.f, b.m, b.v, b.mm, b.mv, b.vv};
    for (int i = 0; i < 6; i++) CHECK(fabs(own[i] - def[i]) <= (i ? 50 : 1) * tol * n);
    CHECK(b.f == expect_value(&plain, r, extra, mu, v));
    if (v <= 4) check_derivatives(&plain, r, extra, mu, v);
    if (!L->n_extra) return;
    double lm[2], lv[2];
    struct likelihood_extra x = extra_of(L, r, extra, mu, v, lm, lv),
                            y = extra_of(&plain, r, extra, mu, v, lm + 1, lv + 1);
    CHECK(fabs(x.l - y.l) <= 50 * tol * n && fabs(x.ll - y.ll) <= 500 * tol * n);
    CHECK(fabs(lm[0] - lm[1]) <= 50 * tol * n && fabs(lv[0] - lv[1]) <= 500 * tol * n);
}

static void check_defaults(double mu, double v)
{
    check_default(BINOMIAL, (struct row){2, 5}, 1, mu, v, 1e-8);
    check_default(NEGBIN, (struct row){3, 1.5}, 2.5, mu, v, 1e-8);
    if (v < 10) check_default(POISSON, (struct row){3, 2}, 1, mu, v, 1e-12);
    if (v < 10) check_default(POISSON, (struct row){0, 2}, 1, mu, v, 1e-12);
}

/* More rows than are integrated at a time, each as if it were alone; and next to no variance. */
static void check_many(void)
{
    enum { N = 100 };
    const struct likelihood plain = bare(POISSON);
    double y[N], size[N], mu[N], v[N], x[6][N];
    struct likelihood_terms e = {x[0], x[1], x[2], x[3], x[4], x[5]};
    for (int i = 0; i < N; i++) {
        y[i] = i % 5;
        size[i] = 1 + i % 2;
        mu[i] = 0.02 * i - 1;
        v[i] = i % 3 ? 0.01 * i : 1e-9 * i;
    }
    const struct likelihood_rows rows = {N, y, size};
    double sum = likelihood_expect(&plain, &rows, NULL, mu, v, &e);
    CHECK_NEAR(sum, likelihood_expect_value(&plain, &rows, NULL, mu, v), 1e-13);
    for (int i = 0; i < N; i++) {
        struct row r = {y[i], size[i]};
        struct moments own = expect(POISSON, r, 1, mu[i], v[i]);
        own.f += left_out(POISSON, r);
        const double all[6] = {own.f, own.m, own.v, own.mm, own.mv, own.vv};
        for (int k = 0; k < 6; k++)
            CHECK(fabs(x[k][i] - all[k]) <= (k < 4 ? 1e-10 : 1e-5));
    }
}

/* ---- the logistic function far out ------------------------------------------------------- */

/* Derivative k of log(1 + e^x), x far below zero: relative accuracy. */
static double tail_derivative(int k, double x)
{
    double e = exp(x), s = e / (1 + e);
    switch (k) {
    case 0:
        return log1p(e);
    case 1:
        return s;
    case 2:
        return s * (1 - s);
    case 3:
        return s * (1 - s) * (1 - 2 * s);
    default:
        return s * (1 - s) * (1 - 6 * s * (1 - s));
    }
}

/* Rare events: every moment to nine digits of itself, on either side of zero. */
static void check_far_tail(double mu, double v)
{
    double B[5], mirror[5];
    logistic_moments(mu, v, B);
    logistic_moments(-mu, v, mirror);
    for (int k = 0; k < 5; k++) {
        double sum = 0, total = 0;
        for (int i = -1200; i <= 1200; i++) {
            double z = 0.01 * i, w = exp(-0.5 * z * z);
            sum += w * tail_derivative(k, mu + sqrt(v) * z);
            total += w;
        }
        CHECK(fabs(B[k] / (sum / total) - 1) < 1e-9);
        double there = k == 0 ? -mu + B[0] : k == 1 ? 1 - B[1] : k == 3 ? -B[3] : B[k];
        CHECK(fabs(mirror[k] - there) <= 1e-14 * fabs(there));
    }
}

/* Many rows at once against one by one: where the lanes reach, beyond, points, and a rest of rows that
 * does not fill them. */
static void check_lanes(void)
{
    enum { N = 1003 };
    double mu[N], v[N], none[N], one[N], size[N],
        x[5][N], *const B[5] = {x[0], x[1], x[2], x[3], x[4]}, sum = 0, points = 0;
    for (int i = 0; i < N; i++) {
        mu[i] = (i % 7 ? 8 : 40) * sin(1.7 * i);
        v[i] = i % 11 == 3 ? 0 : (i % 5 ? 2 : 60) * (1.01 + cos(2.9 * i));
        none[i] = 0;
        one[i] = 1;
        size[i] = 1 + i % 3;
        sum += size[i] * logistic_softplus(mu[i], v[i]);
        points += logistic_softplus(mu[i], 0);
    }
    logistic_moments_rows(N, mu, v, B);
    for (int i = 0; i < N; i++) {
        double alone[5];
        logistic_moments(mu[i], v[i], alone);
        for (int k = 0; k < 5; k++)
            CHECK(fabs(x[k][i] - alone[k]) <=
                  1e-13 * (fabs(alone[k]) + (k < 3 ? 0 : alone[2])));
    }
    CHECK_NEAR(logistic_softplus_sum(N, mu, v, size), sum, 1e-13);
    CHECK_NEAR(logistic_softplus_sum(N, mu, none, one), points, 1e-13);
    CHECK_NEAR(logistic_softplus_sum(3, mu, v, size),
               size[0] * logistic_softplus(mu[0], v[0]) +
                   size[1] * logistic_softplus(mu[1], v[1]) +
                   size[2] * logistic_softplus(mu[2], v[2]),
               1e-13);
}

/* ---- all --------------------------------------------------------------------------------- */

static void check_at(double mu, double v)
{
    const struct row binomial = {2, 5}, count = {3, 2}, none = {0, 2},
                     dispersed = {3, 1.5};
    double low_mu = mu < 1 ? mu : 1, low_v = v < 3 ? v : 3;
    check_value(BINOMIAL, binomial, 1, mu, v);
    check_value(NEGBIN, dispersed, 2.5, mu, v);
    if (v < 10) check_value(POISSON, count, 1, mu, v);
    check_derivatives(BINOMIAL, binomial, 1, mu, v);
    check_derivatives(BOUND, binomial, 1, mu, v);
    check_derivatives(NEGBIN, dispersed, 2.5, mu, v);
    check_derivatives(POISSON, count, 1, low_mu, low_v);
    check_derivatives(POISSON, none, 1, low_mu, low_v);
    check_extra(NEGBIN, dispersed, 2.5, mu, v);
    check_defaults(mu, v);
    /* a bound of the same expectation, from below */
    CHECK(expect(BOUND, binomial, 1, mu, v).f <=
          expect(BINOMIAL, binomial, 1, mu, v).f + 1e-7);
}

static void check_edges(void)
{
    const struct row one = {1, 1};
    /* Polya-Gamma: Fisher information as v -> 0, and its series meet its closed forms */
    for (double mu = -8; mu <= 8; mu += 4) {
        double p = 1 / (1 + exp(-mu));
        CHECK_NEAR(expect(BOUND, one, 1, mu, 1e-14).mm, -p * (1 - p), 1e-12);
    }
    CHECK_NEAR(expect(BOUND, one, 1, 0, 1e-2 * (1 - 1e-9)).v,
               expect(BOUND, one, 1, 0, 1e-2 * (1 + 1e-9)).v, 1e-10);
    for (double far = -1e4; far <= 1e4; far += 2e4) { /* no overflow */
        CHECK(isfinite(expect(BINOMIAL, one, 1, far, 9).f));
        CHECK(isfinite(expect(BOUND, one, 1, far, 9).f));
        CHECK(isfinite(expect(NEGBIN, one, 1, far, 9).f));
    }
    /* the constant of a large count: log of the Poisson density at its mean, by Stirling */
    for (double y = 100; y <= 101; y += 1)
        CHECK_NEAR(constant(POISSON, (struct row){y, 1}) -
                       left_out(POISSON, (struct row){y, 1}),
                   -lgamma(y + 1), 1e-12);
    CHECK_NEAR(constant(POISSON, (struct row){1e8, 1}),
               -0.5 * log(2 * 3.14159265358979323846 * 1e8), 1e-9);
}

/* A grid's points against sums over the rows at each; `far`: where no product of exponentials can
 * be; most: trials of a row, of one all at points. */
static void check_grid_of(const struct likelihood *L, int r, int half, double largest,
                          double far, int most)
{
    static const double node[] = {0, 0.5, 1.1, 1.7, 2.4, 3.1, 3.9, 4.8};
    enum { N = 37 };
    const struct likelihood_grid x = {r, half, node};
    double y[N], size[N], mu[N], v[N], e[3 * N], eta[N], extra = 1.5, out[125] = {0};
    for (int i = 0; i < N; i++) {
        size[i] = 1 + i % most;
        y[i] = i == 5 ? largest : i % 4 > size[i] ? 0 : i % 4;
        mu[i] = 0.1 * (i % 7) - 0.3;
        v[i] = i % 2 && most > 1 ? 0.3 : 0;
        for (int c = 0; c < r; c++) e[c + i * r] = 0.2 * ((3 * i + c) % 5) - 0.4;
    }
    e[4 * r] = far;
    const struct likelihood_rows rows = {N, y, size};
    for (int k = 0; k < likelihood_grid_size(&x); k++) out[k] = k;
    likelihood_expect_grid(L, &rows, &extra, mu, v, e, &x, out);
    for (int k = 0; k < likelihood_grid_size(&x); k++) {
        for (int i = 0; i < N; i++) {
            eta[i] = mu[i];
            for (int c = 0, rest = k; c < r; c++, rest /= 2 * half + 1) {
                int at = rest % (2 * half + 1) - half;
                eta[i] += e[c + i * r] * (at < 0 ? -node[-at] : node[at]);
            }
        }
        double sum = k + likelihood_expect_value(L, &rows, &extra, eta, v);
        CHECK(isinf(sum) ? out[k] == sum : fabs(out[k] - sum) <= 1e-11 * (1 + fabs(sum)));
    }
}

static void check_grid(const struct likelihood *L, int r, int half, double largest,
                       double far)
{
    check_grid_of(L, r, half, largest, far, 3);
}

static void check_grids(const struct likelihood *L)
{
    for (int r = 1; r <= 3; r++) /* products of all, of none: beyond their reach */
        for (int far = 0; far < 2; far++) check_grid_of(L, r, 2, 1, far ? 30 : 0.1, 1);
    for (int r = 1; r <= 3; r++) {
        check_grid(L, r, r == 1 ? 7 : 2, 1, 0.1);
        check_grid(L, r, 2, 1, 0.1);
        check_grid(L, r, 2, L == BINOMIAL ? 1 : 1e7, 0.1);
        check_grid(L, r, 2, 1, L == POISSON ? 400 : 20);
    }
    check_grid(L, 2, 3, 1, 0.1);
}

void test_likelihood(void)
{
    static const double mus[] = {-6, -1.5, 0, 0.7, 5}, vs[] = {0.01, 0.3, 2, 16};
    static const double tails[] = {0.02, 0.4, 1.2};
    for (int j = 0; j < 3; j++) {
        check_far_tail(-15.5, tails[j]);
        check_far_tail(-40, tails[j]);
    }
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 4; j++) check_at(mus[i], vs[j]);
    check_edges();
    check_lanes();
    check_many();
    check_grids(BINOMIAL);
    check_grids(POISSON);
    check_grids(NEGBIN);
    check_points(BINOMIAL, 1);
    check_points(POISSON, 1);
    check_points(NEGBIN, 2.5);
    check_slopes(BINOMIAL, (struct row){3, 7}, 1);
    check_slopes(BINOMIAL, (struct row){0, 1}, 1);
    check_slopes(POISSON, (struct row){4, 2}, 1);
    check_slopes(NEGBIN, (struct row){4, 1}, 0.7);
    check_slopes(NEGBIN, (struct row){0, 3}, 250);
    check_density(BINOMIAL, 6, 1, 6);
    check_density(POISSON, 1, 1, 60);
    check_density(NEGBIN, 1, 2.5, 250);
    for (double y = 0; y < 1e4; y = 3 * y + 1) check_dispersion(y);
    CHECK(likelihood_of(0) == BINOMIAL && likelihood_of(1) == POISSON);
    CHECK(likelihood_of(2) == NEGBIN && likelihood_of(3) == BOUND);
    CHECK(!likelihood_of(-1) && !likelihood_of(4));
}
