/* test_gram.c: the one-pass Gram against two-pass sums, and the merge against the whole. */
#include <limits.h>
#include <math.h>
#include <string.h>
#include <R_ext/Random.h>
#include "check.h"
#include "arrow/gram.h"
#include "support.h"

static struct gram new_gram(int p, int n_factors, const struct gram_factor_rows *rows)
{
    size_t m = (size_t) p + 1;
    struct gram g = {
        p,        n_factors,    zeros(GRAM_HEAD),
        zeros(m), zeros(m * m), pool(sizeof(struct gram_factor) * (size_t) n_factors)};
    for (int f = 0; f < n_factors; f++) {
        size_t G = (size_t) rows[f].n_levels, r = (size_t) rows[f].r;
        g.factor[f] = (struct gram_factor){rows[f].r, rows[f].n_levels, zeros(G * r * r),
                                           zeros(G * r), zeros(G * r * m)};
    }
    return g;
}

enum { WEIGHTS = 1, OFFSET = 2, GROUPS = 4, FAR = 8 };

/* Columns with means far from zero. A row of weight zero holds nothing usable: NaN, Inf and
 * a missing group code (C_group_codes() leaves NA there). With 300 rows the first 130 are
 * such rows, so that the provisional centre comes from the second block. GROUPS: two factors,
 * of r and of 3 - r coefficients. */
static struct gram_rows make_rows(size_t n, int p, int r, int n_levels, int what)
{
    double *X = normals(n * (size_t) p), *y = normals(n), *o = normals(n),
           *w = normals(n);
    struct gram_factor_rows *factor = pool(2 * sizeof *factor);
    int *code[2];
    double *z[2];
    for (int f = 0; f < 2; f++) {
        int rf = f ? 3 - r : r;
        code[f] = ints(n);
        z[f] = normals(n * (size_t) rf);
        factor[f] =
            (struct gram_factor_rows){rf, n_levels + f, code[f], rf > 1 ? z[f] : NULL};
    }
    for (size_t i = 0; i < n; i++) {
        bool unused = what & WEIGHTS && (i % 3 == 0 || (n == 300 && i < 130));
        for (int j = 0; j < p; j++)
            X[i + (size_t) j * n] = unused ? NAN : X[i + (size_t) j * n] + 10 * j - 7;
        y[i] = unused ? INFINITY : y[i] + (what & FAR ? 1e6 : 20);
        w[i] = unused ? 0 : exp(w[i]);
        o[i] = unused ? -INFINITY : o[i];
        for (int f = 0; f < 2; f++) {
            size_t rf = (size_t) factor[f].r;
            code[f][i] = unused ? INT_MIN : 1 + (int) (unif_rand() * factor[f].n_levels);
            for (size_t a = 0; a < rf; a++) z[f][i * rf + a] += unused ? NAN : 1;
        }
    }
    return (struct gram_rows){n,
                              p,
                              what & GROUPS ? 2 : 0,
                              X,
                              y,
                              what & OFFSET ? o : NULL,
                              what & WEIGHTS ? w : NULL,
                              what & GROUPS ? factor : NULL};
}

static double weight(const struct gram_rows *d, size_t i) { return d->w ? d->w[i] : 1; }

static double z_at(const struct gram_factor_rows *f, size_t i, int a)
{
    return f->z ? f->z[i * (size_t) f->r + (size_t) a] : 1;
}

static double v_at(const struct gram_rows *d, size_t i, int j)
{
    return j < d->p ? d->X[i + (size_t) j * d->n]
                    : d->y[i] - (d->offset ? d->offset[i] : 0);
}

