/* glmm_vb.c: see glmm_vb.h. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "base/la.h"
#include "arrow/arrow_global.h"
#include "engine/glmm_vb.h"

/* q(theta) is fitted to this many posterior SDs at the end; on the way to this part of the last
 * move of the log precisions, within limits: the bound then loses less than the move gained. */
static const double FINAL_FIT_TOL = 1e-8, FIT_SHARE = 0.05, FIT_TOL_FAR = 0.1;
enum { FIT_MAX = 60 };

/* Accuracy of a linear response, relative, in the norm of the bound's curvature. On the way a
 * Newton step in t needs less. */
static const double RESPONSE_TOL = 1e-6, NEWTON_RESPONSE_TOL = 1e-3, RESPONSE_TOL_FAR = 1e-2;

/* Of the coefficients' covariances: variances, quadratic forms, err by the square of it. */
static const double BETA_TOL = 1e-5;

/* The ascent ends where less than this is left of the way to the optimum, in log precisions. */
static const double SETTLED = 1e-7;

struct glmm_vb glmm_vb_carve(const struct glmm *g, struct arena *a)
{
    struct glmm_vb b = {.g = g};
    size_t n = g->family == GLMM_NEGBIN ? g->n : 0;
    b.unit = arena_doubles(a, (size_t) g->lmm.n_stat);
    b.fitted_t = arena_doubles(a, (size_t) g->lmm.n_stat);
    b.lm = arena_doubles(a, n);
    b.lv = arena_doubles(a, n);
    return b;
}

static const double LOG_2PI = 1.837877066409345483560659472811;

/* Gradient and curvature in l = log phi with q(theta) held; log Gamma prior on phi. */
static void dispersion_terms(struct glmm_vb *b, double phi)
{
    const struct glmm *g = b->g;
    const struct precision *pr = &g->lmm.prec[0];
    double shape = 0.5 * pr->df0, rate = 0.5 * pr->rate0[0], l = 0, ll = 0;
    for (size_t i = 0; i < g->n; i++) {
        struct dispersion_terms x =
            family_dispersion(g->y[i], g->size[i], phi, b->theta->mu[i], b->theta->v[i]);
        l += x.l;
        ll += x.ll;
        b->lm[i] = x.lm;
        b->lv[i] = x.lv;
    }
    b->grad_l = l + shape - rate * phi;
    b->curve_l = ll - rate * phi;
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
            double dt = m->prec[k].r == 1 ? b->fitted_t[at] * log(s->t[at] / b->fitted_t[at])
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
    double tol = b->last ? FINAL_FIT_TOL : fmax(FINAL_FIT_TOL, fmin(FIT_TOL_FAR, FIT_SHARE * move));
    b->response_tol =
        b->last ? RESPONSE_TOL : fmax(NEWTON_RESPONSE_TOL, fmin(RESPONSE_TOL_FAR, 0.1 * move));
    if (b->started) predict_mean(b, s);
    if (b->started) st = glmm_fit(b->g, s->t, tol, FIT_MAX, b->theta, b->w, b->h, info);
    if (st != CORE_OK && st != CORE_MAXIT && st != CORE_INTERRUPTED) {
        st = glmm_start(b->g, s->t, b->theta, b->w, info);
        if (!st) st = glmm_fit(b->g, s->t, tol, FIT_MAX, b->theta, b->w, b->h, info);
    }
    memcpy(b->fitted_t, s->t, sizeof(double) * (size_t) m->n_stat);
    info->iter = iter;
    if (st && st != CORE_MAXIT) return st;
    b->started = true;
    for (int k = m->first_term; k < m->n_prec; k++) {
        double U[EXPFAM_MAX_R * EXPFAM_MAX_R], v[EXPFAM_MAX_R * (EXPFAM_MAX_R + 1) / 2];
        int at = m->prec[k].at;
        lmm_block_sum(m, k, s->Sq_global, s->sq_leaf, s->ss + at);
        lmm_outer_u(m, k, s->m, U);
        vech_pack(m->prec[k].r, U, v);
        for (int i = 0; i < vech_size(m->prec[k].r); i++) s->ss[at + i] += v[i];
    }
    if (m->first_term) dispersion_terms(b, s->t[0]);
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
        double shape = 0.5 * m->prec[0].df0, rate = 0.5 * m->prec[0].rate0[0];
        sum += shape * log(rate * s->t[0]) - rate * s->t[0] - lgammafn(shape);
    }
    return sum;
}

/* Variance of q(log phi): minus the inverse curvature, bounded where there is little. */
static double dispersion_variance(const struct glmm_vb *b)
{
    return 1 / fmax(-b->curve_l, 1e-3);
}

