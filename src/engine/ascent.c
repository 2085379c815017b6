/* ascent.c: see ascent.h. */
#include <math.h>
#include <string.h>
#include "base/logchol.h"
#include "engine/ascent.h"

/* A longer Newton step than this on the log scale has left the region where the linear
 * response is informative (a factor of 20): take the CAVI step instead. */
static const double MAX_NEWTON_STEP = 3.0;

/* Rounding allowance when two ELBO values are compared, relative to their size. */
static const double ELBO_SLACK = 1e-11;

enum { RR = VECH_MAX_R * VECH_MAX_R, RV = VECH_MAX_R * (VECH_MAX_R + 1) / 2 };

struct ascent_work ascent_work_carve(const struct lmm *m, struct arena *a)
{
    size_t q = (size_t) m->n_par;
    struct ascent_work w;
    w.target = arena_doubles(a, q);
    w.cavi = arena_doubles(a, q);
    w.step = arena_doubles(a, q);
    w.resid = arena_doubles(a, q);
    return w;
}

/* ---- moves on the log-Cholesky scale (logchol.h): lengths are doubled, so that they are changes
 * of log precisions. */

/* Walk over the pieces of t: precision matrices, then single auxiliaries. */
static int n_pieces(const struct lmm *m) { return m->n_prec + m->n_par - m->n_stat; }
static int piece_r(const struct lmm *m, int i)
{
    return i < m->n_prec ? m->prec[i].r : 1;
}
static int piece_at(const struct lmm *m, int i)
{
    return i < m->n_prec ? m->prec[i].at : m->n_stat + i - m->n_prec;
}

/* resid <- D (l(F(t)) - l(t)) in linear coordinates; plain = the log-scale difference itself,
 * times two. False when a target is not positive definite. */
static bool log_residual(const struct lmm *m, const double *t, const double *target,
                         double *resid, double *plain)
{
    for (int i = 0; i < n_pieces(m); i++) {
        int r = piece_r(m, i), at = piece_at(m, i);
        double l[RV], dl[RV];
        if (!logchol_from_vech(r, t + at, l) || !logchol_from_vech(r, target + at, dl))
            return false;
        for (int j = 0; j < vech_size(r); j++) {
            dl[j] -= l[j];
            plain[at + j] = 2 * dl[j];
        }
        logchol_push(r, l, dl, resid + at);
    }
    return true;
}

/* t <- the point reached from t by the linear-coordinate step dt, moved in log coordinates;
 * step gets the log-scale move, times two. */
static void log_step(const struct lmm *m, const double *t, const double *dt, double *step)
{
    for (int i = 0; i < n_pieces(m); i++) {
        int r = piece_r(m, i), at = piece_at(m, i);
        double l[RV];
        logchol_from_vech(r, t + at, l);
        logchol_pull(r, l, dt + at, step + at);
        for (int j = 0; j < vech_size(r); j++) step[at + j] *= 2;
    }
}

static void move(const struct lmm *m, const double *step, double *t)
{
    for (int i = 0; i < n_pieces(m); i++) {
        int r = piece_r(m, i), at = piece_at(m, i);
        double l[RV], L[RR];
        logchol_from_vech(r, t + at, l);
        for (int j = 0; j < vech_size(r); j++) l[j] += 0.5 * step[at + j];
        logchol_factor(r, l, L);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) {
                double s = 0;
                for (int c = 0; c <= b; c++) s += AT(L, a, c, r) * AT(L, b, c, r);
                t[at + vech_at(r, a, b)] = s;
            }
    }
}

/* w->step <- the move from t: Newton where it is safe, otherwise CAVI. */
static enum vb_step choose_step(const struct lmm *m, const struct ascent *q,
                                const struct vb_control *ctl, struct vb_state *s,
                                struct ascent_work *w)
{
    if (!log_residual(m, s->t, w->cavi, w->resid, w->step)) {
        w->step[0] = NAN;
        return VB_STEP_CAVI;
    }
    if (!ctl->newton) return VB_STEP_CAVI;
    if (!q->coupling(q->ctx, s) || !lr_respond(&s->lr)) return VB_STEP_CAVI;
    /* target's residual overwrites cavi's log-scale step only if the Newton step is taken */
    if (!log_residual(m, s->t, w->target, w->resid, w->target)) return VB_STEP_CAVI;
    lr_newton(&s->lr, w->resid, w->target);
    log_step(m, s->t, w->target, w->resid);
    for (int k = 0; k < m->n_par; k++)
        if (!isfinite(w->resid[k]) || fabs(w->resid[k]) > MAX_NEWTON_STEP)
            return VB_STEP_CAVI;
    memcpy(w->step, w->resid, sizeof(double) * (size_t) m->n_par);
    return VB_STEP_NEWTON;
}

