/* test_gmm.c: Gaussian mixtures: E and M step against naive sums, linear response against the
 * dense system with every row's q(z) in it, the sampler's bookkeeping. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "base/assignment.h"
#include "mixture/gmm_gibbs.h"
#include "mixture/gmm_start.h"
#include "mixture/gmm_vb.h"
#include "base/la.h"
#include "support.h"

enum prior { COUPLED, UNCOUPLED, FLAT };

/* Rows about k centres `apart` apart in the first column. */
static struct gmm make(int n, int p, int k, enum prior prior, double apart)
{
    size_t pp = (size_t) p * (size_t) p;
    double *X = normals((size_t) n * (size_t) p), *alpha = zeros((size_t) k);
    double *P0 = zeros(pp), *rate0 = zeros(pp), *m0 = normals((size_t) p),
           *scratch = nans(pp);
    for (int i = 0; i < n; i++) X[i] += apart * (i % k);
    for (int i = 0; i < k; i++) alpha[i] = prior == FLAT ? 1 : 2;
    struct gmm g = {.n = n,
                    .p = p,
                    .k = k,
                    .X = X,
                    .coupled = prior == COUPLED,
                    .k0 = 0,
                    .m0 = m0,
                    .P0 = P0,
                    .df0 = p + 1,
                    .rate0 = rate0,
                    .alpha0 = alpha,
                    .flat_mean = prior == FLAT,
                    .flat_precision = prior == FLAT};
    if (prior == COUPLED) g.k0 = 0.7;
    if (prior == UNCOUPLED) memcpy(P0, random_spd(p), sizeof(double) * pp);
    if (prior == UNCOUPLED) g.logdet_P0 = naive_inverse(p, P0, scratch);
    if (prior != FLAT) {
        memcpy(rate0, random_spd(p), sizeof(double) * pp);
        g.logdet_rate0 = naive_inverse(p, rate0, scratch);
        g.df0 = p + 2.5;
    }
    return g;
}

struct fitted {
    struct gmm_fit q;
    struct gmm_fit_work w;
    struct gmm_lr lr;
    struct core_info info;
    enum core_status status;
};

static struct fitted fit(const struct gmm *g, struct gmm_control ctl,
                         const struct core_hooks *h)
{
    struct fitted z;
    struct arena a = {NULL, 0};
    memset(&z.q, 0, sizeof z.q);
    size_t counted = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) a = arena_of(counted = a.used);
        z.q.s = gmm_stats_carve(g, &a);
        z.q.f = gmm_factors_carve(g, &a);
        z.w = gmm_vb_work_carve(g, &a);
        z.lr = gmm_lr_carve(g, &a);
    }
    CHECK(a.used == counted);
    z.q.r = zeros((size_t) g->n * (size_t) g->k);
    z.q.trace = nans(3 * (size_t) ctl.trace_rows);
    int *label = ints((size_t) g->n);
    for (int i = 0; i < g->n; i++) label[i] = i % g->k;
    gmm_label_stats(g, label, &z.q.s, &z.w.w);
    z.info = (struct core_info){0, -1};
    z.status = gmm_vb_run(g, &ctl, &z.q, &z.w, &z.lr, h, &z.info);
    return z;
}

static void check_gram(int T, int rows)
{
    double *panel = normals((size_t) T * (size_t) rows),
           *G = zeros((size_t) T * (size_t) T);
    gmm_gram_add(T, rows, panel, G);
    for (int j = 0; j < T; j++)
        for (int i = j; i < T; i++) {
            double s = 0;
            for (int l = 0; l < rows; l++) s += panel[l * T + i] * panel[l * T + j];
            CHECK_NEAR(AT(G, i, j, T), s, 1e-12);
        }
}

