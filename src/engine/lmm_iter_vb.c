/* lmm_iter_vb.c: see lmm_iter_vb.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "engine/lmm_iter_vb.h"
#include "engine/vb.h"
#include "engine/vb_coupling.h"

/* Tolerances of the columns: the means enter everything; the traces are quadratic in the error of
 * their columns; what H needs of W is a small part of it. */
static const double TOL_MEAN = 1e-10, TOL_PROBE = 1e-6, TOL_CROSS = 1e-5,
                    TOL_RESPONSE = 1e-8;

/* A change of log precisions below this is far below what the probes leave. */
static const double TOL_SWEEPS = 1e-6;

/* ---- sizes -------------------------------------------------------------------------------------- */

static int first_columns(const struct lmm_iter *x, int probes)
{
    return x->n_e + 1 + x->n_big * (1 + probes);
}
static int second_columns(const struct lmm_iter *x)
{
    return x->n_big * x->n_e + x->m->n_stat;
}
static size_t n2(const struct lmm_iter *x) { return (size_t) x->n_e * (size_t) x->n_e; }

struct lmm_iter_vb lmm_iter_vb_carve(const struct lmm_iter *x, struct arena *a)
{
    struct lmm_iter_vb w = {.cov = lmm_iter_cov_carve(x, a)};
    size_t e2 = n2(x), dim = arrow_dim(&x->m->shape), s = (size_t) x->m->n_stat;
    w.trace = lmm_iter_trace_carve(x, a);
    w.WW = arena_doubles(a, (size_t) x->n_big * e2);
    w.Q = arena_doubles(a, s * e2);
    w.square = arena_doubles(a, e2);
    w.T = arena_doubles(a, s);
    w.B = arena_doubles(a, s);
    w.H = arena_doubles(a, s * s);
    w.error = lmm_iter_error_carve(x->m, a);
    w.prior_grad = arena_doubles(a, dim);
    w.grad = arena_doubles(a, dim * s);
    w.guess = arena_doubles(a, lmm_iter_cov_guess(x, first_columns(x, LMM_ITER_PROBES)));
    w.guess2 = arena_doubles(a, lmm_iter_cov_guess(x, second_columns(x)));
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

/* What the list's functions are handed. */
struct sweep {
    struct lmm_iter_vb *w;
    struct vb_state *s;
};

/* W's column j of factor f alone, to place c. */
static void fill_cross(struct lmm_iter_cov *v, int f, int j, int c, int ld)
{
    const struct lmm_iter *x = v->x;
    double *to = (double *) lmm_iter_cov_rows(x, f, v->cg.l, v->cg.R, ld) + c;
    const double *from = lmm_iter_cov_rows(x, f, v->W_l, v->W_R, x->n_e) + j;
    for (int i = 0; i < x->factor[f].n; i++, to += ld, from += x->n_e) *to = *from;
}

static double fill_first(void *ctx, int i, int c, int ld)
{
    const struct sweep *y = ctx;
    struct lmm_iter_cov *v = &y->w->cov;
    struct column k = first_column(v->x, i);
    if (k.kind == EDGE) return lmm_iter_cov_fill_edge(v, k.j, c, ld);
    if (k.kind == MEAN) {
        lmm_iter_cov_fill(v, v->x->m->h, v->op.tau_e, c, ld);
        return TOL_MEAN;
    }
    lmm_iter_trace_fill(v->x, k.f, k.j, c, ld, v->cg.l, v->cg.R);
    return TOL_PROBE;
}

static void ready_first(void *ctx, int from, int n, int ld)
{
    const struct sweep *y = ctx;
    struct lmm_iter_cov *v = &y->w->cov;
    struct lmm_iter_trace *t = &y->w->trace;
    if (first_column(v->x, from + n - 1).kind != PROBE) return;
    lmm_iter_trace_expand(&v->op, ld, v->cg.l, v->cg.R, t);
    for (int c = 0; c < n; c++) {
        struct column k = first_column(v->x, from + c);
        if (k.kind == PROBE) lmm_iter_trace_before(&v->op, k.f, k.j, c, ld, t);
    }
}

static void keep_first(void *ctx, int i, int c, int ld)
{
    const struct sweep *y = ctx;
    struct lmm_iter_cov *v = &y->w->cov;
    struct column k = first_column(v->x, i);
    if (k.kind == EDGE)
        lmm_iter_cov_keep_edge(v, k.j, c, ld);
    else if (k.kind == MEAN)
        lmm_iter_cov_keep(v, y->s->m, c, ld);
    else
        lmm_iter_trace_after(&v->op, k.f, k.j, c, ld, &v->cg, &y->w->trace);
}

static int stat_of(const struct lmm_iter *x,
                   int f) /* of a factor: its precision's place */
{
    for (int k = 1; k < x->m->n_prec; k++)
        if (x->m->prec[k].factor == f) return x->m->prec[k].at;
    return 0;
}

/* H_fg += 2 sum_i (W_g' x_g)_i S_ee[i, j], x the column of W_f's column j. */
static void keep_cross(struct lmm_iter_vb *w, int f, int j, int c, int ld)
{
    const struct lmm_iter_cov *v = &w->cov;
    const struct lmm_iter *x = v->x;
    const double *S = v->S_ee + (size_t) j * (size_t) x->n_e;
    for (int g = 0; g < x->n_big; g++) {
        const double *y = lmm_iter_cov_rows(x, g, v->cg.l, v->cg.R, ld) + c,
                     *W = lmm_iter_cov_rows(x, g, v->W_l, v->W_R, x->n_e);
        double sum = 0;
        for (int i = 0; i < x->factor[g].n; i++, y += ld, W += x->n_e) {
            double ws = 0;
            for (int b = 0; b < x->n_e; b++) ws += W[b] * S[b];
            sum += *y * ws;
        }
        int a = stat_of(x, f), b = stat_of(x, g), q = x->m->n_stat;
        AT(w->H, a, b, q) += sum; /* twice the mean of either side */
        AT(w->H, b, a, q) += sum;
    }
}

static double fill_second(void *ctx, int i, int c, int ld)
{
    const struct sweep *y = ctx;
    struct lmm_iter_cov *v = &y->w->cov;
    struct column k = second_column(v->x, i);
    if (k.kind == CROSS) {
        fill_cross(v, k.f, k.j, c, ld);
        return TOL_CROSS;
    }
    size_t dim = arrow_dim(&v->x->m->shape);
    lmm_iter_cov_fill(v, y->w->grad + (size_t) k.j * dim, 1, c, ld);
    return TOL_RESPONSE;
}

static void keep_second(void *ctx, int i, int c, int ld)
{
    const struct sweep *y = ctx;
    const struct lmm_iter *x = y->w->cov.x;
    struct column k = second_column(x, i);
    if (k.kind == CROSS)
        keep_cross(y->w, k.f, k.j, c, ld);
    else
        lmm_iter_cov_keep(&y->w->cov, y->s->J + (size_t) k.j * arrow_dim(&x->m->shape), c,
                          ld);
}

static void means(struct lmm_iter_vb *w, struct vb_state *s)
{
    const struct lmm_iter *x = w->cov.x;
    const struct lmm *m = x->m;
    double *b_e = w->cov.b_e, t = s->t[0];
    for (int i = 0; i < x->n_e; i++) b_e[i] = t * m->h[lmm_iter_cov_place(x, i)];
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++) b_e[i] += AT(m->Tb, i, j, m->p) * m->mu[j];
    lmm_iter_cov_finish(&w->cov, m->h, t, s->m);
}