/* Expected log likelihood and log prior of log phi. */
static double dispersion_bound(const struct glmm_vb *b, double phi)
{
    const struct glmm *g = b->g;
    const struct precision *pr = &g->lmm.prec[0];
    double sum = 0.5 * pr->df0 * log(phi) - 0.5 * pr->rate0[0] * phi;
    for (size_t i = 0; i < g->n; i++)
        sum += family_value(g->family, g->y[i], g->size[i], phi, b->theta->mu[i], b->theta->v[i]) +
               family_constant(g->family, g->y[i], g->size[i], phi);
    return sum;
}

/* What the bound gains when log phi, so far a point, gets a normal distribution about it: the
 * change of the expectation (trapezoid rule: exact to rounding) and the entropy. Any variance makes
 * a bound: a very large one, where the data say nothing, is cut short of overflow. */
static double spread_dispersion(const struct glmm_vb *b, double phi)
{
    const double step = 0.8;
    double V = fmin(dispersion_variance(b), 4), at_mode = dispersion_bound(b, phi), sum = 0, weight = 0;
    for (int k = -7; k <= 7; k++) {
        double w = exp(-0.5 * step * step * k * k);
        weight += w;
        sum += w * (k ? dispersion_bound(b, phi * exp(step * k * sqrt(V))) - at_mode : 0);
    }
    return sum / weight + 0.5 * (1 + LOG_2PI + log(V));
}

static void targets(void *ctx, const struct vb_state *s, double *target, double *cavi)
{
    const struct glmm_vb *b = ctx;
    const struct lmm *m = &b->g->lmm;
    vb_update_precisions(m, s, target, cavi);
    if (!m->first_term) return;
    double step = dispersion_variance(b) * b->grad_l;
    target[0] = s->t[0] * exp(fmax(-2, fmin(2, step)));
    cavi[0] = s->t[0] * exp(fmax(-1, fmin(1, step)));
}

void glmm_direction(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                    int k, int a, int b, double *unit)
{
    const struct lmm *m = &g->lmm;
    const struct precision *pr = &m->prec[k];
    const struct arrow_shape *sh = &m->shape;
    int at = pr->at + vech_at(pr->r, a, b);
    memset(w->dP.global, 0, sizeof(double) * arrow_global_size(sh));
    if (sh->n_leaf) {
        memset(w->dP.cross, 0, sizeof(double) * arrow_cross_size(sh));
        memset(w->dP.leaf, 0, sizeof(double) * arrow_leaf_size(sh));
    }
    unit[at] = 1;
    lmm_add_term(m, k, unit, &w->dP);
    unit[at] = 0;
    memset(w->g, 0, sizeof(double) * arrow_dim(sh));
    for (int l = 0; l < pr->n_levels; l++) {
        size_t u = lmm_coef(m, k, l);
        w->g[u + (size_t) a] -= s->m[u + (size_t) b];
        if (a != b) w->g[u + (size_t) b] -= s->m[u + (size_t) a];
    }
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
                    size_t u = lmm_coef(m, k, l), ux = u + (size_t) x, uy = u + (size_t) y;
                    sum += w->dm[ux] * s->m[uy] + s->m[ux] * w->dm[uy];
                }
                AT(s->lr.C, at, col, q) = -(x == y ? 0.5 : 1) * sum;
            }
    }
    if (m->first_term) { /* d of the bound's gradient in phi */
        double sum = 0;
        for (size_t i = 0; i < b->g->n; i++)
            sum += b->lm[i] * w->dmu[i] + b->lv[i] * w->dv[i];
        AT(s->lr.C, 0, col, q) = sum / s->t[0];
    }
    memcpy(s->J + (size_t) col * arrow_dim(&m->shape), w->dm,
           sizeof(double) * arrow_dim(&m->shape));
}