/* Responsibilities and statistics at the factors of a fit, a row at a time. */
static void check_pass(int n, int p, int k)
{
    struct gmm g = make(n, p, k, COUPLED, 3);
    struct fitted z = fit(&g, (struct gmm_control){0, 1e-8, 5, 10, false}, NULL);
    double *r = zeros((size_t) (n * k)), change, total = 0;
    double sum =
        gmm_pass(&g, z.q.f.m, z.q.f.R, z.q.f.offset, r, &z.w.s1, &z.w.w, &change);
    double *naive = nans((size_t) (n * k)), largest = 0;
    for (int i = 0; i < n; i++) {
        double all = 0;
        for (int c = 0; c < k; c++) {
            double quad = 0;
            for (int a = 0; a < p; a++)
                for (int b = 0; b < p; b++)
                    quad += AT(z.q.f.L + c * p * p, a, b, p) *
                            (AT(g.X, i, a, n) - AT(z.q.f.m, a, c, p)) *
                            (AT(g.X, i, b, n) - AT(z.q.f.m, b, c, p));
            all += AT(naive, i, c, n) = exp(z.q.f.offset[c] - 0.5 * quad);
        }
        total += log(all);
        for (int c = 0; c < k; c++) {
            AT(naive, i, c, n) /= all;
            largest = fmax(largest, AT(naive, i, c, n));
            CHECK_NEAR(AT(r, i, c, n), AT(naive, i, c, n), 1e-11);
        }
    }
    CHECK_NEAR(sum, total, 1e-11);
    CHECK_NEAR(change, largest, 1e-11);
    for (int c = 0; c < k; c++) {
        double N = 0, mean = 0, ss = 0;
        for (int i = 0; i < n; i++) N += AT(naive, i, c, n);
        for (int i = 0; i < n; i++) mean += AT(naive, i, c, n) * AT(g.X, i, p - 1, n) / N;
        for (int i = 0; i < n; i++)
            ss += AT(naive, i, c, n) * pow(AT(g.X, i, p - 1, n) - mean, 2);
        CHECK_NEAR(z.w.s1.N[c], N, 1e-10);
        CHECK_NEAR(AT(z.w.s1.mean, p - 1, c, p), mean, 1e-10);
        CHECK_NEAR(AT(z.w.s1.ss + c * p * p, p - 1, p - 1, p), ss, 1e-9);
    }
}

/* The factors solve their own equations: S^-1 = c L + P0, S^-1 m = ..., and
 * df L^-1 = rate0 + sum r ((x - m)(x - m)' + S) + k0 ((m - m0)(m - m0)' + S). */
static void check_update(int p, enum prior prior)
{
    struct gmm g = make(200, p, 2, prior, 4);
    struct fitted z = fit(&g, (struct gmm_control){0, 1e-6, 30, 10, false}, NULL);
    struct gmm_factors *f = &z.q.f;
    size_t pp = (size_t) p * (size_t) p;
    double *inv = nans(pp);
    CHECK(gmm_update(&g, &z.q.s, f, &z.w.w, &z.info));
    for (int k = 0; k < 2; k++) {
        const double *L = f->L + (size_t) k * pp, *S = f->S + (size_t) k * pp;
        const double *m = f->m + k * p, *xbar = z.q.s.mean + k * p;
        double N = z.q.s.N[k];
        naive_inverse(p, S, inv);
        for (int i = 0; i < p; i++) {
            double pull = 0;
            for (int j = 0; j < p; j++) {
                CHECK_NEAR(AT(inv, i, j, p), f->c[k] * AT(L, i, j, p) + AT(g.P0, i, j, p),
                           1e-9);
                pull +=
                    AT(L, i, j, p) * (N * (xbar[j] - m[j]) + g.k0 * (g.m0[j] - m[j])) +
                    AT(g.P0, i, j, p) * (g.m0[j] - m[j]);
            }
            CHECK_NEAR(pull / N, 0, 1e-11);
        }
        naive_inverse(p, L, inv);
        for (int j = 0; j < p; j++)
            for (int i = 0; i < p; i++) {
                double rate = AT(g.rate0, i, j, p) +
                              AT(z.q.s.ss + (size_t) k * pp, i, j, p) +
                              N * (xbar[i] - m[i]) * (xbar[j] - m[j]) +
                              g.k0 * (m[i] - g.m0[i]) * (m[j] - g.m0[j]) +
                              (N + g.k0) * AT(S, i, j, p);
                CHECK_NEAR(f->df[k] * AT(inv, i, j, p), rate, 1e-9);
            }
        CHECK_NEAR(f->trace_LS[k], la_trace_product(p, L, S), 1e-12);
    }
}