static double max_abs(int n, const double *x)
{
    double m = 0;
    for (int i = 0; i < n; i++) {
        if (isnan(x[i])) return x[i];
        m = fmax(m, fabs(x[i]));
    }
    return m;
}

static void record(const struct lmm *m, const struct vb_control *ctl, struct vb_state *s,
                   int iter, double change, enum vb_step kind)
{
    size_t q = (size_t) m->n_par;
    if (iter >= ctl->trace_rows) return;
    double *row = s->trace + (size_t) iter * (q + 3);
    memcpy(row, s->t, sizeof(double) * q);
    row[q] = s->elbo;
    row[q + 1] = change;
    row[q + 2] = (double) kind;
}

/* s->elbo, NaN where the model has no bound. False when it is not finite. */
static bool bound(const struct ascent *q, struct vb_state *s)
{
    s->elbo = q->elbo ? q->elbo(q->ctx, s) : NAN;
    return !q->elbo || isfinite(s->elbo);
}

/* At the optimum: linear response of the final q. */
static void finish(const struct ascent *q, struct vb_state *s)
{
    s->lr_ok = q->coupling(q->ctx, s) && lr_respond(&s->lr);
}

enum core_status ascent_run(const struct lmm *m, const struct ascent *q,
                            const struct vb_control *ctl, struct vb_state *s,
                            struct ascent_work *w, const struct core_hooks *h,
                            struct core_info *info)
{
    enum vb_step kind = VB_STEP_CAVI, last_kind = VB_STEP_CAVI;
    size_t bytes = sizeof(double) * (size_t) m->n_par;
    double best = -INFINITY, change = INFINITY, last_change = INFINITY;
    for (int k = 0; k < m->n_prec; k++) s->df[k] = lmm_df(m, k);
    for (info->iter = 0; info->iter < ctl->max_iter; info->iter++) {
        if (core_stop(h, info->iter)) return CORE_INTERRUPTED;
        enum core_status st = q->update(q->ctx, s, info);
        if (st) return st;
        if (!bound(q, s)) return CORE_NONFINITE;
        if (q->elbo && kind == VB_STEP_NEWTON &&
            s->elbo < best - ELBO_SLACK * (1 + fabs(best))) {
            record(m, ctl, s, info->iter, change, VB_STEP_REJECTED);
            memcpy(s->t, w->cavi, bytes); /* of the last good point */
            kind = VB_STEP_CAVI;
            continue;
        }
        best = s->elbo;
        q->targets(q->ctx, s, w->target, w->cavi);
        kind = choose_step(m, q, ctl, s, w);
        change = max_abs(m->n_par, w->step);
        if (!isfinite(change)) return CORE_NONFINITE;
        record(m, ctl, s, info->iter, change, kind);
        /* below 1e-7 a Newton step that no longer shrinks is rounding noise */
        bool floor =
            kind == VB_STEP_NEWTON && change < 1e-7 && change >= 0.5 * last_change;
        if (change <= ctl->tol || floor) {
            info->iter++;
            s->lr_ok = true; /* of the Newton step just refused as negligible */
            if (kind != VB_STEP_NEWTON) finish(q, s);
            return CORE_OK;
        }
        if (kind == VB_STEP_CAVI)
            memcpy(s->t, w->cavi, bytes);
        else
            move(m, w->step, s->t);
        /* what is left shrinks by change / last_change at least, quadratic convergence or not */
        if (kind == VB_STEP_NEWTON && last_kind == VB_STEP_NEWTON &&
            change < last_change && change * (change / last_change) <= q->settled) {
            info->iter++;
            return CORE_OK;
        }
        last_change = change;
        last_kind = kind;
    }
    enum core_status st = q->update(q->ctx, s, info);
    if (st) return st;
    if (!bound(q, s)) return CORE_NONFINITE;
    finish(q, s);
    return CORE_MAXIT;
}
