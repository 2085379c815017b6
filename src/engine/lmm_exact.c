/* lmm_exact.c: see lmm_exact.h. */
#include <float.h>
#include <math.h>
#include <string.h>
#include "base/lanes.h"
#include "base/scale_free.h"
#include "model/lmm_prior.h"
#include "engine/lmm_exact.h"

static const double LOG_2PI = 1.837877066409345483560659472811;
static const double MAX_PSI =
    300; /* exp() of it and its reciprocal leave room for products */
/* What cancels in min q may be wrong by this much. Only residuals of (almost) zero let the density
 * live where more would be lost: there the sums of squares no longer know it. */
static const double MAX_ROUNDING = 0.01;

struct lmm_exact lmm_exact_carve(const struct lmm *m, struct arena *a)
{
    struct lmm_exact e = {.m = m};
    e.P = arrow_carve(&m->shape, a);
    e.F = arrow_carve(&m->shape, a);
    e.t = arena_doubles(a, (size_t) m->n_par);
    e.g = arena_doubles(a, arrow_dim(&m->shape));
    e.outer = arena_doubles(a, (size_t) m->n_stat);
    e.zero_theta = arena_doubles(a, arrow_dim(&m->shape));
    e.zero_grad = arena_doubles(a, arrow_dim(&m->shape));
    e.prior_const = arena_doubles(a, (size_t) m->n_prec);
    e.d = arena_doubles(a, arrow_dim(&m->shape));
    e.Gd = arena_doubles(a, arrow_dim(&m->shape));
    e.d_inv = arena_doubles(a, arrow_leaf_size(&m->shape));
    e.q = arena_doubles(a, arrow_cross_size(&m->shape));
    e.scratch = arena_doubles(a, (size_t) m->shape.n_global *
                                     (size_t) (m->shape.r > 1 ? m->shape.r : 1));
    e.pull = arena_doubles(a, (size_t) m->p);
    e.in_lanes = lmm_exact_lanes_serve(m);
    if (e.in_lanes) e.lanes = lmm_exact_lanes_carve(m, a);
    return e;
}

/* The stored fit without its effects: with d = (0, -u), h - G (theta + d) = grad - G d and
 * rss = rss - 2 d'grad + d'G d. */
static void drop_effects(struct lmm_exact *e)
{
    const struct lmm *m = e->m;
    size_t dim = arrow_dim(&m->shape), p = (size_t) m->p;
    double *d = e->g, *Gd = e->zero_grad, rss = e->centre->rss;
    memset(d, 0, sizeof(double) * p);
    for (size_t i = p; i < dim; i++) d[i] = -e->centre->theta[i];
    arrow_mul(&m->shape, &m->G, d, Gd);
    for (size_t i = 0; i < dim; i++) {
        rss += d[i] * (Gd[i] - 2 * e->centre->grad[i]);
        e->zero_grad[i] = e->centre->grad[i] - Gd[i];
        e->zero_theta[i] = i < p ? e->centre->theta[i] : 0;
    }
    e->zero = (struct lmm_centre){e->zero_theta, e->zero_grad, rss > 0 ? rss : 0};
}

void lmm_exact_prepare(struct lmm_exact *e)
{
    const struct lmm *m = e->m;
    const double *theta = e->centre->theta;
    double U[VECH_MAX_R * VECH_MAX_R];
    drop_effects(e);
    e->quad_beta = 0;
    for (int i = 0; i < m->p; i++) {
        e->pull[i] = 0;
        for (int j = 0; j < m->p && !m->flat; j++)
            e->pull[i] += AT(m->Tb, i, j, m->p) * (theta[j] - m->mu[j]);
        e->quad_beta += m->flat ? 0 : e->pull[i] * (theta[i] - m->mu[i]);
    }
    if (e->in_lanes) {
        e->lanes.free_grad = e->centre->grad;
        e->lanes.free_u = theta;
        e->lanes.zero_grad = e->zero_grad;
        e->lanes.pull = e->pull;
    }
    e->outer[0] = 0;
    for (int k = 0; k < m->n_prec; k++) {
        e->prior_const[k] = lmm_prior_constant(m, k);
        if (k == 0) continue;
        lmm_outer_u(m, k, theta, U);
        vech_pack(m->prec[k].r, U, e->outer + m->prec[k].at);
    }
}

static double vech_trace(int r, const double *x, const double *y)
{
    double s = 0;
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            s += (a == b ? 1 : 2) * x[vech_at(r, a, b)] * y[vech_at(r, a, b)];
    return s;
}

