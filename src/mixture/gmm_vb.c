/* gmm_vb.c: see gmm_vb.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/vech.h"
#include "mixture/gmm_vb.h"

/* Newton steps are tried once no responsibility moves by more than this in a pass. */
static const double NEWTON_FROM = 1e-2;

/* Rounding allowance when two bounds are compared, relative to their size. */
static const double ELBO_SLACK = 1e-12;

/* A fixed point to rounding: where P still fails here, it is no maximum. */
static const double AT_REST = 1e-9;

struct gmm_fit_work gmm_vb_work_carve(const struct gmm *g, struct arena *a)
{
    struct gmm_fit_work w;
    size_t p = (size_t) g->p, k = (size_t) g->k;
    w.w = gmm_work_carve(g, a);
    w.s1 = gmm_stats_carve(g, a);
    w.s2 = gmm_stats_carve(g, a);
    w.s3 = gmm_stats_carve(g, a);
    w.f1 = gmm_factors_carve(g, a);
    w.delta = arena_doubles(a, (size_t) gmm_lr_size(g) * k);
    w.m = arena_doubles(a, p * k);
    w.R = arena_doubles(a, p * p * k);
    w.offset = arena_doubles(a, k);
    return w;
}

static void copy_stats(const struct gmm *g, const struct gmm_stats *from,
                       struct gmm_stats *to)
{
    memcpy(to->N, from->N, sizeof(double) * gmm_stats_size(g));
}

/* What every step of the run needs. */
struct run {
    const struct gmm *g;
    const struct gmm_control *ctl;
    struct gmm_fit *q;
    struct gmm_fit_work *w;
    struct gmm_lr *lr;
    const struct core_hooks *h;
    struct core_info *info;
    double change;         /* of r in the last pass                                   */
    enum core_status stop; /* why the run has to end, or CORE_OK                      */
};

static void record(struct run *z)
{
    struct gmm_fit *q = z->q;
    if (q->rows == z->ctl->trace_rows) return;
    double *t = q->trace + 3 * (size_t) q->rows++;
    t[0] = q->elbo;
    t[1] = z->change;
    t[2] = q->step;
    q->step = -1;
}

/* f <- M(s), r <- E(f), next <- statistics of r, elbo. False when s has no proper factors or
 * the run has to stop. */
static bool advance(struct run *z, const struct gmm_stats *s, struct gmm_stats *next)
{
    struct gmm_fit *q = z->q;
    if (core_stop(z->h, q->passes)) z->stop = CORE_INTERRUPTED;
    if (q->passes >= z->ctl->max_iter) z->stop = CORE_MAXIT;
    if (z->stop || !gmm_update(z->g, s, &q->f, &z->w->w, z->info)) return false;
    double log_sum =
        gmm_pass(z->g, q->f.m, q->f.R, q->f.offset, q->r, next, &z->w->w, &z->change);
    q->passes++;
    q->factored = false;
    q->elbo = gmm_elbo(z->g, &q->f, log_sum);
    if (!isfinite(q->elbo)) {
        z->stop = CORE_NONFINITE;
        return false;
    }
    record(z);
    return true;
}

/* s3 <- s0 - 2 a (s1 - s0) + a^2 (s2 - 2 s1 + s0), a = -|s1 - s0| / |s2 - 2 s1 + s0| <= -1.
 * Counts and sums of squares are compared per row. */
static void extrapolate(const struct gmm *g, const struct gmm_stats *s0,
                        const struct gmm_stats *s1, const struct gmm_stats *s2,
                        struct gmm_stats *s3)
{
    size_t size = gmm_stats_size(g), k = (size_t) g->k, means = k + (size_t) g->p * k;
    double rr = 0, vv = 0;
    for (size_t i = 0; i < size; i++) {
        double unit = i < k || i >= means ? 1.0 / g->n : 1;
        double r = (s1->N[i] - s0->N[i]) * unit, v = (s2->N[i] - s1->N[i]) * unit - r;
        rr += r * r;
        vv += v * v;
    }
    double a = vv > 0 ? -sqrt(rr / vv) : -1;
    if (a > -1) a = -1;
    for (size_t i = 0; i < size; i++) {
        double r = s1->N[i] - s0->N[i], v = s2->N[i] - s1->N[i] - r;
        s3->N[i] = s0->N[i] - 2 * a * r + a * a * v;
    }
}

static bool falls(double from, double to)
{
    return to < from - ELBO_SLACK * (1 + fabs(from));
}

