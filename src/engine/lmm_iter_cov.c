/* lmm_iter_cov.c: see lmm_iter_cov.h. */
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "engine/lmm_iter_cov.h"

/* Of the columns, relative to their right sides: W enters everything. */
static const double TOL_EDGE = 1e-9, TOL_PRODUCT = 1e-8;

static size_t n2(const struct lmm_iter *x) { return (size_t) x->n_e * (size_t) x->n_e; }

struct lmm_iter_cov lmm_iter_cov_carve(const struct lmm_iter *x, struct arena *a)
{
    struct lmm_iter_cov v = {.x = x};
    size_t e = (size_t) x->n_e;
    v.op = lmm_iter_op_carve(x, a);
    v.cg = lmm_iter_cg_carve(x, a);
    v.E_l = arena_doubles(a, e * (size_t) x->n_leaf);
    v.W_l = arena_doubles(a, e * (size_t) x->n_leaf);
    v.E_R = arena_doubles(a, e * (size_t) x->n_R);
    v.W_R = arena_doubles(a, e * (size_t) x->n_R);
    v.res = arena_doubles(a, e * (size_t) x->n_R);
    v.ee = arena_doubles(a, n2(x));
    v.S_ee = arena_doubles(a, n2(x));
    v.b_e = arena_doubles(a, e);
    v.work = arena_doubles(a, 2 * e);
    v.guess = arena_doubles(a, lmm_iter_cov_guess(x, x->n_e + LMM_ITER_COLUMNS));
    return v;
}

/* ---- columns ------------------------------------------------------------------------------------ */

static void clear_columns(struct lmm_iter_cov *v, int ld)
{
    memset(v->cg.l, 0, sizeof(double) * (size_t) v->x->n_leaf * (size_t) ld);
    memset(v->cg.R, 0, sizeof(double) * (size_t) v->x->n_R * (size_t) ld);
}

/* Columns from, ..., from + n - 1 of the list, all at once. */
static void solve_block(struct lmm_iter_cov *v, const struct lmm_iter_columns *list,
                        int from, int n)
{
    double tol[LMM_ITER_COLUMNS];
    int ld = lmm_iter_op_ld(n);
    clear_columns(v, ld);
    for (int c = 0; c < n; c++) tol[c] = list->fill(list->ctx, from + c, c, ld);
    if (list->ready) list->ready(list->ctx, from, n, ld);
    double *guess = list->guess + (size_t) from * (size_t) v->x->n_R;
    if (!lmm_iter_cg_solve(&v->op, n, tol, guess, &v->cg)) v->solved = false;
    for (int c = 0; c < n; c++) list->keep(list->ctx, from + c, c, ld);
}

void lmm_iter_cov_solve(struct lmm_iter_cov *v, const struct lmm_iter_columns *list)
{
    for (int from = 0; from < list->n && v->solved; from += LMM_ITER_COLUMNS) {
        int n = list->n - from < LMM_ITER_COLUMNS ? list->n - from : LMM_ITER_COLUMNS;
        solve_block(v, list, from, n);
    }
}

void lmm_iter_cov_fill(struct lmm_iter_cov *v, const double *theta, double times, int c,
                       int ld)
{
    const struct lmm_iter *x = v->x;
    for (int f = 0; f < x->n_big; f++) {
        double *to = (double *) lmm_iter_cov_rows(x, f, v->cg.l, v->cg.R, ld) + c;
        const double *from = theta + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, to += ld) *to = times * from[i];
    }
}

void lmm_iter_cov_keep(const struct lmm_iter_cov *v, double *theta, int c, int ld)
{
    const struct lmm_iter *x = v->x;
    for (int f = 0; f < x->n_big; f++) {
        const double *from = lmm_iter_cov_rows(x, f, v->cg.l, v->cg.R, ld) + c;
        double *to = theta + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, from += ld) to[i] = *from;
    }
}

/* ---- the block e -------------------------------------------------------------------------------- */