/* The sums of gram.h as written there, means first. */
static struct gram naive_gram(const struct gram_rows *d)
{
    struct gram g = new_gram(d->p, d->n_factors, d->factor);
    int m = d->p + 1;
    for (size_t i = 0; i < d->n; i++) {
        double w = weight(d, i);
        if (w == 0) continue;
        g.head[GRAM_N] += 1;
        g.head[GRAM_W] += w;
        g.head[GRAM_LOGW] += log(w);
        for (int j = 0; j < m; j++) g.mean[j] += w * v_at(d, i, j);
    }
    for (int j = 0; j < m && g.head[GRAM_W] > 0; j++) g.mean[j] /= g.head[GRAM_W];
    for (size_t i = 0; i < d->n; i++) {
        double w = weight(d, i);
        if (w == 0) continue;
        for (int j = 0; j < m; j++)
            for (int k = 0; k < m; k++)
                AT(g.cross, k, j, m) +=
                    w * (v_at(d, i, j) - g.mean[j]) * (v_at(d, i, k) - g.mean[k]);
        for (int f = 0; f < d->n_factors; f++) {
            const struct gram_factor_rows *rows = &d->factor[f];
            int r = rows->r, level = rows->code[i] - 1;
            for (int a = 0; a < r; a++) {
                double wz = w * z_at(rows, i, a);
                g.factor[f].z1[level * r + a] += wz;
                for (int b = 0; b < r; b++)
                    g.factor[f].zz[(level * r + b) * r + a] += wz * z_at(rows, i, b);
                for (int j = 0; j < m; j++)
                    AT(g.factor[f].zv, j, level * r + a, m) +=
                        wz * (v_at(d, i, j) - g.mean[j]);
            }
        }
    }
    return g;
}

static void check_same(const struct gram *a, const struct gram *b, double tol)
{
    int m = a->p + 1;
    for (int i = 0; i < GRAM_HEAD; i++) CHECK_NEAR(a->head[i], b->head[i], 1e-12);
    for (int i = 0; i < m; i++) CHECK_NEAR(a->mean[i], b->mean[i], 1e-12);
    for (int i = 0; i < m * m; i++) CHECK_NEAR(a->cross[i], b->cross[i], tol);
    for (int f = 0; f < a->n_factors; f++) {
        const struct gram_factor *x = &a->factor[f], *y = &b->factor[f];
        int G = x->n_levels, r = x->r;
        for (int i = 0; i < G * r * r; i++) CHECK_NEAR(x->zz[i], y->zz[i], 1e-12);
        for (int i = 0; i < G * r; i++) CHECK_NEAR(x->z1[i], y->z1[i], 1e-12);
        for (int i = 0; i < G * r * m; i++) CHECK_NEAR(x->zv[i], y->zv[i], tol);
    }
}

static struct gram accumulate(const struct gram_rows *d)
{
    struct gram g = new_gram(d->p, d->n_factors, d->factor);
    CHECK(gram_accumulate(d, &g, nans(gram_scratch(d->p)), NULL) == CORE_OK);
    return g;
}

static void check_accumulate(size_t n, int p, int r, int what)
{
    struct gram_rows d = make_rows(n, p, r, 4, what);
    struct gram g = accumulate(&d), naive = naive_gram(&d);
    check_same(&g, &naive, what & FAR ? 1e-6 : 1e-10);
}

/* Pattern and blocks of factors a and b against a dense table; with few rows many levels
 * meet nothing. */
static void check_pairs(size_t n, int r, int what, int a, int b)
{
    struct gram_rows d = make_rows(n, 0, r, 6, what | GROUPS);
    const struct gram_factor_rows *fa = &d.factor[a], *fb = &d.factor[b];
    int na = fa->n_levels, nb = fb->n_levels, ra = fa->r, rb = fb->r, used = 0;
    int *met = ints((size_t) (na * nb)), *mark = ints((size_t) nb), *order = ints(n);
    int *ptr = ints((size_t) na + 1), *again = ints((size_t) na + 1);
    double *table = zeros((size_t) (na * nb * ra * rb));
    for (size_t i = 0; i < n; i++) {
        if (weight(&d, i) == 0) continue;
        int cell = (fa->code[i] - 1) * nb + fb->code[i] - 1;
        met[cell] = 1;
        for (int y = 0; y < rb; y++)
            for (int x = 0; x < ra; x++)
                table[(cell * rb + y) * ra + x] +=
                    weight(&d, i) * z_at(fa, i, x) * z_at(fb, i, y);
    }
    gram_pair_pattern(&d, a, b, ptr, NULL, order, mark);
    int *idx = ints((size_t) ptr[na]);
    double *val = zeros((size_t) (ptr[na] * ra * rb));
    gram_pair_pattern(&d, a, b, again, idx, order, mark);
    gram_pair_values(&d, a, b, ptr, idx, val);
    for (int g = 0; g <= na; g++) CHECK(ptr[g] == again[g]);
    for (int g = 0; g < na; g++) {
        CHECK(ptr[g] == used);
        for (int l = 0; l < nb; l++) {
            if (!met[g * nb + l]) continue;
            CHECK(used < ptr[g + 1] && idx[used] == l);
            for (int k = 0; k < ra * rb && used < ptr[na]; k++)
                CHECK_NEAR(val[used * ra * rb + k], table[(g * nb + l) * ra * rb + k],
                           1e-12);
            used++;
        }
    }
    CHECK(ptr[na] == used);
}

