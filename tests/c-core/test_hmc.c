/* test_hmc.c: the Hamiltonian samplers on normal densities, asked and answered without R. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/hmc.h"
#include "blackbox/nuts.h"
#include "check.h"
#include "support.h"

/* log density -sum_i ((z_i - i) / sd_i)^2 / 2, sd_i = 1 + i; none beyond `edge`. */
struct target {
    double edge;
    bool nan_gradient;
    long asked;
    int most; /* points of an ask */
};

static void answer(struct target *t, const struct asker *a, double *lp, double *g)
{
    t->asked += a->n;
    if (a->n > t->most) t->most = a->n;
    for (int k = 0; k < a->n; k++) {
        lp[k] = 0;
        for (int i = 0; i < a->d; i++) {
            double z = AT(a->z, i, k, a->d), r = (z - i) / (1 + i);
            lp[k] -= r * r / 2;
            AT(g, i, k, a->d) = -r / (1 + i);
            if (z > t->edge) lp[k] = -INFINITY;
            if (z > t->edge && t->nan_gradient) AT(g, i, k, a->d) = NAN;
        }
    }
}

static enum core_status run(struct hamilton *h, const double *start, struct target *t)
{
    struct asker a = hamilton_asker(h, start);
    double *lp = zeros((size_t) h->n_chain), *g = zeros((size_t) (h->n_chain * h->w.d));
    enum core_status st = CORE_OK;
    while (st == CORE_OK && a.n > 0) {
        answer(t, &a, lp, g);
        st = a.take(&a, lp, g);
    }
    return st;
}

static struct hamilton_record record(int kept, int chains, int d)
{
    size_t n = (size_t) (kept * chains);
    return (struct hamilton_record){.z = nans(n * (size_t) d),
                                    .gradient = nans(n * (size_t) d),
                                    .lp = nans(n),
                                    .energy = nans(n),
                                    .accept = nans(n),
                                    .leapfrogs = nans(n),
                                    .depth = nans(n),
                                    .divergent = nans(n),
                                    .step = zeros((size_t) chains),
                                    .kept = zeros((size_t) chains)};
}

static struct hamilton sampler(int d, int chains, bool dense, bool nuts,
                               struct hamilton_settings set)
{
    struct hamilton h = {.n_chain = chains, .set = set, .w = {.d = d, .dense = dense}};
    h.w.m = zeros((size_t) d);
    h.w.L = zeros(whiten_size(d, dense));
    for (int i = 0; i < d; i++) h.w.L[dense ? i * (d + 1) : i] = 1;
    h.out = record(set.iter - set.warmup, chains, d);
    struct arena a = {0};
    hamilton_carve(&h, &a);
    nuts ? nuts_carve(&h, &a) : hmc_carve(&h, &a);
    a = arena_of(a.used);
    hamilton_carve(&h, &a);
    nuts ? nuts_carve(&h, &a) : hmc_carve(&h, &a);
    return h;
}

static struct hamilton_settings plain(int iter, int warmup)
{
    return (struct hamilton_settings){.iter = iter,
                                      .warmup = warmup,
                                      .target = 0.8,
                                      .first = 0.5,
                                      .most = INFINITY,
                                      .length = 1.6,
                                      .max_leapfrogs = 24,
                                      .max_depth = 10};
}

static double square(double x) { return x * x; }

/* Draws of coordinate i, standardised, have mean 0 and variance 1. */
static void check_normal(const struct hamilton *h, int i)
{
    int n = (h->set.iter - h->set.warmup) * h->n_chain;
    double *x = copy((size_t) n, h->out.z + (size_t) n * (size_t) i), se2;
    for (int k = 0; k < n; k++) x[k] = (x[k] - i) / (1 + i);
    double mean = mean_and_se2(n, x, identity, &se2);
    CHECK(fabs(mean) < 4 * sqrt(se2) + 1e-3);
    double var = mean_and_se2(n, x, square, &se2);
    CHECK(fabs(var - 1) < 4 * sqrt(se2) + 1e-3);
}

