/* joint.c: see joint.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/scale_free.h"
#include "model/lmm_prior.h"
#include "engine/joint.h"

static const double LOG_2PI = 1.837877066409345483560659472811;
static const double MAX_PSI = 300; /* as in lmm_exact.c */
enum { RR = VECH_MAX_R * VECH_MAX_R };

struct joint joint_carve(const struct glmm *g, struct arena *a)
{
    size_t dim = arrow_dim(&g->lmm.shape), s = (size_t) g->lmm.n_stat, n = g->n;
    return (struct joint){.g = g,
                          .theta = arena_doubles(a, dim),
                          .slope = arena_doubles(a, dim),
                          .dev = arena_doubles(a, dim),
                          .Gdev = arena_doubles(a, dim),
                          .t = arena_doubles(a, s),
                          .dt = arena_doubles(a, s),
                          .dpsi = arena_doubles(a, s),
                          .prior_const = arena_doubles(a, (size_t) g->lmm.n_prec),
                          .eta = arena_doubles(a, n),
                          .score = arena_doubles(a, n),
                          .zero = arena_doubles(a, n),
                          .more = arena_doubles(a, 2 * n)};
}

void joint_prepare(struct joint *j)
{
    for (int k = 0; k < j->g->lmm.n_prec; k++)
        j->prior_const[k] = lmm_prior_constant(&j->g->lmm, k);
    memset(j->zero, 0, sizeof(double) * j->g->n);
}

/* ---- coordinates --------------------------------------------------------------------------- */

static const double *psi_of(const struct joint *j, const double *x)
{
    return x + arrow_dim(&j->g->lmm.shape);
}

/* P = W_l + Lambda of level l of precision k as F (lower), L: Lambda; h <- F^-1 b_l. */
static bool level_factor(const struct joint *j, int k, int l, const double *L, double *F,
                         double *h)
{
    const struct joint_scale *s = &j->scale[k];
    int r = j->g->lmm.prec[k].r;
    size_t rr = (size_t) (r * r), at = (size_t) l;
    for (size_t i = 0; i < rr; i++) F[i] = s->W[at * rr + i] + L[i];
    if (la_chol(r, F)) return false;
    memcpy(h, s->b + at * (size_t) r, sizeof(double) * (size_t) r);
    la_solve_l(r, F, h);
    return true;
}

/* e of every level's effects <- u = F^-T (h + e), or back. */
static bool map_effects(const struct joint *j, int k, const double *t, bool back,
                        double *theta)
{
    const struct lmm *m = &j->g->lmm;
    int r = m->prec[k].r;
    double L[RR], F[RR], h[VECH_MAX_R];
    vech_unpack(r, t + m->prec[k].at, L);
    for (int l = 0; l < m->prec[k].n_levels; l++) {
        double *u = theta + lmm_coef(m, k, l);
        if (!level_factor(j, k, l, L, F, h)) return false;
        if (!back) {
            for (int a = 0; a < r; a++) u[a] += h[a];
            la_solve_lt(r, F, u);
            continue;
        }
        for (int a = 0; a < r; a++) { /* F'u - h */
            double sum = 0;
            for (int b = a; b < r; b++) sum += AT(F, b, a, r) * u[b];
            u[a] = sum - h[a];
        }
    }
    return true;
}

static bool map_all(const struct joint *j, const double *t, bool back, double *theta)
{
    for (int k = j->g->lmm.first_term; k < j->g->lmm.n_prec; k++)
        if (j->scale[k].W && !map_effects(j, k, t, back, theta)) return false;
    return true;
}

static void precisions(const struct joint *j, const double *psi, double *t)
{
    const struct lmm *m = &j->g->lmm;
    double jacobian;
    for (int k = 0; k < m->n_prec; k++)
        scale_free_to_vech(m->prec[k].r, psi + m->prec[k].at, t + m->prec[k].at,
                           &jacobian);
}

bool joint_theta(const struct joint *j, const double *x, double *theta, double *t)
{
    memcpy(theta, x, sizeof(double) * arrow_dim(&j->g->lmm.shape));
    precisions(j, psi_of(j, x), t);
    return map_all(j, t, false, theta);
}

