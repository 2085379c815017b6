/* test_glmm_gibbs.c: Polya-Gamma variables, and the sampler of generalised models: one move against the other, and against the prior when there are no data. Bands are five standard
 * errors, as in test_gibbs.c; exact posteriors are in the R tests. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "engine/glmm_gibbs.h"
#include "base/rand_pg.h"
#include "support.h"

/* ---- Polya-Gamma variables ------------------------------------------------------------------ */

static double pg_mean;
static double centred_square(double x) { return (x - pg_mean) * (x - pg_mean); }
static double transform(double x) { return exp(-x / pg_mean); }
static double log_cosh(double z) { return z + log1p(exp(-2 * z)) - log(2); }

static void check_pg(double b, double c)
{
    enum { N = 20000 };
    double *x = nans(N), k[3], se2;
    rand_pg_cumulants(b, c, k);
    pg_mean = k[0];
    for (int i = 0; i < N; i++) x[i] = rand_pg(b, c);
    CHECK(fabs(mean_and_se2(N, x, identity, &se2) - k[0]) < 5 * sqrt(se2));
    CHECK(fabs(mean_and_se2(N, x, centred_square, &se2) - k[1]) < 5 * sqrt(se2));
    double laplace = exp(b * (log_cosh(c / 2) - log_cosh(sqrt(c * c / 4 + 0.5 / k[0]))));
    CHECK(fabs(mean_and_se2(N, x, transform, &se2) - laplace) < 5 * sqrt(se2));
}

/* The cumulants are derivatives of the log Laplace transform, on both sides of the switch from
 * series to closed form. */
static void check_cumulants(double c)
{
    double k[3], h = 1e-2, f[5];
    rand_pg_cumulants(1, c, k);
    for (int i = 0; i < 5; i++) {
        double s = c * c / 4 - (i - 2) * h / 2; /* E exp(t omega), t = (i - 2) h */
        double r = sqrt(fabs(s));
        f[i] = -(s >= 0 ? log_cosh(r) : log(cos(r)));
    }
    CHECK_NEAR((f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h), k[0], 1e-8);
    CHECK_NEAR((-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * h * h), k[1],
               1e-8);
    CHECK(fabs((f[4] - 2 * f[3] + 2 * f[1] - f[0]) / (2 * h * h * h) - k[2]) < 1e-4);
}

/* ---- a model --------------------------------------------------------------------------------- */

/* The model without its tau_e. */
static struct lmm without_tau_e(const struct lmm *m)
{
    struct lmm terms = lmm_terms(m);
    terms.n_stat--;
    terms.n_par--;
    for (int k = 0; k < terms.n_prec; k++) {
        terms.prec[k].at--;
        if (terms.prec[k].aux >= 0) terms.prec[k].aux--;
    }
    return terms;
}

/* The rows of a simulated Gaussian model sorted by leaf, with responses of their own; tau_e becomes
 * the extra parameter if there is one. */
static struct glmm glmm_of(const struct sim *d, const struct likelihood *L, double size)
{
    const struct arrow_shape *s = &d->m.shape;
    size_t n = (size_t) d->n, at = 0;
    int p = d->m.p, stride = 0, block = 0, r = s->r, dim = (int) arrow_dim(s);
    struct glmm g = {
        .lmm = L->n_extra ? d->m : without_tau_e(&d->m), .likelihood = L, .n = n};
    for (int k = 1; k < d->m.n_prec; k++)
        if (!d->m.prec[k].leaf) {
            stride = d->m.prec[k].stride;
            block = d->m.prec[k].block;
        }
    double *X = nans(n * (size_t) p), *y = nans(n), *w = nans(n), *o = zeros(n);
    double *z = nans(n * (size_t) r), *zf = nans(n * (size_t) (stride ? stride : 1));
    size_t *start = pool(sizeof(size_t) * ((size_t) s->n_leaf + 1));
    int *col = ints(n), *pos = ints(n);
    for (int l = 0; l < s->n_leaf; l++) {
        start[l] = at;
        for (int i = 0; i < d->n; i++) {
            const double *row = d->C + i;
            if (row[(s->n_global + l * r) * d->n] != 1) continue;
            double eta = 0.3;
            for (int j = 0; j < p; j++) X[at * (size_t) p + (size_t) j] = row[j * d->n];
            for (int b = 0; b < r; b++)
                z[at * (size_t) r + (size_t) b] = row[(s->n_global + l * r + b) * d->n];
            for (int c = block; stride && c < s->n_global; c += stride)
                if (row[c * d->n] == 1) col[at] = c;
            for (int b = 0; b < stride; b++)
                zf[at * (size_t) stride + (size_t) b] = row[(col[at] + b) * d->n];
            for (int e = s->ptr[l]; stride && e < s->ptr[l + 1]; e++)
                if (s->idx[e] == col[at]) pos[at] = e - s->ptr[l];
            for (int j = 0; j < dim; j++) eta += 0.5 * row[j * d->n] * sin(j);
            w[at] = size;
            o[at] = 0.1 * (double) (i % 3);
            y[at] = floor(L == &likelihood_binomial ? size / (1 + exp(-eta)) + 0.5
                                                    : exp(eta));
            at++;
        }
    }
    start[s->n_leaf] = at;
    CHECK(at == n);
    g.X = X;
    g.y = y;
    g.size = w;
    g.offset = o;
    g.z = z;
    g.start = start;
    if (stride) {
        g.n_other = 1;
        g.other[0] = (struct glmm_factor){.r = stride, .col = col, .pos = pos, .z = zf};
    }
    return g;
}

