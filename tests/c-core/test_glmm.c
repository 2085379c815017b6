/* test_glmm.c: the derivative of the selected inverse; row kernels against the dense design; the conditional fit and its response by
 * refits under a tilt. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "base/la.h"
#include "engine/glmm_fit.h"
#include "engine/glmm_response.h"
#include "engine/glmm_nest.h"
#include "engine/glmm_theta.h"
#include "support.h"

/* ---- a model ---------------------------------------------------------------------------------- */

/* 40 rows, two fixed effects, a leaf of 5 levels with r = 2 (or no leaf) and, with `crossed`, a
 * global factor of 3 levels. C is the dense design. */
struct small {
    struct glmm g;
    double *C, *t;
};

static struct precision block(int r, bool leaf, int levels, int first, int at,
                              const double *rate)
{
    return (struct precision){.r = r,
                              .leaf = leaf,
                              .factor = leaf ? 0 : 1,
                              .n_levels = levels,
                              .first = first,
                              .stride = r,
                              .block = leaf ? 0 : first,
                              .at = at,
                              .aux = -1,
                              .df0 = 4,
                              .rate0 = rate};
}

static struct small small_model(const struct likelihood *L, bool crossed)
{
    enum { N = 40, P = 2, LEVELS = 5, R = 2, OTHER = 3 };
    struct small m = {.g = {.likelihood = L, .n = N}};
    struct glmm *g = &m.g;
    int ng = P + (crossed ? OTHER : 0), *ptr = ints(LEVELS + 1),
        *idx = ints((size_t) LEVELS * (size_t) ng);
    for (int l = 0; l < LEVELS; l++) {
        ptr[l + 1] = (l + 1) * ng;
        for (int a = 0; a < ng; a++) idx[l * ng + a] = a;
    }
    g->lmm.shape = (struct arrow_shape){.n_global = ng,
                                        .n_leaf = LEVELS,
                                        .r = R,
                                        .ptr = ptr,
                                        .idx = idx,
                                        .full = !crossed};
    g->lmm.p = P;
    double *Tb = zeros(P * P);
    Tb[0] = 0.3;
    Tb[3] = 0.5;
    g->lmm.Tb = Tb;
    g->lmm.mu = copy(P, (double[]){0.2, -0.1});
    g->lmm.logdet_Tb = log(0.15);
    double *rate = copy(4, (double[]){1, 0.2, 0.2, 1});
    g->lmm.prec[0] = block(R, true, LEVELS, 0, 0, rate);
    g->lmm.n_prec = 1;
    g->lmm.n_stat = 3;
    if (crossed) {
        g->lmm.prec[1] = block(1, false, OTHER, P, 3, rate);
        g->lmm.n_prec = 2;
        g->lmm.n_stat = 4;
    }
    g->lmm.n_par = g->lmm.n_stat;
    m.t = copy(4, (double[]){1.5, 0.3, 2, 1.2});
    size_t *start = pool(sizeof(size_t) * (LEVELS + 1));
    for (int l = 0; l <= LEVELS; l++) start[l] = (size_t) (l * N / LEVELS);
    g->start = start;
    double *X = normals(P * N), *z = normals(R * N), *y = zeros(N), *size = zeros(N),
           *off = normals(N);
    for (int i = 0; i < N; i++) {
        X[2 * i] = 1;
        z[2 * i] = 1;
        size[i] = L == &likelihood_poisson ? 1 : 3;
        y[i] = i % 4;
        off[i] *= 0.2;
    }
    g->X = X;
    g->z = z;
    g->y = y;
    g->size = size;
    g->offset = off;
    int *col = ints(N), *pos = ints(N);
    for (int i = 0; i < N; i++) pos[i] = col[i] = P + i % OTHER;
    if (crossed) {
        g->n_other = 1;
        g->other[0] = (struct glmm_factor){
            .r = 1, .first = P, .n_levels = OTHER, .col = col, .pos = pos};
    }
    size_t dim = arrow_dim(&g->lmm.shape);
    m.C = zeros(N * dim);
    for (int i = 0; i < N; i++) {
        int l = i / (N / LEVELS);
        AT(m.C, i, 0, N) = 1;
        AT(m.C, i, 1, N) = X[2 * i + 1];
        if (crossed) AT(m.C, i, col[i], N) = 1;
        for (int c = 0; c < R; c++) AT(m.C, i, ng + l * R + c, N) = z[2 * i + c];
    }
    return m;
}