/* What does not need the data at a psi: t into e->t, and */
struct at_psi {
    double prior, logdet_T, pull; /* pull: sum of u_0' Lambda u_0                     */
    bool free;                    /* is the stored fit nearer to the minimum?         */
};

static bool terms_at(struct lmm_exact *e, const double *psi, struct at_psi *at)
{
    const struct lmm *m = e->m;
    *at = (struct at_psi){0, m->logdet_Tb, 0, false};
    for (int i = 0; i < m->n_stat; i++)
        if (!(fabs(psi[i]) < MAX_PSI)) return false;
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        double jacobian, logdet;
        logdet = scale_free_to_vech(pr->r, psi + pr->at, e->t + pr->at, &jacobian);
        at->prior +=
            lmm_prior_log_density(m, k, e->prior_const[k], e->t + pr->at, logdet) +
            jacobian;
        at->logdet_T += pr->n_levels * logdet;
        if (k > 0) at->pull += vech_trace(pr->r, e->t + pr->at, e->outer + pr->at);
    }
    at->free = at->pull + e->t[0] * e->centre->rss <= e->t[0] * e->zero.rss;
    return true;
}

/* q(theta_0), -INFINITY where rounding would show in what is left of it. */
static double quad_at(const struct lmm_exact *e, double tau_e, const struct at_psi *at)
{
    double rss = at->free ? e->centre->rss : e->zero.rss;
    double quad = e->quad_beta + tau_e * rss + (at->free ? at->pull : 0);
    return DBL_EPSILON * quad > MAX_ROUNDING ? INFINITY : quad;
}

/* f(psi) from log |P| and min q. */
static double log_density_of(const struct lmm *m, double log_tau, const struct at_psi *at,
                             double logdet, double quad)
{
    double flat = m->flat ? m->p * LOG_2PI : 0;
    return at->prior + 0.5 * (m->n * (log_tau - LOG_2PI) + m->sum_log_w + at->logdet_T -
                              logdet - quad + flat);
}

double lmm_exact_log_density(void *exact, const double *psi)
{
    struct lmm_exact *e = exact;
    const struct lmm *m = e->m;
    size_t dim = arrow_dim(&m->shape);
    struct at_psi at;
    if (!terms_at(e, psi, &at)) return -INFINITY;
    lmm_precision(m, e->t, &e->P);
    if (arrow_factor(&m->shape, &e->P, &e->F, &e->info)) return -INFINITY;
    e->from = at.free ? e->centre : &e->zero;
    lmm_prior_gradient(m, e->t, e->from->theta, e->g);
    for (size_t i = 0; i < dim; i++) e->g[i] = e->t[0] * e->from->grad[i] - e->g[i];
    arrow_forwardsolve(&m->shape, &e->F, e->g);
    double quad = quad_at(e, e->t[0], &at);
    if (!isfinite(quad)) return -INFINITY;
    for (size_t i = 0; i < dim; i++) quad -= e->g[i] * e->g[i];
    e->prior = at.prior;
    return log_density_of(m, psi[0], &at, arrow_logdet(&m->shape, &e->F), quad);
}

/* ---- four at once -------------------------------------------------------------------- */

/* Delta of lane l from e->t. */
static void put_lane(struct lmm_exact *e, int l, bool is_free)
{
    const struct lmm *m = e->m;
    struct lmm_exact_lanes *x = &e->lanes;
    int r = m->shape.r;
    double over = 1 / e->t[0];
    x->over_tau[l] = over;
    x->is_free[l] = is_free;
    for (int i = 0; i < vech_size(r); i++) x->delta[i * LANES_WIDTH + l] = 0;
    for (int k = m->first_term; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        for (int b = 0; b < pr->r; b++)
            for (int a = b; a < pr->r; a++) {
                int at = vech_at(r, pr->first + a, pr->first + b);
                x->delta[at * LANES_WIDTH + l] =
                    over * e->t[pr->at + vech_at(pr->r, a, b)];
            }
    }
}

