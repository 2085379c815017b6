/* gmm_gibbs.c: one function per full conditional (see gmm_gibbs.h). */
#include <math.h>
#include <string.h>
#include "base/assignment.h"
#include "base/blas.h"
#include "base/la.h"
#include "mixture/gmm_gibbs.h"

struct gmm_gibbs_work gmm_gibbs_work_carve(const struct gmm *g, struct arena *a)
{
    struct gmm_gibbs_work w;
    size_t k = (size_t) g->k, p = (size_t) g->p, n = (size_t) g->n;
    w.w = gmm_work_carve(g, a);
    w.s = gmm_stats_carve(g, a);
    w.z =
        (int *) arena_doubles(a, (n * sizeof(int) + sizeof(double) - 1) / sizeof(double));
    w.count = arena_doubles(a, k * k);
    w.match = arena_doubles(a, 3 * (k + 1));
    w.sq = arena_doubles(a, 4 * p * p);
    w.zig = rand_ziggurat();
    return w;
}

/* z_i for the rows of one chunk: component k with probability exp(logit_ik) / sum, by inversion
 * of one uniform each. logit is overwritten. */
static void draw_chunk(const struct gmm *g, int rows, double *logit, int *z)
{
    for (int i = 0; i < rows; i++) {
        double *l = logit + i, top = l[0], sum = 0;
        for (int k = 1; k < g->k; k++)
            if (l[(size_t) k * GMM_ROWS] > top) top = l[(size_t) k * GMM_ROWS];
        for (int k = 0; k < g->k; k++) {
            double *e = &l[(size_t) k * GMM_ROWS];
            *e = *e == top ? 1 : exp(*e - top);
            sum += *e;
        }
        double left = rand_uniform() * sum;
        int k = 0;
        while (k < g->k - 1 && (left -= l[(size_t) k * GMM_ROWS]) >= 0) k++;
        z[i] = k;
    }
}

/* Gram of (1, x - mu_k) over the rows of the chunk that went to k. */
static void add_chunk(const struct gmm *g, int first, int rows, const int *z, int k,
                      const double *mu, double *panel, double *gram)
{
    int p = g->p, filled = 0;
    size_t T = (size_t) p + 1;
    for (int i = 0; i < rows; i++) {
        if (z[i] != k) continue;
        double *t = panel + T * (size_t) filled++;
        t[0] = 1;
        for (int j = 0; j < p; j++) t[j + 1] = AT(g->X, first + i, j, g->n) - mu[j];
    }
    int padded = (filled + 7) / 8 * 8;
    memset(panel + T * (size_t) filled, 0,
           sizeof(double) * T * (size_t) (padded - filled));
    gmm_gram_add(p + 1, padded, panel, gram);
}

/* z | theta and the statistics of each component. */
static void draw_allocations(const struct gmm *g, struct gmm_gibbs *c,
                             struct gmm_gibbs_work *w)
{
    size_t p = (size_t) g->p, gram = (p + 1) * (p + 1);
    memset(w->w.gram, 0, sizeof(double) * gram * (size_t) g->k);
    for (int first = 0; first < g->n; first += GMM_ROWS) {
        int rows = g->n - first < GMM_ROWS ? g->n - first : GMM_ROWS;
        gmm_logits(g, first, rows, c->mu, c->R, c->offset, &w->w);
        draw_chunk(g, rows, w->w.logit, w->z + first);
        for (int k = 0; k < g->k; k++)
            add_chunk(g, first, rows, w->z + first, k, c->mu + (size_t) k * p, w->w.panel,
                      w->w.gram + (size_t) k * gram);
    }
    for (int k = 0; k < g->k; k++)
        gmm_stats_from_gram(g, k, c->mu + (size_t) k * p, w->w.gram + (size_t) k * gram,
                            &w->s);
}

/* pi | z ~ Dirichlet(alpha0 + N), on the log scale. */
static void draw_weights(const struct gmm *g, struct gmm_gibbs *c,
                         const struct gmm_gibbs_work *w)
{
    double sum = 0;
    for (int k = 0; k < g->k; k++) {
        double a = g->alpha0[k] + w->s.N[k];
        /* log Gamma(a) = log Gamma(a + 1) + log(U) / a: no underflow for a small a */
        c->log_pi[k] = log(rand_gamma(a + 1, 1)) + log(rand_uniform()) / a;
    }
    double top = c->log_pi[0];
    for (int k = 1; k < g->k; k++) top = fmax(top, c->log_pi[k]);
    for (int k = 0; k < g->k; k++) sum += exp(c->log_pi[k] - top);
    for (int k = 0; k < g->k; k++) c->log_pi[k] -= top + log(sum);
}