/* The response to phi itself: base change of w and gradient from f_l,v and f_l,mu. */
static bool dispersion_column(struct glmm_vb *b, struct vb_state *s)
{
    const struct glmm *g = b->g;
    double phi = s->t[0];
    glmm_adjoint(g, b->lm, b->w->g);
    for (size_t i = 0; i < arrow_dim(&g->lmm.shape); i++) b->w->g[i] /= phi;
    for (size_t i = 0; i < g->n; i++) b->w->rho[i] = 2 * b->lv[i] / phi;
    struct glmm_tilt tilt = {.eps0 = b->w->rho, .tol = b->response_tol};
    if (!glmm_respond(g, b->theta, b->w, tilt)) return false;
    response_column(b, s, 0);
    AT(s->lr.V, 0, 0, s->lr.q) = dispersion_variance(b) * phi * phi;
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
    if (glmm_curvature(g, s->t, b->theta, b->w, &info)) return false;
    vb_fill_V(m, s);
    if (m->first_term && !dispersion_column(b, s)) return false;
    for (int k = m->first_term; k < m->n_prec; k++)
        for (int y = 0; y < m->prec[k].r; y++)
            for (int x = y; x < m->prec[k].r; x++) {
                glmm_direction(g, b->theta, b->w, k, x, y, b->unit);
                struct glmm_tilt tilt = {.direction = true, .tol = b->response_tol};
                if (!glmm_respond(g, b->theta, b->w, tilt)) return false;
                response_column(b, s, m->prec[k].at + vech_at(m->prec[k].r, x, y));
            }
    b->has_response = true;
    for (int j = 0; j < m->n_stat; j++)
        for (int i = 0; i < j; i++)
            AT(s->lr.C, i, j, q) = AT(s->lr.C, j, i, q) =
                0.5 * (AT(s->lr.C, i, j, q) + AT(s->lr.C, j, i, q));
    return true;
}

/* ---- covariance of theta at fixed t ---------------------------------------------------------- */

/* glmm_response_factor() leaves out what one level's covariance does to another's. It is a few
 * tenths of a percent of the variance of an effect with four levels and falls with their number; up
 * to this many responses times rows the effects too are responded to one by one, exactly. */
static const double MAX_EXACT = 1e4;

bool glmm_exact_effects(const struct glmm *g)
{
    double effects = (double) arrow_dim(&g->lmm.shape) - g->lmm.p;
    return effects * (double) g->n <= MAX_EXACT;
}

size_t glmm_leaf_work(const struct glmm *g)
{
    const struct arrow_shape *s = &g->lmm.shape;
    size_t need = g->n, m = (size_t) vech_size(s->r), p = (size_t) g->lmm.p,
           ng = (size_t) s->n_global;
    for (int l = 0; l < s->n_leaf; l++) {
        size_t k = (size_t) (s->ptr[l + 1] - s->ptr[l] + s->r);
        if (m * k > need) need = m * k;
    }
    size_t beta = 3 * p * p + 2 * p * ng, exact = glmm_exact_effects(g) ? ng * ng : 0;
    if (exact > beta) beta = exact;
    return need > beta ? need : beta;
}

/* S += S_gb B S_bg with B = S_bb^-1 (Sigma - S_bb) S_bb^-1: the coefficients get covariance Sigma,
 * the rest keeps its distribution given them. */
static bool replace_beta_block(int p, int ng, const double *Sigma, double *S,
                               double *work)
{
    double *L = work, *U = L + p * p, *X = U + p * p, *Y = X + (size_t) p * (size_t) ng;
    for (int j = 0; j < p; j++)
        for (int i = 0; i < p; i++) {
            AT(L, i, j, p) = AT(S, i, j, ng);
            AT(U, i, j, p) =
                0.5 * (AT(Sigma, i, j, p) + AT(Sigma, j, i, p)) - AT(S, i, j, ng);
        }
    if (la_chol(p, L)) return false;
    for (int j = 0; j < ng; j++) { /* X <- S_bb^-1 S_bg, a column at a time */
        double *x = X + (size_t) j * (size_t) p;
        for (int i = 0; i < p; i++) x[i] = AT(S, i, j, ng);
        la_solve_l(p, L, x);
        la_solve_lt(p, L, x);
        la_matvec(p, U, x, Y + (size_t) j * (size_t) p);
    }
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++)
            AT(S, i, j, ng) +=
                la_dot(p, X + (size_t) i * (size_t) p, Y + (size_t) j * (size_t) p);
    return true;
}

/* w->dm <- the response of m to a unit tilt of coordinate j. */
static bool tilt_coordinate(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                            size_t j, double tol)
{
    memset(w->g, 0, sizeof(double) * arrow_dim(&g->lmm.shape));
    w->g[j] = 1;
    return glmm_respond(g, s, w, (struct glmm_tilt){.tol = tol});
}

/* The global block of the covariance, column by column. */
static bool exact_global(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                         double tol, double *S_global, double *Sigma)
{
    int ng = g->lmm.shape.n_global;
    for (int j = 0; j < ng; j++) {
        if (!tilt_coordinate(g, s, w, (size_t) j, tol)) return false;
        memcpy(Sigma + (size_t) j * (size_t) ng, w->dm, sizeof(double) * (size_t) ng);
    }
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++)
            AT(S_global, i, j, ng) = 0.5 * (AT(Sigma, i, j, ng) + AT(Sigma, j, i, ng));
    return true;
}

