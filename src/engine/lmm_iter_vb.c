/* lmm_iter_vb.c: see lmm_iter_vb.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "engine/lmm_iter_vb.h"
#include "engine/vb.h"
#include "engine/vb_coupling.h"

/* Tolerances of the columns: the means and W enter everything; the traces are quadratic in the error
 * of their columns; what H needs of W is a small part of it. */
static const double TOL_EDGE = 1e-9, TOL_MEAN = 1e-10, TOL_PROBE = 1e-6, TOL_CROSS = 1e-5,
                    TOL_RESPONSE = 1e-8;

/* A change of log precisions below this is far below what the probes leave. */
static const double TOL_SWEEPS = 1e-6;

enum { VARIANCE_PROBES = 16 };

/* ---- sizes -------------------------------------------------------------------------------------- */

static int first_columns(const struct lmm_iter *x, int probes)
{
    return x->n_e + 1 + x->n_big * (1 + probes);
}
static int second_columns(const struct lmm_iter *x)
{
    return x->n_big * x->n_e + x->m->n_stat;
}
static size_t stored(const struct lmm_iter *x, int columns)
{
    return (size_t) x->n_R * (size_t) lmm_iter_ld(columns);
}
static size_t n2(const struct lmm_iter *x) { return (size_t) x->n_e * (size_t) x->n_e; }

struct lmm_iter_work lmm_iter_work_carve(const struct lmm_iter *x, struct arena *a)
{
    struct lmm_iter_work w = {.x = x};
    size_t e = (size_t) x->n_e, dim = arrow_dim(&x->m->shape), s = (size_t) x->m->n_stat;
    w.op = lmm_iter_op_carve(x, a);
    w.cg = lmm_iter_cg_carve(x, a);
    w.trace = lmm_iter_trace_carve(x, a);
    w.E_l = arena_doubles(a, e * (size_t) x->n_leaf);
    w.W_l = arena_doubles(a, e * (size_t) x->n_leaf);
    w.E_R = arena_doubles(a, e * (size_t) x->n_R);
    w.W_R = arena_doubles(a, e * (size_t) x->n_R);
    w.res = arena_doubles(a, e * (size_t) x->n_R);
    w.ee = arena_doubles(a, e * e);
    w.S_ee = arena_doubles(a, e * e);
    w.WW = arena_doubles(a, (size_t) x->n_big * e * e);
    w.Q = arena_doubles(a, s * e * e);
    w.square = arena_doubles(a, 2 * e * e + 3 * e);
    w.T = arena_doubles(a, s);
    w.B = arena_doubles(a, s);
    w.H = arena_doubles(a, s * s);
    w.error = arena_doubles(a, s);
    w.prior_grad = arena_doubles(a, dim);
    w.grad = arena_doubles(a, dim * s);
    w.guess = arena_doubles(a, stored(x, first_columns(x, LMM_ITER_PROBES)));
    w.guess2 = arena_doubles(a, stored(x, second_columns(x)));
    w.var_u = arena_doubles(a, dim);
    w.var_u2 = arena_doubles(a, dim);
    w.moves = ascent_work_carve(x->m, a);
    return w;
}

/* ---- columns ------------------------------------------------------------------------------------ */

/* A column of a block of solves: what it is made of, and what becomes of its solution. */
enum kind { EDGE, MEAN, PROBE, CROSS, RESPONSE };
struct column {
    enum kind kind;
    int f, j;
};

/* First the edges and the mean, then the constants, then every factor's first probe, second, ... */
static struct column first_column(const struct lmm_iter *x, int i)
{
    if (i < x->n_e) return (struct column){EDGE, 0, i};
    i -= x->n_e;
    if (i == 0) return (struct column){MEAN, 0, 0};
    return (struct column){PROBE, (i - 1) % x->n_big, (i - 1) / x->n_big};
}
static struct column second_column(const struct lmm_iter *x, int i)
{
    int cross = x->n_big * x->n_e;
    if (i < cross) return (struct column){CROSS, i / x->n_e, i % x->n_e};
    return (struct column){RESPONSE, 0, i - cross};
}

static double tolerance(enum kind k)
{
    switch (k) {
    case EDGE:
        return TOL_EDGE;
    case MEAN:
        return TOL_MEAN;
    case PROBE:
        return TOL_PROBE;
    case CROSS:
        return TOL_CROSS;
    default:
        return TOL_RESPONSE;
    }
}

