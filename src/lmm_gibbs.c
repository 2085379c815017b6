/* lmm_gibbs.c: one function per full conditional (see lmm_gibbs.h). */
#include <math.h>
#include <string.h>
#include "la.h"
#include "lmm_gibbs.h"

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

/* theta | tau ~ N(P^-1 b, P^-1), b = tau_e h + T mu:  theta = F^-T (F^-1 b + z). */
static enum core_status gibbs_draw_theta(const struct lmm *m, struct gibbs_state *s,
                                         struct gibbs_work *w, struct core_info *info)
{
    size_t dim = arrow_dim(&m->shape);
    lmm_precision(m, s->t, &w->P);
    enum core_status st = arrow_factor(&m->shape, &w->P, &w->F, info);
    if (st) return st;
    lmm_rhs(m, s->t[0], s->theta);
    arrow_forwardsolve(&m->shape, &w->F, s->theta);
    rand_normals(&w->zig, dim, w->z);
    for (size_t i = 0; i < dim; i++) s->theta[i] += w->z[i];
    arrow_backsolve(&m->shape, &w->F, s->theta);
    return CORE_OK;
}

/* ||W^1/2 (y - C theta)||^2 = rss_0 - 2 d'(h - G theta_0) + d'G d,  d = theta - theta_0.
 * Leaves G d in w->Gdev for the scale move. */
static double residual_ss(const struct lmm *m, const struct gibbs_centre *c,
                          const struct gibbs_state *s, struct gibbs_work *w)
{
    size_t dim = arrow_dim(&m->shape);
    double rss = c->rss;
    for (size_t i = 0; i < dim; i++) w->dev[i] = s->theta[i] - c->theta[i];
    arrow_mul(&m->shape, &m->G, w->dev, w->Gdev);
    for (size_t i = 0; i < dim; i++) rss += w->dev[i] * (w->Gdev[i] - 2 * c->grad[i]);
    return rss < 0 ? 0 : rss; /* fmax() would turn a NaN into zero */
}

static double sum_squares(size_t n, const double *x)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += x[i] * x[i];
    return s;
}

/* tau_k | theta, c_k and c_k | tau_k. */
static void gibbs_draw_precision(const struct lmm *m, struct gibbs_state *s, int k, double ss)
{
    int a = lmm_aux(m, k);
    double c = a < 0 ? 0 : s->t[a];
    s->t[k] = rand_gamma(lmm_shape(m, k), lmm_rate(m, k, c, ss));
    if (a >= 0) s->t[a] = rand_gamma(lmm_shape(m, a), lmm_aux_rate(m, k, s->t[k]));
}

/* Log density of x = log a under the scale move, up to a constant:
 *     -tau_e (2 (1 - a) l + (1 - a)^2 q) / 2 + log prior of tau_u / a^2 times the Jacobian,
 * with l = u'Z'W(y - C theta), q = u'Z'WZ u; the density of u given tau_u is unchanged
 * [Liu & Sabatti 2000]. Gamma(shape, rate): -2 shape x - rate tau_u / a^2. Half-t, its
 * auxiliary integrated out so that a large df does not slow the move:
 *     -2 shape x - (df + 1)/2 log(df tau_u / a^2 + 1 / scale^2). */
struct scale_move {
    double tau_e, l, q, shape, rate_tau, aux_shape, aux_rate;
};

static double scale_log_density(double x, const void *ctx)
{
    const struct scale_move *v = ctx;
    double a = exp(x), b = 1 - a, own = v->rate_tau / (a * a);
    double prior = v->aux_shape > 0 ? v->aux_shape * log(own + v->aux_rate) : own;
    return -0.5 * v->tau_e * (2 * b * v->l + b * b * v->q) - 2 * v->shape * x - prior;
}

/* u'Z'WZ u, leaf block by leaf block. */
static double leaf_quadratic(const struct lmm *m, const double *u)
{
    double sum = 0;
    int r = m->shape.r;
    for (int g = 0; g < m->shape.n_leaf; g++) {
        const double *D = m->G.leaf + (size_t) g * (size_t) r * (size_t) r;
        for (int j = 0; j < r; j++)
            for (int i = 0; i < r; i++) sum += u[i] * AT(D, i, j, r) * u[j];
        u += r;
    }
    return sum;
}