/* WW_f of every big factor. */
static void edge_products(struct lmm_iter_vb *w)
{
    const struct lmm_iter *x = w->cov.x;
    memset(w->WW, 0, sizeof(double) * (size_t) x->n_big * n2(x));
    for (int f = 0; f < x->n_big; f++) {
        const double *W = lmm_iter_cov_rows(x, f, w->cov.W_l, w->cov.W_R, x->n_e);
        lmm_iter_cov_outer(x->n_e, x->factor[f].n, 1, W, W, w->WW + (size_t) f * n2(x));
    }
}

/* ---- the ascent's questions --------------------------------------------------------------------- */

/* T = tr S_kk of every precision, and the expected quadratic forms. */
static void quadratic_forms(struct lmm_iter_vb *w, struct vb_state *s)
{
    const struct lmm_iter *x = w->cov.x;
    const struct lmm *m = x->m;
    double rss = m->yy, tr_ts = 0;
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        int at = m->prec[k].at, i = m->prec[k].factor;
        double T = f->big ? *lmm_iter_trace_at(&w->trace, w->trace.est, i, 0) +
                                la_dot(n2(x), w->WW + (size_t) i * n2(x), w->cov.S_ee)
                          : 0;
        if (!f->big)
            for (int j = f->at; j < f->at + f->n; j++) T += AT(w->cov.S_ee, j, j, x->n_e);
        w->T[at] = T;
        s->ss[at] = T + la_dot((size_t) f->n, s->m + f->first, s->m + f->first);
        tr_ts += s->t[at] * T;
    }
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                tr_ts += AT(m->Tb, i, j, m->p) * AT(w->cov.S_ee, i, j, x->n_e);
    size_t dim = arrow_dim(&m->shape);
    for (size_t i = 0; i < dim; i++)
        rss -= s->m[i] * (m->h[i] + w->prior_grad[i] / s->t[0]);
    s->ss[0] = (rss < 0 ? 0 : rss) + ((double) dim - tr_ts) / s->t[0];
}

