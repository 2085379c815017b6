/* vb.c: coordinate ascent and Newton steps for the Gaussian model.
 *
 *   q(theta)    = N(m, S),  S^-1 = E[tau_e] G + T,  S^-1 m = E[tau_e] h + T mu
 *   q(tau_e)    = Wishart_1(df_e + n,  R_e + E||W^1/2 (y - C theta)||^2)    (a gamma)
 *   q(Lambda_j) = Wishart(df_j + G_j,  R_j + sum_g (m_g m_g' + S_gg))
 *   half-t:       R = 2 nu diag(E c),  q(c_k) = Gamma((nu + r)/2, nu E[Lambda_kk] + 1/A_k^2)
 *
 * Separate blocks, q(beta) prod_g q(u_g): at given t the means solve the same joint system (that
 * is where sweeping over the blocks would end), and each block's covariance is the inverse of its
 * own diagonal block of S^-1. S itself stays the linear response of theta at fixed t.
 *
 * A sweep sets q(theta) at the current t = E[globals], then moves t. A precision's factor is
 * carried as its mean: its df never changes, so t is all there is. The ELBO at
 * (q(theta | t), t) rises under a CAVI move; a Newton move that lowers it is undone and
 * replaced by the CAVI move from the same point.
 * Cost of a sweep: O(sum k_i^2) for the arrow plus O(r^2 n_global^3), or with a sparse global block
 * (packed, joint blocks only) what its elimination costs. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/wishart.h"
#include "engine/vb.h"
#include "engine/vb_coupling.h"

static const double LOG_2PI = 1.837877066409345483560659472811;

enum { RR = VECH_MAX_R * VECH_MAX_R, RV = VECH_MAX_R * (VECH_MAX_R + 1) / 2 };

struct vb_work vb_work_carve(const struct lmm *m, struct arena *a)
{
    struct vb_work w = {.log_det_P = 0};
    size_t s = (size_t) m->n_stat, ng2 = arrow_global_size(&m->shape);
    size_t dim = arrow_dim(&m->shape), r = (size_t) m->shape.r;
    w.P = arrow_carve(&m->shape, a);
    w.F = arrow_carve(&m->shape, a);
    w.scratch = arena_doubles(a, (size_t) m->shape.n_global * (r > 1 ? r : 1));
    w.prior_grad = arena_doubles(a, dim);
    w.grad = arena_doubles(a, dim * s);
    if (m->shape.packed) {
        w.T = arena_doubles(a, (size_t) m->p * (size_t) m->p);
        w.S = arrow_carve(&m->shape, a);
        w.dP = arrow_carve(&m->shape, a);
        w.dS = arrow_carve(&m->shape, a);
        w.push = arrow_push_carve(&m->shape, a);
        w.unit = arena_doubles(a, s);
    } else {
        w.T = arena_doubles(a, ng2);
        w.M = arena_doubles(a, ng2);
        w.SM = arena_doubles(a, (m->shape.n_leaf ? r * r : 0) * ng2);
        w.H = arena_doubles(a, (size_t) vb_coupling_pairs(m) *
                                   (size_t) vb_coupling_pairs(m));
    }
    w.us = arena_doubles(a, s);
    w.moves = ascent_work_carve(m, a);
    return w;
}

/* tr(A B) of two symmetric r x r matrices in vech form. */
static double vech_trace(int r, const double *a, const double *b)
{
    double s = 0;
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++)
            s += (i == j ? 1 : 2) * a[vech_at(r, i, j)] * b[vech_at(r, i, j)];
    return s;
}

/* E||W^1/2 (y - C theta)||^2 = yy - m'h - m'(h - G m) + tr(G S), with the two identities
 *     tau_e (h - G m) = T (m - mu)        (m is stationary)
 *     tau_e tr(G S)   = dim - tr(T S)     (S^-1 = tau_e G + T). */
static double expected_rss(const struct lmm *m, const struct vb_state *s,
                           const struct vb_work *w)
{
    double rss = m->yy, tau_e = s->t[0], tr_ts = lmm_prior_trace(m, s->Sq_global);
    size_t dim = arrow_dim(&m->shape);
    for (size_t i = 0; i < dim; i++)
        rss -= s->m[i] * (m->h[i] + w->prior_grad[i] / tau_e);
    for (int k = m->first_term; k < m->n_prec; k++)
        tr_ts += vech_trace(m->prec[k].r, s->t + m->prec[k].at, w->us + m->prec[k].at);
    /* fmax() would turn a NaN into zero */
    return (rss < 0 ? 0 : rss) + ((double) dim - tr_ts) / tau_e;
}

/* Invert the diagonal block of P at column `at`, size n, into the same place of out; returns
 * its log-determinant, NaN when it is not positive definite. */
static double invert_block(const struct lmm *m, const double *P, int at, int n,
                           double *work, double *out)
{
    int ng = m->shape.n_global;
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) AT(work, i, j, n) = AT(P, at + i, at + j, ng);
    if (la_chol(n, work)) return NAN;
    double logdet = la_logdet(n, work);
    la_inverse(n, work, work);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) AT(out, at + i, at + j, ng) = AT(work, i, j, n);
    return logdet;
}