/* Rows of a big factor in arrays of rows of `width`, of the leaf or of R. */
static const double *rows(const struct lmm_iter *x, int f, const double *l,
                          const double *R, int width)
{
    return f ? R + (size_t) x->factor[f].at * (size_t) width : l;
}

/* Column c of (l, R), rows of ld <- times the big factors' part of a vector like theta. */
static void fill_theta(const struct lmm_iter *x, const double *theta, double times, int c,
                       int ld, double *l, double *R)
{
    for (int f = 0; f < x->n_big; f++) {
        double *to = (double *) rows(x, f, l, R, ld) + c;
        const double *from = theta + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, to += ld) *to = times * from[i];
    }
}

/* The same from column j of arrays with rows of n_e; only: that factor, or -1. */
static void fill_edge(const struct lmm_iter *x, const double *E_l, const double *E_R,
                      int j, double times, int only, int c, int ld, double *l, double *R)
{
    for (int f = 0; f < x->n_big; f++) {
        if (only >= 0 && f != only) continue;
        double *to = (double *) rows(x, f, l, R, ld) + c;
        const double *from = rows(x, f, E_l, E_R, x->n_e) + j;
        for (int i = 0; i < x->factor[f].n; i++, to += ld, from += x->n_e)
            *to = times * *from;
    }
}

static void fill(const struct lmm_iter_work *w, struct column k, int c, int ld)
{
    const struct lmm_iter *x = w->x;
    double *l = w->cg.l, *R = w->cg.R;
    switch (k.kind) {
    case EDGE:
        fill_edge(x, w->E_l, w->E_R, k.j, w->op.tau_e, -1, c, ld, l, R);
        break;
    case MEAN:
        fill_theta(x, x->m->h, w->op.tau_e, c, ld, l, R);
        break;
    case PROBE:
        lmm_iter_trace_fill(x, k.f, k.j, c, ld, l, R);
        break;
    case CROSS:
        fill_edge(x, w->W_l, w->W_R, k.j, 1, k.f, c, ld, l, R);
        break;
    case RESPONSE:
        fill_theta(x, w->grad + (size_t) k.j * arrow_dim(&x->m->shape), 1, c, ld, l, R);
    }
}

/* Column j of W and its residual. */
static void keep_edge(struct lmm_iter_work *w, int j, int c, int ld)
{
    const struct lmm_iter *x = w->x;
    size_t e = (size_t) x->n_e, d = (size_t) ld;
    for (size_t i = 0; i < (size_t) x->n_leaf; i++)
        w->W_l[i * e + (size_t) j] = w->cg.l[i * d + (size_t) c];
    for (size_t i = 0; i < (size_t) x->n_R; i++) {
        w->W_R[i * e + (size_t) j] = w->cg.R[i * d + (size_t) c];
        w->res[i * e + (size_t) j] = w->cg.r[i * d + (size_t) c];
    }
}

/* The big factors' part of theta <- column c. */
static void keep_theta(const struct lmm_iter_work *w, double *theta, int c, int ld)
{
    const struct lmm_iter *x = w->x;
    for (int f = 0; f < x->n_big; f++) {
        const double *from = rows(x, f, w->cg.l, w->cg.R, ld) + c;
        double *to = theta + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, from += ld) to[i] = *from;
    }
}

static int stat_of(const struct lmm_iter *x, int f) /* of a factor: its precision's place */
{
    for (int k = 1; k < x->m->n_prec; k++)
        if (x->m->prec[k].factor == f) return x->m->prec[k].at;
    return 0;
}

/* H_fg += 2 sum_i (W_g' x_g)_i S_ee[i, j], x the column of W_f's column j. */
static void keep_cross(struct lmm_iter_work *w, int f, int j, int c, int ld)
{
    const struct lmm_iter *x = w->x;
    const double *S = w->S_ee + (size_t) j * (size_t) x->n_e;
    for (int g = 0; g < x->n_big; g++) {
        const double *v = rows(x, g, w->cg.l, w->cg.R, ld) + c,
                     *W = rows(x, g, w->W_l, w->W_R, x->n_e);
        double sum = 0;
        for (int i = 0; i < x->factor[g].n; i++, v += ld, W += x->n_e) {
            double ws = 0;
            for (int b = 0; b < x->n_e; b++) ws += W[b] * S[b];
            sum += *v * ws;
        }
        int a = stat_of(x, f), b = stat_of(x, g), q = x->m->n_stat;
        AT(w->H, a, b, q) += sum; /* twice the mean of either side */
        AT(w->H, b, a, q) += sum;
    }
}