static enum core_status unsolved(const struct lmm_iter_vb *w)
{
    return w->cov.cg.stopped ? CORE_INTERRUPTED : CORE_DEAR;
}

static enum core_status iter_update(void *ctx, struct vb_state *s, struct core_info *info)
{
    struct lmm_iter_vb *w = ctx;
    struct sweep y = {w, s};
    const struct lmm_iter_columns list = {.n = first_columns(w->cov.x, w->trace.probes),
                                          .ctx = &y,
                                          .fill = fill_first,
                                          .ready = ready_first,
                                          .keep = keep_first,
                                          .guess = w->guess};
    (void) info;
    w->cov.solved = true;
    if (!lmm_iter_op_at(&w->cov.op, s->t, w->cov.cg.p)) return CORE_NONFINITE;
    lmm_iter_cov_solve(&w->cov, &list);
    if (!w->cov.solved) return unsolved(w);
    if (!lmm_iter_cov_close(&w->cov, s->t)) return CORE_NONFINITE;
    edge_products(w);
    means(w, s);
    lmm_iter_trace_close(&w->cov.op, &w->trace);
    lmm_prior_gradient(w->cov.x->m, s->t, s->m, w->prior_grad);
    quadratic_forms(w, s);
    return CORE_OK;
}

static void iter_targets(void *ctx, const struct vb_state *s, double *target,
                         double *cavi)
{
    const struct lmm_iter_vb *w = ctx;
    vb_update_precisions(w->cov.x->m, s, target, cavi);
}

/* grad <- [T (m - mu) / tau_e, -m_1, ...]. */
static void gradients(struct lmm_iter_vb *w, const struct vb_state *s)
{
    const struct lmm *m = w->cov.x->m;
    size_t dim = arrow_dim(&m->shape);
    memset(w->grad, 0, sizeof(double) * dim * (size_t) m->n_stat);
    for (size_t i = 0; i < dim; i++) w->grad[i] = w->prior_grad[i] / s->t[0];
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(w->cov.x, k);
        double *g = w->grad + (size_t) m->prec[k].at * dim;
        for (int i = f->first; i < f->first + f->n; i++) g[i] = -s->m[i];
    }
}

/* Q_k = S_ek S_ke of every precision's factor; B_k = tr(T_b Q_k). */
static void edge_squares(struct lmm_iter_vb *w)
{
    const struct lmm_iter *x = w->cov.x;
    const struct lmm *m = x->m;
    int n = x->n_e;
    for (int k = 1; k < m->n_prec; k++) {
        const struct lmm_iter_factor *f = lmm_iter_of(x, k);
        double *Q = w->Q + (size_t) m->prec[k].at * n2(x), B = 0;
        memset(Q, 0, sizeof(double) * n2(x));
        if (f->big) {
            la_matmul(n, w->cov.S_ee, w->WW + (size_t) m->prec[k].factor * n2(x),
                      w->square);
            la_matmul(n, w->square, w->cov.S_ee, Q);
        } else {
            const double *S = w->cov.S_ee + (size_t) f->at * (size_t) n;
            lmm_iter_cov_outer(n, f->n, 1, S, S, Q);
        }
        if (!m->flat)
            for (int j = 0; j < m->p; j++)
                for (int i = 0; i < m->p; i++)
                    B += AT(m->Tb, i, j, m->p) * AT(Q, i, j, n);
        w->B[m->prec[k].at] = B;
    }
}

