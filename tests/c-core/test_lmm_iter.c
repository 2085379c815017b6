/* test_lmm_iter.c: the covariance without a matrix against the dense one of a small crossed model. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "base/rand.h"
#include "engine/lmm_iter_draw.h"
#include "engine/lmm_iter_var.h"
#include "engine/lmm_iter_vb.h"
#include "support.h"

enum { N = 90, P = 2, FACTORS = 4, DIM = P + 12 + 9 + 7 + 3 };
static const int LEVELS[FACTORS] = {12, 9, 7, 3};

/* theta = (beta; factors 1, 2, 3; factor 0, the leaf). */
struct crossed {
    struct lmm m;
    struct lmm_iter x;
    struct lmm_iter_factor factor[FACTORS];
    struct lmm_iter_table table[FACTORS * (FACTORS - 1) / 2];
    double *C, *t;
};

static int code(int f, int row)
{
    return (row * (5 + 2 * f) + row * row / (3 + f)) % LEVELS[f];
}

static struct precision scalar_term(int k)
{
    static const double none = 0, two = 2;
    return (struct precision){.r = 1,
                              .factor = k - 1,
                              .n_levels = k ? LEVELS[k - 1] : 0,
                              .leaf = k == 1,
                              .stride = 1,
                              .at = k,
                              .aux = k ? FACTORS + k : -1,
                              .df0 = k ? 2 : 1,
                              .nu = k ? 2 : 0,
                              .rate0 = k ? &none : &two,
                              .aux_rate = &two};
}

static void add_factors(struct crossed *y)
{
    int at = P;
    for (int f = 0; f < FACTORS; f++) {
        int first = f ? at : DIM - LEVELS[0];
        double *d = zeros((size_t) LEVELS[f]), *xz = zeros((size_t) (P * LEVELS[f]));
        if (f) at += LEVELS[f];
        for (int i = 0; i < N; i++) {
            AT(y->C, i, first + code(f, i), N) = 1;
            d[code(f, i)]++;
            for (int j = 0; j < P; j++) xz[code(f, i) * P + j] += AT(y->C, i, j, N);
        }
        y->factor[f] =
            (struct lmm_iter_factor){.n = LEVELS[f], .first = first, .d = d, .xz = xz};
    }
}

static struct lmm_iter_table table_of(int a, int b)
{
    int *ptr = ints((size_t) LEVELS[a] + 1),
        *idx = ints((size_t) (LEVELS[a] * LEVELS[b])), n = 0;
    double *val = nans((size_t) (LEVELS[a] * LEVELS[b]));
    ptr[0] = 0;
    for (int i = 0; i < LEVELS[a]; i++) {
        for (int j = 0; j < LEVELS[b]; j++) {
            double meet = 0;
            for (int r = 0; r < N; r++) meet += code(a, r) == i && code(b, r) == j;
            if (meet == 0) continue;
            idx[n] = j;
            val[n++] = meet;
        }
        ptr[i + 1] = n;
    }
    return (struct lmm_iter_table){a, b, ptr, idx, val};
}

/* few: factors of fewer levels are solved exactly. */
static struct crossed *make(int few)
{
    struct crossed *y = pool(sizeof *y);
    double *resp = normals(N), *h = zeros(DIM), *Tb = zeros(P * P), *xx = zeros(P * P),
           *mu = zeros(P);
    *y = (struct crossed){.C = zeros(N * DIM), .t = normals(9)};
    for (int i = 0; i < N; i++) {
        AT(y->C, i, 0, N) = 1;
        AT(y->C, i, 1, N) = sin(i);
    }
    add_factors(y);
    Tb[0] = Tb[3] = 0.1;
    y->m =
        (struct lmm){.shape = {.n_global = DIM - LEVELS[0], .n_leaf = LEVELS[0], .r = 1},
                     .h = h,
                     .n = N,
                     .p = P,
                     .Tb = Tb,
                     .mu = mu,
                     .n_prec = FACTORS + 1,
                     .first_term = 1,
                     .n_stat = FACTORS + 1,
                     .n_par = 2 * FACTORS + 1};
    for (int k = 0; k <= FACTORS; k++) {
        y->m.prec[k] = scalar_term(k);
        y->m.prec[k].first = k > 1 ? y->factor[k - 1].first : 0;
    }
    for (int i = 0; i < N; i++) {
        for (int f = 0; f < FACTORS; f++) resp[i] += 2 * cos(3 * code(f, i) + f);
        y->m.yy += resp[i] * resp[i];
        for (int j = 0; j < DIM; j++) h[j] += AT(y->C, i, j, N) * resp[i];
        for (int j = 0; j < P * P; j++)
            xx[j] += AT(y->C, i, j % P, N) * AT(y->C, i, j / P, N);
    }
    y->x = (struct lmm_iter){.m = &y->m,
                             .n_factors = FACTORS,
                             .factor = y->factor,
                             .table = y->table,
                             .xx = xx};
    for (int a = 0; a < FACTORS; a++)
        for (int b = a + 1; b < FACTORS; b++) y->table[y->x.n_tables++] = table_of(a, b);
    lmm_iter_split(&y->x, few);
    for (int k = 0; k < 9; k++) y->t[k] = exp(0.3 * y->t[k]);
    return y;
}