size_t lmm_iter_cov_place(const struct lmm_iter *x, int i)
{
    if (i < x->m->p) return (size_t) i;
    int f = x->n_big;
    while (i >= x->factor[f].at + x->factor[f].n) f++;
    return (size_t) (x->factor[f].first + i - x->factor[f].at);
}

void lmm_iter_cov_begin(struct lmm_iter_cov *v)
{
    lmm_iter_edges(v->x, v->E_l, v->E_R, v->ee);
}

double lmm_iter_cov_fill_edge(struct lmm_iter_cov *v, int j, int c, int ld)
{
    const struct lmm_iter *x = v->x;
    for (int f = 0; f < x->n_big; f++) {
        double *to = (double *) lmm_iter_cov_rows(x, f, v->cg.l, v->cg.R, ld) + c;
        const double *from = lmm_iter_cov_rows(x, f, v->E_l, v->E_R, x->n_e) + j;
        for (int i = 0; i < x->factor[f].n; i++, to += ld, from += x->n_e)
            *to = v->op.tau_e * *from;
    }
    return TOL_EDGE;
}

void lmm_iter_cov_keep_edge(struct lmm_iter_cov *v, int j, int c, int ld)
{
    const struct lmm_iter *x = v->x;
    size_t e = (size_t) x->n_e, d = (size_t) ld, at = (size_t) j, from = (size_t) c;
    for (size_t i = 0; i < (size_t) x->n_leaf; i++)
        v->W_l[i * e + at] = v->cg.l[i * d + from];
    for (size_t i = 0; i < (size_t) x->n_R; i++) {
        v->W_R[i * e + at] = v->cg.R[i * d + from];
        v->res[i * e + at] = v->cg.r[i * d + from];
    }
}

void lmm_iter_cov_outer(int n_e, int n, double a, const double *u, const double *v,
                        double *out)
{
    double one = 1;
    if (n && n_e) F77_CALL(dgemm)
    ("N", "T", &n_e, &n_e, &n, &a, u, &n_e, v, &n_e, &one, out, &n_e FCONE FCONE);
}

/* P_ee = tau_e G_ee + T into out. */
static void e_precision(const struct lmm_iter_cov *v, const double *t, double *out)
{
    const struct lmm_iter *x = v->x;
    const struct lmm *m = x->m;
    for (size_t i = 0; i < n2(x); i++) out[i] = t[0] * v->ee[i];
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++) AT(out, i, j, x->n_e) += AT(m->Tb, i, j, m->p);
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        if (f->big) continue;
        for (int i = f->at; i < f->at + f->n; i++)
            AT(out, i, i, x->n_e) += t[m->prec[k].at];
    }
}

/* S_ee = (P_ee - P_eu W - W'r)^-1, r the residuals of W: quadratic in its error. */
bool lmm_iter_cov_close(struct lmm_iter_cov *v, const double *t)
{
    const struct lmm_iter *x = v->x;
    int n = x->n_e;
    double *A = v->S_ee;
    e_precision(v, t, A);
    lmm_iter_cov_outer(n, x->n_leaf, -t[0], v->E_l, v->W_l, A);
    lmm_iter_cov_outer(n, x->n_R, -t[0], v->E_R, v->W_R, A);
    lmm_iter_cov_outer(n, x->n_R, -1, v->W_R, v->res, A);
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++)
            AT(A, i, j, n) = (AT(A, i, j, n) + AT(A, j, i, n)) / 2;
    if (la_chol(n, A)) return false;
    la_inverse(n, A, A);
    return true;
}

static double fill_edge(void *ctx, int i, int c, int ld)
{
    return lmm_iter_cov_fill_edge(ctx, i, c, ld);
}
static void keep_edge(void *ctx, int i, int c, int ld)
{
    lmm_iter_cov_keep_edge(ctx, i, c, ld);
}

