/* arrow_cov.c: products, quadratic forms and draws of a covariance in arrow form (arrow_cov.h). */
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "arrow/arrow_cov.h"

/* a += Q_l' z */
static void add_leaf(const struct arrow_shape *s, const double *q, int l, const double *z,
                     double *a)
{
    int k = s->ptr[l + 1] - s->ptr[l];
    const int *col = s->idx + s->ptr[l];
    const double *ql = q + (size_t) s->ptr[l] * (size_t) s->r;
    for (int c = 0; c < s->r; c++)
        for (int i = 0; i < k; i++) a[col[i]] += AT(ql, i, c, k) * z[c];
}

/* u += Q_l a */
static void add_global(const struct arrow_shape *s, const double *q, int l,
                       const double *a, double *u)
{
    int k = s->ptr[l + 1] - s->ptr[l];
    const int *col = s->idx + s->ptr[l];
    const double *ql = q + (size_t) s->ptr[l] * (size_t) s->r;
    for (int c = 0; c < s->r; c++)
        for (int i = 0; i < k; i++) u[c] += AT(ql, i, c, k) * a[col[i]];
}

static const double *leaf_block(const struct arrow_shape *s, const double *blocks, int l)
{
    return blocks + (size_t) l * (size_t) s->r * (size_t) s->r;
}

void arrow_cov_mul(const struct arrow_shape *s, const struct arrow_cov *S,
                   const double *x, double *y, double *a)
{
    size_t ng = (size_t) s->n_global, r = (size_t) s->r;
    if (ng) memcpy(a, x, sizeof(double) * ng);
    for (int l = 0; l < s->n_leaf; l++) add_leaf(s, S->q, l, x + ng + (size_t) l * r, a);
    la_matvec(s->n_global, S->global, a, y);
    for (int l = 0; l < s->n_leaf; l++) {
        double *u = y + ng + (size_t) l * r;
        la_matvec(s->r, leaf_block(s, S->d_inv, l), x + ng + (size_t) l * r, u);
        add_global(s, S->q, l, y, u);
    }
}

/* ---- quadratic forms ----------------------------------------------------------------------- */

struct arrow_quad_work arrow_cov_quad_carve(const struct arrow_shape *s, struct arena *a)
{
    size_t ng = (size_t) s->n_global;
    struct arrow_quad_work w;
    w.a = arena_doubles(a, ng * ARROW_QUAD_BLOCK);
    w.Sa = arena_doubles(a, ng * ARROW_QUAD_BLOCK);
    w.at = arena_ints(a, ng);
    return w;
}

/* a <- row i's a; returns its z'D^-1 z. */
static double gather(const struct arrow_shape *s, const struct arrow_cov *S,
                     const struct arrow_rows *rows, int i, double *a)
{
    size_t ng = (size_t) s->n_global, r = (size_t) s->r;
    int l = rows->leaf[i];
    if (ng) memcpy(a, rows->global + (size_t) i * ng, sizeof(double) * ng);
    if (l < 0) return 0;
    const double *z = rows->z + (size_t) i * r, *D = leaf_block(s, S->d_inv, l);
    double own = 0;
    add_leaf(s, S->q, l, z, a);
    for (int c = 0; c < s->r; c++)
        for (int e = 0; e < s->r; e++) own += z[c] * AT(D, c, e, s->r) * z[e];
    return own;
}

static int nonzeros(int n, const double *a, int *at)
{
    int k = 0;
    for (int i = 0; i < n; i++)
        if (a[i] != 0) at[k++] = i;
    return k;
}

/* a'S a over the k nonzeros of a. */
static double quad_listed(int n, const double *S, int k, const int *at, const double *a)
{
    double sum = 0;
    for (int j = 0; j < k; j++) {
        const double *Sj = S + (size_t) at[j] * (size_t) n;
        double t = 0;
        for (int i = 0; i < j; i++) t += Sj[at[i]] * a[at[i]];
        sum += (2 * t + Sj[at[j]] * a[at[j]]) * a[at[j]];
    }
    return sum;
}

