/* test_blackbox.c: the askers, answered by densities in C. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/gva.h"
#include "blackbox/lbfgs.h"
#include "check.h"
#include "support.h"

/* lp and gradient at one point. */
typedef double density(const void *ctx, int d, const double *z, double *g);

/* Answers an asker until it has had enough; returns the points it asked for. */
static int answer_all(struct asker *a, density *f, const void *ctx)
{
    int asked = 0;
    while (a->n > 0 && asked < 1000000) {
        double *lp = nans((size_t) a->n), *g = nans((size_t) a->n * (size_t) a->d);
        for (int i = 0; i < a->n; i++)
            lp[i] = f(ctx, a->d, a->z + i * a->d, g + i * a->d);
        asked += a->n;
        CHECK(a->gradient && !a->random);
        CHECK(a->take(a, lp, g) == CORE_OK);
    }
    CHECK(asked < 1000000);
    return asked;
}

/* -(z - j)' P (z - j) / 2 with mean 0, 1, 2, ...; ctx: P. */
static double quadratic(const void *ctx, int d, const double *z, double *g)
{
    const double *P = ctx;
    double lp = 0;
    for (int i = 0; i < d; i++) {
        g[i] = 0;
        for (int j = 0; j < d; j++) g[i] -= P[i + j * d] * (z[j] - j);
        lp += g[i] * (z[i] - i) / 2;
    }
    return lp;
}

static double rosenbrock(const void *ctx, int d, const double *z, double *g)
{
    (void) ctx;
    (void) d;
    double off = z[1] - z[0] * z[0];
    g[0] = 400 * z[0] * off + 2 * (1 - z[0]);
    g[1] = -200 * off;
    return -100 * off * off - (1 - z[0]) * (1 - z[0]);
}

/* log z - z for z > 0, no density and no gradient elsewhere. */
static double half_line(const void *ctx, int d, const double *z, double *g)
{
    (void) ctx;
    (void) d;
    g[0] = z[0] > 0 ? 1 / z[0] - 1 : NAN;
    return z[0] > 0 ? log(z[0]) - z[0] : -INFINITY;
}

static double ramp(const void *ctx, int d, const double *z, double *g)
{
    (void) ctx;
    (void) d;
    g[0] = 1;
    return z[0];
}

static double corner(const void *ctx, int d, const double *z, double *g)
{
    (void) ctx;
    double lp = 0;
    for (int j = 0; j < d; j++) {
        lp -= fabs(z[j]);
        g[j] = z[j] > 0 ? -1 : 1;
    }
    return lp;
}

static double nowhere(const void *ctx, int d, const double *z, double *g)
{
    (void) ctx;
    for (int j = 0; j < d; j++) g[j] = z[j];
    return -INFINITY;
}

static struct lbfgs lbfgs_from(int d, const double *start, int max_iter)
{
    const struct lbfgs_control ctl = {max_iter, 1e-6};
    struct arena a = {NULL, 0};
    lbfgs_carve(d, &ctl, &a);
    a = arena_of(a.used);
    struct lbfgs x = lbfgs_carve(d, &ctl, &a);
    memcpy(x.z, start, sizeof(double) * (size_t) d);
    return x;
}

static enum lbfgs_end climb(struct lbfgs *x, density *f, const void *ctx)
{
    lbfgs_start(x);
    answer_all(&x->ask, f, ctx);
    for (int j = 1; j < x->n_path; j++) CHECK(x->lp[j] > x->lp[j - 1]);
    return x->end;
}

