/* lmm_iter_cg.c: see lmm_iter_cg.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "engine/lmm_iter_cg.h"

enum { POLL_EVERY = 8 /* iterations */ };

#define INLINED static inline __attribute__((always_inline))

struct lmm_iter_op lmm_iter_op_carve(const struct lmm_iter *x, struct arena *a)
{
    struct lmm_iter_op o = {.x = x, .n_coarse = x->n_big - 1};
    size_t c = (size_t) o.n_coarse;
    o.D_l = arena_doubles(a, (size_t) x->n_leaf);
    o.D_R = arena_doubles(a, (size_t) x->n_R);
    o.jacobi = arena_doubles(a, (size_t) x->n_R);
    o.SW = arena_doubles(a, (size_t) x->n_R * (c ? c : 1));
    o.E = arena_doubles(a, c * c);
    return o;
}

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

/* ---- products, M columns ------------------------------------------------------------------------ */

/* Entry k of a table's row: acc += val v, and y += val acc. */
INLINED void gather(const struct lmm_iter_table *t, int i, const double *v, int M,
                    double *acc)
{
    for (int k = t->ptr[i]; k < t->ptr[i + 1]; k++) {
        const double *from = v + (size_t) t->idx[k] * (size_t) M;
        double w = t->val[k];
        for (int c = 0; c < M; c++) acc[c] += w * from[c];
    }
}
INLINED void scatter(const struct lmm_iter_table *t, int i, const double *acc, int M,
                     double *y)
{
    for (int k = t->ptr[i]; k < t->ptr[i + 1]; k++) {
        double *to = y + (size_t) t->idx[k] * (size_t) M, w = t->val[k];
        for (int c = 0; c < M; c++) to[c] += w * acc[c];
    }
}

static bool of_leaf(const struct lmm_iter *x, const struct lmm_iter_table *t)
{
    return t->a == 0 && x->factor[t->b].big;
}
static bool of_R(const struct lmm_iter *x, const struct lmm_iter_table *t)
{
    return t->a > 0 && x->factor[t->a].big && x->factor[t->b].big;
}
static size_t row_of(const struct lmm_iter *x, int f)
{
    return (size_t) x->factor[f].at;
}

/* y += tau_e O v, O the tables of R. */
INLINED void R_tables(const struct lmm_iter_op *o, const double *v, double *y, int M)
{
    const struct lmm_iter *x = o->x;
    for (int k = 0; k < x->n_tables; k++) {
        const struct lmm_iter_table *t = x->table + k;
        if (!of_R(x, t)) continue;
        size_t a = row_of(x, t->a) * (size_t) M, b = row_of(x, t->b) * (size_t) M;
        for (int i = 0; i < x->factor[t->a].n; i++, a += (size_t) M) {
            double acc[LMM_ITER_COLUMNS] = {0}, own[LMM_ITER_COLUMNS];
            gather(t, i, v + b, M, acc);
            for (int c = 0; c < M; c++) {
                y[a + (size_t) c] += o->tau_e * acc[c];
                own[c] = o->tau_e * v[a + (size_t) c];
            }
            scatter(t, i, own, M, y + b);
        }
    }
}

INLINED void schur_of(const struct lmm_iter_op *o, const double *v, double *y, int M)
{
    const struct lmm_iter *x = o->x;
    for (size_t i = 0; i < (size_t) x->n_R; i++)
        for (size_t c = 0; c < (size_t) M; c++)
            y[i * (size_t) M + c] = o->D_R[i] * v[i * (size_t) M + c];
    if (x->n_big > 2) R_tables(o, v, y, M);
    for (int i = 0; i < x->n_leaf; i++) {
        double acc[LMM_ITER_COLUMNS] = {0}, scale = -o->tau_e * o->tau_e / o->D_l[i];
        for (int k = 0; k < x->n_tables; k++)
            if (of_leaf(x, x->table + k))
                gather(x->table + k, i, v + row_of(x, x->table[k].b) * (size_t) M, M, acc);
        for (int c = 0; c < M; c++) acc[c] *= scale;
        for (int k = 0; k < x->n_tables; k++)
            if (of_leaf(x, x->table + k))
                scatter(x->table + k, i, acc, M,
                        y + row_of(x, x->table[k].b) * (size_t) M);
    }
}

/* l += s_l P_lR v_R, and R += s_R P_Rl v_l; either pointer may be NULL. */
INLINED void cross_of(const struct lmm_iter_op *o, double s_l, const double *v_R,
                      double *l, double s_R, const double *v_l, double *R, int M)
{
    const struct lmm_iter *x = o->x;
    for (int k = 0; k < x->n_tables; k++) {
        const struct lmm_iter_table *t = x->table + k;
        if (!of_leaf(x, t)) continue;
        size_t at = row_of(x, t->b) * (size_t) M;
        for (int i = 0; i < x->n_leaf; i++) {
            double acc[LMM_ITER_COLUMNS] = {0};
            size_t own = (size_t) i * (size_t) M;
            if (l) {
                gather(t, i, v_R + at, M, acc);
                for (int c = 0; c < M; c++)
                    l[own + (size_t) c] += s_l * o->tau_e * acc[c];
            }
            if (!R) continue;
            for (int c = 0; c < M; c++) acc[c] = s_R * o->tau_e * v_l[own + (size_t) c];
            scatter(t, i, acc, M, R + at);
        }
    }
}

