/* lmm_iter_cg.c: see lmm_iter_cg.h. */
#include <math.h>
#include <string.h>
#include "engine/lmm_iter_cg.h"

enum { POLL_EVERY = 8 /* iterations */ };

static const double ALMOST_NOTHING = 1e-4;

struct lmm_iter_cg lmm_iter_cg_carve(const struct lmm_iter *x, struct arena *a)
{
    size_t R = (size_t) x->n_R * LMM_ITER_COLUMNS;
    struct lmm_iter_cg w = {.iterations = 0};
    w.r = arena_doubles(a, R);
    w.p = arena_doubles(a, R);
    w.Sp = arena_doubles(a, R);
    w.R = arena_doubles(a, R);
    w.l = arena_doubles(a, (size_t) x->n_leaf * LMM_ITER_COLUMNS);
    w.coarse = arena_doubles(a, 3 * (size_t) x->n_big * LMM_ITER_COLUMNS);
    return w;
}

/* The columns that are still on: which they are, and their numbers. */
struct active {
    int n, ld, col[LMM_ITER_COLUMNS];
    double rz[LMM_ITER_COLUMNS];
};

/* Sums over the rows of u v w of every column, w by rows or NULL. */
static void row_dots(size_t n, int ld, const double *u, const double *v,
                     const double *divide, double *out)
{
    memset(out, 0, sizeof(double) * LMM_ITER_COLUMNS);
    for (size_t i = 0; i < n; i++, u += ld, v += ld) {
        double s = divide ? 1 / divide[i] : 1;
        for (int c = 0; c < ld; c++) out[c] += u[c] * v[c] * s;
    }
}

/* x += a (p - W c) in the columns that are on. */
static void take_step(const struct lmm_iter_op *o, const struct active *on,
                      const double *a, const double *p, const double *c, double *x,
                      int ld_x)
{
    const struct lmm_iter *y = o->x;
    for (int f = 1; f < y->n_big; f++)
        for (int i = 0; i < y->factor[f].n; i++) {
            size_t row = (size_t) (y->factor[f].at + i);
            const double *from = p + row * (size_t) on->ld;
            double *to = x + row * (size_t) ld_x;
            for (int j = 0; j < on->n; j++)
                to[on->col[j]] += a[j] * (from[j] - c[(f - 1) * on->ld + j]);
        }
}

/* Columns keep[0], keep[1], ... of v (rows of ld) close up to rows of ld2. */
static void close_up(size_t n, int ld, int ld2, int kept, const int *keep, double *v)
{
    double row[LMM_ITER_COLUMNS];
    for (size_t i = 0; i < n; i++) {
        memset(row, 0, sizeof(row));
        for (int j = 0; j < kept; j++) row[j] = v[i * (size_t) ld + (size_t) keep[j]];
        memcpy(v + i * (size_t) ld2, row, sizeof(double) * (size_t) ld2);
    }
}

/* Leave the columns whose residual is small enough, save that in out (rows of ld_out). Returns
 * whether any did. */
static void retire(const struct lmm_iter_op *o, struct active *on, const double *aim,
                   struct lmm_iter_cg *w, double *out, int ld_out)
{
    double rr[LMM_ITER_COLUMNS];
    size_t n = (size_t) o->x->n_R;
    int keep[LMM_ITER_COLUMNS], kept = 0;
    row_dots(n, on->ld, w->r, w->r, NULL, rr);
    for (int j = 0; j < on->n; j++) {
        if (sqrt(rr[j]) > aim[on->col[j]]) {
            keep[kept++] = j;
            continue;
        }
        for (size_t i = 0; i < n; i++)
            out[i * (size_t) ld_out + (size_t) on->col[j]] =
                w->r[i * (size_t) on->ld + (size_t) j];
    }
    if (kept == on->n) return;
    int ld = lmm_iter_op_ld(kept);
    close_up(n, on->ld, ld, kept, keep, w->r);
    close_up(n, on->ld, ld, kept, keep, w->p);
    for (int j = 0; j < kept; j++) {
        on->col[j] = on->col[keep[j]];
        on->rz[j] = on->rz[keep[j]];
    }
    on->n = kept;
    on->ld = ld;
}

/* p <- r / jacobi + b p, and on->rz. */
static void turn(const struct lmm_iter_op *o, struct active *on, struct lmm_iter_cg *w,
                 bool first)
{
    double rz[LMM_ITER_COLUMNS], b[LMM_ITER_COLUMNS] = {0};
    row_dots((size_t) o->x->n_R, on->ld, w->r, w->r, o->jacobi, rz);
    for (int j = 0; j < on->n; j++) {
        if (!first) b[j] = rz[j] / on->rz[j];
        on->rz[j] = rz[j];
    }
    const double *r = w->r;
    double *p = w->p;
    for (int i = 0; i < o->x->n_R; i++, r += on->ld, p += on->ld)
        for (int j = 0; j < on->ld; j++)
            p[j] = r[j] / o->jacobi[i] + (first ? 0 : b[j] * p[j]);
}