bool lmm_iter_cov_at(struct lmm_iter_cov *v, const double *t)
{
    const struct lmm_iter_columns edges = {.n = v->x->n_e,
                                           .ctx = v,
                                           .fill = fill_edge,
                                           .keep = keep_edge,
                                           .guess = v->guess};
    lmm_iter_cov_begin(v);
    memset(v->guess, 0, sizeof(double) * lmm_iter_cov_guess(v->x, v->x->n_e));
    v->solved = true;
    if (!lmm_iter_op_at(&v->op, t, v->cg.p)) return false;
    lmm_iter_cov_solve(v, &edges);
    return v->solved && lmm_iter_cov_close(v, t);
}

/* ---- products ----------------------------------------------------------------------------------- */

/* out (n_e) += a W'b_u */
static void add_edges(const struct lmm_iter_cov *v, double a, const double *b,
                      double *out)
{
    const struct lmm_iter *x = v->x;
    int n_e = x->n_e, one = 1;
    double unit = 1;
    for (int f = 0; f < x->n_big; f++) {
        int n = x->factor[f].n;
        F77_CALL(dgemv)
        ("N", &n_e, &n, &a, lmm_iter_cov_rows(x, f, v->W_l, v->W_R, n_e), &n_e,
         b + x->factor[f].first, &one, &unit, out, &one FCONE);
    }
}

void lmm_iter_cov_finish(struct lmm_iter_cov *v, const double *b, double times,
                         double *theta)
{
    int n = v->x->n_e;
    double *rhs = v->work, *x_e = v->work + n;
    if (!n) return;
    memcpy(rhs, v->b_e, sizeof(double) * (size_t) n);
    add_edges(v, -times, b, rhs);
    la_matvec(n, v->S_ee, rhs, x_e);
    lmm_iter_cov_spread(v, x_e, theta);
}

void lmm_iter_cov_spread(const struct lmm_iter_cov *v, const double *x_e, double *theta)
{
    const struct lmm_iter *x = v->x;
    int n = x->n_e;
    for (int i = 0; i < n; i++) theta[lmm_iter_cov_place(x, i)] = x_e[i];
    for (int f = 0; f < x->n_big; f++) {
        const double *W = lmm_iter_cov_rows(x, f, v->W_l, v->W_R, n);
        double *to = theta + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, W += n)
            for (int j = 0; j < n; j++) to[i] -= W[j] * x_e[j];
    }
}

struct product {
    struct lmm_iter_cov *v;
    const double *b;
    double *x;
};

static double fill_product(void *ctx, int i, int c, int ld)
{
    const struct product *p = ctx;
    lmm_iter_cov_fill(p->v, p->b + (size_t) i * arrow_dim(&p->v->x->m->shape), 1, c, ld);
    return TOL_PRODUCT;
}

static void keep_product(void *ctx, int i, int c, int ld)
{
    const struct product *p = ctx;
    struct lmm_iter_cov *v = p->v;
    size_t at = (size_t) i * arrow_dim(&v->x->m->shape);
    lmm_iter_cov_keep(v, p->x + at, c, ld);
    for (int j = 0; j < v->x->n_e; j++)
        v->b_e[j] = p->b[at + lmm_iter_cov_place(v->x, j)];
    lmm_iter_cov_finish(v, p->b + at, 1, p->x + at);
}

bool lmm_iter_cov_product(struct lmm_iter_cov *v, int n, const double *b, double *x)
{
    size_t dim = arrow_dim(&v->x->m->shape);
    for (int from = 0; from < n && v->solved; from += LMM_ITER_COLUMNS) {
        struct product p = {v, b + (size_t) from * dim, x + (size_t) from * dim};
        int k = n - from < LMM_ITER_COLUMNS ? n - from : LMM_ITER_COLUMNS;
        const struct lmm_iter_columns list = {.n = k,
                                              .ctx = &p,
                                              .fill = fill_product,
                                              .keep = keep_product,
                                              .guess = v->guess};
        memset(v->guess, 0, sizeof(double) * lmm_iter_cov_guess(v->x, k));
        lmm_iter_cov_solve(v, &list);
    }
    return v->solved;
}
