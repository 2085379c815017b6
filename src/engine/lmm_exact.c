/* lmm_exact.c: see lmm_exact.h. */
#include <float.h>
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "base/la.h"
#include "engine/lmm_exact.h"
#include "base/logchol.h"

enum { RR = EXPFAM_MAX_R * EXPFAM_MAX_R };
static const double LOG_2PI = 1.837877066409345483560659472811;
static const double LOG_PI = 1.144729885849400174143427351353;
static const double MAX_PHI = 300; /* exp() of it and its reciprocal leave room for products */
/* What cancels in min q may be wrong by this much. Only residuals of (almost) zero let the density
 * live where more would be lost: there the sums of squares no longer know it. */
static const double MAX_ROUNDING = 0.01;

struct lmm_exact lmm_exact_carve(const struct lmm *m, struct arena *a)
{
    struct lmm_exact e = {.m = m};
    e.P = arrow_carve(&m->shape, a);
    e.F = arrow_carve(&m->shape, a);
    e.t = arena_doubles(a, (size_t) m->n_par);
    e.g = arena_doubles(a, arrow_dim(&m->shape));
    e.outer = arena_doubles(a, (size_t) m->n_stat);
    e.zero_theta = arena_doubles(a, arrow_dim(&m->shape));
    e.zero_grad = arena_doubles(a, arrow_dim(&m->shape));
    e.prior_const = arena_doubles(a, (size_t) m->n_prec);
    return e;
}

/* log p(Lambda) at |Lambda| = 1, tr(R_0 Lambda) = 0: all that does not depend on Lambda. */
double lmm_prior_constant(const struct lmm *m, int k)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    if (!(pr->nu > 0)) {
        double L[RR];
        memcpy(L, pr->rate0, sizeof(double) * (size_t) (r * r));
        la_chol(r, L);
        return wishart_expected_log_density(r, pr->df0, la_logdet(r, L), 0, 0);
    }
    /* the auxiliaries integrate out: prod_i int c^((df0 - 1) / 2) exp(-c (nu Lambda_ii + A^-2)) */
    double s = wishart_expected_log_density(r, pr->df0, r * log(2 * pr->nu), 0, 0);
    for (int i = 0; i < r; i++)
        s += 0.5 * (log(pr->aux_rate[i]) - LOG_PI) + lgammafn(0.5 * (pr->nu + r));
    return s;
}

/* The stored fit without its effects: with d = (0, -u), h - G (theta + d) = grad - G d and
 * rss = rss - 2 d'grad + d'G d. */
static void drop_effects(struct lmm_exact *e)
{
    const struct lmm *m = e->m;
    size_t dim = arrow_dim(&m->shape), p = (size_t) m->p;
    double *d = e->g, *Gd = e->zero_grad, rss = e->centre->rss;
    memset(d, 0, sizeof(double) * p);
    for (size_t i = p; i < dim; i++) d[i] = -e->centre->theta[i];
    arrow_mul(&m->shape, &m->G, d, Gd);
    for (size_t i = 0; i < dim; i++) {
        rss += d[i] * (Gd[i] - 2 * e->centre->grad[i]);
        e->zero_grad[i] = e->centre->grad[i] - Gd[i];
        e->zero_theta[i] = i < p ? e->centre->theta[i] : 0;
    }
    e->zero = (struct lmm_centre) {e->zero_theta, e->zero_grad, rss > 0 ? rss : 0};
}

void lmm_exact_prepare(struct lmm_exact *e)
{
    const struct lmm *m = e->m;
    const double *theta = e->centre->theta;
    double U[RR];
    drop_effects(e);
    e->quad_beta = 0;
    if (!m->flat)
        for (int j = 0; j < m->p; j++)
            for (int i = 0; i < m->p; i++)
                e->quad_beta += AT(m->Tb, i, j, m->p) * (theta[i] - m->mu[i]) * (theta[j] - m->mu[j]);
    e->outer[0] = 0;
    for (int k = 0; k < m->n_prec; k++) {
        e->prior_const[k] = lmm_prior_constant(m, k);
        if (k == 0) continue;
        lmm_outer_u(m, k, theta, U);
        vech_pack(m->prec[k].r, U, e->outer + m->prec[k].at);
    }
}

/* log p(Lambda_k), given log |Lambda_k| and Lambda in t. */
double lmm_log_prior(const struct lmm *m, int k, double constant, const double *t, double logdet)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double s = constant + 0.5 * (pr->df0 - r - 1) * logdet;
    if (pr->nu > 0) {
        for (int i = 0; i < r; i++)
            s -= 0.5 * (pr->nu + r) * log(pr->nu * t[vech_at(r, i, i)] + pr->aux_rate[i]);
        return s;
    }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            s -= (a == b ? 0.5 : 1) * AT(pr->rate0, a, b, r) * t[vech_at(r, a, b)];
    return s;
}

static double vech_trace(int r, const double *x, const double *y)
{
    double s = 0;
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            s += (a == b ? 1 : 2) * x[vech_at(r, a, b)] * y[vech_at(r, a, b)];
    return s;
}