/* Separate blocks: Sq_global and sq_leaf from the diagonal blocks of P. Returns the sum of the
 * log-determinants of the blocks of P. */
static double separate_covariance(const struct lmm *m, struct vb_state *s,
                                  struct vb_work *w)
{
    size_t R = (size_t) m->shape.r;
    memset(s->Sq_global, 0, sizeof(double) * arrow_global_size(&m->shape));
    double logdet = m->p ? invert_block(m, w->P.global, 0, m->p, w->M, s->Sq_global) : 0;
    for (int k = 1, last = -1; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        if (pr->leaf || pr->factor == last)
            continue; /* a factor's terms share its blocks */
        last = pr->factor;
        for (int g = 0; g < pr->n_levels; g++)
            logdet += invert_block(m, w->P.global, pr->block + g * pr->stride, pr->stride,
                                   w->M, s->Sq_global);
    }
    memcpy(s->sq_leaf, s->d_inv, sizeof(double) * arrow_leaf_size(&m->shape));
    for (int g = 0; g < m->shape.n_leaf; g++)
        logdet += la_logdet(m->shape.r, w->F.leaf + (size_t) g * R * R);
    return logdet;
}

static double joint_covariance(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    if (s->Sq_global != s->S_global)
        memcpy(s->Sq_global, s->S_global, sizeof(double) * arrow_global_size(&m->shape));
    memcpy(s->sq_leaf, s->s_leaf, sizeof(double) * arrow_leaf_size(&m->shape));
    return arrow_logdet(&m->shape, &w->F);
}

/* q(theta) at the current precisions, and the quadratic forms it implies.
 * Out: m, S and q's own covariance, ss; w->prior_grad, w->us, w->F, log-determinant. */
enum core_status vb_update_theta(const struct lmm *m, struct vb_state *s,
                                 struct vb_work *w, struct core_info *info)
{
    lmm_precision(m, s->t, &w->P);
    enum core_status st = arrow_factor(&m->shape, &w->P, &w->F, info);
    if (st) return st;
    lmm_rhs(m, s->t[0], s->m);
    arrow_solve(&m->shape, &w->F, s->m);
    if (m->shape.packed) {
        w->S.global = s->S_global;
        w->S.elim = s->S_elim;
        w->S.leaf = s->s_leaf;
        arrow_selected_inverse(&m->shape, &w->F, &w->S, s->d_inv, s->q, w->scratch);
    } else {
        arrow_inverse(&m->shape, &w->F, s->S_global, s->d_inv, s->q, s->s_leaf,
                      w->scratch);
    }
    w->log_det_P = m->separate ? separate_covariance(m, s, w) : joint_covariance(m, s, w);
    lmm_prior_gradient(m, s->t, s->m, w->prior_grad);
    for (int k = m->first_term; k < m->n_prec; k++) {
        double U[RR], v[RV];
        int at = m->prec[k].at;
        lmm_block_sum(m, k, s->Sq_global, s->sq_leaf, w->us + at);
        lmm_outer_u(m, k, s->m, U);
        vech_pack(m->prec[k].r, U, v);
        for (int i = 0; i < vech_size(m->prec[k].r); i++)
            s->ss[at + i] = v[i] + w->us[at + i];
    }
    s->ss[0] = expected_rss(m, s, w);
    return CORE_OK;
}

/* mean (vech) <- df R^-1 of precision k with rate matrix R at auxiliaries c. */
static void mean_of_factor(const struct lmm *m, const struct vb_state *s, int k,
                           const double *c, double *mean)
{
    int r = m->prec[k].r;
    double ss[RR], R[RR];
    vech_unpack(r, s->ss + m->prec[k].at, ss);
    lmm_rate(m, k, c, ss, R);
    if (la_chol(r, R)) {
        for (int i = 0; i < vech_size(r); i++) mean[i] = NAN; /* vb_run() notices */
        return;
    }
    la_inverse(r, R, R);
    for (int i = 0; i < r * r; i++) R[i] *= s->df[k];
    vech_pack(r, R, mean);
}

/* target <- F(t), every global updated from the current t (for the Newton residual);
 * cavi   <- the sequential update, precisions first, then the auxiliaries from the new
 *           precisions (never lowers the ELBO). */
void vb_update_precisions(const struct lmm *m, const struct vb_state *s, double *target,
                          double *cavi)
{
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        mean_of_factor(m, s, k, s->t + (pr->aux < 0 ? 0 : pr->aux), target + pr->at);
        for (int i = 0; i < vech_size(pr->r); i++) cavi[pr->at + i] = target[pr->at + i];
        if (pr->aux < 0) continue;
        for (int i = 0; i < pr->r; i++) {
            int ii = pr->at + vech_at(pr->r, i, i);
            target[pr->aux + i] = lmm_aux_shape(m, k) / lmm_aux_rate(m, k, i, s->t[ii]);
            cavi[pr->aux + i] = lmm_aux_shape(m, k) / lmm_aux_rate(m, k, i, cavi[ii]);
        }
    }
}

