/* glmm_nest.c: see glmm_nest.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/logistic.h"
#include "base/scale_free.h"
#include "model/lmm_prior.h"
#include "engine/glmm_fit.h"
#include "engine/glmm_nest.h"
#include "engine/glmm_response.h"
#include "engine/glmm_theta.h"

/* The conditional fit's accuracy in posterior SDs (its bound errs by half the square), and that
 * of the responses. */
static const double FIT_TOL = 1e-5, RESPONSE_TOL = 1e-3;
enum { FIT_MAX = 60 };
static const double MAX_PSI = 60;

/* Nodes of less weight get the response of glmm_response_factor(), a tenth of a percent off at
 * most, and no shift of the means: the hundreds of a lattice's rim weigh a percent together. */
static const double NEGLIGIBLE = 1e-4;

/* Variance, in units of their own, up to which what coefficients get is predicted. */
static const double NEAR = 0.05;

/* Doubles above which the means of the coefficients are not shifted. */
static const double MAX_SHIFT = 1e7;

/* The numbers of a fit: m, log w and its correction. */
static size_t state_size(const struct glmm *g)
{
    return arrow_dim(&g->lmm.shape) + g->n + 1;
}

struct glmm_nest glmm_nest_carve(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t p = (size_t) g->lmm.p, dim = arrow_dim(sh);
    struct glmm_nest x = {.g = g, .corrected = true};
    /* with several factors the shift is below a hundredth of an SD [measured], and dear */
    x.shifted = g->n_other == 0 && (double) (g->n + dim) * (double) p <= MAX_SHIFT;
    x.s = glmm_state_carve(g, a);
    x.w = glmm_state_work(g, a);
    x.t = arena_doubles(a, (size_t) g->lmm.n_par);
    x.psi = arena_doubles(a, (size_t) g->lmm.n_stat);
    x.prior_const = arena_doubles(a, (size_t) g->lmm.n_prec);
    x.S_global = arena_doubles(a, arrow_global_size(sh));
    x.leaf_work = arena_doubles(a, glmm_theta_leaf_work(g));
    x.F = arrow_carve(sh, a);
    x.keep_m = arena_doubles(a, dim);
    x.keep_w = arena_doubles(a, g->n);
    x.cols_m = arena_doubles(a, x.shifted ? dim * p : 0);
    x.cols_w = arena_doubles(a, x.shifted ? g->n * p : 0);
    x.lm = arena_doubles(a, g->likelihood->n_extra ? g->n : 0);
    x.lv = arena_doubles(a, g->likelihood->n_extra ? g->n : 0);
    x.fits = fit_store_carve(g->lmm.n_stat, state_size(g), a);
    x.sum = arena_doubles(a, state_size(g));
    x.beta = fit_store_carve(g->lmm.n_stat, p + p * p, a);
    x.beta_now = arena_doubles(a, p + p * p);
    x.correct = glmm_correction_carve(g, x.S_global, a);
    return x;
}

void glmm_nest_prepare(struct glmm_nest *x)
{
    const struct glmm *g = x->g;
    for (int k = 0; k < g->lmm.n_prec; k++)
        x->prior_const[k] = lmm_prior_constant(&g->lmm, k);
    glmm_correction_prepare(g, &x->correct);
}

/* ---- the conditional fit ---------------------------------------------------------------------------- */

/* (m, w) <- what the fits near psi lead to expect. */
static void start_at(struct glmm_nest *x, const struct fit_store_prediction *near)
{
    size_t dim = arrow_dim(&x->g->lmm.shape), n = x->g->n;
    fit_store_sum(&x->fits, near, x->sum);
    memcpy(x->s.m, x->sum, sizeof(double) * dim);
    logistic_exp_rows(n, x->sum + dim, x->s.w);
}

static void nest_state(const void *nest, double *out)
{
    const struct glmm_nest *x = nest;
    size_t dim = arrow_dim(&x->g->lmm.shape), n = x->g->n;
    memcpy(out, x->s.m, sizeof(double) * dim);
    for (size_t i = 0; i < n; i++) out[dim + i] = log(x->s.w[i]);
    out[dim + n] = x->correction;
}

