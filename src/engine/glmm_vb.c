/* glmm_vb.c: see glmm_vb.h. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "arrow/schur.h"
#include "engine/glmm_fit.h"
#include "engine/glmm_response.h"
#include "engine/glmm_theta.h"
#include "engine/glmm_vb.h"
#include "engine/vb_coupling.h"

/* q(theta) is fitted to this many posterior SDs at the end; on the way to this part of the last
 * move of the log precisions, within limits: the bound then loses less than the move gained. */
static const double FINAL_FIT_TOL = 1e-8, FIT_SHARE = 0.05, FIT_TOL_FAR = 0.1;
enum { FIT_MAX = 60 };

/* Accuracy of a linear response, relative, in the norm of the bound's curvature. On the way a
 * Newton step in t needs less. */
static const double RESPONSE_TOL = 1e-6, NEWTON_RESPONSE_TOL = 1e-3,
                    RESPONSE_TOL_FAR = 1e-2;

/* Of the coefficients' covariances: variances, quadratic forms, err by the square of it. */
static const double BETA_TOL = 1e-5;

/* The ascent ends where less than this is left of the way to the optimum, in log precisions. */
static const double SETTLED = 1e-7;

struct glmm_vb glmm_vb_carve(const struct glmm *g, struct arena *a)
{
    struct glmm_vb b = {.g = g};
    size_t n = g->likelihood->n_extra ? g->n : 0;
    b.unit = arena_doubles(a, (size_t) g->lmm.n_stat);
    b.fitted_t = arena_doubles(a, (size_t) g->lmm.n_stat);
    b.lm = arena_doubles(a, n);
    b.lv = arena_doubles(a, n);
    return b;
}

static const double LOG_2PI = 1.837877066409345483560659472811;

/* The gamma prior of the extra parameter. */
struct gamma_prior {
    double shape, rate;
};
static struct gamma_prior extra_prior(const struct glmm *g)
{
    return (struct gamma_prior){0.5 * g->lmm.prec[0].df0, 0.5 * g->lmm.prec[0].rate0[0]};
}

/* Gradient and curvature in l = log extra with q(theta) held, its log gamma prior included. */
static void extra_terms(struct glmm_vb *b, const double *extra)
{
    const struct glmm *g = b->g;
    const struct likelihood_rows rows = glmm_rows(g);
    const struct gamma_prior prior = extra_prior(g);
    struct likelihood_extra x = {.lm = b->lm, .lv = b->lv};
    likelihood_extra_terms(g->likelihood, &rows, extra, b->theta->mu, b->theta->v, &x);
    b->grad_l = x.l + prior.shape - prior.rate * *extra;
    b->curve_l = x.ll - prior.rate * *extra;
}

/* m follows t to first order in log t, from where the last response was taken. */
static void predict_mean(struct glmm_vb *b, const struct vb_state *s)
{
    const struct lmm *m = &b->g->lmm;
    size_t dim = arrow_dim(&m->shape);
    if (!b->has_response) return;
    for (int k = 0; k < m->n_prec; k++)
        for (int i = 0; i < vech_size(m->prec[k].r); i++) {
            int at = m->prec[k].at + i;
            const double *J = s->J + (size_t) at * dim;
            double dt = m->prec[k].r == 1
                            ? b->fitted_t[at] * log(s->t[at] / b->fitted_t[at])
                            : s->t[at] - b->fitted_t[at];
            for (size_t j = 0; j < dim; j++) s->m[j] += dt * J[j];
        }
    b->has_response = false;
}

/* The largest change of a statistic's mean since the last fit, relative to its scale. */
static double moved(const struct glmm_vb *b, const struct vb_state *s)
{
    const struct lmm *m = &b->g->lmm;
    double most = 0;
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        for (int y = 0; y < pr->r; y++)
            for (int x = y; x < pr->r; x++) {
                int at = pr->at + vech_at(pr->r, x, y);
                double scale = sqrt(s->t[pr->at + vech_at(pr->r, x, x)] *
                                    s->t[pr->at + vech_at(pr->r, y, y)]);
                most = fmax(most, fabs(s->t[at] - b->fitted_t[at]) / scale);
            }
    }
    return most;
}