static struct glmm_work work_of(const struct glmm *g)
{
    struct arena count = {NULL, 0};
    glmm_state_work(g, &count);
    struct arena a = arena_of(count.used);
    return glmm_state_work(g, &a);
}
static struct glmm_state state_of(const struct glmm *g)
{
    struct arena count = {NULL, 0};
    glmm_state_carve(g, &count);
    struct arena a = arena_of(count.used);
    return glmm_state_carve(g, &a);
}

/* c_i'A c_j for a dense symmetric A. */
static double form(const struct small *m, const double *A, int i, int j)
{
    int n = (int) m->g.n, dim = (int) arrow_dim(&m->g.lmm.shape);
    double sum = 0;
    for (int a = 0; a < dim; a++)
        for (int b = 0; b < dim; b++)
            sum += AT(m->C, i, a, n) * AT(A, a, b, dim) * AT(m->C, j, b, n);
    return sum;
}

static void test_rows(bool crossed)
{
    struct small m = small_model(&likelihood_binomial, crossed);
    const struct glmm *g = &m.g;
    int n = (int) g->n, dim = (int) arrow_dim(&g->lmm.shape);
    struct glmm_work w = work_of(g);
    double *theta = normals((size_t) dim), *x = normals(g->n), *out = nans(g->n),
           *adj = nans((size_t) dim);
    glmm_mul(g, theta, out);
    glmm_adjoint(g, x, adj);
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int a = 0; a < dim; a++) sum += AT(m.C, i, a, n) * theta[a];
        CHECK_NEAR(out[i], sum, 1e-13);
    }
    for (int a = 0; a < dim; a++)
        CHECK_NEAR(adj[a], la_dot(n, m.C + (size_t) a * (size_t) n, x), 1e-12);
    glmm_gram(g, x, &w.P);
    double *G = dense_of(&g->lmm.shape, &w.P);
    for (int a = 0; a < dim; a++)
        for (int b = 0; b < dim; b++) {
            double sum = 0;
            for (int i = 0; i < n; i++) sum += x[i] * AT(m.C, i, a, n) * AT(m.C, i, b, n);
            CHECK_NEAR(AT(G, a, b, dim), sum, 1e-12);
        }
}

/* S, v and the derivative of S along a change of the weights, against dense inverses. */
static void test_push(bool crossed)
{
    struct small m = small_model(&likelihood_binomial, crossed);
    const struct glmm *g = &m.g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int n = (int) g->n, dim = (int) arrow_dim(sh);
    struct glmm_work w = work_of(g);
    struct glmm_state s = state_of(g);
    struct core_info info;
    double *eps = normals(g->n), *dv = nans(g->n),
           *S = zeros((size_t) dim * (size_t) dim);
    for (int i = 0; i < n; i++) s.w[i] = 0.2 + 0.1 * (i % 5);
    memset(s.m, 0, sizeof(double) * (size_t) dim);
    CHECK(glmm_state_evaluate(g, m.t, &s, &w, &info) == CORE_OK);
    naive_inverse(dim, dense_of(sh, &w.P), S);
    for (int i = 0; i < n; i++) CHECK_NEAR(s.v[i], form(&m, S, i, i), 1e-12);
    glmm_gram(g, eps, &w.dP);
    arrow_inverse_push(sh, &s.S, s.q, s.d_inv, &w.dP, &w.dS, &w.push);
    glmm_quad(g, &w.dS, dv);
    for (int i = 0; i < n; i++) { /* -(K o K) eps */
        double sum = 0;
        for (int j = 0; j < n; j++) {
            double K = form(&m, S, i, j);
            sum -= K * K * eps[j];
        }
        CHECK_NEAR(dv[i], sum, 1e-11);
    }
}