static void nest_know(void *nest, const double *psi, const double *state)
{
    struct glmm_nest *x = nest;
    memcpy(fit_store_put(&x->fits, psi), state, sizeof(double) * x->fits.length);
}

/* The fit at psi; *known: it was made before, and so was its correction. */
static bool fit_at(struct glmm_nest *x, const double *psi, bool *known)
{
    const struct glmm *g = x->g;
    const struct fit_store_prediction near = fit_store_predict(&x->fits, psi);
    enum core_status st = CORE_NONFINITE;
    if (near.n) start_at(x, &near);
    if (near.variance == 0) st = glmm_state_evaluate(g, x->t, &x->s, &x->w, &x->info);
    *known = st == CORE_OK;
    if (*known) return true;
    if (near.n) st = glmm_fit(g, x->t, FIT_TOL, FIT_MAX, &x->s, &x->w, x->h, &x->info);
    if (st != CORE_OK && st != CORE_INTERRUPTED) {
        st = glmm_state_start(g, x->t, &x->s, &x->w, &x->info);
        if (!st) st = glmm_fit(g, x->t, FIT_TOL, FIT_MAX, &x->s, &x->w, x->h, &x->info);
    }
    return st == CORE_OK;
}

/* The correction at the current state. */
static double correction(struct glmm_nest *x)
{
    const struct glmm_view q = {x->g, x->t, &x->s, &x->w.F};
    return x->corrected ? glmm_correction(&q, &x->correct) : 0;
}

double glmm_nest_log_density(void *nest, const double *psi)
{
    struct glmm_nest *x = nest;
    const struct lmm *m = &x->g->lmm;
    double prior = 0;
    for (int i = 0; i < m->n_stat; i++)
        if (!(fabs(psi[i]) < MAX_PSI)) return -INFINITY;
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        double jacobian,
            logdet = scale_free_to_vech(pr->r, psi + pr->at, x->t + pr->at, &jacobian);
        prior += lmm_prior_log_density(m, k, x->prior_const[k], x->t + pr->at, logdet) +
                 jacobian;
    }
    bool known;
    if (!fit_at(x, psi, &known)) return -INFINITY;
    memcpy(x->psi, psi, sizeof(double) * (size_t) m->n_stat);
    x->prior = prior;
    x->correction = known ? x->sum[x->fits.length - 1] : correction(x);
    if (!known) nest_state(x, fit_store_put(&x->fits, psi));
    double f = x->s.elbo + x->correction + prior;
    return isfinite(f) ? f : -INFINITY;
}

/* score <- Lambda^-1 score on every level of term k. */
static void effects_of_score(const struct lmm *m, int k, const double *t, double *score)
{
    const struct precision *pr = &m->prec[k];
    double L[VECH_MAX_R * VECH_MAX_R];
    vech_unpack(pr->r, t + pr->at, L);
    if (la_chol(pr->r, L)) return;
    for (int l = 0; l < pr->n_levels; l++) {
        double *u = score + lmm_coef(m, k, l);
        la_solve_l(pr->r, L, u);
        la_solve_lt(pr->r, L, u);
    }
}

/* Of the bound, whose derivatives in (m, S) vanish. There Lambda u = C'f_mu, in which what the fit errs by
 * counts less than in u where Lambda is large. */
static void nest_slope(void *nest, double *slope)
{
    struct glmm_nest *x = nest;
    const struct glmm *g = x->g;
    const struct lmm *m = &g->lmm;
    glmm_adjoint(g, x->s.e.m, x->keep_m);
    for (int k = m->first_term; k < m->n_prec; k++) {
        lmm_block_sum(m, k, x->s.S.global, x->s.S.leaf, slope + m->prec[k].at);
        effects_of_score(m, k, x->t, x->keep_m);
        lmm_likelihood_slope(m, k, x->t, x->keep_m, slope);
    }
    if (!m->first_term) return;
    const struct likelihood_rows rows = glmm_rows(g);
    struct likelihood_extra e = {.lm = x->lm, .lv = x->lv};
    likelihood_extra_terms(g->likelihood, &rows, x->t, x->s.mu, x->s.v, &e);
    slope[0] = e.l / x->t[0]; /* e is in log extra */
}

/* shift[j] <- d correction / d tilt of beta_j, by a difference of a fiftieth of an SD along the
 * response to the tilt. */
