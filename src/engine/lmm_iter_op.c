/* lmm_iter_op.c: see lmm_iter_op.h. */
#include <string.h>
#include "base/la.h"
#include "engine/lmm_iter_op.h"

#define INLINED inline __attribute__((always_inline))

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

/* ---- products, M columns ------------------------------------------------------------------------ */

/* Entry k of a table's row: acc += val v, and y += val acc. */
static INLINED void gather(const struct lmm_iter_table *t, int i, const double *v, int M,
                           double *acc)
{
    for (int k = t->ptr[i]; k < t->ptr[i + 1]; k++) {
        const double *from = v + (size_t) t->idx[k] * (size_t) M;
        double w = t->val[k];
        for (int c = 0; c < M; c++) acc[c] += w * from[c];
    }
}
static INLINED void scatter(const struct lmm_iter_table *t, int i, const double *acc,
                            int M, double *y)
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
static size_t row_of(const struct lmm_iter *x, int f) { return (size_t) x->factor[f].at; }

/* y += tau_e O v, O the tables of R. */
static INLINED void R_tables(const struct lmm_iter_op *o, const double *v, double *y,
                             int M)
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

static INLINED void schur_of(const struct lmm_iter_op *o, const double *v, double *y,
                             int M)
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
                gather(x->table + k, i, v + row_of(x, x->table[k].b) * (size_t) M, M,
                       acc);
        for (int c = 0; c < M; c++) acc[c] *= scale;
        for (int k = 0; k < x->n_tables; k++)
            if (of_leaf(x, x->table + k))
                scatter(x->table + k, i, acc, M,
                        y + row_of(x, x->table[k].b) * (size_t) M);
    }
}

/* l += s_l P_lR v_R, and R += s_R P_Rl v_l; either pointer may be NULL. */
static INLINED void cross_of(const struct lmm_iter_op *o, double s_l, const double *v_R,
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

void lmm_iter_op_schur(const struct lmm_iter_op *o, int ld, const double *v, double *y)
{
    BY_WIDTH(ld, schur_of(o, v, y, M))
}
static void cross(const struct lmm_iter_op *o, int ld, double s_l, const double *v_R,
                  double *l, double s_R, const double *v_l, double *R)
{
    BY_WIDTH(ld, cross_of(o, s_l, v_R, l, s_R, v_l, R, M))
}

void lmm_iter_op_off(const struct lmm_iter_op *o, int ld, const double *v_l,
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

void lmm_iter_op_project(const struct lmm_iter_op *o, int ld, double *v, double *c)
{
    coarse_sums(o, ld, v, c);
    coarse_solve(o, ld, c);
    coarse_subtract(o, ld, c, v);
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
        lmm_iter_op_schur(o, 4, v, y);
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

/* times (or over) the leaf's diagonal */
static void scale_leaf(const struct lmm_iter_op *o, int ld, bool over, double *l)
{
    for (int i = 0; i < o->x->n_leaf; i++) {
        double s = over ? 1 / o->D_l[i] : o->D_l[i];
        for (int c = 0; c < ld; c++) *l++ *= s;
    }
}

void lmm_iter_op_forward(const struct lmm_iter_op *o, int ld, double *l, double *R)
{
    scale_leaf(o, ld, true, l);
    cross(o, ld, 0, NULL, NULL, -1, l, R);
}

void lmm_iter_op_back(const struct lmm_iter_op *o, int ld, const double *v_R, double *l)
{
    scale_leaf(o, ld, false, l);
    cross(o, ld, -1, v_R, l, 0, NULL, NULL);
    scale_leaf(o, ld, true, l);
}
