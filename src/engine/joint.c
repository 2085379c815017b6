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

/* u <- B u for the effects of every level of precision k, or B^-1 u. */
static void map_effects(const struct joint *j, int k, const double *psi, bool back,
                        double *theta)
{
    const struct lmm *m = &j->g->lmm;
    int r = m->prec[k].r;
    double B[RR];
    scale_free_root(r, psi + m->prec[k].at, B);
    for (int l = 0; l < m->prec[k].n_levels; l++) {
        double *u = theta + lmm_coef(m, k, l);
        if (back) {
            la_solve_l(r, B, u);
            continue;
        }
        for (int a = r - 1; a >= 0; a--) {
            double s = 0;
            for (int b = 0; b <= a; b++) s += AT(B, a, b, r) * u[b];
            u[a] = s;
        }
    }
}

static void map_all(const struct joint *j, const double *psi, bool back, double *theta)
{
    for (int k = j->g->lmm.first_term; k < j->g->lmm.n_prec; k++)
        if (j->standard[k]) map_effects(j, k, psi, back, theta);
}

void joint_theta(const struct joint *j, const double *x, double *theta, double *t)
{
    const struct lmm *m = &j->g->lmm;
    const double *psi = psi_of(j, x);
    double jacobian;
    memcpy(theta, x, sizeof(double) * arrow_dim(&m->shape));
    map_all(j, psi, false, theta);
    for (int k = 0; k < m->n_prec; k++)
        scale_free_to_vech(m->prec[k].r, psi + m->prec[k].at, t + m->prec[k].at,
                           &jacobian);
}

void joint_standardise(const struct joint *j, const double *theta, double *x)
{
    memmove(x, theta, sizeof(double) * arrow_dim(&j->g->lmm.shape));
    map_all(j, psi_of(j, x), true, x);
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

/* Effects as they are, given log |Lambda|. */
static double effects_prior(struct joint *j, int k, double logdet)
{
    const struct lmm *m = &j->g->lmm;
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double L[RR], U[RR], quad = 0;
    vech_unpack(r, j->t + pr->at, L);
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

/* Effects in units of their own, e in x: their gradient from that in u = B e. */
static double standard_prior(struct joint *j, int k, const double *x, double *dpsi)
{
    const struct lmm *m = &j->g->lmm;
    const struct precision *pr = &m->prec[k];
    const double *psi = psi_of(j, x) + pr->at;
    int r = pr->r;
    double B[RR], M[RR] = {0}, quad = 0;
    scale_free_root(r, psi, B);
    for (int l = 0; l < pr->n_levels; l++) {
        const double *e = x + lmm_coef(m, k, l);
        double *s = j->slope + lmm_coef(m, k, l);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) AT(M, a, b, r) += s[a] * e[b];
        for (int b = 0; b < r; b++) {
            double pulled = 0;
            for (int a = b; a < r; a++) pulled += AT(B, a, b, r) * s[a];
            quad += e[b] * e[b];
            s[b] = pulled - e[b]; /* columns after b do not need s_b */
        }
    }
    scale_free_root_pull(r, psi, M, dpsi);
    return -0.5 * (quad + pr->n_levels * r * LOG_2PI);
}

/* All that belongs to precision k: its prior, its effects' and the Jacobian. */
static double precision_prior(struct joint *j, int k, const double *x)
{
    const struct lmm *m = &j->g->lmm;
    const struct precision *pr = &m->prec[k];
    const double *psi = psi_of(j, x) + pr->at;
    double *t = j->t + pr->at, *dt = j->dt + pr->at, *dpsi = j->dpsi + pr->at;
    double jacobian, logdet = scale_free_to_vech(pr->r, psi, t, &jacobian);
    double f = lmm_prior_log_density(m, k, j->prior_const[k], t, logdet) + jacobian;
    double in_logdet = 0.5 * (pr->df0 - pr->r - 1);
    if (j->standard[k]) {
        f += standard_prior(j, k, x, dpsi);
    } else {
        f += effects_prior(j, k, logdet);
        in_logdet += 0.5 * pr->n_levels;
    }
    lmm_prior_slope(m, k, t, dt);
    scale_free_pull(pr->r, psi, dt, dpsi);
    scale_free_slope(pr->r, psi, in_logdet, 1, dpsi);
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
    joint_theta(j, x, j->theta, j->t);
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
