/* test_arrow.c: the arrow kernels against a dense matrix, over a grid of shapes. */
#include <math.h>
#include <string.h>
#include <R_ext/Random.h>
#include "arrow/arrow_cov.h"
#include "arrow/elimination.h"
#include "arrow/schur.h"
#include "check.h"
#include "base/la.h"
#include "support.h"

/* Sparse lists: leaves 1, 4, ... have none, the others every second column. */
static bool listed(bool sparse, int leaf, int col)
{
    return !sparse || (leaf % 3 != 1 && (leaf + col) % 2 == 0);
}

static struct arrow_shape make_shape(int ng, int nl, int r, bool sparse)
{
    int *ptr = ints((size_t) nl + 1), at = 0;
    for (int l = 0; l < nl; l++) {
        ptr[l + 1] = ptr[l];
        for (int j = 0; j < ng; j++) ptr[l + 1] += listed(sparse, l, j);
    }
    int *idx = ints((size_t) ptr[nl]);
    for (int l = 0; l < nl; l++)
        for (int j = 0; j < ng; j++)
            if (listed(sparse, l, j)) idx[at++] = j;
    return (struct arrow_shape){
        .n_global = ng, .n_leaf = nl, .r = r, .ptr = ptr, .idx = idx, .full = !sparse};
}

static struct arrow new_arrow(const struct arrow_shape *s)
{
    struct arena count = {NULL, 0};
    arrow_carve(s, &count);
    struct arena a = arena_of(count.used);
    return arrow_carve(s, &a);
}

/* Factors of 20 and 5 levels beside two coefficients, nested but for every ninth leaf: some fill. */
static struct arrow_shape nested_shape(int nl, int r)
{
    enum { P = 2, FINE = 20, COARSE = 5 };
    struct arrow_shape s = {.n_global = P + FINE + COARSE, .n_leaf = nl, .r = r};
    int *ptr = ints((size_t) nl + 1), *idx = ints(4 * (size_t) nl);
    for (int l = 0; l < nl; l++) {
        int fine = l % FINE, coarse = (fine / 4 + (l % 9 == 8)) % COARSE;
        int list[4] = {0, 1, P + fine, P + FINE + coarse};
        memcpy(idx + 4 * l, list, sizeof list);
        ptr[l + 1] = 4 * (l + 1);
    }
    s.ptr = ptr;
    s.idx = idx;
    struct arena a = {NULL, 0};
    elimination_carve(&s, &a);
    a = arena_of(a.used);
    elimination_order(&s, P, elimination_carve(&s, &a));
    return s;
}

/* Do two global columns meet in a leaf's list? */
static bool meet(const struct arrow_shape *s, int i, int j)
{
    for (int l = 0; l < s->n_leaf; l++) {
        bool has_i = false, has_j = false;
        for (int a = s->ptr[l]; a < s->ptr[l + 1]; a++) {
            has_i = has_i || s->idx[a] == i;
            has_j = has_j || s->idx[a] == j;
        }
        if (has_i && has_j) return true;
    }
    return i == j;
}

/* Random, diagonally dominant; the upper triangles stay NaN. */
static struct arrow random_arrow(const struct arrow_shape *s)
{
    struct arrow P = new_arrow(s);
    double dim = (double) arrow_dim(s);
    for (size_t i = 0; s->packed && i < arrow_global_size(s); i++) P.global[i] = 0;
    for (int j = 0; j < s->n_global; j++)
        for (int i = j; i < s->n_global; i++) {
            bool zero = s->n_elim && !meet(s, i, j);
            if (zero && s->packed) continue;
            P.global[arrow_shape_at(s, i, j)] =
                zero ? 0 : unif_rand() - 0.5 + (i == j) * dim;
        }
    for (int l = 0; l < s->n_leaf; l++)
        for (int j = 0; j < s->r; j++)
            for (int i = j; i < s->r; i++)
                P.leaf[(l * s->r + j) * s->r + i] = unif_rand() - 0.5 + (i == j) * dim;
    for (size_t i = 0; i < arrow_cross_size(s); i++) P.cross[i] = unif_rand() - 0.5;
    return P;
}