bool joint_whiten(const struct joint *j, double *x)
{
    precisions(j, psi_of(j, x), j->t);
    return map_all(j, j->t, true, x);
}

/* ---- the pieces: each returns its log density and adds to the gradients ---------------------- */

/* Of the Gaussian likelihood, about the stored fit; dpsi: of log tau_e. */
static double gaussian_rows(struct joint *j, double *dpsi)
{
    const struct lmm *m = &j->g->lmm;
    const struct lmm_centre *c = j->centre;
    size_t dim = arrow_dim(&m->shape);
    double rss = c->rss, tau = j->t[0];
    for (size_t i = 0; i < dim; i++) j->dev[i] = j->theta[i] - c->theta[i];
    arrow_mul(&m->shape, &m->G, j->dev, j->Gdev);
    for (size_t i = 0; i < dim; i++) {
        rss += j->dev[i] * (j->Gdev[i] - 2 * c->grad[i]);
        j->slope[i] = tau * (c->grad[i] - j->Gdev[i]);
    }
    *dpsi = 0.5 * (m->n - tau * rss);
    return 0.5 * (m->n * (log(tau) - LOG_2PI) + m->sum_log_w - tau * rss);
}

/* Of another likelihood; dpsi: of the logarithm of its extra parameter. */
static double other_rows(struct joint *j, bool slope, double *dpsi)
{
    const struct glmm *g = j->g;
    const struct likelihood_rows rows = glmm_rows(g);
    struct likelihood_extra extra = {.lm = j->more, .lv = j->more + g->n};
    glmm_mul(g, j->theta, j->eta);
    for (size_t i = 0; i < g->n; i++) j->eta[i] += g->offset[i];
    double f = g->constant +
               likelihood_expect_value(g->likelihood, &rows, j->t, j->eta, j->zero);
    *dpsi = 0;
    if (!slope || !isfinite(f)) return f;
    g->likelihood->score(&rows, j->t, j->eta, j->score, NULL);
    glmm_adjoint(g, j->score, j->slope);
    if (!g->likelihood->n_extra) return f;
    likelihood_extra_terms(g->likelihood, &rows, j->t, j->eta, j->zero, &extra);
    *dpsi = extra.l;
    return f;
}

static double beta_prior(struct joint *j)
{
    const struct lmm *m = &j->g->lmm;
    double quad = 0;
    if (m->flat) return 0;
    for (int a = 0; a < m->p; a++) {
        double pull = 0;
        for (int b = 0; b < m->p; b++)
            pull += AT(m->Tb, a, b, m->p) * (j->theta[b] - m->mu[b]);
        quad += pull * (j->theta[a] - m->mu[a]);
        j->slope[a] -= pull;
    }
    return 0.5 * (m->logdet_Tb - quad - m->p * LOG_2PI);
}

static double effects_prior(struct joint *j, int k, double logdet, const double *L)
{
    const struct lmm *m = &j->g->lmm;
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double U[RR], quad = 0;
    lmm_outer_u(m, k, j->theta, U);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double share = (a == b ? 0.5 : 1) * AT(U, a, b, r);
            quad += share * AT(L, a, b, r);
            j->dt[pr->at + vech_at(r, a, b)] -= share;
        }
    for (int l = 0; l < pr->n_levels; l++) {
        const double *u = j->theta + lmm_coef(m, k, l);
        double *s = j->slope + lmm_coef(m, k, l);
        for (int a = 0; a < r; a++)
            for (int b = 0; b < r; b++) s[a] -= AT(L, a, b, r) * u[b];
    }
    return 0.5 * pr->n_levels * (logdet - r * LOG_2PI) - quad;
}

/* G (full) <- F^-T K F^-1 for a symmetric K, in place. */
static void unwhiten_slope(int r, const double *F, double *K)
{
    for (int c = 0; c < r; c++) la_solve_lt(r, F, K + c * r);
    for (int c = 0; c < r; c++)
        for (int a = 0; a < c; a++) {
            double swap = AT(K, a, c, r);
            AT(K, a, c, r) = AT(K, c, a, r);
            AT(K, c, a, r) = swap;
        }
    for (int c = 0; c < r; c++) la_solve_lt(r, F, K + c * r);
}

