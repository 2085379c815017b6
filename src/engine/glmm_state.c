/* glmm_state.c: see glmm_state.h. */
#include <math.h>
#include "base/la.h"
#include "engine/glmm_state.h"

static const double LOG_2PI = 1.837877066409345483560659472811;

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

struct glmm_work glmm_state_work(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t dim = arrow_dim(sh), r = (size_t) sh->r;
    struct glmm_work w = {.residual = 0};
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

/* log |T| without the flat part. */
static double prior_logdet(const struct lmm *m, const double *t)
{
    double sum = m->flat ? 0 : m->logdet_Tb;
    for (int k = m->first_term; k < m->n_prec; k++) {
        double L[VECH_MAX_R * VECH_MAX_R];
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
    double sum = la_dot(arrow_dim(&m->shape), theta, grad);
    for (int j = 0; j < m->p; j++) sum -= m->mu[j] * grad[j];
    return sum;
}

enum core_status glmm_state_evaluate(const struct glmm *g, const double *t,
                                     struct glmm_state *s, struct glmm_work *w,
                                     struct core_info *info)
{
    const struct lmm *m = &g->lmm;
    const struct arrow_shape *sh = &m->shape;
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
    const struct likelihood_rows rows = glmm_rows(g);
    double loglik =
        g->constant + likelihood_expect(g->likelihood, &rows, t, s->mu, s->v, &s->e);
    /* tr(T S) = dim - sum w v; dim cancels against the entropy's */
    s->elbo = loglik +
              0.5 * (la_dot(g->n, s->w, s->v) - prior_quadratic(m, s->m, w->prior_grad) +
                     prior_logdet(m, t) - s->log_det_P + (m->flat ? m->p * LOG_2PI : 0));
    return isfinite(s->elbo) ? CORE_OK : CORE_NONFINITE;
}

enum core_status glmm_state_start(const struct glmm *g, const double *t,
                                  struct glmm_state *s, struct glmm_work *w,
                                  struct core_info *info)
{
    const struct lmm *m = &g->lmm;
    const struct likelihood_rows rows = glmm_rows(g);
    g->likelihood->start(&rows, t, s->mu, s->w);
    for (size_t i = 0; i < g->n; i++) w->row[i] = s->w[i] * (s->mu[i] - g->offset[i]);
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