/* n <= LANES_WIDTH; lanes without a psi repeat the first. */
static void lane_densities(struct lmm_exact *e, int n, const double *psi, double *f)
{
    const struct lmm *m = e->m;
    struct at_psi at[LANES_WIDTH];
    double quad[LANES_WIDTH], logdet[LANES_WIDTH], gain[LANES_WIDTH], tau[LANES_WIDTH];
    int n_used = 0, used[LANES_WIDTH];
    double dim = (double) arrow_dim(&m->shape);
    for (int i = 0; i < n; i++) {
        f[i] = -INFINITY;
        if (!terms_at(e, psi + (size_t) i * (size_t) m->n_stat, &at[n_used])) continue;
        tau[n_used] = e->t[0];
        quad[n_used] = quad_at(e, e->t[0], &at[n_used]);
        if (!isfinite(quad[n_used])) continue;
        put_lane(e, n_used, at[n_used].free);
        used[n_used++] = i;
    }
    if (n_used == 0) return;
    for (int l = n_used; l < LANES_WIDTH; l++) put_lane(e, l, false);
    lmm_exact_lanes_reduce(m, &e->lanes, logdet, gain);
    for (int l = 0; l < n_used; l++) {
        const double *own = psi + (size_t) used[l] * (size_t) m->n_stat;
        f[used[l]] = isnan(logdet[l])
                         ? lmm_exact_log_density(e, own)
                         : log_density_of(m, own[0], &at[l], logdet[l] + dim * own[0],
                                          quad[l] - tau[l] * gain[l]);
    }
}

void lmm_exact_log_densities(void *exact, int n, const double *psi, double *f)
{
    struct lmm_exact *e = exact;
    size_t d = (size_t) e->m->n_stat;
    if (!e->in_lanes) {
        for (int i = 0; i < n; i++) f[i] = lmm_exact_log_density(e, psi + (size_t) i * d);
        return;
    }
    for (int i = 0; i < n; i += LANES_WIDTH)
        lane_densities(e, n - i < LANES_WIDTH ? n - i : LANES_WIDTH, psi + (size_t) i * d,
                       f + i);
}

void lmm_exact_mean(const struct lmm_exact *e, double *mean)
{
    size_t dim = arrow_dim(&e->m->shape);
    memcpy(mean, e->g, sizeof(double) * dim);
    arrow_unwhiten(&e->m->shape, &e->F, e->from->theta, mean);
}

/* At the conditional mean (into e->d): ||W^1/2 (y - C theta)||^2. */
static double rss_at_mean(struct lmm_exact *e)
{
    const struct lmm *m = e->m;
    size_t dim = arrow_dim(&m->shape);
    double rss = e->from->rss;
    memset(e->Gd, 0, sizeof(double) * dim);
    memcpy(e->d, e->g, sizeof(double) * dim);
    arrow_unwhiten(&m->shape, &e->F, e->Gd, e->d);
    arrow_mul(&m->shape, &m->G, e->d, e->Gd);
    for (size_t i = 0; i < dim; i++) {
        rss += e->d[i] * (e->Gd[i] - 2 * e->from->grad[i]);
        e->d[i] += e->from->theta[i];
    }
    return rss > 0 ? rss : 0;
}

void lmm_exact_slope(void *exact, double *g)
{
    struct lmm_exact *e = exact;
    const struct lmm *m = e->m;
    const struct arrow_shape *s = &m->shape;
    struct arrow *S = &e->P;
    arrow_selected_inverse(s, &e->F, S, e->d_inv, e->q, e->scratch);
    /* tr(tau_e G S) = dim - tr(T S) */
    double tau_e = e->t[0], rss = rss_at_mean(e),
           pull = (double) arrow_dim(s) - lmm_prior_trace(m, S->global);
    for (int k = 1; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        lmm_block_sum(m, k, S->global, S->leaf, g + pr->at);
        pull -= vech_trace(pr->r, e->t + pr->at, g + pr->at);
        lmm_likelihood_slope(m, k, e->t, e->d, g);
    }
    g[0] = 0.5 * ((m->n - pull) / tau_e - rss);
}

static bool exact_moments(void *ctx, double weight, double *mean)
{
    (void) weight;
    lmm_exact_mean(ctx, mean);
    return true;
}

struct conditional lmm_exact_conditional(const struct lmm *m, const struct lmm_centre *c,
                                         struct arena *a)
{
    struct lmm_exact *e = arena_struct(a, sizeof *e), made = lmm_exact_carve(m, a);
    if (!e) return (struct conditional){.d = m->n_stat}; /* counted */
    *e = made;
    e->centre = c;
    lmm_exact_prepare(e);
    return (struct conditional){.ctx = e,
                                .d = m->n_stat,
                                .shape = &m->shape,
                                .F = &e->F,
                                .origin = c->theta,
                                .log_density = lmm_exact_log_density,
                                .log_densities = lmm_exact_log_densities,
                                .moments = exact_moments,
                                .slope = lmm_exact_slope,
                                .prior = &e->prior};
}
