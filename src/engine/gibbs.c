/* gibbs.c: one function per full conditional (see gibbs.h). */
#include <math.h>
#include "base/la.h"
#include "engine/gibbs.h"

enum { RR = VECH_MAX_R * VECH_MAX_R };

struct gibbs_work gibbs_work_carve(const struct lmm *m, struct arena *a)
{
    struct gibbs_work w;
    size_t dim = arrow_dim(&m->shape);
    w.P = arrow_carve(&m->shape, a);
    w.F = arrow_carve(&m->shape, a);
    w.z = arena_doubles(a, dim);
    w.dev = arena_doubles(a, dim);
    w.Gdev = arena_doubles(a, dim);
    w.zig = rand_ziggurat();
    return w;
}

enum core_status gibbs_draw_theta(const struct lmm *m, struct gibbs_state *s,
                                  struct gibbs_work *w, struct core_info *info)
{
    size_t dim = arrow_dim(&m->shape);
    lmm_precision(m, s->t, &w->P);
    enum core_status st = arrow_factor(&m->shape, &w->P, &w->F, info);
    if (st) return st;
    lmm_rhs(m, lmm_tau_e(m, s->t), s->theta);
    arrow_forwardsolve(&m->shape, &w->F, s->theta);
    rand_normals(&w->zig, dim, w->z);
    for (size_t i = 0; i < dim; i++) s->theta[i] += w->z[i];
    arrow_backsolve(&m->shape, &w->F, s->theta);
    return CORE_OK;
}

/* ||W^1/2 (y - C theta)||^2 = rss_0 - 2 d'(h - G theta_0) + d'G d,  d = theta - theta_0.
 * Leaves G d in w->Gdev for the scale move. */
static double residual_ss(const struct lmm *m, const struct lmm_centre *c,
                          const struct gibbs_state *s, struct gibbs_work *w)
{
    size_t dim = arrow_dim(&m->shape);
    double rss = c->rss;
    for (size_t i = 0; i < dim; i++) w->dev[i] = s->theta[i] - c->theta[i];
    arrow_mul(&m->shape, &m->G, w->dev, w->Gdev);
    for (size_t i = 0; i < dim; i++) rss += w->dev[i] * (w->Gdev[i] - 2 * c->grad[i]);
    return rss < 0 ? 0 : rss; /* fmax() would turn a NaN into zero */
}

bool gibbs_draw_precision(const struct lmm *m, double *t, const struct ziggurat *zig,
                          int k, const double *ss)
{
    const struct precision *pr = &m->prec[k];
    double R[RR], X[RR], work[RR], *c = t + (pr->aux < 0 ? 0 : pr->aux);
    lmm_rate(m, k, c, ss, R);
    if (la_chol(pr->r, R)) return false;
    rand_wishart(pr->r, lmm_df(m, k), R, zig, X, work);
    vech_pack(pr->r, X, t + pr->at);
    if (pr->aux >= 0)
        for (int i = 0; i < pr->r; i++)
            c[i] = rand_gamma(lmm_aux_shape(m, k),
                              lmm_aux_rate(m, k, i, AT(X, i, i, pr->r)));
    return true;
}

struct scale_prior gibbs_scale_prior(const struct lmm *m, const double *t, int k, int i)
{
    const struct precision *pr = &m->prec[k];
    double own = t[pr->at + vech_at(pr->r, i, i)];
    struct scale_prior v = {.df0 = pr->df0};
    if (pr->aux >= 0) {
        v.own = pr->nu * own;
        v.aux_rate = pr->aux_rate[i];
        v.aux_shape = lmm_aux_shape(m, k);
        return v;
    }
    v.own = AT(pr->rate0, i, i, pr->r) * own;
    for (int j = 0; j < pr->r; j++)
        if (j != i)
            v.other += AT(pr->rate0, i, j, pr->r) *
                       t[pr->at + vech_at(pr->r, j > i ? j : i, j > i ? i : j)];
    return v;
}

double gibbs_scale_log_prior(const struct scale_prior *v, double x)
{
    double a = exp(x), own = v->own / (a * a);
    double prior = v->aux_shape > 0 ? v->aux_shape * log(own + v->aux_rate)
                                    : 0.5 * own + v->other / a;
    return -v->df0 * x - prior;
}

double gibbs_scale_width(const struct precision *pr)
{
    /* a bracket of about four posterior SDs of log a when u is well determined; it must not
     * depend on anything the move changes, or the move would not be reversible */
    return 4 / sqrt(1 + (double) pr->n_levels);
}

void gibbs_scale_precision(const struct lmm *m, double *t, int k, int i, double a)
{
    int r = m->prec[k].r;
    double *L = t + m->prec[k].at;
    for (int j = 0; j < r; j++)
        L[vech_at(r, j > i ? j : i, j > i ? i : j)] /= j == i ? a * a : a;
}

void gibbs_draw_auxiliary(const struct lmm *m, double *t, int k, int i)
{
    const struct precision *pr = &m->prec[k];
    if (pr->aux < 0) return;
    double x = t[pr->at + vech_at(pr->r, i, i)];
    t[pr->aux + i] = rand_gamma(lmm_aux_shape(m, k), lmm_aux_rate(m, k, i, x));
}

void gibbs_apply_scale(const struct lmm *m, double *t, double *theta, int k, int i,
                       double a)
{
    for (int g = 0; g < m->prec[k].n_levels; g++)
        theta[lmm_coef(m, k, g) + (size_t) i] *= a;
    gibbs_scale_precision(m, t, k, i, a);
    gibbs_draw_auxiliary(m, t, k, i);
}

