/* test_gibbs.c: the sampler, by Monte Carlo comparisons at a fixed seed. Bands are five
 * standard errors from batch means: wide enough never to fail by chance at another seed,
 * narrow enough to see a wrong conditional. */
#include <math.h>
#include "check.h"
#include "engine/gibbs.h"
#include "base/rand.h"
#include "support.h"

struct chain {
    struct gibbs_state s;
    struct core_info info;
    enum core_status status;
    int kept, cols;
};

/* The centre is an arbitrary point, not the optimum: the answer must not depend on it. */
static struct chain run(const struct lmm *m, struct gibbs_control ctl,
                        const double *start, const struct core_hooks *h)
{
    size_t q = (size_t) m->n_par, dim = arrow_dim(&m->shape);
    size_t kept = (size_t) sampler_kept(&ctl.run), nu = dim - (size_t) m->p;
    double *theta = nans(dim), *grad = nans(dim), rss = m->yy;
    for (size_t i = 0; i < dim; i++) theta[i] = 0.1 * (double) (i % 5) - 0.2;
    arrow_mul(&m->shape, &m->G, theta, grad);
    for (size_t i = 0; i < dim; i++) {
        rss += theta[i] * (grad[i] - 2 * m->h[i]);
        grad[i] = m->h[i] - grad[i];
    }
    struct lmm_centre c = {theta, grad, rss};
    struct arena count = {NULL, 0};
    gibbs_work_carve(m, &count);
    struct arena a = arena_of(count.used);
    struct gibbs_work w = gibbs_work_carve(m, &a);
    CHECK(a.used == count.used);
    struct chain out = {.info = {0, -1}, .kept = (int) kept, .cols = m->p + m->n_stat};
    out.s = (struct gibbs_state){.t = copy(q, start),
                                 .theta = nans(dim),
                                 .draws = nans(kept * (size_t) out.cols),
                                 .u_draws = nu ? nans(kept * nu) : NULL,
                                 .u_mean = zeros(nu),
                                 .u_m2 = zeros(nu)};
    struct gibbs_chain x = {m, ctl, &c, &out.s, &w, false};
    const struct sampler s = gibbs_sampler(&x);
    out.status = sampler_run(&s, &ctl.run, h, &out.info);
    return out;
}

static double square(double x) { return x * x; }
static double squash(double tau) { return 1 / (1 + tau); }

/* Mean over column j of the draws: of beta or an off-diagonal, or of log tau. */
static double mean_of(const struct lmm *m, const struct chain *c, int j, double *se2)
{
    const double *x = c->s.draws + j * c->kept;
    return mean_and_se2(c->kept, x,
                        j < m->p || !on_diagonal(m, j - m->p) ? identity : log, se2);
}

static void check_agree(const struct lmm *m, const struct chain *a, const struct chain *b)
{
    CHECK(a->status == CORE_OK && b->status == CORE_OK);
    for (int j = 0; j < a->cols; j++) {
        double va, vb, d = mean_of(m, a, j, &va) - mean_of(m, b, j, &vb);
        CHECK(fabs(d) < 5 * sqrt(va + vb));
    }
}

/* Log marginal prior density of log tau: with its auxiliary integrated out, a half-t has
 * density tau^(nu/2 - 1) (nu tau + 1/scale^2)^(-(nu + 1)/2) up to a constant. */
static double log_prior(const struct precision *pr, double tau)
{
    double tail = pr->nu > 0 ? (pr->nu + 1) / 2 * log(pr->nu * tau + pr->aux_rate[0]) : 0;
    return pr->df0 / 2 * log(tau) - pr->rate0[0] / 2 * tau - tail;
}

/* log p(tau, y) at one point up to a constant, theta integrated out; mean <- E theta. */
static double log_marginal(const struct lmm *m, const double *tau, struct gibbs_work *w)
{
    int dim = (int) arrow_dim(&m->shape), ng = m->shape.n_global;
    double *mean = w->z, *rhs = w->dev, quad = tau[0] * m->yy;
    struct core_info info;
    lmm_precision(m, tau, &w->P);
    if (arrow_factor(&m->shape, &w->P, &w->F, &info) != CORE_OK) return NAN;
    lmm_rhs(m, tau[0], mean);
    lmm_rhs(m, tau[0], rhs);
    arrow_solve(&m->shape, &w->F, mean);
    for (int i = 0; i < dim; i++) quad -= rhs[i] * mean[i];
    double lp = 0.5 * (m->n * log(tau[0]) - arrow_logdet(&m->shape, &w->F) - quad);
    if (m->n_prec > 1)
        lp += 0.5 * (dim - ng) * log(tau[1]) + log_prior(&m->prec[1], tau[1]);
    return lp + log_prior(&m->prec[0], tau[0]);
}

/* The exact posterior means by the trapezoidal rule over (log tau_e, log tau_u). Besides
 * log tau a bounded function of it: the right tail of log tau_u is long (a half-t allows an
 * SD of 0), and batch means understate the error of a higher moment. */