static void test_normal(bool dense, bool nuts)
{
    int d = 3, chains = 2;
    static const int windows[] = {40, 100, 250};
    struct hamilton_settings set = plain(4300, 300);
    set.windows = windows;
    set.n_windows = 3;
    struct hamilton h = sampler(d, chains, dense, nuts, set);
    struct target t = {.edge = INFINITY};
    CHECK(run(&h, normals((size_t) (d * chains)), &t) == CORE_OK);
    CHECK(h.done == 8600 && h.lost == -1 && t.most == chains);
    for (int k = 0; k < chains; k++) CHECK(h.out.kept[k] == 4000);
    for (int i = 0; i < d; i++) {
        check_normal(&h, i);
        double L = h.w.L[dense ? i * (d + 1) : i];
        CHECK(fabs(L / (1 + i) - 1) < 0.4 && fabs(h.w.m[i] - i) < (1 + i)); /* learned */
    }
    for (int k = 0; k < 8000; k++) {
        double lp = 0;
        for (int i = 0; i < d; i++) {
            double r = (h.out.z[k + 8000 * i] - i) / (1 + i);
            lp -= r * r / 2;
            CHECK_NEAR(h.out.gradient[k + 8000 * i], -r / (1 + i), 1e-12);
        }
        CHECK_NEAR(h.out.lp[k], lp, 1e-12);
        CHECK(h.out.energy[k] >= -lp - 30 && h.out.divergent[k] == 0);
    }
}

/* Small steps: the variance of N(0, 1) is 1. Without the kinetic energy it would be 1/2. */
static void test_small_steps(bool nuts)
{
    struct hamilton_settings set = plain(3000, 0);
    set.first = set.most = 0.2;
    struct hamilton h = sampler(1, 4, false, nuts, set);
    struct target t = {.edge = INFINITY};
    CHECK(run(&h, normals(4), &t) == CORE_OK);
    CHECK_NEAR(h.out.step[0], 0.2, 1e-12);
    check_normal(&h, 0);
}

/* A region without density: never entered; a gradient that is NaN there does no harm. */
static void test_edge(bool nuts)
{
    struct hamilton h = sampler(2, 3, true, nuts, plain(600, 100));
    struct target t = {.edge = 1.5, .nan_gradient = true};
    double *start = zeros(6);
    start[0] = 40; /* half way to m until there is a density */
    CHECK(run(&h, start, &t) == CORE_OK);
    double divergent = 0;
    for (int k = 0; k < 1500; k++) {
        divergent += h.out.divergent[k];
        CHECK(h.out.z[k] <= 1.5 && h.out.z[k + 1500] <= 1.5 && isfinite(h.out.lp[k]));
    }
    CHECK(divergent > 0);
    t.edge = -INFINITY;
    CHECK(run(&h, start, &t) == CORE_NONFINITE && h.lost == 0);
}

static void test_stop(void)
{
    struct hamilton h = sampler(2, 1, true, true, plain(100, 10));
    int at = 30;
    const struct core_hooks hooks = {stop_at, &at};
    h.hooks = &hooks;
    struct target t = {.edge = INFINITY};
    CHECK(run(&h, zeros(2), &t) == CORE_INTERRUPTED);
    CHECK(h.done == 30 && h.out.kept[0] == 20);
}

/* Paths are as long as they may be, and no longer. */
static void test_limits(void)
{
    struct hamilton_settings set = plain(50, 0);
    set.first = set.most = 1e-4;
    set.max_depth = 3;
    struct hamilton nuts = sampler(2, 1, true, true, set);
    struct target t = {.edge = INFINITY};
    CHECK(run(&nuts, zeros(2), &t) == CORE_OK);
    for (int k = 0; k < 50; k++)
        CHECK(nuts.out.leapfrogs[k] == 7 && nuts.out.depth[k] == 3);
    struct hamilton hmc = sampler(2, 1, true, false, set);
    CHECK(run(&hmc, zeros(2), &t) == CORE_OK);
    for (int k = 0; k < 50; k++) CHECK(hmc.out.leapfrogs[k] == 24);
}

static void test_whiten(void)
{
    int d = 4;
    double *A = random_spd(d), *m = normals(4), *e = normals(4), *z = nans(4),
           *s = nans(4);
    CHECK(la_chol(d, A) == 0);
    for (int j = 1; j < d; j++)
        for (int i = 0; i < j; i++) AT(A, i, j, d) = 0;
    struct whiten w = {.d = d, .dense = true, .m = m, .L = A};
    whiten_point(&w, e, z);
    whiten_score(&w, e, s);
    for (int i = 0; i < d; i++) {
        double at = m[i], score = 0;
        for (int j = 0; j <= i; j++) at += AT(A, i, j, d) * e[j];
        for (int j = i; j < d; j++) score += AT(A, j, i, d) * e[j];
        CHECK_NEAR(z[i], at, 1e-13);
        CHECK_NEAR(s[i], score, 1e-13);
    }
    whiten_coordinates(&w, z, s);
    for (int i = 0; i < d; i++) CHECK_NEAR(s[i], e[i], 1e-11);
}

void test_hmc(void)
{
    test_whiten();
    for (int k = 0; k < 4; k++) test_normal(k & 1, k & 2);
    for (int k = 0; k < 2; k++) {
        test_small_steps(k);
        test_edge(k);
    }
    test_stop();
    test_limits();
}