/* One level: with M = F^-1 dP F^-T and a = F^-1 s, s the gradient in u,
 *
 *     du = -F^-T (M h + low(M)' e),   low(M): lower triangle with half the diagonal,
 *
 * so that in M the gradient of f - log |F| is K; a is that in e. */
static void level_slope(int r, const double *F, const double *h, const double *e,
                        const double *a, double *K)
{
    for (int c = 0; c < r; c++) {
        AT(K, c, c, r) = -a[c] * (h[c] + 0.5 * e[c]) - 0.5;
        for (int b = 0; b < c; b++)
            AT(K, b, c, r) = AT(K, c, b, r) = -0.5 * (a[b] * (h[c] + e[c]) + a[c] * h[b]);
    }
    unwhiten_slope(r, F, K);
}

/* From the gradients in u and t to those in e and t; returns log |du / de|. */
static double effects_units(struct joint *j, int k, const double *x, const double *L)
{
    const struct lmm *m = &j->g->lmm;
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double F[RR], K[RR], h[VECH_MAX_R], volume = 0;
    for (int l = 0; l < pr->n_levels; l++) {
        double *s = j->slope + lmm_coef(m, k, l);
        level_factor(j, k, l, L, F, h);
        la_solve_l(r, F, s);
        level_slope(r, F, h, x + lmm_coef(m, k, l), s, K);
        for (int b = 0; b < r; b++) {
            volume -= log(AT(F, b, b, r));
            for (int a = b; a < r; a++)
                j->dt[pr->at + vech_at(r, a, b)] += (a == b ? 1 : 2) * AT(K, a, b, r);
        }
    }
    return volume;
}

/* All that belongs to precision k: its prior, its effects' and the Jacobians. */
static double precision_prior(struct joint *j, int k, const double *x)
{
    const struct lmm *m = &j->g->lmm;
    const struct precision *pr = &m->prec[k];
    const double *psi = psi_of(j, x) + pr->at;
    double *t = j->t + pr->at, *dt = j->dt + pr->at, *dpsi = j->dpsi + pr->at;
    double L[RR], jacobian, logdet = scale_free_to_vech(pr->r, psi, t, &jacobian);
    double f = lmm_prior_log_density(m, k, j->prior_const[k], t, logdet) + jacobian;
    vech_unpack(pr->r, t, L);
    f += effects_prior(j, k, logdet, L);
    if (j->scale[k].W) f += effects_units(j, k, x, L);
    lmm_prior_slope(m, k, t, dt);
    scale_free_pull(pr->r, psi, dt, dpsi);
    scale_free_slope(pr->r, psi, 0.5 * (pr->df0 - pr->r - 1 + pr->n_levels), 1, dpsi);
    return f;
}

double joint_log_density(struct joint *j, const double *x, double *g)
{
    const struct lmm *m = &j->g->lmm;
    size_t dim = arrow_dim(&m->shape), n_stat = (size_t) m->n_stat;
    const double *psi = psi_of(j, x);
    double lead = 0;
    for (size_t i = 0; i < n_stat; i++)
        if (!(fabs(psi[i]) < MAX_PSI)) return -INFINITY;
    memset(j->slope, 0, sizeof(double) * dim);
    memset(j->dt, 0, sizeof(double) * n_stat);
    memset(j->dpsi, 0, sizeof(double) * n_stat);
    if (!joint_theta(j, x, j->theta, j->t)) return -INFINITY;
    double f = j->g->n ? other_rows(j, g != NULL, &lead) : gaussian_rows(j, &lead);
    f += beta_prior(j);
    for (int k = 0; k < m->n_prec; k++) f += precision_prior(j, k, x);
    if (m->first_term) j->dpsi[0] += lead;
    if (!isfinite(f)) return -INFINITY;
    if (!g) return f;
    memcpy(g, j->slope, sizeof(double) * dim);
    memcpy(g + dim, j->dpsi, sizeof(double) * n_stat);
    return f;
}