/* Interweaving: (u, tau_u) -> (a u, tau_u / a^2). Needs w->Gdev of residual_ss(). */
static void gibbs_move_scale(const struct lmm *m, const struct gibbs_centre *c,
                             struct gibbs_state *s, const struct gibbs_work *w)
{
    size_t ng = (size_t) m->shape.n_global, dim = arrow_dim(&m->shape);
    int aux = lmm_aux(m, 1);
    struct scale_move v = {.tau_e = s->t[0], .shape = m->prior[1].shape};
    if (aux >= 0) {
        v.aux_shape = lmm_shape(m, aux);
        v.aux_rate = m->prior[1].aux_rate;
    }
    v.rate_tau = (aux < 0 ? m->prior[1].rate : m->prior[1].df) * s->t[1];
    for (size_t i = ng; i < dim; i++) v.l += s->theta[i] * (c->grad[i] - w->Gdev[i]);
    v.q = leaf_quadratic(m, s->theta + ng);
    /* a bracket of about four posterior SDs of log a when u is well determined; it must not
     * depend on anything the move changes, or the move would not be reversible */
    double width = 4 / sqrt(1 + (double) (dim - ng));
    double a = exp(rand_slice(0, width, scale_log_density, &v));
    for (size_t i = ng; i < dim; i++) s->theta[i] *= a;
    s->t[1] /= a * a;
    if (aux >= 0) s->t[aux] = rand_gamma(v.aux_shape, lmm_aux_rate(m, 1, s->t[1]));
}

static void keep(const struct lmm *m, const struct gibbs_control *ctl, struct gibbs_state *s,
                 int row)
{
    size_t kept = (size_t) gibbs_kept(ctl), at = (size_t) row;
    size_t ng = (size_t) m->shape.n_global, nu = arrow_dim(&m->shape) - ng;
    for (int j = 0; j < m->p; j++) AT(s->draws, at, j, kept) = s->theta[j];
    for (int k = 0; k < m->n_prec; k++) AT(s->draws, at, m->p + k, kept) = s->t[k];
    double step = 1 / (double) (row + 1);
    for (size_t i = 0; i < nu; i++) {
        double u = s->theta[ng + i], d = u - s->u_mean[i];
        s->u_mean[i] += d * step;
        s->u_m2[i] += d * (u - s->u_mean[i]);
        if (s->u_draws) AT(s->u_draws, at, i, kept) = u;
    }
}

static enum core_status gibbs_sweep(const struct lmm *m, const struct gibbs_control *ctl,
                                    const struct gibbs_centre *c, struct gibbs_state *s,
                                    struct gibbs_work *w, struct core_info *info)
{
    size_t ng = (size_t) m->shape.n_global, dim = arrow_dim(&m->shape);
    enum core_status st = gibbs_draw_theta(m, s, w, info);
    if (st) return st;
    gibbs_draw_precision(m, s, 0, residual_ss(m, c, s, w));
    if (m->n_prec > 1) {
        gibbs_draw_precision(m, s, 1, sum_squares(dim - ng, s->theta + ng));
        if (ctl->interweave) gibbs_move_scale(m, c, s, w);
    }
    for (int k = 0; k < m->n_prec; k++)
        if (!isfinite(s->t[k]) || !(s->t[k] > 0)) return CORE_NONFINITE;
    return CORE_OK;
}

enum core_status gibbs_run(const struct lmm *m, const struct gibbs_control *ctl,
                           const struct gibbs_centre *c, struct gibbs_state *s,
                           struct gibbs_work *w, const struct core_hooks *h,
                           struct core_info *info)
{
    int kept = 0;
    for (info->iter = 0; info->iter < ctl->iter; info->iter++) {
        if (core_stop(h, info->iter)) return CORE_INTERRUPTED;
        enum core_status st = gibbs_sweep(m, ctl, c, s, w, info);
        if (st) return st;
        int past = info->iter + 1 - ctl->warmup;
        if (past > 0 && past % ctl->thin == 0) keep(m, ctl, s, kept++);
    }
    return CORE_OK;
}
