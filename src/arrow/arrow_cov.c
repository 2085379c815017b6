/* arrow_cov.c: products, quadratic forms and draws of a covariance in arrow form (arrow_cov.h). */
#include <math.h>
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

/* ---- a packed global block ------------------------------------------------------------------- */

/* a <- [I; q]'a: what the eliminated columns hold goes to their lists, first eliminated first. */
static void gather_columns(const struct arrow_shape *s, const double *q, double *a)
{
    for (int e = 0; e < s->n_elim; e++)
        for (int i = s->eptr[e]; i < s->eptr[e + 1]; i++)
            a[s->eidx[i]] += q[i] * a[s->elim[e]];
}

/* y <- S_gg a; a is gathered on the way. */
static void mul_packed(const struct arrow_shape *s, const struct arrow_cov *S, double *a,
                       double *y)
{
    int nc = s->n_core;
    const double *q = S->elim, *d = q + s->eptr[s->n_elim];
    gather_columns(s, q, a);
    for (int i = 0; i < nc; i++) y[s->core[i]] = 0;
    for (int j = 0; j < nc; j++)
        for (int i = 0; i < nc; i++)
            y[s->core[i]] += AT(S->global, i, j, nc) * a[s->core[j]];
    for (int e = s->n_elim; e-- > 0;) {
        double t = d[e] * a[s->elim[e]];
        for (int i = s->eptr[e]; i < s->eptr[e + 1]; i++) t += q[i] * y[s->eidx[i]];
        y[s->elim[e]] = t;
    }
}

void arrow_cov_mul(const struct arrow_shape *s, const struct arrow_cov *S,
                   const double *x, double *y, double *a)
{
    size_t ng = (size_t) s->n_global, r = (size_t) s->r;
    if (ng) memcpy(a, x, sizeof(double) * ng);
    for (int l = 0; l < s->n_leaf; l++) add_leaf(s, S->q, l, x + ng + (size_t) l * r, a);
    if (s->packed)
        mul_packed(s, S, a, y);
    else
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
    w.a = arena_doubles(a, s->packed ? ng : ng * ARROW_QUAD_BLOCK);
    w.Sa = arena_doubles(a, s->packed ? ng : ng * ARROW_QUAD_BLOCK);
    w.at = arena_ints(a, 2 * ng);
    w.turn = arena_ints(a, ng);
    return w;
}

void arrow_cov_row(const struct arrow_rows *rows, int n_global, int i, double *a)
{
    size_t ng = (size_t) n_global;
    if (rows->global) {
        if (ng) memcpy(a, rows->global + (size_t) i * ng, sizeof(double) * ng);
        return;
    }
    memset(a, 0, sizeof(double) * ng);
    for (int c = rows->ptr[i]; c < rows->ptr[i + 1]; c++) a[rows->idx[c]] = rows->val[c];
}