/* Rows first, ..., last - 1 of d. The levels of factor 0 all lie in base + 1, base + 2 and are
 * renumbered from 1, those of factor 1 are numbered backwards. */
static struct gram_rows slice(const struct gram_rows *d, size_t first, size_t last,
                              int base)
{
    struct gram_rows s = *d;
    size_t n = s.n = last - first;
    double *X = nans(n * (size_t) d->p);
    struct gram_factor_rows *factor = pool(2 * sizeof *factor);
    for (int j = 0; j < d->p; j++)
        memcpy(X + (size_t) j * n, d->X + (size_t) j * d->n + first, n * sizeof *X);
    for (int f = 0; f < 2; f++) {
        int *code = ints(n);
        factor[f] = d->factor[f];
        for (size_t i = 0; i < n; i++) {
            int old = d->factor[f].code[first + i];
            code[i] = !(weight(d, first + i) > 0) ? INT_MIN
                      : f                         ? factor[f].n_levels + 1 - old
                                                  : old - base;
        }
        if (f == 0) factor[f].n_levels = 2;
        factor[f].code = code;
        if (factor[f].z) factor[f].z += first * (size_t) factor[f].r;
    }
    s.X = X;
    s.y += first;
    s.factor = factor;
    if (s.w) s.w += first;
    if (s.offset) s.offset += first;
    return s;
}

/* Five chunks into an empty Gram, first of all one without rows and one without weight. */
static void check_merge(int r, int what)
{
    static const size_t cut[] = {0, 50, 210, 210, 299, 400};
    static const int order[] = {2, 0, 4, 1, 3};
    struct gram_rows d = make_rows(400, 3, r, 6, what | GROUPS);
    int *code = (int *) d.factor[0].code;
    if (what & WEIGHTS) memset((double *) d.w, 0, 50 * sizeof(double));
    for (int c = 0; c < 5; c++) /* chunk c has levels c + 1, c + 2 of factor 0 only */
        for (size_t i = cut[c]; i < cut[c + 1]; i++)
            code[i] = weight(&d, i) > 0 ? c + 1 + (int) (i % 2) : INT_MIN;
    struct gram whole = naive_gram(&d), g = new_gram(3, 2, d.factor);
    for (int k = 0; k < 5; k++) {
        int c = order[k];
        struct gram_rows rows = slice(&d, cut[c], cut[c + 1], c);
        struct gram part = accumulate(&rows);
        const int map0[] = {c, c + 1}, map1[] = {6, 5, 4, 3, 2, 1, 0};
        const int *const map[] = {map0, map1};
        gram_merge(&g, &part, map, nans(2 * 4));
    }
    check_same(&g, &whole, 1e-10);
}

void test_gram(void)
{
    static const size_t rows[] = {0, 1, 127, 128, 129, 300};
    for (int k = 0; k < 6; k++)
        for (int r = 1; r <= 2; r++)
            for (int what = 0; what < 8; what++)
                for (int p = 0; p <= 3; p += 3) check_accumulate(rows[k], p, r, what);
    check_accumulate(300, 3, 1, WEIGHTS | GROUPS | FAR); /* nothing cancels */
    for (int r = 1; r <= 2; r++)
        for (int what = 0; what < 4; what++) check_merge(r, what);
    for (int k = 0; k < 6; k++)
        for (int r = 1; r <= 2; r++)
            for (int what = 0; what < 2; what++) {
                check_pairs(rows[k], r, what, 0, 1);
                check_pairs(rows[k] / 10, r, what, 1, 0);
            }

    int at = 1024; /* the pass asks the host every 1024 blocks */
    struct core_hooks h = {stop_at, &at};
    struct gram_rows d = make_rows(1024 * GRAM_BLOCK, 0, 1, 1, 0);
    struct gram g = new_gram(0, 0, NULL);
    CHECK(gram_accumulate(&d, &g, nans(gram_scratch(0)), &h) == CORE_INTERRUPTED);
    d.n -= 1;
    at = 1023;
    g = new_gram(0, 0, NULL);
    CHECK(gram_accumulate(&d, &g, nans(gram_scratch(0)), &h) == CORE_OK);
}
