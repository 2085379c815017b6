/* lmm_iter_var.c: see lmm_iter_var.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "engine/lmm_iter_var.h"

/* Of the columns; and the standard error of the SDs, relative, that is aimed at. */
static const double TOL_VARIANCE = 1e-5, AIM = 0.003;

enum { MOST_BLOCKS = 16 };

struct lmm_iter_var lmm_iter_var_carve(const struct lmm_iter *x, int rows,
                                       struct arena *a)
{
    struct lmm_iter_var w = {.trace = lmm_iter_trace_carve(x, a)};
    w.guess = arena_doubles(a, lmm_iter_cov_guess(x, LMM_ITER_COLUMNS));
    w.d = arena_doubles(a, 2 * (size_t) x->n_e);
    w.sum = arena_doubles(a, (size_t) rows);
    w.square = arena_doubles(a, (size_t) rows);
    return w;
}

/* ---- rows --------------------------------------------------------------------------------------- */

/* Entry k of a row: its coefficient, the factor (-1: none) and level, or its place in e (-1). */
struct entry {
    double c;
    int f, i, e;
};

static struct entry global_entry(const struct lmm_iter *x, int at, double c)
{
    if (at < x->m->p) return (struct entry){c, -1, 0, at};
    int f = 1;
    while (at >= x->factor[f].first + x->factor[f].n) f++;
    int i = at - x->factor[f].first;
    return (struct entry){c, f, i, x->factor[f].big ? -1 : x->factor[f].at + i};
}

static int n_entries(const struct arrow_rows *rows, int row)
{
    return rows->ptr[row + 1] - rows->ptr[row] + (rows->leaf[row] >= 0);
}

static struct entry entry_of(const struct lmm_iter *x, const struct arrow_rows *rows,
                             int row, int k)
{
    int at = rows->ptr[row] + k;
    if (at < rows->ptr[row + 1]) return global_entry(x, rows->idx[at], rows->val[at]);
    return (struct entry){rows->z[row], 0, rows->leaf[row], -1};
}

/* Row i of a big factor in an array of rows of `width`. */
static const double *row_of(const struct lmm_iter *x, struct entry y, const double *l,
                            const double *R, int width)
{
    return lmm_iter_cov_rows(x, y.f, l, R, width) + (size_t) y.i * (size_t) width;
}

/* ---- what is exact ------------------------------------------------------------------------------ */

/* O_ab of two levels of big factors: tau_e times the entry of their table. */
static double off_diagonal(const struct lmm_iter_cov *v, struct entry a, struct entry b)
{
    const struct lmm_iter *x = v->x;
    if (a.f > b.f) {
        struct entry swap = a;
        a = b;
        b = swap;
    }
    for (int k = 0; k < x->n_tables; k++) {
        const struct lmm_iter_table *t = x->table + k;
        if (t->a != a.f || t->b != b.f) continue;
        for (int j = t->ptr[a.i]; j < t->ptr[a.i + 1]; j++)
            if (t->idx[j] == b.i) return v->op.tau_e * t->val[j];
    }
    return 0;
}

/* c_u'(D^-1 - D^-1 O D^-1) c_u, and d. */
static double first_order(const struct lmm_iter_cov *v, const struct arrow_rows *rows,
                          int row, double *d)
{
    const struct lmm_iter *x = v->x;
    double sum = 0;
    memset(d, 0, sizeof(double) * (size_t) x->n_e);
    for (int k = 0; k < n_entries(rows, row); k++) {
        struct entry a = entry_of(x, rows, row, k);
        if (a.e >= 0) {
            d[a.e] += a.c;
            continue;
        }
        double over = a.c / *row_of(x, a, v->op.D_l, v->op.D_R, 1);
        const double *W = row_of(x, a, v->W_l, v->W_R, x->n_e);
        for (int j = 0; j < x->n_e; j++) d[j] -= a.c * W[j];
        sum += a.c * over;
        for (int l = 0; l < k; l++) {
            struct entry b = entry_of(x, rows, row, l);
            if (b.e < 0 && b.f != a.f)
                sum -= 2 * over * b.c / *row_of(x, b, v->op.D_l, v->op.D_R, 1) *
                       off_diagonal(v, a, b);
        }
    }
    return sum;
}

static double exact_part(const struct lmm_iter_cov *v, const struct arrow_rows *rows,
                         int row, double *d)
{
    int n = v->x->n_e;
    double sum = first_order(v, rows, row, d);
    if (!n) return sum;
    la_matvec(n, v->S_ee, d, d + n);
    return sum + la_dot((size_t) n, d, d + n);
}

/* ---- probes ------------------------------------------------------------------------------------- */