static void keep(struct lmm_iter_work *w, struct vb_state *s, struct column k, int c,
                 int ld)
{
    switch (k.kind) {
    case EDGE:
        keep_edge(w, k.j, c, ld);
        break;
    case MEAN:
        keep_theta(w, s->m, c, ld);
        break;
    case PROBE:
        lmm_iter_trace_after(&w->op, k.f, k.j, c, ld, &w->cg, &w->trace);
        break;
    case CROSS:
        keep_cross(w, k.f, k.j, c, ld);
        break;
    case RESPONSE:
        keep_theta(w, s->J + (size_t) k.j * arrow_dim(&w->x->m->shape), c, ld);
    }
}

static void clear_columns(const struct lmm_iter_work *w, int ld)
{
    memset(w->cg.l, 0, sizeof(double) * (size_t) w->x->n_leaf * (size_t) ld);
    memset(w->cg.R, 0, sizeof(double) * (size_t) w->x->n_R * (size_t) ld);
}

/* Columns from, ..., from + n - 1 of a list, all at once. */
static void solve_block(struct lmm_iter_work *w, struct vb_state *s,
                        struct column (*list)(const struct lmm_iter *, int), int from,
                        int n, double *guess)
{
    struct column k[LMM_ITER_COLUMNS];
    double tol[LMM_ITER_COLUMNS];
    int ld = lmm_iter_ld(n);
    bool probes = false;
    clear_columns(w, ld);
    for (int c = 0; c < n; c++) {
        k[c] = list(w->x, from + c);
        tol[c] = tolerance(k[c].kind);
        fill(w, k[c], c, ld);
        probes = probes || k[c].kind == PROBE;
    }
    if (probes)
        lmm_iter_trace_expand(&w->op, ld, w->cg.l, w->cg.R, &w->trace);
    for (int c = 0; c < n; c++)
        if (k[c].kind == PROBE)
            lmm_iter_trace_before(&w->op, k[c].f, k[c].j, c, ld, &w->trace);
    if (!lmm_iter_cg_solve(&w->op, n, tol, guess, &w->cg)) w->solved = false;
    for (int c = 0; c < n; c++) keep(w, s, k[c], c, ld);
}

static void solve_list(struct lmm_iter_work *w, struct vb_state *s,
                       struct column (*list)(const struct lmm_iter *, int), int n,
                       double *guess)
{
    for (int from = 0; from < n; from += LMM_ITER_COLUMNS) {
        int k = n - from < LMM_ITER_COLUMNS ? n - from : LMM_ITER_COLUMNS;
        solve_block(w, s, list, from, k,
                    guess + (size_t) from * (size_t) w->x->n_R);
    }
}

/* ---- the block e -------------------------------------------------------------------------------- */

/* out (n_e^2) += a sum over n rows of u v', rows of n_e. */
static void add_outer(int n_e, int n, double a, const double *u, const double *v,
                      double *out)
{
    double one = 1;
    if (n && n_e)
        F77_CALL(dgemm)
        ("N", "T", &n_e, &n_e, &n, &a, u, &n_e, v, &n_e, &one, out, &n_e FCONE FCONE);
}

/* out (n_e) += a times the sum over a vector like theta of its rows of E. */
static void add_rows(const struct lmm_iter *x, double a, const double *E_l,
                     const double *E_R, const double *theta, double *out)
{
    int n_e = x->n_e, one = 1;
    double unit = 1;
    for (int f = 0; f < x->n_big; f++) {
        int n = x->factor[f].n;
        if (n_e)
            F77_CALL(dgemv)
            ("N", &n_e, &n, &a, rows(x, f, E_l, E_R, n_e), &n_e,
             theta + x->factor[f].first, &one, &unit, out, &one FCONE);
    }
}

static size_t theta_of_e(const struct lmm_iter *x, int i)
{
    if (i < x->m->p) return (size_t) i;
    int f = x->n_big;
    while (i >= x->factor[f].at + x->factor[f].n) f++;
    return (size_t) (x->factor[f].first + i - x->factor[f].at);
}

