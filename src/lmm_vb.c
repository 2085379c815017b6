/* lmm_vb.c: coordinate ascent and Newton steps for the Gaussian model, joint blocks.
 *
 *   q(theta)  = N(m, S),  S^-1 = E[tau_e] G + T,  S^-1 m = E[tau_e] h + T mu
 *   q(tau_e)  = Gamma(a_e + n/2, b_e + E||W^1/2 (y - C theta)||^2 / 2)
 *   q(tau_u)  = Gamma(a_u + G/2, b_u + E||u||^2 / 2)
 *   half-t:     b = df E[c],  q(c) = Gamma((df + 1)/2, df E[tau] + 1/scale^2)
 *
 * A sweep sets q(theta) at the current t = E[globals], then moves t. q(tau_k) is carried as
 * its mean: its shape never changes, so t is all there is. The ELBO at (q(theta | t), t)
 * rises under a CAVI move; a Newton move that lowers it is undone and replaced by the CAVI
 * move from the same point. Cost of a sweep: O(sum k_i^2) for the arrow plus O(n_global^3). */
#include <float.h>
#include <math.h>
#include <string.h>
#include "la.h"
#include "lmm_vb.h"

static const double LOG_2PI = 1.837877066409345483560659472811;

/* A longer Newton step than this on the log scale has left the region where the linear
 * response is informative (a factor of 20): take the CAVI step instead. */
static const double MAX_NEWTON_STEP = 3.0;

/* Rounding allowance when two ELBO values are compared, relative to their size. */
static const double ELBO_SLACK = 1e-11;

struct vb_work vb_work_carve(const struct lmm *m, struct arena *a)
{
    struct vb_work w = {.log_det_P = 0};
    size_t q = (size_t) lmm_n_par(m), ng = (size_t) m->shape.n_global;
    w.P = arrow_carve(&m->shape, a);
    w.F = arrow_carve(&m->shape, a);
    w.scratch = arena_doubles(a, ng * (size_t) (m->shape.r > 1 ? m->shape.r : 1));
    w.grad = arena_doubles(a, arrow_dim(&m->shape) * (size_t) m->n_prec);
    for (int i = 0; i < 4; i++) w.dense[i] = arena_doubles(a, ng * ng);
    w.target = arena_doubles(a, q);
    w.cavi = arena_doubles(a, q);
    w.step = arena_doubles(a, q);
    return w;
}

static double leaf_trace(const struct arrow_shape *sh, const double *leaf)
{
    double s = 0;
    size_t r = (size_t) sh->r;
    for (size_t g = 0; g < (size_t) sh->n_leaf; g++)
        for (size_t k = 0; k < r; k++) s += leaf[(g * r + k) * r + k];
    return s;
}

/* tr(T_b S_bb), 0 under a flat prior. */
static double prior_trace(const struct lmm *m, const double *S)
{
    double s = 0;
    if (m->flat) return 0;
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++) s += AT(m->Tb, i, j, m->p) * AT(S, i, j, m->shape.n_global);
    return s;
}

/* E||W^1/2 (y - C theta)||^2 = yy - m'h - m'(h - G m) + tr(G S), with the two identities
 *     tau_e (h - G m) = T (m - mu)        (m is stationary)
 *     tau_e tr(G S)   = dim - tr(T S)     (S^-1 = tau_e G + T).
 * grad: T (m - mu), from lmm_prior_gradient(). */
static double expected_rss(const struct lmm *m, const struct vb_state *s, const double *grad)
{
    double rss = m->yy, tau_e = s->t[0];
    size_t dim = arrow_dim(&m->shape);
    for (size_t i = 0; i < dim; i++) rss -= s->m[i] * (m->h[i] + grad[i] / tau_e);
    double tr_ts = prior_trace(m, s->S_global);
    if (m->n_prec > 1) tr_ts += s->t[1] * leaf_trace(&m->shape, s->s_leaf);
    /* fmax() would turn a NaN into zero */
    return (rss < 0 ? 0 : rss) + ((double) dim - tr_ts) / tau_e;
}

static double expected_u_squares(const struct lmm *m, const struct vb_state *s)
{
    size_t ng = (size_t) m->shape.n_global, dim = arrow_dim(&m->shape);
    double u = leaf_trace(&m->shape, s->s_leaf);
    for (size_t i = ng; i < dim; i++) u += s->m[i] * s->m[i];
    return u;
}

/* q(theta) at the current precisions, and the quadratic forms it implies.
 * Out: m, S_global, d_inv, q, s_leaf, ss; w->grad first column = T (m - mu); w->F, log|P|. */