/* o <- D^-1 O z = A z and w <- D^-1 z - x = A S° z, of n columns z in cg and their solutions. */
static bool expanded(struct lmm_iter_cov *v, int n, const double *tol,
                     struct lmm_iter_var *w)
{
    struct lmm_iter_trace *t = &w->trace;
    const struct lmm_iter *x = v->x;
    int ld = lmm_iter_op_ld(n);
    memset(w->guess, 0, sizeof(double) * lmm_iter_cov_guess(x, n));
    lmm_iter_trace_expand(&v->op, ld, v->cg.l, v->cg.R, t);
    lmm_iter_op_off(&v->op, ld, v->cg.l, v->cg.R, t->o_l, t->o_R);
    if (!lmm_iter_cg_solve(&v->op, n, tol, w->guess, &v->cg)) return false;
    for (size_t i = 0; i < (size_t) x->n_leaf; i++)
        for (size_t c = i * (size_t) ld; c < (i + 1) * (size_t) ld; c++) {
            t->o_l[c] /= v->op.D_l[i];
            t->w_l[c] -= v->cg.l[c];
        }
    for (size_t i = 0; i < (size_t) x->n_R; i++)
        for (size_t c = i * (size_t) ld; c < (i + 1) * (size_t) ld; c++) {
            t->o_R[c] /= v->op.D_R[i];
            t->w_R[c] -= v->cg.R[c];
        }
    return true;
}

/* sums[c] <- the row times w, other[c] <- times o. */
static void row_sums(const struct lmm_iter *x, const struct arrow_rows *rows, int row,
                     int ld, const struct lmm_iter_trace *t, double *sums, double *other)
{
    memset(sums, 0, sizeof(double) * LMM_ITER_COLUMNS);
    memset(other, 0, sizeof(double) * LMM_ITER_COLUMNS);
    for (int k = 0; k < n_entries(rows, row); k++) {
        struct entry a = entry_of(x, rows, row, k);
        if (a.e >= 0) continue;
        const double *w = row_of(x, a, t->w_l, t->w_R, ld),
                     *o = row_of(x, a, t->o_l, t->o_R, ld);
        for (int c = 0; c < ld; c++) {
            sums[c] += a.c * w[c];
            other[c] += a.c * o[c];
        }
    }
}

/* One block of columns: the constants of factors `first`, ..., or (square not NULL) probes of all
 * levels, from number `first` on. sum and square += what they say, and its squares. */
static bool add_block(struct lmm_iter_cov *v, const struct arrow_rows *rows, int n,
                      int first, double *sum, double *square, struct lmm_iter_var *w)
{
    double tol[LMM_ITER_COLUMNS], a[LMM_ITER_COLUMNS], b[LMM_ITER_COLUMNS];
    int ld = lmm_iter_op_ld(n);
    memset(v->cg.l, 0, sizeof(double) * (size_t) v->x->n_leaf * (size_t) ld);
    memset(v->cg.R, 0, sizeof(double) * (size_t) v->x->n_R * (size_t) ld);
    for (int c = 0; c < n; c++) {
        tol[c] = TOL_VARIANCE;
        lmm_iter_trace_fill(v->x, square ? -1 : first + c, square ? first + c : 0, c, ld,
                            v->cg.l, v->cg.R);
    }
    if (!expanded(v, n, tol, w)) return false;
    for (int i = 0; i < rows->n; i++) {
        row_sums(v->x, rows, i, ld, &w->trace, a, b);
        for (int c = 0; c < n; c++) {
            sum[i] += a[c] * b[c];
            if (square) square[i] += a[c] * a[c] * b[c] * b[c];
        }
    }
    return true;
}

/* out <- what is exact and the constants' part. */
static bool begin(struct lmm_iter_cov *v, const struct arrow_rows *rows, double *out,
                  struct lmm_iter_var *w)
{
    const struct lmm_iter *x = v->x;
    for (int i = 0; i < rows->n; i++) out[i] = exact_part(v, rows, i, w->d);
    for (int f = 0; f < x->n_big; f += LMM_ITER_COLUMNS) {
        int n = x->n_big - f < LMM_ITER_COLUMNS ? x->n_big - f : LMM_ITER_COLUMNS;
        if (!add_block(v, rows, n, f, out, NULL, w)) return false;
    }
    return true;
}

/* Root mean square of the rows' relative standard errors, after so many probes. */
static double error_now(int rows, int probes, const double *out,
                        const struct lmm_iter_var *w)
{
    double total = 0;
    for (int i = 0; i < rows; i++) {
        double mean = w->sum[i] / probes, variance = out[i] + mean,
               se2 = (w->square[i] / probes - mean * mean) / (probes - 1);
        if (variance > 0 && se2 > 0) total += se2 / (4 * variance * variance);
    }
    return rows ? sqrt(total / rows) : 0;
}

bool lmm_iter_var_rows(struct lmm_iter_cov *v, const struct arrow_rows *rows, double *out,
                       double *error, struct lmm_iter_var *w)
{
    int probes = 0;
    *error = INFINITY;
    if (!begin(v, rows, out, w)) return false;
    memset(w->sum, 0, sizeof(double) * (size_t) rows->n);
    memset(w->square, 0, sizeof(double) * (size_t) rows->n);
    for (int k = 0; k<MOST_BLOCKS && * error> AIM; k++) {
        if (!add_block(v, rows, LMM_ITER_COLUMNS, 1 + probes, w->sum, w->square, w))
            return false;
        probes += LMM_ITER_COLUMNS;
        *error = error_now(rows->n, probes, out, w);
    }
    for (int i = 0; i < rows->n; i++)
        out[i] = fmax(out[i] + w->sum[i] / probes,
                      0); /* the last term alone may be negative */
    return true;
}
