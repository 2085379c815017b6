/* test_gibbs.c: the sampler, by Monte Carlo comparisons at a fixed seed. Bands are five
 * standard errors from batch means: wide enough never to fail by chance at another seed,
 * narrow enough to see a wrong conditional. */
#include <math.h>
#include <Rmath.h>
#include "check.h"
#include "lmm_gibbs.h"
#include "rand.h"
#include "support.h"

struct chain {
    struct gibbs_state s;
    struct core_info info;
    enum core_status status;
    int kept, cols;
};

/* The centre is an arbitrary point, not the optimum: the answer must not depend on it. */
static struct chain run(const struct lmm *m, struct gibbs_control ctl, const double *start,
                        const struct core_hooks *h)
{
    size_t q = (size_t) lmm_n_par(m), dim = arrow_dim(&m->shape);
    size_t kept = (size_t) gibbs_kept(&ctl), nu = dim - (size_t) m->shape.n_global;
    double *theta = nans(dim), *grad = nans(dim), rss = m->yy;
    for (size_t i = 0; i < dim; i++) theta[i] = 0.1 * (double) (i % 5) - 0.2;
    arrow_mul(&m->shape, &m->G, theta, grad);
    for (size_t i = 0; i < dim; i++) {
        rss += theta[i] * (grad[i] - 2 * m->h[i]);
        grad[i] = m->h[i] - grad[i];
    }
    struct gibbs_centre c = {theta, grad, rss};
    struct arena count = {NULL, 0};
    gibbs_work_carve(m, &count);
    struct arena a = arena_of(count.used);
    struct gibbs_work w = gibbs_work_carve(m, &a);
    CHECK(a.used == count.used);
    struct chain out = {.info = {0, -1}, .kept = (int) kept, .cols = m->p + m->n_prec};
    out.s = (struct gibbs_state){.t = copy(q, start), .theta = nans(dim),
                                 .draws = nans(kept * (size_t) out.cols),
                                 .u_draws = nu ? nans(kept * nu) : NULL,
                                 .u_mean = zeros(nu), .u_m2 = zeros(nu)};
    out.status = gibbs_run(m, &ctl, &c, &out.s, &w, h, &out.info);
    return out;
}

/* Mean of f(x) over n values and its squared standard error from 40 batches. */
static double mean_and_se2(int n, const double *x, double (*f)(double), double *se2)
{
    enum { BATCHES = 40 };
    double sum = 0, sq = 0;
    int size = n / BATCHES;
    for (int b = 0; b < BATCHES; b++) {
        double s = 0;
        for (int i = 0; i < size; i++) s += f(x[b * size + i]) / size;
        sum += s;
        sq += s * s;
    }
    double mean = sum / BATCHES;
    *se2 = (sq / BATCHES - mean * mean) / (BATCHES - 1);
    return mean;
}

static double identity(double x) { return x; }
static double square(double x) { return x * x; }

static void check_agree(const struct lmm *m, const struct chain *a, const struct chain *b)
{
    CHECK(a->status == CORE_OK && b->status == CORE_OK);
    for (int j = 0; j < a->cols; j++) {
        double va, vb, (*f)(double) = j < m->p ? identity : log;
        double d = mean_and_se2(a->kept, a->s.draws + j * a->kept, f, &va) -
                   mean_and_se2(b->kept, b->s.draws + j * b->kept, f, &vb);
        CHECK(fabs(d) < 5 * sqrt(va + vb));
    }
}

/* Two starts, and with or without the scale move: one posterior. */
static void check_starts(const struct lmm *m)
{
    static const double low[] = {1e-2, 1e-2, 1, 1}, high[] = {1e3, 1e3, 1, 1};
    struct gibbs_control ctl = {4100, 100, 1, true}, plain = {8100, 100, 2, false};
    struct chain a = run(m, ctl, low, NULL), b = run(m, ctl, high, NULL);
    struct chain c = run(m, plain, high, NULL);
    check_agree(m, &a, &b);
    check_agree(m, &a, &c);
    check_agree(m, &b, &c);
    CHECK(c.info.iter == 8100 && c.kept == 4000);
    int nu = (int) arrow_dim(&m->shape) - m->shape.n_global;
    for (int i = 0; i < nu; i++) { /* the running moments are those of the draws */
        double se2, mean = mean_and_se2(c.kept, c.s.u_draws + i * c.kept, identity, &se2);
        double sq = mean_and_se2(c.kept, c.s.u_draws + i * c.kept, square, &se2);
        CHECK_NEAR(c.s.u_mean[i], mean, 1e-12);
        CHECK_NEAR(c.s.u_m2[i] / c.kept, sq - mean * mean, 1e-12);
        CHECK(c.s.u_draws[i * c.kept + c.kept - 1] == c.s.theta[m->shape.n_global + i]);
    }
    for (int k = 0; k < m->n_prec; k++)
        CHECK(c.s.draws[(m->p + k + 1) * c.kept - 1] == c.s.t[k]);
}