/* The fit is stationary, and its response to a tilt of a coefficient is that of refits. A tilt
 * enters as a shift of the prior's mean: T_b mu_0 + tilt. */
static void test_fit(const struct likelihood *L, bool crossed)
{
    struct small m = small_model(L, crossed);
    struct glmm *g = &m.g;
    size_t dim = arrow_dim(&g->lmm.shape);
    struct glmm_work w = work_of(g);
    struct glmm_state s = state_of(g);
    struct core_info info = {0, -1};
    CHECK(glmm_state_start(g, m.t, &s, &w, &info) == CORE_OK);
    CHECK(glmm_fit(g, m.t, 1e-10, 50, &s, &w, NULL, &info) == CORE_OK);
    double *g0 = nans(dim);
    glmm_adjoint(g, s.e.m, g0);
    for (size_t i = 0; i < dim; i++) CHECK_NEAR(g0[i], w.prior_grad[i], 1e-8);
    for (size_t i = 0; i < g->n; i++) CHECK_NEAR(s.w[i], -2 * s.e.v[i], 1e-8);

    CHECK(glmm_response_curvature(g, m.t, &s, &w, &info) == CORE_OK);
    memset(w.g, 0, sizeof(double) * dim);
    w.g[1] = 1;
    CHECK(glmm_response(g, &s, &w, (struct glmm_tilt){.tol = 1e-10}));
    double *dm = copy(dim, w.dm), *dv = copy(g->n, w.dv), h = 1e-4;
    double *up = nans(dim), *up_v = nans(g->n), mu0[2] = {g->lmm.mu[0], g->lmm.mu[1]};
    for (int sign = 1; sign >= -1; sign -= 2) {
        double mu[2] = {mu0[0], mu0[1] + sign * h / 0.5};
        g->lmm.mu = mu;
        CHECK(glmm_fit(g, m.t, 1e-11, 50, &s, &w, NULL, &info) == CORE_OK);
        if (sign == 1) {
            memcpy(up, s.m, sizeof(double) * dim);
            memcpy(up_v, s.v, sizeof(double) * g->n);
        }
    }
    double scale = sqrt(dm[1]);
    for (size_t i = 0; i < dim; i++)
        CHECK(fabs((up[i] - s.m[i]) / (2 * h) - dm[i]) <= 1e-5 * scale);
    for (size_t i = 0; i < g->n; i++)
        CHECK(fabs((up_v[i] - s.v[i]) / (2 * h) - dv[i]) <= 1e-5 * scale);
}

/* Leaves of two belong to a level of the other factor, so that a leaf lists one level of it. */
static void nest_leaves(struct small *m)
{
    struct glmm *g = &m->g;
    enum { P = 2, LEVELS = 5 };
    int *ptr = ints(LEVELS + 1), *idx = ints(LEVELS * (P + 1)), *col = ints(g->n),
        *pos = ints(g->n), n = (int) g->n;
    for (int l = 0; l < LEVELS; l++) {
        ptr[l + 1] = (l + 1) * (P + 1);
        for (int a = 0; a <= P; a++) idx[l * (P + 1) + a] = a < P ? a : P + l / 2;
    }
    for (int i = 0; i < n; i++) {
        int l = i / (n / LEVELS);
        AT(m->C, i, g->other[0].col[i], n) = 0;
        AT(m->C, i, P + l / 2, n) = 1;
        col[i] = P + l / 2;
        pos[i] = P;
    }
    g->lmm.shape.ptr = ptr;
    g->lmm.shape.idx = idx;
    g->other[0].col = col;
    g->other[0].pos = pos;
}

/* The coefficients alone: no leaves and no precisions. */
static void drop_groups(struct small *m)
{
    struct glmm *g = &m->g;
    g->lmm.shape.n_leaf = g->lmm.n_prec = g->lmm.n_stat = g->lmm.n_par = 0;
    g->lmm.shape.r = 1;
    g->lmm.shape.full = false;
    g->z = NULL;
}

