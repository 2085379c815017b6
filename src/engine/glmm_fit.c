/* glmm_fit.c: see glmm_fit.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "engine/glmm_fit.h"

static const double LOG_2PI = 1.837877066409345483560659472811;

/* Rounding allowance when two ELBO values are compared, relative to their size: the sum over
 * the rows is what rounds. */
static const double ELBO_SLACK = 1e-11;

/* Conjugate gradients stop here whatever the residual: with so much coupling left the point is
 * far from the optimum, and the line search has the last word. */
enum { CG_MAX = 60, HALVINGS = 14, SWEEPS = 3 };

/* The squared norm of a residual is guessed from the last one's share in the large eigenvalues,
 * which conjugate gradients take out first; with this allowance. */
static const double GUESS = 4;

/* A Newton system is solved to a tenth of the last decrement, within these limits: far from the
 * optimum a better direction is no better, near it each step gains two digits at least. */
static const double NEWTON_TOL = 3e-3, NEWTON_TOL_FAR = 0.1;

/* K o K as a matrix costs n (n_global^2 + n dim) once a state and n^2 a product; a push of the selected
 * inverse costs 3 n_global^3 a product. */
enum { KK_MAX_ROWS = 2048, KK_MIN_GLOBAL = 96, KK_ROWS_PER_COLUMN = 4 };

static bool holds_pairs(const struct glmm *g)
{
    const struct arrow_shape *s = &g->lmm.shape;
    return !s->n_elim && s->n_global >= KK_MIN_GLOBAL && g->n <= KK_MAX_ROWS &&
           g->n <= KK_ROWS_PER_COLUMN * (size_t) s->n_global;
}

struct glmm_state glmm_state_carve(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    struct glmm_state s = {.elbo = -INFINITY, .decrement = INFINITY, .factor = 1};
    s.m = arena_doubles(a, arrow_dim(sh));
    s.w = arena_doubles(a, g->n);
    s.mu = arena_doubles(a, g->n);
    s.v = arena_doubles(a, g->n);
    s.e = glmm_terms_carve(g, a);
    s.S = arrow_carve(sh, a);
    s.q = arena_doubles(a, arrow_cross_size(sh));
    s.d_inv = arena_doubles(a, arrow_leaf_size(sh));
    return s;
}

struct glmm_work glmm_work_carve(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t dim = arrow_dim(sh), r = (size_t) sh->r;
    struct glmm_work w = {.evaluations = 0};
    w.P = arrow_carve(sh, a);
    w.F = arrow_carve(sh, a);
    w.A = arrow_carve(sh, a);
    w.dP = arrow_carve(sh, a);
    w.dS = arrow_carve(sh, a);
    w.push = arrow_push_carve(sh, a);
    w.scratch = arena_doubles(a, (size_t) sh->n_global * (r > 1 ? r : 1));
    double **vec[] = {&w.prior_grad, &w.g, &w.dm, &w.base_m, &w.solved};
    for (size_t i = 0; i < sizeof vec / sizeof *vec; i++) *vec[i] = arena_doubles(a, dim);
    double **row[] = {&w.rho, &w.dmu, &w.dv, &w.base_w, &w.goal_w, &w.r,
                      &w.d,   &w.Kr,  &w.Kd, &w.Ad,     &w.row};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        *row[i] = arena_doubles(a, g->n);
    double **sums[] = {&w.sums, &w.sums_r, &w.sums_d};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        *sums[i] = arena_doubles(a, (size_t) g->lmm.n_stat);
    if (holds_pairs(g)) {
        w.KK = arena_doubles(a, g->n * g->n);
        w.row_sums = arena_doubles(a, g->n * (size_t) g->lmm.n_stat);
        w.half = arena_doubles(a, g->n * dim);
    }
    return w;
}

static double dot(size_t n, const double *x, const double *y)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}