static void check_vectors(const struct arrow_shape *s, const struct arrow *P,
                          const struct arrow *F, const double *D, const double *S)
{
    int dim = (int) arrow_dim(s);
    size_t n = (size_t) dim;
    double *x = normals(n), *sol = copy(n, x), *y = nans(n), *B = zeros(n * n);
    arrow_solve(s, F, sol);
    double *half = copy(n, x); /* the two halves of a solve */
    arrow_forwardsolve(s, F, half);
    for (int i = 0; i < dim; i++) y[i] = half[i];
    arrow_backsolve(s, F, half);
    for (int i = 0; i < dim; i++) CHECK_NEAR(half[i], sol[i], 1e-13);
    double *moved = copy(n, y);
    arrow_unwhiten(s, F, x, moved);
    for (int i = 0; i < dim; i++) CHECK_NEAR(moved[i], x[i] + sol[i], 1e-13);
    double norm = 0, quad = 0; /* |F^-1 x|^2 = x' P^-1 x */
    for (int i = 0; i < dim; i++) {
        norm += y[i] * y[i];
        quad += x[i] * sol[i];
    }
    CHECK_NEAR(norm, quad, 1e-12);
    arrow_mul(s, P, x, y);
    for (int j = 0; j < dim; j++) { /* B = F^-T, column by column */
        AT(B, j, j, dim) = 1;
        arrow_backsolve(s, F, B + (size_t) j * n);
    }
    for (int i = 0; i < dim; i++) {
        double dx = 0, sx = 0;
        for (int j = 0; j < dim; j++) {
            double cov = 0; /* of the draws F^-T z */
            for (int k = 0; k < dim; k++) cov += AT(B, i, k, dim) * AT(B, j, k, dim);
            CHECK_NEAR(cov, AT(S, i, j, dim), 1e-12);
            dx += AT(D, i, j, dim) * x[j];
            sx += AT(S, i, j, dim) * x[j];
        }
        CHECK_NEAR(y[i], dx, 1e-12);
        CHECK_NEAR(sol[i], sx, 1e-12);
    }
}

static void check_outer_rows(const struct arrow_shape *s, const double *q, int a, int b)
{
    int ng = s->n_global;
    double *out = normals(arrow_global_size(s)), *sum = copy(arrow_global_size(s), out);
    arrow_outer_rows(s, q, a, b, out);
    for (int l = 0; l < s->n_leaf; l++) {
        int k = s->ptr[l + 1] - s->ptr[l];
        for (int j = 0; j < k; j++)
            for (int i = 0; i < k; i++)
                AT(sum, s->idx[s->ptr[l] + i], s->idx[s->ptr[l] + j], ng) +=
                    q[s->ptr[l] * s->r + a * k + i] * q[s->ptr[l] * s->r + b * k + j];
    }
    for (int i = 0; i < ng * ng; i++) CHECK_NEAR(out[i], sum[i], 1e-13);
}

/* S: dense inverse; Q_i' = -P_gi D_i^-1 and S_gl = S_gg Q' tie q to it. */
static void check_inverse(const struct arrow_shape *s, const struct arrow *P,
                          const struct arrow *F, const double *D, const double *S)
{
    int dim = (int) arrow_dim(s), ng = s->n_global, r = s->r;
    double *Sg = nans(arrow_global_size(s)), *di = nans(arrow_leaf_size(s));
    double *q = nans(arrow_cross_size(s)), *sl = nans(arrow_leaf_size(s));
    double *Dl = nans((size_t) (r * r)), *Dli = nans((size_t) (r * r));
    double *out = zeros(arrow_global_size(s)), *sum = zeros(arrow_global_size(s));
    arrow_inverse(s, F, Sg, di, q, sl, nans((size_t) (ng * r)));
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++)
            CHECK_NEAR(AT(Sg, i, j, ng), AT(S, i, j, dim), 1e-12);
    for (int l = 0; l < s->n_leaf; l++) {
        int at = ng + l * r, k = s->ptr[l + 1] - s->ptr[l];
        const int *col = s->idx + s->ptr[l];
        const double *ql = q + s->ptr[l] * r, *Pl = P->cross + s->ptr[l] * r;
        for (int j = 0; j < r; j++)
            for (int i = 0; i < r; i++) AT(Dl, i, j, r) = AT(D, at + i, at + j, dim);
        naive_inverse(r, Dl, Dli);
        for (int j = 0; j < r; j++) {
            for (int i = 0; i < r; i++) {
                CHECK_NEAR(di[(l * r + j) * r + i], AT(Dli, i, j, r), 1e-12);
                CHECK_NEAR(sl[(l * r + j) * r + i], AT(S, at + i, at + j, dim), 1e-12);
            }
            for (int a = 0; a < k; a++) {
                double pd = 0;
                for (int e = 0; e < r; e++) pd -= AT(Pl, a, e, k) * AT(Dli, e, j, r);
                CHECK_NEAR(AT(ql, a, j, k), pd, 1e-12);
                for (int b = 0; b < k; b++)
                    AT(sum, col[a], col[b], ng) +=
                        0.7 * AT(ql, a, j, k) * AT(ql, b, j, k);
            }
        }
    }
    arrow_outer(s, q, 0.7, out);
    for (int j = 0; j < ng; j++)
        for (int i = j; i < ng; i++)
            CHECK_NEAR(AT(out, i, j, ng), AT(sum, i, j, ng), 1e-13);
    for (int e = 0; e < r; e++)
        for (int c = 0; c < r; c++) check_outer_rows(s, q, e, c);
}