double vb_logdet_mean(const struct lmm *m, const struct vb_state *s, int k)
{
    double L[RR];
    vech_unpack(m->prec[k].r, s->t + m->prec[k].at, L);
    return la_chol(m->prec[k].r, L) ? NAN : la_logdet(m->prec[k].r, L);
}

double vb_mean_logdet(const struct lmm *m, const struct vb_state *s, int k)
{
    return wishart_mean_logdet(m->prec[k].r, s->df[k], vb_logdet_mean(m, s, k));
}

/* An auxiliary c ~ Gamma(1/2, aux_rate) with q mean c: E log p(c) + entropy; *mean_log gets
 * E log c. Written as the one-dimensional Wishart with df 1 and rate 2 aux_rate. */
static double elbo_auxiliary(const struct lmm *m, int k, int i, double c,
                             double *mean_log)
{
    double df = 2 * lmm_aux_shape(m, k), rate = 2 * m->prec[k].aux_rate[i];
    *mean_log = wishart_mean_logdet(1, df, log(c));
    return wishart_expected_log_density(1, 1, log(rate), rate * c, *mean_log) +
           wishart_entropy(1, df, log(c));
}

double vb_elbo_precision(const struct lmm *m, const struct vb_state *s, int k)
{
    const struct precision *pr = &m->prec[k];
    double R[RR], zero[RR] = {0}, M[RR], elbo = 0, log_rate = 0, trace = 0, log_c;
    const double *c = s->t + (pr->aux < 0 ? 0 : pr->aux);
    vech_unpack(pr->r, s->t + pr->at, M);
    lmm_rate(m, k, c, zero, R);
    trace = la_trace_product(pr->r, R, M);
    if (pr->aux < 0) {
        log_rate = la_chol(pr->r, R) ? NAN : la_logdet(pr->r, R);
    } else {
        log_rate = pr->r * log(2 * pr->nu);
        for (int i = 0; i < pr->r; i++) {
            elbo += elbo_auxiliary(m, k, i, c[i], &log_c);
            log_rate += log_c;
        }
    }
    return elbo +
           wishart_expected_log_density(pr->r, pr->df0, log_rate, trace,
                                        vb_mean_logdet(m, s, k)) +
           wishart_entropy(pr->r, s->df[k], vb_logdet_mean(m, s, k));
}

/* The evidence lower bound at (q(theta | t), t), every constant included; under a flat prior
 * on beta it is relative to Lebesgue measure. */
double vb_elbo(const struct lmm *m, const struct vb_state *s, const struct vb_work *w)
{
    double elbo = 0.5 * (m->n * (vb_mean_logdet(m, s, 0) - LOG_2PI) + m->sum_log_w -
                         s->t[0] * s->ss[0]); /* E log p(y | .) */
    if (!m->flat) {                           /* E log p(beta)  */
        double quad = lmm_prior_trace(m, s->Sq_global);
        for (int i = 0; i < m->p; i++) quad += w->prior_grad[i] * (s->m[i] - m->mu[i]);
        elbo += 0.5 * (m->logdet_Tb - m->p * LOG_2PI - quad);
    }
    for (int k = m->first_term; k < m->n_prec; k++) { /* E log p(u)     */
        const struct precision *pr = &m->prec[k];
        elbo += 0.5 * (pr->n_levels * (vb_mean_logdet(m, s, k) - pr->r * LOG_2PI) -
                       vech_trace(pr->r, s->t + pr->at, s->ss + pr->at));
    }
    elbo += 0.5 * ((double) arrow_dim(&m->shape) * (1 + LOG_2PI) - w->log_det_P);
    for (int k = 0; k < m->n_prec; k++) elbo += vb_elbo_precision(m, s, k);
    return elbo;
}

/* ---- the Gaussian model ---------------------------------------------------------------------- */

struct gaussian {
    const struct lmm *m;
    struct vb_work *w;
};

static enum core_status gaussian_update(void *ctx, struct vb_state *s,
                                        struct core_info *info)
{
    const struct gaussian *x = ctx;
    return vb_update_theta(x->m, s, x->w, info);
}
static double gaussian_elbo(void *ctx, const struct vb_state *s)
{
    const struct gaussian *x = ctx;
    return vb_elbo(x->m, s, x->w);
}
static void gaussian_targets(void *ctx, const struct vb_state *s, double *target,
                             double *cavi)
{
    const struct gaussian *x = ctx;
    vb_update_precisions(x->m, s, target, cavi);
}
static bool gaussian_coupling(void *ctx, struct vb_state *s)
{
    const struct gaussian *x = ctx;
    vb_coupling(x->m, s, x->w);
    return true;
}

enum core_status vb_run(const struct lmm *m, const struct vb_control *ctl,
                        struct vb_state *s, struct vb_work *w, const struct core_hooks *h,
                        struct core_info *info)
{
    struct gaussian x = {m, w};
    const struct ascent q = {
        &x, gaussian_update, gaussian_elbo, gaussian_targets, gaussian_coupling, 0};
    return ascent_run(m, &q, ctl, s, &w->moves, h, info);
}