/* The same with a width that the compiler knows. */
#define BY_WIDTH(ld, call)                                                               \
    switch (ld) {                                                                        \
    case 4: {                                                                            \
        enum { M = 4 };                                                                  \
        call;                                                                            \
        break;                                                                           \
    }                                                                                    \
    case 8: {                                                                            \
        enum { M = 8 };                                                                  \
        call;                                                                            \
        break;                                                                           \
    }                                                                                    \
    case 12: {                                                                           \
        enum { M = 12 };                                                                 \
        call;                                                                            \
        break;                                                                           \
    }                                                                                    \
    default: {                                                                           \
        enum { M = 16 };                                                                 \
        call;                                                                            \
    }                                                                                    \
    }

void lmm_iter_schur(const struct lmm_iter_op *o, int ld, const double *v, double *y)
{
    BY_WIDTH(ld, schur_of(o, v, y, M))
}
static void cross(const struct lmm_iter_op *o, int ld, double s_l, const double *v_R,
                  double *l, double s_R, const double *v_l, double *R)
{
    BY_WIDTH(ld, cross_of(o, s_l, v_R, l, s_R, v_l, R, M))
}

void lmm_iter_off(const struct lmm_iter_op *o, int ld, const double *v_l,
                  const double *v_R, double *y_l, double *y_R)
{
    memset(y_l, 0, sizeof(double) * (size_t) o->x->n_leaf * (size_t) ld);
    memset(y_R, 0, sizeof(double) * (size_t) o->x->n_R * (size_t) ld);
    cross(o, ld, 1, v_R, y_l, 1, v_l, y_R);
    if (o->x->n_big > 2) BY_WIDTH(ld, R_tables(o, v_R, y_R, M))
}

/* ---- the operator at given precisions ----------------------------------------------------------- */

static void diagonals(struct lmm_iter_op *o, const double *t)
{
    const struct lmm_iter *x = o->x;
    for (int k = 1; k < x->m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        if (!f->big) continue;
        double *D = x->m->prec[k].factor ? o->D_R + f->at : o->D_l;
        for (int i = 0; i < f->n; i++) D[i] = o->tau_e * f->d[i] + t[x->m->prec[k].at];
    }
    memcpy(o->jacobi, o->D_R, sizeof(double) * (size_t) x->n_R);
    for (int k = 0; k < x->n_tables; k++) {
        const struct lmm_iter_table *tb = x->table + k;
        if (!of_leaf(x, tb)) continue;
        double *to = o->jacobi + row_of(x, tb->b);
        for (int i = 0; i < x->n_leaf; i++) {
            double scale = o->tau_e * o->tau_e / o->D_l[i];
            for (int e = tb->ptr[i]; e < tb->ptr[i + 1]; e++)
                to[tb->idx[e]] -= scale * tb->val[e] * tb->val[e];
        }
    }
}

/* out (n_coarse x ld) <- W'v: sums over the rows of each factor of R. */
static void coarse_sums(const struct lmm_iter_op *o, int ld, const double *v, double *out)
{
    const struct lmm_iter *x = o->x;
    memset(out, 0, sizeof(double) * (size_t) (o->n_coarse * ld));
    for (int f = 1; f < x->n_big; f++) {
        const double *at = v + row_of(x, f) * (size_t) ld;
        double *sum = out + (f - 1) * ld;
        for (int i = 0; i < x->factor[f].n; i++, at += ld)
            for (int c = 0; c < ld; c++) sum[c] += at[c];
    }
}

/* c <- E^-1 c, ld columns beside each other. */
static void coarse_solve(const struct lmm_iter_op *o, int ld, double *c)
{
    double b[LMM_MAX_PREC];
    int n = o->n_coarse;
    for (int j = 0; j < ld; j++) {
        for (int f = 0; f < n; f++) b[f] = c[f * ld + j];
        la_solve_l(n, o->E, b);
        la_solve_lt(n, o->E, b);
        for (int f = 0; f < n; f++) c[f * ld + j] = b[f];
    }
}

/* v -= SW c */
static void coarse_subtract(const struct lmm_iter_op *o, int ld, const double *c,
                            double *v)
{
    int n = o->n_coarse;
    const double *sw = o->SW;
    for (int i = 0; i < o->x->n_R; i++, v += ld, sw += n)
        for (int f = 0; f < n; f++)
            for (int j = 0; j < ld; j++) v[j] -= sw[f] * c[f * ld + j];
}