/* P_ee = tau_e G_ee + T into out. */
static void e_precision(const struct lmm_iter_work *w, const double *t, double *out)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    for (size_t i = 0; i < n2(x); i++) out[i] = t[0] * w->ee[i];
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                AT(out, i, j, x->n_e) += AT(m->Tb, i, j, m->p);
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        if (f->big) continue;
        for (int i = f->at; i < f->at + f->n; i++)
            AT(out, i, i, x->n_e) += t[m->prec[k].at];
    }
}

/* S_ee = (P_ee - P_eu W - W'r)^-1, r the residuals of W: quadratic in its error. */
static bool e_covariance(struct lmm_iter_work *w, const double *t)
{
    const struct lmm_iter *x = w->x;
    int n = x->n_e;
    double *A = w->S_ee;
    e_precision(w, t, A);
    add_outer(n, x->n_leaf, -t[0], w->E_l, w->W_l, A);
    add_outer(n, x->n_R, -t[0], w->E_R, w->W_R, A);
    add_outer(n, x->n_R, -1, w->W_R, w->res, A);
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) AT(A, i, j, n) = (AT(A, i, j, n) + AT(A, j, i, n)) / 2;
    if (la_chol(n, A)) return false;
    la_inverse(n, A, A);
    memset(w->WW, 0, sizeof(double) * (size_t) x->n_big * n2(x));
    for (int f = 0; f < x->n_big; f++) {
        const double *W = rows(x, f, w->W_l, w->W_R, n);
        add_outer(n, x->factor[f].n, 1, W, W, w->WW + (size_t) f * n2(x));
    }
    return true;
}

/* theta holds S° b_u; make it S b: e part S_ee (b_e - W'b_u), and -W of that to the rest. */
static void finish_solve(const struct lmm_iter_work *w, const double *b, double times,
                         const double *b_e, double *theta)
{
    const struct lmm_iter *x = w->x;
    int n = x->n_e;
    double *rhs = w->square, *x_e = w->square + n;
    if (!n) return;
    for (int i = 0; i < n; i++) rhs[i] = b_e[i];
    add_rows(x, -times, w->W_l, w->W_R, b, rhs);
    la_matvec(n, w->S_ee, rhs, x_e);
    lmm_iter_vb_spread(w, x_e, theta);
}

static void means(struct lmm_iter_work *w, struct vb_state *s)
{
    const struct lmm *m = w->x->m;
    double *b_e = w->square + 2 * w->x->n_e, t = s->t[0];
    for (int i = 0; i < w->x->n_e; i++) b_e[i] = t * m->h[theta_of_e(w->x, i)];
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++) b_e[i] += AT(m->Tb, i, j, m->p) * m->mu[j];
    finish_solve(w, m->h, t, b_e, s->m);
}

/* ---- the ascent's questions --------------------------------------------------------------------- */

/* T = tr S_kk of every precision, and the expected quadratic forms. */
static void quadratic_forms(struct lmm_iter_work *w, struct vb_state *s)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    double rss = m->yy, tr_ts = 0;
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        int at = m->prec[k].at, i = m->prec[k].factor;
        double T = f->big ? *lmm_iter_trace_at(&w->trace, w->trace.est, i, 0) +
                                la_dot(n2(x), w->WW + (size_t) i * n2(x), w->S_ee)
                          : 0;
        if (!f->big)
            for (int j = f->at; j < f->at + f->n; j++) T += AT(w->S_ee, j, j, x->n_e);
        w->T[at] = T;
        s->ss[at] = T + la_dot((size_t) f->n, s->m + f->first, s->m + f->first);
        tr_ts += s->t[at] * T;
    }
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                tr_ts += AT(m->Tb, i, j, m->p) * AT(w->S_ee, i, j, x->n_e);
    size_t dim = arrow_dim(&m->shape);
    for (size_t i = 0; i < dim; i++)
        rss -= s->m[i] * (m->h[i] + w->prior_grad[i] / s->t[0]);
    s->ss[0] = (rss < 0 ? 0 : rss) + ((double) dim - tr_ts) / s->t[0];
}

static enum core_status iter_update(void *ctx, struct vb_state *s, struct core_info *info)
{
    struct lmm_iter_work *w = ctx;
    (void) info;
    w->solved = true;
    if (!lmm_iter_op_at(&w->op, s->t, w->cg.p)) return CORE_NONFINITE;
    solve_list(w, s, first_column, first_columns(w->x, w->trace.probes), w->guess);
    if (!w->solved) return CORE_DEAR;
    if (!e_covariance(w, s->t)) return CORE_NONFINITE;
    means(w, s);
    lmm_iter_trace_close(&w->op, &w->trace);
    lmm_prior_gradient(w->x->m, s->t, s->m, w->prior_grad);
    quadratic_forms(w, s);
    return CORE_OK;
}