/* log |T| without the flat part. */
static double prior_logdet(const struct lmm *m, const double *t)
{
    double sum = m->flat ? 0 : m->logdet_Tb;
    for (int k = m->first_term; k < m->n_prec; k++) {
        double L[EXPFAM_MAX_R * EXPFAM_MAX_R];
        vech_unpack(m->prec[k].r, t + m->prec[k].at, L);
        if (la_chol(m->prec[k].r, L)) return NAN;
        sum += m->prec[k].n_levels * la_logdet(m->prec[k].r, L);
    }
    return sum;
}

/* (theta - mu_0)'T(theta - mu_0) from T(theta - mu_0). */
static double prior_quadratic(const struct lmm *m, const double *theta,
                              const double *grad)
{
    double sum = dot(arrow_dim(&m->shape), theta, grad);
    for (int j = 0; j < m->p; j++) sum -= m->mu[j] * grad[j];
    return sum;
}

enum core_status glmm_evaluate(const struct glmm *g, const double *t,
                               struct glmm_state *s, struct glmm_work *w,
                               struct core_info *info)
{
    const struct lmm *m = &g->lmm;
    const struct arrow_shape *sh = &m->shape;
    w->evaluations++;
    glmm_gram(g, s->w, &w->P);
    glmm_add_prior(g, t, &w->P);
    enum core_status st = arrow_factor(sh, &w->P, &w->F, info);
    if (st) return st;
    arrow_selected_inverse(sh, &w->F, &s->S, s->d_inv, s->q, w->scratch);
    s->log_det_P = arrow_logdet(sh, &w->F);
    glmm_quad(g, &s->S, s->v);
    glmm_mul(g, s->m, s->mu);
    for (size_t i = 0; i < g->n; i++) s->mu[i] += g->offset[i];
    lmm_prior_gradient(m, t, s->m, w->prior_grad);
    double loglik = glmm_expect(g, glmm_dispersion(g, t), s->mu, s->v, &s->e);
    /* tr(T S) = dim - sum w v; dim cancels against the entropy's */
    s->elbo = loglik +
              0.5 * (dot(g->n, s->w, s->v) - prior_quadratic(m, s->m, w->prior_grad) +
                     prior_logdet(m, t) - s->log_det_P + (m->flat ? m->p * LOG_2PI : 0));
    return isfinite(s->elbo) ? CORE_OK : CORE_NONFINITE;
}

/* The linked response z of a row with its working weight, after half a success or count. */
static double linked(const struct glmm *g, size_t i, double dispersion, double *weight)
{
    double y = g->y[i], n = g->size[i];
    if (g->family == GLMM_BINOMIAL || g->family == GLMM_BINOMIAL_PG) {
        double p = (y + 0.5) / (n + 1);
        *weight = n * p * (1 - p);
        return log(p / (1 - p));
    }
    double mean = y + 0.5;
    *weight = n * mean;
    if (g->family == GLMM_NEGBIN) *weight *= dispersion / (mean + dispersion);
    return log(mean);
}

enum core_status glmm_start(const struct glmm *g, const double *t, struct glmm_state *s,
                            struct glmm_work *w, struct core_info *info)
{
    const struct lmm *m = &g->lmm;
    for (size_t i = 0; i < g->n; i++) {
        double z = linked(g, i, glmm_dispersion(g, t), &s->w[i]);
        w->row[i] = s->w[i] * (z - g->offset[i]);
    }
    glmm_gram(g, s->w, &w->P);
    glmm_add_prior(g, t, &w->P);
    enum core_status st = arrow_factor(&m->shape, &w->P, &w->F, info);
    if (st) return st;
    glmm_adjoint(g, w->row, s->m);
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++) s->m[i] += AT(m->Tb, i, j, m->p) * m->mu[j];
    arrow_solve(&m->shape, &w->F, s->m);
    return CORE_OK;
}

/* ---- response ------------------------------------------------------------------------------ */