enum groups { ONE_FACTOR, CROSSED, NESTED, NO_GROUPS };

/* c3 against its definition, sum_ij g_i g_j K_ij^3 / 12 by the dense covariance; and that of the
 * levels on their own, at their conditional covariances. */
static void test_c3(const struct likelihood *L, enum groups groups)
{
    bool crossed = groups == CROSSED || groups == NESTED;
    struct small m = small_model(L, crossed);
    if (groups == NESTED) nest_leaves(&m);
    if (groups == NO_GROUPS) drop_groups(&m);
    const struct glmm *g = &m.g;
    const struct arrow_shape *sh = &g->lmm.shape;
    int n = (int) g->n, dim = (int) arrow_dim(sh), ng = sh->n_global;
    struct arena count = {NULL, 0};
    glmm_nest_carve(g, &count);
    struct arena a = arena_of(count.used);
    struct glmm_nest x = glmm_nest_carve(g, &a);
    glmm_nest_prepare(&x);
    if (crossed)
        CHECK(x.correct.clusters.n == (groups == NESTED ? 3 : 1) && x.correct.with_pairs);
    struct core_info info = {0, -1};
    memcpy(x.t, m.t, sizeof(double) * (size_t) g->lmm.n_par);
    CHECK(glmm_state_start(g, x.t, &x.s, &x.w, &info) == CORE_OK);
    CHECK(glmm_fit(g, x.t, 1e-9, 50, &x.s, &x.w, NULL, &info) == CORE_OK);
    const struct glmm_view q = {g, x.t, &x.s, &x.w.F};
    double correction = glmm_correction(&q, &x.correct);
    CHECK(isfinite(correction) && correction > 0);
    double *S = zeros((size_t) dim * (size_t) dim), c3 = 0, local = 0;
    glmm_gram(g, x.s.w, &x.w.P);
    glmm_add_prior(g, x.t, &x.w.P);
    double *P = dense_of(sh, &x.w.P);
    naive_inverse(dim, P, S);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double K = form(&m, S, i, j);
            c3 += 4 * x.s.e.mv[i] * x.s.e.mv[j] * K * K * K / 12;
        }
    CHECK_NEAR(x.correct.c3, c3, 1e-10);
    if (!crossed) return;
    for (int first = ng > 2 ? 2 : ng; first < dim; first += first < ng ? 1 : 2) {
        int r = first < ng ? 1 : 2;
        double *W = zeros((size_t) (r * r)), *Q = zeros((size_t) (r * r));
        for (int b = 0; b < r; b++)
            for (int c = 0; c < r; c++) AT(Q, b, c, r) = AT(P, first + b, first + c, dim);
        naive_inverse(r, Q, W);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double K = 0;
                for (int b = 0; b < r; b++)
                    for (int c = 0; c < r; c++)
                        K += AT(m.C, i, first + b, n) * AT(W, b, c, r) *
                             AT(m.C, j, first + c, n);
                local += 4 * x.s.e.mv[i] * x.s.e.mv[j] * K * K * K / 12;
            }
    }
    CHECK_NEAR(x.correct.c3_local, local, 1e-10);
}

/* Integrated expectations lead to the fit of closed ones. */
static void test_default_expectations(void)
{
    struct small m = small_model(&likelihood_poisson, true);
    struct likelihood plain = likelihood_poisson;
    struct glmm_work w = work_of(&m.g);
    struct glmm_state s = state_of(&m.g);
    struct core_info info = {0, -1};
    size_t dim = arrow_dim(&m.g.lmm.shape);
    double *mean = nans(dim);
    plain.expect = NULL;
    plain.expect_value = NULL;
    for (int k = 0; k < 2; k++) {
        if (k) m.g.likelihood = &plain;
        CHECK(glmm_state_start(&m.g, m.t, &s, &w, &info) == CORE_OK);
        CHECK(glmm_fit(&m.g, m.t, 1e-10, 50, &s, &w, NULL, &info) == CORE_OK);
        for (size_t i = 0; k && i < dim; i++) CHECK_NEAR(s.m[i], mean[i], 1e-9);
        memcpy(mean, s.m, sizeof(double) * dim);
    }
}