double lmm_exact_log_density(void *exact, const double *phi)
{
    struct lmm_exact *e = exact;
    const struct lmm *m = e->m;
    size_t dim = arrow_dim(&m->shape);
    double prior = 0, logdet_T = m->logdet_Tb, pull = 0;
    for (int i = 0; i < m->n_stat; i++)
        if (!(fabs(phi[i]) < MAX_PHI)) return -INFINITY;
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        double jacobian, logdet;
        logdet = scale_free_to_vech(pr->r, phi + pr->at, e->t + pr->at, &jacobian);
        prior += lmm_log_prior(m, k, e->prior_const[k], e->t + pr->at, logdet) + jacobian;
        logdet_T += pr->n_levels * logdet;
        if (k > 0) pull += vech_trace(pr->r, e->t + pr->at, e->outer + pr->at);
    }
    lmm_precision(m, e->t, &e->P);
    if (arrow_factor(&m->shape, &e->P, &e->F, &e->info)) return -INFINITY;
    bool free = pull + e->t[0] * e->centre->rss <= e->t[0] * e->zero.rss;
    e->from = free ? e->centre : &e->zero;
    lmm_prior_gradient(m, e->t, e->from->theta, e->g);
    for (size_t i = 0; i < dim; i++) e->g[i] = e->t[0] * e->from->grad[i] - e->g[i];
    arrow_forwardsolve(&m->shape, &e->F, e->g);
    double quad = e->quad_beta + e->t[0] * e->from->rss + (free ? pull : 0);
    if (DBL_EPSILON * quad > MAX_ROUNDING) return -INFINITY;
    for (size_t i = 0; i < dim; i++) quad -= e->g[i] * e->g[i];
    double flat = m->flat ? m->p * LOG_2PI : 0;
    return prior + 0.5 * (m->n * (phi[0] - LOG_2PI) + m->sum_log_w + logdet_T -
                          arrow_logdet(&m->shape, &e->F) - quad + flat);
}

void lmm_exact_mean(const struct lmm_exact *e, double *mean)
{
    size_t dim = arrow_dim(&e->m->shape);
    memcpy(mean, e->g, sizeof(double) * dim);
    arrow_backsolve(&e->m->shape, &e->F, mean);
    for (size_t i = 0; i < dim; i++) mean[i] += e->from->theta[i];
}

void lmm_exact_draw(const struct lmm_exact *e, const double *mean, double *x)
{
    arrow_backsolve(&e->m->shape, &e->F, x);
    for (size_t i = 0; i < arrow_dim(&e->m->shape); i++) x[i] += mean[i];
}

/* ---- mixture over nodes ------------------------------------------------------------- */

struct lmm_mixture_work lmm_mixture_carve(const struct arrow_shape *s, bool dense, struct arena *a)
{
    size_t dim = arrow_dim(s);
    struct lmm_mixture_work w;
    w.inv = arrow_carve(s, a);
    w.d_inv = arena_doubles(a, arrow_leaf_size(s));
    w.scratch = arena_doubles(a, (size_t) s->n_global * (size_t) (s->r ? s->r : 1));
    w.theta = arena_doubles(a, dim);
    w.dev = arena_doubles(a, dim);
    w.solved = dense ? arena_doubles(a, dim * dim) : NULL;
    return w;
}

/* out (n x n, full) += w (S + dev dev') */
static void add_spread(int n, double w, const double *S, const double *dev, double *out)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) AT(out, i, j, n) += w * (AT(S, i, j, n) + dev[i] * dev[j]);
}

static void add_leaf_spreads(const struct arrow_shape *s, double w, const double *s_leaf,
                             const double *dev, double *out)
{
    size_t rr = (size_t) s->r * (size_t) s->r;
    for (int i = 0; i < s->n_leaf; i++)
        add_spread(s->r, w, s_leaf + (size_t) i * rr,
                   dev + s->n_global + (size_t) i * (size_t) s->r, out + (size_t) i * rr);
}

/* Diagonals of the selected inverse. */
static void node_variances(const struct arrow_shape *s, const struct arrow *inv, double *var)
{
    for (int i = 0; i < s->n_global; i++) var[i] = AT(inv->global, i, i, s->n_global);
    for (int i = 0; i < s->n_leaf; i++)
        for (int a = 0; a < s->r; a++)
            var[(size_t) s->n_global + (size_t) i * (size_t) s->r + (size_t) a] =
                inv->leaf[((size_t) i * (size_t) s->r + (size_t) a) * (size_t) s->r + (size_t) a];
}

/* out (dim^2) += w (F^-T F^-1 + dev dev'), column by column of F^-1. */
static void add_dense(const struct conditional *e, double w, const double *dev, double *solved,
                      double *out)
{
    int n = (int) arrow_dim(e->shape);
    memset(solved, 0, sizeof(double) * (size_t) n * (size_t) n);
    for (int j = 0; j < n; j++) {
        AT(solved, j, j, n) = 1;
        arrow_forwardsolve(e->shape, e->F, solved + (size_t) j * (size_t) n);
    }
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++)
            AT(out, i, j, n) += w * (dev[i] * dev[j] + la_dot(n, solved + (size_t) i * (size_t) n,
                                                              solved + (size_t) j * (size_t) n));
}