enum core_status vb_update_theta(const struct lmm *m, struct vb_state *s, struct vb_work *w,
                                 struct core_info *info)
{
    lmm_precision(m, s->t, &w->P);
    enum core_status st = arrow_factor(&m->shape, &w->P, &w->F, info);
    if (st) return st;
    lmm_rhs(m, s->t[0], s->m);
    arrow_solve(&m->shape, &w->F, s->m);
    arrow_inverse(&m->shape, &w->F, s->S_global, s->d_inv, s->q, s->s_leaf, w->scratch);
    w->log_det_P = arrow_logdet(&m->shape, &w->F);
    lmm_prior_gradient(m, s->t, s->m, w->grad);
    s->ss[0] = expected_rss(m, s, w->grad);
    if (m->n_prec > 1) s->ss[1] = expected_u_squares(m, s);
    return CORE_OK;
}

/* target <- F(t), every global updated from the current t (for the Newton residual);
 * cavi   <- the sequential update, precisions first, then the auxiliaries from the new
 *           precisions (never lowers the ELBO). */
void vb_update_precisions(const struct lmm *m, const struct vb_state *s, double *target,
                          double *cavi)
{
    for (int k = 0; k < m->n_prec; k++) {
        int a = lmm_aux(m, k);
        double c = a < 0 ? 0 : s->t[a];
        target[k] = cavi[k] = s->shape[k] / lmm_rate(m, k, c, s->ss[k]);
        if (a < 0) continue;
        target[a] = s->shape[a] / lmm_aux_rate(m, k, s->t[k]);
        cavi[a] = s->shape[a] / lmm_aux_rate(m, k, cavi[k]);
    }
}

static struct gamma_dist factor(const struct vb_state *s, int k)
{
    struct gamma_dist q = {s->shape[k], s->shape[k] / s->t[k]};
    return q;
}

/* E log p(tau_k | c) + E log p(c) + the entropies of both factors. */
static double elbo_precision(const struct lmm *m, const struct vb_state *s, int k)
{
    const struct precision_prior *pr = &m->prior[k];
    struct gamma_dist tau = factor(s, k);
    int a = lmm_aux(m, k);
    if (a < 0)
        return gamma_expected_log_density(tau, pr->shape, log(pr->rate), pr->rate) +
               gamma_entropy(tau);
    struct gamma_dist c = factor(s, a);
    return gamma_expected_log_density(tau, pr->shape, log(pr->df) + gamma_mean_log(c),
                                      pr->df * gamma_mean(c)) +
           gamma_expected_log_density(c, 0.5, log(pr->aux_rate), pr->aux_rate) +
           gamma_entropy(tau) + gamma_entropy(c);
}

/* The evidence lower bound at (q(theta | t), t), every constant included; under a flat prior
 * on beta it is relative to Lebesgue measure. */
double vb_elbo(const struct lmm *m, const struct vb_state *s, const struct vb_work *w)
{
    double dim = (double) arrow_dim(&m->shape), n_u = dim - m->shape.n_global;
    double elbo = 0.5 * (m->n * (gamma_mean_log(factor(s, 0)) - LOG_2PI) + m->sum_log_w -
                         s->t[0] * s->ss[0]);                       /* E log p(y | .) */
    if (!m->flat) {                                                 /* E log p(beta)  */
        double quad = prior_trace(m, s->S_global);
        for (int i = 0; i < m->p; i++) quad += w->grad[i] * (s->m[i] - m->mu[i]);
        elbo += 0.5 * (m->logdet_Tb - m->p * LOG_2PI - quad);
    }
    if (m->n_prec > 1)                                              /* E log p(u)     */
        elbo += 0.5 * (n_u * (gamma_mean_log(factor(s, 1)) - LOG_2PI) - s->t[1] * s->ss[1]);
    elbo += 0.5 * (dim * (1 + LOG_2PI) - w->log_det_P);             /* entropy        */
    for (int k = 0; k < m->n_prec; k++) elbo += elbo_precision(m, s, k);
    return elbo;
}

/* ||S_ll||_F^2 = sum tr(D^-1 (2 S_leaf - D^-1)) + tr(M S M S),  M = sum_i Q_i' Q_i. */
static double leaf_frobenius(const struct lmm *m, const struct vb_state *s, const double *MS)
{
    double f = 0;
    size_t n = arrow_leaf_size(&m->shape);
    for (size_t i = 0; i < n; i++) f += s->d_inv[i] * (2 * s->s_leaf[i] - s->d_inv[i]);
    int ng = m->shape.n_global;
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++) f += AT(MS, i, j, ng) * AT(MS, j, i, ng);
    return f;
}