/* The likelihood's part of the scale move,
 *     -tau_e (2 (1 - a) l + (1 - a)^2 q) / 2,
 * with l = u'Z'W(y - C theta), q = u'Z'WZ u over the coefficient's u. */
struct scale_move {
    struct scale_prior prior;
    double tau_e, l, q;
};

static double scale_log_density(double x, const void *ctx)
{
    const struct scale_move *v = ctx;
    double b = 1 - exp(x);
    return -0.5 * v->tau_e * (2 * b * v->l + b * b * v->q) +
           gibbs_scale_log_prior(&v->prior, x);
}

/* l and q of coefficient i of precision k, from w->Gdev and the diagonal of the Gram. */
static void scale_likelihood(const struct lmm *m, const struct lmm_centre *c,
                             const struct gibbs_state *s, const struct gibbs_work *w,
                             int k, int i, struct scale_move *v)
{
    const struct precision *pr = &m->prec[k];
    int R = m->shape.r;
    v->l = v->q = 0;
    for (int g = 0; g < pr->n_levels; g++) {
        size_t at = lmm_coef(m, k, g) + (size_t) i;
        int d = pr->first + i;
        double u = s->theta[at];
        double zz = pr->leaf
                        ? m->G.leaf[((size_t) g * (size_t) R + (size_t) d) * (size_t) R +
                                    (size_t) d]
                        : m->G.global[arrow_shape_at(&m->shape, (int) at, (int) at)];
        v->l += u * (c->grad[at] - w->Gdev[at]);
        v->q += u * u * zz;
    }
}

/* Coefficient i of the user's effects of level g of precision k. */
static double user_effect(const struct lmm *m, int k, const double *theta, int g, int i)
{
    const struct precision *pr = &m->prec[k];
    const double *v = theta + lmm_coef(m, k, g);
    if (!pr->map) return v[i];
    double u = 0;
    for (int j = 0; j < pr->r; j++) u += AT(pr->map, i, j, pr->r) * v[j];
    return u;
}

void gibbs_keep(const struct lmm *m, struct gibbs_state *s, int kept, int row)
{
    size_t at = (size_t) row, p = (size_t) m->p;
    for (int j = 0; j < m->p; j++) AT(s->draws, at, j, kept) = s->theta[j];
    for (int k = 0; k < m->n_stat; k++) AT(s->draws, at, m->p + k, kept) = s->t[k];
    double step = 1 / (double) (row + 1);
    for (int k = m->first_term; k < m->n_prec; k++)
        for (int g = 0; g < m->prec[k].n_levels; g++)
            for (int a = 0; a < m->prec[k].r; a++) {
                size_t i = lmm_coef(m, k, g) + (size_t) a - p;
                double u = user_effect(m, k, s->theta, g, a), d = u - s->u_mean[i];
                s->u_mean[i] += d * step;
                s->u_m2[i] += d * (u - s->u_mean[i]);
                if (s->u_draws) AT(s->u_draws, at, i, kept) = u;
            }
}

bool gibbs_valid_precisions(const struct lmm *m, const double *t)
{
    for (int k = 0; k < m->n_par; k++)
        if (!isfinite(t[k])) return false;
    for (int k = 0; k < m->n_prec; k++)
        for (int i = 0; i < m->prec[k].r; i++)
            if (!(t[m->prec[k].at + vech_at(m->prec[k].r, i, i)] > 0)) return false;
    return true;
}

bool gibbs_draw_terms(const struct lmm *m, double *t, const double *theta,
                      const struct ziggurat *zig, void (*move)(void *ctx, int k, int i),
                      void *ctx)
{
    double ss[RR];
    for (int k = m->first_term; k < m->n_prec; k++) {
        lmm_outer_u(m, k, theta, ss);
        if (!gibbs_draw_precision(m, t, zig, k, ss)) return false;
        for (int i = 0; move && i < m->prec[k].r; i++) move(ctx, k, i);
    }
    return true;
}

/* ---- the chain ------------------------------------------------------------------------------ */

/* Interweaving for coefficient i of precision k. */
static void move_scale(void *ctx, int k, int i)
{
    struct gibbs_chain *x = ctx;
    struct gibbs_state *s = x->s;
    if (!x->fresh) residual_ss(x->m, x->c, s, x->w); /* theta moved: G d anew */
    struct scale_move v = {.prior = gibbs_scale_prior(x->m, s->t, k, i),
                           .tau_e = s->t[0]};
    scale_likelihood(x->m, x->c, s, x->w, k, i, &v);
    double log_a =
        rand_slice(0, gibbs_scale_width(&x->m->prec[k]), scale_log_density, &v);
    gibbs_apply_scale(x->m, s->t, s->theta, k, i, exp(log_a));
    x->fresh = false;
}

static enum core_status sweep(void *ctx, struct core_info *info)
{
    struct gibbs_chain *x = ctx;
    const struct lmm *m = x->m;
    double *t = x->s->t;
    enum core_status st = gibbs_draw_theta(m, x->s, x->w, info);
    if (st) return st;
    double rss = residual_ss(m, x->c, x->s, x->w);
    x->fresh = true;
    bool ok = gibbs_draw_precision(m, t, &x->w->zig, 0, &rss) &&
              gibbs_draw_terms(m, t, x->s->theta, &x->w->zig,
                               x->ctl.interweave ? move_scale : NULL, x);
    return ok && gibbs_valid_precisions(m, t) ? CORE_OK : CORE_NONFINITE;
}

static void keep(void *ctx, int row)
{
    const struct gibbs_chain *x = ctx;
    gibbs_keep(x->m, x->s, sampler_kept(&x->ctl.run), row);
}

struct sampler gibbs_sampler(struct gibbs_chain *x)
{
    return (struct sampler){x, NULL, sweep, keep};
}