/* One entry of P spoilt: the status and the block must name it. */
static void check_bad(const struct arrow_shape *s, const struct arrow *P)
{
    struct arrow F = new_arrow(s);
    for (int l = 0; l < s->n_leaf; l++) {
        double *d = &P->leaf[(l + 1) * s->r * s->r - 1], keep = *d;
        static const double bad[] = {-1, 0, NAN};
        for (int b = 0; b < 3; b++) {
            struct core_info info = {0, -1};
            *d = bad[b];
            CHECK(arrow_factor(s, P, &F, &info) == CORE_NOT_PD_LEAF && info.block == l);
        }
        *d = keep;
    }
    for (int j = 0; j < s->n_global; j++) {
        double *d = &P->global[arrow_shape_at(s, j, j)], keep = *d;
        struct core_info info = {0, -1};
        *d = -1;
        CHECK(arrow_factor(s, P, &F, &info) == CORE_NOT_PD_GLOBAL && info.block == j);
        *d = NAN;
        CHECK(arrow_factor(s, P, &F, &info) == CORE_NOT_PD_GLOBAL && info.block == j);
        *d = keep;
    }
}

static void check_shape(struct arrow_shape s)
{
    int dim = (int) arrow_dim(&s);
    struct arrow P = random_arrow(&s);
    double *D = dense_of(&s, &P), *S = nans((size_t) (dim * dim));
    double logdet = naive_inverse(dim, D, S);
    struct arena count = {NULL, 0};
    arrow_carve(&s, &count);
    struct arena a = arena_of(count.used);
    struct arrow F = arrow_carve(&s, &a);
    CHECK(a.used == count.used);
    struct core_info info = {0, -1};
    CHECK(arrow_factor(&s, &P, &F, &info) == CORE_OK && info.block == -1);
    CHECK_NEAR(arrow_logdet(&s, &F), logdet, 1e-12);
    double *again = dense_of(&s, &P); /* P must not have changed */
    for (int i = 0; i < dim * dim; i++) CHECK(again[i] == D[i]);
    check_vectors(&s, &P, &F, D, S);
    if (!s.packed) check_inverse(&s, &P, &F, D, S);
    check_bad(&s, &P);
}

/* The selected inverse, and its derivative along dP, against dense algebra: on the pattern. */
static void check_selected(const struct arrow_shape *s, const struct arrow *P)
{
    int dim = (int) arrow_dim(s), ng = s->n_global, r = s->r;
    double *S = nans((size_t) (dim * dim)), *dense = nans((size_t) (dim * dim));
    naive_inverse(dim, dense_of(s, P), S);
    struct arrow F = new_arrow(s), I = new_arrow(s), dP = random_arrow(s),
                 dS = new_arrow(s);
    double *d_inv = nans(arrow_leaf_size(s)), *q = nans(arrow_cross_size(s));
    struct core_info info;
    struct arena count = {NULL, 0};
    arrow_push_carve(s, &count);
    struct arena a = arena_of(count.used);
    struct arrow_push_work w = arrow_push_carve(s, &a);
    CHECK(arrow_factor(s, P, &F, &info) == CORE_OK);
    arrow_selected_inverse(s, &F, &I, d_inv, q, nans((size_t) (ng * r)));
    arrow_inverse_push(s, &I, q, d_inv, &dP, &dS, &w);
    double *SdP = nans((size_t) (dim * dim)), *D = dense_of(s, &dP);
    la_matmul(dim, S, D, SdP);
    la_matmul(dim, SdP, S, dense);
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++)
            if (!s->n_elim || meet(s, i, j)) {
                size_t at = arrow_shape_at(s, i, j);
                CHECK_NEAR(I.global[at], AT(S, i, j, dim), 1e-12);
                CHECK_NEAR(dS.global[at], -AT(dense, i, j, dim), 1e-12);
            }
    for (int l = 0; l < s->n_leaf; l++)
        for (int c = 0; c < r; c++) {
            int col = ng + l * r + c, k = s->ptr[l + 1] - s->ptr[l];
            for (int i = 0; i < k; i++) {
                size_t at = (size_t) (s->ptr[l] * r + c * k + i);
                int row = s->idx[s->ptr[l] + i];
                CHECK_NEAR(I.cross[at], AT(S, row, col, dim), 1e-12);
                CHECK_NEAR(dS.cross[at], -AT(dense, row, col, dim), 1e-12);
            }
            for (int e = 0; e < r; e++) {
                CHECK_NEAR(I.leaf[(l * r + c) * r + e], AT(S, ng + l * r + e, col, dim),
                           1e-12);
                CHECK_NEAR(dS.leaf[(l * r + c) * r + e],
                           -AT(dense, ng + l * r + e, col, dim), 1e-12);
            }
        }
}