/* ---- the sampler --------------------------------------------------------------------- */

struct chain {
    struct glmm_gibbs_state s;
    struct core_info info;
    enum core_status status;
    int kept, cols;
};

/* step: the first step size, and without a warm-up the only one. */
static struct chain run_step(const struct glmm *g, struct glmm_gibbs_control ctl,
                             double step, const struct core_hooks *h)
{
    const struct lmm *m = &g->lmm;
    size_t dim = arrow_dim(&m->shape), nu = dim - (size_t) m->p;
    struct arena count = {NULL, 0};
    glmm_gibbs_work_carve(g, &count);
    struct arena a = arena_of(count.used);
    struct glmm_gibbs_work w = glmm_gibbs_work_carve(g, &a);
    CHECK(a.used == count.used);
    struct chain out = {
        .info = {0, -1}, .kept = sampler_kept(&ctl.gibbs.run), .cols = m->p + m->n_stat};
    size_t kept = (size_t) out.kept;
    out.s = (struct glmm_gibbs_state){.g = {.t = start_of(m, 1, 1),
                                            .theta = nans(dim),
                                            .draws = nans(kept * (size_t) out.cols),
                                            .u_draws = nans(kept * nu),
                                            .u_mean = zeros(nu),
                                            .u_m2 = zeros(nu)},
                                      .step = step};
    struct glmm_gibbs_chain x = {g, ctl, &out.s, &w};
    const struct sampler s = glmm_gibbs_sampler(&x);
    out.status = sampler_run(&s, &ctl.gibbs.run, h, &out.info);
    return out;
}

static struct chain run(const struct glmm *g, struct glmm_gibbs_control ctl,
                        const struct core_hooks *h)
{
    return run_step(g, ctl, 0.3, h);
}

static double squash(double x) { return 1 / (1 + exp(-x)); }
static double squash_precision(double tau) { return 1 / (1 + tau); }

/* beta, the extra parameter and the precisions of two chains agree, in bounded functions of each. */
static void check_agree(const struct glmm *g, const struct chain *a,
                        const struct chain *b)
{
    CHECK(a->status == CORE_OK && b->status == CORE_OK);
    for (int j = 0; j < a->cols; j++) {
        double va, vb;
        bool positive = j >= g->lmm.p && on_diagonal(&g->lmm, j - g->lmm.p);
        double (*f)(double) = positive ? squash_precision : squash;
        double d = mean_and_se2(a->kept, a->s.g.draws + j * a->kept, f, &va) -
                   mean_and_se2(b->kept, b->s.g.draws + j * b->kept, f, &vb);
        CHECK(fabs(d) <= 5 * sqrt(va + vb));
    }
}

/* Rows of size zero say nothing: the draws are the prior, beta's mean with them. */
static void check_prior(const struct glmm *g, enum glmm_mover mover)
{
    struct glmm_gibbs_control ctl = {{{16500, 500, 1}, true}, mover};
    struct chain c = run(g, ctl, NULL);
    CHECK(c.status == CORE_OK);
    for (int j = 0; j < g->lmm.p; j++) {
        double se2, mean = mean_and_se2(c.kept, c.s.g.draws + j * c.kept, identity, &se2);
        CHECK(fabs(mean - g->lmm.mu[j]) < 5 * sqrt(se2));
    }
    check_prior_precisions(&g->lmm, 0, c.kept, c.s.g.draws + g->lmm.p * c.kept);
}