/* out[row[j]] += a_j'S a_j for the m columns of A. */
static void quad_columns(int n, const double *S, int m, const double *A, double *SA,
                         const int *row, double *out)
{
    double one = 1, zero = 0;
    if (n == 0 || m == 0) return;
    F77_CALL(dsymm)
    ("L", "L", &n, &m, &one, S, &n, A, &n, &zero, SA, &n FCONE FCONE);
    for (int j = 0; j < m; j++)
        out[row[j]] +=
            la_dot(n, A + (size_t) j * (size_t) n, SA + (size_t) j * (size_t) n);
}

void arrow_cov_quad(const struct arrow_shape *s, const struct arrow_cov *S,
                    const struct arrow_rows *rows, double *out, struct arrow_quad_work *w)
{
    int ng = s->n_global, row[ARROW_QUAD_BLOCK], m = 0;
    for (int i = 0; i < rows->n; i++) {
        double *a = w->a + (size_t) m * (size_t) ng;
        out[i] = gather(s, S, rows, i, a);
        int k = nonzeros(ng, a, w->at);
        if (8 * (size_t) k < (size_t) ng)
            out[i] += quad_listed(ng, S->global, k, w->at, a);
        else
            row[m++] = i; /* waits for BLAS */
        if (m < ARROW_QUAD_BLOCK) continue;
        quad_columns(ng, S->global, m, w->a, w->Sa, row, out);
        m = 0;
    }
    quad_columns(ng, S->global, m, w->a, w->Sa, row, out);
}

bool arrow_cov_leaves(const struct arrow_shape *s, const struct arrow_cov *S, double *out,
                      double *w)
{
    size_t rr = (size_t) s->r * (size_t) s->r;
    double *L = w + arrow_cross_size(s);
    if (s->n_leaf) memcpy(w, S->q, sizeof(double) * arrow_cross_size(s));
    for (int l = 0; l < s->n_leaf; l++) { /* D = L^-T L^-1: Q'D Q is an outer product */
        memcpy(L, leaf_block(s, S->d_inv, l), sizeof(double) * rr);
        if (la_chol(s->r, L)) return false;
        la_right_solve_lt(s->ptr[l + 1] - s->ptr[l], s->r, L,
                          w + (size_t) s->ptr[l] * (size_t) s->r);
    }
    arrow_outer(s, w, 1.0, out);
    return true;
}

/* ---- draws ----------------------------------------------------------------------------------- */

bool arrow_cov_factor(const struct arrow_shape *s, const struct arrow_cov *S, double *L,
                      double *W)
{
    bool ok = true;
    memcpy(L, S->global, sizeof(double) * arrow_global_size(s));
    if (s->n_leaf) memcpy(W, S->d_inv, sizeof(double) * arrow_leaf_size(s));
    if (la_chol(s->n_global, L)) ok = false;
    for (int l = 0; l < s->n_leaf && ok; l++)
        ok = !la_chol(s->r, W + (size_t) l * (size_t) s->r * (size_t) s->r);
    return ok;
}

void arrow_cov_draw(const struct arrow_shape *s, const double *L, const double *W,
                    const double *q, const double *z, double *x)
{
    size_t ng = (size_t) s->n_global, r = (size_t) s->r;
    for (size_t a = 0; a < ng; a++) {
        x[a] = 0;
        for (size_t b = 0; b <= a; b++) x[a] += L[a + b * ng] * z[b];
    }
    for (int l = 0; l < s->n_leaf; l++) {
        const double *w = leaf_block(s, W, l), *e = z + ng + (size_t) l * r;
        double *u = x + ng + (size_t) l * r;
        for (int c = 0; c < s->r; c++) {
            u[c] = 0;
            for (int d = 0; d <= c; d++) u[c] += AT(w, c, d, s->r) * e[d];
        }
        add_global(s, q, l, x, u);
    }
}