static enum core_status update(void *ctx, struct vb_state *s, struct core_info *info)
{
    struct glmm_vb *b = ctx;
    const struct lmm *m = &b->g->lmm;
    enum core_status st = CORE_NONFINITE;
    int iter = info->iter;
    double move = b->started ? moved(b, s) : INFINITY;
    double tol = b->last ? FINAL_FIT_TOL
                         : fmax(FINAL_FIT_TOL, fmin(FIT_TOL_FAR, FIT_SHARE * move));
    b->response_tol = b->last
                          ? RESPONSE_TOL
                          : fmax(NEWTON_RESPONSE_TOL, fmin(RESPONSE_TOL_FAR, 0.1 * move));
    if (b->started) predict_mean(b, s);
    if (b->started) st = glmm_fit(b->g, s->t, tol, FIT_MAX, b->theta, b->w, b->h, info);
    if (st != CORE_OK && st != CORE_MAXIT && st != CORE_INTERRUPTED) {
        st = glmm_state_start(b->g, s->t, b->theta, b->w, info);
        if (!st) st = glmm_fit(b->g, s->t, tol, FIT_MAX, b->theta, b->w, b->h, info);
    }
    memcpy(b->fitted_t, s->t, sizeof(double) * (size_t) m->n_stat);
    info->iter = iter;
    if (st && st != CORE_MAXIT) return st;
    b->started = true;
    for (int k = m->first_term; k < m->n_prec; k++) {
        double U[VECH_MAX_R * VECH_MAX_R], v[VECH_MAX_R * (VECH_MAX_R + 1) / 2];
        int at = m->prec[k].at;
        lmm_block_sum(m, k, s->Sq_global, s->sq_leaf, s->ss + at);
        lmm_outer_u(m, k, s->m, U);
        vech_pack(m->prec[k].r, U, v);
        for (int i = 0; i < vech_size(m->prec[k].r); i++) s->ss[at + i] += v[i];
    }
    if (m->first_term) extra_terms(b, s->t);
    return CORE_OK;
}

/* The bound at (q(theta | t), t): the conditional one has log |E Lambda| for E log |Lambda|. */
static double elbo(void *ctx, const struct vb_state *s)
{
    const struct glmm_vb *b = ctx;
    const struct lmm *m = &b->g->lmm;
    double sum = b->theta->elbo;
    for (int k = m->first_term; k < m->n_prec; k++)
        sum += 0.5 * m->prec[k].n_levels *
                   (vb_mean_logdet(m, s, k) - vb_logdet_mean(m, s, k)) +
               vb_elbo_precision(m, s, k);
    if (m->first_term) {
        const struct gamma_prior p = extra_prior(b->g);
        sum += p.shape * log(p.rate * s->t[0]) - p.rate * s->t[0] - lgammafn(p.shape);
    }
    return sum;
}

/* Variance of q(log extra): minus the inverse curvature, bounded where there is little. */
static double extra_variance(const struct glmm_vb *b)
{
    return 1 / fmax(-b->curve_l, 1e-3);
}

/* Expected log likelihood and log prior of log extra, less constants. */
static double extra_bound(const struct glmm_vb *b, double extra)
{
    const struct likelihood_rows rows = glmm_rows(b->g);
    const struct gamma_prior prior = extra_prior(b->g);
    return prior.shape * log(extra) - prior.rate * extra +
           likelihood_expect_value(b->g->likelihood, &rows, &extra, b->theta->mu,
                                   b->theta->v);
}

/* What the bound gains when log extra, so far a point, gets a normal distribution about it: the
 * change of the expectation (trapezoid rule: exact to rounding) and the entropy. Any variance makes
 * a bound: a very large one, where the data say nothing, is cut short of overflow. */
static double spread_extra(const struct glmm_vb *b, double extra)
{
    const double step = 0.8;
    double V = fmin(extra_variance(b), 4), at_mode = extra_bound(b, extra), sum = 0,
           weight = 0;
    for (int k = -7; k <= 7; k++) {
        double w = exp(-0.5 * step * step * k * k);
        weight += w;
        sum += w * (k ? extra_bound(b, extra * exp(step * k * sqrt(V))) - at_mode : 0);
    }
    return sum / weight + 0.5 * (1 + LOG_2PI + log(V));
}

static void targets(void *ctx, const struct vb_state *s, double *target, double *cavi)
{
    const struct glmm_vb *b = ctx;
    const struct lmm *m = &b->g->lmm;
    vb_update_precisions(m, s, target, cavi);
    if (!m->first_term) return;
    double step = extra_variance(b) * b->grad_l;
    target[0] = s->t[0] * exp(fmax(-2, fmin(2, step)));
    cavi[0] = s->t[0] * exp(fmax(-1, fmin(1, step)));
}