/* c'theta ~ N(c'mean, |F^-1 c|^2): F^-1 touches one leaf and the global block only. */
static void row_moments(const struct conditional *e, const struct lmm_rows *rows, const double *mean,
                        double *work, double *row_mean, double *row_var)
{
    const struct arrow_shape *s = e->shape;
    int ng = s->n_global, r = s->r;
    for (int i = 0; i < rows->n; i++) {
        const double *c = rows->global + (size_t) i * (size_t) ng;
        double var = 0, centre = la_dot(ng, c, mean);
        memcpy(work, c, sizeof(double) * (size_t) ng);
        int leaf = rows->leaf[i];
        if (leaf >= 0) {
            double *y = work + ng; /* there is a leaf, so dim leaves room for r */
            int k = s->ptr[leaf + 1] - s->ptr[leaf];
            const int *col = s->idx + s->ptr[leaf];
            memcpy(y, rows->z + (size_t) i * (size_t) r, sizeof(double) * (size_t) r);
            centre += la_dot(r, y, mean + ng + (size_t) leaf * (size_t) r);
            la_solve_l(r, e->F->leaf + (size_t) leaf * (size_t) r * (size_t) r, y);
            const double *cross = e->F->cross + (size_t) s->ptr[leaf] * (size_t) r;
            for (int b = 0; b < r; b++)
                for (int a = 0; a < k; a++) work[col[a]] -= AT(cross, a, b, k) * y[b];
            var = la_dot(r, y, y);
        }
        la_solve_l(ng, e->F->global, work);
        row_mean[i] = centre;
        row_var[i] = var + la_dot(ng, work, work);
    }
}

static bool add_node(const struct conditional *e, double w, int k, const struct lmm_rows *rows,
                     struct lmm_mixture *out, struct lmm_mixture_work *work)
{
    const struct arrow_shape *s = e->shape;
    size_t dim = arrow_dim(s);
    if (!e->moments(e->ctx, w, work->theta)) return false;
    for (size_t i = 0; i < dim; i++) work->dev[i] = work->theta[i] - e->origin[i];
    for (size_t i = 0; i < dim; i++) out->mean[i] += w * work->dev[i];
    if (out->cov_global || out->node_var)
        arrow_inverse(s, e->F, work->inv.global, work->d_inv, work->inv.cross, work->inv.leaf,
                      work->scratch);
    if (out->cov_global) {
        add_spread(s->n_global, w, work->inv.global, work->dev, out->cov_global);
        add_leaf_spreads(s, w, work->inv.leaf, work->dev, out->cov_leaf);
    }
    if (out->node_mean) memcpy(out->node_mean + (size_t) k * dim, work->theta, sizeof(double) * dim);
    if (out->node_var) node_variances(s, &work->inv, out->node_var + (size_t) k * dim);
    if (out->cov) add_dense(e, w, work->dev, work->solved, out->cov);
    if (out->row_mean)
        row_moments(e, rows, work->theta, work->dev, out->row_mean + (size_t) k * (size_t) rows->n,
                    out->row_var + (size_t) k * (size_t) rows->n);
    return true;
}

static bool exact_moments(void *ctx, double weight, double *mean)
{
    (void) weight;
    lmm_exact_mean(ctx, mean);
    return true;
}

struct conditional lmm_exact_conditional(struct lmm_exact *e)
{
    return (struct conditional){&e->m->shape, e->m->n_stat, e->centre->theta, e,
                                lmm_exact_log_density, exact_moments, &e->F};
}

enum core_status lmm_exact_mixture(const struct conditional *e, int n, const double *phi,
                                   const double *w, const struct lmm_rows *rows,
                                   struct lmm_mixture *out, struct lmm_mixture_work *work,
                                   const struct core_hooks *h, struct core_info *info)
{
    const struct arrow_shape *s = e->shape;
    size_t dim = arrow_dim(s);
    for (int k = 0; k < n; k++) {
        info->iter = k;
        if (k % 16 == 0 && core_stop(h, k)) return CORE_INTERRUPTED;
        double f = e->log_density(e->ctx, phi + (size_t) k * (size_t) e->n_stat);
        if (!isfinite(f) || !add_node(e, w[k], k, rows, out, work)) return CORE_NONFINITE;
    }
    /* deviations were taken from the centre: E theta - centre is now in mean */
    if (out->cov_global) {
        add_spread(s->n_global, -1, memset(work->inv.global, 0, sizeof(double) * arrow_global_size(s)),
                   out->mean, out->cov_global);
        if (s->n_leaf) {
            memset(work->inv.leaf, 0, sizeof(double) * arrow_leaf_size(s));
            add_leaf_spreads(s, -1, work->inv.leaf, out->mean, out->cov_leaf);
        }
    }
    if (out->cov)
        for (size_t j = 0; j < dim; j++)
            for (size_t i = 0; i < dim; i++) out->cov[i + j * dim] -= out->mean[i] * out->mean[j];
    for (size_t i = 0; i < dim; i++) out->mean[i] += e->origin[i];
    return CORE_OK;
}