/* S, dense. */
static double *covariance_of(const struct crossed *y)
{
    double *A = zeros(DIM * DIM), *S = nans(DIM * DIM);
    for (int j = 0; j < DIM; j++)
        for (int i = 0; i < DIM; i++)
            for (int r = 0; r < N; r++)
                AT(A, i, j, DIM) += y->t[0] * AT(y->C, r, i, N) * AT(y->C, r, j, N);
    for (int j = 0; j < P; j++) AT(A, j, j, DIM) += 0.1;
    for (int f = 0; f < FACTORS; f++)
        for (int i = y->factor[f].first; i < y->factor[f].first + LEVELS[f]; i++)
            AT(A, i, i, DIM) += y->t[f + 1];
    naive_inverse(DIM, A, S);
    return S;
}

static struct lmm_iter_cov covariance_at(const struct crossed *y)
{
    struct arena count = {NULL, 0};
    lmm_iter_cov_carve(&y->x, &count);
    struct arena a = arena_of(count.used);
    struct lmm_iter_cov v = lmm_iter_cov_carve(&y->x, &a);
    CHECK(a.used == count.used);
    CHECK(lmm_iter_cov_at(&v, y->t));
    return v;
}

static void check_product(const struct crossed *y, struct lmm_iter_cov *v,
                          const double *S)
{
    double *unit = zeros(DIM * DIM), *x = nans(DIM * DIM);
    for (int i = 0; i < DIM; i++) AT(unit, i, i, DIM) = 1;
    CHECK(lmm_iter_cov_product(v, DIM, unit, x));
    for (int i = 0; i < DIM * DIM; i++) CHECK_NEAR(x[i], S[i], 1e-8);
    for (int j = 0; j < y->x.n_e; j++)
        for (int i = 0; i < y->x.n_e; i++)
            CHECK_NEAR(
                AT(v->S_ee, i, j, y->x.n_e),
                AT(S, lmm_iter_cov_place(&y->x, i), lmm_iter_cov_place(&y->x, j), DIM),
                1e-9);
}

/* Pairs of a coefficient, an effect of a factor each, and a leaf. */
static void check_variances(const struct crossed *y, struct lmm_iter_cov *v,
                            const double *S)
{
    enum { ROWS = 20 };
    int *ptr = ints(ROWS + 1), *idx = ints(4 * ROWS), *leaf = ints(ROWS);
    double *val = nans(4 * ROWS), *z = normals(ROWS), *out = nans(ROWS), error;
    for (int i = 0; i < ROWS; i++) {
        ptr[i] = 4 * i;
        leaf[i] = i % 3 ? i % LEVELS[0] : -1;
        for (int k = 0; k < 4; k++) {
            idx[4 * i + k] = k ? y->factor[k].first + i % LEVELS[k] : i % P;
            val[4 * i + k] = cos(7 * i + k);
        }
    }
    ptr[ROWS] = 4 * ROWS;
    const struct arrow_rows rows = {ROWS, NULL, z, leaf, ptr, idx, val};
    struct arena count = {NULL, 0};
    lmm_iter_var_carve(&y->x, ROWS, &count);
    struct arena a = arena_of(count.used);
    struct lmm_iter_var w = lmm_iter_var_carve(&y->x, ROWS, &a);
    CHECK(a.used == count.used);
    CHECK(lmm_iter_var_rows(v, &rows, out, &error, &w));
    CHECK(error >= 0 && error < 0.1);
    for (int i = 0; i < ROWS; i++) {
        double c[DIM] = {0}, want = 0;
        for (int k = 4 * i; k < 4 * i + 4; k++) c[idx[k]] += val[k];
        if (leaf[i] >= 0) c[y->factor[0].first + leaf[i]] += z[i];
        for (int k = 0; k < DIM * DIM; k++) want += c[k % DIM] * c[k / DIM] * S[k];
        CHECK_NEAR(sqrt(out[i] / want), 1, 8 * error + 1e-5);
    }
}