/* full n_global^2 copy of T_b S: TS <- T_g S_gg with T_g zero outside the fixed effects. */
static void prior_times_S(const struct lmm *m, const double *S, double *T, double *TS)
{
    int ng = m->shape.n_global;
    memset(T, 0, sizeof(double) * arrow_global_size(&m->shape));
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++) AT(T, i, j, ng) = AT(m->Tb, i, j, m->p);
    la_matmul(ng, T, S, TS);
}

static double trace_square(int n, const double *A) /* tr(A A) of a full matrix */
{
    double s = 0;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) s += AT(A, i, j, n) * AT(A, j, i, n);
    return s;
}

/* tr(K_i S K_j S), i, j in {e, u}, from tau_e G S = I - T S:
 *     uu = ||S_ll||^2
 *     eu = (tr S_ll - tr(T_b S_gl S_lg) - tau_u uu) / tau_e
 *     ee = (dim - 2 tr(T S) + tr(T S T S)) / tau_e^2. */
static void quadratic_traces(const struct lmm *m, const struct vb_state *s, struct vb_work *w,
                             double *ee, double *eu, double *uu)
{
    int ng = m->shape.n_global;
    double dim = (double) arrow_dim(&m->shape), tau_e = s->t[0];
    double *T = w->dense[0], *TS = w->dense[1], *M = w->dense[2], *MS = w->dense[3];
    prior_times_S(m, s->S_global, T, TS);
    double tr_ts = 0, tr_tsts = trace_square(ng, TS);
    for (int i = 0; i < ng; i++) tr_ts += AT(TS, i, i, ng);
    *eu = *uu = 0;
    if (m->n_prec > 1) {
        double tau_u = s->t[1], tr_ll = leaf_trace(&m->shape, s->s_leaf);
        memset(M, 0, sizeof(double) * arrow_global_size(&m->shape));
        arrow_outer(&m->shape, s->q, 1.0, M);
        la_fill_upper(ng, M);
        la_matmul(ng, M, s->S_global, MS);
        double cross = 0; /* tr(T_b S_gl S_lg) = tr(T S M S) */
        for (int j = 0; j < ng; j++)
            for (int i = 0; i < ng; i++) cross += AT(TS, i, j, ng) * AT(MS, j, i, ng);
        *uu = leaf_frobenius(m, s, MS);
        *eu = (tr_ll - cross - tau_u * *uu) / tau_e;
        tr_ts += tau_u * tr_ll;
        tr_tsts += 2 * tau_u * cross + tau_u * tau_u * *uu;
    }
    *ee = (dim - 2 * tr_ts + tr_tsts) / (tau_e * tau_e);
}

/* grad <- [g_e g_u], the gradients of s_e = -||y - C theta||^2 / 2 and s_u = -||u||^2 / 2 at
 * m:  g_e = h - G m = T (m - mu) / tau_e,  g_u = (0, -m_u).   J <- S [g_e g_u]. */
static void response_of_mean(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    size_t dim = arrow_dim(&m->shape), ng = (size_t) m->shape.n_global;
    lmm_prior_gradient(m, s->t, s->m, w->grad);
    for (size_t i = 0; i < dim; i++) w->grad[i] /= s->t[0];
    if (m->n_prec > 1)
        for (size_t i = 0; i < dim; i++) w->grad[dim + i] = i < ng ? 0 : -s->m[i];
    memcpy(s->J, w->grad, sizeof(double) * dim * (size_t) m->n_prec);
    for (int k = 0; k < m->n_prec; k++)
        arrow_solve(&m->shape, &w->F, s->J + (size_t) k * dim);
}

/* V, and C = A + N with A_ij = tr(K_i S K_j S) / 2 + g_i' S g_j and N = -df between a
 * precision and its auxiliary. Needs q(theta) of vb_update_theta(). */
void vb_coupling(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    int q = s->lr.q;
    size_t dim = arrow_dim(&m->shape);
    double tr[3] = {0, 0, 0}; /* ee, eu, uu */
    quadratic_traces(m, s, w, &tr[0], &tr[1], &tr[2]);
    response_of_mean(m, s, w);
    memset(s->lr.V, 0, sizeof(double) * (size_t) q * (size_t) q);
    memset(s->lr.C, 0, sizeof(double) * (size_t) q * (size_t) q);
    for (int i = 0; i < q; i++) AT(s->lr.V, i, i, q) = gamma_var(factor(s, i));
    for (int j = 0; j < m->n_prec; j++)
        for (int i = 0; i < m->n_prec; i++) {
            double *gi = w->grad + (size_t) i * dim, *Jj = s->J + (size_t) j * dim, dot = 0;
            for (size_t k = 0; k < dim; k++) dot += gi[k] * Jj[k];
            AT(s->lr.C, i, j, q) = 0.5 * tr[i + j] + dot;
        }
    for (int k = 0; k < m->n_prec; k++) {
        int a = lmm_aux(m, k);
        if (a < 0) continue;
        AT(s->lr.C, k, a, q) = AT(s->lr.C, a, k, q) = -m->prior[k].df;
    }
}