/* One cycle from s = q->s with s1 = F(s) known and f, r, elbo at s; keeps that so. */
static bool squarem(struct run *z)
{
    struct gmm_fit_work *w = z->w;
    struct gmm_fit *q = z->q;
    if (!advance(z, &w->s1, &w->s2)) return false;
    double elbo1 = q->elbo, change = z->change;
    extrapolate(z->g, &q->s, &w->s1, &w->s2, &w->s3);
    if (advance(z, &w->s3, &w->s1) && !falls(elbo1, q->elbo)) {
        copy_stats(z->g, &w->s3, &q->s);
    } else {
        if (z->stop) return false;
        copy_stats(z->g, &w->s2, &q->s);
        if (!advance(z, &q->s, &w->s1)) return false;
    }
    z->change = change; /* of a plain step: the extrapolated one says nothing */
    return true;
}

/* Coordinates of `to` minus those of `from`, see gmm_lr.h. */
static void difference(const struct gmm *g, const struct gmm_factors *from,
                       const struct gmm_factors *to, const struct gmm_lr *lr,
                       double *delta)
{
    int p = g->p, q = gmm_vech(g);
    size_t pp = (size_t) p * (size_t) p;
    double *D = lr->sq, *Q = lr->sq + pp;
    for (int k = 0; k < g->k; k++, delta += lr->B) {
        size_t at = (size_t) k * pp;
        for (int i = 0; i < p; i++)
            delta[i] = to->m[(size_t) (k * p + i)] - from->m[(size_t) (k * p + i)];
        for (size_t i = 0; i < pp; i++) D[i] = to->L[at + i] - from->L[at + i];
        vech_pack(p, D, delta + p);
        gmm_lr_size_slope(g, from, k, Q, lr->sq + 2 * pp);
        delta[p + q + GMM_FREE] = to->mean_logdet[k] - from->mean_logdet[k] -
                                  la_trace_product(p, from->Linv + at, D);
        delta[p + q + GMM_LOG_PI] = to->mean_log_pi[k] - from->mean_log_pi[k];
        delta[p + q + GMM_SIZE] =
            to->trace_LS[k] - from->trace_LS[k] - la_trace_product(p, Q, D);
    }
}

/* w->m, R, offset <- logits at f moved by a * delta. False when a precision is lost. */
static bool move(const struct gmm *g, const struct gmm_factors *f,
                 const struct gmm_lr *lr, double a, const double *delta,
                 struct gmm_fit_work *w)
{
    int p = g->p, q = gmm_vech(g);
    size_t pp = (size_t) p * (size_t) p;
    double *D = lr->sq, *Q = lr->sq + pp;
    for (int k = 0; k < g->k; k++, delta += lr->B) {
        size_t at = (size_t) k * pp;
        for (int i = 0; i < p; i++)
            w->m[(size_t) (k * p + i)] = f->m[(size_t) (k * p + i)] + a * delta[i];
        vech_unpack(p, delta + p, D);
        gmm_lr_size_slope(g, f, k, Q, lr->sq + 2 * pp);
        double logdet = delta[p + q + GMM_FREE] + la_trace_product(p, f->Linv + at, D);
        double size = delta[p + q + GMM_SIZE] + la_trace_product(p, Q, D);
        w->offset[k] =
            f->offset[k] + a * (delta[p + q + GMM_LOG_PI] + 0.5 * (logdet - size));
        for (size_t i = 0; i < pp; i++) w->R[at + i] = f->L[at + i] + a * D[i];
        if (la_chol(p, w->R + at)) return false;
    }
    return true;
}

enum newton { NEWTON_DONE, NEWTON_STEP, NEWTON_NO };

/* A Newton step from q->s (f, r, elbo there, s1 = F(s)). NEWTON_NO leaves the point as it was,
 * or one plain step further. */
static enum newton newton_step(struct run *z, double *length)
{
    const struct gmm *g = z->g;
    struct gmm_fit *q = z->q;
    struct gmm_fit_work *w = z->w;
    double elbo = q->elbo;
    if (!gmm_update(g, &w->s1, &w->f1, &w->w, z->info)) return NEWTON_NO;
    difference(g, &q->f, &w->f1, z->lr, w->delta);
    q->not_pd = gmm_lr_factor(g, &q->s, &q->f, q->r, w->delta, z->lr);
    if (q->not_pd) return NEWTON_NO;
    *length = sqrt(fmax(gmm_lr_newton(z->lr, w->delta), 0));
    q->decrement = q->step = *length;
    q->factored = true;
    if (*length < z->ctl->tol) return NEWTON_DONE;
    if (move(g, &q->f, z->lr, 1, w->delta, w)) {
        gmm_pass(g, w->m, w->R, w->offset, q->r, &w->s3, &w->w, &z->change);
        q->passes++;
        if (advance(z, &w->s3, &w->s2) && !falls(elbo, q->elbo)) {
            copy_stats(g, &w->s3, &q->s);
            copy_stats(g, &w->s2, &w->s1);
            return NEWTON_STEP;
        }
    }
    if (z->stop) return NEWTON_NO;
    copy_stats(g, &w->s1, &q->s); /* the plain step instead */
    advance(z, &q->s, &w->s1);
    return NEWTON_NO;
}