/* One iteration of the columns that are on. */
static void iterate(const struct lmm_iter_op *o, struct active *on, struct lmm_iter_cg *w,
                    double *x, int ld_x)
{
    double a[LMM_ITER_COLUMNS], pSp[LMM_ITER_COLUMNS], *c = w->coarse;
    lmm_iter_op_schur(o, on->ld, w->p, w->Sp);
    lmm_iter_op_project(o, on->ld, w->Sp, c);
    row_dots((size_t) o->x->n_R, on->ld, w->p, w->Sp, NULL, pSp);
    for (int j = 0; j < on->ld; j++) a[j] = j < on->n ? on->rz[j] / pSp[j] : 0;
    take_step(o, on, a, w->p, c, x, ld_x);
    double *r = w->r;
    const double *Sp = w->Sp;
    for (int i = 0; i < o->x->n_R; i++, r += on->ld, Sp += on->ld)
        for (int j = 0; j < on->ld; j++) r[j] -= a[j] * Sp[j];
}

/* w->r <- b - S x with the constants solved for: x += W c, r -= SW c. */
static void first_residual(const struct lmm_iter_op *o, int n, int ld, const double *b,
                           double *x, struct lmm_iter_cg *w)
{
    struct active all = {.n = n, .ld = ld};
    double minus[LMM_ITER_COLUMNS], *c = w->coarse;
    size_t size = (size_t) o->x->n_R * (size_t) ld;
    for (int j = 0; j < LMM_ITER_COLUMNS; j++) {
        all.col[j] = j;
        minus[j] = -1;
    }
    lmm_iter_op_schur(o, ld, x, w->r);
    for (size_t i = 0; i < size; i++) w->r[i] = b[i] - w->r[i];
    lmm_iter_op_project(o, ld, w->r, c);
    memset(w->p, 0, sizeof(double) * size);
    take_step(o, &all, minus, w->p, c, x, ld);
}

/* aim <- squares of the lengths of the columns, (l, R) parts together. */
static void lengths(const struct lmm_iter *x, int ld, const struct lmm_iter_cg *w,
                    double *aim)
{
    double l[LMM_ITER_COLUMNS];
    row_dots((size_t) x->n_leaf, ld, w->l, w->l, NULL, l);
    row_dots((size_t) x->n_R, ld, w->R, w->R, NULL, aim);
    for (int j = 0; j < ld; j++) aim[j] += l[j];
}

/* The residuals to reach, relative to the right sides b of the Schur system; where elimination left of
 * a column of that length (squared, in aim) almost nothing, relative to what there was. */
static void residuals_to_reach(const struct lmm_iter_op *o, int n, int ld,
                               const double *tol, const double *b, double *aim)
{
    double left[LMM_ITER_COLUMNS];
    row_dots((size_t) o->x->n_R, ld, b, b, NULL, left);
    for (int j = 0; j < n; j++)
        aim[j] = tol[j] * fmax(sqrt(left[j]), ALMOST_NOTHING * sqrt(aim[j]));
}

/* x <- the solution of the Schur system of right sides b, which become the residuals. */
static bool schur_solve(const struct lmm_iter_op *o, int n, const double *aim, double *b,
                        double *x, struct lmm_iter_cg *w)
{
    int ld = lmm_iter_op_ld(n), it = 0;
    struct active on = {.n = n, .ld = ld};
    for (int j = 0; j < n; j++) {
        on.col[j] = j;
        for (int i = 0; aim[j] == 0 && i < o->x->n_R;
             i++) /* nothing: whatever was guessed */
            x[(size_t) i * (size_t) ld + (size_t) j] = 0;
    }
    first_residual(o, n, ld, b, x, w);
    for (retire(o, &on, aim, w, b, ld); on.n && it < LMM_ITER_MOST; it++) {
        if (it % POLL_EVERY == 0 && core_stop(w->hooks, it)) w->stopped = true;
        if (w->stopped) return false;
        turn(o, &on, w, it == 0);
        iterate(o, &on, w, x, ld);
        retire(o, &on, aim, w, b, ld);
    }
    if (it > w->iterations) w->iterations = it;
    return on.n == 0;
}

bool lmm_iter_cg_solve(const struct lmm_iter_op *o, int n, const double *tol,
                       double *guess, struct lmm_iter_cg *w)
{
    int ld = lmm_iter_op_ld(n);
    size_t size = (size_t) o->x->n_R * (size_t) ld;
    double aim[LMM_ITER_COLUMNS];
    lengths(o->x, ld, w, aim);
    lmm_iter_op_forward(o, ld, w->l, w->R);
    if (o->x->n_R == 0) return true;
    residuals_to_reach(o, n, ld, tol, w->R, aim);
    bool ok = schur_solve(o, n, aim, w->R, guess, w);
    memcpy(w->r, w->R, sizeof(double) * size);
    memcpy(w->R, guess, sizeof(double) * size);
    lmm_iter_op_back(o, ld, w->R, w->l); /* D^-1 (b_l - P_lR x_R) */
    return ok;
}