/* w->row_sums of row i, whose S c_i is u: sum over a term's levels of vech(u_k u_k'). */
static void row_block_sums(const struct lmm *m, const double *u, double *out)
{
    memset(out, 0, sizeof(double) * (size_t) m->n_stat);
    for (int k = m->first_term; k < m->n_prec; k++)
        for (int l = 0; l < m->prec[k].n_levels; l++) {
            const double *at = u + lmm_coef(m, k, l);
            double *v = out + m->prec[k].at;
            for (int b = 0; b < m->prec[k].r; b++)
                for (int a = b; a < m->prec[k].r; a++) *v++ += at[a] * at[b];
        }
}

/* w->KK and w->row_sums from the factor of P, K_ij = (F^-1 c_i)'(F^-1 c_j). */
static void hold_pairs(const struct glmm *g, struct glmm_work *w)
{
    const struct arrow_shape *s = &g->lmm.shape;
    size_t n = g->n, dim = arrow_dim(s);
    memset(w->row, 0, sizeof(double) * n);
    for (size_t i = 0; i < n; i++) {
        double *h = w->half + i * dim;
        w->row[i] = 1;
        glmm_adjoint(g, w->row, h);
        w->row[i] = 0;
        arrow_forwardsolve(s, &w->F, h);
        memcpy(w->solved, h, sizeof(double) * dim);
        arrow_backsolve(s, &w->F, w->solved);
        row_block_sums(&g->lmm, w->solved, w->row_sums + i * (size_t) g->lmm.n_stat);
        for (size_t j = 0; j <= i; j++) {
            double K = la_dot((int) dim, h, w->half + j * dim);
            w->KK[i + j * n] = w->KK[j + i * n] = K * K;
        }
    }
}

enum core_status glmm_curvature(const struct glmm *g, const double *t,
                                const struct glmm_state *s, struct glmm_work *w,
                                struct core_info *info)
{
    if (w->KK) hold_pairs(g, w);
    for (size_t i = 0; i < g->n; i++) w->row[i] = -s->e.mm[i];
    glmm_gram(g, w->row, &w->P);
    glmm_add_prior(g, t, &w->P);
    return arrow_factor(&g->lmm.shape, &w->P, &w->A, info);
}

/* dS <- -S dP S for the dP in w; out <- its quadratic forms of the rows; sums, unless NULL, its
 * block sums. */
static void spread(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                   double *out, double *sums)
{
    arrow_inverse_push(&g->lmm.shape, &s->S, s->q, s->d_inv, &w->dP, &w->dS, &w->push);
    glmm_quad(g, &w->dS, out);
    const struct lmm *m = &g->lmm;
    for (int k = m->first_term; sums && k < m->n_prec; k++)
        lmm_block_sum(m, k, w->dS.global, w->dS.leaf, sums + m->prec[k].at);
}

/* out <- (K o K) eps, and the block sums of the change of S that it goes with. */
static void covary(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                   const double *eps, double *out, double *sums)
{
    if (w->KK) {
        size_t q = (size_t) g->lmm.n_stat;
        la_matvec((int) g->n, w->KK, eps, out);
        if (!sums) return;
        memset(sums, 0, sizeof(double) * q);
        for (size_t i = 0; i < g->n; i++)
            for (size_t k = 0; k < q; k++) sums[k] += eps[i] * w->row_sums[i * q + k];
        return;
    }
    for (size_t i = 0; i < g->n; i++) w->row[i] = -eps[i];
    glmm_gram(g, w->row, &w->dP);
    spread(g, s, w, out, sums);
}

/* dm <- A^-1 (gradient + C'(f_mv dv)), dmu <- C dm. gradient may be NULL. */
static void move_mean(const struct glmm *g, const struct glmm_state *s,
                      struct glmm_work *w, const double *gradient, const double *dv,
                      double *dm, double *dmu)
{
    size_t dim = arrow_dim(&g->lmm.shape);
    for (size_t i = 0; i < g->n; i++) w->row[i] = s->e.mv[i] * dv[i];
    glmm_adjoint(g, w->row, dm);
    if (gradient)
        for (size_t i = 0; i < dim; i++) dm[i] += gradient[i];
    arrow_solve(&g->lmm.shape, &w->A, dm);
    glmm_mul(g, dm, dmu);
}

