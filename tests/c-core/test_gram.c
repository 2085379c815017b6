/* test_gram.c: the one-pass Gram against two-pass sums, and the merge against the whole. */
#include <limits.h>
#include <math.h>
#include <string.h>
#include <R_ext/Random.h>
#include "check.h"
#include "lmm_gram.h"
#include "support.h"

static struct gram new_gram(int p, int r, int n_groups)
{
    size_t m = (size_t) p + 1, G = (size_t) n_groups, R = (size_t) r;
    return (struct gram){p, r, n_groups, zeros(GRAM_HEAD), zeros(m), zeros(m * m),
                         zeros(G * R * R), zeros(G * R), zeros(G * R * m)};
}

enum { WEIGHTS = 1, OFFSET = 2, GROUPS = 4, FAR = 8 };

/* Columns with means far from zero. A row of weight zero holds nothing usable: NaN, Inf and
 * a missing group code (C_group_codes() leaves NA there). With 300 rows the first 130 are
 * such rows, so that the provisional centre comes from the second block. */
static struct gram_rows make_rows(size_t n, int p, int r, int n_groups, int what)
{
    double *X = normals(n * (size_t) p), *y = normals(n), *o = normals(n), *w = normals(n);
    double *z = normals(n * (size_t) r);
    int *group = ints(n);
    for (size_t i = 0; i < n; i++) {
        bool unused = what & WEIGHTS && (i % 3 == 0 || (n == 300 && i < 130));
        for (int j = 0; j < p; j++)
            X[i + (size_t) j * n] = unused ? NAN : X[i + (size_t) j * n] + 10 * j - 7;
        y[i] = unused ? INFINITY : y[i] + (what & FAR ? 1e6 : 20);
        w[i] = unused ? 0 : exp(w[i]);
        o[i] = unused ? -INFINITY : o[i];
        group[i] = unused ? INT_MIN : 1 + (int) (unif_rand() * n_groups);
        for (int a = 0; a < r; a++) z[i * (size_t) r + (size_t) a] += unused ? NAN : 1;
    }
    return (struct gram_rows){n, p, r, what & GROUPS ? n_groups : 0, X, y,
                              what & OFFSET ? o : NULL, what & WEIGHTS ? w : NULL,
                              what & GROUPS ? group : NULL, r > 1 ? z : NULL};
}

static double weight(const struct gram_rows *d, size_t i) { return d->w ? d->w[i] : 1; }

static double z_at(const struct gram_rows *d, size_t i, int a)
{
    return d->z ? d->z[i * (size_t) d->r + (size_t) a] : 1;
}

static double v_at(const struct gram_rows *d, size_t i, int j)
{
    return j < d->p ? d->X[i + (size_t) j * d->n] : d->y[i] - (d->offset ? d->offset[i] : 0);
}

/* The sums of lmm_gram.h as written there, means first. */
static struct gram naive_gram(const struct gram_rows *d)
{
    struct gram g = new_gram(d->p, d->r, d->n_groups);
    int m = d->p + 1, r = d->r;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < d->n; i++) {
            double w = weight(d, i);
            if (w == 0) continue;
            if (pass == 0) {
                g.head[GRAM_N] += 1;
                g.head[GRAM_W] += w;
                g.head[GRAM_LOGW] += log(w);
                for (int j = 0; j < m; j++) g.mean[j] += w * v_at(d, i, j);
                continue;
            }
            int leaf = d->group ? d->group[i] - 1 : 0;
            for (int j = 0; j < m; j++) {
                double vj = v_at(d, i, j) - g.mean[j] / g.head[GRAM_W];
                for (int k = 0; k < m; k++)
                    AT(g.cross, k, j, m) += w * vj * (v_at(d, i, k) - g.mean[k] / g.head[GRAM_W]);
                for (int a = 0; a < r && d->group; a++)
                    AT(g.zv, j, leaf * r + a, m) += w * vj * z_at(d, i, a);
            }
            for (int a = 0; a < r && d->group; a++) {
                g.z1[leaf * r + a] += w * z_at(d, i, a);
                for (int b = 0; b < r; b++)
                    g.zz[(leaf * r + b) * r + a] += w * z_at(d, i, a) * z_at(d, i, b);
            }
        }
    for (int j = 0; j < m && g.head[GRAM_W] > 0; j++) g.mean[j] /= g.head[GRAM_W];
    return g;
}