static void iter_targets(void *ctx, const struct vb_state *s, double *target, double *cavi)
{
    const struct lmm_iter_work *w = ctx;
    vb_update_precisions(w->x->m, s, target, cavi);
}

/* grad <- [T (m - mu) / tau_e, -m_1, ...]. */
static void gradients(struct lmm_iter_work *w, const struct vb_state *s)
{
    const struct lmm *m = w->x->m;
    size_t dim = arrow_dim(&m->shape);
    memset(w->grad, 0, sizeof(double) * dim * (size_t) m->n_stat);
    for (size_t i = 0; i < dim; i++) w->grad[i] = w->prior_grad[i] / s->t[0];
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(w->x, k);
        double *g = w->grad + (size_t) m->prec[k].at * dim;
        for (int i = f->first; i < f->first + f->n; i++) g[i] = -s->m[i];
    }
}

/* Q_k = S_ek S_ke of every precision's factor; B_k = tr(T_b Q_k). */
static void edge_squares(struct lmm_iter_work *w)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    int n = x->n_e;
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        double *Q = w->Q + (size_t) m->prec[k].at * n2(x), B = 0;
        memset(Q, 0, sizeof(double) * n2(x));
        if (f->big) {
            la_matmul(n, w->S_ee, w->WW + (size_t) m->prec[k].factor * n2(x), w->square);
            la_matmul(n, w->square, w->S_ee, Q);
        } else {
            const double *S = w->S_ee + (size_t) f->at * (size_t) n;
            add_outer(n, f->n, 1, S, S, Q);
        }
        if (!m->flat)
            for (int j = 0; j < m->p; j++)
                for (int i = 0; i < m->p; i++)
                    B += AT(m->Tb, i, j, m->p) * AT(Q, i, j, n);
        w->B[m->prec[k].at] = B;
    }
}

/* tr(S°_fg S°_gf) from the probes of both sides, the better one counting more. */
static double both_sides(const struct lmm_iter_trace *w, int f, int g)
{
    double a = *lmm_iter_trace_at(w, w->est, f, 1 + g),
           b = *lmm_iter_trace_at(w, w->est, g, 1 + f),
           va = *lmm_iter_trace_at(w, w->se, f, 1 + g),
           vb = *lmm_iter_trace_at(w, w->se, g, 1 + f);
    va *= va;
    vb *= vb;
    return va + vb > 0 ? (a * vb + b * va) / (va + vb) : (a + b) / 2;
}

/* H += all but what the CROSS columns have put there. */
static void pair_traces(struct lmm_iter_work *w)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    for (int k = 1; k < m->n_prec; k++)
        for (int l = 1; l < m->n_prec; l++) {
            const struct lmm_iter_factor *f = lmm_iter_of(x, k), *g = lmm_iter_of(x, l);
            int a = m->prec[k].at, b = m->prec[l].at;
            double *h = &AT(w->H, a, b, m->n_stat);
            if (f->big && g->big) {
                *h += both_sides(&w->trace, m->prec[k].factor, m->prec[l].factor) +
                      la_dot(n2(x), w->WW + (size_t) m->prec[k].factor * n2(x),
                             w->Q + (size_t) b * n2(x));
                continue;
            }
            const struct lmm_iter_factor *few = f->big ? g : f;
            const double *Q = w->Q + (size_t) (f->big ? a : b) * n2(x);
            for (int i = few->at; i < few->at + few->n; i++) *h += AT(Q, i, i, x->n_e);
        }
}