/* Regression under a flat prior: tau_e ~ Gamma(a + (n - p)/2, b + rss/2) exactly. */
static void check_exact(const struct sim *d)
{
    const struct lmm *m = &d->m;
    const double start = 1;
    struct gibbs_control ctl = {8100, 100, 1, false};
    struct chain c = run(m, ctl, &start, NULL);
    double S[4], beta[2], rss = m->yy, se2;
    naive_inverse(2, m->G.global, S);
    for (int i = 0; i < 2; i++) beta[i] = S[i] * m->h[0] + S[i + 2] * m->h[1];
    for (int i = 0; i < 2; i++) rss -= beta[i] * m->h[i];
    double shape = m->prior[0].shape + (d->n - 2) / 2.0, rate = m->prior[0].rate + rss / 2;
    const double *tau = c.s.draws + 2 * c.kept;
    double err = mean_and_se2(c.kept, tau, log, &se2) - (digamma(shape) - log(rate));
    CHECK(fabs(err) < 5 * sqrt(se2));
    err = mean_and_se2(c.kept, tau, square, &se2) - shape * (shape + 1) / (rate * rate);
    CHECK(fabs(err) < 5 * sqrt(se2));
    for (int i = 0; i < 2; i++) {
        const double *x = c.s.draws + i * c.kept;
        double mean = mean_and_se2(c.kept, x, identity, &se2);
        CHECK(fabs(mean - beta[i]) < 5 * sqrt(se2));
        double var = S[3 * i] * rate / (shape - 1); /* E 1/tau times (X'X)^-1 */
        err = mean_and_se2(c.kept, x, square, &se2) - var - beta[i] * beta[i];
        CHECK(fabs(err) < 5 * sqrt(se2));
    }
}

static void check_stops(const struct lmm *m)
{
    static const double start[] = {1, 1, 1, 1};
    struct gibbs_control ctl = {20, 0, 1, true};
    for (int at = 0; at < 20; at += 7) {
        struct core_hooks h = {stop_at, &at};
        struct chain c = run(m, ctl, start, &h);
        CHECK(c.status == CORE_INTERRUPTED && c.info.iter == at);
        for (int i = 0; i < c.kept; i++) CHECK(isfinite(c.s.draws[i]) == (i < at));
    }
    struct lmm bad = *m; /* a NaN must not come out as draws */
    double *h = copy(arrow_dim(&m->shape), m->h);
    h[0] = NAN;
    bad.h = h;
    CHECK(run(&bad, ctl, start, NULL).status == CORE_NONFINITE);
    bad = *m;
    bad.G.global = copy(4, m->G.global);
    bad.G.global[0] = -1e6;
    struct chain c = run(&bad, ctl, start, NULL);
    CHECK(c.status == CORE_NOT_PD_GLOBAL && c.info.block == 0 && c.info.iter == 0);
}

static double log_normal(double x, const void *ctx)
{
    (void) ctx;
    return -0.5 * x * x;
}

/* A bracket far too narrow or too wide must not bias the slice sampler. */
static void check_slice(double width)
{
    enum { N = 8000 };
    double *x = nans(N), se2;
    for (int i = 0; i < N; i++) x[i] = rand_slice(i ? x[i - 1] : 0, width, log_normal, NULL);
    double mean = mean_and_se2(N, x, identity, &se2);
    CHECK(fabs(mean) < 5 * sqrt(se2));
    double sq = mean_and_se2(N, x, square, &se2);
    CHECK(fabs(sq - 1) < 5 * sqrt(se2) && se2 < 0.01);
}

void test_gibbs(void)
{
    struct sim reg = sim_regression(), ri = sim_intercept();
    check_starts(&ri.m);
    check_exact(&reg);
    check_stops(&reg.m);
    check_stops(&ri.m);
    check_slice(0.2);
    check_slice(20);
}