/* The Schur complement of the constants, four at a time. work: 2 n_R x 4. */
static bool coarse_space(struct lmm_iter_op *o, double *work)
{
    const struct lmm_iter *x = o->x;
    int n = o->n_coarse;
    double *v = work, *y = work + (size_t) x->n_R * 4;
    for (int f0 = 0; f0 < n; f0 += 4) {
        memset(v, 0, sizeof(double) * (size_t) x->n_R * 4);
        for (int f = f0; f < n && f < f0 + 4; f++)
            for (int i = 0; i < x->factor[f + 1].n; i++)
                v[(row_of(x, f + 1) + (size_t) i) * 4 + (size_t) (f - f0)] = 1;
        lmm_iter_schur(o, 4, v, y);
        for (int i = 0; i < x->n_R; i++)
            for (int f = f0; f < n && f < f0 + 4; f++)
                o->SW[i * n + f] = y[(size_t) i * 4 + (size_t) (f - f0)];
    }
    memset(o->E, 0, sizeof(double) * (size_t) (n * n));
    for (int g = 0; g < n; g++)
        for (int i = 0; i < x->factor[g + 1].n; i++)
            for (int f = 0; f < n; f++)
                AT(o->E, g, f, n) += o->SW[(x->factor[g + 1].at + i) * n + f];
    return !la_chol(n, o->E);
}

bool lmm_iter_op_at(struct lmm_iter_op *o, const double *t, double *work)
{
    o->tau_e = t[0];
    diagonals(o, t);
    return coarse_space(o, work);
}

/* ---- conjugate gradients ------------------------------------------------------------------------ */

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
            size_t row = row_of(y, f) + (size_t) i;
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
    int ld = lmm_iter_ld(kept);
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
    lmm_iter_schur(o, on->ld, w->p, w->Sp);
    coarse_sums(o, on->ld, w->Sp, c);
    coarse_solve(o, on->ld, c);
    coarse_subtract(o, on->ld, c, w->Sp);
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
    lmm_iter_schur(o, ld, x, w->r);
    for (size_t i = 0; i < size; i++) w->r[i] = b[i] - w->r[i];
    coarse_sums(o, ld, w->r, c);
    coarse_solve(o, ld, c);
    coarse_subtract(o, ld, c, w->r);
    memset(w->p, 0, sizeof(double) * size);
    take_step(o, &all, minus, w->p, c, x, ld);
}

/* x <- the solution of the Schur system of right sides b, which become the residuals. */
static bool schur_solve(const struct lmm_iter_op *o, int n, const double *tol, double *b,
                        double *x, struct lmm_iter_cg *w)
{
    double aim[LMM_ITER_COLUMNS];
    int ld = lmm_iter_ld(n), it = 0;
    struct active on = {.n = n, .ld = ld};
    row_dots((size_t) o->x->n_R, ld, b, b, NULL, aim);
    for (int j = 0; j < n; j++) {
        on.col[j] = j;
        aim[j] = tol[j] * sqrt(aim[j]);
    }
    first_residual(o, n, ld, b, x, w);
    for (retire(o, &on, aim, w, b, ld); on.n && it < LMM_ITER_MOST; it++) {
        if (it % POLL_EVERY == 0 && (w->stopped = core_stop(w->hooks, it))) return false;
        turn(o, &on, w, it == 0);
        iterate(o, &on, w, x, ld);
        retire(o, &on, aim, w, b, ld);
    }
    if (it > w->iterations) w->iterations = it;
    return on.n == 0;
}

/* times (or over) the leaf's diagonal */
static void scale_leaf(const struct lmm_iter_op *o, int ld, bool over, double *l)
{
    for (int i = 0; i < o->x->n_leaf; i++) {
        double s = over ? 1 / o->D_l[i] : o->D_l[i];
        for (int c = 0; c < ld; c++) *l++ *= s;
    }
}

void lmm_iter_back(const struct lmm_iter_op *o, int ld, const double *v_R, double *l)
{
    scale_leaf(o, ld, false, l);
    cross(o, ld, -1, v_R, l, 0, NULL, NULL);
    scale_leaf(o, ld, true, l);
}

bool lmm_iter_cg_solve(const struct lmm_iter_op *o, int n, const double *tol,
                       double *guess, struct lmm_iter_cg *w)
{
    const struct lmm_iter *x = o->x;
    int ld = lmm_iter_ld(n);
    bool ok = true;
    scale_leaf(o, ld, true, w->l);
    if (x->n_R) {
        cross(o, ld, 0, NULL, NULL, -1, w->l, w->R);
        ok = schur_solve(o, n, tol, w->R, guess, w);
        memcpy(w->r, w->R, sizeof(double) * (size_t) x->n_R * (size_t) ld);
        memcpy(w->R, guess, sizeof(double) * (size_t) x->n_R * (size_t) ld);
        lmm_iter_back(o, ld, w->R, w->l); /* D^-1 (b_l - P_lR x_R) */
    }
    return ok;
}