/* C <- half the traces of pairs of statistics (vb_coupling.c). */
static void trace_part(struct lmm_iter_work *w, struct vb_state *s)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    int q = s->lr.q, n = m->n_stat;
    double tau_e = s->t[0], tr_ts = 0, tr_tsts = 0, *TS = w->square;
    memset(TS, 0, sizeof(double) * n2(x));
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p && !m->flat; i++)
            for (int l = 0; l < m->p; l++)
                AT(TS, i, j, m->p) += AT(m->Tb, i, l, m->p) * AT(w->S_ee, l, j, x->n_e);
    for (int j = 0; j < m->p; j++) {
        tr_ts += AT(TS, j, j, m->p);
        for (int i = 0; i < m->p; i++) tr_tsts += AT(TS, i, j, m->p) * AT(TS, j, i, m->p);
    }
    for (int a = 1; a < n; a++) {
        double X = w->B[a];
        for (int b = 1; b < n; b++) {
            X += s->t[b] * AT(w->H, a, b, n);
            AT(s->lr.C, a, b, q) = AT(w->H, a, b, n) / 2;
        }
        AT(s->lr.C, a, 0, q) = AT(s->lr.C, 0, a, q) = (w->T[a] - X) / (2 * tau_e);
        tr_ts += s->t[a] * w->T[a];
        tr_tsts += s->t[a] * (w->B[a] + X);
    }
    double dim = (double) arrow_dim(&m->shape);
    s->lr.C[0] = (dim - 2 * tr_ts + tr_tsts) / (2 * tau_e * tau_e);
}

/* C += grad' S grad. */
static void response_part(const struct lmm_iter_work *w, struct vb_state *s)
{
    size_t dim = arrow_dim(&w->x->m->shape);
    int n = w->x->m->n_stat;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) {
            double a = la_dot(dim, w->grad + (size_t) i * dim, s->J + (size_t) j * dim);
            AT(s->lr.C, i, j, s->lr.q) += a / 2;
            AT(s->lr.C, j, i, s->lr.q) += a / 2;
        }
}

static bool iter_coupling(void *ctx, struct vb_state *s)
{
    struct lmm_iter_work *w = ctx;
    const struct lmm *m = w->x->m;
    size_t dim = arrow_dim(&m->shape), q2 = (size_t) s->lr.q * (size_t) s->lr.q;
    memset(s->lr.V, 0, sizeof(double) * q2);
    memset(s->lr.C, 0, sizeof(double) * q2);
    memset(w->H, 0, sizeof(double) * (size_t) m->n_stat * (size_t) m->n_stat);
    gradients(w, s);
    solve_list(w, s, second_column, second_columns(w->x), w->guess2);
    for (int k = 0; k < m->n_stat; k++) {
        const double *g = w->grad + (size_t) k * dim;
        double *b_e = w->square + 2 * w->x->n_e;
        for (int i = 0; i < w->x->n_e; i++) b_e[i] = g[theta_of_e(w->x, i)];
        finish_solve(w, g, 1, b_e, s->J + (size_t) k * dim);
    }
    edge_squares(w);
    pair_traces(w);
    trace_part(w, s);
    response_part(w, s);
    vb_coupling_V(m, s);
    return w->solved;
}

/* ---- the fit ------------------------------------------------------------------------------------ */

/* w->error <- the standard errors of the log precisions that come from those of the T_f, through the
 * fixed point's own response, in posterior SDs; returns the largest. t_f = df / (R + .. + T_f), and
 * E||y - C theta||^2 has -tau_f T_f / tau_e in it. work: 2 q. */
static double probe_error(struct lmm_iter_work *w, const struct vb_state *s, double *resid,
                          double *step)
{
    const struct lmm_iter *x = w->x;
    const struct lmm *m = x->m;
    double worst = 0;
    memset(w->error, 0, sizeof(double) * (size_t) m->n_stat);
    for (int j = 1; j < m->n_prec; j++) {
        if (!lmm_iter_of(x, j)->big) continue;
        int at = m->prec[j].at;
        double se = *lmm_iter_trace_at(&w->trace, w->trace.se, m->prec[j].factor, 0),
               t = s->t[at];
        memset(resid, 0, sizeof(double) * (size_t) m->n_par);
        resid[at] = -t * t / s->df[j] * se;
        resid[0] = s->t[0] * t / s->df[0] * se;
        lr_newton(&s->lr, resid, step);
        for (int k = 0; k < m->n_stat; k++) w->error[k] += step[k] * step[k];
    }
    for (int k = 0; k < m->n_stat; k++) {
        w->error[k] = sqrt(w->error[k] / AT(s->lr.Sigma, k, k, s->lr.q));
        worst = fmax(worst, w->error[k]);
    }
    return worst;
}

/* What a standard error known from m probes may well be: over the root of a tenth quantile of chi^2 / df
 * [Wilson & Hilferty 1931]. */
static double upper(int m)
{
    double a = 2.0 / (9 * (m - 1)), q = 1 - a - 1.2816 * sqrt(a);
    return pow(fmax(q, 0.2), -1.5);
}