/* Products, quadratic forms and the root of draws of a packed covariance, against dense algebra. */
static void check_covariance(const struct arrow_shape *s, const struct arrow *P)
{
    int dim = (int) arrow_dim(s), ng = s->n_global, r = s->r;
    size_t n = (size_t) dim;
    double *S = nans(n * n), *d_inv = nans(arrow_leaf_size(s));
    double *q = nans(arrow_cross_size(s)), *y = nans(n), *a = nans((size_t) ng);
    struct arrow F = new_arrow(s), I = new_arrow(s);
    struct core_info info;
    naive_inverse(dim, dense_of(s, P), S);
    CHECK(arrow_factor(s, P, &F, &info) == CORE_OK);
    arrow_pattern_inverse(s, &F, &I, d_inv, q, nans((size_t) (ng * r)));
    const struct arrow_cov cov = {I.global, I.elim, d_inv, q};
    struct arena count = {NULL, 0};
    arrow_cov_quad_carve(s, &count);
    struct arena room = arena_of(count.used);
    struct arrow_quad_work w = arrow_cov_quad_carve(s, &room);
    double *L = nans(arrow_cov_root_size(s)), *W = nans(arrow_leaf_size(s));
    double *B = nans(n * n); /* of the draws B z */
    CHECK(arrow_cov_factor(s, &cov, L, W));
    for (int j = 0; j < dim; j++) {
        double *e = zeros(n);
        e[j] = 1;
        arrow_cov_mul(s, &cov, e, y, a);
        for (int i = 0; i < dim; i++) CHECK_NEAR(y[i], AT(S, i, j, dim), 1e-12);
        arrow_cov_draw(s, &cov, L, W, e, B + (size_t) j * n);
    }
    for (int j = 0; j < dim; j++)
        for (int i = 0; i < dim; i++) {
            double sum = 0;
            for (int k = 0; k < dim; k++) sum += AT(B, i, k, dim) * AT(B, j, k, dim);
            CHECK_NEAR(sum, AT(S, i, j, dim), 1e-12);
        }
    for (int l = -1; l < s->n_leaf;
         l++) { /* two columns and a leaf, as a row and as lists */
        int ptr[2] = {0, 2}, idx[2] = {(l + 1) % 2, ng - 1 - (l + 1) % 20};
        double val[2] = {0.3, -1.1}, z[2] = {0.7, 0.4}, *x = zeros(n), dense = 0, got = 0;
        for (int c = 0; c < 2; c++) x[idx[c]] = val[c];
        for (int c = 0; c < r && l >= 0; c++) x[ng + l * r + c] = z[c];
        for (int j = 0; j < dim; j++)
            for (int i = 0; i < dim; i++) dense += x[i] * AT(S, i, j, dim) * x[j];
        struct arrow_rows rows = {.n = 1, .z = z, .leaf = &l};
        rows.global = x;
        arrow_cov_quad(s, &cov, &rows, &got, &w);
        CHECK_NEAR(got, dense, 1e-12);
        rows = (struct arrow_rows){
            .n = 1, .z = z, .leaf = &l, .ptr = ptr, .idx = idx, .val = val};
        arrow_cov_quad(s, &cov, &rows, &got, &w);
        CHECK_NEAR(got, dense, 1e-12);
    }
}

static void test_sparse_global(void)
{
    for (int r = 1; r <= 2; r++) {
        struct arrow_shape s = nested_shape(40, r);
        CHECK(s.n_elim > 0 && s.n_elim + s.n_core == s.n_global);
        check_shape(s);
        struct arrow P = random_arrow(&s);
        check_selected(&s, &P);
        struct arrow_shape dense = s; /* the same through the dense code */
        dense.n_elim = 0;
        check_selected(&dense, &P);
        check_covariance(&dense, &P);
        s.packed = true; /* and on the pattern only */
        check_shape(s);
        P = random_arrow(&s);
        check_selected(&s, &P);
        check_covariance(&s, &P);
    }
    struct arrow_shape full = make_shape(4, 7, 2, false);
    struct arrow P = random_arrow(&full);
    check_selected(&full, &P);
}

void test_arrow(void)
{
    test_sparse_global();
    static const int leaves[] = {0, 1, 2, 7};
    for (int l = 0; l < 4; l++)
        for (int r = 1; r <= 3; r++)
            for (int ng = 0; ng <= 4; ng++) {
                struct arrow_shape s = make_shape(ng, leaves[l], r, false);
                check_shape(s);
                s.full = false; /* full lists through the sparse code */
                check_shape(s);
                check_shape(make_shape(ng, leaves[l], r, true));
            }
}