/* step <- the log-scale move from t: Newton where it is safe, otherwise CAVI. */
static enum vb_step choose_step(const struct lmm *m, const struct vb_control *ctl,
                                struct vb_state *s, struct vb_work *w)
{
    int q = s->lr.q;
    bool newton = ctl->newton;
    if (newton) {
        vb_coupling(m, s, w);
        newton = lr_respond(&s->lr);
    }
    if (newton) {
        for (int k = 0; k < q; k++) w->target[k] = log(w->target[k] / s->t[k]);
        lr_newton_log(&s->lr, s->t, w->target, w->step);
        for (int k = 0; k < q; k++)
            newton = newton && isfinite(w->step[k]) && fabs(w->step[k]) <= MAX_NEWTON_STEP;
    }
    if (!newton)
        for (int k = 0; k < q; k++) w->step[k] = log(w->cavi[k] / s->t[k]);
    return newton ? VB_STEP_NEWTON : VB_STEP_CAVI;
}

static double max_abs(int n, const double *x)
{
    double m = 0;
    for (int i = 0; i < n; i++) {
        if (isnan(x[i])) return x[i];
        m = fmax(m, fabs(x[i]));
    }
    return m;
}

static void record(struct vb_state *s, int iter, double change, enum vb_step kind)
{
    int q = s->lr.q;
    double *row = s->trace + (size_t) iter * (size_t) (q + 3);
    for (int k = 0; k < q; k++) row[k] = log(s->t[k]);
    row[q] = s->elbo;
    row[q + 1] = change;
    row[q + 2] = (double) kind;
}

/* At the optimum: linear response of the final q. */
static void finish(const struct lmm *m, struct vb_state *s, struct vb_work *w)
{
    vb_coupling(m, s, w);
    s->lr_ok = lr_respond(&s->lr);
}

enum core_status vb_run(const struct lmm *m, const struct vb_control *ctl, struct vb_state *s,
                        struct vb_work *w, const struct core_hooks *h, struct core_info *info)
{
    int q = s->lr.q;
    enum vb_step kind = VB_STEP_CAVI;
    double best = -INFINITY, change = INFINITY, last_change = INFINITY;
    for (int k = 0; k < q; k++) s->shape[k] = lmm_shape(m, k);
    for (info->iter = 0; info->iter < ctl->max_iter; info->iter++) {
        if (core_stop(h, info->iter)) return CORE_INTERRUPTED;
        enum core_status st = vb_update_theta(m, s, w, info);
        if (st) return st;
        s->elbo = vb_elbo(m, s, w);
        if (!isfinite(s->elbo)) return CORE_NONFINITE;
        if (kind == VB_STEP_NEWTON && s->elbo < best - ELBO_SLACK * (1 + fabs(best))) {
            record(s, info->iter, change, VB_STEP_REJECTED);
            for (int k = 0; k < q; k++) s->t[k] = w->cavi[k]; /* of the last good point */
            kind = VB_STEP_CAVI;
            continue;
        }
        best = s->elbo;
        vb_update_precisions(m, s, w->target, w->cavi);
        kind = choose_step(m, ctl, s, w);
        change = max_abs(q, w->step);
        if (!isfinite(change)) return CORE_NONFINITE;
        record(s, info->iter, change, kind);
        /* below 1e-7 a Newton step that no longer shrinks is rounding noise */
        bool floor = kind == VB_STEP_NEWTON && change < 1e-7 && change >= 0.5 * last_change;
        if (change <= ctl->tol || floor) {
            info->iter++;
            s->lr_ok = true; /* of the Newton step just refused as negligible */
            if (kind != VB_STEP_NEWTON) finish(m, s, w);
            return CORE_OK;
        }
        last_change = change;
        if (kind == VB_STEP_CAVI)
            for (int k = 0; k < q; k++) s->t[k] = w->cavi[k];
        else
            for (int k = 0; k < q; k++) s->t[k] *= exp(w->step[k]);
    }
    enum core_status st = vb_update_theta(m, s, w, info);
    if (st) return st;
    s->elbo = vb_elbo(m, s, w);
    if (!isfinite(s->elbo)) return CORE_NONFINITE;
    finish(m, s, w);
    return CORE_MAXIT;
}