/* d logit_k(n) / d coordinates of component k, one row at a time. */
static void row_response(const struct gmm *g, const struct gmm_factors *f, int n, int k,
                         double *Q, double *work, double *a)
{
    int p = g->p, q = gmm_vech(g);
    size_t pp = (size_t) p * (size_t) p;
    double d[8];
    gmm_lr_size_slope(g, f, k, Q, work);
    for (int i = 0; i < p; i++) d[i] = AT(g->X, n, i, g->n) - AT(f->m, i, k, p);
    for (int i = 0; i < p; i++) {
        a[i] = 0;
        for (int j = 0; j < p; j++) a[i] += AT(f->L + (size_t) k * pp, i, j, p) * d[j];
    }
    double *o = a + p;
    for (int j = 0; j < p; j++)
        for (int i = j; i < p; i++)
            *o++ = (i == j ? -0.5 : -1) * (d[i] * d[j] + AT(Q, i, j, p) -
                                           AT(f->Linv + (size_t) k * pp, i, j, p));
    a[p + q + GMM_FREE] = 0.5;
    a[p + q + GMM_LOG_PI] = 1;
    a[p + q + GMM_SIZE] = -0.5;
}

/* Sigma (P0 - A) = 1 with A = sum_n J_n' (diag r_n - r_n r_n') J_n written out, and the Newton
 * step of a fixed point is zero. */
static void check_response(int p, int k, enum prior prior)
{
    struct gmm g = make(150 * k, p, k, prior, 2.8);
    struct fitted z = fit(&g, (struct gmm_control){1e-9, 0, 500, 10, true}, NULL);
    CHECK(z.status == CORE_OK && z.q.not_pd == 0);
    CHECK(z.q.decrement >= 0 && z.q.decrement < 1e-6);
    int n = z.lr.n, B = z.lr.B;
    double *P = zeros((size_t) (n * n)), *e = zeros((size_t) n), *a = nans((size_t) n);
    double *Q = nans((size_t) (p * p)), *work = nans((size_t) (p * p));
    gmm_lr_invert(&z.lr);
    for (int j = 0; j < n; j++) {
        e[j] = 1;
        gmm_lr_prior_multiply(&g, &z.q.s, &z.q.f, &z.lr, e, P + j * n);
        e[j] = 0;
    }
    for (int i = 0; i < g.n; i++) {
        for (int c = 0; c < k; c++) row_response(&g, &z.q.f, i, c, Q, work, a + c * B);
        for (int j = 0; j < n; j++)
            for (int l = 0; l < n; l++) {
                double rj = AT(z.q.r, i, j / B, g.n), rl = AT(z.q.r, i, l / B, g.n);
                AT(P, j, l, n) -= a[j] * a[l] * ((j / B == l / B ? rj : 0) - rj * rl);
            }
    }
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) {
            double s = 0;
            for (int l = 0; l < n; l++) s += AT(z.lr.P, i, l, n) * AT(P, l, j, n);
            double unit = sqrt(AT(z.lr.P, j, j, n) / AT(z.lr.P, i, i, n));
            CHECK_NEAR(s * unit, i == j, 1e-7);
        }
}

static double best_permutation(int k, const double *score, int row, unsigned used)
{
    double best = row == k ? 0 : -INFINITY;
    for (int j = 0; row < k && j < k; j++)
        if (!(used & (1u << j)))
            best = fmax(best, AT(score, row, j, k) +
                                  best_permutation(k, score, row + 1, used | (1u << j)));
    return best;
}

static void check_match(int k)
{
    double *score = normals((size_t) (k * k)), *work = nans(3 * (size_t) (k + 1)),
           total = 0;
    int *row = ints((size_t) k);
    unsigned seen = 0;
    assignment_match(k, score, row, work);
    for (int j = 0; j < k; j++) {
        total += AT(score, row[j], j, k);
        seen |= 1u << row[j];
    }
    CHECK(seen == (1u << k) - 1);
    CHECK_NEAR(total, best_permutation(k, score, 0, 0), 1e-12);
}

static void check_start(int n, int p, int k, double spread)
{
    double *X = normals((size_t) (n * p));
    for (int i = 0; i < n * p; i++) X[i] *= spread;
    int *a = ints((size_t) n), *b = ints((size_t) n);
    double *centre = nans((size_t) (p * k)), *dist = nans((size_t) n),
           *best = nans((size_t) n);
    gmm_start(n, p, k, X, 5, 4, a, centre, dist, best);
    gmm_start(n, p, k, X, 5, 4, b, centre, dist, best);
    CHECK(memcmp(a, b, sizeof(int) * (size_t) n) == 0);
    for (int i = 0; i < n; i++) CHECK(a[i] >= 0 && a[i] < k);
}