static void check_same(const struct gram *a, const struct gram *b, double tol)
{
    int m = a->p + 1, G = a->n_groups, r = a->r;
    for (int i = 0; i < GRAM_HEAD; i++) CHECK_NEAR(a->head[i], b->head[i], 1e-12);
    for (int i = 0; i < m; i++) CHECK_NEAR(a->mean[i], b->mean[i], 1e-12);
    for (int i = 0; i < m * m; i++) CHECK_NEAR(a->cross[i], b->cross[i], tol);
    for (int i = 0; i < G * r * r; i++) CHECK_NEAR(a->zz[i], b->zz[i], 1e-12);
    for (int i = 0; i < G * r; i++) CHECK_NEAR(a->z1[i], b->z1[i], 1e-12);
    for (int i = 0; i < G * r * m; i++) CHECK_NEAR(a->zv[i], b->zv[i], tol);
}

static struct gram accumulate(const struct gram_rows *d)
{
    struct gram g = new_gram(d->p, d->r, d->n_groups);
    CHECK(gram_accumulate(d, &g, nans(gram_scratch(d->p)), NULL) == CORE_OK);
    return g;
}

static void check_accumulate(size_t n, int p, int r, int what)
{
    struct gram_rows d = make_rows(n, p, r, 4, what);
    struct gram g = accumulate(&d), naive = naive_gram(&d);
    check_same(&g, &naive, what & FAR ? 1e-6 : 1e-10);
}

/* Rows first, ..., last - 1 of d, whose groups all lie in base + 1, ..., base + n_groups,
 * renumbered from 1. */
static struct gram_rows slice(const struct gram_rows *d, size_t first, size_t last, int base,
                              int n_groups)
{
    struct gram_rows s = *d;
    size_t n = s.n = last - first;
    double *X = nans(n * (size_t) d->p);
    int *group = ints(n);
    for (int j = 0; j < d->p; j++)
        memcpy(X + (size_t) j * n, d->X + (size_t) j * d->n + first, n * sizeof *X);
    for (size_t i = 0; i < n; i++)
        group[i] = weight(d, first + i) > 0 ? d->group[first + i] - base : INT_MIN;
    s.n_groups = n_groups;
    s.X = X;
    s.y += first;
    s.group = group;
    if (s.w) s.w += first;
    if (s.offset) s.offset += first;
    if (s.z) s.z += first * (size_t) d->r;
    return s;
}

/* Five chunks into an empty Gram, first of all one without rows and one without weight. */
static void check_merge(int r, int what)
{
    static const size_t cut[] = {0, 50, 210, 210, 299, 400};
    static const int order[] = {2, 0, 4, 1, 3};
    struct gram_rows d = make_rows(400, 3, r, 6, what | GROUPS);
    int *group = ints(400);
    if (what & WEIGHTS) memset((double *) d.w, 0, 50 * sizeof(double));
    for (int c = 0; c < 5; c++) /* chunk c has groups c + 1, c + 2 only */
        for (size_t i = cut[c]; i < cut[c + 1]; i++)
            group[i] = weight(&d, i) > 0 ? c + 1 + (int) (i % 2) : INT_MIN;
    d.group = group;
    struct gram whole = naive_gram(&d), g = new_gram(3, r, 6);
    for (int k = 0; k < 5; k++) {
        int c = order[k];
        struct gram_rows rows = slice(&d, cut[c], cut[c + 1], c, 2);
        struct gram part = accumulate(&rows);
        const int map[2] = {c, c + 1};
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

    int at = 1024; /* the pass asks the host every 1024 blocks */
    struct core_hooks h = {stop_at, &at};
    struct gram_rows d = make_rows(1024 * GRAM_BLOCK, 0, 1, 1, 0);
    struct gram g = new_gram(0, 1, 0);
    CHECK(gram_accumulate(&d, &g, nans(gram_scratch(0)), &h) == CORE_INTERRUPTED);
    d.n -= 1;
    at = 1023;
    g = new_gram(0, 1, 0);
    CHECK(gram_accumulate(&d, &g, nans(gram_scratch(0)), &h) == CORE_OK);
}