/* out <- 2 f_mv dmu + 2 f_vv dv. */
static void curve(const struct glmm *g, const struct glmm_state *s, const double *dmu,
                  const double *dv, double *out)
{
    for (size_t i = 0; i < g->n; i++)
        out[i] = 2 * (s->e.mv[i] * dmu[i] + s->e.vv[i] * dv[i]);
}

/* a <- a + x b;  d <- r + x d */
static void combine(size_t n, double *a, double x, const double *b)
{
    for (size_t i = 0; i < n; i++) a[i] += x * b[i];
}
static void renew(size_t n, double *d, double x, const double *r)
{
    for (size_t i = 0; i < n; i++) d[i] = r[i] + x * d[i];
}

/* Conjugate gradients on eps, started at zero with residual w->r and its image w->Kr; out: the
 * solution's image (K o K) eps added to w->dv, its block sums to w->sums. */
static bool solve_eps(const struct glmm *g, const struct glmm_state *s,
                      struct glmm_work *w, double stop)
{
    size_t n = g->n, q = (size_t) g->lmm.n_stat;
    double rho = dot(n, w->r, w->Kr);
    memcpy(w->d, w->r, sizeof(double) * n);
    memcpy(w->Kd, w->Kr, sizeof(double) * n);
    memcpy(w->sums_d, w->sums_r, sizeof(double) * q);
    for (int it = 0; it < CG_MAX && rho > stop; it++) {
        move_mean(g, s, w, NULL, w->Kd, w->solved, w->dmu);
        curve(g, s, w->dmu, w->Kd, w->Ad);
        for (size_t i = 0; i < n; i++) w->Ad[i] = w->d[i] - w->Ad[i];
        double curvature = dot(n, w->Kd, w->Ad);
        if (!(curvature > 0)) return false;
        double step = rho / curvature, last = rho;
        combine(n, w->dv, step, w->Kd);
        combine(q, w->sums, step, w->sums_d);
        double largest = rho / dot(n, w->r, w->r); /* of K o K, as r knows it */
        combine(n, w->r, -step, w->Ad);
        if (GUESS * largest * dot(n, w->r, w->r) <= stop) {
            rho = GUESS * largest * dot(n, w->r, w->r);
            break; /* without a product that would only tell so */
        }
        covary(g, s, w, w->r, w->Kr, w->sums_r);
        rho = dot(n, w->r, w->Kr);
        renew(n, w->d, rho / last, w->r);
        renew(n, w->Kd, rho / last, w->Kr);
        renew(q, w->sums_d, rho / last, w->sums_r);
    }
    w->residual = sqrt(fmax(rho, 0));
    return isfinite(rho);
}

bool glmm_respond(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                  struct glmm_tilt tilt)
{
    size_t n = g->n, dim = arrow_dim(&g->lmm.shape);
    memset(w->dv, 0, sizeof(double) * n);
    memset(w->sums, 0, sizeof(double) * (size_t) g->lmm.n_stat);
    if (tilt.eps0) covary(g, s, w, tilt.eps0, w->dv, w->sums);
    if (tilt.direction) spread(g, s, w, w->dv, w->sums);
    move_mean(g, s, w, w->g, w->dv, w->dm, w->dmu);
    double scale = dot(dim, w->g, w->dm);
    curve(g, s, w->dmu, w->dv, w->r);
    covary(g, s, w, w->r, w->Kr, w->sums_r);
    scale = fabs(scale) + dot(n, w->r, w->Kr);
    if (!isfinite(scale) || !solve_eps(g, s, w, tilt.tol * tilt.tol * scale))
        return false;
    w->residual /= sqrt(scale);
    move_mean(g, s, w, w->g, w->dv, w->dm, w->dmu);
    return true;
}