/* The number of probes, a power of two, that such an error asks for. */
static int more_probes(int now, double error, const struct lmm_iter_control *aim)
{
    double want = now * (error / aim->aim) * (error / aim->aim);
    int n = 2 * now;
    while (n < want && n < aim->most) n *= 2;
    return n < aim->most ? n : aim->most;
}

enum core_status lmm_iter_vb_run(const struct lmm_iter *x,
                                 const struct lmm_iter_control *aim,
                                 const struct vb_control *ctl, struct vb_state *s,
                                 struct lmm_iter_work *w, const struct core_hooks *h,
                                 struct core_info *info)
{
    const struct ascent q = {w, iter_update, NULL, iter_targets, iter_coupling, 0};
    struct vb_control own = *ctl;
    own.tol = fmax(own.tol, TOL_SWEEPS);
    lmm_iter_edges(x, w->E_l, w->E_R, w->ee);
    memset(w->guess, 0, sizeof(double) * stored(x, first_columns(x, LMM_ITER_PROBES)));
    memset(w->guess2, 0, sizeof(double) * stored(x, second_columns(x)));
    memset(w->error, 0, sizeof(double) * (size_t) x->m->n_stat);
    w->trace.probes = aim->probes;
    for (;;) {
        enum core_status st = ascent_run(x->m, &q, &own, s, &w->moves, h, info);
        if (st == CORE_OK && !w->solved) return CORE_DEAR;
        if (st || !s->lr_ok) return st;
        double error = probe_error(w, s, w->moves.target, w->moves.cavi) *
                       upper(w->trace.probes);
        if (!(error > aim->aim) || w->trace.probes >= aim->most) return CORE_OK;
        w->trace.probes = more_probes(w->trace.probes, error, aim);
    }
}

bool lmm_iter_vb_prepare(struct lmm_iter_work *w, const double *t)
{
    lmm_iter_edges(w->x, w->E_l, w->E_R, w->ee);
    memset(w->guess, 0, sizeof(double) * stored(w->x, first_columns(w->x, LMM_ITER_PROBES)));
    w->solved = true;
    if (!lmm_iter_op_at(&w->op, t, w->cg.p)) return false;
    solve_list(w, NULL, first_column, w->x->n_e, w->guess);
    return w->solved && e_covariance(w, t);
}

/* b (theta) to column c, and back. */
static void solve_columns(struct lmm_iter_work *w, int n, const double *b, double *x)
{
    const struct lmm_iter *y = w->x;
    size_t dim = arrow_dim(&y->m->shape);
    double tol[LMM_ITER_COLUMNS], *b_e = w->square + 2 * y->n_e;
    int ld = lmm_iter_ld(n);
    clear_columns(w, ld);
    memset(w->guess, 0, sizeof(double) * stored(y, n));
    for (int c = 0; c < n; c++) {
        tol[c] = TOL_RESPONSE;
        fill_theta(y, b + (size_t) c * dim, 1, c, ld, w->cg.l, w->cg.R);
    }
    if (!lmm_iter_cg_solve(&w->op, n, tol, w->guess, &w->cg)) w->solved = false;
    for (int c = 0; c < n; c++) {
        const double *own = b + (size_t) c * dim;
        keep_theta(w, x + (size_t) c * dim, c, ld);
        for (int i = 0; i < y->n_e; i++) b_e[i] = own[theta_of_e(y, i)];
        finish_solve(w, own, 1, b_e, x + (size_t) c * dim);
    }
}

bool lmm_iter_vb_product(struct lmm_iter_work *w, int n, const double *b, double *x)
{
    size_t dim = arrow_dim(&w->x->m->shape);
    for (int from = 0; from < n; from += LMM_ITER_COLUMNS)
        solve_columns(w, n - from < LMM_ITER_COLUMNS ? n - from : LMM_ITER_COLUMNS,
                      b + (size_t) from * dim, x + (size_t) from * dim);
    return w->solved;
}

void lmm_iter_vb_spread(const struct lmm_iter_work *w, const double *x_e, double *theta)
{
    const struct lmm_iter *x = w->x;
    int n = x->n_e;
    for (int i = 0; i < n; i++) theta[theta_of_e(x, i)] = x_e[i];
    for (int f = 0; f < x->n_big; f++) {
        const double *W = rows(x, f, w->W_l, w->W_R, n);
        double *to = theta + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, W += n)
            for (int j = 0; j < n; j++) to[i] -= W[j] * x_e[j];
    }
}

