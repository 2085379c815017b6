/* glmm_fit.c: see glmm_fit.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "engine/glmm_fit.h"
#include "engine/glmm_response.h"

/* Rounding allowance when two ELBO values are compared, relative to their size: the sum over
 * the rows is what rounds. */
static const double ELBO_SLACK = 1e-11;

enum { HALVINGS = 14, SWEEPS = 3 };

/* A Newton system is solved to a tenth of the last decrement, within these limits: far from the
 * optimum a better direction is no better, near it each step gains two digits at least. */
static const double NEWTON_TOL = 3e-3, NEWTON_TOL_FAR = 0.1;

/* out <- the ELBO's gradient in m. */
static void gradient(const struct glmm *g, const struct glmm_state *s,
                     const struct glmm_work *w, double *out)
{
    glmm_adjoint(g, s->e.m, out);
    for (size_t i = 0; i < arrow_dim(&g->lmm.shape); i++) out[i] -= w->prior_grad[i];
}

/* -2 F_v of row i where the step leads, its variance kept within a factor of five. */
static double weight_there(const struct glmm *g, const double *t,
                           const struct glmm_state *s, const struct glmm_work *w,
                           size_t i)
{
    const struct likelihood_rows row = {1, g->y + i, g->size + i};
    double x[6], mu = s->mu[i] + w->dmu[i], v = s->v[i] + w->dv[i];
    struct likelihood_terms e = {x, x + 1, x + 2, x + 3, x + 4, x + 5};
    v = v < 0.2 * s->v[i] ? 0.2 * s->v[i] : v > 5 * s->v[i] ? 5 * s->v[i] : v;
    likelihood_expect(g->likelihood, &row, t, &mu, &v, &e);
    return -2 * *e.v;
}

/* w->goal_w <- the weights that the step leads to, by the linear forecast unless it is too far. */
static void goal_weights(const struct glmm *g, const double *t,
                         const struct glmm_state *s, struct glmm_work *w)
{
    for (size_t i = 0; i < g->n; i++) {
        double now = -2 * s->e.v[i];
        double goal = now - 2 * (s->e.mv[i] * w->dmu[i] + s->e.vv[i] * w->dv[i]);
        w->goal_w[i] =
            goal > 0.5 * now && goal < 2 * now ? goal : weight_there(g, t, s, w, i);
    }
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
    if (glmm_response(g, s, w, (struct glmm_tilt){.eps0 = w->rho, .tol = tol}))
        d2 = la_dot(dim, w->g, w->dm) + 0.5 * la_dot(n, w->rho, w->dv);
    if (!(d2 >= 0)) {
        glmm_response_mean(g, s, w);
        d2 = la_dot(dim, w->g, w->dm) + 0.5 * la_dot(n, w->rho, w->Kr);
        w->residual = -1;
    }
    goal_weights(g, t, s, w);
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
        if (glmm_state_evaluate(g, t, s, w, info) == CORE_OK &&
            s->elbo >= best - ELBO_SLACK * (1 + fabs(best)))
            return fraction;
    }
    memcpy(s->m, w->base_m, sizeof(double) * dim);
    memcpy(s->w, w->base_w, sizeof(double) * g->n);
    glmm_state_evaluate(g, t, s, w, info);
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
        if (glmm_response_curvature(g, t, s, w, info)) return rose;
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
    enum core_status st = glmm_state_evaluate(g, t, s, w, info);
    if (st) return st;
    for (s->steps = 0; s->steps < max_iter; s->steps++) {
        if (core_stop(h, s->steps)) return CORE_INTERRUPTED;
        if ((st = glmm_response_curvature(g, t, s, w, info))) return st;
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