void glmm_weight_response(const struct glmm *g, const struct glmm_state *s,
                          const struct glmm_work *w, double *eps)
{
    curve(g, s, w->dmu, w->dv, eps);
}

/* ---- Newton's method ------------------------------------------------------------------------ */

/* out <- the ELBO's gradient in m. */
static void gradient(const struct glmm *g, const struct glmm_state *s, const struct glmm_work *w,
                     double *out)
{
    glmm_adjoint(g, s->e.m, out);
    for (size_t i = 0; i < arrow_dim(&g->lmm.shape); i++) out[i] -= w->prior_grad[i];
}

/* The Newton step in (m, S) to a relative accuracy of tol; where the ELBO is not concave that in m
 * alone, with a residual of -1. Returns the squared decrement; w->goal_w gets the weights that the
 * step leads to. */
static double newton_step(const struct glmm *g, const double *t,
                          const struct glmm_state *s, struct glmm_work *w, double tol)
{
    size_t n = g->n, dim = arrow_dim(&g->lmm.shape);
    gradient(g, s, w, w->g);
    for (size_t i = 0; i < n; i++) w->rho[i] = s->w[i] + 2 * s->e.v[i];
    double d2 = -1;
    if (glmm_respond(g, s, w, (struct glmm_tilt){.eps0 = w->rho, .tol = tol}))
        d2 = dot(dim, w->g, w->dm) + 0.5 * dot(n, w->rho, w->dv);
    if (!(d2 >= 0)) {
        memset(w->dv, 0, sizeof(double) * n);
        move_mean(g, s, w, w->g, w->dv, w->dm, w->dmu);
        covary(g, s, w, w->rho, w->Kr, NULL);
        d2 = dot(dim, w->g, w->dm) + 0.5 * dot(n, w->rho, w->Kr);
        w->residual = -1;
    }
    double phi = glmm_dispersion(g, t);
    for (size_t i = 0; i < n; i++) {
        double now = -2 * s->e.v[i];
        double goal = now - 2 * (s->e.mv[i] * w->dmu[i] + s->e.vv[i] * w->dv[i]);
        if (!(goal > 0.5 * now && goal < 2 * now)) { /* too far for the linear forecast */
            double v = s->v[i] + w->dv[i];
            v = v < 0.2 * s->v[i] ? 0.2 * s->v[i] : v > 5 * s->v[i] ? 5 * s->v[i] : v;
            goal = -2 * family_expect(g->family, g->y[i], g->size[i], phi,
                                      s->mu[i] + w->dmu[i], v)
                            .v;
        }
        w->goal_w[i] = goal;
    }
    return d2;
}

/* (m, w) <- the point at `fraction` of the way. */
static void walk(const struct glmm *g, struct glmm_state *s, const struct glmm_work *w,
                 double fraction)
{
    for (size_t i = 0; i < arrow_dim(&g->lmm.shape); i++)
        s->m[i] = w->base_m[i] + fraction * w->dm[i];
    for (size_t i = 0; i < g->n; i++)
        s->w[i] =
            fraction == 1
                ? w->goal_w[i]
                : exp((1 - fraction) * log(w->base_w[i]) + fraction * log(w->goal_w[i]));
}

/* Moves along the step, halved until the ELBO does not fall. Returns the fraction taken; 0 when it
 * always does: the state is back where it was. */
static double line_search(const struct glmm *g, const double *t, struct glmm_state *s,
                        struct glmm_work *w, struct core_info *info)
{
    size_t dim = arrow_dim(&g->lmm.shape);
    double best = s->elbo, fraction = 1;
    memcpy(w->base_m, s->m, sizeof(double) * dim);
    memcpy(w->base_w, s->w, sizeof(double) * g->n);
    for (int i = 0; i < HALVINGS; i++, fraction *= 0.5) {
        walk(g, s, w, fraction);
        if (glmm_evaluate(g, t, s, w, info) == CORE_OK &&
            s->elbo >= best - ELBO_SLACK * (1 + fabs(best)))
            return fraction;
    }
    memcpy(s->m, w->base_m, sizeof(double) * dim);
    memcpy(s->w, w->base_w, sizeof(double) * g->n);
    glmm_evaluate(g, t, s, w, info);
    return 0;
}