/* Second moments of draws, in their standard errors. */
static void check_draws(const struct crossed *y, struct lmm_iter_cov *v, const double *S)
{
    enum { DRAWS = 8000 };
    struct arena count = {NULL, 0};
    lmm_iter_draw_carve(&y->x, &count);
    struct arena a = arena_of(count.used);
    struct lmm_iter_draw d = lmm_iter_draw_carve(&y->x, &a);
    CHECK(a.used == count.used);
    double *x = nans(DIM * DRAWS);
    const struct ziggurat zig = rand_ziggurat();
    CHECK(lmm_iter_draw_run(v, &zig, DRAWS, x, &d));
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j <= i; j++) {
            double sum = 0, sd = sqrt(S[i * DIM + i] * S[j * DIM + j]);
            for (int k = 0; k < DRAWS; k++) sum += x[k * DIM + i] * x[k * DIM + j];
            CHECK_NEAR(sum / DRAWS / sd, S[i * DIM + j] / sd, 5 * sqrt(2.0 / DRAWS));
        }
    int stop = 0;
    const struct core_hooks h = {stop_at, &stop};
    v->cg.hooks = &h;
    CHECK(!lmm_iter_draw_run(v, &zig, 4, x, &d) && v->cg.stopped);
    CHECK(!lmm_iter_cov_product(v, 1, S, x) || y->x.n_R == 0);
    v->cg.hooks = NULL;
    v->cg.stopped = false;
}

struct run {
    struct vb_state s;
    struct lmm_iter_vb w;
    struct core_info info;
    enum core_status status;
};

static struct run run_of(struct crossed *y, const struct core_hooks *h)
{
    static const struct vb_control ctl = {1e-10, 100, 100, true};
    static const struct lmm_iter_control aim = {8, 64, 1e-3, 1e-3};
    int q = y->m.n_par;
    struct arena count = {NULL, 0};
    lmm_iter_vb_carve(&y->x, &count);
    lr_carve(q, &count);
    struct arena a = arena_of(count.used);
    struct run f = {.w = lmm_iter_vb_carve(&y->x, &a), .info = {0, -1}};
    f.s = (struct vb_state){.t = zeros((size_t) q),
                            .df = nans((size_t) y->m.n_prec),
                            .m = nans(DIM),
                            .J = nans((size_t) (DIM * y->m.n_stat)),
                            .ss = nans((size_t) y->m.n_stat),
                            .trace = nans((size_t) ((q + 3) * ctl.max_iter))};
    f.s.lr = lr_carve(q, &a);
    CHECK(a.used == count.used);
    for (int k = 0; k < q; k++) f.s.t[k] = 1;
    f.status = lmm_iter_vb_run(&y->x, &aim, &ctl, &f.s, &f.w, h, &f.info);
    return f;
}

/* At the fit's precisions: its means and traces are those of dense algebra. */
static void check_fit(struct crossed *y)
{
    struct run f = run_of(y, NULL);
    CHECK(f.status == CORE_OK && f.s.lr_ok);
    memcpy(y->t, f.s.t, sizeof(double) * (size_t) y->m.n_par);
    const double *S = covariance_of(y);
    for (int i = 0; i < DIM; i++) {
        double mean = 0;
        for (int j = 0; j < DIM; j++) mean += y->t[0] * AT(S, i, j, DIM) * y->m.h[j];
        CHECK_NEAR(f.s.m[i], mean, 1e-7);
    }
    for (int k = 1; k <= FACTORS; k++) {
        double trace = 0, se = 1e-6;
        const struct lmm_iter_factor *a = y->factor + k - 1;
        for (int i = a->first; i < a->first + a->n; i++) trace += AT(S, i, i, DIM);
        if (a->big) se += 5 * *lmm_iter_trace_at(&f.w.trace, f.w.trace.se, k - 1, 0);
        CHECK_NEAR(f.w.T[k], trace, se);
        for (int l = 1; l <= FACTORS; l++) {
            const struct lmm_iter_factor *b = y->factor + l - 1;
            double H = 0, se = 1e-6;
            for (int i = a->first; i < a->first + a->n; i++)
                for (int j = b->first; j < b->first + b->n; j++)
                    H += AT(S, i, j, DIM) * AT(S, i, j, DIM);
            if (a->big && b->big)
                se += 5 * *lmm_iter_trace_at(&f.w.trace, f.w.trace.se, k - 1, l);
            CHECK_NEAR(AT(f.w.H, k, l, y->m.n_stat), H, se);
        }
    }
    int stop = 1;
    const struct core_hooks h = {stop_at, &stop};
    CHECK(run_of(y, &h).status == CORE_INTERRUPTED);
}

void test_lmm_iter(void)
{
    for (int few = 1; few <= 10; few += few == 1 ? 4 : 5) { /* 4, 3 and 1 big factors */
        struct crossed *y = make(few);
        const double *S = covariance_of(y);
        struct lmm_iter_cov v = covariance_at(y);
        check_product(y, &v, S);
        check_variances(y, &v, S);
        check_draws(y, &v, S);
        check_fit(y);
        release_all();
    }
}