/* Newton steps until done or refused. */
static bool newton(struct run *z)
{
    double last = INFINITY, length = INFINITY;
    for (;;) {
        switch (newton_step(z, &length)) {
        case NEWTON_DONE:
            return true;
        case NEWTON_NO:
            return false;
        case NEWTON_STEP:
            break;
        }
        /* as short as rounding lets it be */
        if (length < 1e-6 && length > 0.5 * last)
            return newton_step(z, &length) == NEWTON_DONE || length < 1e-6;
        last = length;
    }
}

static enum core_status finish(struct run *z, enum core_status st)
{
    if (st == CORE_OK || st == CORE_MAXIT)
        if (z->ctl->newton && !z->q->factored)
            z->q->not_pd = gmm_lr_factor(z->g, &z->q->s, &z->q->f, z->q->r, NULL, z->lr);
    z->info->iter = z->q->passes;
    return st;
}

enum core_status gmm_vb_run(const struct gmm *g, const struct gmm_control *ctl,
                            struct gmm_fit *q, struct gmm_fit_work *w, struct gmm_lr *lr,
                            const struct core_hooks *h, struct core_info *info)
{
    struct run z = {g, ctl, q, w, lr, h, info, INFINITY, CORE_OK};
    double newton_from = NEWTON_FROM;
    q->passes = q->rows = q->not_pd = 0;
    q->decrement = q->step = -1;
    q->factored = false;
    info->block = -1;
    if (!advance(&z, &q->s, &w->s1))
        return finish(&z, z.stop ? z.stop : CORE_NOT_PD_LEAF);
    for (;;) {
        if (!squarem(&z)) break;
        if (!ctl->newton && z.change < ctl->change) return finish(&z, CORE_OK);
        if (!ctl->newton || z.change > newton_from) continue;
        double change = z.change;
        if (newton(&z)) return finish(&z, CORE_OK);
        if (z.stop) break;
        if (q->not_pd && change < AT_REST) return finish(&z, CORE_OK);
        newton_from = 0.1 * change; /* too far away still */
    }
    return finish(&z, z.stop ? z.stop : CORE_NOT_PD_LEAF);
}

/* ---- how normal is it? ----------------------------------------------------------------- */

/* direction <- the x that maximises x'P0 x / x'Sigma^-1 x, one posterior SD long: 200 power
 * iterations. */
static void widest(const struct gmm *g, const struct gmm_fit *q, const struct gmm_lr *lr,
                   double *x, double *work)
{
    double ratio = 1;
    int n = lr->n;
    for (int i = 0; i < n; i++)
        x[i] = sqrt(AT(lr->P, i, i, n)) * (i % 3 - 1 + 0.5 * (i % 2));
    for (int it = 0; it < 200; it++) {
        gmm_lr_prior_multiply(g, &q->s, &q->f, lr, x, work);
        double before = sqrt(la_dot(n, x, work));
        for (int i = 0; i < n; i++) work[i] /= before;
        la_matvec(n, lr->P, work, x);
        double now = la_dot(n, x, work); /* u'P0 Sigma P0 u with u'P0 u = 1 */
        bool settled = fabs(now - ratio) < 1e-6 * now;
        ratio = now;
        if (settled) break;
    }
    gmm_lr_prior_multiply(g, &q->s, &q->f, lr, x, work);
    double unit = sqrt(ratio / la_dot(n, x, work)); /* x'Sigma^-1 x = x'P0 x / ratio */
    for (int i = 0; i < n; i++) x[i] *= unit;
}

void gmm_vb_probe(const struct gmm *g, const struct gmm_fit *q, const struct gmm_lr *lr,
                  struct gmm_fit_work *w, double *slope, double *direction)
{
    struct core_info info;
    double change;
    widest(g, q, lr, direction, w->delta);
    for (int side = 0; side < 2; side++) {
        double a = side ? 1 : -1;
        slope[side] = 0;
        if (!move(g, &q->f, lr, a, direction, w)) continue;
        gmm_pass(g, w->m, w->R, w->offset, q->r, &w->s3, &w->w, &change);
        if (!gmm_update(g, &w->s3, &w->f1, &w->w, &info)) continue;
        /* F(x* + a d) - (x* + a d) = -a d / ratio when the response is linear */
        difference(g, &q->f, &w->f1, lr, w->delta);
        for (int i = 0; i < lr->n; i++) w->delta[i] -= a * direction[i];
        gmm_lr_prior_multiply(g, &q->s, &q->f, lr, w->delta, lr->rhs);
        slope[side] = -a * la_dot(lr->n, direction, lr->rhs);
    }
}