/* mu <- L^-T (L^-1 b + z) ~ N(Q^-1 b, Q^-1) for Q = L L' (in place of Q); b is overwritten. */
static bool draw_normal(int p, double *Q, const double *b, const struct ziggurat *zig,
                        double *mu, double *z)
{
    if (la_chol(p, Q)) return false;
    memcpy(mu, b, sizeof(double) * (size_t) p);
    la_solve_l(p, Q, mu);
    rand_normals(zig, (size_t) p, z);
    for (int i = 0; i < p; i++) mu[i] += z[i];
    la_solve_lt(p, Q, mu);
    return true;
}

/* Lambda_k ~ Wishart(df, rate^-1); rate = rate0 + ss + a d d' is overwritten. */
static bool draw_precision(const struct gmm *g, struct gmm_gibbs *c,
                           struct gmm_gibbs_work *w, int k, double df, double a,
                           const double *d)
{
    int p = g->p;
    size_t pp = (size_t) p * (size_t) p;
    double *rate = w->sq, *work = w->sq + pp, *Lambda = c->Lambda + (size_t) k * pp;
    for (int j = 0; j < p; j++)
        for (int i = 0; i < p; i++)
            AT(rate, i, j, p) = AT(g->rate0, i, j, p) +
                                AT(w->s.ss + (size_t) k * pp, i, j, p) + a * d[i] * d[j];
    if (!(df > p - 1) || la_chol(p, rate)) return false;
    rand_wishart(p, df, rate, &w->zig, Lambda, work);
    memcpy(c->R + (size_t) k * pp, Lambda, sizeof(double) * pp);
    return la_chol(p, c->R + (size_t) k * pp) == 0;
}

/* Lambda_k | z with mu_k integrated out, then mu_k | Lambda_k, z; flat or coupled prior. */
static bool draw_coupled(const struct gmm *g, struct gmm_gibbs *c,
                         struct gmm_gibbs_work *w, int k)
{
    int p = g->p;
    size_t pp = (size_t) p * (size_t) p;
    double N = w->s.N[k], total = g->k0 + N, *d = w->sq + 2 * pp, *b = w->sq + 3 * pp;
    const double *xbar = w->s.mean + (size_t) k * (size_t) p;
    if (!(total > 0)) return false;
    for (int i = 0; i < p; i++) d[i] = xbar[i] - g->m0[i];
    double df = g->df0 + N - (g->coupled ? 0 : 1);
    if (!draw_precision(g, c, w, k, df, g->k0 * N / total, d)) return false;
    double *Q = w->sq, *mean = d; /* mu - mean ~ N(0, (total Lambda)^-1) */
    for (int i = 0; i < p; i++) {
        mean[i] = (g->k0 * g->m0[i] + N * xbar[i]) / total;
        b[i] = 0;
    }
    for (size_t i = 0; i < pp; i++) Q[i] = total * c->Lambda[(size_t) k * pp + i];
    double *mu = c->mu + (size_t) k * (size_t) p;
    if (!draw_normal(p, Q, b, &w->zig, mu, w->sq + pp)) return false;
    for (int i = 0; i < p; i++) mu[i] += mean[i];
    return true;
}

/* Lambda_k | mu_k, z, then mu_k | Lambda_k, z. */
static bool draw_uncoupled(const struct gmm *g, struct gmm_gibbs *c,
                           struct gmm_gibbs_work *w, int k)
{
    int p = g->p;
    size_t pp = (size_t) p * (size_t) p;
    double N = w->s.N[k], *d = w->sq + 2 * pp, *b = w->sq + 3 * pp, *Q = w->sq;
    double *mu = c->mu + (size_t) k * (size_t) p, *Lambda = c->Lambda + (size_t) k * pp;
    const double *xbar = w->s.mean + (size_t) k * (size_t) p;
    for (int i = 0; i < p; i++) d[i] = xbar[i] - mu[i];
    if (!draw_precision(g, c, w, k, g->df0 + N, N, d)) return false;
    for (int i = 0; i < p; i++) {
        b[i] = 0;
        for (int j = 0; j < p; j++)
            b[i] += N * AT(Lambda, i, j, p) * xbar[j] + AT(g->P0, i, j, p) * g->m0[j];
    }
    for (size_t i = 0; i < pp; i++) Q[i] = N * Lambda[i] + g->P0[i];
    return draw_normal(p, Q, b, &w->zig, mu, w->sq + pp);
}

static void set_offsets(const struct gmm *g, struct gmm_gibbs *c)
{
    size_t pp = (size_t) g->p * (size_t) g->p;
    for (int k = 0; k < g->k; k++)
        c->offset[k] = c->log_pi[k] + 0.5 * la_logdet(g->p, c->R + (size_t) k * pp);
}