/* A few sweeps: m at fixed S, then S towards its fixed point at that m. Either moves the ELBO up
 * whatever its shape, if only by a short step. False when none does: what is left is rounding. */
static bool sweep(const struct glmm *g, const double *t, struct glmm_state *s,
                  struct glmm_work *w, struct core_info *info)
{
    size_t n = g->n, dim = arrow_dim(&g->lmm.shape);
    bool rose = false;
    for (int k = 0; k < SWEEPS; k++) {
        if (glmm_curvature(g, t, s, w, info)) return rose;
        gradient(g, s, w, w->dm);
        arrow_solve(&g->lmm.shape, &w->A, w->dm);
        memcpy(w->goal_w, s->w, sizeof(double) * n);
        bool mean = line_search(g, t, s, w, info) > 0;
        memset(w->dm, 0, sizeof(double) * dim);
        for (size_t i = 0; i < n; i++) w->goal_w[i] = -2 * s->e.v[i];
        if (!(line_search(g, t, s, w, info) > 0) && !mean) return rose;
        rose = true;
    }
    return rose;
}

/* Newton's method: what remains of a step of length d is its part that was not solved for, and
 * factor d^2. The factor is learned from step to step and outlives a fit: the next one is near. */
static double forecast(const struct glmm_state *s, const struct glmm_work *w)
{
    return w->residual * s->decrement + 2 * s->factor * s->decrement * s->decrement;
}

enum core_status glmm_fit(const struct glmm *g, const double *t, double tol, int max_iter,
                          struct glmm_state *s, struct glmm_work *w,
                          const struct core_hooks *h, struct core_info *info)
{
    double last = INFINITY, step_tol = tol < NEWTON_TOL_FAR ? NEWTON_TOL : NEWTON_TOL_FAR;
    enum core_status st = glmm_evaluate(g, t, s, w, info);
    if (st) return st;
    for (s->steps = 0; s->steps < max_iter; s->steps++) {
        if (core_stop(h, s->steps)) return CORE_INTERRUPTED;
        if ((st = glmm_curvature(g, t, s, w, info))) return st;
        double d2 = newton_step(g, t, s, w, step_tol);
        bool newton = w->residual >= 0;
        s->decrement = sqrt(d2);
        if (!isfinite(s->decrement)) return CORE_NONFINITE;
        if (last < 1) s->factor = s->decrement / (last * last);
        if (s->decrement <= tol) return CORE_OK;
        double fraction = line_search(g, t, s, w, info);
        if (fraction == 0 && (s->decrement < 1e-5 || !sweep(g, t, s, w, info)))
            return s->decrement < 1e-4 ? CORE_OK : CORE_MAXIT;
        bool whole = newton && fraction == 1;
        double next = forecast(s, w);
        if (whole && next <= tol) {
            s->decrement = next;
            return CORE_OK;
        }
        last = whole ? s->decrement : INFINITY;
        step_tol = fmax(NEWTON_TOL, fmin(NEWTON_TOL_FAR, 0.1 * last));
    }
    return CORE_MAXIT;
}

/* ---- covariance of theta at fixed precisions -------------------------------------------------- */

/* Leaf l's piece of the precision, less what runs through its own covariance W = D^-1. In the
 * coordinates vech W, with T_i = vech(z z') doubled off the diagonal,
 *     P_WW = D'(W^-1 (x) W^-1)D / 2 - sum f_vv T T',   P_W,m = -sum f_mv T c',
 * and the Schur complement takes P_mW P_WW^-1 P_Wm away. */