/* H += all but what the CROSS columns have put there. */
static void pair_traces(struct lmm_iter_vb *w)
{
    const struct lmm_iter *x = w->cov.x;
    const struct lmm *m = x->m;
    for (int k = 1; k < m->n_prec; k++)
        for (int l = 1; l < m->n_prec; l++) {
            const struct lmm_iter_factor *f = lmm_iter_of(x, k), *g = lmm_iter_of(x, l);
            int a = m->prec[k].at, b = m->prec[l].at;
            double *h = &AT(w->H, a, b, m->n_stat);
            if (f->big && g->big) {
                *h +=
                    lmm_iter_trace_pair(&w->trace, m->prec[k].factor, m->prec[l].factor) +
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
static void trace_part(struct lmm_iter_vb *w, struct vb_state *s)
{
    const struct lmm_iter *x = w->cov.x;
    const struct lmm *m = x->m;
    int q = s->lr.q, n = m->n_stat;
    double tau_e = s->t[0], tr_ts = 0, tr_tsts = 0, *TS = w->square;
    memset(TS, 0, sizeof(double) * n2(x));
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p && !m->flat; i++)
            for (int l = 0; l < m->p; l++)
                AT(TS, i, j, m->p) +=
                    AT(m->Tb, i, l, m->p) * AT(w->cov.S_ee, l, j, x->n_e);
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
static void response_part(const struct lmm_iter_vb *w, struct vb_state *s)
{
    size_t dim = arrow_dim(&w->cov.x->m->shape);
    int n = w->cov.x->m->n_stat;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) {
            double a = la_dot(dim, w->grad + (size_t) i * dim, s->J + (size_t) j * dim);
            AT(s->lr.C, i, j, s->lr.q) += a / 2;
            AT(s->lr.C, j, i, s->lr.q) += a / 2;
        }
}

/* J, and C's traces through e. */
static void respond(struct lmm_iter_vb *w, struct vb_state *s)
{
    const struct lmm_iter *x = w->cov.x;
    size_t dim = arrow_dim(&x->m->shape);
    struct sweep y = {w, s};
    const struct lmm_iter_columns list = {.n = second_columns(x),
                                          .ctx = &y,
                                          .fill = fill_second,
                                          .keep = keep_second,
                                          .guess = w->guess2};
    lmm_iter_cov_solve(&w->cov, &list);
    for (int k = 0; k < x->m->n_stat; k++) {
        const double *g = w->grad + (size_t) k * dim;
        for (int i = 0; i < x->n_e; i++) w->cov.b_e[i] = g[lmm_iter_cov_place(x, i)];
        lmm_iter_cov_finish(&w->cov, g, 1, s->J + (size_t) k * dim);
    }
}

static bool iter_coupling(void *ctx, struct vb_state *s)
{
    struct lmm_iter_vb *w = ctx;
    const struct lmm *m = w->cov.x->m;
    size_t q2 = (size_t) s->lr.q * (size_t) s->lr.q;
    memset(s->lr.V, 0, sizeof(double) * q2);
    memset(s->lr.C, 0, sizeof(double) * q2);
    memset(w->H, 0, sizeof(double) * (size_t) m->n_stat * (size_t) m->n_stat);
    gradients(w, s);
    respond(w, s);
    edge_squares(w);
    pair_traces(w);
    trace_part(w, s);
    response_part(w, s);
    vb_coupling_V(m, s);
    return w->cov.solved;
}

/* ---- the fit ------------------------------------------------------------------------------------ */

/* The last block of columns will have more of them, side by side: what it guesses means nothing. */
static void forget_part_block(struct lmm_iter_vb *w)
{
    const struct lmm_iter *x = w->cov.x;
    int n = first_columns(x, w->trace.probes),
        from = n / LMM_ITER_COLUMNS * LMM_ITER_COLUMNS;
    memset(w->guess + (size_t) from * (size_t) x->n_R, 0,
           sizeof(double) * lmm_iter_cov_guess(x, n - from));
}

enum core_status lmm_iter_vb_run(const struct lmm_iter *x,
                                 const struct lmm_iter_control *aim,
                                 const struct vb_control *ctl, struct vb_state *s,
                                 struct lmm_iter_vb *w, const struct core_hooks *h,
                                 struct core_info *info)
{
    const struct ascent q = {w, iter_update, NULL, iter_targets, iter_coupling, 0};
    struct vb_control own = *ctl;
    own.tol = fmax(own.tol, TOL_SWEEPS);
    lmm_iter_cov_begin(&w->cov);
    w->cov.cg.hooks = h;
    memset(w->guess, 0,
           sizeof(double) * lmm_iter_cov_guess(x, first_columns(x, LMM_ITER_PROBES)));
    memset(w->guess2, 0, sizeof(double) * lmm_iter_cov_guess(x, second_columns(x)));
    memset(w->error.mean, 0, sizeof(double) * (size_t) x->m->n_stat);
    memset(w->error.sd, 0, sizeof(double) * (size_t) x->m->n_stat);
    w->trace.probes = aim->probes;
    for (;;) {
        enum core_status st = ascent_run(x->m, &q, &own, s, &w->moves, h, info);
        if (st == CORE_OK && !w->cov.solved) return unsolved(w);
        if (st || !s->lr_ok) return st;
        lmm_iter_error_at(&w->trace, s, &w->error);
        int probes = lmm_iter_error_probes(&w->trace, &w->error, aim);
        if (probes <= w->trace.probes) return CORE_OK;
        forget_part_block(w);
        w->trace.probes = probes;
    }
}