/* a += what row i has in its leaf; returns its z'D^-1 z. */
static double gather(const struct arrow_shape *s, const struct arrow_cov *S,
                     const struct arrow_rows *rows, int i, double *a)
{
    size_t r = (size_t) s->r;
    int l = rows->leaf[i];
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

/* Column j enters the k turns that wait, increasing, if it is one of those eliminated and not yet
 * there. */
static int enter(const struct arrow_shape *s, int j, int *turn, int k)
{
    int e = s->place[j], at = k;
    if (e < 0) return k;
    while (at > 0 && turn[at - 1] > e) at--;
    if (at > 0 && turn[at - 1] == e) return k;
    memmove(turn + at + 1, turn + at, sizeof(int) * (size_t) (k - at));
    turn[at] = e;
    return k + 1;
}

/* a'S_gg a of a packed block. Only the k columns `at` of a and those on their lists are looked at; a is
 * zero afterwards. */
static double quad_packed(const struct arrow_shape *s, const struct arrow_cov *S, int k,
                          const int *at, double *a, int *turn)
{
    const double *q = S->elim, *d = q + s->eptr[s->n_elim];
    int waiting = 0, nc = s->n_core, used = 0;
    double sum = 0;
    for (int i = 0; i < k; i++) waiting = enter(s, at[i], turn, waiting);
    for (int next = 0; next < waiting; next++) {
        int e = turn[next];
        double t = a[s->elim[e]];
        a[s->elim[e]] = 0;
        sum += d[e] * t * t;
        for (int i = s->eptr[e]; i < s->eptr[e + 1]; i++) {
            a[s->eidx[i]] += q[i] * t;
            waiting = enter(s, s->eidx[i], turn, waiting);
        }
    }
    for (int i = 0; i < nc; i++)
        if (a[s->core[i]] != 0) turn[used++] = i;
    for (int j = 0; j < used; j++) {
        const double *Sj = S->global + (size_t) turn[j] * (size_t) nc;
        double t = 0;
        for (int i = 0; i < j; i++) t += Sj[turn[i]] * a[s->core[turn[i]]];
        double aj = a[s->core[turn[j]]];
        sum += (2 * t + Sj[turn[j]] * aj) * aj;
    }
    for (int j = 0; j < used; j++) a[s->core[turn[j]]] = 0;
    return sum;
}

/* The columns of row i's a into `at`, from its own list and its leaf's; returns their number. */
static int row_columns(const struct arrow_shape *s, const struct arrow_rows *rows, int i,
                       int *at)
{
    int l = rows->leaf[i], k = 0;
    for (int c = rows->ptr[i]; c < rows->ptr[i + 1]; c++) at[k++] = rows->idx[c];
    if (l < 0) return k;
    for (int c = s->ptr[l]; c < s->ptr[l + 1]; c++) at[k++] = s->idx[c];
    return k;
}

/* The same as arrow_cov_quad() with a packed global block, and sparse rows. */
static void quad_sparse(const struct arrow_shape *s, const struct arrow_cov *S,
                        const struct arrow_rows *rows, double *out,
                        struct arrow_quad_work *w)
{
    memset(w->a, 0, sizeof(double) * (size_t) s->n_global);
    for (int i = 0; i < rows->n; i++) {
        for (int c = rows->ptr[i]; c < rows->ptr[i + 1]; c++)
            w->a[rows->idx[c]] = rows->val[c];
        out[i] = gather(s, S, rows, i, w->a);
        out[i] += quad_packed(s, S, row_columns(s, rows, i, w->at), w->at, w->a, w->turn);
    }
}

void arrow_cov_quad(const struct arrow_shape *s, const struct arrow_cov *S,
                    const struct arrow_rows *rows, double *out, struct arrow_quad_work *w)
{
    int ng = s->n_global, row[ARROW_QUAD_BLOCK], m = 0;
    if (s->packed && !rows->global) {
        quad_sparse(s, S, rows, out, w);
        return;
    }
    for (int i = 0; i < rows->n; i++) {
        double *a = w->a + (size_t) m * (size_t) ng;
        arrow_cov_row(rows, ng, i, a);
        out[i] = gather(s, S, rows, i, a);
        int k = nonzeros(ng, a, w->at);
        if (s->packed)
            out[i] += quad_packed(s, S, k, w->at, a, w->turn);
        else if (8 * (size_t) k < (size_t) ng)
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
    size_t dense = s->packed ? arrow_shape_lists(s) : arrow_global_size(s);
    memcpy(L, S->global, sizeof(double) * dense);
    for (int e = 0; s->packed && e < s->n_elim; e++)
        L[dense + (size_t) e] = sqrt(S->elim[s->eptr[s->n_elim] + e]);
    if (s->n_leaf) memcpy(W, S->d_inv, sizeof(double) * arrow_leaf_size(s));
    if (la_chol(arrow_shape_ld(s), L)) ok = false;
    for (int l = 0; l < s->n_leaf && ok; l++)
        ok = !la_chol(s->r, W + (size_t) l * (size_t) s->r * (size_t) s->r);
    return ok;
}

static void draw_global(const struct arrow_shape *s, const struct arrow_cov *S,
                        const double *L, const double *z, double *x)
{
    size_t n = (size_t) arrow_shape_ld(s);
    for (size_t a = 0; a < n; a++) {
        double t = 0;
        for (size_t b = 0; b <= a; b++) t += L[a + b * n] * z[b];
        x[s->packed ? (size_t) s->core[a] : a] = t;
    }
    for (int e = s->packed ? s->n_elim : 0; e-- > 0;) {
        double t = L[n * n + (size_t) e] * z[n + (size_t) e];
        for (int i = s->eptr[e]; i < s->eptr[e + 1]; i++) t += S->elim[i] * x[s->eidx[i]];
        x[s->elim[e]] = t;
    }
}

void arrow_cov_draw(const struct arrow_shape *s, const struct arrow_cov *S,
                    const double *L, const double *W, const double *z, double *x)
{
    size_t ng = (size_t) s->n_global, r = (size_t) s->r;
    draw_global(s, S, L, z, x);
    for (int l = 0; l < s->n_leaf; l++) {
        const double *w = leaf_block(s, W, l), *e = z + ng + (size_t) l * r;
        double *u = x + ng + (size_t) l * r;
        for (int c = 0; c < s->r; c++) {
            u[c] = 0;
            for (int d = 0; d <= c; d++) u[c] += AT(w, c, d, s->r) * e[d];
        }
        add_global(s, S->q, l, x, u);
    }
}