static void check_exact(const struct lmm *m, const struct chain *c)
{
    double sum = 0, first[4] = {0}, bounded[2] = {0}, lp0 = 0, se2, err;
    struct arena count = {NULL, 0};
    gibbs_work_carve(m, &count);
    struct arena a = arena_of(count.used);
    struct gibbs_work w = gibbs_work_carve(m, &a);
    for (double e = -3; e < 2.5; e += 0.05)
        for (double u = -8; u < (m->n_prec > 1 ? 20 : -7.8); u += 0.25) {
            double tau[2] = {exp(e), exp(u)}, lp = log_marginal(m, tau, &w);
            if (sum == 0) lp0 = lp + 300; /* keeps exp() in range */
            double p = exp(lp - lp0);
            const double value[4] = {w.z[0], w.z[1], e, u};
            sum += p;
            for (int j = 0; j < c->cols; j++) first[j] += p * value[j];
            for (int k = 0; k < m->n_prec; k++) bounded[k] += p * squash(tau[k]);
        }
    for (int j = 0; j < c->cols; j++) {
        err = mean_of(m, c, j, &se2) - first[j] / sum;
        CHECK(fabs(err) < 5 * sqrt(se2));
        if (j < m->p) continue;
        err = mean_and_se2(c->kept, c->s.draws + j * c->kept, squash, &se2) -
              bounded[j - m->p] / sum;
        CHECK(fabs(err) < 5 * sqrt(se2));
    }
}

/* Two starts, with and without the scale move: one posterior, and the exact one. */
static void check_chains(const struct lmm *m, int n)
{
    const double *low = start_of(m, 1e-2, 1), *high = start_of(m, 1e3, 1);
    struct gibbs_control ctl = {{n + 200, 200, 1}, true},
                         plain = {{2 * n + 200, 200, 2}, false};
    struct chain a = run(m, ctl, low, NULL), b = run(m, ctl, high, NULL);
    struct chain c = run(m, plain, high, NULL);
    check_agree(m, &a, &b);
    check_agree(m, &b, &c);
    if (m->n_stat <= 2) {
        check_exact(m, &a);
        check_exact(m, &b);
        check_exact(m, &c);
    }
    CHECK(c.info.iter == 2 * n + 200 && c.kept == n);
    int nu = (int) arrow_dim(&m->shape) - m->p;
    for (int i = 0; i < nu; i++) { /* the running moments are those of the draws */
        double se2, mean = mean_and_se2(c.kept, c.s.u_draws + i * c.kept, identity, &se2);
        double sq = mean_and_se2(c.kept, c.s.u_draws + i * c.kept, square, &se2);
        CHECK_NEAR(c.s.u_mean[i], mean, 1e-12);
        CHECK_NEAR(c.s.u_m2[i] / c.kept, sq - mean * mean, 1e-12);
        CHECK(c.s.u_draws[i * c.kept + c.kept - 1] == c.s.theta[m->p + i]);
    }
    for (int k = 0; k < m->n_stat; k++)
        CHECK(c.s.draws[(m->p + k + 1) * c.kept - 1] == c.s.t[k]);
}

/* Without data the draws are the prior. */
static void check_prior(const struct lmm *m, bool interweave)
{
    struct gibbs_control ctl = {{12200, 200, 1}, interweave};
    struct chain c = run(m, ctl, start_of(m, 1, 1), NULL);
    CHECK(c.status == CORE_OK);
    check_prior_precisions(m, 0, c.kept, c.s.draws + m->p * c.kept);
}

static void check_stops(const struct lmm *m)
{
    const double *start = start_of(m, 1, 1);
    struct gibbs_control ctl = {{20, 0, 1}, true};
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
    bad.G.global = copy(arrow_global_size(&m->shape), m->G.global);
    bad.G.global[0] = -1e6;
    struct chain c = run(&bad, ctl, start, NULL);
    CHECK(c.status == CORE_NOT_PD_GLOBAL && c.info.block == 0 && c.info.iter == 0);
}

/* 1/2 N(-2, 0.3^2) + 1/2 N(1.5, 1): with two modes it matters how the bracket is placed. */
static double log_mixture(double x, const void *ctx)
{
    (void) ctx;
    double a = (x + 2) / 0.3, b = x - 1.5;
    return log(exp(-0.5 * a * a) / 0.3 + exp(-0.5 * b * b));
}

static void check_slice(double width)
{
    enum { N = 40000 };
    double *x = nans(N), se2;
    for (int i = 0; i < N; i++)
        x[i] = rand_slice(i ? x[i - 1] : 0, width, log_mixture, NULL);
    double err = mean_and_se2(N, x, identity, &se2) - (-2 + 1.5) / 2;
    CHECK(fabs(err) < 5 * sqrt(se2));
    err = mean_and_se2(N, x, square, &se2) - (4.09 + 3.25) / 2;
    CHECK(fabs(err) < 5 * sqrt(se2) && se2 < 0.01);
}

void test_gibbs(void)
{
    /* four rows per group and much noise: the scale of u, and so the scale move, is loose */
    struct sim reg = sim_regression(), ri = sim_intercept(60, 15, 1.5);
    check_chains(&ri.m, 40000);
    check_chains(&reg.m, 40000);
    check_stops(&reg.m);
    check_stops(&ri.m);
    for (int rich = 0; rich < 2; rich++) {
        struct lmm m = sim_general(rich).m, prior = no_data(&m);
        check_chains(&m, 6000); /* fewer: valgrind is slow */
        check_stops(&m);
        check_prior(&prior, true);
        check_prior(&prior, false);
    }
    check_slice(0.8);
    check_slice(3);
    check_slice(20);
}