static bool add_leaf_response(const struct glmm *g, const struct glmm_state *s, int l,
                              double *work, struct arrow *P)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    int r = sh->r, k = sh->ptr[l + 1] - sh->ptr[l], m = vech_size(r), p = g->lmm.p;
    const int *col = sh->idx + sh->ptr[l];
    int width = k + r;
    double H[64 * 64] = {0}, T[64], L[64];
    const double *W = s->d_inv + (size_t) l * (size_t) (r * r);
    double *U = work;        /* m rows of length width: P_Wm, row by row */
    if (m > 36) return true; /* r > 8: left out */
    memset(U, 0, sizeof(double) * (size_t) m * (size_t) width);
    memcpy(L, W, sizeof(double) * (size_t) (r * r));
    if (la_chol(r, L)) return false;
    la_inverse(r, L, L); /* W^-1 */
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            for (int d = 0; d < r; d++)
                for (int c = d; c < r; c++) {
                    double e =
                        AT(L, a, c, r) * AT(L, b, d, r) + AT(L, a, d, r) * AT(L, b, c, r);
                    double f = a == b ? 0.5 : 1, h = c == d ? 0.5 : 1;
                    AT(H, vech_at(r, a, b), vech_at(r, c, d), m) = e * f * h;
                }
    for (size_t i = g->start[l]; i < g->start[l + 1]; i++) {
        const double *x = g->X + i * (size_t) p, *z = g->z ? g->z + i * (size_t) r : NULL;
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++)
                T[vech_at(r, a, b)] = (a == b ? 1 : 2) * (z ? z[a] * z[b] : 1);
        for (int y = 0; y < m; y++) {
            double mv = s->e.mv[i] * T[y], *row = U + (size_t) y * (size_t) width;
            for (int x2 = 0; x2 <= y; x2++) AT(H, y, x2, m) -= s->e.vv[i] * T[y] * T[x2];
            for (int a = 0; a < p; a++) row[a] += mv * x[a];
            for (int f = 0; f < g->n_other; f++)
                for (int c = 0; c < g->other[f].r; c++) {
                    double zf =
                        g->other[f].z
                            ? g->other[f].z[i * (size_t) g->other[f].r + (size_t) c]
                            : 1.0;
                    row[g->other[f].pos[i] + c] += mv * zf;
                }
            for (int c = 0; c < r; c++) row[k + c] += mv * (z ? z[c] : 1);
        }
    }
    if (la_chol(m, H)) return false;
    for (int j = 0; j < width; j++) { /* column j: H^-1/2 U */
        for (int y = 0; y < m; y++) T[y] = U[(size_t) y * (size_t) width + (size_t) j];
        la_solve_l(m, H, T);
        for (int y = 0; y < m; y++) U[(size_t) y * (size_t) width + (size_t) j] = T[y];
    }
    double *B = P->cross + (size_t) sh->ptr[l] * (size_t) r;
    double *D = P->leaf + (size_t) l * (size_t) (r * r);
    for (int y = 0; y < m; y++) {
        const double *u = U + (size_t) y * (size_t) width;
        for (int b = 0; b < k; b++)
            for (int a = b; a < k; a++)
                AT(P->global, col[a], col[b], sh->n_global) -= u[a] * u[b];
        for (int c = 0; c < r; c++) {
            for (int a = 0; a < k; a++) AT(B, a, c, k) -= u[a] * u[k + c];
            for (int d = c; d < r; d++) AT(D, d, c, r) -= u[k + d] * u[k + c];
        }
    }
    return true;
}

enum core_status glmm_response_factor(const struct glmm *g, const double *t,
                                      const struct glmm_state *s, struct arrow *P,
                                      struct arrow *F, double *scratch,
                                      struct core_info *info)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    for (size_t i = 0; i < g->n; i++) scratch[i] = -s->e.mm[i];
    glmm_gram(g, scratch, P);
    glmm_add_prior(g, t, P);
    for (int l = 0; l < sh->n_leaf; l++)
        if (!add_leaf_response(g, s, l, scratch, P)) {
            info->block = l;
            return CORE_NOT_PD_LEAF;
        }
    return arrow_factor(sh, P, F, info);
}