/* Column `col` of C from the response in w: d E[s_ab] = -(1/2 if a = b else 1) d sum E u_a u_b. */
static void response_column(struct glmm_vb *b, struct vb_state *s, int col)
{
    const struct lmm *m = &b->g->lmm;
    const struct glmm_work *w = b->w;
    int q = s->lr.q;
    for (int k = m->first_term; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        for (int y = 0; y < pr->r; y++)
            for (int x = y; x < pr->r; x++) {
                int at = pr->at + vech_at(pr->r, x, y);
                double sum = w->sums[at];
                for (int l = 0; l < pr->n_levels; l++) {
                    size_t u = lmm_coef(m, k, l), ux = u + (size_t) x,
                           uy = u + (size_t) y;
                    sum += w->dm[ux] * s->m[uy] + s->m[ux] * w->dm[uy];
                }
                AT(s->lr.C, at, col, q) = -(x == y ? 0.5 : 1) * sum;
            }
    }
    if (m->first_term) { /* d of the bound's gradient in extra */
        double sum = 0;
        for (size_t i = 0; i < b->g->n; i++)
            sum += b->lm[i] * w->dmu[i] + b->lv[i] * w->dv[i];
        AT(s->lr.C, 0, col, q) = sum / s->t[0];
    }
    memcpy(s->J + (size_t) col * arrow_dim(&m->shape), w->dm,
           sizeof(double) * arrow_dim(&m->shape));
}

/* The response to extra itself: base change of w and gradient from f_l,v and f_l,mu. */
static bool extra_column(struct glmm_vb *b, struct vb_state *s)
{
    const struct glmm *g = b->g;
    double extra = s->t[0];
    glmm_adjoint(g, b->lm, b->w->g);
    for (size_t i = 0; i < arrow_dim(&g->lmm.shape); i++) b->w->g[i] /= extra;
    for (size_t i = 0; i < g->n; i++) b->w->rho[i] = 2 * b->lv[i] / extra;
    struct glmm_tilt tilt = {.eps0 = b->w->rho, .tol = b->response_tol};
    if (!glmm_response(g, b->theta, b->w, tilt)) return false;
    response_column(b, s, 0);
    AT(s->lr.V, 0, 0, s->lr.q) = extra_variance(b) * extra * extra;
    return true;
}

static bool coupling(void *ctx, struct vb_state *s)
{
    struct glmm_vb *b = ctx;
    const struct glmm *g = b->g;
    const struct lmm *m = &g->lmm;
    int q = s->lr.q;
    struct core_info info;
    memset(s->lr.V, 0, sizeof(double) * (size_t) q * (size_t) q);
    memset(s->lr.C, 0, sizeof(double) * (size_t) q * (size_t) q);
    if (glmm_response_curvature(g, s->t, b->theta, b->w, &info)) return false;
    vb_coupling_V(m, s);
    if (m->first_term && !extra_column(b, s)) return false;
    for (int k = m->first_term; k < m->n_prec; k++)
        for (int y = 0; y < m->prec[k].r; y++)
            for (int x = y; x < m->prec[k].r; x++) {
                glmm_response_direction(g, b->theta, b->w, k, x, y, b->unit);
                struct glmm_tilt tilt = {.direction = true, .tol = b->response_tol};
                if (!glmm_response(g, b->theta, b->w, tilt)) return false;
                response_column(b, s, m->prec[k].at + vech_at(m->prec[k].r, x, y));
            }
    b->has_response = true;
    for (int j = 0; j < m->n_stat; j++)
        for (int i = 0; i < j; i++)
            AT(s->lr.C, i, j, q) = AT(s->lr.C, j, i, q) =
                0.5 * (AT(s->lr.C, i, j, q) + AT(s->lr.C, j, i, q));
    return true;
}

enum core_status glmm_vb_run(struct glmm_vb *b, const struct vb_control *ctl,
                             struct vb_state *s, struct ascent_work *w, double *leaf_work,
                             struct core_info *info)
{
    const struct ascent q = {b, update, elbo, targets, coupling, SETTLED};
    memset(b->unit, 0, sizeof(double) * (size_t) b->g->lmm.n_stat);
    b->last = false;
    enum core_status st = ascent_run(&b->g->lmm, &q, ctl, s, w, b->h, info), fit;
    if (st && st != CORE_MAXIT) return st;
    b->last = true;
    if ((fit = update(b, s, info))) return fit;
    s->elbo = elbo(b, s);
    if (b->g->lmm.first_term) s->elbo += spread_extra(b, s->t[0]);
    s->lr_ok = coupling(b, s) && lr_respond(&s->lr);
    schur_inverse(&b->g->lmm.shape, &b->w->F,
                  s->Sq_global); /* so far on the pattern only */
    struct theta_response want = {glmm_theta_exact_effects(b->g) ? EXACT_ALL : EXACT_BETA,
                                  .tol = BETA_TOL};
    if (!glmm_theta_response(b->g, s->t, b->theta, b->w, want, s->S_global, s->d_inv,
                             s->q, s->s_leaf, leaf_work))
        s->lr_ok = false;
    return st;
}