static void shift_means(struct glmm_nest *x, double *shift)
{
    const struct glmm *g = x->g;
    size_t n = g->n, dim = arrow_dim(&g->lmm.shape);
    double base = correction(x); /* and the rules that it is taken by */
    x->correct.levels.held = true;
    memcpy(x->keep_m, x->s.m, sizeof(double) * dim);
    memcpy(x->keep_w, x->s.w, sizeof(double) * n);
    for (int j = 0; j < g->lmm.p; j++) {
        const double *dm = x->cols_m + (size_t) j * dim,
                     *eps = x->cols_w + (size_t) j * n;
        double h = 0.02 / sqrt(dm[j]);
        shift[j] = 0;
        for (size_t i = 0; i < dim; i++) x->s.m[i] = x->keep_m[i] + h * dm[i];
        for (size_t i = 0; i < n; i++) {
            x->s.w[i] = x->keep_w[i] - h * eps[i];
            if (!(x->s.w[i] > 0)) x->s.w[i] = x->keep_w[i];
        }
        if (glmm_state_evaluate(g, x->t, &x->s, &x->w, &x->info) == CORE_OK) {
            double moved = correction(x);
            if (isfinite(moved)) shift[j] = (moved - base) / h;
        }
    }
    x->correct.levels.held = false;
    memcpy(x->s.m, x->keep_m, sizeof(double) * dim);
    memcpy(x->s.w, x->keep_w, sizeof(double) * n);
}

/* What glmm_response_factor() misses of the coefficients, and the shift of their means, by a response
 * and a difference for each of them; or as they were at psi near by, in which they are smooth. */
static bool exact_moments(struct glmm_nest *x, bool counts)
{
    const struct glmm *g = x->g;
    int p = g->lmm.p;
    const struct fit_store_prediction near = fit_store_predict(&x->beta, x->psi);
    bool known = near.variance < NEAR, shift = x->shifted && x->corrected;
    double *ratio = x->beta_now + p;
    memset(x->beta_now, 0, sizeof(double) * x->beta.length);
    if (known) fit_store_sum(&x->beta, &near, x->beta_now);
    struct theta_response want = {.exact = known    ? EXACT_RATIO
                                           : counts ? EXACT_BETA
                                                    : EXACT_NONE,
                                  .tol = RESPONSE_TOL,
                                  .cols_m = shift && !known && counts ? x->cols_m : NULL,
                                  .cols_w = shift && !known && counts ? x->cols_w : NULL,
                                  .ratio = ratio};
    if (!glmm_theta_factor(g, x->t, &x->s, &x->w, want, &x->F, x->leaf_work))
        return false;
    if (known || !counts) return true;
    if (shift) shift_means(x, x->beta_now);
    memcpy(fit_store_put(&x->beta, x->psi), x->beta_now, sizeof(double) * x->beta.length);
    return true;
}

static bool nest_moments(void *nest, double weight, double *mean)
{
    struct glmm_nest *x = nest;
    const struct glmm *g = x->g;
    memcpy(mean, x->s.m, sizeof(double) * arrow_dim(&g->lmm.shape));
    if (glmm_response_curvature(g, x->t, &x->s, &x->w, &x->info)) return false;
    if (!exact_moments(x, weight > NEGLIGIBLE)) return false;
    for (int j = 0; j < g->lmm.p; j++) mean[j] += x->beta_now[j];
    return true;
}

struct conditional glmm_nest_conditional(const struct glmm *g, const double *origin,
                                         const struct core_hooks *h, struct arena *a)
{
    struct glmm_nest *x = arena_struct(a, sizeof *x), made = glmm_nest_carve(g, a);
    if (!x) return (struct conditional){.d = g->lmm.n_stat}; /* counted */
    *x = made;
    x->h = h;
    glmm_nest_prepare(x);
    return (struct conditional){.ctx = x,
                                .d = g->lmm.n_stat,
                                .shape = &g->lmm.shape,
                                .F = &x->F,
                                .origin = origin,
                                .log_density = glmm_nest_log_density,
                                .moments = nest_moments,
                                .slope = nest_slope,
                                .state_size = state_size(g),
                                .state = nest_state,
                                .know = nest_know,
                                .correction = &x->correction,
                                .prior = &x->prior};
}