static enum core_status sweep(void *ctx, struct core_info *info)
{
    const struct gmm_gibbs_chain *x = ctx;
    const struct gmm *g = x->g;
    struct gmm_gibbs *c = x->c;
    struct gmm_gibbs_work *w = x->w;
    draw_allocations(g, c, w);
    draw_weights(g, c, w);
    for (int k = 0; k < g->k; k++) {
        bool ok = g->coupled || g->flat_mean ? draw_coupled(g, c, w, k)
                                             : draw_uncoupled(g, c, w, k);
        if (ok) continue;
        info->block = k;
        return CORE_NOT_PD_LEAF;
    }
    set_offsets(g, c);
    for (int k = 0; k < g->k; k++)
        if (!isfinite(c->offset[k])) return CORE_NONFINITE;
    return CORE_OK;
}

/* ---- keep ------------------------------------------------------------------------------ */

static void count_agreement(const struct gmm *g, const struct gmm_gibbs *c,
                            const struct gmm_gibbs_work *w)
{
    memset(w->count, 0, sizeof(double) * (size_t) g->k * (size_t) g->k);
    for (int n = 0; n < g->n; n++) AT(w->count, w->z[n], c->label[n], g->k) += 1;
}

/* out <- A X A' in vech coordinates; work: 2 p x p. */
static void put_congruence(int p, const double *A, const double *X, double *out,
                           size_t stride, double *work)
{
    double one = 1, zero = 0, *AX = work, *Y = work + (size_t) p * (size_t) p;
    la_matmul(p, A, X, AX);
    F77_CALL(dgemm)
    ("N", "T", &p, &p, &p, &one, AX, &p, A, &p, &zero, Y, &p FCONE FCONE);
    for (int b = 0; b < p; b++)
        for (int a = b; a < p; a++, out += stride) *out = AT(Y, a, b, p);
}

static void keep_component(const struct gmm *g, const struct gmm_gibbs *c,
                           const struct gmm_gibbs_work *w, int k, double *out,
                           size_t stride)
{
    int p = g->p, q = gmm_vech(g);
    size_t pp = (size_t) p * (size_t) p;
    const double *mu = c->mu + (size_t) k * (size_t) p;
    double *Ut = w->sq, *inv = w->sq + pp, *work = w->sq + 2 * pp;
    for (int i = 0; i < p; i++) {
        double x = c->centre[i];
        for (int j = 0; j < p; j++) x += AT(c->U, j, i, p) * mu[j];
        out[stride * (size_t) i] = x;
        for (int j = 0; j < p; j++) AT(Ut, i, j, p) = AT(c->U, j, i, p);
    }
    out += stride * (size_t) p;
    put_congruence(p, c->A, c->Lambda + (size_t) k * pp, out, stride, work);
    la_inverse(p, c->R + (size_t) k * pp, inv);
    put_congruence(p, Ut, inv, out + stride * (size_t) q, stride, work);
    out += stride * (size_t) (2 * q);
    out[0] = la_logdet(p, c->R + (size_t) k * pp) + 2 * c->log_det_A;
    out[stride] = c->log_pi[k];
}

static void keep(void *ctx, int row)
{
    const struct gmm_gibbs_chain *x = ctx;
    const struct gmm *g = x->g;
    int perm[GMM_MAX_K];
    size_t kept = (size_t) x->kept, size = (size_t) gmm_gibbs_draw_size(g);
    count_agreement(g, x->c, x->w);
    assignment_match(g->k, x->w->count, perm, x->w->match);
    for (int j = 0; j < g->k; j++) {
        AT(x->c->perm, row, j, kept) = perm[j];
        keep_component(g, x->c, x->w, perm[j],
                       x->c->draws + row + kept * size * (size_t) j, kept);
    }
}

/* R and the offsets of the first state. */
static enum core_status start(void *ctx, struct core_info *info)
{
    const struct gmm_gibbs_chain *x = ctx;
    const struct gmm *g = x->g;
    size_t pp = (size_t) g->p * (size_t) g->p;
    (void) info;
    memcpy(x->c->R, x->c->Lambda, sizeof(double) * pp * (size_t) g->k);
    for (int k = 0; k < g->k; k++)
        if (la_chol(g->p, x->c->R + (size_t) k * pp)) return CORE_NONFINITE;
    set_offsets(g, x->c);
    return CORE_OK;
}

struct sampler gmm_gibbs_sampler(struct gmm_gibbs_chain *x)
{
    return (struct sampler){x, start, sweep, keep};
}