static void check_stops(const struct glmm *g, enum glmm_mover mover)
{
    struct glmm_gibbs_control ctl = {{{20, 10, 1}, true}, mover};
    for (int at = 0; at < 20; at += 7) {
        struct core_hooks h = {stop_at, &at};
        struct chain c = run(g, ctl, &h);
        CHECK(c.status == CORE_INTERRUPTED && c.info.iter == at);
    }
    struct glmm bad = *g; /* a NaN must not come out as draws */
    double *o = copy(g->n, g->offset);
    o[3] = NAN;
    bad.offset = o;
    CHECK(run(&bad, ctl, NULL).status != CORE_OK);
}

/* One coefficient and four counts, a skewed posterior known by the trapezoid rule; a single step so
 * coarse that only the acceptance ratio keeps it. */
static void check_acceptance(const struct likelihood *L)
{
    static const double X[4] = {1, 1, 1, 1}, y[4] = {0, 0, 1, 0}, size[4] = {1, 1, 1, 1};
    static const double offset[4] = {0, 0.5, 0, -0.5}, Tb[1] = {0.1}, mu[1] = {0.5};
    static const int ptr[1] = {0};
    static const size_t start[2] = {0, 4};
    struct lmm m = {.shape = {.n_global = 1, .r = 1, .ptr = ptr},
                    .p = 1,
                    .Tb = Tb,
                    .mu = mu,
                    .n_prec = 0};
    struct glmm g = {.lmm = m,
                     .likelihood = L,
                     .n = 4,
                     .X = X,
                     .y = y,
                     .size = size,
                     .offset = offset,
                     .start = start};
    const struct likelihood_rows rows = glmm_rows(&g);
    struct glmm_gibbs_control untuned = {{{160000, 0, 1}, true}, GLMM_HMC};
    struct chain c = run_step(&g, untuned, 1.5, NULL);
    CHECK(c.status == CORE_OK && c.s.accept > 0.3 && c.s.accept < 0.95);
    double sum = 0, first = 0, second = 0, se2, eta[4];
    for (double b = -25; b < 15; b += 0.01) {
        for (int i = 0; i < 4; i++) eta[i] = b + offset[i];
        double f = exp(L->value(&rows, NULL, eta, NULL) - 0.05 * (b - 0.5) * (b - 0.5));
        sum += f;
        first += f * b;
        second += f * b * b;
    }
    double err = mean_and_se2(c.kept, c.s.g.draws, identity, &se2) - first / sum;
    CHECK(fabs(err) < 5 * sqrt(se2) && se2 < 1e-3);
    pg_mean = first / sum;
    err = mean_and_se2(c.kept, c.s.g.draws, centred_square, &se2) - second / sum +
          pg_mean * pg_mean;
    CHECK(fabs(err) < 5 * sqrt(se2) && se2 < 1e-2);
}

void test_glmm_gibbs(void)
{
    check_acceptance(&likelihood_poisson);
    check_acceptance(&likelihood_binomial);
    for (double c = 0; c < 12; c += 2.9)
        for (double b = 1; b < 1e6; b *= 13) check_pg(b, c);
    for (double c = 0; c < 1; c += 0.09) check_cumulants(c);
    check_cumulants(5);
    for (int rich = 0; rich < 2; rich++) {
        struct sim d = sim_general(rich);
        struct glmm g = glmm_of(&d, &likelihood_binomial, 3),
                    none = glmm_of(&d, &likelihood_binomial, 0);
        struct glmm counts = glmm_of(&d, &likelihood_poisson, 1);
        struct glmm_gibbs_control pg = {{{8500, 500, 1}, true}, GLMM_PG};
        struct glmm_gibbs_control hmc = {{{4500, 500, 1}, true}, GLMM_HMC};
        struct glmm_gibbs_control plain = {{{16500, 500, 2}, false}, GLMM_HMC};
        struct chain a = run(&g, pg, NULL), b = run(&g, hmc, NULL);
        check_agree(&g, &a, &b);
        struct chain c = run(&counts, hmc, NULL), e = run(&counts, plain, NULL);
        check_agree(&counts, &c, &e);
        CHECK(c.s.accept > 0.7 && c.s.accept <= 1 && c.s.step > 0);
        struct glmm dispersed = glmm_of(&d, &likelihood_negbin, 1);
        c = run(&dispersed, hmc, NULL);
        e = run(&dispersed, plain, NULL);
        check_agree(&dispersed, &c, &e);
        check_prior(&none, GLMM_PG);
        check_prior(&none, GLMM_HMC);
        check_stops(&g, GLMM_PG);
        check_stops(&counts, GLMM_HMC);
    }
}