/* Every leaf's own block of the covariance; D^-1 takes the difference, or the leaf stays as it is
 * where that leaves nothing. */
static bool exact_leaves(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                         double tol, double *d_inv, double *s_leaf)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    int r = sh->r;
    double V[EXPFAM_MAX_R * EXPFAM_MAX_R], D[EXPFAM_MAX_R * EXPFAM_MAX_R];
    for (int l = 0; l < sh->n_leaf; l++) {
        size_t at = (size_t) sh->n_global + (size_t) l * (size_t) r;
        double *own = d_inv + (size_t) l * (size_t) (r * r), *all = s_leaf + (own - d_inv);
        for (int c = 0; c < r; c++) {
            if (!tilt_coordinate(g, s, w, at + (size_t) c, tol)) return false;
            memcpy(V + c * r, w->dm + at, sizeof(double) * (size_t) r);
        }
        for (int c = 0; c < r; c++)
            for (int d = 0; d < r; d++)
                AT(D, d, c, r) = AT(own, d, c, r) - AT(all, d, c, r) +
                                 0.5 * (AT(V, d, c, r) + AT(V, c, d, r));
        memcpy(V, D, sizeof(double) * (size_t) (r * r));
        if (la_chol(r, V)) continue;
        for (int i = 0; i < r * r; i++) {
            all[i] += D[i] - own[i];
            own[i] = D[i];
        }
    }
    return true;
}

/* The coefficients' block exactly; cols_m and cols_w as in glmm_theta_response(). */
static bool exact_beta(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                       double tol, double *S_global, double *work, double *cols_m, double *cols_w)
{
    int p = g->lmm.p, ng = g->lmm.shape.n_global;
    size_t dim = arrow_dim(&g->lmm.shape);
    double *Sigma = work + 2 * p * p + 2 * (size_t) p * (size_t) ng;
    for (int j = 0; j < p; j++) {
        if (!tilt_coordinate(g, s, w, (size_t) j, tol)) return false;
        memcpy(Sigma + j * p, w->dm, sizeof(double) * (size_t) p);
        if (!cols_m) continue;
        memcpy(cols_m + (size_t) j * dim, w->dm, sizeof(double) * dim);
        glmm_weight_response(g, s, w, cols_w + (size_t) j * g->n);
    }
    return p == 0 || replace_beta_block(p, ng, Sigma, S_global, work);
}

bool glmm_theta_response(const struct glmm *g, const double *t,
                         const struct glmm_state *s, struct glmm_work *w, struct theta_response want,
                         double *S_global, double *d_inv, double *q, double *s_leaf,
                         double *leaf_work)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    struct core_info info;
    if (glmm_response_factor(g, t, s, &w->P, &w->F, leaf_work, &info)) return false;
    arrow_inverse(sh, &w->F, S_global, d_inv, q, s_leaf, w->scratch);
    if (want.exact == EXACT_NONE) return true;
    bool all = want.exact == EXACT_ALL;
    bool ok = all ? exact_global(g, s, w, want.tol, S_global, leaf_work)
                  : exact_beta(g, s, w, want.tol, S_global, leaf_work, want.cols_m, want.cols_w);
    if (!ok) return false;
    arrow_spread_leaf(sh, S_global, d_inv, q, s_leaf, w->scratch);
    return !all || exact_leaves(g, s, w, want.tol, d_inv, s_leaf);
}

enum core_status glmm_vb_run(struct glmm_vb *b, const struct vb_control *ctl,
                             struct vb_state *s, struct vb_work *w, double *leaf_work,
                             struct core_info *info)
{
    const struct vb_theta q = {b, update, elbo, targets, coupling, SETTLED};
    memset(b->unit, 0, sizeof(double) * (size_t) b->g->lmm.n_stat);
    b->last = false;
    enum core_status st = vb_ascend(&b->g->lmm, &q, ctl, s, w, b->h, info), fit;
    if (st && st != CORE_MAXIT) return st;
    b->last = true;
    if ((fit = update(b, s, info))) return fit;
    s->elbo = elbo(b, s);
    if (b->g->lmm.first_term) s->elbo += spread_dispersion(b, s->t[0]);
    s->lr_ok = coupling(b, s) && lr_respond(&s->lr);
    global_inverse(&b->g->lmm.shape, &b->w->F, s->Sq_global); /* so far on the pattern only */
    struct theta_response want = {glmm_exact_effects(b->g) ? EXACT_ALL : EXACT_BETA, .tol = BETA_TOL};
    if (!glmm_theta_response(b->g, s->t, b->theta, b->w, want, s->S_global, s->d_inv, s->q,
                             s->s_leaf, leaf_work))
        s->lr_ok = false;
    return st;
}