/* ---- variances of single effects ---------------------------------------------------------------- */

/* var[i] += a_i b_i and var2[i] += (a_i b_i)^2, a = D^-1 O z, b = D^-1 z - x: column c. */
static void add_products(struct lmm_iter_work *w, int c, int ld, bool constant)
{
    const struct lmm_iter *x = w->x;
    for (int f = 0; f < x->n_big; f++) {
        const double *D = rows(x, f, w->op.D_l, w->op.D_R, 1),
                     *o = rows(x, f, w->trace.o_l, w->trace.o_R, ld) + c,
                     *z = rows(x, f, w->trace.w_l, w->trace.w_R, ld) + c,
                     *v = rows(x, f, w->cg.l, w->cg.R, ld) + c;
        double *var = w->var_u + x->factor[f].first, *var2 = w->var_u2 + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, o += ld, z += ld, v += ld) {
            double ab = *o / D[i] * (*z - *v);
            if (constant) {
                var[i] += ab;
                continue;
            }
            var[i] += ab / VARIANCE_PROBES;
            var2[i] += ab * ab / VARIANCE_PROBES;
        }
    }
}

/* One block of solves: the constants (number 0) of factors, or probes of all levels. */
static void variance_block(struct lmm_iter_work *w, int n, int first, bool constant,
                           double *guess)
{
    double tol[LMM_ITER_COLUMNS];
    int ld = lmm_iter_ld(n);
    clear_columns(w, ld);
    memset(guess, 0, sizeof(double) * stored(w->x, n));
    for (int c = 0; c < n; c++) {
        tol[c] = TOL_CROSS;
        lmm_iter_trace_fill(w->x, constant ? first + c : -1, constant ? 0 : 1 + c, c, ld,
                            w->cg.l, w->cg.R);
    }
    lmm_iter_trace_expand(&w->op, ld, w->cg.l, w->cg.R, &w->trace);
    lmm_iter_off(&w->op, ld, w->cg.l, w->cg.R, w->trace.o_l, w->trace.o_R);
    if (!lmm_iter_cg_solve(&w->op, n, tol, guess, &w->cg)) w->solved = false;
    for (int c = 0; c < n; c++) add_products(w, c, ld, constant);
}

/* w_i'S_ee w_i */
static double edge_variance(const struct lmm_iter_work *w, const double *row)
{
    int n = w->x->n_e;
    double sum = 0;
    for (int j = 0; j < n; j++) {
        double s = 0;
        for (int i = 0; i < n; i++) s += row[i] * AT(w->S_ee, i, j, n);
        sum += s * row[j];
    }
    return sum;
}

double lmm_iter_vb_variances(struct lmm_iter_work *w)
{
    const struct lmm_iter *x = w->x;
    double sum = 0;
    size_t effects = 0;
    memset(w->var_u, 0, sizeof(double) * arrow_dim(&x->m->shape));
    memset(w->var_u2, 0, sizeof(double) * arrow_dim(&x->m->shape));
    variance_block(w, VARIANCE_PROBES, 0, false, w->guess);
    for (int f = 0; f < x->n_big; f++) /* the error of the mean, before constants come in */
        for (int i = x->factor[f].first; i < x->factor[f].first + x->factor[f].n; i++)
            w->var_u2[i] = fmax(w->var_u2[i] - w->var_u[i] * w->var_u[i], 0) /
                           (VARIANCE_PROBES - 1);
    for (int f = 0; f < x->n_big; f += LMM_ITER_COLUMNS)
        variance_block(w, x->n_big - f < LMM_ITER_COLUMNS ? x->n_big - f : LMM_ITER_COLUMNS,
                       f, true, w->guess);
    for (int f = 0; f < x->n_big; f++) {
        const double *D = rows(x, f, w->op.D_l, w->op.D_R, 1),
                     *W = rows(x, f, w->W_l, w->W_R, x->n_e);
        double *var = w->var_u + x->factor[f].first;
        for (int i = 0; i < x->factor[f].n; i++, W += x->n_e, effects++) {
            var[i] = fmax(var[i], 0) + 1 / D[i] + edge_variance(w, W);
            sum += w->var_u2[x->factor[f].first + i] / (4 * var[i] * var[i]);
        }
    }
    for (int i = 0; i < x->n_e; i++) w->var_u[theta_of_e(x, i)] = AT(w->S_ee, i, i, x->n_e);
    return effects ? sqrt(sum / (double) effects) : 0;
}