static void test_lbfgs(void)
{
    const double zero[5] = {0}, valley[2] = {-1.2, 1}, far[3] = {8, -3, 5};
    double *P = random_spd(5);
    struct lbfgs x = lbfgs_from(5, zero, 100);
    CHECK(climb(&x, quadratic, P) == LBFGS_CONVERGED);
    for (int j = 0; j < 5; j++) CHECK_NEAR(x.z[5 * (x.n_path - 1) + j], j, 1e-2);
    x = lbfgs_from(2, valley, 200);
    CHECK(climb(&x, rosenbrock, NULL) == LBFGS_CONVERGED);
    CHECK_NEAR(x.z[2 * (x.n_path - 1)], 1, 1e-2);
    x = lbfgs_from(2, valley, 3);
    CHECK(climb(&x, rosenbrock, NULL) == LBFGS_MAXIT && x.n_path == 4);
    x = lbfgs_from(2, valley, 0);
    CHECK(climb(&x, rosenbrock, NULL) == LBFGS_MAXIT && x.n_path == 1);
    x = lbfgs_from(1, far, 100);
    CHECK(climb(&x, half_line, NULL) == LBFGS_CONVERGED);
    CHECK_NEAR(x.z[x.n_path - 1], 1, 1e-2);
    x = lbfgs_from(1, far, 1000);
    CHECK(climb(&x, ramp, NULL) == LBFGS_DIVERGED);
    x = lbfgs_from(3, far, 500);
    CHECK(climb(&x, corner, NULL) != LBFGS_DIVERGED);
    CHECK(x.lp[x.n_path - 1] > -1);
    x = lbfgs_from(3, far, 10);
    CHECK(climb(&x, nowhere, NULL) == LBFGS_NO_START && x.n_path == 0);
}

/* Antithetic points with mean e e' = I. */
static double *matched(int d, int n)
{
    double *E = normals((size_t) d * (size_t) n), *M = zeros((size_t) d * (size_t) d);
    for (int i = 0; i < d * n / 2; i++) E[d * n / 2 + i] = -E[i];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            for (int k = 0; k < d; k++) M[j + k * d] += E[j + i * d] * E[k + i * d] / n;
    CHECK(la_chol(d, M) == 0);
    for (int i = 0; i < n; i++) la_solve_l(d, M, E + i * d);
    return E;
}

static struct gva gva_from(int d, int n, double sd, int max_iter)
{
    const struct gva_control ctl = {max_iter, 1e-2};
    struct arena a = {NULL, 0};
    gva_carve(d, n, &ctl, &a);
    a = arena_of(a.used);
    struct gva x = gva_carve(d, n, &ctl, &a);
    x.E = matched(d, n);
    for (int j = 0; j < d; j++) {
        x.now.m[j] = 0;
        for (int i = 0; i < d; i++) x.now.L[i + j * d] = i == j ? sd : 0;
    }
    return x;
}

static enum gva_end fit(struct gva *x, density *f, const void *ctx)
{
    gva_start(x);
    answer_all(&x->ask, f, ctx);
    return x->end;
}

/* Exact on a Gaussian, from near and far. */
static void test_gva_gaussian(int d, double sd)
{
    double *P = random_spd(d), *S = zeros((size_t) d * (size_t) d);
    double log_det = naive_inverse(d, P, S);
    struct gva x = gva_from(d, 4 * d + 8, sd, 60);
    CHECK(fit(&x, quadratic, P) == GVA_CONVERGED);
    CHECK_NEAR(x.now.bound + d / 2.0, -log_det / 2, 1e-9);
    for (int i = 0; i < d; i++) {
        CHECK_NEAR(x.now.m[i], i, 1e-8);
        for (int j = 0; j < d; j++) {
            double v = 0;
            for (int k = 0; k < d; k++) v += x.now.L[i + k * d] * x.now.L[j + k * d];
            CHECK_NEAR(v, S[i + j * d], 1e-8);
        }
        for (int j = i + 1; j < d; j++) CHECK(x.now.L[i + j * d] == 0);
    }
}

static void test_gva(void)
{
    for (int d = 1; d <= 9; d += 4)
        for (double sd = 1e-3; sd < 1e4; sd *= 1e3) test_gva_gaussian(d, sd);
    struct gva x = gva_from(1, 32, 100, 60);
    CHECK(fit(&x, half_line, NULL) == GVA_NO_START); /* half of the points, at any size */
    x = gva_from(1, 32, 100, 60);
    x.now.m[0] = 5;
    CHECK(fit(&x, half_line, NULL) != GVA_NO_START && isfinite(x.now.bound));
    x = gva_from(2, 32, .1, 60);
    CHECK(fit(&x, nowhere, NULL) == GVA_NO_START);
    x = gva_from(1, 32, 1, 200);
    CHECK(fit(&x, ramp, NULL) == GVA_DIVERGED);
    x = gva_from(2, 64, 1, 2);
    CHECK(fit(&x, rosenbrock, NULL) == GVA_MAXIT && x.iter == 2);
    CHECK(x.trace[GVA_TRACE] == x.now.bound);
}

void test_blackbox(void)
{
    test_lbfgs();
    test_gva();
}