/* Leaves of many coefficients and nothing else: each on its own, so that the factor of the response
 * at fixed t is exact. */
static void test_wide_leaves(void)
{
    enum { N = 60, LEVELS = 2, R = 10 };
    static const int ptr[LEVELS + 1] = {0, 0, 0};
    static const size_t start[LEVELS + 1] = {0, 25, N};
    double *z = normals(R * N), *y = zeros(N), *size = zeros(N), *offset = zeros(N);
    double *rate = zeros(R * R), *t = zeros(R * (R + 1) / 2);
    for (int i = 0; i < R; i++) AT(rate, i, i, R) = t[vech_at(R, i, i)] = 1.5;
    for (int i = 0; i < N; i++) {
        y[i] = i % 4;
        size[i] = 3;
    }
    struct glmm g = {.likelihood = &likelihood_binomial,
                     .n = N,
                     .y = y,
                     .size = size,
                     .offset = offset,
                     .z = z,
                     .start = start};
    g.lmm = (struct lmm){.shape = {.n_leaf = LEVELS, .r = R, .ptr = ptr, .idx = ptr},
                         .flat = true,
                         .n_prec = 1,
                         .n_stat = R * (R + 1) / 2,
                         .n_par = R * (R + 1) / 2};
    g.lmm.prec[0] = block(R, true, LEVELS, 0, 0, rate);
    struct glmm_work w = work_of(&g);
    struct glmm_state s = state_of(&g);
    struct core_info info = {0, -1};
    size_t dim = arrow_dim(&g.lmm.shape);
    CHECK(glmm_state_start(&g, t, &s, &w, &info) == CORE_OK);
    CHECK(glmm_fit(&g, t, 1e-11, 50, &s, &w, NULL, &info) == CORE_OK);
    double *leaves = nans(dim * R), *work = nans(glmm_theta_leaf_work(&g)),
           *none = nans(1);
    CHECK(glmm_response_curvature(&g, t, &s, &w, &info) == CORE_OK);
    struct theta_response want = {.exact = EXACT_NONE};
    CHECK(glmm_theta_response(&g, t, &s, &w, want, none, nans(dim * R), none, leaves,
                              work));
    for (size_t j = 0; j < dim; j++) {
        memset(w.g, 0, sizeof(double) * dim);
        w.g[j] = 1;
        CHECK(glmm_response(&g, &s, &w, (struct glmm_tilt){.tol = 1e-10}));
        for (int c = 0; c < R; c++)
            CHECK_NEAR(leaves[j * R + (size_t) c], w.dm[j / R * R + (size_t) c], 1e-8);
    }
}

static void test_interrupt(void)
{
    struct small m = small_model(&likelihood_poisson, true);
    struct glmm_work w = work_of(&m.g);
    struct glmm_state s = state_of(&m.g);
    struct core_info info = {0, -1};
    int at = 1;
    struct core_hooks h = {stop_at, &at};
    CHECK(glmm_state_start(&m.g, m.t, &s, &w, &info) == CORE_OK);
    CHECK(glmm_fit(&m.g, m.t, 1e-10, 50, &s, &w, &h, &info) == CORE_INTERRUPTED);
}

void test_glmm(void)
{
    for (int crossed = 0; crossed < 2; crossed++) {
        test_rows(crossed);
        test_push(crossed);
        test_fit(&likelihood_binomial, crossed);
        test_fit(&likelihood_binomial_pg, crossed);
        test_fit(&likelihood_poisson, crossed);
    }
    for (enum groups groups = ONE_FACTOR; groups <= NO_GROUPS; groups++) {
        test_c3(&likelihood_binomial, groups);
        test_c3(&likelihood_poisson, groups);
    }
    test_default_expectations();
    test_wide_leaves();
    test_interrupt();
}