static enum core_status sample(const struct gmm *g, int iter, const struct core_hooks *h,
                               struct core_info *info, struct gmm_gibbs *c)
{
    struct sampler_control ctl = {iter, 0, 1};
    struct gmm_gibbs_work w;
    struct arena a = {NULL, 0};
    size_t p = (size_t) g->p, k = (size_t) g->k, kept = (size_t) sampler_kept(&ctl);
    for (int pass = 0; pass < 2; pass++) {
        if (pass) a = arena_of(a.used);
        w = gmm_gibbs_work_carve(g, &a);
    }
    double *one = zeros(p * p);
    for (size_t i = 0; i < p; i++) one[i * (p + 1)] = 1;
    int *label = ints((size_t) g->n);
    for (int i = 0; i < g->n; i++) label[i] = i % g->k;
    *c = (struct gmm_gibbs){.mu = zeros(p * k),
                            .Lambda = nans(p * p * k),
                            .R = nans(p * p * k),
                            .log_pi = zeros(k),
                            .offset = nans(k),
                            .label = label,
                            .centre = zeros(p),
                            .U = one,
                            .A = one,
                            .draws = nans(kept * k * (size_t) gmm_gibbs_draw_size(g)),
                            .perm = ints(kept * k)};
    for (size_t i = 0; i < k; i++) {
        c->mu[i * p] = 6.0 * (double) (k - 1 - i); /* labels the other way round */
        memcpy(c->Lambda + i * p * p, one, sizeof(double) * p * p);
        c->log_pi[i] = -log((double) k);
    }
    struct gmm_gibbs_chain x = {g, c, &w, (int) kept};
    const struct sampler s = gmm_gibbs_sampler(&x);
    return sampler_run(&s, &ctl, h, info);
}

static void check_gibbs(enum prior prior)
{
    struct gmm g = make(400, 2, 2, prior, 6);
    struct core_info info = {0, -1};
    struct gmm_gibbs c;
    enum { ITER = 300 };
    CHECK(sample(&g, ITER, NULL, &info, &c) == CORE_OK);
    double mean = 0, trace = 0;
    for (int i = 20; i < ITER; i++) {
        CHECK(c.perm[i] == 1 &&
              c.perm[i + ITER] == 0); /* stored under the reference's labels */
        mean += c.draws[i] / (ITER - 20);
        const double *L = c.draws + 2 * ITER,
                     *S = c.draws + 5 * ITER; /* Lambda Sigma = 1 */
        trace = L[i] * S[i] + 2 * L[i + ITER] * S[i + ITER] +
                L[i + 2 * ITER] * S[i + 2 * ITER];
        CHECK_NEAR(trace, 2, 1e-9);
    }
    CHECK(fabs(mean) < 0.4);
}

void test_gmm(void)
{
    const int sizes[] = {1, 2, 3, 7, 47, 48, 50};
    for (int i = 0; i < 7; i++) check_gram(sizes[i], 16);
    check_pass(300, 1, 1);
    check_pass(300, 3, 3);
    check_pass(128, 2, 2);
    check_pass(300, 17, 2);
    for (int p = 1; p <= 3; p++)
        for (int prior = COUPLED; prior <= FLAT; prior++) {
            check_update(p, (enum prior) prior);
            check_response(p, 2, (enum prior) prior);
        }
    check_response(2, 3, COUPLED);
    for (int k = 1; k <= 6; k++) check_match(k);
    check_start(100, 2, 3, 1);
    check_start(5, 1, 5, 1);
    check_start(20, 2, 4, 0); /* all rows equal */
    for (int prior = COUPLED; prior <= FLAT; prior++) check_gibbs((enum prior) prior);

    struct gmm g = make(200, 2, 2, COUPLED, 1);
    int at = 3;
    struct core_hooks h = {stop_at, &at};
    struct fitted z = fit(&g, (struct gmm_control){1e-9, 0, 500, 10, true}, &h);
    CHECK(z.status == CORE_INTERRUPTED && z.q.passes == 3);
    z = fit(&g, (struct gmm_control){1e-9, 0, 4, 2, true}, NULL); /* and a full trace */
    CHECK(z.status == CORE_MAXIT && z.q.passes == 4 && z.q.rows == 2);
    struct core_info info = {0, -1};
    struct gmm_gibbs c;
    CHECK(sample(&g, 10, &h, &info, &c) == CORE_INTERRUPTED && info.iter == 3);
    g = make(4, 2, 2, FLAT, 1); /* two rows a component have no covariance */
    z = fit(&g, (struct gmm_control){1e-9, 0, 50, 10, true}, NULL);
    CHECK(z.status == CORE_NOT_PD_LEAF && z.info.block >= 0);
    CHECK(sample(&g, 10, NULL, &info, &c) == CORE_NOT_PD_LEAF && info.block >= 0);
}
