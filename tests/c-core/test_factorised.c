/* test_factorised.c: factorised Gaussian on fixed points: slope and products against differences of
 * the bound, Newton's method on Gaussian targets, the trust region, starts without density. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "blackbox/factorised_fit.h"
#include "blackbox/factorised_response.h"
#include "support.h"

/* A target: log density and gradient at one point. */
struct density {
    int d;
    const double *P; /* precision of a Gaussian about 1; NULL: see below             */
    double (*lp)(double z, double *g);
    double asked;
};

static double evaluate(const struct density *t, const double *z, double *g)
{
    double lp = 0;
    if (!t->P) {
        for (int j = 0; j < t->d; j++) lp += t->lp(z[j], g + j);
        return lp;
    }
    for (int j = 0; j < t->d; j++) {
        g[j] = 0;
        for (int k = 0; k < t->d; k++) g[j] -= AT(t->P, j, k, t->d) * (z[k] - 1);
        lp += g[j] * (z[j] - 1) / 2;
    }
    return lp;
}

static double skewed(double z, double *g) /* log of an exponential variable */
{
    *g = 1 - exp(z);
    return z - exp(z);
}

static double flat(double z, double *g)
{
    (void) z;
    return *g = 0;
}

static double half(double z, double *g) /* exponential, in the raw: nothing below zero */
{
    *g = z > 0 ? 1 / z - 1 : NAN;
    return z > 0 ? log(z) - z : -INFINITY;
}

static double nowhere(double z, double *g)
{
    (void) z;
    *g = NAN;
    return -INFINITY;
}

static enum core_status answer(struct asker *a, struct density *t, double max_points)
{
    enum core_status st = CORE_OK;
    while (st == CORE_OK && a->n > 0) {
        if (t->asked + a->n > max_points) return CORE_DEAR;
        double *lp = zeros((size_t) a->n), *g = nans((size_t) a->n * (size_t) a->d);
        for (int i = 0; i < a->n; i++)
            lp[i] = evaluate(t, &AT(a->z, 0, i, a->d), &AT(g, 0, i, a->d));
        t->asked += a->n;
        st = a->take(a, lp, a->gradient ? g : NULL);
    }
    return st;
}

/* Antithetic, mean e e' = I: plus and minus sqrt(d) along the axes; every one twice. */
static double *points(int d)
{
    double *E = zeros((size_t) d * 4 * (size_t) d);
    for (int j = 0; j < d; j++)
        for (int k = 0; k < 4; k++) AT(E, j, 4 * j + k, d) = (k % 2 ? 1 : -1) * sqrt(d);
    return E;
}

static struct factorised_fit new_fit(int d, const double *E)
{
    struct factorised_fit c = {
        .f = {.d = d, .n = 4 * d, .E = E}, .max_iter = 50, .tol = 1e-9};
    struct arena a = {NULL, 0};
    size_t counted = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) a = arena_of(counted = a.used);
        factorised_fit_carve(&c, &a);
    }
    CHECK(a.used == counted);
    return c;
}

static double *start(int d, double m, double omega)
{
    double *x = zeros(2 * (size_t) d);
    for (int j = 0; j < d; j++) {
        x[j] = m;
        x[d + j] = omega;
    }
    return x;
}

static double value_at(const struct factorised *f, const struct density *t,
                       const double *x, double *slope)
{
    int d = f->d;
    double *lp = zeros((size_t) f->n), *g = nans((size_t) d * (size_t) f->n);
    factorised_place(f, x, f->z);
    for (int i = 0; i < f->n; i++)
        lp[i] = evaluate(t, &AT(f->z, 0, i, d), &AT(g, 0, i, d));
    factorised_slope(f, x, g, slope);
    return factorised_value(f, x, lp);
}

static void check_derivatives(void)
{
    enum { D = 3 };
    struct factorised_fit c = new_fit(D, points(D));
    struct density t = {D, random_spd(D), NULL, 0};
    double *x = start(D, .3, -.4), *slope = nans(2 * D), *up = nans(2 * D),
           *down = nans(2 * D);
    factorised_set(&c.f, x);
    value_at(&c.f, &t, x, slope);
    for (int j = 0; j < 2 * D; j++) {
        double h = 1e-5, unit = j < D ? exp(-.4) : 1, was = x[j];
        x[j] = was + h * unit;
        double high = value_at(&c.f, &t, x, up);
        x[j] = was - h * unit;
        double low = value_at(&c.f, &t, x, down);
        x[j] = was;
        CHECK_NEAR(slope[j], (high - low) / (2 * h), 1e-8);
        double *v = zeros(2 * D), *g = nans(2 * 4 * D * D), *Fv = nans(2 * D);
        v[j] = 3;
        factorised_ask_product(&c.f, v);
        for (int i = 0; i < 8 * D; i++)
            evaluate(&t, &AT(c.f.z, 0, i, D), &AT(g, 0, i, D));
        factorised_product(&c.f, v, g, Fv);
        for (int k = 0; k < 2 * D; k++)
            CHECK_NEAR(Fv[k], 3 * (up[k] - down[k]) / (2 * h), 1e-6);
    }
}

static void check_gaussian(int d)
{
    struct factorised_fit c = new_fit(d, points(d));
    struct density t = {d, random_spd(d), NULL, 0};
    struct asker a = factorised_fit_asker(&c, start(d, -2, 1));
    CHECK(answer(&a, &t, INFINITY) == CORE_OK);
    CHECK(c.outcome == FACTORISED_CONVERGED);
    CHECK_NEAR(t.asked, 4 * d * (1 + 2 * c.products + c.iter), 1e-3 * d);
    double entropy = 0;
    for (int j = 0; j < d; j++) {
        CHECK_NEAR(c.f.x[j], 1, 1e-7);
        CHECK_NEAR(exp(-2 * c.f.x[d + j]), AT(t.P, j, j, d), 1e-7);
        entropy -= log(AT(t.P, j, j, d)) / 2;
    }
    CHECK_NEAR(c.F, d / 2. - entropy, 1e-9);
}

static void check_response(int d, bool solve)
{
    double *P = random_spd(d), *cov = nans((size_t) d * (size_t) d),
           *x = zeros(2 * (size_t) d);
    struct density t = {d, P, NULL, 0};
    naive_inverse(d, P, cov);
    for (int j = 0; j < d; j++) {
        x[j] = 1;
        x[d + j] = -log(AT(P, j, j, d)) / 2;
    }
    double *B = zeros(4 * (size_t) d), *out = zeros(4 * (size_t) d);
    B[d - 1] = exp(x[2 * d - 1]); /* the second column is zero */
    int *short_of = ints(2);
    struct factorised_response c = {.f = {.d = d, .n = 4 * d, .E = points(d)},
                                    .k = 2,
                                    .B = B,
                                    .solve = solve,
                                    .tol = 1e-10,
                                    .max_inner = 4 * d,
                                    .out = out,
                                    .short_of = short_of};
    struct arena a = {NULL, 0};
    for (int pass = 0; pass < 2; pass++) {
        if (pass) a = arena_of(a.used);
        factorised_response_carve(&c, &a);
    }
    struct asker ask = factorised_response_asker(&c, x);
    CHECK(answer(&ask, &t, INFINITY) == CORE_OK);
    for (int j = 0; j < d; j++) {
        double sd = exp(x[d + j]);
        CHECK_NEAR(out[j],
                   solve ? AT(cov, j, d - 1, d) / sd
                         : sd * AT(P, j, d - 1, d) * exp(2 * x[2 * d - 1]),
                   1e-6);
        CHECK(out[2 * d + j] == 0);
    }
    CHECK(short_of[0] == 0);
}

static void check_ends(void)
{
    enum { D = 2 };
    double *E = points(D);
    struct factorised_fit c = new_fit(D, E);
    struct density t = {D, NULL, flat, 0};
    struct asker a = factorised_fit_asker(&c, start(D, 0, 0));
    CHECK(answer(&a, &t, INFINITY) == CORE_OK && c.outcome == FACTORISED_RUNAWAY);
    t = (struct density){D, NULL, nowhere, 0};
    a = factorised_fit_asker(&c, start(D, 0, 0));
    CHECK(answer(&a, &t, INFINITY) == CORE_OK && c.outcome == FACTORISED_NOWHERE);
    t = (struct density){D, NULL, half, 0};
    a = factorised_fit_asker(
        &c, start(D, .5, 2)); /* halved until all points are above zero */
    CHECK(answer(&a, &t, INFINITY) == CORE_OK && c.outcome == FACTORISED_CONVERGED);
    t = (struct density){D, NULL, skewed, 0};
    a = factorised_fit_asker(&c, start(D, 20, 0)); /* exp(20) uphill */
    CHECK(answer(&a, &t, INFINITY) == CORE_OK && c.outcome == FACTORISED_CONVERGED);
    CHECK_NEAR(c.f.x[0], c.f.x[1], 1e-9);
    t = (struct density){D, NULL, skewed, 0};
    a = factorised_fit_asker(&c, start(D, 3, 0));
    CHECK(answer(&a, &t, 60) == CORE_DEAR && c.outcome == FACTORISED_GOING);
    CHECK(t.asked <= 60 && isfinite(c.F));
    c.max_iter = 1;
    a = factorised_fit_asker(&c, start(D, 3, 0));
    CHECK(answer(&a, &t, INFINITY) == CORE_MAXIT && isfinite(c.F));
}

void test_factorised(void)
{
    check_derivatives();
    check_gaussian(1);
    check_gaussian(6);
    for (int solve = 0; solve < 2; solve++) {
        check_response(1, solve);
        check_response(5, solve);
    }
    check_ends();
}
